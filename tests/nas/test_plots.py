from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from nas.plots import (
    as_picture,
    choices_over_epochs,
    learning_curves,
    probabilities_over_epochs,
    save,
)
from search_spaces.parametric_genotypes import Choice, Choices

RECORDS: list[dict[str, Any]] = [
    {"epoch": 1, "segmenter_loss": 1.0, "discriminator_loss": 1.4, "mean_iou": 0.2},
    {"epoch": 2, "segmenter_loss": 0.5, "discriminator_loss": None, "mean_iou": 0.4},
    {"epoch": 3, "segmenter_loss": 0.4, "mean_iou": float("nan")},
]


def test_curves_show_what_the_records_say() -> None:
    figure = learning_curves(RECORDS)
    lines = curves(figure)
    assert list(lines) == ["segmenter", "discriminator", "mean IoU"]
    np.testing.assert_array_equal(lines["segmenter"], [[1, 1.0], [2, 0.5], [3, 0.4]])
    np.testing.assert_array_equal(lines["discriminator"], [[1, 1.4], [2, np.nan]])
    np.testing.assert_array_equal(lines["mean IoU"], [[1, 0.2], [2, 0.4], [3, np.nan]])


def test_a_line_passes_over_epochs_without_its_number() -> None:
    """Taken in three of nine epochs: three points in one piece, each with its marker."""
    records = [
        {"epoch": n, "mean_iou": 0.1 * n, **({} if n % 4 != 1 else {"val_loss": 1.0 / n})}
        for n in range(1, 10)
    ]
    figure = learning_curves(records)
    np.testing.assert_allclose(
        curves(figure)["segmentation, validation images"], [[1, 1], [5, 1 / 5], [9, 1 / 9]]
    )
    assert figure.axes[0].lines[0].get_markevery() == 1


def test_panels_without_numbers_are_left_out() -> None:
    assert titles(learning_curves(RECORDS)) == ["Losses", "Segmentation"]
    one = learning_curves(RECORDS, {"A": {"mean_iou": "a"}, "B": {"speed": "b"}}, title="run")
    assert titles(one) == ["A"]


def test_lines_of_a_panel_differ_in_colour_and_in_marker() -> None:
    (losses, _) = learning_curves(RECORDS).axes
    assert len({line.get_color() for line in losses.lines}) == len(losses.lines) == 2
    assert len({line.get_marker() for line in losses.lines}) == 2


def test_curves_of_nothing() -> None:
    with pytest.raises(ValueError, match="none of the metrics"):
        learning_curves([{"epoch": 1}])


def test_probabilities_stand_in_the_panel_of_their_edge() -> None:
    """Cells of two nodes: edges 0->2, 1->2, 0->3, 1->3, 2->3 in this order."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), size=(4, 5))
    operations = ("none", "skip_connect", "my_op")
    figure = probabilities_over_epochs([1, 2, 3, 4], probabilities, operations, "normal")
    panels = {axes.get_title(): axes for axes in figure.axes if axes.axison}
    assert list(panels) == [
        "c[k-2] to 0",
        "c[k-1] to 0",
        "c[k-2] to 1",
        "c[k-1] to 1",
        "0 to 1",
    ]
    for edge, axes in enumerate(panels.values()):
        for column, line in enumerate(axes.lines):
            np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
            np.testing.assert_array_equal(line.get_ydata(), probabilities[:, edge, column])
            assert line.get_label() == operations[column].replace("_", " ")


def test_operations_differ_in_colour_or_dashes() -> None:
    operations = [f"{kind}_{size}" for kind in ("sep_conv", "max_pool") for size in ("3x3", "5x5")]
    probabilities = np.full((2, 2, 4), 0.25)
    axes = probabilities_over_epochs([1, 2], probabilities, operations).axes[0]
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 4


@pytest.mark.parametrize("shape", [(3, 5, 2), (2, 5, 3), (2, 4, 2), (2, 0, 2)])
def test_refuses_probabilities_that_do_not_fit(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="shape|complete cell"):
        probabilities_over_epochs([1, 2], np.zeros(shape), ("none", "skip_connect"))


def test_picture_is_what_is_saved(tmp_path: Path) -> None:
    figure = learning_curves(RECORDS)
    picture = as_picture(figure, dpi=150)
    save(figure, tmp_path / "curves.png")
    assert picture.dtype == np.uint8
    assert (np.asarray(Image.open(tmp_path / "curves.png").convert("RGB")) == picture).all()
    assert 0 < (picture < 128).mean() < 0.2


@pytest.mark.parametrize(("suffix", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_formats(tmp_path: Path, suffix: str, start: bytes) -> None:
    path = tmp_path / f"curves.{suffix}"
    save(learning_curves(RECORDS), path)
    assert path.read_bytes().startswith(start)


def curves(figure: Figure) -> dict[str, np.ndarray]:
    """Points (x, y) of each line by its label."""
    return {
        str(line.get_label()): np.asarray(line.get_xydata())
        for axes in figure.axes
        for line in axes.lines
    }


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.axison]


def test_choices_have_a_panel_each_and_a_line_for_each_candidate() -> None:
    relaxations = [
        Choices({"blocks": Choice((3, 4), (0.0, alpha)), "taps": Choice((3,), (0.0,))})
        for alpha in (0.0, 1.0)
    ]
    figure = choices_over_epochs([1, 2], relaxations, "segmenter")
    (axes,) = figure.axes
    assert axes.get_title() == "blocks"
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert lines["4"] == pytest.approx([0.5, 0.7311], abs=1e-4)
    assert lines["3"] == pytest.approx([0.5, 0.2689], abs=1e-4)
