"""Recipes that are swept: tables, variants, options of the runs, and what contradicts itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.errors import UsageError
from nas.settings import RetrainSettings, SearchSettings
from nas.sweep.recipe import SweptRecipe

Recipes = Callable[..., SweptRecipe]
RATE, BATCH = "training.segmenter_lr", "training.batch_size"
GRID = {RATE: [0.1, 0.01], BATCH: [1, 2, 4]}
RANGES = {RATE: {"low": 0.001, "high": 0.1, "log": True}}
TABLES: dict[str, Any] = {
    "backbone": "unet?width=2",
    "training": {"epochs": 3, "segmenter_lr": 0.5},
    "adversary": {"discriminator": "resnet10?width=4"},
}


def test_defaults_are_a_grid_of_all_its_points(recipe_of: Recipes) -> None:
    recipe = recipe_of(GRID, tables=TABLES)
    assert (recipe.plan.method, recipe.plan.trials, recipe.plan.seeds) == ("grid", 6, (0,))
    assert recipe.stage == "retrain"
    assert len(list(recipe.checked_points())) == 6


def test_ranges_are_for_tpe_and_looked_at_where_they_are_lowest(recipe_of: Recipes) -> None:
    recipe = recipe_of({BATCH: [3, 1]}, RANGES, tables=TABLES, trials=5)
    assert recipe.plan.method == "tpe"
    assert list(recipe.checked_points()) == [{BATCH: 3, RATE: 0.001}]


def test_a_point_becomes_settings(recipe_of: Recipes, tmp_path: Path) -> None:
    """Options stand over the recipe, the point over both; a ratio builds on what comes out."""
    space = {
        "training.discriminator_lr / training.segmenter_lr": [0.5, 2],
        "adversary.discriminator?width": [8],
    }
    options = ["--segmenter-lr", "0.2", "--data_root=images", "--dataset", "folder"]
    recipe = recipe_of(space, tables=TABLES, passed_on=options, seeds=[7, 8])
    first = next(recipe.checked_points())
    settings = recipe.settings_at(first)
    assert isinstance(settings, RetrainSettings)
    assert settings.training.epochs == 3
    assert settings.training.segmenter_lr == 0.2
    assert settings.training.discriminator_lr == pytest.approx(0.1)
    assert settings.adversary.discriminator == "resnet10?width=8"
    assert settings.data.data_root == Path.cwd() / "images"
    assert settings.run.seed == 7
    plan = recipe.plan_at(first)
    assert plan.retrain == settings and plan.search is None
    assert {"segmenter_lr", "epochs", "discriminator_lr", "data_root"} <= set(plan.given)


def test_an_option_of_a_network_may_belong_to_one_of_the_options(recipe_of: Recipes) -> None:
    recipe = recipe_of({"backbone?width": [8]}, tables=TABLES, passed_on=["--backbone", "fcn32s"])
    assert recipe.settings_at({"backbone?width": 8}).backbone == "fcn32s?width=8"


def test_a_search_has_its_own_settings(recipe_of: Recipes) -> None:
    tables = {"backbone": "unet", "sweep": {"stage": "search"}}
    recipe = recipe_of({"architecture.warmup_epochs": [0, 1]}, tables=tables)
    settings = recipe.plan_at({"architecture.warmup_epochs": 1}).settings
    assert isinstance(settings, SearchSettings)
    assert settings.architecture.warmup_epochs == 1


def test_variants_change_settings_and_what_is_varied(recipe_of: Recipes) -> None:
    variant = {"grid": {BATCH: [8]}, "sweep": {"seeds": [1, 2]}, "training": {"epochs": 1}}
    recipe = recipe_of(GRID, tables={**TABLES, "variants": {"tiny": variant}}, variants=["tiny"])
    assert recipe.plan.trials == 2
    assert recipe.plan.seeds == (1, 2)
    settings = recipe.settings_at({RATE: 0.1, BATCH: 8})
    assert settings.training.epochs == 1


def test_seeds_are_the_recipes_own_unless_given(recipe_of: Recipes) -> None:
    tables = {**TABLES, "run": {"seed": 4}}
    assert recipe_of(GRID, tables=tables).plan.seeds == (4,)
    assert recipe_of(GRID, tables=tables, seeds=[1]).plan.seeds == (1,)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"grid": GRID, "trials": 5}, "has 6 points, and all are tried"),
        ({"grid": GRID, "method": "random"}, "needs --trials"),
        ({"ranges": RANGES, "method": "grid"}, "is a range, and a grid has values"),
        ({"grid": GRID, "seeds": []}, "one seed at least"),
        ({"grid": GRID, "seeds": [1, 1]}, "each once"),
        ({"grid": GRID, "passed_on": ["--seed", "3"]}, "--seed cannot stand behind --: .*--seeds"),
        ({"grid": GRID, "passed_on": ["--run_dir=x"]}, "--run-dir cannot stand behind --"),
        ({"grid": GRID, "passed_on": ["--batch-size", "3"]}, "varies training.batch_size"),
        (
            {
                "grid": {"training.discriminator_lr / training.segmenter_lr": [1]},
                "passed_on": ["--discriminator-lr", "1"],
            },
            "--discriminator-lr stands behind --",
        ),
        ({"grid": GRID, "variants": ["fast"]}, "no variant 'fast'"),
        ({"grid": GRID, "tables": {**TABLES, "sweep": {"trails": 3}}}, "trails"),
        ({"grid": GRID, "tables": {**TABLES, "sweep": 3}}, "sweep must be a table"),
        ({"tables": TABLES}, "varies nothing"),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: dict[str, Any], words: str, recipe_of: Recipes
) -> None:
    with pytest.raises(UsageError, match=words):
        recipe_of(**{"tables": TABLES, **arguments})


@pytest.mark.parametrize(
    ("grid", "tables", "words"),
    [
        ({"training.segmenter_rl": [0.1]}, TABLES, "segmenter_rl"),
        ({"trainin.segmenter_lr": [0.1]}, TABLES, "trainin"),
        ({BATCH: [0]}, TABLES, "batch_size"),
        ({BATCH: [2]}, {"training": {"epochs": 1}}, "names no segmenter"),
        ({"training.a / training.b": [1]}, TABLES, "does not set"),
    ],
)
def test_points_that_are_no_settings_are_refused(
    grid: dict[str, Any], tables: dict[str, Any], words: str, recipe_of: Recipes
) -> None:
    recipe = recipe_of(grid, tables=tables)
    with pytest.raises(UsageError, match=words):
        recipe.settings_at(next(recipe.checked_points()))
