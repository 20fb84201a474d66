"""Updates of an engine, captured once and replayed: Python and autograd are paid for once.

On a small discriminator, a fast GPU waits for its next kernel most of the time, and a CPU is busy
with Python. The first updates of a kind are taken as ever; the next one is captured, as a CUDA
graph or as a recording on a CPU (`nas.replay`), and all behind it are replayed on batches that are
copied into the memory of the captured ones. A kind is what is updated, on batches of which shapes.
Replays read learning rates from tensors; whatever else an update depends on is its situation, and a
new situation is captured anew.

What is captured must not read a value on the host, and on a GPU not draw random numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar, cast

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

from nas.bilevel import Batch, Bilevel, Group, Hypergradient
from nas.devices import resolve_device
from nas.errors import UsageError, is_out_of_memory
from nas.gradients import Gradient
from nas.ranks import count
from nas.replay.recordings import Recordings
from nas.replay.trial import OtherResultError, check_replay
from nas.settings import RunSettings
from nas.traceless import Noise, without_trace

Result = TypeVar("Result")
Replay = Callable[[], object]

Tensors: TypeAlias = dict[str, list[Tensor]]
"""By kind."""

KINDS = 16
"""Captures at a time, at most: what is updated, times the sizes of batches in an epoch."""


class Recorder(Protocol):
    """Takes work to be repeated on the same memory.

    Attributes:
        patience: how often work is done before it is recorded, at least once: libraries choose
            their kernels in it, and optimisers take their memory.
        is_exact: whether a replay computes what the work would, up to rounding at most.
        draws: whether a replay draws random numbers anew.
    """

    patience: int
    is_exact: bool
    draws: bool

    def begin(self) -> None:
        """Go on with other memory: what was recorded so far is no longer wanted."""

    def rest(self) -> None:
        """Let go of memory that only replays need; what they hold in it is lost."""

    def warm_up(self, work: Callable[[], Result]) -> Result:
        """Do the work, as before a recording; what replays hold in their memory may be lost."""

    def record(self, work: Callable[[], Result]) -> tuple[Result, Replay]:
        """Do the work; what it results in, then and behind each replay, and what replays it."""


class CudaGraphs:
    """Records CUDA graphs on a stream of their own; they share their memory.

    They may, in whatever order they are replayed: none keeps anything for another, and what their
    work results in is copied before another one is replayed.
    """

    patience = 3
    is_exact = False
    draws = False

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)
        self.begin()

    def begin(self) -> None:
        """Share other memory from now on; the old one goes with the graphs that hold it."""
        self._pool = torch.cuda.graph_pool_handle()

    def rest(self) -> None:
        """Nothing: graphs keep their memory as long as they are there."""

    def warm_up(self, work: Callable[[], Result]) -> Result:
        """Do the work on the stream; that optimisers are not captured in it is as it should be."""
        here = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream), warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*constructed with capturable=True")
            result = work()
        here.wait_stream(self._stream)
        return result

    def record(self, work: Callable[[], Result]) -> tuple[Result, Replay]:
        """Capture the work, which does not do it, and replay it."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            result = work()
        graph.replay()
        return result, graph.replay


def recorder_on(device: torch.device, streams: int = 1) -> Recorder:
    """What takes the updates of networks on a device, to be repeated; on a CPU, in streams."""
    return CudaGraphs(device) if device.type == "cuda" else Recordings(streams)


def when_captured(device: torch.device) -> str:
    """When updates on a device are captured, for the user who waits for it."""
    patience = (CudaGraphs if device.type == "cuda" else Recordings).patience
    return (
        f"Steps are captured: {patience} of each kind are taken as ever, the next one is recorded, "
        "which takes several times as long, and all behind it are replayed."
    )


@contextmanager
def recorded_at_once(settings: RunSettings, device: torch.device) -> Iterator[tuple[int, int]]:
    """Do not wait for long before an update is recorded on a CPU, in this context.

    Yields:
        How many updates of a kind, at least one, may take longer than those behind them, and how
        many more would if they were recorded as ever.
    """
    if not settings.capture:
        yield 1, 0
        return
    patience = Recordings.patience
    Recordings.patience = 1
    try:
        recorder = recorder_on(device)
        spared = patience - 1 if isinstance(recorder, Recordings) else 0
        yield recorder.patience + 1 + recorder.is_exact, spared
    finally:
        Recordings.patience = patience


class _State(NamedTuple):
    """What an update moves, and what it leaves as it is."""

    moving: Tensors
    resting: Tensors


class Captured(Generic[Batch]):
    """The updates of an engine, replayed where they have been captured.

    Args:
        engine: takes the updates; its optimisers are capturable (`nas.optimizers`).
        recorder: of the device that the engine is on.
        situation: what an update depends on beside weights, rates and the values in its batches.
    """

    def __init__(
        self,
        engine: Bilevel[Batch],
        recorder: Recorder,
        situation: Callable[[], Hashable] = lambda: None,
    ) -> None:
        self._engine = engine
        self._recorder = recorder
        self._situation = situation
        self._rates = _Rates(list(engine.optimizers().values()))
        self._kinds: dict[Hashable, _Kind[Any]] = {}
        self._present: Hashable = None

    def update_architecture(
        self, group: Group[Batch], train: Batch, validation: Batch
    ) -> Hypergradient:
        """As the engine's."""
        engine = self._engine

        def update(batches: tuple[Batch, Batch]) -> tuple[Tensor, Gradient, dict[str, Gradient]]:
            terms = engine.update_architecture(group, *batches)
            return terms.objective, terms.direct, terms.indirect

        kind = "architecture", group.name
        terms = self._update(kind, update, (train, validation), self._changed_with_alpha)
        return Hypergradient(*terms)

    def update_weights(self, train: Batch, order: Sequence[str] | None = None) -> dict[str, Tensor]:
        """As the engine's."""
        engine = self._engine

        def update(batches: tuple[Batch]) -> dict[str, Tensor]:
            return engine.update_weights(*batches, order)

        kind = "weights", order and tuple(order)
        return self._update(kind, update, (train,), self._changed_with_weights)

    def _update(
        self,
        what: Hashable,
        update: Callable[[Any], Result],
        batches: tuple[Batch, ...],
        state: Callable[[], _State],
    ) -> Result:
        situation = self._situation(), self._modes()
        if situation != self._present:
            self._enter(situation, batches[0])
        kind = self._kinds.setdefault((what, _form(batches)), _Kind(update))
        if len(self._kinds) > KINDS:
            raise UsageError(
                "--capture needs batches of the same shapes from step to step, and these differ in "
                "size or in their number of triplets: leave it out."
            )
        with self._rates.in_tensors():
            return kind.update(batches, self._recorder, state)

    def _enter(self, situation: Hashable, batch: Batch) -> None:
        if not self._recorder.draws:
            check_noise(self._engine, batch)
        self._kinds.clear()
        self._recorder.begin()
        self._present = situation

    def _changed_with_alpha(self) -> _State:
        """An update of one group moves no weights."""
        of_alpha, of_weights = self._states()
        return _State(of_alpha, of_weights)

    def _changed_with_weights(self) -> _State:
        of_alpha, of_weights = self._states()
        return _State(of_weights, of_alpha)

    def _states(self) -> tuple[Tensors, Tensors]:
        """By kind: alphas with what their optimisers remember, and weights with it and buffers."""
        of_alpha: Tensors = {}
        of_weights: Tensors = {}
        alphas = {id(alpha) for group in self._engine.groups for alpha in group.alphas}
        for network in self._engine.modules:
            for name, tensor in network.state_dict(keep_vars=True).items():
                found = of_alpha if id(tensor) in alphas else of_weights
                found.setdefault(name.rpartition(".")[2], []).append(tensor)
        for optimizer in self._engine.optimizers().values():
            for weight, held in optimizer.state.items():
                found = of_alpha if id(weight) in alphas else of_weights
                for name, value in held.items():
                    if isinstance(value, Tensor):
                        found.setdefault(name, []).append(value)
        return of_alpha, of_weights

    def _modes(self) -> Hashable:
        networks = self._engine.modules
        return tuple(each.training for network in networks for each in network.modules())


@dataclass
class _Kind(Generic[Result]):
    """Updates that one capture stands for."""

    work: Callable[[Any], Result]
    taken: int = 0
    batches: Any = None
    result: Result | None = None
    replay: Replay | None = None

    def update(self, batches: Any, recorder: Recorder, state: Callable[[], _State]) -> Result:
        """One update; the first ones as ever, then by replays, of which the first is checked.

        Returns:
            What it results in, in memory of its own.
        """
        self.taken += 1
        if self.taken <= recorder.patience:
            return recorder.warm_up(lambda: self.work(batches))
        if self.replay is None:
            self._record(batches, recorder)
        else:
            _copy(batches, self.batches)
            if recorder.is_exact and self.taken == recorder.patience + 2:
                self._check(self.replay, recorder, state())
            else:
                self.replay()
        assert self.result is not None
        return cast(Result, tree_map_only(Tensor, Tensor.clone, self.result))

    def _check(self, replay: Replay, recorder: Recorder, state: _State) -> None:
        """Replay the update, and compare that with the update itself."""

        def work() -> Result:
            return recorder.warm_up(lambda: self.work(self.batches))

        recorder.rest()
        try:
            check_replay(replay, work, *state)
        except OtherResultError as error:
            raise _refusal(error) from error

    def _record(self, batches: Any, recorder: Recorder) -> None:
        leaves, form = tree_flatten(batches)
        own = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        self.batches = tree_unflatten(own, form)
        try:
            self.result, self.replay = recorder.record(lambda: self.work(self.batches))
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise _refusal(error) from error


def _refusal(error: RuntimeError) -> UsageError:
    reason = str(error).strip().splitlines()[0].rstrip(".")
    return UsageError(
        f"--capture: a step of these networks cannot be captured ({reason}): leave it out."
    )


class _Rates:
    """Learning rates where replays find them: as they are on a CPU, and as GPUs take them."""

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self._optimizers = optimizers
        self._tensors = [
            torch.full((), group["lr"], dtype=_rate_type(device), device=device)
            for group in self._groups()
            for device in [group["params"][0].device]
        ]
        self._taken = [group["lr"] for group in self._groups()]

    @contextmanager
    def in_tensors(self) -> Iterator[None]:
        """Give the optimisers tensors of their rates; outside, these are numbers."""
        rates = [group["lr"] for group in self._groups()]
        for group, tensor, rate, taken in zip(
            self._groups(), self._tensors, rates, self._taken, strict=True
        ):
            group["lr"] = tensor if rate == taken else tensor.fill_(rate)
        self._taken = rates
        try:
            yield
        finally:
            for group, rate in zip(self._groups(), rates, strict=True):
                group["lr"] = rate

    def _groups(self) -> list[dict[str, Any]]:
        return [group for each in self._optimizers for group in each.param_groups]


def _rate_type(device: torch.device) -> torch.dtype:
    """That of the kernels' argument: fused optimisers of a GPU read no other."""
    return torch.float32 if device.type == "cuda" else torch.float64


def _form(batches: Any) -> Hashable:
    """Types and shapes of the tensors, and all other values but words."""
    leaves, structure = tree_flatten(batches)
    told = tuple(
        (leaf.shape, leaf.dtype, leaf.device)
        if isinstance(leaf, Tensor)
        else None
        if isinstance(leaf, str)
        else leaf
        for leaf in leaves
    )
    return told, str(structure)


def _copy(batches: Any, own: Any) -> None:
    for source, target in zip(tree_flatten(batches)[0], tree_flatten(own)[0], strict=True):
        if isinstance(target, Tensor):
            target.copy_(source, non_blocking=True)


def check_capture(settings: RunSettings) -> None:
    """Refuse to capture with several processes, and streams on a GPU or without threads.

    Raises:
        UsageError: with what stands against it.
    """
    if not settings.capture:
        return
    if settings.streams > 1 and resolve_device(settings.device).type == "cuda":
        raise UsageError(
            f"--streams {settings.streams} is for replays on a CPU, and these are on a GPU: leave "
            "it out, or give --device cpu."
        )
    threads = settings.threads or torch.get_num_threads()
    if settings.streams > threads:
        raise UsageError(
            f"--streams {settings.streams} have not a thread each, with {threads} for all: give "
            f"--threads {settings.streams}, or fewer streams."
        )
    if count() > 1:
        raise UsageError(
            "--capture is for one process, and several ones add their gradients up within a step: "
            "leave it out, or start without torchrun."
        )


def check_noise(engine: Bilevel[Batch], batch: Batch) -> None:
    """Refuse to capture what draws random numbers.

    Args:
        engine: its losses and objectives are tried, and leave no trace.
        batch: one that they take.

    Raises:
        UsageError: one of them has drawn some.
    """
    weights = [weight for module in engine.modules for weight in module.parameters()]
    with torch.no_grad(), without_trace(engine.modules):
        noise = Noise.present(weights)
        for loss in _losses(engine):
            loss(batch)
        if noise is not None and not noise.is_present():
            raise UsageError(
                "--capture replays a step on a GPU without new random numbers, and this one draws "
                "some (dropout, --cue noised, sampled operations): leave it out."
            )


def _losses(engine: Bilevel[Batch]) -> list[Callable[[Batch], Tensor]]:
    losses = [player.loss for player in engine.players]
    return [*losses, *(group.objective for group in engine.groups)]


def updates_of(
    engine: Bilevel[Batch],
    settings: RunSettings,
    device: torch.device,
    situation: Callable[[], Hashable],
) -> Bilevel[Batch] | Captured[Batch]:
    """What takes the engine's updates: the engine, or captures where the settings ask for them.

    Args:
        engine: its optimisers are capturable in the latter case.
        settings: of the run, checked by `check_capture`.
        device: on which it computes.
        situation: see `Captured`.
    """
    if not settings.capture:
        return engine
    return Captured(engine, recorder_on(device, settings.streams), situation)
