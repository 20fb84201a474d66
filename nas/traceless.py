"""Virtual steps that leave no trace: weights, buffers and random state come back bit for bit."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def without_trace(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Leave the buffers of the modules and the random state as they were."""
    modules = list(modules)
    tensors = [
        tensor
        for module in modules
        for tensor in itertools.chain(module.buffers(), module.parameters())
    ]
    with same_noise(tensors), same_buffers(modules):
        yield


@contextmanager
def same_buffers(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Give every buffer of the modules (running statistics, power iterations) its value back.

    A pass and its gradient both belong into this context: a spectral norm, which steps its power
    iteration in each pass, is then one fixed function between the points of a finite difference.
    Batch norm in training, whose passes do not depend on its running statistics, keeps none.
    """
    layers = [layer for module in modules for layer in module.modules()]
    tracking = [layer for layer in layers if _only_tracks(layer) and layer.track_running_stats]
    others = (layer for layer in layers if not _only_tracks(layer))
    buffers = [buffer for layer in others for buffer in layer.buffers(recurse=False)]
    saved = [buffer.clone() for buffer in buffers]
    for layer in tracking:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in tracking:
            layer.track_running_stats = True
        with torch.no_grad():
            for buffer, value in zip(buffers, saved, strict=True):
                buffer.copy_(value)


def _only_tracks(layer: nn.Module) -> TypeGuard[_BatchNorm]:
    """Whether the buffers of a layer are running statistics that its passes do not read."""
    own = isinstance(layer, _BatchNorm) and type(layer).forward is _BatchNorm.forward
    return own and layer.training


@contextmanager
def same_noise(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Leave the random state of the CPU, and of the devices the tensors are on, as it was.

    Passes that each run in this context draw the same random numbers, so that dropout is
    one fixed function between the points of a finite difference. While a CUDA graph is captured,
    where no random state can be read, nothing is done: what draws nothing can be captured.
    """
    noise = Noise.present(tensors)
    try:
        yield
    finally:
        if noise is not None:
            noise.resume()


Told = Callable[[Callable[..., object], tuple[Any, ...], Mapping[str, Any]], None]
"""Is told of a function that has been called, and of its arguments."""


@dataclass
class _Present:
    told: Told | None = None


_PRESENT = _Present()


@contextmanager
def noise_told(told: Told) -> Iterator[None]:
    """Tell, in this context, what takes and resumes random states, so that it can be done again."""
    before, _PRESENT.told = _PRESENT.told, told
    try:
        yield
    finally:
        _PRESENT.told = before


class Noise:
    """A random state of the CPU and of CUDA devices, to be taken up again.

    What is told of it (`noise_told`) takes and resumes, when it is done again, the states that are
    present then.

    Args:
        devices: indices of the CUDA devices.
    """

    _cpu: Tensor
    _cuda: Sequence[Tensor]

    def __init__(self, devices: Iterable[int]) -> None:
        self._devices = list(devices)
        self._do(Noise._take)

    @classmethod
    def present(cls, tensors: Iterable[Tensor]) -> Noise | None:
        """That of the CPU, and of the devices the tensors are on; None as in `same_noise`."""
        if torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing():
            return None
        return cls(_cuda_devices(tensors))

    def is_present(self) -> bool:
        """Whether nothing has been drawn since."""
        cuda = (
            torch.equal(state, torch.cuda.get_rng_state(index))
            for index, state in zip(self._devices, self._cuda, strict=True)
        )
        return torch.equal(self._cpu, torch.get_rng_state()) and all(cuda)

    def resume(self) -> None:
        """Let what is drawn from now on be what was drawn behind this state."""
        self._do(Noise._resume)

    def _do(self, action: Callable[[Noise], None]) -> None:
        action(self)
        if _PRESENT.told is not None:
            _PRESENT.told(action, (self,), {})

    def _take(self) -> None:
        self._cpu = torch.get_rng_state()
        self._cuda = [torch.cuda.get_rng_state(index) for index in self._devices]

    def _resume(self) -> None:
        torch.set_rng_state(self._cpu)
        for index, state in zip(self._devices, self._cuda, strict=True):
            torch.cuda.set_rng_state(state, index)


def _cuda_devices(tensors: Iterable[Tensor]) -> list[int]:
    return sorted({tensor.device.index for tensor in tensors if tensor.device.type == "cuda"})


@contextmanager
def moved(weights: Sequence[Tensor], displacement: Iterable[Tensor]) -> Iterator[None]:
    """Add a displacement to the weights, in place; restore the saved values on leaving.

    Its tensors are taken one after the other, and not kept.
    """
    saved: list[Tensor] = []
    try:
        _move(weights, displacement, saved)
        del displacement
        yield
    finally:
        with torch.no_grad():
            for weight, value in zip(weights, saved, strict=False):
                weight.copy_(value)


@torch.no_grad()
def _move(weights: Iterable[Tensor], displacement: Iterable[Tensor], saved: list[Tensor]) -> None:
    for weight, part in zip(weights, displacement, strict=True):
        saved.append(weight.clone())
        weight.add_(part)


@contextmanager
def frozen(weights: Iterable[Tensor]) -> Iterator[None]:
    """Let the weights require no gradient, so that passes need not remember anything for them."""
    trainable = [weight for weight in weights if weight.requires_grad]
    for weight in trainable:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in trainable:
            weight.requires_grad_(True)
