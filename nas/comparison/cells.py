"""The cells of a comparison: one training each, and everything that its process has to know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from nas.comparison.recipe import Budget, Method, MethodKind, Recipe, parse_method, slug
from nas.errors import RunError
from nas.runs import RunFolder, atomic_write, decode_path, without_none
from nas.settings import DataSettings, RetrainSettings, RunSettings, SearchSettings

PLAN_FILE = "cell.json"
CELLS = "cells"
CHANGEABLE = {
    "run": ("device", "threads", "streams", "checkpoint_minutes"),
    "data": ("cache",),
}
"""Settings, by their table, that a cell may go on with though they have changed."""


class Cell(Struct, frozen=True):
    """One training of a comparison.

    Attributes:
        dataset: as the recipe names it.
        backbone: specification of the segmenter.
        method: as the recipe names it.
        draw: of ``random:N`` which genotype, from 0; None of other methods.
        seed: of the run.
    """

    dataset: str
    backbone: str
    method: str
    draw: int | None
    seed: int

    @property
    def name(self) -> str:
        """Its folder below ``cells/``."""
        last = slug(self.method) if self.draw is None else f"random-{self.draw:02d}"
        return f"{self.dataset}/{slug(self.backbone)}/seed{self.seed}/{last}"

    def folder(self, out: Path) -> Path:
        """Its folder in that of a comparison."""
        return out / CELLS / self.name


def cells_of(recipe: Recipe) -> tuple[Cell, ...]:
    """All cells, those of a seed together, so that a stopped comparison has whole seeds."""
    return tuple(
        Cell(dataset, backbone, method.text, draw, seed)
        for seed in recipe.seeds
        for dataset in recipe.datasets
        for backbone in recipe.backbones
        for method in recipe.parsed_methods()
        for draw in draws_of(method)
    )


def draws_of(method: Method) -> list[int | None]:
    """The genotypes that a method draws; a single None where it draws none."""
    return list(range(method.draws)) if method.kind == "random" else [None]


class CellPlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the process of a cell does; written as cell.json into its folder.

    Attributes:
        name: of the cell.
        kind: of its method.
        draw: see `Cell`.
        budget: from which epochs follow.
        retrain: of the retraining; of a searched or random discriminator without its genotype.
        search: of the search, or of the space that is drawn from; None of other methods.
    """

    name: str
    kind: MethodKind
    draw: int | None
    budget: Budget
    retrain: RetrainSettings
    search: SearchSettings | None


def plan_of(recipe: Recipe, cell: Cell) -> CellPlan:
    """What the process of a cell does. The epochs of a budget of compute are set by it."""
    method = parse_method(cell.method)
    data, budget = recipe.datasets[cell.dataset], recipe.budget
    run = msgspec.structs.replace(recipe.run, seed=cell.seed)
    training = msgspec.structs.replace(recipe.training, epochs=budget.epochs or 1)
    discriminator = None if method.needs_space else method.text
    return CellPlan(
        name=cell.name,
        kind=method.kind,
        draw=cell.draw,
        budget=budget,
        retrain=RetrainSettings(
            backbone=cell.backbone,
            adversary=msgspec.structs.replace(recipe.adversary, discriminator=discriminator),
            data=data,
            training=training,
            loss=recipe.loss,
            game=recipe.game,
            augmentation=recipe.augmentation,
            run=run,
        ),
        search=_search(recipe, cell, data, run) if method.needs_space else None,
    )


def _search(recipe: Recipe, cell: Cell, data: DataSettings, run: RunSettings) -> SearchSettings:
    epochs = recipe.budget.search_epochs or recipe.budget.epochs
    epochs = epochs or recipe.architecture.warmup_epochs + 1
    return SearchSettings(
        backbone=cell.backbone,
        data=data,
        space=recipe.space,
        cell=recipe.cell,
        flexvgg=recipe.flexvgg,
        training=msgspec.structs.replace(recipe.training, epochs=epochs),
        loss=recipe.loss,
        game=recipe.game,
        augmentation=recipe.augmentation,
        architecture=recipe.architecture,
        run=run,
    )


def write_plan(plan: CellPlan, folder: Path) -> None:
    """Write cell.json; a cell that has begun must have the same plan.

    Raises:
        RunError: the cell has begun with another plan, or the file cannot be written.
    """
    if has_begun(folder):
        before = read_plan(folder)
        difference = first_difference(_fixed(before), _fixed(plan))
        if difference is not None:
            raise RunError(
                f"The cell {plan.name} in {folder} was begun with {difference}: go on with the "
                "recipe as it was, or choose another --out."
            )
    with atomic_write(folder / PLAN_FILE) as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(plan, enc_hook=str), indent=2))


def has_begun(folder: Path) -> bool:
    """Whether a cell has anything that depends on its plan."""
    started = (RunFolder(folder), RunFolder(folder / "search"))
    return (folder / PLAN_FILE).exists() and any(run.settings_file.exists() for run in started)


def read_plan(folder: Path) -> CellPlan:
    """The plan of a cell.

    Raises:
        RunError: it cannot be read.
    """
    path = folder / PLAN_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=CellPlan, dec_hook=decode_path)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}.") from error


def _fixed(plan: CellPlan) -> dict[str, Any]:
    """The plan as plain values, without what may change."""
    values: dict[str, Any] = msgspec.to_builtins(plan, enc_hook=str)
    for settings in (values["retrain"], values["search"] or {}):
        for table, names in CHANGEABLE.items():
            for name in names:
                settings.get(table, {}).pop(name, None)
    return without_none(values)


def first_difference(before: Any, now: Any, place: str = "") -> str | None:
    """In words, the first place in which nested mappings differ; None where they are equal."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return None if before == now else f"{place} = {before}, and now it is {now}"
    for name in dict.fromkeys([*before, *now]):
        found = first_difference(
            before.get(name), now.get(name), f"{place}.{name}" if place else name
        )
        if found is not None:
            return found
    return None
