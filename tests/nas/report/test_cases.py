from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from nas.data.cases import UNKNOWN
from nas.report.blocks import Text
from nas.report.cases import SIDE, WRONG_COLOUR, Seen, changed, chosen_cases, figure, legend_of


def seen() -> Seen:
    """Four pixels: right background, right 1, missed 1, and one whose class is unknown."""
    truth = np.array([[0, 1], [1, UNKNOWN]])
    prediction = np.array([[0, 1], [0, 1]])
    return Seen(np.full((1, 2, 2), 0.5, np.float32), truth, prediction)


def pixels(uri: str | None) -> np.ndarray:
    assert uri is not None
    content = b64decode(uri.partition(",")[2])
    return np.asarray(Image.open(BytesIO(content)).convert("RGBA"))


def test_wrong_pixels_are_where_truth_and_prediction_differ_and_truth_is_known() -> None:
    found = figure("best", "a", seen(), 0.5)
    assert [each.title for each in found.layers] == ["image", "truth", "prediction", "wrong pixels"]
    image, truth, prediction, wrong = found.layers
    assert image.uri is None
    assert (pixels(wrong.uri)[..., 3] > 0).tolist() == [[False, False], [True, False]]
    assert pixels(wrong.uri)[1, 0, :3].tolist() == list(WRONG_COLOUR)
    assert wrong.remark == "25.0 %"
    assert (pixels(truth.uri)[..., 3] > 0).tolist() == [[False, True], [True, True]]
    assert (pixels(prediction.uri)[..., 3] > 0).tolist() == [[False, True], [False, True]]
    assert (found.height, found.width, found.remark) == (2, 2, "mean IoU 50.0 %")


def test_large_images_are_made_smaller_with_their_masks() -> None:
    mask = np.zeros((SIDE * 2, SIDE), dtype=np.int64)
    found = figure("best", "a", Seen(np.zeros((1, *mask.shape), np.float32), mask, mask), None)
    assert (found.height, found.width) == (SIDE, SIDE // 2)
    assert pixels(found.layers[1].uri).shape[:2] == (SIDE, SIDE // 2)


def test_the_mean_iou_counts_known_pixels_and_present_classes() -> None:
    assert seen().mean_iou == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_best_median_and_worst_are_chosen() -> None:
    values = {"a": 0.1, "b": None, "c": 0.9, "d": 0.5}
    assert chosen_cases(values, 3) == [("best", "c"), ("median", "d"), ("worst", "a")]
    assert chosen_cases(values, 1) == [("best", "c")]
    assert chosen_cases({"b": None}, 9) == []


def test_a_case_that_scores_otherwise_is_told() -> None:
    found = {"a": seen(), "b": seen()}
    assert changed(found, {"a": 0.5, "b": None}) == []
    (block,) = changed(found, {"a": 0.5, "b": 0.75})
    assert isinstance(block, Text) and block.look == "warning"
    assert "the mean IoU of b was 75.0 % and is 50.0 %" in block.sentences[0]


def test_the_legend_names_what_is_drawn() -> None:
    names = [name for name, _ in legend_of(("background", "cell"), [seen()], wrong=True)]
    assert names == ["cell", "wrong", "unknown, not counted"]
    known = Seen(seen().image, np.ones((2, 2), int), np.ones((2, 2), int))
    assert [name for name, _ in legend_of(("background", "cell"), [known])] == ["cell"]
