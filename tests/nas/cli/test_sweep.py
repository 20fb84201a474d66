"""nas-sweep from the outside: what it refuses, and small sweeps from end to end."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch

from nas.runs import RunFolder

pytest.importorskip("optuna")
slow = pytest.mark.slow
Command = Callable[..., Any]

ROOT = Path(__file__).parents[3]
RATE, WIDTH = "training.segmenter_lr", "backbone?width"
TABLES: dict[str, Any] = {
    "backbone": "unet?width=2&depth=1",
    "data": {"dataset": "phantom", "image_size": "32", "train_images": 4, "val_images": 2},
    "training": {"epochs": 2, "batch_size": 2, "segmenter_lr": 1e-2},
    "adversary": {"discriminator": "none"},
    "run": {"threads": 1, "device": "cpu"},
}
GRID = {RATE: [0.03, 0.001], WIDTH: [2, 3]}


def write_recipe(folder: Path, **changes: Any) -> Path:
    path = folder / "recipe.toml"
    path.write_text(tomli_w.dumps({**TABLES, "grid": GRID, **changes}))
    return path


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes find this project, from whatever folder they start in."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.parametrize(
    ("changes", "options", "code", "words"),
    [
        ({"grid": {}}, [], 2, ("varies nothing",)),
        ({"grid": {"training.segmenter_rl": [1]}}, [], 2, ("segmenter_rl",)),
        ({"grid": {"backbone?widht": [2]}}, [], 2, ("backbone?widht = 2", "mean 'width'")),
        ({"grid": {"backbone": ["unet", "unett"]}}, [], 2, ("At backbone = unett", "'unet'")),
        ({"grid": {"backbone?width": [2, 0]}}, [], 2, ("backbone?width = 0",)),
        ({"adversary": {}}, [], 2, ("Say what to train against",)),
        ({"adversary": {"discriminator": "missing.json"}}, [], 4, ("missing.json",)),
        ({"data": {**TABLES["data"], "val_images": 0}}, [], 3, ("no validation images",)),
        ({"data": {"dataset": "folder"}}, [], 2, ("data-root",)),
        ({}, ["--trials", 3], 2, ("has 4 points",)),
        ({}, ["--method", "tpe"], 2, ("needs --trials",)),
        ({}, ["--variant", "fast"], 2, ("no variant 'fast'",)),
        ({}, ["--address", "auto"], 2, ("--address goes with --engine ray",)),
        ({}, ["--engine", "slurm"], 2, ("sbatch",)),
        ({}, ["--engine", "ray", "--gpus-per-job", 0.5], 2, ("contradicts run.device",)),
        (
            {},
            ["--engine", "ray", "--address", "auto", "--prune"],
            2,
            ("--prune", "leave out --address"),
        ),
        ({}, ["--storage", "sqlite:////nowhere/s.db"], 4, ("cannot be opened",)),
        ({}, ["--", "--seed", 3], 2, ("--seed cannot stand behind --",)),
        ({}, ["--", "--segmenter-lr", 3], 2, ("varies training.segmenter_lr",)),
        ({}, ["--", "--lr-factor", 0.5], 2, ("--lr-factor",)),
    ],
)
def test_mistakes_are_told_before_anything_trains(
    changes: dict[str, Any],
    options: list[object],
    code: int,
    words: tuple[str, ...],
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = command("sweep", write_recipe(tmp_path, **changes), "--out", "out", *options)
    result.refused(code, *words)
    assert not (tmp_path / "out/runs").exists()


def test_a_recipe_that_is_not_there(command: Command) -> None:
    command("sweep", "none.toml", "--out", "out").refused(2, "Cannot read", "none.toml")


def test_help_and_start_import_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['x', '--help']\nimport nas.cli.sweep as it\n"
        "import nas.cli.sweep_trial\n"
        "try:\n    it.sweep(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('modules:', *sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    printed, _, modules = run.stdout.rpartition("modules:")
    heavy = {"torch", "numpy", "scipy", "matplotlib", "optuna", "ray", "submitit", "jinja2"}
    assert not {each.partition(".")[0] for each in modules.split()} & heavy
    assert "--prune" in printed and "--gpus-per-job" in printed


def test_a_trial_is_no_command_of_its_own(command: Command) -> None:
    command("sweep_trial").refused(2, "One folder of a trial was expected")
    command("sweep_trial", "nowhere").refused(4, "nowhere/trial.json")


def weights(run: Path) -> list[bytes]:
    state = RunFolder(run).load_checkpoint("segmenter", "segmenter")
    tensors = state["weights"].values()
    return [each.numpy().tobytes() for each in tensors if isinstance(each, torch.Tensor)]


def rows_of(out: Path) -> list[dict[str, str]]:
    """The table, without times."""
    rows = list(csv.DictReader((out / "sweep.csv").read_text().splitlines()))
    return [{name: text for name, text in row.items() if name != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The grid over two seeds, by the command, in one go: recipe.toml and out/."""
    root = tmp_path_factory.mktemp("whole")
    done = subprocess.run(
        arguments(write_recipe(root), root / "out"),
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        cwd=root,
        check=True,
    )
    (root / "printed").write_text(done.stdout)
    return root


def arguments(recipe: Path, out: Path, *more: str) -> list[str]:
    own = ("--out", str(out), "--seeds", "0", "1", "--jobs", "1", *more)
    return [sys.executable, "-m", "nas.cli.sweep", str(recipe), *own]


@slow
def test_a_sweep_finds_what_its_runs_have_recorded(whole: Path) -> None:
    """Mean over seeds of the best epoch of each, from the runs' own records."""
    rows = rows_of(whole / "out")
    assert [(float(row[RATE]), int(row[WIDTH])) for row in rows] == [
        (0.03, 2),
        (0.03, 3),
        (0.001, 2),
        (0.001, 3),
    ]
    for row in rows:
        best = []
        for seed in (0, 1):
            text = (whole / "out/runs" / row["folder"] / f"seed-{seed}/metrics.jsonl").read_text()
            best.append(max(json.loads(line)["mean_iou"] for line in text.splitlines()))
            assert float(row[f"seed {seed}"]) == best[-1]
        assert float(row["mean_iou"]) == sum(best) / 2
    printed = (whole / "printed").read_text()
    assert "4 of 4 trials; 1 at a time" in printed
    assert "4/4 " in printed
    assert f"nas-retrain --config {whole / 'out/best.toml'}" in printed
    assert "share of the variance" in printed


@slow
def test_the_best_settings_repeat_the_best_run(
    whole: Path, command: Command, tmp_path: Path
) -> None:
    best = max(rows_of(whole / "out"), key=lambda row: float(row["mean_iou"]))
    result = command("retrain", "--config", whole / "out/best.toml", "--run-dir", tmp_path / "run")
    assert result.code == 0, result
    assert weights(tmp_path / "run") == weights(whole / "out/runs" / best["folder"] / "seed-0")


@slow
def test_every_trial_is_a_recipe(whole: Path, command: Command, tmp_path: Path) -> None:
    """The second seed, which came second in its process, is what it is alone."""
    folder = whole / "out/runs" / rows_of(whole / "out")[3]["folder"]
    options = ("--config", folder / "recipe.toml", "--seed", 1, "--run-dir", tmp_path / "run")
    assert command("retrain", *options).code == 0
    assert weights(tmp_path / "run") == weights(folder / "seed-1")


@slow
def test_a_finished_sweep_is_told_again_and_runs_nothing(
    whole: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.cli.sweep.make_engine", None)
    result = command("sweep", whole / "recipe.toml", "--out", whole / "out", "--seeds", 0, 1)
    assert result.code == 0, result
    assert "Best: trial" in result.out
    changed = ("--seeds", 0, 2)
    command("sweep", whole / "recipe.toml", "--out", whole / "out", *changed).refused(
        4, "was begun with sweep.seeds = [0, 1], and now it is [0, 2]"
    )


@slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_sweep_goes_on_to_the_same_table(
    number: signal.Signals, whole: Path, tmp_path: Path
) -> None:
    """In the middle of the second trial, whose first run has trained for an epoch or more."""
    command = arguments(write_recipe(tmp_path), tmp_path / "out")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    second = rows_of(whole / "out")[1]["folder"]
    until = time.monotonic() + 300
    while not (tmp_path / "out/runs" / second / "seed-0/metrics.jsonl").exists():
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, told = process.communicate(timeout=300)
    if number == signal.SIGTERM:
        assert process.returncode == 143
        assert told.count("\n") == 2
        assert "Go on with: nas-sweep" in told.splitlines()[1]
        states = [row["state"] for row in rows_of(tmp_path / "out")]
        assert states == ["done", "running"]
    subprocess.run(command, check=True, capture_output=True)
    assert rows_of(tmp_path / "out") == rows_of(whole / "out")
    for row in rows_of(whole / "out"):
        for seed in (0, 1):
            run = Path("out/runs") / row["folder"] / f"seed-{seed}"
            assert weights(tmp_path / run) == weights(whole / run)


@slow
def test_pruned_runs_are_stopped_and_no_best(command: Command, tmp_path: Path) -> None:
    """Rates of zero learn nothing: after five good ones, runs of 150 epochs end early."""
    rates = [0.03, 0.04, 0.05, 0.06, 0.07, 1e-9]
    recipe = write_recipe(
        tmp_path,
        grid={RATE: rates},
        training={"epochs": 150, "batch_size": 2},
    )
    result = command("sweep", recipe, "--out", tmp_path / "out", "--jobs", 1, "--prune")
    assert result.code == 0, result
    rows = rows_of(tmp_path / "out")
    assert [row["state"] for row in rows] == ["done"] * 5 + ["pruned"]
    run = tmp_path / "out/runs" / rows[-1]["folder"] / "seed-0"
    assert "finished" not in json.loads((run / "run.json").read_text())
    assert f"{RATE} = 1e-09" not in (tmp_path / "out/best.toml").read_text()


AWAY = """
import sys
import nas.cli.sweep as it
make = it.make_engine
def away(*given):
    engine = make(*given)
    engine.shared = False
    return engine
it.make_engine = away
it.main()
"""


@slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("away", [False, True])
def test_rays_results_are_those_of_one_machine(
    away: bool, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This machine's own Ray, in the folders of the trials and as if it did not see them."""
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    command = arguments(write_recipe(tmp_path), tmp_path / "out", "--engine", "ray")
    if away:
        command = [sys.executable, "-c", AWAY, *command[3:]]
    subprocess.run(command, check=True, capture_output=True)
    assert rows_of(tmp_path / "out") == rows_of(whole / "out")
    first = tmp_path / "out/runs" / rows_of(whole / "out")[0]["folder"]
    assert weights(first / "seed-1") == weights(whole / "out/runs" / first.name / "seed-1")


@slow
def test_slurms_results_are_those_of_one_machine(
    whole: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Submitit's local executor stands for SLURM."""
    submitit = pytest.importorskip("submitit")

    def local(folder: Path, parameters: dict[str, str], threads: int, gpus: int) -> Any:
        assert (parameters, threads, gpus) == ({"time": "9"}, 1, 0)
        executor = submitit.LocalExecutor(folder=folder)
        executor.update_parameters(timeout_min=9)
        return executor

    monkeypatch.setattr("nas.engines.slurm.slurm_executor", local)
    own = ("--out", tmp_path / "out", "--seeds", 0, 1, "--jobs", 1)
    engine = ("--engine", "slurm", "--slurm", "time=9")
    result = command("sweep", write_recipe(tmp_path), *own, *engine)
    assert result.code == 0, result
    assert rows_of(tmp_path / "out") == rows_of(whole / "out")


@slow
def test_searches_are_swept_too(command: Command, tmp_path: Path) -> None:
    space = {"channels": 2, "layout": "NR", "nodes": 1, "operations": ["skip_connect", "none"]}
    recipe = write_recipe(
        tmp_path,
        grid={"architecture.warmup_epochs": [0, 1]},
        cell=space,
        architecture={"diagnose_every": 0},
        sweep={"stage": "search"},
    )
    result = command("sweep", recipe, "--out", tmp_path / "out", "--jobs", 1)
    assert result.code == 0, result
    assert f"nas-search --config {tmp_path / 'out/best.toml'}" in result.out
    assert len(list((tmp_path / "out/runs").glob("*/seed-0/genotypes/discriminator/*.json"))) == 4


@slow
def test_a_failing_trial_is_recorded_and_may_be_tried_again(
    command: Command, tmp_path: Path
) -> None:
    """A point that is valid, and whose loss is no number in the first epoch."""
    recipe = write_recipe(tmp_path, grid={RATE: [1e-2, 1e30]})
    result = command("sweep", recipe, "--out", tmp_path / "out", "--jobs", 1)
    assert result.code == 0, result
    rows = rows_of(tmp_path / "out")
    assert [row["state"] for row in rows] == ["done", "failed"]
    assert "finite" in rows[1]["reason"]
    again = command("sweep", recipe, "--out", tmp_path / "out", "--jobs", 1, "--retry-failed")
    assert again.code == 0
    assert [row["trial"] for row in rows_of(tmp_path / "out")] == ["0", "2"]
