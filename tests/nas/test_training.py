"""A tiny stage that draws noise, stopped and killed in every way, must end as if it never was."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch

from nas import runs
from nas.errors import Interrupted, RunError, TrainingError
from nas.runs import RunFolder
from nas.time_share import TimeShare
from nas.tracking import Tracker
from nas.training import Position, Training, as_numbers, stop_requests

EPOCHS, STEPS = 2, 3
KILLED = 137


class Options(msgspec.Struct):
    """No settings."""


class Walk:
    """A random walk with momentum; `events` are called at (epoch, step) before the step."""

    kind = "search"

    def __init__(self, events: dict[tuple[int, int], Callable[[Walk], None]] | None = None) -> None:
        self.epochs, self.steps = EPOCHS, STEPS
        self.events = events or {}
        self.weights = torch.zeros(3)
        self.momentum = torch.zeros(3)
        self.reported: float | None = None
        self.reason: str | None = None
        self.done: list[tuple[int, int]] = []

    def step(self, epoch: int, step: int) -> dict[str, float]:
        self.events.get((epoch, step), lambda walk: None)(self)
        self.momentum = 0.9 * self.momentum + torch.randn(3)
        self.weights = self.weights + self.momentum
        self.done.append((epoch, step))
        loss = float(self.weights.square().sum()) if self.reported is None else self.reported
        return {"loss": loss, "odd": 1.0} if step % 2 else {"loss": loss}

    def finish_epoch(self, epoch: int, tracker: Tracker) -> dict[str, float]:
        return {"norm": float(self.weights.norm())}

    def stop_reason(self) -> str | None:
        return self.reason

    def state(self) -> dict[str, Any]:
        return {"weights": self.weights, "others": [{"momentum": self.momentum}]}

    def restore(self, state: dict[str, Any]) -> None:
        self.weights = state["weights"]
        self.momentum = state["others"][0]["momentum"]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return new_folder(tmp_path / "run")


def new_folder(path: Path) -> RunFolder:
    folder = RunFolder(path)
    folder.begin("search", Options())
    return folder


def train(
    folder: RunFolder, walk: Walk, resume: bool = False, minutes: float = math.inf
) -> Training:
    training = Training(walk, folder, minutes)
    torch.manual_seed(5)
    if resume:
        training.resume()
    training.run()
    return training


def outcome(folder: RunFolder) -> tuple[list[Any], list[dict[str, Any]]]:
    """Everything a run ends with, times left out."""
    state = folder.load_checkpoint("last", "search")
    numbers = [*state["stage"]["weights"].tolist()]
    numbers += state["stage"]["others"][0]["momentum"].tolist()
    numbers += state["random"]["cpu"].tolist()
    numbers += [state["position"]["epoch"], state["position"]["step"]]
    records = [{**record, "seconds": None} for record in folder.read_metrics()]
    return numbers, records


@pytest.fixture
def expected(tmp_path: Path) -> tuple[list[Any], list[dict[str, Any]]]:
    """The outcome of a run that nothing happens to."""
    undisturbed = new_folder(tmp_path / "undisturbed")
    train(undisturbed, Walk())
    return outcome(undisturbed)


def kill_self(number: int) -> Callable[[Walk], None]:
    return lambda walk: os.kill(os.getpid(), number)


def test_every_step_runs_once_and_epochs_are_recorded(folder: RunFolder) -> None:
    walk = Walk()
    train(folder, walk)
    assert walk.done == [(epoch, step) for epoch in range(EPOCHS) for step in range(STEPS)]
    records = folder.read_metrics()
    assert [record["epoch"] for record in records] == [1, 2]
    assert [record["step"] for record in records] == [3, 6]
    assert records[1]["norm"] == pytest.approx(float(walk.weights.norm()))
    assert all(record["odd"] == 1.0 for record in records)


def test_averages_are_over_the_steps_that_had_the_number() -> None:
    position = Position()
    for values in ({"a": 1.0}, {"a": 3.0, "b": 10.0}, {"a": 5.0}):
        position.add(values)
    assert position.averages() == {"a": 3.0, "b": 10.0}
    assert position.step == 3
    position.next_epoch()
    assert (position.epoch, position.step, position.averages()) == (1, 0, {})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", [(0, 0), (1, 1), (0, STEPS - 1)])
def test_a_stop_saves_names_the_command_and_goes_on_bit_for_bit(
    folder: RunFolder, expected: Any, number: int, place: tuple[int, int]
) -> None:
    before = signal.getsignal(number)
    walk = Walk({place: kill_self(number)})
    with pytest.raises(Interrupted) as stopped:
        train(folder, walk)
    assert stopped.value.exit_code == 128 + number
    assert f"nas-search --run-dir {folder.path} --resume" in str(stopped.value)
    assert walk.done[-1] == place
    assert signal.getsignal(number) is before

    rest = Walk()
    train(folder, rest, resume=True)
    assert len(walk.done + rest.done) == EPOCHS * STEPS
    assert outcome(folder) == expected


def test_a_folder_with_a_space_is_quoted_in_the_command(tmp_path: Path) -> None:
    training = Training(Walk(), RunFolder(tmp_path / "my run"), 1.0)
    assert f"'{tmp_path}/my run'" in training.resume_command()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own handler of SIGINT, also where the tests were started with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_second_signal_acts_at_once(folder: RunFolder) -> None:
    def twice(walk: Walk) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    walk = Walk({(0, 1): twice})
    with pytest.raises(KeyboardInterrupt):
        train(folder, walk)
    assert walk.done == [(0, 0)]


@pytest.mark.usefixtures("interruptible")
def test_signals_outside_of_a_run_are_not_caught() -> None:
    with stop_requests() as request:
        os.kill(os.getpid(), signal.SIGINT)
        assert request.number == signal.SIGINT
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_stop_in_the_last_epochs_end_lets_the_run_finish(folder: RunFolder) -> None:
    class Late(Walk):
        def finish_epoch(self, epoch: int, tracker: Tracker) -> dict[str, float]:
            if epoch == EPOCHS - 1:
                os.kill(os.getpid(), signal.SIGINT)
            return super().finish_epoch(epoch, tracker)

    train(folder, Late())
    assert len(folder.read_metrics()) == EPOCHS


@pytest.mark.parametrize(("minutes", "saves"), [(math.inf, EPOCHS), (0.0, EPOCHS * (STEPS + 1))])
def test_checkpoints_come_as_often_as_asked(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, minutes: float, saves: int
) -> None:
    saved = []
    original = RunFolder.save_checkpoint

    def count(self: RunFolder, name: str, kind: str, state: dict[str, Any]) -> None:
        saved.append(name)
        original(self, name, kind, state)

    monkeypatch.setattr(RunFolder, "save_checkpoint", count)
    train(folder, Walk(), minutes=minutes)
    assert len(saved) == saves


@pytest.fixture
def slow_saves(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The epochs done at each save, by a clock on which an epoch takes 100 s and a save 3 s."""
    seconds, saved = [0.0], []
    save, finish = RunFolder.save_checkpoint, Walk.finish_epoch

    def saving(self: RunFolder, name: str, kind: str, state: dict[str, Any]) -> None:
        seconds[0] += 3.0
        saved.append(state["position"]["epoch"])
        save(self, name, kind, state)

    def finishing(self: Walk, epoch: int, tracker: Tracker) -> dict[str, float]:
        seconds[0] += 100.0
        return finish(self, epoch, tracker)

    monkeypatch.setattr(RunFolder, "save_checkpoint", saving)
    monkeypatch.setattr(Walk, "finish_epoch", finishing)
    share = partial(TimeShare, now=lambda: seconds[0])
    monkeypatch.setattr("nas.training.TimeShare", share)
    return saved


def test_epochs_end_with_a_save_as_far_as_saves_keep_to_their_share(
    folder: RunFolder, slow_saves: list[int]
) -> None:
    """Without any minutes: the first end, every third behind it, the last."""
    walk = Walk()
    walk.epochs = 12
    train(folder, walk)
    assert slow_saves == [1, 3, 6, 9, 12]


@pytest.mark.parametrize(("dies", "kept"), [((4, 1), 3), ((6, 0), 6), ((10, 2), 9)])
def test_a_run_that_dies_behind_an_epoch_without_a_save_ends_bit_for_bit(
    folder: RunFolder, tmp_path: Path, slow_saves: list[int], dies: tuple[int, int], kept: int
) -> None:
    class Killed(BaseException):
        pass

    def die(walk: Walk) -> None:
        raise Killed

    walk = Walk({dies: die})
    walk.epochs = 12
    with pytest.raises(Killed):
        train(folder, walk)
    assert slow_saves[-1] == kept
    assert len(folder.read_metrics()) == dies[0]
    rest, whole = Walk(), Walk()
    rest.epochs = whole.epochs = 12
    train(folder, rest, resume=True)
    assert rest.done[0] == (kept, 0)
    undisturbed = new_folder(tmp_path / "undisturbed")
    train(undisturbed, whole)
    assert outcome(folder) == outcome(undisturbed)


def test_a_stop_is_saved_at_an_epochs_end_that_would_have_no_save(
    folder: RunFolder, slow_saves: list[int]
) -> None:
    class Stopped(Walk):
        def finish_epoch(self, epoch: int, tracker: Tracker) -> dict[str, float]:
            if epoch == 4:
                os.kill(os.getpid(), signal.SIGINT)
            return super().finish_epoch(epoch, tracker)

    walk = Stopped()
    walk.epochs = 12
    with pytest.raises(Interrupted, match="everything is saved"):
        train(folder, walk)
    assert slow_saves == [1, 3, 5]
    assert folder.load_checkpoint("last", "search")["position"]["step"] == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_stops_and_names_the_last_checkpoint(
    folder: RunFolder, value: float
) -> None:
    def spoil(walk: Walk) -> None:
        walk.reported = value

    with pytest.raises(TrainingError) as stopped:
        train(folder, Walk({(1, 1): spoil}))
    message = str(stopped.value)
    assert "loss" in message
    assert "epoch 2 after step 1" in message
    assert str(folder.checkpoint("last")) in message
    assert folder.load_checkpoint("last", "search")["position"]["epoch"] == 1


def test_without_a_checkpoint_none_is_named(folder: RunFolder) -> None:
    def spoil(walk: Walk) -> None:
        walk.reported = math.nan

    with pytest.raises(TrainingError, match="nothing was saved"):
        train(folder, Walk({(0, 1): spoil}))


@pytest.mark.parametrize("part", ["weights", "momentum"])
@pytest.mark.parametrize("minutes", [0.0, math.inf])
def test_a_state_that_is_not_finite_is_never_saved(
    folder: RunFolder, part: str, minutes: float
) -> None:
    def spoil(walk: Walk) -> None:
        getattr(walk, part)[1] = math.inf
        walk.reported = 1.0

    with pytest.raises(TrainingError, match="state of"):
        train(folder, Walk({(1, 2): spoil}), minutes=minutes)
    state = folder.load_checkpoint("last", "search")
    assert state["stage"]["weights"].isfinite().all()
    assert state["stage"]["others"][0]["momentum"].isfinite().all()
    assert [record["epoch"] for record in folder.read_metrics()] == [1]


def test_a_reason_to_stop_ends_the_run(folder: RunFolder) -> None:
    def stop(walk: Walk) -> None:
        walk.reason = "enough"

    walk = Walk({(0, 0): stop})
    train(folder, walk)
    assert len(walk.done) == STEPS
    again = Walk()
    again.reason = "enough"
    train(folder, again, resume=True)
    assert again.done == []


def test_records_of_what_runs_again_are_dropped(folder: RunFolder, expected: Any) -> None:
    with pytest.raises(Interrupted):
        train(folder, Walk({(1, 0): kill_self(signal.SIGTERM)}))
    with folder.metrics_file.open("a") as stream:
        stream.write('{"epoch": 2, "loss": 1.0}\n{"epoch": 3, "los')
    train(folder, Walk(), resume=True)
    assert outcome(folder) == expected


def test_resuming_without_a_checkpoint_starts_over(folder: RunFolder) -> None:
    folder.append_metrics({"epoch": 1})
    walk = Walk()
    train(folder, walk, resume=True)
    assert len(walk.done) == EPOCHS * STEPS
    assert len(folder.read_metrics()) == EPOCHS


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"stage": {}, "position": {}, "random": {}},
        {"stage": {"weights": torch.zeros(3), "others": []}, "position": {}, "random": {}},
        {
            "stage": {"weights": torch.zeros(3), "others": [{"momentum": torch.zeros(3)}]},
            "position": {"epochs": 3},
            "random": {"cpu": torch.get_rng_state(), "cuda": []},
        },
        {
            "stage": {"weights": torch.zeros(3), "others": [{"momentum": torch.zeros(3)}]},
            "position": {"epoch": 1},
            "random": {"cpu": torch.zeros(3), "cuda": []},
        },
    ],
)
def test_a_checkpoint_of_something_else_is_refused(
    folder: RunFolder, state: dict[str, Any]
) -> None:
    folder.save_checkpoint("last", "search", state)
    with pytest.raises(RunError, match="does not fit"):
        Training(Walk(), folder, 1.0).resume()


def killed_at(folder: RunFolder, operation: int) -> bool:
    """Train in a process that is gone right before its n-th change of a file; False if it is done.

    Nothing of a killed process runs any more, so that no clean-up hides what is left behind.
    """
    child = os.fork()
    if not child:
        _train_until(folder, operation)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED


def _train_until(folder: RunFolder, operation: int) -> None:
    left = [operation]

    def deadly(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if not left[0]:
                os._exit(KILLED)
            left[0] -= 1
            return function(*arguments, **keywords)

        return call

    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.fsync, os.replace = deadly(os.fsync), deadly(os.replace)
        runs.tempfile.mkstemp = deadly(runs.tempfile.mkstemp)
        RunFolder.append_metrics = deadly(RunFolder.append_metrics)  # type: ignore[method-assign]
        with folder.locked():
            train(folder, Walk(), minutes=0.0)
    except BaseException:
        os._exit(1)
    os._exit(0)


def test_a_kill_at_any_moment_loses_nothing(tmp_path: Path, expected: Any) -> None:
    operation = 0
    while killed_at(folder := new_folder(tmp_path / str(operation)), operation):
        with folder.locked():
            assert not list(folder.path.glob("**/.*.unfinished"))
            train(folder, Walk(), resume=True)
        assert outcome(folder) == expected, operation
        operation += 1
    assert operation > 3 * EPOCHS * STEPS
    assert outcome(folder) == expected


def test_training_goes_on_when_nobody_reads_its_output(folder: RunFolder) -> None:
    code = (
        "import sys; from pathlib import Path; from importlib import util\n"
        "spec = util.spec_from_file_location('walks', sys.argv[1])\n"
        "walks = util.module_from_spec(spec); sys.modules['walks'] = walks\n"
        "spec.loader.exec_module(walks)\n"
        "sys.stdin.readline()\n"
        "walks.train(walks.RunFolder(Path(sys.argv[2])), walks.Walk())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, __file__, str(folder.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdout.close()
    process.stdin.write(b"\n")
    process.stdin.close()
    assert process.wait(120) == 0
    assert len(folder.read_metrics()) == EPOCHS


def test_numbers_of_a_step_are_fetched_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly the values of each alone, in one transfer, whatever their types."""
    weight = torch.tensor(1 / 3, requires_grad=True)
    scalars = {"b": weight * 2, "a": torch.tensor(math.nan), "half": torch.tensor(0.1).bfloat16()}
    expected = {name: value.item() for name, value in scalars.items()}
    transfers = []
    real = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "item", None)
    monkeypatch.setattr(torch.Tensor, "tolist", lambda each: transfers.append(1) or real(each))
    found = as_numbers(scalars)
    assert list(found) == list(expected)
    assert {**found, "a": 0} == {**expected, "a": 0}
    assert math.isnan(found["a"])
    assert len(transfers) == 1
    assert as_numbers({}) == {}


def test_one_number_that_is_not_finite_is_found_anywhere() -> None:
    def stage(**parts: Any) -> Any:
        return SimpleNamespace(kind="search", state=lambda: parts)

    fine, odd = torch.ones(3), torch.tensor([1.0, math.inf])
    folder = SimpleNamespace(checkpoint=lambda name: Path("nowhere"))
    whole = Training(stage(a=[fine, {"b": fine}], c=3), folder, math.inf)
    assert whole._finite_state()["c"] == 3
    for parts in ([fine, odd], [odd, fine], [{"b": [fine, odd]}, fine]):
        with pytest.raises(TrainingError, match="state of networks"):
            Training(stage(engine=[fine], networks=parts), folder, math.inf)._finite_state()
