"""What the demo removes, and what it leaves alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

DEMO = Path(__file__).parents[2] / "experiments" / "demo"
COMMANDS = ("search", "derive", "retrain", "evaluate", "render", "predict")


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder of commands that do nothing but write down what they were told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    lines = {f"nas-{name}": f'echo nas-{name} "$@" >> "{tmp_path}/told"' for name in COMMANDS}
    for name, line in {**lines, "python": f'exec "{sys.executable}" "$@"'}.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    return folder


def demo(run: Path, commands: Path) -> subprocess.CompletedProcess[str]:
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    code = DEMO.parents[1]
    return subprocess.run(
        ["sh", str(DEMO / "demo.sh"), str(run)],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(code)},
    )


def test_a_folder_with_other_things_is_refused(tmp_path: Path, commands: Path) -> None:
    mine = tmp_path / "thesis" / "search" / "chapter.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("years")
    done = demo(tmp_path / "thesis", commands)
    assert done.returncode == 2
    assert "name a new folder" in done.stderr
    assert mine.read_text() == "years"
    assert not (tmp_path / "told").exists()


def test_a_demo_can_be_repeated_and_removes_only_what_is_its_own(
    tmp_path: Path, commands: Path
) -> None:
    run = tmp_path / "new folder"
    assert demo(run, commands).returncode == 0
    (run / "search").mkdir()
    (run / "search" / "settings.toml").write_text("")
    (run / "notes of mine.txt").write_text("mine")
    done = demo(run, commands)
    assert done.returncode == 0, done.stderr
    assert not (run / "search").exists()
    assert (run / "notes of mine.txt").read_text() == "mine"


def test_every_command_of_the_tour_is_run(tmp_path: Path, commands: Path) -> None:
    assert demo(tmp_path / "run", commands).returncode == 0
    told = (tmp_path / "told").read_text()
    assert all(f"nas-{name} " in told for name in COMMANDS)
    images = sorted((tmp_path / "run" / "new_images").iterdir())
    assert len(images) == 4
    assert " ".join(map(str, images)) in told
    assert Image.open(images[0]).mode == "L"
