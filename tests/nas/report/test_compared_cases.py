from pathlib import Path

import msgspec
import pytest

from nas.comparison.record import read
from nas.report.compared_cases import mean_scores, shown_cells

EXAMPLE = Path(__file__).parents[1] / "comparison/example.json"


def test_cases_are_ordered_by_their_mean_over_the_rows_that_have_one() -> None:
    table = read(EXAMPLE).tables[0]
    scores = {"none": (0.2, None, 0.4, 0.1), "search": (0.4, None, None, 0.2)}
    rows = tuple(
        msgspec.structs.replace(row, case_scores=scores.get(row.label, ())) for row in table.rows
    )
    found = mean_scores(msgspec.structs.replace(table, rows=rows))
    assert list(found) == ["case01", "case02", "case03", "case04"]
    assert found["case02"] is None
    assert [found["case01"], found["case03"], found["case04"]] == pytest.approx([0.3, 0.4, 0.15])


def test_a_row_shows_a_network_of_its_first_seed() -> None:
    rows = read(EXAMPLE).tables[0].rows
    shown = {row.label: cell for row, cell in shown_cells(rows)}
    assert list(shown) == [
        *("none", "patchgan?receptive_field=70", "random:2, best by validation", "search")
    ]
    best = next(row for row in rows if row.kind == "random best")
    assert shown[best.label] == best.seeds[0].cells[0]
    assert shown["none"].endswith("seed0/none")
