"""Learning rates over the epochs against their definitions, and early stopping."""

from __future__ import annotations

import math

import pytest
import torch
from torch.optim import SGD, Adam, Optimizer

from nas.errors import UsageError
from nas.rates import EarlyStopping, RateSchedule, check_rates, parse_table
from nas.settings import TrainingSettings

LIVNE = ("21:0.5", "101:0.1", "151:0.05", "201:0.01", "251:0.005")


def optimizer(rate: float = 1e-3) -> Optimizer:
    return Adam([torch.nn.Parameter(torch.zeros(1))], rate)


def rates(settings: TrainingSettings, epochs: int, monitored: list[float] | None = None) -> list:
    """The rate of each epoch."""
    each = optimizer()
    schedule = RateSchedule(settings, [each], 10)
    found = []
    for epoch in range(epochs):
        found.append(each.param_groups[0]["lr"])
        each.step()
        schedule.after_epoch(None if monitored is None else monitored[epoch])
    return found


def test_constant_stays() -> None:
    assert rates(TrainingSettings(), 5) == [1e-3] * 5


def test_livnes_table_epoch_by_epoch() -> None:
    found = rates(TrainingSettings(lr_schedule="table", lr_table=LIVNE), 300)
    published = [(20, 1e-3), (100, 5e-4), (150, 1e-4), (200, 5e-5), (250, 1e-5), (300, 5e-6)]
    expected = [next(rate for last, rate in published if e <= last) for e in range(1, 301)]
    assert found == pytest.approx(expected)


def test_ayushs_decay() -> None:
    found = rates(TrainingSettings(lr_schedule="decay", lr_factor=0.8, lr_every=20), 65)
    assert found == pytest.approx([1e-3 * 0.8 ** (epoch // 20) for epoch in range(65)])


def test_cosine_goes_down_to_its_floor() -> None:
    found = rates(TrainingSettings(lr_schedule="cosine", epochs=99, lr_min=1e-4), 10)
    expected = [1e-4 + 9e-4 * (1 + math.cos(math.pi * epoch / 10)) / 2 for epoch in range(10)]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("monitor", "sign"), [("mean_iou", 1.0), ("foreground_iou", 1.0), ("val_loss", -1.0)]
)
def test_plateau_lowers_after_its_patience_and_not_below_its_floor(
    monitor: str, sign: float
) -> None:
    settings = TrainingSettings(
        lr_schedule="plateau", lr_patience=2, lr_factor=0.5, lr_min=4e-4, monitor=monitor
    )
    better = [sign * value for value in (1.0, 2.0, 3.0)]
    found = rates(settings, 12, [*better, *[sign * 2.5] * 9])
    assert found == pytest.approx([1e-3] * 6 + [5e-4] * 3 + [4e-4] * 3)


def test_all_networks_keep_their_ratio() -> None:
    pair = [optimizer(1e-3), optimizer(1e-4)]
    schedule = RateSchedule(TrainingSettings(lr_schedule="decay", lr_every=1), pair, 10)
    for each in pair:
        each.step()
    schedule.after_epoch(None)
    first, second = (each.param_groups[0]["lr"] for each in pair)
    assert first == pytest.approx(8e-4)
    assert second == pytest.approx(8e-5)


@pytest.mark.parametrize("name", ["constant", "table", "plateau", "decay", "cosine"])
def test_a_restored_schedule_goes_on_as_if_never_left(name: str) -> None:
    table = ("3:0.5", "5:0.1") if name == "table" else ()
    settings = TrainingSettings(lr_schedule=name, lr_table=table, lr_patience=1, lr_every=2)
    values = [0.5, 0.4, 0.4, 0.6, 0.3, 0.3, 0.3, 0.3]
    whole = rates(settings, 8, values)
    first = optimizer()
    schedule = RateSchedule(settings, [first], 10)
    for value in values[:4]:
        first.step()
        schedule.after_epoch(value)
    weights, kept = first.state_dict(), schedule.state()
    second = optimizer()
    again = RateSchedule(settings, [second], 10)
    again.restore(kept)
    second.load_state_dict(weights)
    found = []
    for value in values[4:]:
        found.append(second.param_groups[0]["lr"])
        second.step()
        again.after_epoch(value)
    assert found == pytest.approx(whole[4:])


def test_the_state_can_be_saved_and_loaded_without_executing_anything(tmp_path) -> None:
    for name in ("table", "plateau", "decay", "cosine", "constant"):
        table = ("3:0.5",) if name == "table" else ()
        settings = TrainingSettings(lr_schedule=name, lr_table=table)
        schedule = RateSchedule(settings, [SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)], 10)
        torch.save(schedule.state(), tmp_path / name)
        assert torch.load(tmp_path / name, weights_only=True) == schedule.state()


def test_tables() -> None:
    assert parse_table(["21:0.5", "101:1e-1"]) == {21: 0.5, 101: 0.1}


@pytest.mark.parametrize(
    "entries", [["21"], ["a:1"], ["5:0.1", "5:0.2"], ["0:1"], ["3:-1"], ["3:nan"]]
)
def test_malformed_tables_are_refused(entries: list[str]) -> None:
    with pytest.raises(UsageError, match="--lr-table"):
        parse_table(entries)


def test_a_table_and_its_schedule_belong_together() -> None:
    with pytest.raises(UsageError, match="together"):
        check_rates(TrainingSettings(lr_schedule="table"))
    with pytest.raises(UsageError, match="together"):
        check_rates(TrainingSettings(lr_table=("3:0.5",)))
    check_rates(TrainingSettings(lr_schedule="table", lr_table=("3:0.5",)))


def test_early_stopping_counts_epochs_without_gain() -> None:
    stopping = EarlyStopping(2, "mean_iou")
    for value in (0.1, 0.3, 0.3):
        stopping.after_epoch(value)
        assert stopping.stop_reason() is None
    stopping.after_epoch(0.2)
    assert "2 epochs" in str(stopping.stop_reason())
    again = EarlyStopping(2, "mean_iou")
    again.restore(stopping.state())
    assert again == stopping


def test_a_gain_begins_the_count_anew() -> None:
    stopping = EarlyStopping(2, "mean_iou")
    for value in (0.1, 0.0, 0.2, 0.1, 0.3, 0.2):
        stopping.after_epoch(value)
        assert stopping.stop_reason() is None


def test_less_is_better_for_a_loss() -> None:
    stopping = EarlyStopping(1, "val_loss")
    for value in (3.0, 2.0, 1.0):
        stopping.after_epoch(value)
        assert stopping.stop_reason() is None
    stopping.after_epoch(1.5)
    assert stopping.stop_reason()


def test_without_patience_nothing_stops() -> None:
    stopping = EarlyStopping(0, "mean_iou")
    for _ in range(50):
        stopping.after_epoch(0.0)
    assert stopping.stop_reason() is None


@pytest.mark.parametrize("schedule", ["plateau", "cosine"])
def test_a_floor_above_a_rate_is_refused(schedule: str) -> None:
    settings = TrainingSettings(lr_schedule=schedule, lr_min=1e-4, segmenter_lr=1e-3)
    check_rates(settings)
    with pytest.raises(UsageError, match="--lr-min"):
        check_rates(TrainingSettings(lr_schedule=schedule, lr_min=2e-4, segmenter_lr=1e-3))
