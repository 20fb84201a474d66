"""A recipe says what it says, or is refused in a sentence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from nas.cli.common import with_variants
from nas.comparison.recipe import Method, Recipe, parse_method, read_recipe, slug
from nas.errors import UsageError
from nas.runs import read_toml

PATH = Path("recipe.toml")
GOOD: dict[str, Any] = {
    "methods": ["none", "resnet10?width=16", "cells.json", "random:10", "search"],
    "backbones": ["unet?width=16", "own.json?width=4"],
    "seeds": [0, 2],
    "budget": {"epochs": 3},
    "datasets": {"mine": {"dataset": "folder", "data_root": "images"}},
    "training": {"batch_size": 4},
}


def read(data: tuple[str, ...] = (), **changes: Any) -> Recipe:
    return read_recipe({**GOOD, **changes}, data, PATH)


def test_paths_are_absolute_and_defaults_are_there() -> None:
    recipe = read()
    here = os.getcwd()
    assert recipe.methods[2] == f"{here}/cells.json"
    assert recipe.backbones == ("unet?width=16", f"{here}/own.json?width=4")
    assert recipe.datasets["mine"].data_root == Path(here, "images")
    assert recipe.training.batch_size == 4
    assert recipe.chosen_baseline() == "none"
    assert read(methods=["resnet10", "vgg16"]).chosen_baseline() == "resnet10"


def test_data_is_where_the_command_line_says() -> None:
    recipe = read(data=("mine.data_root=/there", "mine.groups=/g.csv"))
    assert recipe.datasets["mine"].data_root == Path("/there")
    assert recipe.datasets["mine"].groups == Path("/g.csv")


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("none", Method("none", "none")),
        ("search", Method("search", "search")),
        ("random:10", Method("random:10", "random", 10)),
        ("patchgan?receptive_field=70", Method("patchgan?receptive_field=70", "named")),
        ("a/b.json?channels=8", Method("a/b.json?channels=8", "genotype")),
        ("monai:Discriminator", Method("monai:Discriminator", "named")),
    ],
)
def test_methods(text: str, method: Method) -> None:
    assert parse_method(text) == method


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unet?width=16&depth=2", "unet-width-16-depth-2"),
        ("/home/me/cells.json?channels=8", "cells-channels-8"),
        ("smp:Unet", "smp-Unet"),
        ("none", "none"),
    ],
)
def test_names_of_folders(text: str, expected: str) -> None:
    assert slug(text) == expected


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": []}, "methods is empty"),
        ({"methods": ["none", "none"]}, "'none' twice"),
        ({"methods": ["random:0"]}, "random:N was expected"),
        ({"methods": ["random:ten"]}, "random:N was expected"),
        ({"methods": ["random:2", "random:3"]}, "keep the larger one"),
        ({"methods": ["a/cells.json", "b/cells.json"]}, "share the folder cells"),
        ({"methods": [3]}, "methods"),
        ({"backbones": ["search:concatenation_fcn"]}, "cannot be compared"),
        ({"backbones": ["patches:dc_net"]}, "cannot be compared"),
        ({"seeds": [1, 1]}, "1 twice"),
        ({"seeds": [-1]}, "seeds"),
        ({"datasets": {}}, "datasets is empty"),
        ({"datasets": {"a b": {}}}, "names a folder"),
        ({"datasets": {"mine": {"datset": "folder"}}}, "datset"),
        ({"budget": {}}, "none of them"),
        ({"budget": {"epochs": 3, "flops": 1e9}}, "epochs and flops"),
        ({"budget": {"flops": 1e9, "search_epochs": 3}}, "search_share"),
        ({"budget": {"flops": 0}}, "budget"),
        ({"budget": {"flops": 1e9, "search_share": 1}}, "search_share"),
        ({"budget": {"flops": 1e9}, "loss": {"pretrain_epochs": 2}}, "pretrain_epochs"),
        ({"baseline": "resnet10?width=8"}, "did you mean 'resnet10?width=16'"),
        ({"score": "iou"}, "score"),
        ({"smallest_difference": 0}, "smallest_difference"),
        ({"training": {"epochs": 3}}, "training.epochs has no place"),
        ({"run": {"seed": 3}}, "run.seed has no place"),
        ({"run": {"device": "cuda:1"}}, "device of its own"),
        ({"adversary": {"discriminator": "vgg16"}}, "named by methods"),
        ({"space": {"space": "none"}}, "leaves no space"),
        ({"metods": ["none"]}, "did you mean 'methods'"),
        ({"backbone": "unet"}, "did you mean 'backbones'"),
    ],
)
def test_mistakes_are_told_in_a_sentence(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as error:
        read(**changes)
    assert words in str(error.value)
    assert str(error.value).startswith("recipe.toml") or "random:N" in str(error.value)
    assert str(error.value).endswith(".")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mine.data_root", "NAME.SETTING=PATH"),
        ("data_root=DIR", "NAME.SETTING=PATH"),
        ("mins.data_root=DIR", "did you mean 'mine'"),
        ("mine.image_size=32", "sets paths alone"),
    ],
)
def test_mistakes_about_data_too(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read(data=(text,))


ROOT = Path(__file__).parents[3] / "experiments/comparisons"


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.toml")), ids=lambda path: path.stem)
def test_the_recipes_of_the_project_can_be_read(path: Path) -> None:
    tables = read_toml(path)
    for variants in ([], *([name] for name in tables.get("variants", {}))):
        recipe = read_recipe(with_variants(tables, variants, path), (), path)
        assert recipe.chosen_baseline() == "none"
