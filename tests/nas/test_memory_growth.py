"""A search holds no more memory after many steps than after few."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nas import illustration
from nas.preparation import Data
from nas.runs import RunFolder
from nas.search import SearchStage
from nas.settings import (
    ArchitectureSettings,
    CellSettings,
    RunSettings,
    SearchSettings,
    TrainingSettings,
)
from nas.training import Training


def resident() -> float:
    """Of this process, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def tensors() -> int:
    """Alive, as the garbage collector knows them."""
    gc.collect()
    return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_memory_does_not_grow_over_a_thousand_steps(
    tmp_path: Path, discs: Callable[..., Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole run: second order, diagnosis, records, checkpoints; its pictures are drawn before."""
    settings = SearchSettings(
        backbone="unet?width=2&depth=1",
        cell=CellSettings(layout="R", channels=2, nodes=1, operations=("none", "sep_conv_3x3")),
        training=TrainingSettings(epochs=112, batch_size=2),
        architecture=ArchitectureSettings(diagnose_every=50),
        run=RunSettings(device="cpu", threads=1),
    )
    monkeypatch.setattr(illustration, "SHARE_OF_TIME", 0.0)
    folder = RunFolder(tmp_path / "run")
    folder.begin("search", settings)
    stage = SearchStage(settings, folder, discs(train=40, val=0))
    assert stage.steps * settings.training.epochs >= 1100
    seen: dict[int, tuple[float, int]] = {}
    real = stage.step

    def watched(epoch: int, step: int) -> dict[str, float]:
        numbers = real(epoch, step)
        if (done := epoch * stage.steps + step) in (100, 1100):
            seen[done] = resident(), tensors()
        return numbers

    monkeypatch.setattr(stage, "step", watched)
    Training(stage, folder, checkpoint_minutes=0.01).run()
    (memory, alive), (later, alive_later) = seen[100], seen[1100]
    assert alive_later <= alive
    assert later - memory < 8
