"""Relaxed networks as the settings of a search describe them."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from nas.devices import derived_seed, seeded
from nas.errors import UsageError
from nas.ranks import of_first
from nas.settings import (
    CellSettings,
    ConcatenationFCNSettings,
    SearchSettings,
    SpaceSettings,
)
from search_spaces import cell_genotype
from search_spaces.cell import CellSupernet
from search_spaces.choices import check_relaxable
from search_spaces.concatenation_fcn import ConcatenationFCNSupernet
from search_spaces.description import GenotypeError, Role
from search_spaces.flexvgg import FlexVGGSupernet
from search_spaces.genotypes import Genotype
from search_spaces.parametric_genotypes import (
    Candidate,
    ConcatenationFCN,
    FlexVGG,
    FlexVGGGenotype,
    Parameters,
    check_candidates,
)
from search_spaces.path_sampling import linear_temperature
from search_spaces.random_genotypes import random_cells, random_combination
from search_spaces.supernet import Supernet

SEARCHED_SEGMENTER = "search:concatenation_fcn"
"""The backbone under which the segmenter is searched."""


DEFAULT_SEARCHES: dict[str, SearchSettings] = {
    "cell": SearchSettings(space=SpaceSettings(space="cell")),
    "flexvgg": SearchSettings(space=SpaceSettings(space="flexvgg")),
    "concatenation_fcn": SearchSettings(backbone=SEARCHED_SEGMENTER),
}
"""The settings under which each space is searched, by the space's name."""


def searched_networks(settings: SearchSettings) -> tuple[Role, ...]:
    """Which networks have architecture parameters, in the order in which these move."""
    searched: dict[Role, bool] = {
        "segmenter": settings.backbone == SEARCHED_SEGMENTER,
        "discriminator": settings.space.space != "none",
    }
    return tuple(role for role, is_searched in searched.items() if is_searched)


def sees_image(settings: SpaceSettings) -> bool:
    """Whether the discriminator is given the image beside the map."""
    return settings.discriminator_input == "map+image"


def new_supernet(role: Role, settings: SearchSettings, channels: int, classes: int) -> Supernet:
    """The relaxed network of a role, freshly initialised from the seed.

    Args:
        role: which of the two networks.
        settings: of the search.
        channels: of the images.
        classes: K, background included.

    Raises:
        UsageError: there is no such space.
    """
    with seeded(settings.run.seed, role):
        if role == "segmenter":
            return _concatenation_fcn(settings.concatenation_fcn, channels, classes)
        in_channels = classes + channels * sees_image(settings.space)
        if settings.space.space == "flexvgg":
            return _flexvgg(settings, in_channels)
        return _cell(settings, in_channels)


def cool(supernet: Supernet, settings: CellSettings, epoch: int, epochs: int) -> None:
    """Give a supernet that draws paths the temperature of an epoch, counted from 0.

    Args:
        supernet: any.
        settings: of its cells.
        epoch: of its search.
        epochs: of its search.
    """
    if isinstance(supernet, CellSupernet) and supernet.sampler is not None:
        temperature = linear_temperature(*settings.temperature, epoch, epochs)
        supernet.sampler.temperature = temperature


def temperature_of(supernet: Supernet) -> float | None:
    """The temperature at which a supernet draws paths; None where it draws none."""
    if isinstance(supernet, CellSupernet) and supernet.sampler is not None:
        return supernet.sampler.temperature
    return None


def random_discriminator(
    settings: SearchSettings, channels: int, classes: int, draw: int
) -> Genotype:
    """A genotype of the discriminator's space, drawn at random.

    Args:
        settings: of the search that it could have come from; their seed decides what is drawn.
        channels: of the images.
        classes: K, background included.
        draw: which genotype of this seed.
    """
    generator = Random(derived_seed(settings.run.seed, f"random discriminator {draw}"))
    in_channels = classes + channels * sees_image(settings.space)
    if settings.space.space == "flexvgg":
        network, candidates = _flexvgg_space(settings, in_channels)
        return FlexVGGGenotype(random_combination(network, candidates, generator))
    cell = settings.cell
    return random_cells(
        cell_genotype.Network(
            channels=cell.channels,
            stem_multiplier=cell.stem_multiplier,
            layout=cell.layout,
            normalisation=settings.space.normalisation,
            sees_image=sees_image(settings.space),
            ends=_ends(settings.space),
            in_channels=in_channels,
        ),
        cell.nodes,
        cell.operations,
        cell.edges_per_node,
        generator,
    )


def check_spaces(settings: SearchSettings) -> None:
    """Refuse spaces that hold an impossible network.

    Raises:
        UsageError: with the options that contradict each other.
    """
    for role in searched_networks(settings):
        if role == "segmenter":
            network, candidates = _concatenation_fcn_space(settings.concatenation_fcn, 1, 2)
            _check_ranges("fcn", network, candidates)
        elif settings.space.space == "flexvgg":
            _check_ranges("flexvgg", *_flexvgg_space(settings, 2))
        else:
            _check_operations(settings)
            _check_relaxation(settings.cell)


def _check_ranges(
    prefix: str, network: Parameters, candidates: Mapping[str, tuple[Candidate, ...]]
) -> None:
    try:
        check_relaxable(network)
    except GenotypeError as error:
        raise UsageError(f"--normalisation {network.normalisation}: {error}.") from error
    try:
        check_candidates(network, candidates)
    except GenotypeError as error:
        raise UsageError(
            f"The ranges --{prefix}-... hold a network that cannot be: {error}. Every combination "
            "of their values must be possible."
        ) from error


def _check_operations(settings: SearchSettings) -> None:
    try:
        cell_genotype.check_operations(settings.cell.operations)
    except GenotypeError as error:
        raise UsageError(f"--operations: {error}.") from error


def _check_relaxation(settings: CellSettings) -> None:
    parts, channels = settings.partial_channels, settings.channels
    if parts > 1 and settings.relaxation == "single-path":
        raise UsageError(
            f"--partial-channels {parts} mixes operations, and --relaxation single-path mixes "
            "none: leave one of them out."
        )
    if parts > 1 and (channels % parts or channels < 2 * parts):
        raise UsageError(
            f"--partial-channels {parts} needs --channels that it divides into parts of 2 or more, "
            f"such as {2 * parts}, {4 * parts}; they are {channels}."
        )
    first, last = settings.temperature
    if last > first:
        raise UsageError(
            f"--temperature {first:g} {last:g} rises from the first epoch to the last: give the "
            "higher one first."
        )


def _cell(settings: SearchSettings, in_channels: int) -> CellSupernet:
    cell = settings.cell
    supernet = CellSupernet(
        in_channels,
        channels=cell.channels,
        layout=cell.layout,
        nodes=cell.nodes,
        operations=cell.operations,
        edges_per_node=cell.edges_per_node,
        normalisation=settings.space.normalisation,
        stem_multiplier=cell.stem_multiplier,
        sees_image=sees_image(settings.space),
        ends=_ends(settings.space),
        partial_channels=cell.partial_channels,
        single_path=cell.relaxation == "single-path",
    )
    supernet.recompute = cell.recompute_cells
    if supernet.sampler is not None:
        supernet.sampler.agree = of_first
    return supernet


def _ends(settings: SpaceSettings) -> cell_genotype.Ends:
    return "pixel_discriminator" if settings.verdict == "pixel" else "discriminator"


def _flexvgg(settings: SearchSettings, in_channels: int) -> FlexVGGSupernet:
    return FlexVGGSupernet(*_flexvgg_space(settings, in_channels))


def _flexvgg_space(
    settings: SearchSettings, in_channels: int
) -> tuple[FlexVGG, dict[str, tuple[Candidate, ...]]]:
    flexvgg = settings.flexvgg
    network = FlexVGG(
        max_channels=flexvgg.flexvgg_max_channels,
        pooled=flexvgg.flexvgg_pooled,
        in_channels=in_channels,
        normalisation=settings.space.normalisation,
        sees_image=sees_image(settings.space),
    )
    searched = ("input_depth", "channels", "blocks", "depth", "pattern", "features", "linear_depth")
    return network, {name: getattr(flexvgg, f"flexvgg_{name}") for name in searched}


def _concatenation_fcn(
    settings: ConcatenationFCNSettings, in_channels: int, classes: int
) -> ConcatenationFCNSupernet:
    return ConcatenationFCNSupernet(*_concatenation_fcn_space(settings, in_channels, classes))


def _concatenation_fcn_space(
    settings: ConcatenationFCNSettings, in_channels: int, classes: int
) -> tuple[ConcatenationFCN, dict[str, tuple[Candidate, ...]]]:
    network = ConcatenationFCN(
        max_channels=settings.fcn_max_channels,
        in_channels=in_channels,
        outputs=classes,
        normalisation=settings.fcn_normalisation,
    )
    searched = ("input_depth", "channels", "blocks", "depth", "pattern", "taps", "combination")
    return network, {name: getattr(settings, f"fcn_{name}") for name in searched}
