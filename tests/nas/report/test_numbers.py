from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from nas.report.blocks import Cards, Charts, Table
from nas.report.gather import open_run
from nas.report.numbers import score_blocks, score_cards

Make = Callable[..., Path]


def test_the_table_holds_the_scores_in_percent_with_their_intervals(
    make_run: Make, scores: dict[str, Any]
) -> None:
    (evaluation,) = open_run(make_run(scores=scores)).evaluations
    pooled, _, per_image = score_blocks(evaluation)
    assert isinstance(pooled, Table) and isinstance(per_image, Table)
    assert pooled.head == ["class", "IoU", "Dice", "precision", "recall"]
    assert [list(row) for row in pooled.rows] == [
        ["background", "90.0 [85.0, 95.0]", "95.0", "90.0", "90.0"],
        ["cell", "50.0 [40.0, 60.0]", "-", "60.0", "70.0"],
        ["mean", "70.0 [62.0, 78.0]", "80.0", "75.0", "80.0"],
        ["mean of the foreground", "50.0 [40.0, 60.0]", "62.5", "60.0", "70.0"],
    ]
    assert pooled.marked == [2]
    assert "with 95 % intervals by a bootstrap over 3 images" in pooled.caption
    assert "accuracy 91.0" in pooled.caption
    assert per_image.head == ["class", "IoU", "Dice"]
    assert per_image.rows[1] == ["cell", "40.0", "50.0"]


def test_the_cards_and_the_plot_say_the_same(make_run: Make, scores: dict[str, Any]) -> None:
    (evaluation,) = open_run(make_run(scores=scores)).evaluations
    cards = score_cards(evaluation)
    assert isinstance(cards, Cards)
    assert [(each.name, each.value, each.remark) for each in cards.cards] == [
        ("mean IoU", "70.0 %", "[62.0, 78.0]"),
        ("foreground IoU", "50.0 %", "[40.0, 60.0]"),
        ("foreground Dice", "62.5 %", ""),
        ("images", "3", "test images"),
    ]
    charts = score_blocks(evaluation)[1]
    assert isinstance(charts, Charts)
    plot, histogram = charts.charts
    assert "mean: 70.0 [62.0, 78.0]" in plot.svg
    bars = [
        each for each in ElementTree.fromstring(plot.svg).iter("line") if "stroke" in each.attrib
    ]
    lengths = [float(each.attrib["x2"]) - float(each.attrib["x1"]) for each in bars]
    assert [each / lengths[0] for each in lengths] == pytest.approx([1.0, 2.0, 1.6, 2.0], abs=0.02)
    assert histogram.title == "2 test images by their mean IoU"


def test_scores_of_an_old_run_have_no_intervals(make_run: Make, scores: dict[str, Any]) -> None:
    del scores["intervals"], scores["ece"]
    (evaluation,) = open_run(make_run(scores=scores)).evaluations
    table = score_blocks(evaluation)[0]
    assert isinstance(table, Table)
    assert table.rows[0][1] == "90.0"
    assert "there are no intervals" in table.caption


def test_objects_distances_and_areas_are_shown_where_they_were_measured(
    make_run: Make, scores: dict[str, Any]
) -> None:
    measures = {"f1": 0.5, "object_hausdorff": 12.34, "aji": None}
    counts = {"true_objects": 4, "predicted_objects": 6}
    scores["objects"] = {"pooled": measures, "per_image": measures, "counts": counts}
    distances = {"per_class": [1.0, 2.0], "mean": 1.5, "mean_foreground": 2.0}
    scores["surface"] = {"hd95": distances, "assd": distances, "missed": [0, 3], "spurious": [1, 0]}
    path = make_run(scores=scores)
    (path / "evaluation/test/areas.json").write_text('{"cell": {"roc_auc": 0.875}}')
    (evaluation,) = open_run(path).evaluations
    _, _, images, objects, areas = score_blocks(evaluation)
    assert isinstance(images, Table) and isinstance(objects, Table) and isinstance(areas, Table)
    assert images.head[3:] == ["HD95, px", "ASSD, px", "missed", "spurious"]
    assert images.rows[1][3:] == ["2.0", "2.0", "3", "0"]
    assert objects.rows[0][:5] == ["pooled", "50.0", "-", "12.3", "-"]
    assert "4 objects, 6 predicted" in objects.caption
    assert areas.rows == [["cell", "87.5", "-", "-", "-"]]
    cards = score_cards(evaluation)
    assert isinstance(cards, Cards)
    assert ("HD95, foreground", "2.0 px") in [(each.name, each.value) for each in cards.cards]
