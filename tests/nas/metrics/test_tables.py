"""Scores on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from nas.areas import Areas
from nas.metrics.objects import score_objects, tally_objects
from nas.metrics.score_intervals import ScoreIntervals, score_intervals
from nas.metrics.semantic import confusion_matrices, score
from nas.metrics.surface import score_surfaces, surface_distances
from nas.metrics.tables import area_table, image_table, object_table, percent, score_table


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.0, "0.0"), (0.1234, "12.3"), (1.0, "100.0")]
)
def test_shares_in_percent(value: float | None, text: str) -> None:
    assert percent(value) == text


def shown(table: Table) -> tuple[dict[str, list[str]], str]:
    """The cells of each row by its first column, the line below it as NAME interval; the text."""
    out = StringIO()
    Console(file=out, width=200).print(table)
    rows: dict[str, list[str]] = {}
    last = ""
    for line in out.getvalue().splitlines():
        if line.startswith("│"):
            name, *cells = (cell.strip() for cell in line.split("│")[1:-1])
            last = name or f"{last} interval"
            rows[last] = cells
    return rows, out.getvalue()


TRUTHS = np.array([[[1, 1, 0, 0]], [[0, 0, 0, 0]], [[1, 0, 0, 1]]])
PREDICTIONS = np.array([[[1, 0, 0, 0]], [[0, 1, 0, 0]], [[1, 0, 0, 1]]])
CLASSES = ("background", "cell", "void")
CONFUSIONS = confusion_matrices(PREDICTIONS, TRUTHS, 3)
SURFACES = [surface_distances(p, t, 3) for p, t in zip(PREDICTIONS, TRUTHS, strict=True)]


def intervals(groups: Sequence[str | None]) -> ScoreIntervals:
    return score_intervals(CONFUSIONS, SURFACES, groups, seed=0, resamples=200)


def test_the_table_has_each_class_and_the_means() -> None:
    """Background: 6 of 8 found, 1 too many. Cell: 1 of 2 found, 2 too many. Void: nowhere."""
    confusions = np.array([[[6, 2, 0], [1, 1, 0], [0, 0, 0]]])
    surfaces = [surface_distances([[0]], [[0]], 3)]
    none = score_intervals(confusions, surfaces, [None], seed=0, resamples=2)
    table = score_table(score(confusions, CLASSES), none, 0.0321, "a run")
    rows, text = shown(table)
    assert rows["background"] == ["66.7", "80.0", "85.7", "75.0"]
    assert rows["cell"] == ["25.0", "40.0", "33.3", "50.0"]
    assert rows["void"] == ["-", "-", "-", "-"]
    assert rows["mean"][0] == "45.8"
    assert rows["mean of foreground"][0] == "25.0"
    assert "background interval" not in rows
    for words in ("Pixel accuracy 70.0", "a run", "calibration error 3.2", "so no interval"):
        assert words in " ".join(text.split())


def test_intervals_stand_below_the_scores() -> None:
    found = intervals([None] * 3)
    rows, text = shown(score_table(score(CONFUSIONS, CLASSES), found, 0.0, ""))
    for column, name in enumerate(("iou", "dice", "precision", "recall")):
        measure = getattr(found.pooled, name)
        for row, (low, high) in (
            ("background", measure.per_class[0]),
            ("cell", measure.per_class[1]),
            ("mean", measure.mean),
            ("mean of foreground", measure.mean_foreground),
        ):
            expected = f"{100 * low:.1f}-{100 * high:.1f}"
            assert rows[f"{row} interval"][column] == expected
    assert rows["void"] == ["-", "-", "-", "-"]
    assert "95 % interval, by a bootstrap over 3 images." in " ".join(text.split())
    _, text = shown(score_table(score(CONFUSIONS, CLASSES), intervals(["a", "a", None]), 0.0, ""))
    assert "over 2 groups of images." in " ".join(text.split())


def test_means_over_images_with_the_misses() -> None:
    """The cell of the second image is not in the truth: its distance is the diagonal of 4 by 1."""
    found = intervals([None] * 3)
    surface = score_surfaces(SURFACES, CLASSES)
    rows, _ = shown(image_table(score(CONFUSIONS, CLASSES), surface, found))
    mean = (1 / 2 + 0 + 1) / 3
    assert rows["cell"][0] == f"{100 * mean:.1f}"
    assert rows["cell"][1] == f"{100 * (2 / 3 + 0 + 1) / 3:.1f}"
    hd95 = (SURFACES[0].hd95[1] + 17**0.5 + 0) / 3
    assert rows["cell"][2] == f"{hd95:.1f}"
    assert rows["cell"][3] == f"{surface.assd.per_class[1]:.1f}"
    assert rows["cell"][4] == "0, 1"
    assert rows["background"][4] == "0, 0"
    assert rows["void"] == ["-", "-", "-", "-", "0, 0"]
    low, high = found.hd95.per_class[1] or (0, 0)
    assert rows["cell interval"][2] == f"{low:.1f}-{high:.1f}"


def test_objects_pooled_and_per_image() -> None:
    prediction = np.array([[1, 1, 0, 2, 0, 0]])
    truth = np.array([[1, 1, 0, 0, 0, 0]])
    scores = score_objects([tally_objects(prediction, truth), tally_objects(truth, truth)])
    rows, text = shown(object_table(scores))
    assert rows["pooled"][0] == f"{100 * 4 / 5:.1f}"
    assert rows["per image"][0] == f"{100 * (2 / 3 + 1) / 2:.1f}"
    assert scores.pooled.object_hausdorff is not None
    assert rows["pooled"][2] == f"{scores.pooled.object_hausdorff:.1f}"
    assert "2 objects in 2 images, 3 predicted" in text


def test_areas_of_each_class() -> None:
    areas = Areas(
        roc_auc=0.9,
        roc_auc_per_image=0.8,
        average_precision=None,
        average_precision_per_image=0.6,
    )
    rows, _ = shown(area_table({"vessel": areas}))
    assert rows["vessel"] == ["90.0", "80.0", "-", "60.0"]
