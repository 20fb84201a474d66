"""What can be seen to be wrong with a comparison before anything trains."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import torch

from nas import libraries
from nas.comparison.cells import Cell, cells_of, plan_of
from nas.comparison.recipe import Method, Recipe, parse_method
from nas.errors import DataError, RunError, UsageError
from nas.networks import build_discriminator, build_segmenter
from nas.preparation import Data, open_data
from nas.retrain import check_settings as check_retraining
from nas.retrain import resolve_adversary
from nas.search import check_settings as check_search
from nas.settings import DataSettings


def check_comparison(recipe: Recipe) -> None:
    """Open the data, build the networks without memory, check settings.

    Raises:
        UsageError, DataError, RunError: with what is wrong, and where.
    """
    opened = {name: _open(name, data) for name, data in recipe.datasets.items()}
    for name, data in opened.items():
        _check_split(name, data, recipe.parsed_methods())
    first = recipe.seeds[0]
    for cell in cells_of(msgspec.structs.replace(recipe, seeds=(first,))):
        if not cell.draw:
            _check_cell(recipe, cell, opened[cell.dataset])


def _open(name: str, settings: DataSettings) -> Data:
    """A data set; what is wrong with it is told with its name, and in the recipe's words."""
    try:
        return open_data(settings)
    except (UsageError, DataError, RunError) as error:
        missing = isinstance(error, UsageError) and settings.data_root is None
        where = f" (data_root = DIR there, or --data {name}.data_root=DIR)" if missing else ""
        raise type(error)(f"[datasets.{name}]{where}: {error}") from error


def _check_split(name: str, data: Data, methods: tuple[Method, ...]) -> None:
    if not data.split.test:
        raise DataError(
            f"The data set {name} has no test images to compare methods on: change its split, or "
            "train_images and val_images."
        )
    choosing = [method.text for method in methods if method.draws > 1]
    if choosing and not data.split.val:
        raise DataError(
            f"The data set {name} has no validation images, by which the best genotype of "
            f"{choosing[0]} is chosen: set val_images in [datasets.{name}], or use random:1."
        )


def _check_cell(recipe: Recipe, cell: Cell, data: Data) -> None:
    plan = plan_of(recipe, cell)
    channels, classes = data.reader.channels, len(data.classes)
    check_build(cell.backbone, lambda: build_segmenter(cell.backbone, channels, classes))
    if plan.search is not None:
        check_search(plan.search)
        return
    check_retraining(plan.retrain)
    adversary = resolve_adversary(plan.retrain.adversary)
    if parse_method(cell.method).kind != "none" and adversary is not None:
        seen = classes + channels * adversary.sees_image
        named = adversary.specification
        check_build(named, lambda: build_discriminator(named, seen))


def check_build(specification: str, build: Callable[[], object]) -> None:
    """Build a network; those of other libraries cannot all be built without memory."""
    with torch.device("cpu" if libraries.is_foreign(specification) else "meta"):
        build()
