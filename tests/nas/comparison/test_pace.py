"""Epochs that fit a budget by hand; operations of a step by multiplying out its convolutions."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from nas.comparison import pace as pace_module
from nas.comparison.pace import (
    Load,
    Pace,
    epochs_of_retraining,
    epochs_of_search,
    epochs_within,
    pace_of_retraining,
    pace_of_search,
)
from nas.comparison.recipe import Budget
from nas.errors import UsageError
from nas.settings import (
    AdversarySettings,
    ArchitectureSettings,
    CellSettings,
    DataSettings,
    GameSettings,
    RetrainSettings,
    SearchSettings,
    TrainingSettings,
)

PACE = Pace(Load(10.0, 1.0, 1.0), Load(30.0, 2.0, 2.0), 2)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(9, 0), (10, 1), (19, 1), (20, 2), (49, 2), (50, 3), (110, 5), (109, 4)],
)
def test_epochs_within_a_limit_by_hand(limit: float, expected: int) -> None:
    assert epochs_within(PACE, "flops", limit) == expected
    assert PACE.of(expected).flops <= limit < PACE.of(expected + 1).flops


def test_a_search_has_its_share_and_the_retraining_the_rest() -> None:
    budget = Budget(flops=220.0, search_share=0.5)
    assert epochs_of_search(PACE, budget) == 5
    assert epochs_of_retraining(PACE, budget, spent=110.0) == 5
    assert epochs_of_retraining(PACE, budget, spent=0.0) == 8
    seconds = Budget(process_seconds=8.0, search_share=0.25)
    assert epochs_of_retraining(PACE, seconds, spent=2.0) == 4


def test_a_budget_that_is_too_small_is_told() -> None:
    with pytest.raises(UsageError, match=r"3 or more are needed, which take 50"):
        epochs_of_search(PACE, Budget(flops=80.0))
    with pytest.raises(UsageError, match="leaves no epoch of the retraining, which takes 10"):
        epochs_of_retraining(PACE, Budget(flops=100.0), spent=95.0)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataSettings:
    """The phantom with few images; a network of one 3x3 convolution can be named."""
    (tmp_path / "own_layer.py").write_text(
        "from torch import nn\n"
        "def one(in_channels, classes):\n"
        "    return nn.Conv2d(in_channels, classes, 3, padding=1, bias=False)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return DataSettings(image_size="32", train_images=4, val_images=1)


def test_an_epoch_is_as_many_times_the_mean_step_as_it_has_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a clock that a step moves by a second, and the first one, which prepares, by a hundred."""
    clock = {"now": 0.0}

    def step(epoch: int, number: int) -> None:
        clock["now"] += 1 if clock["now"] else 100

    clocks = SimpleNamespace(process_time=lambda: clock["now"], monotonic=lambda: 2 * clock["now"])
    monkeypatch.setattr(pace_module, "time", clocks)
    stage = SimpleNamespace(steps=12, step=step)
    load = pace_module._load(stage, [], 0, validate_every=1)  # type: ignore[arg-type]
    assert (load.process_seconds, load.seconds) == (12, 24)


@pytest.mark.parametrize("every", [1, 4])
def test_a_validation_counts_by_the_part_of_the_epochs_that_have_one(
    monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    """Of 8 s, behind 12 steps of a second."""
    clock = {"now": 0.0}

    def move(seconds: float) -> None:
        clock["now"] += seconds

    clocks = SimpleNamespace(process_time=lambda: clock["now"], monotonic=lambda: 2 * clock["now"])
    monkeypatch.setattr(pace_module, "time", clocks)
    monkeypatch.setattr(pace_module, "validate", lambda *_: move(8.0))
    game = SimpleNamespace(segmenter=None, criterion=None)
    stage = SimpleNamespace(
        steps=12, step=lambda epoch, step: move(1.0), game=game, data=SimpleNamespace(classes=())
    )
    load = pace_module._load(stage, ["case"], 0, every)  # type: ignore[arg-type]
    assert (load.process_seconds, load.seconds) == (12 + 8 / every, 24 + 16 / every)


def test_operations_of_a_retraining_are_those_of_its_convolution(data: DataSettings) -> None:
    """Forward, and backward to the weights alone, since nothing is learnt of the images."""
    settings = RetrainSettings(
        backbone="python:own_layer:one",
        adversary=AdversarySettings(discriminator="none"),
        data=data,
        training=TrainingSettings(batch_size=2),
    )
    pace = pace_of_retraining(settings)
    multiply_adds = 4 * 9 * 32 * 32
    assert pace.late.flops == 2 * multiply_adds * 2 * 4
    assert pace.early_epochs == 0
    assert pace.late.process_seconds > 0


def test_an_adversary_that_begins_late_costs_late(data: DataSettings) -> None:
    settings = RetrainSettings(
        backbone="python:own_layer:one",
        adversary=AdversarySettings(discriminator="patchgan?width=2&receptive_field=16"),
        game=GameSettings(adversarial_start=4),
        data=data,
        training=TrainingSettings(batch_size=2),
    )
    pace = pace_of_retraining(settings)
    assert pace.early_epochs == 3
    assert pace.early.flops < pace.late.flops


def test_a_search_costs_more_than_its_warm_up(data: DataSettings) -> None:
    settings = SearchSettings(
        backbone="python:own_layer:one",
        data=data,
        cell=CellSettings(channels=2, nodes=1, layout="R", operations=("sep_conv_3x3",)),
        training=TrainingSettings(batch_size=2),
        architecture=ArchitectureSettings(warmup_epochs=1),
    )
    pace = pace_of_search(settings)
    assert pace.early_epochs == 1
    assert 0 < 2 * pace.early.flops < pace.late.flops
    first_order = msgspec.structs.replace(settings.architecture, order="first")
    cheaper = pace_of_search(msgspec.structs.replace(settings, architecture=first_order))
    assert cheaper.late.flops < pace.late.flops
