"""Networks defined by a handful of numbers: FlexVGG and ConcatenationFCN (Nelson 2022, 3.2, 3.3).

Both begin with an input block and blocks of convolutions behind a pooling ("FCN blocks"). A unit is
a 3x3 convolution, a norm layer and a ReLU. Nothing here needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain, product
from typing import ClassVar, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from search_spaces.description import (
    Description,
    GenotypeError,
    Normalisation,
    Provenance,
    Role,
    check_ends,
    require,
    softmax,
)

Pattern: TypeAlias = Literal["single_run", "double_run"]
Combination: TypeAlias = Literal["concatenate", "sum"]
Candidate: TypeAlias = int | str

CHANNELS_PER_GROUP = 8
"""Group norm normalises so many channels together in these spaces, however many there are, so that
the first channels of a layer are treated alike in every width of it."""

MAX_COMBINATIONS = 2**14
"""A space with more networks is refused: its relaxation holds the probability of each."""


class FlexVGG(Struct, frozen=True, forbid_unknown_fields=True):
    """The numbers that define a FlexVGG; the defaults are the optimised one of Nelson 2022.

    Attributes:
        input_depth: units of the input block (D_I).
        channels: channels of the input block (C).
        blocks: FCN blocks (N).
        depth: units of each FCN block (D_F).
        pattern: how channels grow in a block, see `block_channels`.
        max_channels: no unit has more channels than this.
        pooled: height and width to which the last block's output is pooled before the linear
            layers. At 224x332 pixels and with 4 blocks, (15, 22) changes nothing and is the
            published network, which has no pooling there and so knows no other size.
        features: outputs of the first linear layer (F).
        linear_depth: further linear layers, each with half the outputs of the one before.
        outputs: logits for each image.
        in_channels: channels of the input, None where they are not known.
        normalisation: of every unit and linear layer but the last. Under "group" each must have a
            multiple of 8 channels.
        sees_image: whether the network gets the image beside the segmentation map.
        searchable: the fields that may be searched.
    """

    searchable: ClassVar[tuple[str, ...]] = (
        "input_depth",
        "channels",
        "blocks",
        "depth",
        "pattern",
        "features",
        "linear_depth",
    )

    input_depth: int = 1
    channels: int = 64
    blocks: int = 4
    depth: int = 2
    pattern: Pattern = "double_run"
    max_channels: int = 1024
    pooled: tuple[int, int] = (1, 1)
    features: int = 128
    linear_depth: int = 1
    outputs: int = 1
    in_channels: int | None = None
    normalisation: Normalisation = "batch"
    sees_image: bool = False

    def __post_init__(self) -> None:
        _check_encoder(self)
        require(min(self.pooled) >= 1, f"pooled is {self.pooled}: at least (1, 1) was expected")
        require(self.linear_depth >= 0, f"linear_depth is {self.linear_depth}: 0 or more expected")
        require(
            self.features % 2**self.linear_depth == 0 and self.features >= 1,
            f"features is {self.features}: it must be divisible by 2 as often as linear_depth "
            f"says ({self.linear_depth} times)",
        )
        _check_groups(self, linear_features(self))


class ConcatenationFCN(Struct, frozen=True, forbid_unknown_fields=True):
    """The numbers that define a ConcatenationFCN; the defaults are ConcatenationFCN-003.

    Attributes:
        input_depth, channels, blocks, depth, pattern, max_channels: as in `FlexVGG`.
        taps: how many of the last blocks are upsampled to the input's size (published: 3).
        combination: concatenate (published) the upsampled taps on their channels, or sum them,
            those with fewer channels filled up with zeros.
        outputs: classes.
        in_channels: channels of the images, None where they are not known.
        normalisation: of every unit and tap. Under "group" each must have a multiple of 8 channels.
        searchable: the fields that may be searched.
    """

    searchable: ClassVar[tuple[str, ...]] = (
        "input_depth",
        "channels",
        "blocks",
        "depth",
        "pattern",
        "taps",
        "combination",
    )

    input_depth: int = 1
    channels: int = 64
    blocks: int = 5
    depth: int = 1
    pattern: Pattern = "double_run"
    max_channels: int = 1024
    taps: int = 3
    combination: Combination = "concatenate"
    outputs: int = 2
    in_channels: int | None = None
    normalisation: Normalisation = "batch"

    def __post_init__(self) -> None:
        _check_encoder(self)
        require(
            1 <= self.taps <= self.blocks,
            f"taps is {self.taps}: 1 to {self.blocks} were expected, as there are so many blocks",
        )
        _check_groups(self)


Parameters = TypeVar("Parameters", FlexVGG, ConcatenationFCN)


def input_channels(network: FlexVGG | ConcatenationFCN) -> tuple[int, ...]:
    """Channels of every unit of the input block."""
    return (min(network.channels, network.max_channels),) * network.input_depth


def block_channels(network: FlexVGG | ConcatenationFCN) -> tuple[tuple[int, ...], ...]:
    """Channels of every unit of every FCN block.

    In a block of the pattern single_run each unit doubles the channels; in one of double_run
    every second does, counted anew in each block. None has more than ``max_channels``.
    """
    channels = input_channels(network)[-1]
    blocks = []
    for _ in range(network.blocks):
        units = []
        for unit in range(network.depth):
            doubles = network.pattern == "single_run" or unit % 2 == 1
            channels = min(channels * (2 if doubles else 1), network.max_channels)
            units.append(channels)
        blocks.append(tuple(units))
    return tuple(blocks)


def linear_features(network: FlexVGG) -> tuple[int, ...]:
    """Outputs of every linear layer but the last: each has half those of the one before."""
    return tuple(network.features // 2**layer for layer in range(network.linear_depth + 1))


def tap_channels(network: ConcatenationFCN) -> tuple[int, ...]:
    """Channels of the upsampled taps, from the last block backwards."""
    last_first = reversed(block_channels(network))
    return tuple(units[-1] for units, _ in zip(last_first, range(network.taps), strict=False))


class Choice(Struct, frozen=True, forbid_unknown_fields=True):
    """The candidates for one number of a network and their architecture parameters."""

    candidates: tuple[Candidate, ...]
    alpha: tuple[float, ...]

    def __post_init__(self) -> None:
        require(
            len(self.candidates) == len(self.alpha) >= 1,
            f"{len(self.candidates)} candidates and {len(self.alpha)} values of alpha: as many of "
            "both were expected, and at least one",
        )
        require(
            len(set(self.candidates)) == len(self.candidates),
            f"candidates {list(self.candidates)} must be different",
        )
        require(all(math.isfinite(value) for value in self.alpha), "alpha must be finite")

    def probabilities(self) -> tuple[float, ...]:
        """Softmax of alpha."""
        return softmax(self.alpha)

    def best(self) -> Candidate:
        """The candidate with the largest alpha, of equals the first."""
        return self.candidates[self.alpha.index(max(self.alpha))]


class Choices(Struct, frozen=True, forbid_unknown_fields=True):
    """The architecture parameters of a parametric space: a choice for each number searched."""

    choices: dict[str, Choice]

    def decode(self, network: Parameters) -> Parameters:
        """The network in which each number searched is the candidate with the largest alpha."""
        best = {name: choice.best() for name, choice in self.choices.items()}
        return _replace(network, best)


def combinations(
    network: Parameters, candidates: Mapping[str, Sequence[Candidate]]
) -> tuple[Parameters, ...]:
    """Every network that the candidates allow; those of the last number vary fastest.

    Args:
        network: the numbers that are not searched.
        candidates: for each number searched, what it may be.

    Raises:
        GenotypeError: a combination gives no network, or a number cannot be searched.
    """
    for name, values in candidates.items():
        require(
            name in network.searchable,
            f"{name} cannot be searched: one of {', '.join(network.searchable)} was expected",
        )
        require(len(values) > 0, f"{name} has no candidate")
        require(len(set(values)) == len(values), f"{name} has a candidate twice: {list(values)}")
    count = math.prod(map(len, candidates.values()))
    require(
        count <= MAX_COMBINATIONS,
        f"the candidates allow {count} networks: at most {MAX_COMBINATIONS} were expected",
    )
    return tuple(
        _replace(network, dict(zip(candidates, values, strict=True)))
        for values in product(*candidates.values())
    )


def check_candidates(network: Parameters, candidates: Mapping[str, Sequence[Candidate]]) -> None:
    """Raise GenotypeError unless every combination of the candidates gives a network."""
    combinations(network, candidates)


class FlexVGGGenotype(
    Description,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="space",
    tag="flexvgg",
):
    """A discriminator of the FlexVGG space."""

    role: ClassVar[Role] = "discriminator"

    network: FlexVGG
    relaxation: Choices | None = None
    provenance: Provenance | None = None

    def canonical(self) -> FlexVGGGenotype:
        """The architecture alone."""
        return FlexVGGGenotype(self.network)


class ConcatenationFCNGenotype(
    Description,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="space",
    tag="concatenation_fcn",
):
    """A segmenter of the ConcatenationFCN space."""

    role: ClassVar[Role] = "segmenter"

    network: ConcatenationFCN
    relaxation: Choices | None = None
    provenance: Provenance | None = None

    def canonical(self) -> ConcatenationFCNGenotype:
        """The architecture alone."""
        return ConcatenationFCNGenotype(self.network)


def _check_encoder(network: FlexVGG | ConcatenationFCN) -> None:
    for name in ("input_depth", "channels", "blocks", "depth", "max_channels"):
        value = getattr(network, name)
        require(value >= 1, f"{name} is {value}: at least 1 was expected")
    check_ends(network.in_channels, network.outputs)


def _check_groups(network: FlexVGG | ConcatenationFCN, features: tuple[int, ...] = ()) -> None:
    if network.normalisation == "group":
        widths = {
            *input_channels(network),
            *chain.from_iterable(block_channels(network)),
            *features,
        }
        odd = sorted(width for width in widths if width % CHANNELS_PER_GROUP)
        require(
            not odd,
            f"layers have {', '.join(map(str, odd))} channels or features: group norm needs "
            f"multiples of {CHANNELS_PER_GROUP}; change channels, max_channels, features or "
            "linear_depth, or choose another normalisation",
        )


def _replace(network: Parameters, changes: Mapping[str, Candidate]) -> Parameters:
    """The network with other numbers, checked for their types too."""
    fields = {**msgspec.structs.asdict(network), **changes}
    try:
        return msgspec.convert(fields, type(network))
    except msgspec.ValidationError as error:
        raise GenotypeError(str(error)) from error
