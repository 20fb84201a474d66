"""Whether a replay does what the work does, tried on the state that both change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from nas.memory import give_back_freed
from nas.traceless import Noise

TOLERANCE = 1e-3
"""Relative difference of norms that is taken for rounding."""

NOISE = 1e-6
"""Norms that are so much smaller than the largest of their kind are not compared."""

CHUNK = 2**20
"""Numbers that are taken to double precision at a time."""


class OtherResultError(RuntimeError):
    """A replay has not done what the work does."""


@torch.no_grad()
def check_replay(
    replay: Callable[[], object],
    work: Callable[[], object],
    moving: Mapping[str, Sequence[Tensor]],
    resting: Mapping[str, Sequence[Tensor]],
) -> None:
    """Do the work, take it back, and replay it from the same state: that must come to the same.

    What moves is copied, what rests is not; no copy is held while replays use their memory.

    Args:
        replay: of the work, on the same inputs; is done last.
        work: is done with gradients.
        moving: all tensors that they change, by kind; those of a kind have one scale. The random
            numbers of the CPU belong to them.
        resting: tensors that they leave as they are, bit for bit, by kind.

    Where the work makes numbers that are not finite, there is nothing to compare.

    Raises:
        OtherResultError: a replay makes something else of the state than the work, or draws others.
    """
    noise = Noise([])
    before = {kind: [each.clone() for each in tensors] for kind, tensors in moving.items()}
    at_rest = {kind: _norms(tensors) for kind, tensors in resting.items()}
    with torch.enable_grad():
        work()
    expected = {kind: _norms(tensors) for kind, tensors in moving.items()}
    for kind, tensors in moving.items():
        for tensor, value in zip(tensors, before[kind], strict=True):
            tensor.copy_(value)
    del before
    give_back_freed()
    drawn = Noise([])
    noise.resume()
    replay()
    if not drawn.is_present():
        raise OtherResultError("a replay draws other random numbers than the step itself")
    for kind, norms in expected.items():
        if not norms.isfinite().all():
            continue
        found = _norms(moving[kind])
        if not torch.allclose(found, norms, TOLERANCE, NOISE * float(norms.max())):
            raise OtherResultError(f"a replay makes other {kind} than the step itself")
    for kind, norms in at_rest.items():
        if not torch.allclose(_norms(resting[kind]), norms, 0.0, 0.0, equal_nan=True):
            raise OtherResultError(f"a replay changes {kind}, which the step itself does not")


def _norms(tensors: Sequence[Tensor]) -> Tensor:
    """Of each tensor, and of what is positive in it, which tells a wrong sign."""
    return torch.cat([_norms_of_one(torch.atleast_1d(each)) for each in tensors])


def _norms_of_one(tensor: Tensor) -> Tensor:
    rows = max(1, CHUNK * len(tensor) // max(1, tensor.numel()))
    return torch.stack([_squares(part.double()) for part in tensor.split(rows)]).sum(0).sqrt()


def _squares(numbers: Tensor) -> Tensor:
    return torch.stack([numbers.square().sum(), numbers.clamp_min(0).square().sum()])
