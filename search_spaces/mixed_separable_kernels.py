"""The sum of separable operations on the edges of a stage, and its gradients, by kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from search_spaces import map_norm_kernels
from search_spaces.map_norm import Statistics, statistics, taken_over
from search_spaces.map_norm_kernels import Slopes
from search_spaces.mixed_separable import Operation
from search_spaces.separable import Separable
from search_spaces.separable_kernels import Needed, SeparableKernels, WeightGradients


class Kept(NamedTuple):
    """What a pass forward leaves for the gradients.

    Attributes:
        between: of operations with two convolutions, what is before the first norm layer,
            (N, pixels, edges, C).
        last: of all operations, what is before the last one, (N, pixels, targets, sources, C).
        standards: what the maps between and the last ones are standardised by.
    """

    between: list[Tensor]
    last: list[Tensor]
    standards: tuple[Statistics | None, Statistics]


def forward(x: Tensor, operations: Sequence[Operation], shares: Tensor) -> tuple[Tensor, Kept]:
    """The sum (N, pixels, targets, C) of `search_spaces.mixed_separable`."""
    shape = shares.shape[1:]
    maps = [_convolved(x, shape[0], each.convolutions[0]) for each in operations]
    twice = [place for place, each in enumerate(operations) if each.is_twofold]
    between = [maps[place].flatten(1, 2) for place in twice]
    before = None
    if twice:
        before = statistics([operations[place].layers[0] for place in twice], between)
        seen = map_norm_kernels.standardised(between, before.mean, before.scale, relu=True)
        for place, y in zip(twice, seen, strict=True):
            second = operations[place].convolutions[1]
            maps[place] = _convolved(y.view(maps[place].shape), 1, second)
    last = [y.flatten(1, 2).unflatten(2, shape) for y in maps]
    behind = statistics([each.layers[-1] for each in operations], last)
    total = map_norm_kernels.weighted(last, behind.mean, behind.scale, shares)
    return total, Kept(between, last, (before, behind))


def _convolved(x: Tensor, targets: int, convolution: Separable) -> Tensor:
    """(N, H, W, sources, C) to (N, H', W', edges, C)."""
    stride = convolution.stride
    height, width = (-(-length // stride) for length in x.shape[1:3])
    y = x.new_empty(len(x), height, width, *convolution.across.shape[:2])
    SeparableKernels(convolution, targets).forward(_flat(x), _flat(y))
    return y


def _flat(x: Tensor) -> np.ndarray:
    """(N, H, W, maps, C) to (N, H, W, maps * C)."""
    array: np.ndarray = x.detach().contiguous().numpy()
    return array.reshape(*x.shape[:3], -1)


class Backward:
    """A pass back.

    Args:
        x, operations, shares: of the pass forward.
        kept: by it.
        to_x: whether the gradient of x is needed.
        to_weights: of which weights of each convolution, one behind the other.
    """

    def __init__(
        self,
        x: Tensor,
        operations: Sequence[Operation],
        shares: Tensor,
        kept: Kept,
        to_x: bool,
        to_weights: Sequence[Needed],
    ) -> None:
        self.x, self.operations, self.shares, self.kept = _flat(x), operations, shares, kept
        stride = operations[0].convolutions[0].stride
        self.size = (len(x), *(-(-length // stride) for length in x.shape[1:3]), -1)
        self.to_x = x.new_zeros(x.shape) if to_x else None
        needed = iter(to_weights)
        self.needed = [[next(needed) for _ in each.convolutions] for each in operations]

    def gradients(self, slope: Tensor) -> tuple[Tensor | None, Tensor, list[WeightGradients]]:
        """Of x, of the shares and of the weights, from the slope of the sum."""
        last, given = self.kept.last, self.kept.standards[1]
        slopes = Slopes([slope] * len(last), last, given.mean, given.scale, relu=False)
        if self.to_x is None and not any(any(each) for some in self.needed for each in some):
            nothing = [WeightGradients(None, None, None) for some in self.needed for _ in some]
            return None, slopes.to_weights(), nothing
        averages = taken_over(given.average, slopes.averages, last)
        found = self._of_all(slopes.to_maps(averages, self.shares))
        return self.to_x, slopes.to_weights(), found

    def _of_all(self, slopes: Iterator[Tensor]) -> list[WeightGradients]:
        """From the slopes of the last maps."""
        firsts: dict[int, WeightGradients] = {}
        seconds: dict[int, WeightGradients] = {}
        behind: dict[int, Tensor] = {}
        for place, (each, slope) in enumerate(zip(self.operations, slopes, strict=True)):
            if each.is_twofold:
                behind[place], seconds[place] = self._second(place, len(behind), slope)
            else:
                firsts[place] = self._first(place, slope)
        if behind:
            for place, slope in zip(behind, self._before_relu([*behind.values()]), strict=True):
                firsts[place] = self._first(place, slope)
        places = range(len(self.operations))
        both = [(firsts[place], seconds.get(place)) for place in places]
        return [each for pair in both for each in pair if each is not None]

    def _first(self, place: int, slope: Tensor) -> WeightGradients:
        kernels = SeparableKernels(self.operations[place].convolutions[0], len(self.shares[0]))
        to_x = None if self.to_x is None else _flat(self.to_x)
        return kernels.backward(self.x, self._image(slope), to_x, self.needed[place][0])

    def _second(self, place: int, order: int, slope: Tensor) -> tuple[Tensor, WeightGradients]:
        """Slope of what the second convolution sees, and gradients of its weights."""
        given, y = self.kept.standards[0], self.kept.between[order]
        assert given is not None
        one = slice(order, order + 1)
        (seen,) = map_norm_kernels.standardised([y], given.mean[one], given.scale[one], relu=True)
        to_seen = torch.zeros_like(seen)
        kernels = SeparableKernels(self.operations[place].convolutions[1], 1)
        x, behind, to_x = (self._image(each) for each in (seen, slope, to_seen))
        return to_seen, kernels.backward(x, behind, to_x, self.needed[place][1])

    def _image(self, y: Tensor) -> np.ndarray:
        return y.numpy().reshape(self.size)

    def _before_relu(self, slopes: Sequence[Tensor]) -> Iterator[Tensor]:
        given, maps = self.kept.standards[0], self.kept.between
        assert given is not None
        found = Slopes(slopes, maps, given.mean, given.scale, relu=True)
        return found.to_maps(taken_over(given.average, found.averages, maps))
