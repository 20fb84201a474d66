"""A bar on a terminal, nothing elsewhere."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from nas.cli.data_progress import progress_bar


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_shows_the_share_that_is_done(terminal: bool) -> None:
    out = StringIO()
    with progress_bar(Console(file=out, force_terminal=terminal, width=80), "reading") as tell:
        tell(0, 4)
        tell(3, 4)
    assert ("reading" in out.getvalue()) == terminal
    assert ("75%" in out.getvalue()) == terminal
    if not terminal:
        assert out.getvalue() == ""
