"""Runs killed with SIGKILL at any moment, and resumed, end bit for bit as if nothing happened."""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.runs import RunFolder, load_checkpoint

pytestmark = pytest.mark.slow

PHANTOM = [
    *("--backbone", "unet?width=4&depth=2", "--image-size", "32", "--train-images", "8"),
    *("--epochs", "3", "--threads", "1", "--device", "cpu", "--seed", "3"),
    *("--checkpoint-minutes", "0"),
]
SEARCH = [
    *("search", *PHANTOM, "--val-images", "0", "--channels", "2", "--layout", "NR"),
    *("--nodes", "2", "--operations", "none", "max_pool_3x3", "sep_conv_3x3", "skip_connect"),
    *("--warmup-epochs", "1", "--diagnose-every", "3"),
]
RETRAIN = [
    *("retrain", *PHANTOM, "--val-images", "2", "--optimizer", "sgd", "--segmenter-lr", "0.01"),
    *("--discriminator", "resnet10?width=2"),
]
WITH_DROPOUT = [*RETRAIN, "--backbone", "fcn32s?width=2", "--discriminator", "none"]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    name, *options = arguments
    return subprocess.Popen(
        [sys.executable, "-m", f"nas.cli.{name}", *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(arguments: list[str]) -> None:
    process = start(arguments)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err


def stop_after_saves(
    arguments: list[str], folder: Path, saves: int, number: int, delay: float = 0.0
) -> tuple[int, str]:
    """Send a signal once the checkpoint has been replaced so often; exit code and stderr."""
    last = RunFolder(folder).checkpoint("last")
    seen = {last.stat().st_mtime_ns} if last.exists() else set()
    process, wanted = start(arguments), len(seen) + saves
    while process.poll() is None and len(seen) < wanted:
        if last.exists():
            seen.add(last.stat().st_mtime_ns)
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    assert "Traceback" not in err, err
    return process.returncode, err


def same(first: Any, second: Any, place: str = "state") -> None:
    """Assert that two trees are equal, every bit of every tensor."""
    assert type(first) is type(second), place
    if isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype, place
        assert first.numpy().tobytes() == second.numpy().tobytes(), place
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), place
        for key in first:
            if key != "seconds":
                same(first[key], second[key], f"{place}.{key}")
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second), place
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            same(one, other, f"{place}[{index}]")
    else:
        assert first == second, place


def compare(first: RunFolder, second: RunFolder) -> None:
    """Assert that two runs left the same behind, up to times."""
    names = [path.name for path in (first.path / "checkpoints").glob("*.pt")]
    assert names
    for name in names:
        kind = "segmenter" if name == "segmenter.pt" else first.read_record()["kind"]
        same(*(load_checkpoint(run.path / "checkpoints" / name, kind) for run in (first, second)))
    same(first.read_metrics(), second.read_metrics())
    assert first.split_file.read_bytes() == second.split_file.read_bytes()
    assert first.settings_file.read_bytes() == second.settings_file.read_bytes()
    found = [[path.name for path in run.genotype_files("discriminator")] for run in (first, second)]
    assert found[0] == found[1]
    for one, other in zip(
        first.genotype_files("discriminator"), second.genotype_files("discriminator"), strict=True
    ):
        contents = [json.loads(path.read_text()) for path in (one, other)]
        for content in contents:
            del content["provenance"]["created"]
        same(*contents)
    leftovers = [path for path in second.path.glob("**/.*") if path.name != ".lock"]
    assert not leftovers


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], RunFolder]:
    """Makes the run that nothing happened to, once for each command."""

    @functools.cache
    def make(arguments: tuple[str, ...]) -> RunFolder:
        folder = tmp_path_factory.mktemp("whole") / "run"
        finish([*arguments, "--run-dir", str(folder)])
        return RunFolder(folder)

    return lambda arguments: make(tuple(arguments))


@pytest.mark.parametrize(
    ("arguments", "moments"),
    [(SEARCH, (1, 3, 4)), (RETRAIN, (2, 3)), (WITH_DROPOUT, (1, 4))],
    ids=["search", "retrain", "retrain with dropout"],
)
def test_a_killed_run_goes_on_bit_for_bit(
    tmp_path: Path,
    whole: Callable[[list[str]], RunFolder],
    arguments: list[str],
    moments: tuple[int, ...],
) -> None:
    rng, folder = random.Random(1), tmp_path / "killed"
    command = [*arguments, "--run-dir", str(folder)]
    resume = [arguments[0], "--run-dir", str(folder), "--resume"]
    for saves in moments:
        delay = rng.random() * 0.1
        code, _ = stop_after_saves(command, folder, saves, signal.SIGKILL, delay)
        assert code == -signal.SIGKILL
        command = resume
    finish(resume)
    compare(whole(arguments), RunFolder(folder))


def test_a_stopped_run_saves_and_says_how_to_go_on(
    tmp_path: Path, whole: Callable[[list[str]], RunFolder]
) -> None:
    folder = tmp_path / "my run"
    command = [*RETRAIN, "--run-dir", str(folder)]
    resume = ["retrain", "--run-dir", str(folder), "--resume"]
    for number, saves in ((signal.SIGINT, 2), (signal.SIGTERM, 1)):
        code, err = stop_after_saves(command, folder, saves, number)
        assert code == 128 + number, err
        assert f"everything is saved. Go on with: nas-retrain --run-dir '{folder}' --resume" in err
        command = resume
    finish(resume)
    compare(whole(RETRAIN), RunFolder(folder))
