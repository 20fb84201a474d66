"""What a user may write after a network's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import UsageError
from nas.specifications import (
    REQUIRED,
    Option,
    check_options,
    did_you_mean,
    keyword_options,
    list_options,
    parse_specification,
    read_literal,
    read_value,
    split_at_commas,
)

plain = st.recursive(
    st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans()),
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(tuple),
    max_leaves=6,
)


def test_a_name_alone() -> None:
    assert parse_specification("unet") == ("unet", {})


def test_a_name_with_options() -> None:
    assert parse_specification("unet?width=16&depth=3") == ("unet", {"width": "16", "depth": "3"})


def test_a_value_may_have_an_equals_sign() -> None:
    assert parse_specification("python:a:b?c=d=e") == ("python:a:b", {"c": "d=e"})


@pytest.mark.parametrize("text", ["unet?width", "unet?=3", "unet?width=1&width=2", "unet?a=1&"])
def test_refuses_what_is_no_option(text: str) -> None:
    with pytest.raises(UsageError):
        parse_specification(text)


@given(plain)
@settings(max_examples=50, deadline=None)
def test_literals_are_those_of_python(value: object) -> None:
    read = read_literal(str(value))
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("none", None),
        ("1e-3", 0.001),
        ("16,32", (16, 32)),
        ("16,", (16,)),
        ("true,false", (True, False)),
        ("(true,none),3", ((True, None), 3)),
        ("(group,(a,1))", ("group", ("a", 1))),
        ("('group',{'num_groups':8})", ("group", {"num_groups": 8})),
        ("efficientnet-b0", "efficientnet-b0"),
        ("(a", "(a"),
        ("007", "007"),
        ("", ""),
    ],
)
def test_a_literal_is_what_it_looks_like(text: str, value: object) -> None:
    assert read_literal(text) == value


def test_commas_in_brackets_do_not_part() -> None:
    assert split_at_commas("a,(b,[c,d]),{e,f}") == ["a", "(b,[c,d])", "{e,f}"]


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("3", int, 3),
        ("2", float, 2.0),
        ("12", str, "12"),
        ("none", str, "none"),
        ("none", str | None, None),
        ("none", Literal["batch", "none"], "none"),
        ("70", Literal[16, 70], 70),
        ("1", bool, True),
        ("true", bool, True),
        ("1,1", tuple[int, int], (1, 1)),
        ("6", tuple[int, ...], (6,)),
        ("2", Sequence[int], [2]),
        ("2", Sequence[int] | int, 2),
        ("group", str | tuple, "group"),
        ("2", Any, 2),
        ("2", REQUIRED, 2),
        ("softmax", str | Callable | None, "softmax"),
        ("3", "an annotation that says nothing", 3),
    ],
)
def test_annotations_are_respected(text: str, annotation: Any, value: object) -> None:
    read = read_value(text, annotation)
    assert read == value
    assert type(read) is type(value)


def test_options_have_the_types_of_their_annotations() -> None:
    def constructor(
        in_channels: int, *, count: int = 1, share: float = 0.5, deep: bool = False, name: str = "a"
    ) -> None:
        raise NotImplementedError

    spec = parse_specification("net?count=3&share=2&deep=true&name=12")
    values = check_options(spec, keyword_options(constructor))
    assert values == {"count": 3, "share": 2.0, "deep": True, "name": "12"}
    assert [type(value) for value in values.values()] == [int, float, bool, str]


@pytest.mark.parametrize("option", ["count=1.5", "count=true", "count=1,2", "name=&count="])
def test_values_that_do_not_fit_are_named(option: str) -> None:
    known = {"count": Option(int, 1), "name": Option(str, "a")}
    with pytest.raises(UsageError, match=r"count=.* of net does not fit.*count=1, name=a"):
        check_options(parse_specification(f"net?{option}"), known)


def test_what_an_option_may_be_is_told_where_only_some_values_are_allowed() -> None:
    known = {"field": Option(Literal[16, 70], 70)}
    with pytest.raises(UsageError, match=r"field=34 of net does not fit.*expected one of 16, 70\."):
        check_options(parse_specification("net?field=34"), known)


def test_unknown_options_are_taken_where_others_are() -> None:
    spec = parse_specification("net?count=3&more=1,2")
    known = {"count": Option(str, "1")}
    assert check_options(spec, known, others=True) == {"count": "3", "more": (1, 2)}
    with pytest.raises(UsageError, match="no option 'more'"):
        check_options(spec, known)


def test_suggestions() -> None:
    assert did_you_mean("widht", ["depth", "width"]) == " (did you mean 'width'?)"
    assert did_you_mean("zzz", ["depth", "width"]) == ""


def test_options_in_a_line() -> None:
    known = {"channels": Option(int, REQUIRED), "depth": Option(int, 4)}
    assert list_options(known) == "channels (required), depth=4"
    assert list_options({}) == "none"
