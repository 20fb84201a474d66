"""Whether a replay does what the work does, tried on the state that both change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")

TOLERANCE = 1e-3
"""Relative difference of norms that is taken for rounding."""

NOISE = 1e-6
"""Norms that are so much smaller than the largest of their kind are not compared."""


class OtherResultError(RuntimeError):
    """A replay has not done what the work does."""


@torch.no_grad()
def tried(
    replay: Callable[[], object],
    work: Callable[[], Result],
    state: Mapping[str, Sequence[Tensor]],
) -> Result:
    """What the work results in, behind a replay from the same state that is taken back.

    Args:
        replay: of the work, on the same inputs.
        work: is done last, so that the state is then what it makes of it.
        state: all tensors that they change, by kind; those of a kind have one scale.

    Raises:
        OtherResultError: they make something else of the state.
    """
    before = {kind: [each.clone() for each in tensors] for kind, tensors in state.items()}
    replay()
    found = {kind: _norms(tensors) for kind, tensors in state.items()}
    for kind, tensors in state.items():
        for tensor, value in zip(tensors, before[kind], strict=True):
            tensor.copy_(value)
    del before
    with torch.enable_grad():
        result = work()
    for kind, tensors in state.items():
        truth = _norms(tensors)
        if not torch.allclose(found[kind], truth, TOLERANCE, NOISE * float(truth.max())):
            raise OtherResultError(f"a replay makes other {kind} than the step itself")
    return result


def _norms(tensors: Sequence[Tensor]) -> Tensor:
    """Of each tensor, and of what is positive in it, which tells a wrong sign."""
    return torch.stack([norm for each in tensors for norm in _norms_of_one(each.double())])


def _norms_of_one(numbers: Tensor) -> tuple[Tensor, Tensor]:
    return numbers.norm(), numbers.clamp_min(0).norm()
