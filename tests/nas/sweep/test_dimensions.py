"""Dimensions of a sweep: what a recipe may vary, and what becomes of its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.errors import UsageError
from nas.sweep.dimensions import (
    LONGEST_NAME,
    Choices,
    Range,
    at_point,
    grid_size,
    is_plain,
    lowest,
    point_name,
    points,
    read_dimensions,
    target_of,
)

RECIPE = Path("recipe.toml")


def test_lists_are_choices_and_tables_ranges() -> None:
    tables = {
        "grid": {"loss.triplets": [5, 50]},
        "ranges": {"training.segmenter_lr": {"low": 1e-5, "high": 1e-2, "log": True}},
    }
    assert read_dimensions(tables, RECIPE) == {
        "loss.triplets": Choices((5, 50)),
        "training.segmenter_lr": Range(1e-5, 1e-2, log=True),
    }


@pytest.mark.parametrize(
    ("space", "why"),
    [
        ({}, "varies nothing"),
        ({"a.b": []}, "must be a list of values"),
        ({"a.b": 3}, "must be a list of values"),
        ({"a.b": [[1]]}, "must be a list of values"),
        ({"a.b": {"low": 2, "high": 1}}, "low < high"),
        ({"a.b": {"low": 0, "high": 1, "log": True}}, "low > 0"),
        ({"a.b": {"low": 1, "high": 9, "log": True, "step": 2}}, "log and a step"),
        ({"a.b": {"low": 1, "hihg": 2}}, "hihg"),
        ({"a.b": {"low": "1", "high": 2}}, "low"),
    ],
)
def test_what_is_no_dimension_is_refused(space: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read_dimensions({"ranges": space}, RECIPE)


def test_a_table_must_be_one() -> None:
    with pytest.raises(UsageError, match="grid must be a table"):
        read_dimensions({"grid": [1]}, RECIPE)


def test_a_grid_is_every_combination_the_last_changing_fastest() -> None:
    found = list(points({"a": Choices((1, 2)), "b": Choices(("x", "y", "z"))}))
    assert [tuple(point.values()) for point in found] == [
        (1, "x"),
        (1, "y"),
        (1, "z"),
        (2, "x"),
        (2, "y"),
        (2, "z"),
    ]


def test_a_grid_has_no_ranges() -> None:
    with pytest.raises(UsageError, match="range"):
        list(points({"a": Range(0, 1)}))


def test_keys_and_ends() -> None:
    assert [is_plain(key) for key in ("a.b", "a?b", "a.b / a.c")] == [True, False, False]
    assert [target_of(key) for key in ("a.b", "a?b", "a.b / a.c")] == ["a.b", "a?b", "a.b"]
    assert [lowest(each) for each in (Choices((5, 2)), Range(0.5, 3))] == [5, 0.5]
    assert grid_size({"a": Choices((1, 2)), "b": Choices((1, 2, 3))}) == 6


def test_a_point_sets_values_options_and_ratios() -> None:
    base = {"backbone": "unet?width=4&depth=2", "training": {"segmenter_lr": 1.0, "epochs": 3}}
    found = at_point(
        base,
        {
            "training.discriminator_lr / training.segmenter_lr": 0.5,
            "backbone?width": 8,
            "training.segmenter_lr": 0.01,
            "game.adversarial_start": 2,
        },
    )
    assert found == {
        "backbone": "unet?width=8&depth=2",
        "training": {"segmenter_lr": 0.01, "epochs": 3, "discriminator_lr": 0.005},
        "game": {"adversarial_start": 2},
    }
    assert base["training"] == {"segmenter_lr": 1.0, "epochs": 3}


def test_an_option_may_belong_to_the_network_of_the_same_point() -> None:
    found = at_point({"backbone": "unet"}, {"backbone?width": 8, "backbone": "fcn32s"})
    assert found == {"backbone": "fcn32s?width=8"}


@pytest.mark.parametrize("key", ["training.a / training.b", "adversary.discriminator?width"])
def test_what_a_point_builds_on_must_be_there(key: str) -> None:
    with pytest.raises(UsageError, match="does not set"):
        at_point({"training": {"epochs": 3}}, {key: 2})


def test_names_are_read_easily() -> None:
    assert point_name({}) == "base"
    assert len(point_name({"a.b": "x" * 200})) == LONGEST_NAME + 9
    assert point_name({"backbone": "unet?width=2&depth=1"}).startswith(
        "backbone-unet-width-2-depth-1-"
    )
    assert point_name({"backbone?blocks": 3, "loss.loss": "dice"}) == "blocks-3_loss-dice"


numbers = st.one_of(st.integers(-9, 9), st.floats(1e-6, 1e6), st.text("ab/c", max_size=9))
some_points = st.dictionaries(st.sampled_from(["a.b", "n?w", "a.b / a.c"]), numbers, min_size=1)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(first=some_points, second=some_points)
def test_names_of_different_points_differ(first: dict[str, Any], second: dict[str, Any]) -> None:
    names = point_name(first), point_name(second)
    assert (names[0] == names[1]) == (list(first.items()) == list(second.items()))
    assert all("/" not in name and len(name) <= LONGEST_NAME + 9 for name in names)
