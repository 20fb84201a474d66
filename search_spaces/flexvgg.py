"""FlexVGG (Nelson 2022, section 3.3): a discriminator defined by a handful of numbers.

Inputs are float (N, in_channels, H, W), verdicts logits (N, outputs); any H and W from 32 on will
do. Under batch norm, a batch in training must have more than one image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.choices import ChoiceParameters, ParametricSupernet, check_relaxable
from search_spaces.fcn_blocks import Encoder, RelaxedEncoder, chain, initialise, linear_unit
from search_spaces.normalisation import linear
from search_spaces.parametric_genotypes import (
    Candidate,
    FlexVGG,
    FlexVGGGenotype,
    linear_features,
)
from search_spaces.relaxed_sizes import Exits, RelaxedChain, inherit_slices


class FlexVGGNetwork(nn.Module):
    """The discrete network of a genotype.

    Input block and FCN blocks; average pooling to a fixed size, which the published network does
    not have, so that it knows one size of inputs only; linear layers with norm layer and ReLU,
    each with half the outputs of the one before; a linear layer for the logits.

    Args:
        genotype: the numbers that define it.
        in_channels: channels of the input, >= 1.
        outputs: logits for each image.
    """

    def __init__(self, genotype: FlexVGGGenotype, in_channels: int, outputs: int = 1) -> None:
        super().__init__()
        network = genotype.network
        normalisation = network.normalisation
        features = linear_features(network)
        height, width = network.pooled
        self.network = network
        self.encoder = Encoder(network, in_channels)
        self.linear = chain(
            self.encoder.channels * height * width, features, partial(linear_unit, normalisation)
        )
        self.head = linear(normalisation, features[-1], outputs)
        if normalisation != "spectral":
            initialise(self)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits (N, outputs) of inputs (N, in_channels, H, W)."""
        pooled = functional.adaptive_avg_pool2d(self.encoder(maps)[-1], self.network.pooled)
        return self.head(self.linear(pooled.flatten(1)))


class FlexVGGSupernet(ParametricSupernet):
    """The relaxed network: the expectation over all FlexVGGs that the candidates allow.

    Widths and depths are relaxed as in `relaxed_sizes`. The features are the sum of the pooled
    outputs of the FCN blocks, each weighted by the probability that it is the last.

    Args:
        network: the numbers that are not searched; ``in_channels`` must be among them.
        candidates: what each number searched may be; the numbers are input_depth, channels,
            blocks, depth, pattern, features and linear_depth.
        generator: draws the initial architecture parameters; by default torch's own.

    Raises:
        GenotypeError: a combination of candidates gives no network, in_channels is not known, or
            the normalisation is spectral.
    """

    def __init__(
        self,
        network: FlexVGG,
        candidates: Mapping[str, Sequence[Candidate]],
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        in_channels = check_relaxable(network)
        self.network = network
        self.choices = ChoiceParameters(network, candidates, generator)
        networks = self.choices.networks
        self.encoder = RelaxedEncoder(networks, in_channels)
        self.exits = Exits(
            [
                [channels if last.blocks == block else 0 for last in networks]
                for block, channels in enumerate(self.encoder.channels, start=1)
            ]
        )
        height, width = network.pooled
        self.linear = RelaxedChain(
            self.exits.channels * height * width,
            [*map(linear_features, networks)],
            partial(linear_unit, network.normalisation),
        )
        self.head = nn.Linear(self.linear.channels, network.outputs)
        initialise(self)

    def expectation(self, maps: Tensor, joint: Tensor) -> Tensor:
        """Logits (N, outputs) of maps (N, in_channels, H, W), given the networks' probabilities."""
        blocks = self.encoder(maps, joint)
        pooled = {
            block: functional.adaptive_avg_pool2d(blocks[block], self.network.pooled)
            for block in self.exits.places
        }
        features = self.exits(pooled, joint).flatten(1)
        return self.head(self.linear(features, joint))

    def genotype(self) -> FlexVGGGenotype:
        """The most probable candidate of each number, with the architecture parameters."""
        choices = self.choices.to_choices()
        return FlexVGGGenotype(choices.decode(self.network), choices)


def inherit_weights(network: FlexVGGNetwork, supernet: FlexVGGSupernet) -> None:
    """Copy into a discrete network of the space the weights that it shares with the supernet.

    Raises:
        KeyError: the network has a layer that the supernet lacks.
        RuntimeError: it has more channels.
    """
    inherit_slices(network, supernet.state_dict())
