"""nas-predict: masks where they were asked for, and nothing overwritten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Command = Callable[..., Any]


def test_masks_and_overlays_are_written(command: Command, finished: Path, data: Path) -> None:
    images = sorted((data / "images").iterdir())[:2]
    result = command("predict", finished / "retrain", *images, "-o", "out", "--overlays")
    assert result.code == 0, result
    names = ["case0.png", "case0_overlay.png", "case1.png", "case1_overlay.png"]
    assert sorted(each.name for each in Path("out").iterdir()) == names
    assert Image.open("out/case0.png").size == (40, 40)


def test_a_colour_image_is_taken_as_grey(command: Command, finished: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("colour.png")
    assert command("predict", finished / "retrain", "colour.png", "-o", "out").code == 0
    assert Image.open("out/colour.png").size == (70, 50)


def test_ground_truth_is_never_overwritten_by_default(
    command: Command, finished: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default folder is masks/, which is where a data set keeps its own."""
    monkeypatch.chdir(data)
    truth = (data / "masks" / "case0.png").read_bytes()
    command("predict", finished / "retrain", "images/case0.png").refused(4, "exists already")
    assert (data / "masks" / "case0.png").read_bytes() == truth
    assert command("predict", finished / "retrain", "images/case0.png", "--overwrite").code == 0
    assert (data / "masks" / "case0.png").read_bytes() != truth


@pytest.mark.parametrize(
    ("images", "extra", "code", "words"),
    [
        ((), (), 2, "Name the images"),
        (("text.txt",), (), 3, "text.txt"),
        (("cut.png",), (), 3, "cut.png is damaged"),
        (("missing.png",), (), 3, "missing.png does not exist"),
        (("data/images",), (), 3, "data/images"),
        (("data/images/case0.png",) * 2, (), 3, "both be written"),
        (("data/images/case0.png",), ("-o", "data/images"), 4, "overwrite an image"),
        (("data/images/case0.png",), ("-o", "text.txt"), 4, "Cannot write"),
        (("data/images/case0.png",), ("-o", "/proc/nowhere"), 4, "Cannot write"),
        (("data/images/case0.png",), ("--device", "cuda:99"), 2, "cuda:99"),
    ],
)
def test_wrong_input_is_said(
    command: Command,
    finished: Path,
    data: Path,
    images: tuple[str, ...],
    extra: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    Path("text.txt").write_text("no image")
    Path("cut.png").write_bytes((data / "images" / "case0.png").read_bytes()[:700])
    command("predict", finished / "retrain", *images, *extra).refused(code, words)


def test_a_search_predicts_nothing(command: Command, finished: Path, data: Path) -> None:
    result = command("predict", finished / "search", data / "images" / "case0.png")
    result.refused(4, "holds a run of nas-search")
