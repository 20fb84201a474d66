from __future__ import annotations

import numpy as np
import pytest

from nas.data.value_maps import (
    check_class_names,
    class_count,
    parse_value_map,
    shown,
    to_classes,
)
from nas.errors import DataError, UsageError


def test_pairs_of_stored_value_and_class() -> None:
    assert parse_value_map("0:0, 128:2,255:1") == {0: 0, 128: 2, 255: 1}
    assert parse_value_map("0:0,7:1,9:1") == {0: 0, 7: 1, 9: 1}


def test_the_class_255_is_unknown_and_none_of_the_classes() -> None:
    assert parse_value_map("0:0,1:1,9:255") == {0: 0, 1: 1, 9: 255}
    assert class_count({0: 0, 1: 1, 2: 2, 7: 255}) == 3
    assert class_count({0: 0, 1: 1, 7: 1}) == 2


@pytest.mark.parametrize(
    "text", ["", "0", "0:0,0:1", "0:a", "1:1,2:2", "0:0,5:2", "0:0", "0:0,255:1,", "-1:0,1:1"]
)
def test_value_maps_that_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="value map"):
        parse_value_map(text)


@pytest.mark.parametrize("names", [("background",), ("a", "a"), ("a", "b", "c")])
def test_names_that_do_not_fit_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="class names"):
        check_class_names(names, {0: 0, 1: 1, 7: 255})


@pytest.mark.parametrize("names", [(), ("background", "cell")])
def test_names_that_fit_are_accepted(names: tuple[str, ...]) -> None:
    check_class_names(names, {0: 0, 1: 1, 7: 255})
    check_class_names(names, None)


def test_many_values_are_shortened() -> None:
    assert shown([3, 1]) == "1, 3"
    assert shown(range(20)) == "0, 1, 2, 3, 4, 5, 6, 7, ... (20 in all)"


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
@pytest.mark.parametrize("value_map", [{0: 0, 7: 2, 200: 1, 9: 255}, {0: 0, 3: 1}])
def test_every_pixel_gets_the_class_of_its_value(dtype: type, value_map: dict[int, int]) -> None:
    stored = np.random.default_rng(0).choice(np.array(list(value_map), dtype), (5, 6))
    found = to_classes(stored, value_map, "It", "Do.")
    assert found.dtype == np.uint8
    assert found.tolist() == [[value_map[value] for value in row] for row in stored.tolist()]


def test_values_that_no_table_holds_are_looked_up() -> None:
    stored = np.array([[-3, 0], [70_000, -3]])
    found = to_classes(stored, {0: 0, -3: 1, 70_000: 2}, "It", "Do.")
    assert found.tolist() == [[1, 0], [2, 1]]


def test_other_values_are_named_with_what_was_expected() -> None:
    with pytest.raises(DataError, match=r"^It holds the values 4, 5; expected 0, 1. Do this.$"):
        to_classes(np.array([[5, 0], [4, 5]]), {0: 0, 1: 1}, "It", "Do this.")
