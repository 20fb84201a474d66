"""A recording does again what it has seen, and refuses what it could not do again."""

from __future__ import annotations

import copy
import gc
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD
from torch.utils._python_dispatch import TorchDispatchMode

from nas.replay.memory import Arena
from nas.replay.operations import CannotBeRecordedError
from nas.replay.recordings import Recordings
from nas.traceless import same_noise
from search_spaces.arrays import array_of
from search_spaces.cell import CellSupernet
from search_spaces.description import Normalisation
from search_spaces.kernel_choice import choose_kernels
from search_spaces.kernels.tape import call, dense, taped

Work = Callable[[], Any]
REPLAYS = 2


class Step(NamedTuple):
    """A network's training on the values in a tensor."""

    network: nn.Module
    x: Tensor
    work: Callable[[], list[Tensor]]


def step(network: nn.Module, x: Tensor) -> Step:
    optimizer = SGD(network.parameters(), 0.5, momentum=0.5)
    weights = list(network.parameters())

    def work() -> list[Tensor]:
        verdicts = network(x)
        slopes = torch.autograd.grad(verdicts.square().mean(), weights)
        for weight, slope in zip(weights, slopes, strict=True):
            weight.grad = slope
        optimizer.step()
        return [verdicts.detach(), *slopes]

    return Step(network, x, work)


def check(new: Callable[[], Step]) -> None:
    """The first step, with which optimisers take memory, is never recorded."""
    eager, replayed = new(), new()
    inputs = [torch.randn_like(eager.x) for _ in range(REPLAYS + 2)]

    def compare(found: list[Tensor], expected: list[Tensor]) -> None:
        for place, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert torch.equal(one, other), place
        state = eager.network.state_dict()
        for name, value in replayed.network.state_dict().items():
            assert torch.equal(value, state[name]), name

    for each in (eager, replayed):
        each.x.copy_(inputs[0])
        each.work()
    for each in (eager, replayed):
        each.x.copy_(inputs[1])
    found, replay = Recordings().record(replayed.work)
    compare(found, eager.work())
    for values in inputs[2:]:
        for each in (eager, replayed):
            each.x.copy_(values)
        replay()
        compare(found, eager.work())


def test_a_replay_is_the_work_on_other_values() -> None:
    def new() -> Step:
        torch.manual_seed(1)
        parts = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(2)
        return step(nn.Sequential(*parts), torch.empty(2, 1, 8, 8))

    check(new)


@pytest.fixture
def compiled() -> Iterator[None]:
    pytest.importorskip("numba", reason="kernels need numba")
    choose_kernels("compiled")
    yield
    choose_kernels("auto")


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest, use_threads: Callable[[int], None]) -> None:
    use_threads(request.param)


@pytest.mark.parametrize("streams", [1, 2, 3])
def test_work_and_replays_have_the_share_of_one_stream_in_the_threads(
    streams: int, use_threads: Callable[[int], None]
) -> None:
    use_threads(4)
    told: list[int] = []

    def look(numbers: np.ndarray) -> None:
        told.append(torch.get_num_threads())
        time.sleep(0.001)

    arrays = [array_of(torch.zeros(4)) for _ in range(6)]

    def work() -> None:
        for each in arrays:
            call(look, (each,), [each])

    recordings = Recordings(streams)
    recordings.warm_up(work)
    recordings.record(work)[1]()
    assert told == [4 // streams] * 18
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("compiled", "threads")
@pytest.mark.parametrize("normalisation", ["batch", "group", "instance"])
def test_kernels_are_replayed_bit_for_bit(normalisation: Normalisation) -> None:
    generator = torch.Generator().manual_seed(2)
    supernet = CellSupernet(
        3,
        channels=16,
        layout="NR",
        nodes=2,
        normalisation=normalisation,
        stem_multiplier=1,
        generator=generator,
    )
    assert len(supernet.alphas()) == 2
    check(lambda: step(copy.deepcopy(supernet), torch.empty(2, 3, 8, 8)))


def repeated(work: Work, *given: Tensor) -> Any:
    """What a replay leaves behind when other values were given; it is the work's on these."""
    found, replay = Recordings().record(work)
    for tensor in given:
        tensor.copy_(torch.randn_like(tensor))
    replay()
    return found


def as_tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array)


X = torch.rand(3, 4)

KEPT: dict[str, Callable[[Tensor], Tensor]] = {
    "elementwise": lambda x: (x * 2 + 1).exp(),
    "in place": lambda x: (x * 2).add_(x).t().mul_(3),
    "a view of a part": lambda x: (x + 1)[1:].t()[::2],
    "parts of what is given": lambda x: x[1:] * x.view(-1)[2:10].view(2, 4),
    "strides": lambda x: x.t().clone() * x.t(),
    "into given memory": lambda x: torch.mul(x, 3, out=torch.empty(3, 4)) + 1,
    "zeros": lambda x: torch.zeros(3, 4).add_(x) + torch.ones_like(x).sub_(x),
    "empty, then written": lambda x: torch.empty(3, 4).copy_(x),
    "several results": lambda x: x.sort(1)[0] + x.sort(1)[1],
    "lists": lambda x: torch._foreach_mul([x, x + 1], 2.0)[1],
    "nothing but views": lambda x: x.t().reshape(2, 6).view(12),
    "what an operation gives back as it is": lambda x: x.to(torch.float32).contiguous() * 2,
    "no numbers": lambda x: torch.cat([x[:0] * 2, x]),
    "an array": lambda x: as_tensor(array_of(x) * 2),
    "an array of a result": lambda x: as_tensor(array_of(x + 1) * 2) * 2,
    "an array of a turned tensor": lambda x: as_tensor(array_of(x.t()) + 1),
    "a turned array": lambda x: as_tensor(dense((array_of(x) * 2).T)) + 1,
    "a reversed array": lambda x: as_tensor(dense((array_of(x) * 2)[::-1, ::-1])),
    "a part of an array": lambda x: as_tensor((array_of(x) * 2)[1:]) + 1,
    "filled arrays": lambda x: as_tensor(np.ones_like(array_of(x)) + array_of(x)),
}


@pytest.mark.parametrize("name", KEPT)
def test_results_are_those_on_other_values(name: str) -> None:
    x = X.clone()
    found = repeated(lambda: KEPT[name](x), x)
    assert torch.equal(found, KEPT[name](x))


@pytest.mark.parametrize(
    "work", [lambda x: as_tensor(x.T + 1), lambda x: as_tensor(np.empty_like(x.T)).copy_(X.t())]
)
def test_arrays_that_last_need_not_be_in_order(work: Callable[[np.ndarray], Tensor]) -> None:
    """The second one is spoilt before it is written again."""
    x = X.clone()
    found, replay = Recordings().record(lambda: work(array_of(x)))
    found.fill_(7)
    x.mul_(2)
    replay()
    assert torch.equal(found, work(x.numpy()))


def test_an_operation_may_change_what_it_is_given_and_make_more() -> None:
    x, mean, variance = X.clone(), torch.zeros(4), torch.ones(4)
    norm = torch.ops.aten._native_batch_norm_legit.default
    found = repeated(lambda: norm(x, None, None, mean, variance, True, 0.1, 1e-5)[0], x)
    assert torch.equal(found, norm(x, None, None, mean, variance, True, 0.1, 1e-5)[0])


def test_the_work_is_done_while_it_is_recorded() -> None:
    x, total = X.clone(), torch.zeros(3, 4)
    found, replay = Recordings().record(lambda: total.add_(x))
    assert found is total
    assert torch.equal(total, x)
    replay()
    assert torch.equal(total, 2 * x)
    assert Recordings().warm_up(lambda: total.sub_(x)) is total
    assert torch.equal(total, x)


class Counting(TorchDispatchMode):
    """Notes the names of operations."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.names.append(func.name())
        return func(*args, **(kwargs or {}))


def test_views_and_what_is_given_back_are_not_replayed() -> None:
    x, weight = torch.rand(2, 2, 3), torch.rand(3, 5)
    _, replay = Recordings().record(lambda: (x @ weight).view(-1).contiguous().detach().add_(1))
    with Counting() as counting:
        replay()
    assert counting.names == ["aten::mm.out", "aten::add_.Tensor"]


def test_a_replay_takes_no_gradient() -> None:
    x, weight = X.clone(), nn.Parameter(torch.ones(3, 4))
    found, replay = Recordings().record(lambda: torch.autograd.grad((weight**2 * x).sum(), weight))
    with torch.no_grad():
        weight.fill_(5)
    replay()
    assert torch.equal(found[0], 10 * x)
    assert not found[0].requires_grad
    assert weight.grad is None


def test_results_stay_when_work_is_recorded_again_and_memory_is_new() -> None:
    x, recordings = X.clone(), Recordings()
    found, replay = recordings.record(lambda: (x * 2).exp() + 1)
    expected = found.clone()
    recordings.record(lambda: (x * 3).exp() * 9 + 1)
    recordings.begin()
    gc.collect()
    assert torch.equal(found, expected)
    address = found.data_ptr()
    x.mul_(2)
    replay()
    assert found.data_ptr() == address
    assert torch.equal(found, (x * 2).exp() + 1)


def test_a_replay_outlives_what_was_recorded_around_it() -> None:
    """What it reads and writes, and recordings, may be held by nobody else."""

    def recorded() -> tuple[Tensor, Tensor, Callable[[], None]]:
        x = X.clone()
        found, replay = Recordings().record(lambda: as_tensor(array_of(x * 2) + 1) * 2)
        x.mul_(3)
        return found.view(-1), ((x * 2) + 1) * 2, replay

    result, expected, replay = recorded()
    gc.collect()
    replay()
    assert torch.equal(result, expected.view(-1))


class Measured(Recordings):
    """Says where its arena is, and how large."""

    def place(self) -> tuple[int, int]:
        memory = self._arena.bytes(0)
        return memory.ctypes.data, memory.nbytes


def chain(x: Tensor, operations: int) -> Tensor:
    for number in range(operations):
        x = x + number
    return x.sum()


def test_a_chain_takes_no_more_than_what_is_alive_at_once() -> None:
    x, recordings = torch.rand(1 << 18), Measured()
    found, replay = recordings.record(lambda: chain(x, 50))
    assert recordings.place()[1] <= 3 * x.nbytes
    x.mul_(2)
    replay()
    assert torch.equal(found, chain(x, 50))


def test_gradients_of_a_chain_keep_what_they_need_and_no_more() -> None:
    x, recordings = torch.rand(1 << 16, requires_grad=True), Measured()

    def work() -> Tensor:
        y = x
        for _ in range(5):
            y = (y.exp() + 1).sin()
        return torch.autograd.grad(y.sum(), x)[0]

    found, replay = recordings.record(work)
    assert 10 * x.nbytes <= recordings.place()[1] <= 14 * x.nbytes
    with torch.no_grad():
        x.mul_(0.5)
    replay()
    assert torch.equal(found, work())


def test_garbage_lies_in_the_arena() -> None:
    """Whenever Python collects it."""
    x, recordings = torch.rand(1 << 14), Measured()

    def work() -> None:
        cycle: list[Any] = [x * 2]
        cycle.append(cycle)

    gc.disable()
    try:
        recordings.record(work)
    finally:
        gc.enable()
    assert recordings.place()[1] >= x.nbytes


def test_an_arena_rests_before_work_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(Arena, "rest", lambda self: order.append("rest"))
    Recordings().record(lambda: order.append("work") or X * 2)
    assert order == ["rest", "work"]


def test_an_arena_rests_while_work_is_done_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(Arena, "rest", lambda self: order.append("rest"))
    assert Recordings().warm_up(lambda: order.append("work") or "done") == "done"
    assert order == ["rest", "work"]


def test_recordings_share_memory_until_they_begin_anew() -> None:
    x, recordings = torch.rand(1 << 14), Measured()
    large, replay_large = recordings.record(lambda: torch.cat([x * 2, x + 1]).sum())
    place = recordings.place()
    small, replay_small = recordings.record(lambda: chain(x, 3))
    assert recordings.place() == place
    for _ in range(2):
        x.mul_(2)
        replay_large()
        replay_small()
        assert torch.equal(large, torch.cat([x * 2, x + 1]).sum())
        assert torch.equal(small, chain(x, 3))
    held = recordings._arena.bytes(0)
    recordings.begin()
    other, _ = recordings.record(lambda: chain(x, 3))
    assert recordings.place()[0] != held.ctypes.data
    assert torch.equal(other, small)


def test_a_recording_that_needs_more_memory_leaves_others_theirs() -> None:
    x, recordings = torch.rand(1 << 14), Measured()
    small, replay_small = recordings.record(lambda: chain(x, 3))
    large, replay_large = recordings.record(lambda: torch.cat([x * 2] * 9).sum())
    x.mul_(2)
    replay_small()
    replay_large()
    assert torch.equal(small, chain(x, 3))
    assert torch.equal(large, torch.cat([x * 2] * 9).sum())


HOST, VALUE = "reads values on the host", "takes a value from"
REFUSED: dict[str, tuple[Work, str]] = {
    "item": (lambda: X.sum().item(), HOST),
    "condition": (lambda: bool((X > 0).all()), HOST),
    "mask": (lambda: X[X > 0.5], HOST),
    "places": (lambda: X.nonzero(), HOST),
    "labels": (lambda: functional.one_hot(torch.arange(3) * 1, 3), HOST),
    "number": (lambda: X * torch.tensor(2.0), VALUE),
    "temporary": (lambda: X + torch.from_numpy(X.numpy() * 2), VALUE),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_again_is_refused(name: str) -> None:
    work, why = REFUSED[name]
    with pytest.raises(CannotBeRecordedError, match=why):
        Recordings().record(work)


def double(x: np.ndarray, y: np.ndarray) -> None:
    y[...] = 2 * x


def test_calls_of_kernels_are_replayed() -> None:
    x = X.clone()

    def work() -> Tensor:
        y = torch.empty(3, 4)
        call(double, (array_of(x), array_of(y)), [array_of(y)])
        return y + 1

    assert torch.equal(repeated(work, x), 2 * x + 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: taped(np.array([[1.0] * 4] * 3, np.float32)),
        lambda: array_of(X).copy(),
        lambda: array_of(X).T.reshape(3, 4),
        lambda: X.numpy() * 2,
    ],
)
def test_arrays_that_no_tape_has_seen_are_refused(make: Callable[[], np.ndarray]) -> None:
    def work() -> Tensor:
        y = torch.empty(3, 4)
        call(double, (make(), array_of(y)), [array_of(y)])
        return y

    with pytest.raises(CannotBeRecordedError, match="no tape has seen"):
        Recordings().record(work)


def test_memory_that_no_recording_has_seen_made_is_refused() -> None:
    """An operation takes it for its result, which held none."""
    with pytest.raises(CannotBeRecordedError, match="no recording sees it"):
        Recordings().record(lambda: torch.add(X, 1, out=torch.empty(0)) * 2)


@pytest.mark.parametrize("error", [ValueError("boom"), CannotBeRecordedError("boom")])
def test_nothing_is_recorded_behind_an_error(error: Exception) -> None:
    array = np.zeros(3)

    def work() -> None:
        assert taped(array) is not array
        _ = X + 1
        raise error

    recordings = Recordings()
    with pytest.raises(type(error), match="boom"):
        recordings.record(work)
    assert taped(array) is array
    assert X.sum().item() > 0  # which a recording would refuse
    x = X.clone()
    found, replay = recordings.record(lambda: x * 2)
    x.add_(1)
    replay()
    assert torch.equal(found, x * 2)
    assert taped(array) is array


NOISE: dict[str, Work] = {
    "uniform": lambda: torch.rand(3, 2) * X.sum(),
    "like": lambda: torch.rand_like(X) + 1,
    "normal": lambda: torch.empty(5).normal_(),
    "order": lambda: torch.randperm(9) * 1,
    "coins": lambda: torch.bernoulli(torch.full((99,), 0.5)),
    "choice": lambda: torch.multinomial(torch.ones(9, 50), 2),
    "dropout": lambda: functional.dropout(torch.ones(99)),
    "channels": lambda: functional.dropout2d(torch.ones(2, 9, 3, 3)),
}


@pytest.mark.parametrize("name", NOISE)
def test_random_numbers_are_drawn_anew_from_the_state_at_hand(name: str) -> None:
    work = NOISE[name]
    torch.manual_seed(0)
    found, replay = Recordings().record(work)
    torch.manual_seed(0)
    first = work()
    assert torch.equal(found, first)
    torch.manual_seed(1)
    for _ in range(2):
        state = torch.get_rng_state()
        expected, behind = work(), torch.get_rng_state()
        torch.set_rng_state(state)
        replay()
        assert torch.equal(found, expected)
        assert torch.equal(torch.get_rng_state(), behind)
    assert not torch.equal(found, first)


def test_the_same_noise_is_the_same_in_a_replay() -> None:
    def work() -> Tensor:
        draws = []
        for _ in range(2):
            with same_noise([X]):
                draws.append(torch.rand(3) * 2)
        return torch.stack([*draws, torch.rand(3) * 2, torch.rand(3) * 2])

    found, replay = Recordings().record(work)
    before = found.clone()
    replay()
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[1], found[2])
    assert not torch.equal(found[2], found[3])
    assert not torch.equal(found, before)


def test_random_state_stays() -> None:
    before = torch.get_rng_state()

    def work() -> Tensor:
        with same_noise([X]):
            return X * 2

    _, replay = Recordings().record(work)
    assert torch.equal(torch.get_rng_state(), before)
    replay()
    assert torch.equal(torch.get_rng_state(), before)
