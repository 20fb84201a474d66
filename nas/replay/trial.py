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


class OtherResultError(RuntimeError):
    """A replay has not done what the work does."""


@torch.no_grad()
def check_replay(
    replay: Callable[[], object],
    work: Callable[[], object],
    state: Mapping[str, Sequence[Tensor]],
) -> None:
    """Do the work, take it back, and replay it from the same state: that must come to the same.

    No copy of the state is held while replays use their memory.

    Args:
        replay: of the work, on the same inputs; is done last.
        work: is done with gradients.
        state: all tensors that they change, by kind; those of a kind have one scale. The random
            numbers of the CPU belong to it.

    Raises:
        OtherResultError: they make something else of the state, or draw others.
    """
    noise = Noise([])
    before = {kind: [each.clone() for each in tensors] for kind, tensors in state.items()}
    with torch.enable_grad():
        work()
    expected = {kind: _norms(tensors) for kind, tensors in state.items()}
    for kind, tensors in state.items():
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
        found = _norms(state[kind])
        if not torch.allclose(found, norms, TOLERANCE, NOISE * float(norms.max())):
            raise OtherResultError(f"a replay makes other {kind} than the step itself")


def _norms(tensors: Sequence[Tensor]) -> Tensor:
    """Of each tensor, and of what is positive in it, which tells a wrong sign."""
    return torch.stack([norm for each in tensors for norm in _norms_of_one(each.double())])


def _norms_of_one(numbers: Tensor) -> tuple[Tensor, Tensor]:
    return numbers.norm(), numbers.clamp_min(0).norm()
