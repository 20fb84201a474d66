"""nas-compare from the outside: what it refuses, and small comparisons from end to end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomli_w
import torch

from nas.comparison.record import CellResult, Comparison, read
from nas.runs import RunFolder

Command = Callable[..., Any]

ROOT = Path(__file__).parents[3]
SPLIT = {
    "train": [f"phantom-{number:03d}" for number in range(4)],
    "val": ["phantom-004", "phantom-005"],
    "test": ["phantom-006", "phantom-007", "phantom-008"],
}
RECIPE: dict[str, Any] = {
    "methods": ["none", "patchgan?receptive_field=16&width=2", "random:2", "search"],
    "backbones": ["unet?width=4&depth=1"],
    "seeds": [0, 1],
    "budget": {"epochs": 4, "search_epochs": 3},
    "datasets": {"phantom": {"dataset": "phantom", "image_size": "32", "split": "split.json"}},
    "cell": {"channels": 2, "nodes": 1, "layout": "NR", "operations": ["skip_connect", "none"]},
    "training": {"batch_size": 1, "segmenter_lr": 0.03, "adversarial_weight": 0.5},
    "loss": {"class_weights": "frequency"},
    "run": {"threads": 1, "device": "cpu"},
}


def write_recipe(folder: Path, **changes: Any) -> Path:
    """recipe.toml and its split, which names the phantom's cases in full."""
    from nas.preparation import open_data
    from nas.settings import DataSettings

    cases = [case.id for case in open_data(DataSettings(image_size="32")).reader.cases]
    full = {
        subset: [next(case for case in cases if case.startswith(name)) for name in names]
        for subset, names in SPLIT.items()
    }
    (folder / "split.json").write_text(json.dumps(full))
    path = folder / "recipe.toml"
    path.write_text(tomli_w.dumps({**RECIPE, **changes}))
    return path


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes find this project, from whatever folder they start in."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"methods": ["none", "patchgam"]}, 2, ("patchgam", "did you mean 'patchgan'")),
        ({"methods": ["none", "resnet10?widht=3"]}, 2, ("widht", "did you mean 'width'")),
        ({"methods": ["none", "missing.json"]}, 4, ("missing.json", "Cannot read")),
        ({"backbones": ["unett"]}, 2, ("unett", "did you mean 'unet'")),
        ({"datasets": {"mine": {"dataset": "folder"}}}, 2, ("--data mine.data_root=DIR",)),
        ({"datasets": {"mine": {"dataset": "phantom"}}}, 3, ("no validation images", "random:2")),
        ({"architecture": {"warmup_epochs": 3}}, 2, ("warmup",)),
        ({"budget": {"epochs": 0}}, 2, ("epochs",)),
    ],
)
def test_mistakes_are_told_before_anything_trains(
    changes: dict[str, Any], code: int, words: tuple[str, ...], command: Command, tmp_path: Path
) -> None:
    result = command("compare", write_recipe(tmp_path, **changes))
    assert result.code == code, result
    for word in words:
        assert word in result.err, (word, result.err)
    assert result.err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_what_the_command_line_says_is_refused_too(command: Command, tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    command("compare", path, "--variant", "fast").refused(2, "no variant 'fast'")
    command("compare", tmp_path / "none.toml").refused(2, "Cannot read")
    command("compare", path, "--data", "mine.data_root=x").refused(2, "no data set 'mine'")
    command("compare", path, "--out", path / "runs").refused(4, "Cannot write into")


def test_a_dry_run_lists_cells_and_leaves_nothing(command: Command, tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    result = command("compare", path, "--dry-run", "--seeds", 5, "--jobs", 1)
    assert result.code == 0, result
    lines = result.out.strip().split("\n")
    assert len(lines) == 6
    assert "phantom/unet-width-4-depth-1/seed5/search: search 3 epochs, 4 epochs" in lines[4]
    assert all("FLOPs" in line for line in lines[:5])
    assert "5 cells, 5 to run, 1 at a time" in lines[5]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["recipe.toml", "split.json"]


@pytest.mark.parametrize("module", ["compare", "compare_cell"])
def test_help_and_start_import_nothing_heavy(module: str) -> None:
    code = (
        f"import sys; sys.argv = ['x', '--help']\nimport nas.cli.{module} as it\n"
        "try:\n    it.parse_options(it.Options, it.COMMAND)\n"
        "except (SystemExit, AttributeError):\n    pass\n"
        "print('modules:', *sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    printed, _, modules = run.stdout.rpartition("modules:")
    heavy = {"torch", "numpy", "scipy", "matplotlib", "skimage", "PIL", "networkx"}
    assert not {each.partition(".")[0] for each in modules.split()} & heavy
    assert module == "compare_cell" or "--retry-failed" in printed


def test_a_cell_is_no_command_of_its_own(command: Command) -> None:
    command("compare_cell").refused(2, "One folder of a cell was expected")
    command("compare_cell", "nowhere").refused(4, "nowhere/cell.json")


def start(path: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "nas.cli.compare", str(path), "--out", str(out), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def segmenter_of(folder: Path) -> list[torch.Tensor]:
    """The weights that a cell kept."""
    state = RunFolder(folder).load_checkpoint("segmenter", "segmenter")
    return list(state["weights"].values())


def without_times(comparison: Comparison) -> Comparison:
    """What must be the same however often a comparison was stopped."""

    def bare(cell: CellResult) -> CellResult:
        return msgspec.structs.replace(cell, cost=None)

    tables = tuple(
        msgspec.structs.replace(
            table,
            rows=tuple(msgspec.structs.replace(row, cost=None) for row in table.rows),
            notes=tuple(note for note in table.notes if "what it took" not in note),
        )
        for table in comparison.tables
    )
    return msgspec.structs.replace(
        comparison, created="", command="", tables=tables, cells=tuple(map(bare, comparison.cells))
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_stopped_in_the_middle_it_ends_as_if_nothing_had_happened(
    command: Command, tmp_path: Path
) -> None:
    path = write_recipe(tmp_path)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    result = command("compare", path, "--out", whole, "--jobs", 2)
    assert result.code == 0, result
    first = start(path, stopped, "--jobs", "2")
    metrics = stopped / "cells/phantom/unet-width-4-depth-1/seed0/search/search/metrics.jsonl"
    while not metrics.exists():
        assert first.poll() is None, first.communicate()
        time.sleep(0.02)
    first.send_signal(signal.SIGINT)
    out, err = first.communicate()
    assert first.returncode == 130, (out, err)
    assert f"Go on with: nas-compare {path}" in err
    ended = [each.parent for each in stopped.glob("cells/**/outcome.json")]
    assert 0 < len(ended) < 10
    before = {each: (each / "run.json").stat().st_mtime_ns for each in ended}
    result = command("compare", path, "--out", stopped, "--jobs", 2)
    assert result.code == 0, result
    assert f"10 cells, {len(ended)} of them done before" in result.out
    assert before == {each: (each / "run.json").stat().st_mtime_ns for each in ended}
    found = [read(folder / "comparison.json") for folder in (whole, stopped)]
    assert without_times(found[0]) == without_times(found[1])
    for cell in found[0].cells:
        weights = [segmenter_of(out / "cells" / cell.name) for out in (whole, stopped)]
        assert all(torch.equal(*pair) for pair in zip(*weights, strict=True))
    check_comparison(found[0], whole)
    again = command("compare", path, "--out", stopped)
    assert "10 of them done before" in again.out
    assert without_times(read(stopped / "comparison.json")) == without_times(found[0])


def check_comparison(comparison: Comparison, out: Path) -> None:
    """Cells of a seed start equal and see the same images; each is an ordinary run."""
    assert comparison.complete
    assert [row.label for row in comparison.tables[0].rows] == [
        *("none", "patchgan?receptive_field=16&width=2", "random:2, mean"),
        *("random:2, best by validation", "searched"),
    ]
    for seed in (0, 1):
        cells = [cell for cell in comparison.cells if cell.seed == seed]
        assert len({cell.initial_state for cell in cells}) == 1
        assert len({cell.split for cell in cells}) == 1
        assert {cell.epochs for cell in cells} == {4}
        assert len({cell.score for cell in cells}) > 1
    assert len({cell.initial_state for cell in comparison.cells}) == 2
    searched = [cell for cell in comparison.cells if cell.method == "search"]
    for cell in searched:
        assert cell.search_epochs == 3
        assert cell.cost is not None
        assert 0 < cell.cost.search_seconds < cell.cost.seconds
        assert (out / str(cell.genotype)).exists()
        assert (out / str(cell.search) / "genotypes/discriminator/epoch_0003.json").exists()
    for cell in comparison.cells:
        folder = out / "cells" / cell.name
        scores = json.loads((folder / "evaluation/test/scores.json").read_text())
        assert scores["pooled"]["iou"]["mean"] == pytest.approx(cell.score)
        assert scores["pooled"]["dice"]["mean_foreground"] == pytest.approx(
            cell.scores["foreground_dice"]
        )
        assert (folder / "checkpoints/segmenter.pt").exists()


OWN = """
import torch
from torch import nn

class Failing(nn.Module):
    def __init__(self, in_channels):
        super().__init__()
        self.layer = nn.Conv2d(in_channels, 1, 3)
        self.calls = 0

    def forward(self, maps):
        self.calls += 1
        logits = self.layer(maps).mean((2, 3))
        return logits * float("nan") if self.calls > 20 else logits
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_cell_that_fails_is_recorded_and_the_rest_goes_on(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    path = write_recipe(
        tmp_path,
        methods=["python:own:Failing", "none"],
        seeds=[0],
        budget={"epochs": 9},
        baseline="none",
    )
    result = command("compare", path, "--out", "out", "--jobs", 1)
    assert result.code == 0, result
    comparison = read(Path("out/comparison.json"))
    failed, finished = comparison.cells
    assert (failed.state, failed.exit_code, finished.state) == ("failed", 5, "finished")
    assert "is not a finite number" in str(failed.reason)
    assert str(failed.reason) in result.out
    assert "1 failed" in Path("out/comparison.md").read_text()
    again = command("compare", path, "--out", "out")
    assert "2 of them done before" in again.out
    method = "python:own:Failing"
    alone = write_recipe(
        tmp_path, methods=[method], seeds=[0], budget={"epochs": 9}, baseline=method
    )
    nothing = command("compare", alone, "--out", "alone", "--jobs", 1)
    nothing.refused(4, "No cell came to its end; the reasons stand in ", "alone/comparison.json")
    assert "is not a finite number" in str(read(Path("alone/comparison.json")).cells[0].reason)
