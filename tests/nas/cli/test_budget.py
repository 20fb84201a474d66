"""nas-search --budget: the run is the one that the picked settings give by hand."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.budget import pick
from nas.budget.limits import Measured, Unmeasured
from nas.budget.timetable import ENDS
from nas.runs import RunFolder
from nas.settings import SearchSettings

Command = Callable[..., Any]
GB = 1e9


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[SearchSettings]:
    """Replaces the probe: second order takes 10 s a step and 2 GB, one product 5 s, first order 1 s
    and 1 GB; recomputed cells half the memory, captured steps half the time. The settings that are
    asked for are kept."""
    found: list[SearchSettings] = []

    def probe(settings: SearchSettings, seconds: float) -> Measured | Unmeasured:
        found.append(settings)
        architecture = settings.architecture
        first, both = architecture.order == "first", architecture.product_for == "both"
        step = (1.0 if first else 10.0 if both else 5.0) / (2 if settings.run.capture else 1)
        size = (1 if first else 2) * GB / (2 if settings.cell.recompute_cells else 1)
        ends = dict.fromkeys(ENDS, 0.0)
        return Measured(1, 0.0, {"step": step, "step of the warm-up": 1.0, **ends}, size, GB / 4)

    monkeypatch.setattr(pick, "probe", probe)
    return found


def content(path: Path) -> tuple[Any, ...]:
    """All that a run has found, without times and the command."""
    folder = RunFolder(path)
    records = [
        {name: value for name, value in record.items() if name != "seconds"}
        for record in folder.read_metrics()
    ]
    genotypes = [json.loads(each.read_text()) for each in folder.genotype_files("discriminator")]
    for each in genotypes:
        del each["provenance"]["created"]
    return folder.settings_file.read_text(), folder.split_file.read_text(), records, genotypes


def equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return bool(first == second)


def same_run(first: Path, second: Path) -> bool:
    """Bit for bit, the position's seconds left out."""
    states = [RunFolder(path).load_checkpoint("last", "search") for path in (first, second)]
    for state in states:
        del state["position"]["seconds"]
    return content(first) == content(second) and equal(*states)


def test_a_tight_budget_runs_and_resumes_as_its_pick_does_by_hand(
    command: Command, search_options: list[object], asked: list[SearchSettings]
) -> None:
    found = command("search", *search_options, "--run-dir", "run", "--budget", "0.05min")
    assert found.code == 0, found
    assert len(asked) == 3
    assert "--budget 0.05min has picked --order first: 2 s and 1.00 GB" in found.out
    command("search", *search_options, "--run-dir", "hand", "--order", "first")
    assert same_run(Path("run"), Path("hand"))
    record = json.loads(Path("run/budget.json").read_text())
    assert record["picked"] == "--order first"
    assert [row["seconds"] > 3 for row in record["tried"]] == [True, True, False]
    assert "has picked --order first" in Path("run/notes.txt").read_text()
    assert "--product-for discriminator" in Path("run/budget.md").read_text()

    RunFolder(Path("run")).checkpoint("last").unlink()
    for budget in ((), ("--budget", "0.05min")):
        result = command("search", "--run-dir", "run", "--resume", *budget)
        assert result.code == 0, result
    assert len(asked) == 3
    assert json.loads(Path("run/budget.json").read_text()) == record
    assert same_run(Path("run"), Path("hand"))
    again = command("search", "--run-dir", "run", "--resume", "--budget", "2h")
    again.refused(4, "was started with --budget 0.05min")
    none = command("search", "--run-dir", "hand", "--resume", "--budget", "2h")
    none.refused(4, "was started with no --budget")


def test_time_is_won_by_captured_steps_before_anything_is_lost(
    command: Command,
    search_options: list[object],
    asked: list[SearchSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pick, "CAPTURED_AFTER", 0)
    found = command("search", *search_options, "--run-dir", "run", "--budget", "0.2min")
    assert found.code == 0, found
    assert [each.run.capture for each in asked] == [False, True]
    assert "has picked --capture: 10 s and 2.00 GB" in found.out
    assert "What is lost: nothing but memory." in found.out
    command("search", *search_options, "--run-dir", "hand", "--capture")
    assert same_run(Path("run"), Path("hand"))


def test_memory_is_won_by_recomputed_cells_before_anything_is_lost(
    command: Command, search_options: list[object], asked: list[SearchSettings]
) -> None:
    found = command(
        "search", *search_options, "--run-dir", "run", "--epochs", 1, "--budget", "1.2GB", "10min"
    )
    assert found.code == 0, found
    settings = tomllib.loads(Path("run/settings.toml").read_text())
    assert settings["cell"]["recompute_cells"] is True
    assert settings["architecture"]["order"] == "second"
    assert len(asked) == 2


def test_what_is_given_is_not_touched(
    command: Command, search_options: list[object], asked: list[SearchSettings]
) -> None:
    Path("recipe.toml").write_text('[architecture]\nproduct_for = "both"\n')
    result = command(
        *("search", *search_options, "--config", "recipe.toml", "--order", "second"),
        *("--budget", "0.05min", "--run-dir", "run"),
    )
    result.refused(2, "nothing fits. The cheapest, your settings, would take 20 s and 2.00 GB")
    assert all(each.architecture == asked[0].architecture for each in asked)
    assert asked[0].architecture.order == "second"
    assert not Path("run").exists()


def test_nothing_that_fits_is_told_with_what_would(
    command: Command, search_options: list[object], asked: list[SearchSettings]
) -> None:
    result = command(
        *("search", *search_options, "--epochs", 20, "--image-size", 40),
        *("--budget", "0.25min", "--run-dir", "run"),
    )
    result.refused(
        *(2, "--order first, would take 20 s and 1.00 GB: lower --epochs to 14, or --image-size "),
        "to about 32, or allow more",
    )
    assert not Path("run").exists()


def test_a_run_that_is_slower_than_probed_says_so_and_goes_on(
    command: Command,
    search_options: list[object],
    asked: list[SearchSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nas.budget.pick_record.LATE", 1e-9)
    result = command("search", *search_options, "--run-dir", "run", "--budget", "10min")
    assert result.code == 0, result
    assert result.out.count("The run will take about") == 1
    assert "The run will take about" in Path("run/notes.txt").read_text()
    assert len(RunFolder(Path("run")).read_metrics()) == 2


def test_an_ample_budget_leaves_no_trace(command: Command, search_options: list[object]) -> None:
    """With the real probe."""
    result = command("search", *search_options, "--run-dir", "run", "--budget", "100h", "100GB")
    assert result.code == 0, result
    assert "--budget 100h 100GB: your settings fit, and nothing is changed" in result.out
    command("search", *search_options, "--run-dir", "plain")
    assert same_run(Path("run"), Path("plain"))
    record = json.loads(Path("run/budget.json").read_text())
    (row,) = record["tried"]
    assert row["fits"] and row["seconds_per_step"] > 0 and row["peak_bytes"] > 50e6
    assert record["probe_seconds"] > 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("90",), "'90' is neither"),
        (("8", "apples"), "'8' is neither"),
        (("90min", "2h"), "'2h' is a second limit"),
        (("1GB", "2GB"), "'2GB' is a second limit"),
    ],
)
def test_bad_words_get_one_sentence(
    command: Command, search_options: list[object], words: tuple[str, ...], told: str
) -> None:
    command("search", *search_options, "--run-dir", "run", "--budget", *words).refused(2, told)
    assert not Path("run").exists()


def test_a_negative_time_gets_one_sentence(command: Command, search_options: list[object]) -> None:
    command("search", *search_options, "--budget=-1min").refused(2, "'-1min' is neither")


def test_a_retraining_has_no_budget(command: Command, options: list[object]) -> None:
    assert command("retrain", *options, "--budget", "1h").code == 2
