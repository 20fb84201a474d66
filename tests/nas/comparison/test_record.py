"""comparison.json is read back as it was, and nothing else is taken for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.comparison.record import encode, read
from nas.errors import RunError

EXAMPLE = Path(__file__).with_name("example.json")


def test_the_example_is_what_is_written_of_it() -> None:
    comparison = read(EXAMPLE)
    assert encode(comparison) == EXAMPLE.read_bytes()
    assert comparison.tables[0].best == "search"
    assert [cell.state for cell in comparison.cells].count("failed") == 2


@pytest.mark.parametrize(
    "change", [{"format": "other"}, {"version": 2}, {"level": "high"}, {"unknown": 1}]
)
def test_another_file_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "comparison.json"
    path.write_text(json.dumps(json.loads(EXAMPLE.read_text()) | change))
    with pytest.raises(RunError, match="comparison.json"):
        read(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be read"):
        read(tmp_path / "none.json")
