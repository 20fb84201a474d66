"""What is imported before the first step of a search has ended: counted, not timed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from pathlib import Path

from nas.{stage} import run_{work}
from nas.cli.common import parse
from nas.runs import RunFolder
from nas.settings import {settings}
from nas.training import Training

class FirstStepTaken(Exception):
    pass

real = Training._step

def step(self, tracker):
    real(self, tracker)
    raise FirstStepTaken

Training._step = step
try:
    run_{work}(parse({settings}, "start", {options}), RunFolder(Path({folder!r})), resume=False)
except FirstStepTaken:
    heavy = ("torch._dynamo", "sympy", "matplotlib", "networkx", "skimage", "graphviz", "pandas")
    print("imported", [name for name in heavy if name in sys.modules])
"""

COMMON = ["--image-size", "32", "--epochs", "1", "--device", "cpu"]
COMMON += ["--backbone", "unet?width=2&depth=1"]

STAGES = [
    ("search", "search", "SearchSettings", ["--layout", "R", "--channels", "2", "--nodes", "1"]),
    ("retrain", "retraining", "RetrainSettings", ["--discriminator", "patchgan"]),
]


@pytest.mark.parametrize(("stage", "work", "settings", "options"), STAGES)
def test_nothing_but_the_first_step_is_waited_for(
    tmp_path: Path, stage: str, work: str, settings: str, options: list[str]
) -> None:
    script = SCRIPT.format(
        stage=stage,
        work=work,
        settings=settings,
        options=[*COMMON, *options],
        folder=str(tmp_path / "run"),
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout.splitlines()[-1:] == ["imported []"], found.stdout + found.stderr
