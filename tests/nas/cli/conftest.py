"""Commands run in this process, on tiny images, and the runs that tests start from."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

SIZE = 40
IMAGES = 8


class Result(NamedTuple):
    """What a command left behind: its exit code and what it printed."""

    arguments: str
    code: int
    out: str
    err: str

    def refused(self, code: int, *words: str) -> None:
        """Assert that it failed with a code and one sentence that has these words in it."""
        assert self.code == code, self
        assert self.err.count("\n") == 1, self.err
        sentence = self.err.partition(": ")[2].strip()
        first = sentence.split()[0].rstrip(":")
        assert first[0].isupper() or "/" in first or first in self.arguments, sentence
        assert sentence.endswith("."), sentence
        for word in words:
            assert word in sentence, (word, sentence)


def run(name: str, *arguments: object) -> Result:
    """A command as it runs from the shell: nas-search is ``run("search", ...)``."""
    out, err = StringIO(), StringIO()
    before = sys.argv
    sys.argv = [f"nas-{name}", *map(str, arguments)]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            importlib.import_module(f"nas.cli.{name}").main()
    except SystemExit as leaving:
        assert isinstance(leaving.code, int)
        return Result(" ".join(sys.argv), leaving.code, out.getvalue(), err.getvalue())
    finally:
        sys.argv = before
    raise AssertionError("a command always leaves with a code")


def write_images(root: Path, count: int = IMAGES, colour: bool = False) -> Path:
    """images/ and masks/ of bright discs on dark ground: classes 0 and 1."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(count):
        y, x, radius = rng.integers(12, 28), rng.integers(12, 28), rng.integers(6, 12)
        mask = ((rows - y) ** 2 + (columns - x) ** 2 < radius**2).astype(np.uint8)
        image = (60 + 120 * mask + rng.integers(0, 40, mask.shape)).astype(np.uint8)
        if colour:
            image = np.stack([image, image // 2, image // 3], axis=-1)
        Image.fromarray(image).save(root / "images" / f"case{number}.png")
        Image.fromarray(mask).save(root / "masks" / f"case{number}.png")
    return root


def tiny(data: Path) -> list[object]:
    """Options of a training that takes a second."""
    return [
        *("--backbone", "unet?width=2&depth=1", "--dataset", "folder", "--data-root", data),
        *("--image-size", 32, "--train-images", 4, "--val-images", 2, "--epochs", 2),
        *("--threads", 1, "--device", "cpu"),
    ]


def tiny_search(data: Path) -> list[object]:
    """Options of a search that takes a second."""
    return [
        *tiny(data),
        *("--channels", 2, "--layout", "NR", "--nodes", 1, "--normalisation", "instance"),
        *("--operations", "skip_connect", "max_pool_3x3", "sep_conv_3x3", "--diagnose-every", 0),
    ]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of eight grey images with masks."""
    return write_images(tmp_path / "data")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/, a finished search/ and a finished retraining retrain/."""
    root = tmp_path_factory.mktemp("finished")
    data = write_images(root / "data")
    search = run("search", *tiny_search(data), "--run-dir", root / "search")
    assert search.code == 0, search
    genotype = root / "genotype.json"
    assert run("derive", root / "search", "-o", genotype).code == 0
    retrain = run("retrain", *tiny(data), "--genotype", genotype, "--run-dir", root / "retrain")
    assert retrain.code == 0, retrain
    return root


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Makes a copy of a finished run that the test may damage."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(finished / name, tmp_path / f"copied-{name}"))

    return copy


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command writes without being told where goes to the folder of the test."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def command() -> Callable[..., Result]:
    """Runs a command: ``command("search", "--epochs", 3)``."""
    return run


@pytest.fixture
def options(data: Path) -> list[object]:
    """Options of a training on ``data`` that takes a second."""
    return tiny(data)


@pytest.fixture
def search_options(data: Path) -> list[object]:
    """Options of a search on ``data`` that takes a second."""
    return tiny_search(data)
