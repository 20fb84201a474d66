"""Every layout from files to a search: generated in its owner's form, checked, searched on.

So are the real sets, where they lie beside the checkout.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from nas.data.readers import READERS
from nas.data.synthesis.table import LAYOUTS

REAL = Path(__file__).parents[3] / "shared" / "data"
SMALL = {
    "jsrt": (),
    "jsrt_mini": ("--size", 64, 64),
    "bids": ("--size", 128, 128),
    "msd": (),
    "nnunet_volumes": (),
}
"""Sizes of the generated pictures; by default 96 x 96."""
TINY = (
    *("--image-size", 32, "--backbone", "unet?width=4", "--device", "cpu", "--epochs", 1),
    *("--space", "cell", "--layout", "N", "--nodes", 1, "--channels", 4),
    *("--operations", "none", "skip_connect", "sep_conv_3x3", "--diagnose-every", 0),
)


def run(command: str, *arguments: object) -> int:
    """A command as it runs from the shell; its exit code."""
    before = sys.argv
    sys.argv = [f"nas-{command}", *map(str, arguments)]
    try:
        importlib.import_module(f"nas.cli.{command}").main()
    except SystemExit as leaving:
        assert isinstance(leaving.code, int)
        return leaving.code
    finally:
        sys.argv = before
    raise AssertionError("a command always leaves with a code")


def searched(folder: Path, *data: object) -> bool:
    """Whether a search of one epoch on the data ends with a genotype."""
    assert run("search", *TINY, *data, "--run-dir", folder) == 0
    return any((folder / "genotypes" / "discriminator").glob("*.json"))


def dataset_of(layout: str) -> str:
    """The reader of what is synthesized under a name, which may be a form of a layout."""
    return max((name for name in READERS if layout.startswith(name)), key=len)


def test_every_layout_of_files_can_be_synthesized() -> None:
    assert {dataset_of(layout) for layout in LAYOUTS} == set(READERS) - {"phantom"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_synthesized_checked_and_searched_on(
    layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "data"
    cases = 5 if layout == "jsrt" else 10
    size = SMALL.get(layout, ("--size", 96, 96))
    assert run("data", "synthesize", layout, "-o", root, "--cases", cases, *size) == 0
    data = ("--dataset", dataset_of(layout), "--data-root", root)
    if layout in ("jsrt", "cxseg"):
        data += ("--train-images", 3)
    if layout == "ctc":
        data += ("--val-images", 0)
    assert run("data", "check", *data) == 0, capsys.readouterr().out
    assert "ready to train on" in capsys.readouterr().out
    assert searched(tmp_path / "run", *data)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("axon_myelin_sem", ("--groups", "groups.csv")),
        ("msd_hippocampus_2d", ()),
        ("tiny_axon128", ()),
        ("usgra_ultrasound", ()),
        ("usiigaci_phase_contrast", ()),
    ],
)
def test_a_real_set_is_searched_on(name: str, options: tuple[str, ...], tmp_path: Path) -> None:
    root = REAL / name
    if not root.is_dir():
        pytest.skip("the real images are not beside the checkout")
    data = [str(root / each) if each.endswith(".csv") else each for each in options]
    data += ["--dataset", "folder", "--data-root", str(root)]
    assert searched(tmp_path / "run", *data, "--train-images", 4, "--val-images", 1)
