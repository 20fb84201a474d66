"""Whatever the plan and however its streams run, work leaves the same bits."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam

from nas.replay import arrangement
from nas.replay.places import leaves
from nas.replay.recordings import Recordings
from nas.replay.schedule import Schedule
from nas.replay.streams import Streams
from nas.traceless import same_noise
from search_spaces.cell import CellSupernet
from search_spaces.description import Normalisation
from search_spaces.kernel_choice import choose_kernels
from search_spaces.kernels.tape import Call

Work = Callable[[], list[Tensor]]


class Training:
    """Steps of a segmenter that draws and tracks, and of a relaxed cell that judges it."""

    def __init__(self, normalisation: Normalisation) -> None:
        torch.manual_seed(3)
        noisy = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.5)
        self.segmenter = nn.Sequential(*noisy, nn.MaxPool2d(2), nn.Conv2d(4, 3, 1), nn.Softmax(1))
        self.judge = CellSupernet(
            3, channels=16, layout="NR", nodes=2, normalisation=normalisation, stem_multiplier=1
        )
        self.images = torch.randn(2, 1, 16, 16)
        self.weights = [*self.segmenter.parameters(), *self.judge.parameters()]
        self.optimizer = Adam(self.weights, 1e-2, fused=True, capturable=True)

    def step(self) -> list[Tensor]:
        with same_noise(self.weights):
            probed = self.judge(self.segmenter(self.images)).mean()
        verdicts = self.judge(self.segmenter(self.images))
        loss = verdicts.square().mean() + probed
        for weight, slope in zip(
            self.weights, torch.autograd.grad(loss, self.weights), strict=True
        ):
            weight.grad = slope
        self.optimizer.step()
        with torch.no_grad():
            noised = self.images + torch.randn_like(self.images) * torch.rand(())
        return [verdicts.detach(), noised, loss.detach()]

    def state(self) -> list[Tensor]:
        moments = [each for state in self.optimizer.state.values() for each in state.values()]
        networks = [*self.segmenter.state_dict().values(), *self.judge.state_dict().values()]
        return [*networks, *moments, torch.get_rng_state()]


@pytest.fixture(params=["torch", "compiled"])
def _kernels(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "compiled":
        pytest.importorskip("numba", reason="kernels need numba")
    choose_kernels(request.param)
    yield
    choose_kernels("auto")


class RandomPlans:
    """Orders that are right, and streams, as drawn."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(
        self, costs: Sequence[float], needed: Sequence[Iterable[int]], streams: int
    ) -> Schedule:
        left = [set(before) for before in needed]
        needing: list[list[int]] = [[] for _ in needed]
        for call, before in enumerate(left):
            for other in before:
                needing[other].append(call)
        ready = [call for call, before in enumerate(left) if not before]
        order: list[int] = []
        while ready:
            call = ready.pop(self._random.randrange(len(ready)))
            order.append(call)
            for other in needing[call]:
                left[other].discard(call)
                if not left[other]:
                    ready.append(other)
        return Schedule(order, [self._random.randrange(streams) for _ in needed])


class Interleaved(Streams):
    """Makes the calls of all streams in one thread, in turns as drawn."""

    drawn = random.Random(0)

    def run(self) -> None:
        left = [list(reversed(steps)) for steps in self.steps]
        with torch.no_grad():
            while any(left):
                steps = self.drawn.choice([each for each in left if each])
                for _ in range(self.drawn.randrange(1, 40)):
                    function, given, named = steps[-1]
                    if getattr(function, "__name__", "") == "acquire":
                        if not function(blocking=False):
                            break
                    else:
                        function(*given, **named)
                    steps.pop()
                    if not steps:
                        break


@pytest.mark.usefixtures("_kernels")
@pytest.mark.parametrize("normalisation", ["batch", "group"])
@pytest.mark.parametrize("seed", range(3))
def test_streams_leave_the_bits_of_the_work(
    normalisation: Normalisation, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrangement, "schedule", RandomPlans(seed))
    monkeypatch.setattr(arrangement, "Streams", Interleaved)
    monkeypatch.setattr(arrangement, "SLACK", 1e-4 * seed)
    check(Training(normalisation), streams=2 + seed)


@pytest.mark.usefixtures("_kernels")
@pytest.mark.parametrize("streams", [1, 2, 3])
def test_threads_leave_the_bits_of_the_work(streams: int) -> None:
    check(Training("batch"), streams)


def check(training: Training, streams: int) -> None:
    """The second step is recorded, and two behind it are replayed: as without a recording."""
    training.step()
    eager = copy.deepcopy(training)
    noise = torch.get_rng_state()
    expected = [(eager.step(), [each.clone() for each in eager.state()]) for _ in range(3)]
    torch.set_rng_state(noise)
    found, replay = Recordings(streams).record(training.step)
    for results, state in expected:
        for one, other in zip([*found, *training.state()], [*results, *state], strict=True):
            assert torch.equal(one, other)
        replay()


class Watched(Streams):
    """Makes calls in order, and looks at what they do not tell that they write."""

    def __init__(self, calls: Sequence[Call], plan: Schedule, *more: Any) -> None:
        super().__init__(calls, plan, *more)
        self.calls = [calls[number] for number in plan.order]

    def run(self) -> None:
        for call in self.calls:
            written = [bytes_of(each) for each in leaves(call.written) if has_bytes(each)]
            given = [each for each in leaves([call.arguments, call.options]) if has_bytes(each)]
            kept = [each for each in given if not any(overlap(each, own) for own in written)]
            before, noise = [copies(each) for each in kept], torch.get_rng_state()
            with torch.no_grad():
                call.function(*call.arguments, **call.options)
            assert [copies(each) for each in kept] == before, call.function
            draws = any(isinstance(each, torch.Generator) for each in leaves(call.written))
            assert draws or torch.equal(noise, torch.get_rng_state()), call.function


def has_bytes(leaf: Any) -> bool:
    return isinstance(leaf, (Tensor, np.ndarray)) and bool(np.prod(leaf.shape))


def bytes_of(leaf: Any) -> np.ndarray:
    return leaf.detach().numpy() if isinstance(leaf, Tensor) else leaf


def copies(leaf: Any) -> bytes:
    return bytes_of(leaf).tobytes()


def overlap(leaf: Any, written: np.ndarray) -> bool:
    return np.may_share_memory(bytes_of(leaf), written)


@pytest.mark.usefixtures("_kernels")
@pytest.mark.parametrize("normalisation", ["batch", "group", "instance"])
def test_calls_write_only_what_they_tell(
    normalisation: Normalisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrangement, "Streams", Watched)
    check(Training(normalisation), streams=1)
