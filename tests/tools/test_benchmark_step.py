"""The benchmark of the step runs, counts what it says, and tells what it leaves out."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools/benchmark_step.py"
SPECIFICATION = importlib.util.spec_from_file_location(
    "machine_rates", ROOT / "tools/machine_rates.py"
)
assert SPECIFICATION is not None and SPECIFICATION.loader is not None
machine_rates = importlib.util.module_from_spec(SPECIFICATION)
sys.modules["machine_rates"] = machine_rates
SPECIFICATION.loader.exec_module(machine_rates)


def run(*words: str) -> str:
    return tell("--quick", "--device", "cpu", *words)


def tell(*words: str) -> str:
    command = [sys.executable, str(TOOL), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def test_a_quick_run_writes_its_table_and_goes_on_with_it(tmp_path: Path) -> None:
    out = tmp_path / "grid.csv"
    told = run("--orders", "second", "--out", str(out), "--steps", "1")
    assert "GFLOP/s" in told.splitlines()[0]
    (row,) = csv.DictReader(out.open())
    assert (row["px"], row["batch"], row["order"]) == ("32", "2", "second")
    for ratio, figure in (
        ("engine ratio", "s"),
        ("engine memory ratio", "MB"),
        ("engine tensor ratio", "tensor MB"),
    ):
        quotient = float(row[f"plain {figure}"]) / float(row[f"engine {figure}"])
        assert float(row[ratio]) == pytest.approx(quotient, rel=0.02)
    assert (row["plain S"], row["engine S"]) == ("9/3", "6/3")
    assert (row["plain D"], row["engine D"]) == ("14/14", "14/14")
    for side in ("plain", "engine"):
        assert 1 < float(row[f"{side} MB"]) < 1000
        assert 1000 < int(row[f"{side} launches"]) < int(row[f"{side} operations"]) < 100_000
    marked = out.read_text().replace(row["plain s"], "marked", 1)
    out.write_text(marked)
    run("--orders", "second", "first", "--out", str(out), "--steps", "1")
    assert out.read_text().startswith(marked)
    assert [each["order"] for each in csv.DictReader(out.open())] == ["second", "first"]


def test_a_table_in_words_keeps_its_commands(tmp_path: Path) -> None:
    out = tmp_path / "grid.md"
    cheap = ("--sides", "engine", "--orders", "first", "--out", str(out), "--steps", "1")
    run(*cheap)
    before = out.read_text()
    assert before.count("| 32 |") == 1 and "plain" not in before
    run(*cheap)
    assert out.read_text().startswith(before.rstrip("\n"))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run("--sides", "plain", "engine", "--out", str(out))
    assert "other columns" in refused.value.stderr


def test_captured_steps_are_replays(tmp_path: Path) -> None:
    out = tmp_path / "grid.csv"
    run("--sides", "engine", "captured", "--orders", "second", "--out", str(out), "--steps", "1")
    (row,) = csv.DictReader(out.open())
    assert row["captured S"] == row["captured D"] == "0/0"
    assert 1000 < int(row["captured operations"]) < int(row["engine operations"]) / 2
    for name in ("product share", "copy share"):
        shares = [float(row[f"{side} {name}"].removesuffix("%")) for side in ("engine", "captured")]
        times = [float(row[f"{side} s"]) for side in ("engine", "captured")]
        assert shares[0] * times[0] == pytest.approx(shares[1] * times[1], rel=0.03) != 0
    assert 0.5 < float(row["captured tensor MB"]) / float(row["engine tensor MB"]) < 2


READING = """
from torch import nn

class Reading(nn.Conv2d):
    def __init__(self, in_channels, classes):
        super().__init__(in_channels, classes, 3, padding=1)

    def forward(self, images):
        maps = super().forward(images)
        return maps * min(2.0, float(maps.detach().sum()))
"""


def test_nothing_stands_where_a_step_cannot_be_captured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reading.py").write_text(READING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    out = tmp_path / "grid.csv"
    cell = ("--px", "32", "--batches", "2", "--channels", "4", "--layout", "R", "--steps", "1")
    words = ("--backbones", "python:reading:Reading", "--orders", "first", "--out", str(out))
    tell("--device", "cpu", *cell, *words, "--sides", "engine", "captured")
    (row,) = csv.DictReader(out.open())
    assert float(row["engine s"]) > 0
    assert {row[name] for name in row if name.startswith("captured ")} == {""}


def test_cells_beyond_a_limit_are_listed_with_the_reason() -> None:
    assert "not run, plain: not done in 1 s" in run("--orders", "first", "--cell-seconds", "1")
    too_little = run("--orders", "first", "--memory-gb", "0.5")
    assert "| 32 |" not in too_little and "not run, plain:" in too_little


def test_work_is_counted_from_shapes() -> None:
    x = torch.rand(2, 4, 9, 8, requires_grad=True)
    weight = torch.rand(6, 2, 3, 3, requires_grad=True)
    with machine_rates.Work() as forward:
        y = functional.conv2d(x, weight, stride=2, padding=1, groups=2)
    multiplications = sum(
        weight[0].numel() for _ in range(y.numel())
    )  # each output entry is a sum over one filter
    assert forward.flops == 2 * multiplications
    assert forward.operations["aten::convolution"] == 1
    assert forward.bytes >= 4 * (x.numel() + weight.numel() + y.numel())
    with machine_rates.Work() as both:
        torch.autograd.grad(y.sum(), [x, weight], retain_graph=True)
    assert both.flops == 2 * forward.flops
    with machine_rates.Work() as one:
        torch.autograd.grad(y.sum(), [x])
    assert one.flops == forward.flops
    up = nn.ConvTranspose2d(4, 3, 2, stride=2)
    with machine_rates.Work() as transposed:
        up(x)
    assert transposed.flops == 2 * x.numel() * 3 * 2 * 2
    with machine_rates.Work() as product:
        nn.Linear(5, 7)(torch.rand(3, 5))
    assert product.flops == 2 * 3 * 5 * 7


def test_rates_are_those_of_a_machine() -> None:
    rates = machine_rates.machine_rates(torch.device("cpu"), quick=True)
    assert 1e8 < rates.flops < 1e15
    assert 1e8 < rates.bytes < 1e13
