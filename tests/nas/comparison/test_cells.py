"""Cells, their plans, and what a cell may go on with."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nas.comparison.cells import (
    Cell,
    cells_of,
    first_difference,
    plan_of,
    read_plan,
    write_plan,
)
from nas.comparison.recipe import Budget, Recipe
from nas.errors import RunError
from nas.runs import RunFolder
from nas.settings import DataSettings, RunSettings

RECIPE = Recipe(
    methods=("none", "patchgan?width=4", "random:2", "search"),
    backbones=("unet?width=2", "fcn32s"),
    datasets={"a": DataSettings(), "b": DataSettings(image_size="32")},
    seeds=(4, 7),
    budget=Budget(epochs=3, search_epochs=2),
)


def test_every_combination_once_seeds_together() -> None:
    cells = cells_of(RECIPE)
    assert len(cells) == len({cell.name for cell in cells}) == 2 * 2 * 2 * 5
    assert [cell.seed for cell in cells] == [4] * 20 + [7] * 20
    assert [cell.name for cell in cells[:5]] == [
        "a/unet-width-2/seed4/none",
        "a/unet-width-2/seed4/patchgan-width-4",
        "a/unet-width-2/seed4/random-00",
        "a/unet-width-2/seed4/random-01",
        "a/unet-width-2/seed4/search",
    ]


def test_more_random_genotypes_keep_those_there_are() -> None:
    more = msgspec.structs.replace(RECIPE, methods=("random:3",))
    names = {cell.name for cell in cells_of(RECIPE) if cell.draw is not None}
    assert names < {cell.name for cell in cells_of(more)}


def test_a_plan_has_the_settings_of_its_cell() -> None:
    plan = plan_of(RECIPE, Cell("b", "fcn32s", "patchgan?width=4", None, 7))
    assert plan.search is None
    assert plan.retrain.backbone == "fcn32s"
    assert plan.retrain.adversary.discriminator == "patchgan?width=4"
    assert plan.retrain.data.image_size == "32"
    assert (plan.retrain.run.seed, plan.retrain.training.epochs) == (7, 3)
    searching = plan_of(RECIPE, Cell("b", "fcn32s", "search", None, 7))
    assert searching.search is not None
    assert searching.search.training.epochs == 2
    assert (searching.search.run.seed, searching.search.backbone) == (7, "fcn32s")
    assert searching.retrain.adversary.discriminator is None


def test_cells_of_one_seed_differ_in_the_adversary_alone() -> None:
    plans = [plan_of(RECIPE, cell).retrain for cell in cells_of(RECIPE)[:5]]
    bare = [msgspec.structs.replace(each, adversary=plans[0].adversary) for each in plans]
    assert all(each == bare[0] for each in bare)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = plan_of(RECIPE, Cell("b", "fcn32s", "search", None, 7))
    data = msgspec.structs.replace(plan.retrain.data, data_root=Path("/there"))
    plan = msgspec.structs.replace(plan, retrain=msgspec.structs.replace(plan.retrain, data=data))
    write_plan(plan, tmp_path)
    assert read_plan(tmp_path) == plan


def test_a_cell_that_has_begun_goes_on_with_its_own_settings_alone(tmp_path: Path) -> None:
    cell = Cell("a", "fcn32s", "none", None, 4)
    other = msgspec.structs.replace(RECIPE, budget=Budget(epochs=4))
    write_plan(plan_of(RECIPE, cell), tmp_path)
    write_plan(plan_of(other, cell), tmp_path)
    RunFolder(tmp_path).begin("retrain", plan_of(other, cell).retrain)
    faster = msgspec.structs.replace(other, run=RunSettings(threads=3, device="cpu"))
    write_plan(plan_of(faster, cell), tmp_path)
    assert read_plan(tmp_path).retrain.run.threads == 3
    with pytest.raises(RunError, match="budget.epochs = 4, and now it is 3"):
        write_plan(plan_of(RECIPE, cell), tmp_path)
    assert read_plan(tmp_path).budget.epochs == 4


def test_differences_are_named_by_their_place() -> None:
    assert first_difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 2}}) is None
    found = first_difference({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}})
    assert found == "a.c = None, and now it is 2"


def test_a_damaged_plan_is_told(tmp_path: Path) -> None:
    (tmp_path / "cell.json").write_text("{")
    with pytest.raises(RunError, match=r"cell\.json"):
        read_plan(tmp_path)
