"""nas-data check: a verdict, all problems at once, and exit code 3 when there are any."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from nas.cli.data_check import report_table
from nas.data.check import Objects, Report

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
    assert "Verdict: not ready to train on" in result.out


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


def rows(report: Report) -> dict[str, str]:
    """The table of a report, as printed."""
    out = StringIO()
    Console(file=out, width=120).print(report_table(report))
    cells = [line.split("│") for line in out.getvalue().splitlines() if line.startswith("│")]
    return {cell[1].strip(): cell[2].strip() for cell in cells}


def test_the_table_says_what_was_found() -> None:
    report = Report(
        dataset="ctc",
        cases=5,
        classes=("background", "cell"),
        shares=(0.7, 0.2),
        unknown=0.1,
        duplicates=(("a", "b"),),
        near_duplicates=(("a", "b", "c"), ("d", "e")),
        objects=Objects(cases=4, count=31, smallest=7, median=120.4, without=1),
        field_of_view=0.6875,
        split={"train": 3, "test": 2},
        split_shares={"train": (0.75, 0.15), "test": (0.6, 0.4)},
    )
    found = rows(report)
    assert found["pixels of background"] == "70.00 % (train 75.00, test 60.00)"
    assert found["pixels of cell"] == "20.00 % (train 15.00, test 40.00)"
    assert found["pixels of unknown class"] == "10.00 %"
    objects = "31 in 4 images, 1 without any; smallest 7 px, median 120 px"
    assert found["objects"] == objects
    assert found["field of view"] == "68.75 % of the image"
    assert found["equal images"] == "2"
    assert found["nearly equal images"] == "5"
    assert found["split"] == "3 train, 2 test"


def test_the_table_leaves_out_what_there_is_not() -> None:
    found = rows(Report(dataset="folder", cases=2, classes=("background", "cell")))
    for row in ("pixels of cell", "pixels of unknown class", "objects", "field of view"):
        assert row not in found
    assert found["groups"] == "none given"


def test_groups_of_nearly_equal_images_are_written_and_mend_the_split(
    command: Command, data: Path, tmp_path: Path
) -> None:
    """Every image is there twice, once a little brighter."""
    for path in sorted((data / "images").iterdir()):
        rng = np.random.default_rng(int(path.stem.removeprefix("case")))
        coarse = rng.integers(40, 200, (12, 12), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((160, 160), Image.Resampling.BICUBIC)
        brighter = np.clip(np.asarray(picture).astype(int) + 9, 0, 255).astype(np.uint8)
        mask = np.zeros((160, 160), np.uint8)
        mask[20:60, 30:90] = 1
        for folder, stem, pixels in (
            ("images", path.stem, np.asarray(picture)),
            ("images", f"{path.stem}b", brighter),
            ("masks", path.stem, mask),
            ("masks", f"{path.stem}b", mask),
        ):
            Image.fromarray(pixels).save(data / folder / f"{stem}.png")
    options = ("--dataset", "folder", "--data-root", data)
    groups = tmp_path / "groups.csv"
    refused = command("data", "check", *options, "--write-groups", groups)
    assert refused.code == 3
    assert "nearly the same, and the split divides them" in refused.out
    assert "case1,case1\ncase1b,case1\n" in groups.read_text()
    assert command("data", "check", *options, "--groups", groups).code == 0
    again = command("data", "check", *options, "--write-groups", groups)
    again.refused(2, "exists and is not overwritten")
