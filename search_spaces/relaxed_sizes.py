"""The continuous relaxation of widths and depths, given a distribution over networks.

There is one set of weights, of the largest size, of which every network of the space uses the first
channels and the first layers. A width is relaxed by masks on channels (Wan et al. 2020, FBNetV2,
section 3.1): the outputs that networks of different widths make from shared weights, filled up with
zeros and weighted by the networks' probabilities, are the widest output times the sum of the 0/1
masks, weighted so. A depth is relaxed by the weighted sum of what networks of different depths give
out (Dong and Yang 2019, TAS, section 3.1), where narrower outputs are filled up with zeros and not
interpolated. Both papers draw with Gumbel-softmax; here the expectation itself is computed.

Below, ``joint`` is the probability of each network, (networks,). If one of them is certain, the
result is exactly that network's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import pairwise
from operator import add

import torch
from torch import Tensor, nn
from torch.nn import functional

MakeUnit = Callable[[int, int], nn.Module]
"""Builds a layer from the channels of its input and its own."""


class ChannelMask(nn.Module):
    """Multiplies each channel by the probability that it is used.

    Args:
        slots: how many of the first channels each network uses; 0 where it uses none. There may be
            several such rows, for channels that lie side by side: the first channels of each slot.
            In each, at least one network uses some.

    Attributes:
        channels: how many channels there are; those behind are cut off.
        certain: whether all networks use the same channels, so that nothing is multiplied.
    """

    level: Tensor
    reached: Tensor

    def __init__(self, *slots: Sequence[int]) -> None:
        super().__init__()
        level: list[int] = []
        reached: list[list[float]] = []
        for widths in slots:
            levels = sorted(set(widths) - {0})
            for start, end in pairwise([0, *levels]):
                level += [len(reached)] * (end - start)
                reached.append([float(width >= end) for width in widths])
        self.channels = len(level)
        self.certain = all(len(set(widths)) == 1 for widths in slots)
        self.register_buffer("level", torch.tensor(level), persistent=False)
        self.register_buffer("reached", torch.tensor(reached), persistent=False)

    def shares(self, joint: Tensor) -> Tensor:
        """Probability of each distinct width of each slot that the network is at least as wide."""
        return (self.reached * joint).sum(1)

    def probabilities(self, joint: Tensor) -> Tensor:
        """Of each channel, (channels,)."""
        return self.shares(joint)[self.level]

    def forward(self, features: Tensor, joint: Tensor) -> Tensor:
        """Masked features (N, channels, ...) of features with at least as many channels."""
        features = features[:, : self.channels]
        if self.certain:
            return features
        mask = self.probabilities(joint).to(features.dtype)
        return features * mask.reshape(-1, *[1] * (features.dim() - 2))


class ConditionalMask(ChannelMask):
    """The same probabilities, given that the network uses any channel here."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__(widths)
        self.certain = len(set(widths) - {0}) == 1

    def shares(self, joint: Tensor) -> Tensor:
        shares = super().shares(joint)
        used = shares[0]
        return shares / torch.where(used > 0, used, 1)


class Exits(nn.Module):
    """The expectation of what networks take from different places, as wide as the widest takes.

    Args:
        widths: for each place, how many of its first channels each network takes; 0 where it
            takes nothing.

    Attributes:
        places: from which at least one network takes something; the others are not needed.
    """

    def __init__(self, widths: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.places = [place for place, row in enumerate(widths) if any(row)]
        masks = [ChannelMask(widths[place]) for place in self.places]
        self.channels = max(mask.channels for mask in masks)
        self.masks = nn.ModuleList(masks)

    def forward(self, features: Sequence[Tensor] | Mapping[int, Tensor], joint: Tensor) -> Tensor:
        """(N, channels, ...) from the features of each place, which are of one size."""
        terms = (
            pad_channels(mask(features[place], joint), self.channels)
            for place, mask in zip(self.places, self.masks, strict=True)
        )
        return reduce(add, terms)


class RelaxedChain(nn.Module):
    """Layers in a row, each of which may be the last one of a network.

    Between two layers stands the mask of the networks that have both.

    Args:
        in_channels: channels of the input, >= 1.
        widths: for each network, the channels of its layers, at least one.
        make_unit: builds a layer.
    """

    def __init__(
        self, in_channels: int, widths: Sequence[Sequence[int]], make_unit: MakeUnit
    ) -> None:
        super().__init__()
        self.units = nn.ModuleList()
        self.passes = nn.ModuleList()
        exits = []
        for depth in range(1, 1 + max(map(len, widths))):
            here = [row[depth - 1] if len(row) >= depth else 0 for row in widths]
            self.units.append(make_unit(in_channels, max(here)))
            exits.append([row[-1] if len(row) == depth else 0 for row in widths])
            onward = [row[depth - 1] if len(row) > depth else 0 for row in widths]
            if any(onward):
                mask = ConditionalMask(onward)
                self.passes.append(mask)
                in_channels = mask.channels
        self.exits = Exits(exits)
        self.channels = self.exits.channels

    def forward(self, features: Tensor, joint: Tensor) -> Tensor:
        """(N, channels, ...), the expectation of the last layer's output."""
        outputs = [self.units[0](features)]
        for unit, mask in zip(self.units[1:], self.passes, strict=True):
            outputs.append(unit(mask(outputs[-1], joint)))
        return self.exits(outputs, joint)


def pad_channels(features: Tensor, channels: int) -> Tensor:
    """Features (N, C, ...) filled up with zeros to so many channels."""
    missing = channels - features.shape[1]
    if missing == 0:
        return features
    return functional.pad(features, [0, 0] * (features.dim() - 2) + [0, missing])


def inherit_slices(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy into a discrete network the first channels of a supernet's weights.

    Layers have the same names in both, but for the ``units`` of a `RelaxedChain`.

    Raises:
        KeyError: the network has a layer that the supernet lacks.
        RuntimeError: it has more channels.
    """
    weights = {name.replace(".units.", "."): weight for name, weight in weights.items()}
    network.load_state_dict(
        {
            name: weights[name][tuple(map(slice, own.shape))]
            for name, own in network.state_dict().items()
        }
    )
