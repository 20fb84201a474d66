"""What the discriminator sees of a prediction and of a truth.

A truth is one-hot and a prediction is not, so that a discriminator could tell them apart by
softness alone, and teach the segmenter nothing but to be sure of itself. A cue takes that sign
away: by hardening what is seen of predictions, or by softening what is seen of truths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor


@dataclass(frozen=True)
class Cue:
    """Two maps from distributions over classes to the same, (N, K, H, W) each.

    Attributes:
        prediction: of the segmenter's probabilities, with gradient.
        truth: of one-hot truths.
    """

    prediction: Callable[[Tensor], Tensor]
    truth: Callable[[Tensor], Tensor]


def as_it_is(maps: Tensor) -> Tensor:
    """The maps, unchanged."""
    return maps


def one_hot(classes: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """Maps (N, count, H, W) of the type with a 1 where the class is, from (N, H, W) int64.

    Unlike torch's own, it never looks at the values from the host.
    """
    maps = torch.zeros(
        classes.shape[0], count, *classes.shape[1:], dtype=dtype, device=classes.device
    )
    return maps.scatter_(1, classes.unsqueeze(1), 1)


def hardened(maps: Tensor) -> Tensor:
    """(N, K, H, W) one-hot of the most probable class, the first of equals; without gradient."""
    return one_hot(maps.argmax(dim=1), maps.shape[1], maps.dtype)


def straight_through(probabilities: Tensor) -> Tensor:
    """The hardened map, with the gradient of the probabilities (Bengio et al. 2013).

    Args:
        probabilities: (N, K, H, W).

    Returns:
        (N, K, H, W), exactly one-hot.
    """
    return hardened(probabilities) + (probabilities - probabilities.detach())


def smoothed(one_hot_maps: Tensor, strength: float) -> Tensor:
    """(1 - s) y + s / K: one-sided label smoothing (Szegedy et al. 2016, Section 7), per pixel.

    Args:
        one_hot_maps: y, (N, K, H, W).
        strength: s in [0, 1].
    """
    return (1 - strength) * one_hot_maps + strength / one_hot_maps.shape[1]


def noised(one_hot_maps: Tensor, strength: float) -> Tensor:
    """(1 - u) y + u r: at each pixel a random distribution is mixed in; it stays a distribution.

    u is uniform in (0, s), r uniform on the simplex of distributions over the classes; torch's
    generator of the device draws both anew for each pixel. The bilevel engine saves and restores
    that generator's state, so that all points of a finite difference have the same noise.

    Args:
        one_hot_maps: y, (N, K, H, W).
        strength: s in [0, 1].
    """
    exponential = torch.empty_like(one_hot_maps).exponential_()
    distribution = exponential / exponential.sum(dim=1, keepdim=True)
    share = strength * torch.rand_like(one_hot_maps[:, :1])
    return (1 - share) * one_hot_maps + share * distribution


CUES: dict[str, Callable[[float], Cue]] = {
    "probabilities": lambda strength: Cue(as_it_is, as_it_is),
    "straight-through": lambda strength: Cue(straight_through, as_it_is),
    "smoothed": lambda strength: Cue(as_it_is, partial(smoothed, strength=strength)),
    "noised": lambda strength: Cue(as_it_is, partial(noised, strength=strength)),
}


def new_cue(name: str, strength: float) -> Cue:
    """The cue of that name.

    Args:
        name: one of `CUES`.
        strength: s in [0, 1] of smoothed and noised truths; the other two have none.

    Raises:
        ValueError: there is no such cue, or the strength is out of range.
    """
    if name not in CUES:
        raise ValueError(f"There is no cue {name!r}; there are {', '.join(CUES)}.")
    if not 0 <= strength <= 1:
        raise ValueError(f"The strength of a cue is in [0, 1], not {strength}.")
    return CUES[name](strength)
