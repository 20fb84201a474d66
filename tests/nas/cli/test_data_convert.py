"""nas-data convert: the command that is printed reads what was written."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Command = Callable[..., Any]


@pytest.fixture
def convert(command: Command, data: Path) -> Command:
    """Runs nas-data convert on eight images."""
    return lambda *options: command(
        "data", "convert", "--dataset", "folder", "--data-root", data, *options
    )


@pytest.mark.parametrize(("form", "out"), [("folder", "a b"), ("nnunet", "new/Dataset501_Discs")])
def test_what_is_written_is_read(command: Command, convert: Command, form: str, out: str) -> None:
    result = convert("--to", form, "-o", out)
    assert result.code == 0, result
    assert f"Written: {out}, 8 cases." in result.out
    line = next(line for line in result.out.splitlines() if line.startswith("Next: nas-data "))
    checked = command("data", *shlex.split(line)[2:])
    assert "Verdict: ready to train on" in checked.out, checked
    assert "40x40: 8" in checked.out


def test_pixels_are_kept(convert: Command, data: Path) -> None:
    assert convert("--to", "folder", "-o", "out").code == 0
    for name in ("images/case3.png", "masks/case3.png"):
        before, after = (np.asarray(Image.open(root / name)) for root in (data, Path("out")))
        assert np.array_equal(before, after)


def test_a_division_comes_along_where_one_is_given(convert: Command, data: Path) -> None:
    assert convert("--to", "folder", "-o", "none").code == 0
    assert not Path("none/train.txt").exists()
    assert convert("--to", "folder", "--train-images", 3, "-o", "counted").code == 0
    assert len(Path("counted/train.txt").read_text().split()) == 3
    (data / "train.txt").write_text("case1\ncase2\n")
    (data / "test.txt").write_text("case3\n")
    assert convert("--to", "folder", "-o", "listed").code == 0
    assert Path("listed/train.txt").read_text().split() == ["case1", "case2"]
    result = convert("--to", "nnunet", "-o", "Dataset007_Listed")
    assert "3 cases" in result.out
    assert len(list(Path("Dataset007_Listed/imagesTs").iterdir())) == 1


def test_patients_that_the_owners_divide(command: Command) -> None:
    made = command("data", "synthesize", "glas", "--cases", 40, "--size", 64, 64, "-o", "glas")
    assert made.code == 0, made
    words = ("--dataset", "glas", "--data-root", "glas")
    result = command("data", "convert", *words, "--to", "folder", "-o", "a b")
    assert "The split divides" in result.out
    line = next(line for line in result.out.splitlines() if line.startswith("Next: nas-data "))
    assert "--groups" not in line
    checked = command("data", *shlex.split(line)[2:])
    assert checked.code == 0, checked
    refused = command("data", *shlex.split(line)[2:], "--groups", "a b/groups.csv")
    assert "divides the group" in refused.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--to", "nnunet", "-o", "new"), "No data set of nnU-Net can be named 'new'"),
        (("--to", "folder", "--image-size", 64, "-o", "new"), "--image-size is about"),
        (("--to", "folder", "--split-seed", 3, "-o", "new"), "--split-seed draws a split"),
        (("--to", "folder", "--fold", 3, "-o", "new"), "--fold 3 chooses"),
    ],
)
def test_options_that_contradict(convert: Command, options: tuple[object, ...], words: str) -> None:
    convert(*options).refused(2, words)
    assert not Path("new").exists()


def test_nothing_is_overwritten(convert: Command, data: Path) -> None:
    convert("--to", "folder", "-o", data).refused(2, "is not empty")
    assert len(list((data / "images").iterdir())) == 8


def test_a_folder_that_cannot_be_written_is_told(convert: Command) -> None:
    Path("file").write_text("kept")
    convert("--to", "folder", "-o", "file/out").refused(4, "Cannot write into file/out")
