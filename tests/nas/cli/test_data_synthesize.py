"""nas-data synthesize: what is written is read by the command that is printed."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.data.readers import READERS
from nas.data.synthesis.table import LAYOUTS

Command = Callable[..., Any]


def next_command(out: str) -> list[str]:
    line = next(line for line in out.splitlines() if line.startswith("Next: nas-data "))
    return shlex.split(line)[2:]


@pytest.mark.parametrize("layout", ["folder", "cxseg", "ctc", "glas"])
def test_what_is_written_is_read(command: Command, layout: str) -> None:
    words = ("--cases", 6, "--size", 64, 64, "-o", "a b")
    result = command("data", "synthesize", layout, *words)
    assert result.code == 0, result
    checked = command("data", *next_command(result.out))
    assert "Verdict: ready to train on" in checked.out, checked


def test_every_layout_has_a_reader() -> None:
    for function, _ in LAYOUTS.values():
        assert function.partition(":")[0].rpartition(".")[2] in READERS


def test_the_seed_decides(command: Command) -> None:
    def image(seed: int, folder: str) -> bytes:
        words = ("--cases", 3, "--size", 64, 64, "--seed", seed, "-o", folder)
        assert command("data", "synthesize", "folder", *words).code == 0
        return min(Path(folder, "images").iterdir()).read_bytes()

    assert image(1, "a") == image(1, "b") != image(2, "c")


def test_what_cannot_be_written(command: Command) -> None:
    result = command("data", "synthesize", "glass", "-o", "new")
    result.refused(2, "Did you mean glas?", "jsrt_mini")
    assert not Path("new").exists()
    Path("full").mkdir()
    Path("full/file").write_text("kept")
    command("data", "synthesize", "folder", "-o", "full").refused(2, "full is not empty")
    command("data", "synthesize", "folder", "--cases", 0, "-o", "new").refused(2, "--cases")
    assert Path("full/file").read_text() == "kept"
