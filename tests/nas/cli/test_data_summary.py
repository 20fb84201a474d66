"""nas-data summary: where the page goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


@pytest.fixture
def summary(command: Command, data: Path) -> Command:
    """Runs nas-data summary on eight images."""
    return lambda *options: command(
        "data", "summary", "--dataset", "folder", "--data-root", data, *options
    )


def test_only_a_new_page_is_written(summary: Command) -> None:
    summary("-o", "page.txt").refused(2, "page.txt: a page ends in .html")
    Path("page.html").write_text("kept")
    summary("-o", "page.html").refused(2, "page.html exists and is not overwritten")
    assert Path("page.html").read_text() == "kept"
    summary("--pictures", 0, "-o", "new.html").refused(2, "--pictures")
    assert not Path("new.html").exists()


def test_a_page_is_written(summary: Command) -> None:
    result = summary("--pictures", 4, "-o", "new/page.html")
    assert result.code == 0, result
    assert "Written: new/page.html" in result.out
    assert "Ready to train on." in Path("new/page.html").read_text()
    assert [path.name for path in Path("new").iterdir()] == ["page.html"]
