"""The same numbers in every form."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from nas.comparison.record import read
from nas.comparison.tables import as_csv, cells, headings, in_latex, latex, markdown, write

EXAMPLE = read(Path(__file__).with_name("example.json"))


def test_a_row_says_all_of_a_method() -> None:
    (table,) = EXAMPLE.tables
    rows = {row[0]: row[1:] for row in cells(EXAMPLE, table)}
    searched = next(label for label in rows if label.startswith("search"))
    assert searched.endswith("(best)")
    assert rows[searched] == [
        *("3", "64.2 [62.5, 65.7]", "0.8", "3.1 [1.2, 4.9]", "0.032", "1.000", "3.40", "1.00"),
        *("5.3 (3.7)", "612"),
    ]
    assert rows["none"][3:8] == ["-"] * 5
    assert rows["resnet50"] == ["0", *["-"] * 9]
    assert all(len(row) + 1 == len(headings(EXAMPLE)) for row in rows.values())


def test_markdown_has_verdict_table_and_what_is_missing() -> None:
    text = markdown(EXAMPLE)
    assert "2 failed and 1 have not come to an end" in text
    for sentence in (*EXAMPLE.tables[0].verdict, *EXAMPLE.tables[0].notes):
        assert f"- {sentence}" in text
    lines = [line for line in text.split("\n") if line.startswith("|")]
    assert len(lines) == 2 + len(EXAMPLE.tables[0].rows)
    assert len({line.count("|") for line in lines}) == 1


def test_csv_has_the_numbers_in_full() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(EXAMPLE))))
    row = next(row for row in rows if row["method"] == "search")
    test = next(t for t in EXAMPLE.tables[0].tests if t.first == row["row"])
    assert float(row["difference_low"]) == test.difference.low  # type: ignore[union-attr]
    assert float(row["welch_p_adjusted"]) == 0.032
    assert (row["seeds_needed"], row["seconds"], row["search_seconds"]) == ("4", "320.0", "220.0")
    empty = next(row for row in rows if row["method"] == "resnet50")
    assert empty["score"] == empty["welch_p"] == empty["seconds"] == ""
    assert "Out of memory" in empty["missing"]


def test_latex_has_as_many_columns_as_it_declares() -> None:
    text = latex(EXAMPLE)
    lines = [line for line in text.split("\n") if line.endswith(r"\\")]
    assert len(lines) == 1 + len(EXAMPLE.tables[0].rows)
    assert {line.replace(r"\&", "").count("&") for line in lines} == {10}
    assert r"\begin{tabular}{lrrrrrrrrrr}" in text
    assert text.count("{") == text.count("}")
    assert r"patchgan?receptive\_field=70" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a_b & 5 %", r"a\_b \& 5 \%"), ("<0.001", "$<$0.001"), ("\\{", r"\textbackslash{}\{")],
)
def test_special_characters(text: str, expected: str) -> None:
    assert in_latex(text) == expected


def test_four_files_are_written(tmp_path: Path) -> None:
    paths = write(EXAMPLE, tmp_path)
    assert sorted(path.suffix for path in paths) == [".csv", ".json", ".md", ".tex"]
    assert read(tmp_path / "comparison.json") == EXAMPLE
