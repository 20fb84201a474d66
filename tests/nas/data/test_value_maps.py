from __future__ import annotations

import pytest

from nas.data.value_maps import check_class_names, class_count, parse_value_map
from nas.errors import UsageError


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
