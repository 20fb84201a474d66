"""Commands in several processes: as one process computes, quiet, and ended together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from nas.runs import RunFolder, load_checkpoint
from search_spaces import genotypes

sys.path.insert(0, str(Path(__file__).parents[1]))

import processes  # noqa: E402

pytestmark = pytest.mark.slow

COMMON = [
    *("--dataset", "phantom", "--image-size", "32", "--train-images", "10", "--val-images", "2"),
    *("--batch-size", "2", "--threads", "1", "--device", "cpu"),
    *("--segmenter-lr", "0.01", "--optimizer", "sgd"),
]
SEARCH = [
    *("-m", "nas.cli.search", *COMMON, "--backbone", "unet?width=4&depth=1"),
    *("--channels", "4", "--layout", "NR", "--nodes", "1", "--diagnose-every", "2"),
    *("--operations", "skip_connect", "max_pool_3x3", "sep_conv_3x3"),
    *("--architecture-lr", "0.05", "--discriminator-lr", "0.01"),
]
RETRAIN = ["-m", "nas.cli.retrain", *COMMON, "--epochs", "2"]
ENDLESS = ["--epochs", "10000"]


def train(command: list[str], folder: Path, count: int) -> RunFolder:
    """A run that ends well, in so many processes, of which the first alone says anything."""
    ends = processes.finish(processes.start([*command, "--run-dir", str(folder)], count))
    assert [code for code, _, _ in ends] == [0] * count, ends
    assert ends[0][1].count("Done.") == 1
    for _, out, err in ends[1:]:
        assert out == err == ""
    return RunFolder(folder)


def assert_equal_metrics(first: RunFolder, second: RunFolder, tolerance: float) -> None:
    one, two = first.read_metrics(), second.read_metrics()
    assert len(one) == len(two) > 0
    for before, after in zip(one, two, strict=True):
        assert before.keys() == after.keys()
        for name in before.keys() - {"seconds"}:
            assert after[name] == pytest.approx(before[name], rel=tolerance, abs=1e-6), name


def test_a_search_in_two_processes_is_that_in_one(tmp_path: Path) -> None:
    command = [*SEARCH, "--epochs", "3"]
    one, two = (train(command, tmp_path / str(count), count) for count in (1, 2))
    assert_equal_metrics(one, two, 1e-3)
    files = [run.genotype_files("discriminator") for run in (one, two)]
    assert len(files[0]) == len(files[1]) == 3
    for pair in zip(*files, strict=True):
        found, other = (genotypes.read(path) for path in pair)
        assert genotypes.same_architecture(found, other)
    assert two.read_record()["processes"] == 2
    assert len(list(two.tensorboard.iterdir())) == len(list(one.tensorboard.iterdir()))


def test_two_processes_probe_the_machine_together_and_pick_the_same(tmp_path: Path) -> None:
    """Each alone, with its one image of a batch; steps are those of the joined batch."""
    budget = ["--budget", "100h", "100GB"]
    run = train([*SEARCH, "--epochs", "1", *budget], tmp_path / "run", 2)
    record = json.loads((run.path / "budget.json").read_text())
    assert [row["fits"] for row in record["tried"]] == [True]
    assert len(record["epoch_seconds"]) == 1
    assert "--budget" not in run.settings_file.read_text()
    assert (run.path / "notes.txt").read_text().count("--budget 100h 100GB") == 1


def test_synchronised_batch_statistics_are_those_of_one_process(tmp_path: Path) -> None:
    command = [*RETRAIN, "--backbone", "unet?width=4&depth=1&normalisation=batch"]
    command += ["--discriminator", "patchgan?width=4", "--batch-size", "5"]
    one = train(command, tmp_path / "1", 1)
    both = train([*command, "--batch-statistics", "synchronised"], tmp_path / "synchronised", 2)
    apart = train(command, tmp_path / "apart", 2)
    assert_equal_metrics(one, both, 2e-3)
    assert one.read_metrics()[-1]["val_loss"] != apart.read_metrics()[-1]["val_loss"]
    notes = both.path / "notes.txt"
    assert not notes.exists() or "A deviation" not in notes.read_text()
    assert "A deviation" in (apart.path / "notes.txt").read_text()


def test_synchronised_batch_statistics_reach_the_relaxed_cells(tmp_path: Path) -> None:
    command = [*SEARCH, "--epochs", "2", "--batch-size", "5", "--normalisation", "batch"]
    one = train(command, tmp_path / "1", 1)
    both = train([*command, "--batch-statistics", "synchronised"], tmp_path / "2", 2)
    assert_equal_metrics(one, both, 5e-3)


def test_a_stopped_run_goes_on_with_any_number_of_processes(tmp_path: Path) -> None:
    """Bit for bit with the same number; torchrun hands the signal on."""
    command = [*RETRAIN, "--backbone", "fcn32s?width=2", "--discriminator", "none"]
    command += ["--epochs", "4", "--batch-size", "4", "--checkpoint-minutes", "0"]
    whole = train(command, tmp_path / "whole", 2)
    stopped = tmp_path / "stopped"
    ends = stop(start_torchrun([*command, "--run-dir", str(stopped)]), stopped, signal.SIGTERM)
    assert "everything is saved" in ends[2], ends
    assert ends[2].count("nas-retrain: ") == 1
    assert ends[2].count("Stopping after this step") == 1
    for count in (3, 1, 2):
        copy = tmp_path / f"stopped{count}"
        subprocess.run(["cp", "-r", str(stopped), str(copy)], check=True)
        resumed = train(["-m", "nas.cli.retrain", "--resume"], copy, count)
        assert len(resumed.read_metrics()) == 4
        if count == 2:
            assert_same_state(whole, resumed)


def start_torchrun(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *command],
        env={**os.environ, "PYTHONPATH": str(processes.ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stop(process: subprocess.Popen[str], folder: Path, number: int) -> tuple[int, str, str]:
    """Send a signal once something has been saved; exit code, stdout and stderr."""
    await_file(RunFolder(folder).checkpoint("last"), process)
    process.send_signal(number)
    return processes.finish([process])[0]


def await_file(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def assert_same_state(first: RunFolder, second: RunFolder) -> None:
    """Of the segmenters and of the generators of both processes, every bit."""
    one, two = (load_checkpoint(run.checkpoint("last"), "retrain") for run in (first, second))
    for name, weight in one["stage"]["segmenter"].items():
        assert torch.equal(weight, two["stage"]["segmenter"][name]), name
    assert torch.equal(one["random"]["cpu"], two["random"]["cpu"])
    (other,), (resumed,) = one["random_of_others"], two["random_of_others"]
    assert torch.equal(other["cpu"], resumed["cpu"])
    assert not torch.equal(other["cpu"], one["random"]["cpu"])


@pytest.mark.parametrize("dead", [0, 1])
def test_a_process_that_dies_ends_the_other_with_one_sentence(tmp_path: Path, dead: int) -> None:
    folder = tmp_path / "run"
    started = processes.start([*SEARCH, *ENDLESS, "--run-dir", str(folder)])
    await_file(RunFolder(folder).checkpoint("last"), started[dead])
    started[dead].kill()
    ends = processes.finish(started)
    assert ends[dead][0] == -signal.SIGKILL
    code, _, err = ends[1 - dead]
    assert code == 5
    assert sentences(err) == [
        "nas-search: Another one of the 2 processes has ended, or has not answered for 10 minutes, "
        "so all of them stop. What was saved before is untouched: go on with --resume."
    ]


def sentences(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("nas-")]


SABOTAGE = """
import os, signal
import nas.search
from nas.cli.search import main
from nas.errors import DataError
from nas.ranks import number

step = nas.search.SearchStage.step

def sabotaged(self, epoch, within):
    if number() == 1 and epoch == 1:
        {deed}
    return step(self, epoch, within)

nas.search.SearchStage.step = sabotaged
main()
"""


@pytest.mark.parametrize(
    ("deed", "codes", "words"),
    [
        (
            "self.phase.supernets['discriminator'].alphas()[0].data[0, 0] += 1e-7",
            [5, 5],
            "come apart: networks.discriminator.",
        ),
        ("raise DataError('A sabotaged image.')", [5, 3], "A sabotaged image."),
        (
            "os.kill(os.getpid(), signal.SIGINT)",
            [130, 130],
            "Stopped in epoch 2 after step 1; everything is saved.",
        ),
    ],
    ids=["alpha", "error", "signal"],
)
def test_what_happens_to_one_process_ends_both(
    tmp_path: Path, deed: str, codes: list[int], words: str
) -> None:
    code = SABOTAGE.format(deed=deed)
    command = ["-c", code, *SEARCH[2:], *ENDLESS, "--run-dir", str(tmp_path / "run")]
    ends = processes.finish(processes.start(command))
    assert [end[0] for end in ends] == codes, ends
    (told,) = [line for _, _, err in ends for line in sentences(err)]
    assert words in told
    assert [record["epoch"] for record in RunFolder(tmp_path / "run").read_metrics()] == [1]
