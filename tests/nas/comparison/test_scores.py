"""Primary scores by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nas.comparison.record import ScoreName
from nas.comparison.scores import IN_WORDS, SCORES, primary

MATRIX = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean_iou", (6 / 9 + 3 / 6) / 2),
        ("foreground_iou", 3 / 6),
        ("mean_dice", (12 / 15 + 6 / 9) / 2),
        ("foreground_dice", 6 / 9),
    ],
)
def test_by_hand(name: ScoreName, expected: float) -> None:
    assert primary(MATRIX, name) == pytest.approx(expected)
    assert primary(np.stack([MATRIX, MATRIX]), name) == pytest.approx([expected] * 2)


def test_a_wrong_name_is_refused_and_each_has_words() -> None:
    assert set(SCORES) == set(IN_WORDS)
    with pytest.raises(ValueError, match="there is no score"):
        primary(MATRIX, "iou")  # type: ignore[arg-type]
