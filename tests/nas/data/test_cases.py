import pytest

from nas.data.cases import natural_order
from nas.data.sizes import parse_size
from nas.errors import UsageError


def test_natural_order_counts_instead_of_spelling() -> None:
    assert natural_order(["b1", "a10", "a9", "a010x", "a"]) == ("a", "a9", "a10", "a010x", "b1")


@pytest.mark.parametrize(
    ("text", "size"),
    [("128", (128, 128)), ("224x332", (224, 332)), ("32", (32, 32)), (" 64 X 96 ", (64, 96))],
)
def test_size_is_height_then_width(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "128x", "1e3", "-64", "31", "64x31", "64x64x3"])
def test_size_that_cannot_be_used_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="image size"):
        parse_size(text)
