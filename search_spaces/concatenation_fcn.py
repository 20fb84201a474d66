"""ConcatenationFCN (Nelson 2022, section 3.2): a segmenter defined by a handful of numbers.

Images are float (N, in_channels, H, W), the logits (N, outputs, H, W); any H and W from 32 on will
do. A tap is the output of one of the last FCN blocks, bilinearly upsampled to the size of the
images, with norm layer and ReLU. Taps are counted from the last block backwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.choices import ChoiceParameters, ParametricSupernet, check_relaxable
from search_spaces.description import Normalisation
from search_spaces.fcn_blocks import Encoder, RelaxedEncoder, initialise, norm, unit
from search_spaces.normalisation import conv2d
from search_spaces.parametric_genotypes import (
    Candidate,
    ConcatenationFCN,
    ConcatenationFCNGenotype,
    tap_channels,
)
from search_spaces.relaxed_sizes import (
    ChannelMask,
    Exits,
    inherit_slices,
    pad_channels,
)

Widths: TypeAlias = list[list[int]]
"""For each place and each network, how many channels the network takes from there."""


class ConcatenationFCNNetwork(nn.Module):
    """The discrete network of a genotype.

    Input block and FCN blocks; the last of these are tapped; the taps side by side, those of
    earlier blocks first, or their sum; a unit and a 1x1 convolution without bias for the logits.

    The dissertation speaks of deconvolutions; its text on the implementation, and its code, have
    bilinear upsampling, which is built here.

    Args:
        genotype: the numbers that define it.
        in_channels: channels of the images, >= 1.
        outputs: classes.
    """

    def __init__(
        self, genotype: ConcatenationFCNGenotype, in_channels: int, outputs: int = 2
    ) -> None:
        super().__init__()
        network = genotype.network
        normalisation = network.normalisation
        widths = tap_channels(network)
        channels = sum(widths) if network.combination == "concatenate" else widths[0]
        self.network = network
        self.encoder = Encoder(network, in_channels)
        self.taps = nn.ModuleList(tap(normalisation, width) for width in widths)
        self.mapping = unit(normalisation, channels, channels)
        self.classifier = conv2d(normalisation, channels, outputs, 1, bias=False)
        if normalisation != "spectral":
            initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, outputs, H, W) of images (N, in_channels, H, W)."""
        last_first = reversed(self.encoder(images))
        taps = [
            layer(upsample(block, images))
            for layer, block in zip(self.taps, last_first, strict=False)
        ]
        return self.classifier(self.mapping(self.combine(taps)))

    def combine(self, taps: list[Tensor]) -> Tensor:
        """One map of the taps."""
        if self.network.combination == "concatenate":
            return torch.cat(taps[::-1], dim=1)
        return reduce(add, (pad_channels(each, taps[0].shape[1]) for each in taps))


class ConcatenationFCNSupernet(ParametricSupernet):
    """The relaxed network: the expectation over all ConcatenationFCNs that the candidates allow.

    Widths and depths are relaxed as in `relaxed_sizes`. Which block a tap takes depends on how
    many blocks there are: what is normalised is the sum of the upsampled blocks, each weighted by
    the probability that the tap takes it. The taps' channels lie side by side in fixed slots, those
    of the last tap last; where a network sums its taps, the sum lies in the last slot and nothing
    in the others. One unit over all slots is shared, and its outputs are masked like its inputs.

    Args:
        network: the numbers that are not searched; ``in_channels`` must be among them.
        candidates: what each number searched may be; the numbers are input_depth, channels,
            blocks, depth, pattern, taps and combination.
        generator: draws the initial architecture parameters; by default torch's own.

    Raises:
        GenotypeError: a combination of candidates gives no network, in_channels is not known, or
            the normalisation is spectral.
    """

    def __init__(
        self,
        network: ConcatenationFCN,
        candidates: Mapping[str, Sequence[Candidate]],
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        in_channels = check_relaxable(network)
        normalisation = network.normalisation
        self.network = network
        self.choices = ChoiceParameters(network, candidates, generator)
        networks = self.choices.networks
        self.encoder = RelaxedEncoder(networks, in_channels)
        sources = [Exits(rows) for rows in _sources(networks, self.encoder.channels)]
        self.tapped = sorted({place for source in sources for place in source.places})
        self.sources = nn.ModuleList(sources)
        self.taps = nn.ModuleList(tap(normalisation, source.channels) for source in sources)
        slots = [rows for rows in _slots(networks) if any(map(any, rows))]
        self.slots = nn.ModuleList(map(Exits, slots))
        self.mask = ChannelMask(*([*map(max, *rows, rows[0])] for rows in slots))
        channels = self.mask.channels
        self.mapping = unit(normalisation, channels, channels)
        self.classifier = nn.Conv2d(channels, network.outputs, 1, bias=False)
        initialise(self)

    def expectation(self, images: Tensor, joint: Tensor) -> Tensor:
        """Logits (N, outputs, H, W) of images, given the networks' probabilities."""
        blocks = self.encoder(images, joint)
        upsampled = {place: upsample(blocks[place], images) for place in self.tapped}
        taps = [
            layer(source(upsampled, joint))
            for layer, source in zip(self.taps, self.sources, strict=True)
        ]
        side_by_side = torch.cat([slot(taps, joint) for slot in self.slots], dim=1)
        return self.classifier(self.mask(self.mapping(side_by_side), joint))

    def genotype(self) -> ConcatenationFCNGenotype:
        """The most probable candidate of each number, with the architecture parameters."""
        choices = self.choices.to_choices()
        return ConcatenationFCNGenotype(choices.decode(self.network), choices)


def inherit_weights(network: ConcatenationFCNNetwork, supernet: ConcatenationFCNSupernet) -> None:
    """Copy into a discrete network of the space the weights that it shares with the supernet.

    Raises:
        GenotypeError: the network is not in the space.
    """
    joint = supernet.choices.one_hot(network.network)
    used = supernet.mask.probabilities(joint).nonzero().flatten()
    weights = supernet.state_dict()
    for name, weight in weights.items():
        if name.startswith("mapping.") and weight.dim() > 0:
            weight = weight[used]
        if name.startswith(("mapping.", "classifier.")) and weight.dim() == 4:
            weight = weight[:, used]
        weights[name] = weight
    inherit_slices(network, weights)


def tap(normalisation: Normalisation, channels: int) -> nn.Sequential:
    """Norm layer and ReLU of an upsampled block."""
    return nn.Sequential(norm(normalisation, channels), nn.ReLU())


def upsample(features: Tensor, images: Tensor) -> Tensor:
    """Features in the height and width of the images."""
    return functional.interpolate(
        features, size=images.shape[-2:], mode="bilinear", align_corners=False
    )


def _sources(networks: Sequence[ConcatenationFCN], channels: Sequence[int]) -> list[Widths]:
    """For each tap and block, the block's channels for the networks whose tap takes that block."""
    return [
        [
            [width if network.blocks - 1 - tap == block else 0 for network in networks]
            for block, width in enumerate(channels)
        ]
        for tap in range(max(network.taps for network in networks))
    ]


def _slots(networks: Sequence[ConcatenationFCN]) -> list[Widths]:
    """For each slot, earliest tap first, and each tap, what of the tap lies in the slot."""
    widths = [tap_channels(network) for network in networks]
    most = max(map(len, widths))

    def lies(network: ConcatenationFCN, tap: int, slot: int) -> bool:
        concatenated = network.combination == "concatenate"
        return tap < network.taps and slot == (tap if concatenated else 0)

    return [
        [
            [
                row[tap] if lies(network, tap, slot) else 0
                for network, row in zip(networks, widths, strict=True)
            ]
            for tap in range(most)
        ]
        for slot in reversed(range(most))
    ]
