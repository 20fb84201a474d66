"""The page of a comparison, from the example of its record, without and with folders of cells."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nas.comparison.record import Comparison, encode, read
from nas.comparison.tables import cells as table_cells
from nas.errors import RunError
from nas.report.blocks import Charts, Page, Section, Table, Text
from nas.report.comparison_page import comparison_page, open_comparison
from nas.report.page import html

EXAMPLE = Path(__file__).parents[1] / "comparison/example.json"


@pytest.fixture
def example() -> Comparison:
    return read(EXAMPLE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A comparison's folder of which only comparison.json is there."""
    (tmp_path / "comparison.json").write_bytes(EXAMPLE.read_bytes())
    return tmp_path


def section(page: Page, id: str) -> Section:
    (found,) = [each for each in page.sections if each.id == id]
    return found


def written(folder: Path, comparison: Comparison) -> Page:
    (folder / "comparison.json").write_bytes(encode(comparison))
    return comparison_page(open_comparison(folder), 9)


def test_the_verdict_comes_first_as_it_was_written(folder: Path, example: Comparison) -> None:
    page = comparison_page(open_comparison(folder), 9)
    assert page.sections[0].id == "verdict"
    warning, _, verdict = page.sections[0].blocks
    assert isinstance(warning, Text) and isinstance(verdict, Text)
    assert warning.sentences == [
        "Not complete: of 18 cells 2 failed and 1 have not come to an end."
    ]
    assert verdict.sentences == example.tables[0].verdict
    text = unescape(html(page))
    assert all(sentence in text for sentence in example.tables[0].verdict)
    assert page.badges[0] == ("15 of 18 trainings finished", False)


def test_the_table_and_the_plots_have_one_set_of_numbers(folder: Path, example: Comparison) -> None:
    page = comparison_page(open_comparison(folder), 9)
    table = section(page, "table").blocks[1]
    assert isinstance(table, Table)
    assert table.rows == table_cells(example, example.tables[0])
    assert [table.rows[place][0] for place in table.marked] == ["search (best)"]
    charts = section(page, "intervals").blocks[1]
    assert isinstance(charts, Charts)
    scores, differences = charts.charts
    assert scores.title == "mIoU, in %"
    assert "none: 61.0 [59.3, 62.5]" in scores.svg
    assert scores.svg.count('class="dot"') == 15
    assert differences.title == "Difference from none, in points"
    assert "patchgan?receptive_field=70: 0.7 [0.3, 1.0]" in differences.svg
    assert "resnet50: not to be had" in differences.svg
    assert "none: " not in differences.svg.partition("Difference from none, in points. ")[2]


def test_only_differences_from_the_baseline_are_plotted(folder: Path, example: Comparison) -> None:
    table = example.tables[0]
    other = msgspec.structs.replace(table.tests[0], first="none", second="search")
    more = msgspec.structs.replace(table, tests=(*table.tests, other))
    page = written(folder, msgspec.structs.replace(example, tables=(more,)))
    charts = section(page, "intervals").blocks[1]
    assert isinstance(charts, Charts)
    assert "none: " not in charts.charts[1].svg


def test_a_reason_stands_beside_what_is_missing(folder: Path) -> None:
    text = unescape(html(comparison_page(open_comparison(folder), 9)))
    assert "resnet50: seed 0 failed with exit code 5: Out of memory" in text
    assert "No training can show its cases." in text
    assert "The folders of the trainings are not here" in text


def test_cost_shows_the_search_and_what_was_not_measured(folder: Path, example: Comparison) -> None:
    charts = section(comparison_page(open_comparison(folder), 9), "cost").blocks[1]
    assert isinstance(charts, Charts)
    time, memory = charts.charts
    costs = {row.label: row.cost for row in example.tables[0].rows}
    search = costs["search"]
    assert search is not None and search.search_seconds > 0
    assert "none: 1 min 0 s" in time.svg
    assert "resnet50: not measured" in time.svg
    assert time.svg.count('opacity="1.0"') == 1
    assert "none: 612 MB" in memory.svg


def test_the_same_start_is_checked_by_the_hashes(folder: Path, example: Comparison) -> None:
    def told(comparison: Comparison) -> tuple[str, str]:
        (block,) = section(written(folder, comparison), "split").blocks
        assert isinstance(block, Table)
        return block.rows[0][2], block.rows[0][3]

    def with_states(states: Callable[[int], str | None]) -> Comparison:
        cells = tuple(
            msgspec.structs.replace(each, initial_state=states(place), split="s")
            for place, each in enumerate(example.cells)
        )
        return msgspec.structs.replace(example, cells=cells)

    assert told(with_states(lambda place: "w")) == ("the same", "the same")
    assert told(with_states(lambda place: None))[1] == "not recorded everywhere"
    first = example.cells[0].seed
    different = with_states(lambda place: "other" if place == 0 else "w")
    assert told(different)[1] == f"different in seed {first}"


def test_every_training_is_listed_with_its_end(folder: Path, example: Comparison) -> None:
    (table,) = section(comparison_page(open_comparison(folder), 9), "trainings").blocks
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == [each.name for each in example.cells]
    failed = [row for row in table.rows if row[1].startswith("failed")]
    assert len(failed) == 2 and all("Out of memory" in row[-1] for row in failed)


def test_hostile_names_stay_text(
    folder: Path, example: Comparison, read: Callable[[str], Any]
) -> None:
    name = "<script>alert(1)</script>"
    hostile = msgspec.structs.replace(example, name=name, command=name)
    found = read(html(written(folder, hostile)))
    calm = read(html(written(folder, example)))
    assert found.tags == calm.tags
    assert found.text.count(name) == 3
    assert not [each for each in found.references if not each.startswith(("#", "data:image/"))]


def test_a_damaged_record_is_named(folder: Path) -> None:
    (folder / "comparison.json").write_text("{}")
    with pytest.raises(RunError, match=r"comparison\.json"):
        open_comparison(folder)
