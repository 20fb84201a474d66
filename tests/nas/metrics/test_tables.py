"""Scores on the terminal."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from nas.metrics.semantic import score
from nas.metrics.tables import percent, score_table


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.0, "0.0"), (0.1234, "12.3"), (1.0, "100.0")]
)
def test_shares_in_percent(value: float | None, text: str) -> None:
    assert percent(value) == text


def test_the_table_has_each_class_and_the_means() -> None:
    """Background: 6 of 8 found, 1 too many. Cell: 1 of 2 found, 2 too many. Void: nowhere."""
    confusions = np.array([[[6, 2, 0], [1, 1, 0], [0, 0, 0]]])
    out = StringIO()
    table = score_table(score(confusions, ("background", "cell", "void")), "a run")
    Console(file=out, width=200).print(table)
    rows = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:-1]]
        for line in out.getvalue().splitlines()
        if line.startswith("│")
    }
    assert rows["background"][:4] == ["66.7", "80.0", "85.7", "75.0"]
    assert rows["cell"][:4] == ["25.0", "40.0", "33.3", "50.0"]
    assert rows["void"][:2] == ["-", "-"]
    assert rows["mean"][0] == "45.8"
    assert rows["mean of foreground"][0] == "25.0"
    assert "Pixel accuracy 70.0" in out.getvalue()
    assert "a run" in out.getvalue()
