from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nas.pictures import (
    GAP,
    LINE,
    best_median_worst,
    class_colours,
    contours,
    grey_or_colour,
    legend,
    overlay,
    panels,
    sheet,
    text_line,
    write_png,
)


def test_background_is_black_and_no_two_classes_look_alike() -> None:
    colours = class_colours(20).astype(int)
    assert colours[0].tolist() == [0, 0, 0]
    distances = np.abs(colours[:, None] - colours[None]).sum(-1) + 1000 * np.eye(20)
    assert distances.min() > 15
    assert (class_colours(3) == colours[:3]).all()


def test_grey_image() -> None:
    picture = grey_or_colour(np.array([[[0.0, 1.0], [0.5, 2.0]]], np.float32))
    assert picture.dtype == np.uint8
    assert picture[..., 0].tolist() == [[0, 255], [128, 255]]
    assert (picture == picture[..., :1]).all()


def test_colour_image_keeps_the_order_of_its_channels() -> None:
    image = np.stack([np.full((2, 3), value, np.float32) for value in (1.0, 0.0, 0.2)])
    picture = grey_or_colour(image)
    assert picture.shape == (2, 3, 3)
    assert picture[1, 2].tolist() == [255, 0, 51]


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_images_that_are_no_colours_show_their_first_channel(channels: int) -> None:
    image = np.full((channels, 2, 3), 0.9, np.float32)
    image[0] = 0.2
    assert (grey_or_colour(image) == 51).all()
    row = panels(image, {"truth": np.zeros((2, 3), int)}, 2, side=9)
    assert (row[LINE:, :9] == 51).all()


@pytest.mark.parametrize("shape", [(4, 4), (0, 4, 4)])
def test_refuses_what_is_no_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        grey_or_colour(np.zeros(shape))


def test_contours_are_the_rim_of_objects() -> None:
    labels = np.zeros((7, 7), int)
    labels[1:6, 1:6] = 1
    expected = labels.astype(bool)
    expected[2:5, 2:5] = False
    assert (contours(labels) == expected).all()


def test_touching_objects_both_have_a_rim_and_the_border_of_the_image_is_none() -> None:
    labels = np.array([[1, 1, 1, 2, 2, 2]])
    assert contours(labels).tolist() == [[False, False, True, True, False, False]]


def test_overlay_mixes_inside_and_covers_on_the_rim() -> None:
    labels = np.zeros((7, 7), int)
    labels[1:6, 1:6] = 1
    picture = np.full((7, 7, 3), 100, np.uint8)
    colours = np.array([[0, 0, 0], [200, 0, 50]], np.uint8)
    drawn = overlay(picture, labels, colours, fill=0.25)
    assert drawn[0, 0].tolist() == [100, 100, 100]
    assert drawn[1, 1].tolist() == [200, 0, 50]
    assert drawn[3, 3].tolist() == [125, 75, 88]
    assert (picture == 100).all()


def test_what_is_unknown_is_grey() -> None:
    labels = np.zeros((7, 7), np.uint8)
    labels[1:6, 1:6] = 255
    drawn = overlay(np.full((7, 7, 3), 8, np.uint8), labels, class_colours(2), fill=0.5)
    assert drawn[0, 0].tolist() == [8, 8, 8]
    assert drawn[1, 1].tolist() == [128, 128, 128]
    assert drawn[3, 3].tolist() == [68, 68, 68]


def test_panels_show_image_truth_and_prediction_side_by_side() -> None:
    image = np.full((1, 20, 40), 0.5, np.float32)
    truth, prediction = np.zeros((20, 40), int), np.full((20, 40), 2)
    row = panels(image, {"truth": truth, "prediction": prediction}, 3, "case 7", side=80)
    assert row.shape == (LINE + 40, 3 * 80 + 2 * GAP, 3)
    centres = [row[LINE + 20, 40 + place * (80 + GAP)] for place in range(3)]
    assert centres[0].tolist() == centres[1].tolist() == [128, 128, 128]
    colour = class_colours(3)[2].astype(float)
    assert np.abs(centres[2] - (0.6 * 128 + 0.4 * colour)).max() <= 1


@pytest.mark.parametrize("shape", [(20, 40), (40, 20), (500, 333), (33, 1)])
def test_panels_have_one_longer_side_whatever_the_size_of_the_image(
    shape: tuple[int, int],
) -> None:
    row = panels(np.zeros((1, *shape), np.float32), {"truth": np.zeros(shape, int)}, 2, side=64)
    assert max(row.shape[0] - LINE, (row.shape[1] - GAP) // 2) == 64


def test_masks_keep_their_classes_when_enlarged() -> None:
    """Between classes 1 and 3 no pixel of class 2 appears."""
    mask = np.array([[1, 3], [3, 1]])
    row = panels(np.zeros((1, 2, 2), np.float32), {"truth": mask}, 4, side=37)
    shown = {tuple(colour) for colour in row[LINE:, 37 + GAP :].reshape(-1, 3).tolist()}
    colours = class_colours(4)
    expected = {tuple(c.tolist()) for k in (1, 3) for c in (colours[k], np.round(0.4 * colours[k]))}
    assert shown == {tuple(int(v) for v in colour) for colour in expected}


def test_panels_refuse_a_mask_of_another_size() -> None:
    with pytest.raises(ValueError, match="truth"):
        panels(np.zeros((1, 4, 4), np.float32), {"truth": np.zeros((4, 5), int)}, 2)


def test_sheet_holds_its_rows_and_the_colours_of_the_classes() -> None:
    rows = [np.full((30, 200, 3), value, np.uint8) for value in (10, 20)]
    page = sheet(rows, ("background", "heart", "lung"))
    assert page.shape[1] == 200 + 2 * GAP
    assert [int(page[GAP + 15 + place * (30 + GAP), 100, 0]) for place in (0, 1)] == [10, 20]
    below = {tuple(colour) for colour in page[2 * (30 + GAP) :].reshape(-1, 3).tolist()}
    assert {tuple(colour) for colour in class_colours(3)[1:].tolist()} <= below


def test_sheet_of_nothing() -> None:
    with pytest.raises(ValueError, match="at least one"):
        sheet([], ("background", "a"))


def test_legend_wraps() -> None:
    names = ["background", *(f"structure {index}" for index in range(9))]
    page = legend(names, 220)
    assert page.shape[1] <= 220 + 5 * GAP
    assert page.shape[0] > LINE
    colours = {tuple(colour) for colour in page.reshape(-1, 3).tolist()}
    assert {tuple(colour) for colour in class_colours(10)[1:].tolist()} <= colours


def test_text_is_written_and_long_text_cut() -> None:
    assert (text_line("", 100) == 255).all()
    assert (text_line("case", 100) < 128).any()
    cut = text_line("a long name of a case " * 9, 100)
    assert cut.shape == (LINE, 100, 3)
    assert (cut[:, -2:] == 255).all()


def test_best_median_worst_by_hand() -> None:
    values = [0.5, 0.9, None, 0.1, 0.7, float("nan"), 0.6]
    assert best_median_worst(values) == [("best", 1), ("median", 6), ("worst", 3)]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1), st.just(float("nan"))), max_size=12),
    st.integers(1, 4),
)
def test_best_median_worst(values: list[float | None], each: int) -> None:
    chosen = best_median_worst(values, each)
    indices = [index for _, index in chosen]
    defined = [value for value in values if value is not None and value == value]
    scores = [value for index in indices if (value := values[index]) is not None]
    assert len(set(indices)) == len(indices) == min(len(defined), 3 * each)
    assert scores == sorted(scores, reverse=True)
    best = [values[index] for kind, index in chosen if kind == "best"]
    worst = [values[index] for kind, index in chosen if kind == "worst"]
    assert best == sorted(defined, reverse=True)[: len(best)]
    assert worst == sorted(defined, reverse=True)[len(defined) - len(worst) :]
    if len(defined) >= 3 * each:
        median = scores[each : 2 * each]
        below = [value for value in defined if value < min(median)]
        above = [value for value in defined if value > max(median)]
        assert max(len(below), len(above)) <= (len(defined) - each + 1) // 2


def test_write_png(tmp_path: Path) -> None:
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    write_png(picture, tmp_path / "a.png")
    assert (np.asarray(Image.open(tmp_path / "a.png")) == picture).all()
