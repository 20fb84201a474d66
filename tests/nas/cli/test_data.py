"""nas-data check: a verdict, all problems at once, and exit code 3 when there are any."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Command = Callable[..., Any]


def test_sound_data_is_ready(command: Command, data: Path) -> None:
    result = command("data", "check", "--dataset", "folder", "--data-root", data)
    assert result.code == 0, result
    assert "Verdict: ready to train on." in result.out
    assert "40x40: 8" in result.out
    assert "4 train, 2 val, 2 test" in result.out


def test_every_problem_is_told(command: Command, data: Path) -> None:
    for number in (2, 5):
        (data / "masks" / f"case{number}.png").unlink()
    cut = data / "images" / "case7.png"
    cut.write_bytes(cut.read_bytes()[:700])
    result = command("data", "check", "--dataset", "folder", "--data-root", data)
    result.refused(3, "Problems to mend before training: 3")
    for name in ("case2", "case5", "case7"):
        assert [
            line for line in result.out.splitlines() if line.startswith("Problem") and name in line
        ]
    assert "Verdict" not in result.out


def test_a_long_list_is_cut(command: Command, data: Path) -> None:
    for number in range(30):
        (data / "images" / f"more{number}.png").write_bytes(b"")
    result = command("data", "check", "--dataset", "folder", "--data-root", data)
    assert result.code == 3
    assert result.out.count("Problem: ") == 20
    assert "are not shown" in result.err


def test_wrong_options_are_said(command: Command, data: Path) -> None:
    command("data", "check", "--dataset", "folder").refused(2, "needs --data-root")
    command("data", "check", "--dataset", "folde").refused(2, "Did you mean folder?")
    command("data", "check", "--image-size", 7).refused(2, "too small")


def test_missing_cxseg_names_the_layout_and_the_phantom(command: Command) -> None:
    result = command("data", "check", "--dataset", "cxseg", "--data-root", "nothing")
    assert result.code == 3
    assert "--dataset phantom" in result.out + result.err
