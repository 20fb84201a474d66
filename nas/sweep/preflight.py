"""What can be seen to be wrong with a sweep before anything trains."""

from __future__ import annotations

from collections.abc import Sequence

from nas.cli.common import refuse_unused
from nas.comparison.preflight import check_build
from nas.errors import DataError, UsageError
from nas.networks import build_discriminator, build_segmenter
from nas.preparation import Data, open_data
from nas.retrain import check_settings as check_retraining
from nas.retrain import resolve_adversary
from nas.search import check_settings as check_search
from nas.settings import RetrainSettings, SearchSettings
from nas.sweep.recipe import SweptRecipe
from nas.unused import unused_in_retraining, unused_in_search


def check_sweep(recipe: SweptRecipe, passed_on: Sequence[str]) -> None:
    """Check the settings of each point of a grid, or of the lowest point of ranges, and the data.

    Args:
        recipe: of the sweep.
        passed_on: options of the runs.

    Raises:
        UsageError, DataError, RunError: with what is wrong, and where.
    """
    data: Data | None = None
    built: set[str] = set()
    for point in recipe.checked_points():
        try:
            settings = recipe.settings_at(point)
            if data is None:
                refuse_unused(_unused(settings), passed_on)
                data = _opened(settings, recipe)
            _check(settings, data, built)
        except UsageError as error:
            where = ", ".join(f"{key} = {value}" for key, value in point.items())
            raise UsageError(f"At {where}: {error}") from error


def _unused(settings: RetrainSettings | SearchSettings) -> dict[str, str]:
    if isinstance(settings, SearchSettings):
        return unused_in_search(settings)
    return unused_in_retraining(settings)


def _opened(settings: RetrainSettings | SearchSettings, recipe: SweptRecipe) -> Data:
    data = open_data(settings.data)
    if isinstance(settings, RetrainSettings) and not data.split.val:
        raise DataError(
            f"{recipe.path} leaves no validation images, on which a sweep compares: set "
            "data.val_images, or give --val-images behind a lone --."
        )
    return data


def _check(settings: RetrainSettings | SearchSettings, data: Data, built: set[str]) -> None:
    """Refuse settings that contradict each other, and networks that cannot be built.

    Args:
        settings: of a run.
        data: that the networks are for.
        built: networks that have been built; those of the settings are added.
    """
    channels, classes = data.reader.channels, len(data.classes)
    if isinstance(settings, SearchSettings):
        check_search(settings)
        return
    check_retraining(settings)
    if settings.backbone not in built:
        check_build(
            settings.backbone, lambda: build_segmenter(settings.backbone, channels, classes)
        )
        built.add(settings.backbone)
    adversary = resolve_adversary(settings.adversary)
    if adversary is not None and adversary.specification not in built:
        named, seen = adversary.specification, classes + channels * adversary.sees_image
        check_build(named, lambda: build_discriminator(named, seen))
        built.add(named)
