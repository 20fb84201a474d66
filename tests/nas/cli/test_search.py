"""nas-search: what it leaves behind, and wrong input answered by one sentence."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.data.splits import load_split
from nas.runs import RunFolder

Command = Callable[..., Any]


def test_a_search_leaves_everything_needed_to_repeat_it(finished: Path) -> None:
    folder = RunFolder.open(finished / "search", "search")
    settings = tomllib.loads(folder.settings_file.read_text())
    assert settings["training"]["epochs"] == 2
    assert settings["cell"]["operations"] == ["skip_connect", "max_pool_3x3", "sep_conv_3x3"]
    assert "run_dir" not in settings["run"]
    split = load_split(folder.split_file)
    assert (len(split.train), len(split.val), len(split.test)) == (4, 2, 2)
    record = folder.read_record()
    assert record["data"]["split_hash"] == split.hash
    assert {"kind", "command", "created", "finished", "versions", "machine"} <= set(record)
    assert [each["epoch"] for each in folder.read_metrics()] == [1, 2]
    assert [path.name for path in folder.genotype_files("discriminator")] == [
        "epoch_0001.json",
        "epoch_0002.json",
    ]
    assert list(folder.tensorboard.iterdir())
    pictures = {path.stem.rpartition("_")[0] for path in folder.pictures.glob("*_0002.png")}
    assert pictures == {"cases", "discriminator", "discriminator_probabilities"}
    assert (folder.pictures / "curves.png").exists()
    assert not list(folder.path.glob("**/*.unfinished"))


def test_a_finished_search_has_nothing_to_resume(
    command: Command, copied: Callable[[str], Path]
) -> None:
    path = copied("search")
    last = RunFolder(path).checkpoint("last")
    before = last.read_bytes(), RunFolder(path).read_metrics()
    result = command("search", "--run-dir", path, "--resume")
    assert result.code == 0
    assert f"Next: nas-derive {path}" in result.out
    assert (last.read_bytes(), RunFolder(path).read_metrics()) == before


def drop_mask(data: Path) -> None:
    (data / "masks" / "case3.png").unlink()


def shrink_mask(data: Path) -> None:
    Image.fromarray(np.zeros((30, 40), np.uint8)).save(data / "masks" / "case3.png")


def strange_mask(data: Path) -> None:
    Image.fromarray(np.full((40, 40), 255, np.uint8)).save(data / "masks" / "case3.png")


def cut_images(data: Path) -> None:
    for path in (data / "images").iterdir():
        path.write_bytes(path.read_bytes()[:700])


def no_pairs(data: Path) -> None:
    for path in (data / "masks").iterdir():
        path.rename(path.with_name(f"other_{path.name}"))


def no_images(data: Path) -> None:
    (data / "images").rename(data / "pictures")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (drop_mask, "case3.png has no mask"),
        (shrink_mask, "both need one size"),
        (strange_mask, "255"),
        (cut_images, "damaged or incomplete"),
        (no_pairs, "has a mask in"),
        (no_images, "holds no folder images/"),
    ],
)
def test_damaged_data_is_refused_before_anything_is_written(
    command: Command,
    search_options: list[object],
    data: Path,
    damage: Callable[[Path], None],
    words: str,
) -> None:
    damage(data)
    command("search", *search_options, "--run-dir", "run").refused(3, words)
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("extra", "code", "words"),
    [
        (("--data-root", "missing"), 3, "There is no folder"),
        (("--train-images", 8), 3, "lower --train-images"),
        (("--train-images", 1), 3, "2 training images"),
        (("--split", "missing.json"), 3, "missing.json"),
        (("--groups", "missing.csv"), 3, "missing.csv"),
        (("--dataset", "fold"), 2, "Did you mean folder?"),
        (("--dataset", "phantom"), 2, "--data-root means nothing"),
        (("--image-size", 7), 2, "too small"),
        (("--image-size", "big"), 2, "not understood"),
        (("--backbone", "unett"), 2, "did you mean 'unet'?"),
        (("--backbone", "unet?wide=2"), 2, "has no option 'wide'"),
        (("--backbone", "unet?width=0"), 2, "cannot be built"),
        (("--device", "cuda:99"), 2, "not on this machine"),
        (("--device", "gpu"), 2, "no device"),
        (("--operations",), 2, "--operations"),
        (("--operations", "none"), 2, "at least one other than none"),
        (("--operations", "conv"), 2, "conv"),
        (("--warmup-epochs", 2), 2, "--warmup-epochs 2"),
        (("--objective", "segmenter", "--order", "first"), 2, "--order second"),
        (("--layout", "NRRRRRR", "--batch-size", 1), 2, "less deep"),
        (("--run-dir", "data"), 4, "Cannot write"),
        (("--run-dir", "/proc/nowhere/run"), 4, "Cannot write"),
        (("--run-dir", "data/images/case0.png"), 4, "is a file"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    command: Command,
    search_options: list[object],
    extra: tuple[object, ...],
    code: int,
    words: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    if extra == ("--run-dir", "data"):
        (tmp_path / "data" / "run.json").mkdir()
    before = sorted(tmp_path.rglob("*"))
    command("search", *search_options, "--run-dir", "run", *extra).refused(code, words)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "extra",
    [
        ("--segmenter-lr", 1e12),
        ("--segmenter-lr", "inf"),
        ("--discriminator-lr", 1e30),
        ("--architecture-lr", 1e38),
    ],
)
def test_a_loss_that_explodes_names_the_last_good_checkpoint(
    command: Command, search_options: list[object], extra: tuple[object, ...]
) -> None:
    result = command("search", *search_options, "--epochs", 30, "--run-dir", "run", *extra)
    result.refused(5, "is not a finite number", "Lower the learning rates")
    last = RunFolder(Path("run")).checkpoint("last")
    assert (str(last) in result.err) == last.exists()
    if last.exists():
        state = RunFolder(Path("run")).load_checkpoint("last", "search")["stage"]
        assert all(value.isfinite().all() for value in state["networks"]["segmenter"].values())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--resume",), 2, "needs --run-dir"),
        (("--resume", "--run-dir", "nothing"), 4, "is not a run's folder"),
        (("--resume", "--run-dir", "RETRAIN"), 4, "holds a run of nas-retrain"),
        (("--resume", "--run-dir", "SEARCH", "--epochs", 9), 4, "epochs = 2"),
        (("--run-dir", "SEARCH"), 4, "already holds a run"),
    ],
)
def test_the_wrong_folder_is_refused(
    command: Command, finished: Path, arguments: tuple[object, ...], code: int, words: str
) -> None:
    places = {"SEARCH": finished / "search", "RETRAIN": finished / "retrain"}
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    command("search", *(places.get(str(each), each) for each in arguments)).refused(code, words)
    after = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    assert after == before


def test_two_searches_never_share_a_folder(command: Command, copied: Callable[[str], Path]) -> None:
    path = copied("search")
    with RunFolder(path).locked():
        result = command("search", "--run-dir", path, "--resume")
    result.refused(4, "Another process is training")
