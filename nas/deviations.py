"""What a run does otherwise than the published method, told and kept in its folder.

The published method is that of Dong et al. 2019: a relaxed discriminator of cells that sees class
maps; both second-order terms by finite differences; the adversarial training of truth against
prediction by Eq. 1 and 2. Numbers that the paper leaves open are no deviations, whatever they are,
nor are the data, the segmenter and its loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec
from msgspec import Struct

from nas.own_genotypes import named_networks
from nas.runs import RunFolder
from nas.settings import GameSettings, RetrainSettings, SearchSettings


class Deviation(Struct, frozen=True, kw_only=True):
    """One thing that differs.

    Attributes:
        name: what it is called, in the field's words.
        option: how it was asked for on the command line.
        difference: what is different, in a sentence.
        equal: whether the mathematics is the same, and only time and memory differ.
        source: where it comes from, if from a paper.
    """

    name: str
    option: str
    difference: str
    equal: bool = False
    source: str | None = None


def deviations(settings: SearchSettings | RetrainSettings) -> tuple[Deviation, ...]:
    """All that the settings make different, the largest first; settings without effect make none.

    Args:
        settings: of a search or a retraining.
    """
    if isinstance(settings, RetrainSettings):
        alone = named_networks(settings)["discriminator"] == "none"
        found = [] if alone else [*_of_game(settings.game)]
        return (*found, *_of_precision(settings.run.precision))
    found = [*_of_relaxation(settings), *_of_gradient(settings)]
    if settings.space.space != "none":
        found += [*_of_discriminator(settings), *_of_game(settings.game)]
    return (*found, *_of_precision(settings.run.precision), *_of_memory(settings))


def tell(settings: SearchSettings | RetrainSettings, say: Callable[[str], None]) -> None:
    """Tell the user each deviation."""
    for deviation in deviations(settings):
        say(sentence(deviation))


def label_run(folder: RunFolder, settings: SearchSettings | RetrainSettings) -> None:
    """Write the deviations into a run's folder: ``deviations`` of run.json, and notes.txt.

    Raises:
        RunError: the folder cannot be written.
    """
    found = deviations(settings)
    folder.record(deviations=msgspec.to_builtins(found))
    for each in found:
        folder.add_note(sentence(each))


def sentence(deviation: Deviation) -> str:
    """A deviation for a person: as a note of a run, or in its summary."""
    told = f"{deviation.name} ({deviation.option}): {deviation.difference}"
    source = f" ({deviation.source})" if deviation.source else ""
    if deviation.equal:
        return f"Equal to the published mathematics but for time and memory, {told}{source}."
    return f"A deviation from the published mathematics, {told}{source}."


def summary(found: Sequence[Deviation]) -> str | None:
    """All deviations in a line; None where there are none."""
    names = [f"{each.name} ({each.option})" for each in found if not each.equal]
    return f"Deviations from the published mathematics: {', '.join(names)}." if names else None


def _of_relaxation(settings: SearchSettings) -> Iterator[Deviation]:
    cell = settings.cell
    if settings.space.space != "cell":
        return
    if cell.partial_channels > 1:
        yield Deviation(
            name="partial channels with edge normalisation",
            option=f"--partial-channels {cell.partial_channels}",
            difference=f"mixed operations see 1/{cell.partial_channels} of the channels, the "
            "others pass by, and edges have weights; the genotype is derived from the products of "
            "these with the probabilities",
            source="PC-DARTS, Xu et al. 2020",
        )
    if cell.relaxation == "single-path":
        first, last = cell.temperature
        yield Deviation(
            name="single-path sampling",
            option=f"--relaxation single-path --temperature {first:g} {last:g}",
            difference="each loss goes through one operation of each edge, drawn by its "
            "probability, the same for real and fake maps, with the gradient of a softmax at a "
            "temperature; alpha's gradient is a noisy one",
            source="GDAS, Dong & Yang 2019",
        )


def _of_gradient(settings: SearchSettings) -> Iterator[Deviation]:
    architecture = settings.architecture
    if architecture.objective == "segmenter" and settings.space.space != "none":
        yield Deviation(
            name="segmentation objective",
            option="--objective segmenter",
            difference="alpha minimises the segmentation loss behind the unrolled step, not the "
            "discriminator's own loss (Eq. 8)",
        )
    if architecture.order == "first":
        yield Deviation(
            name="first order",
            option="--order first",
            difference="alpha's gradient is that at the present weights: no unrolled step, and no "
            "second-order term",
            source="Liu et al. 2019, section 2.3",
        )
        return
    if architecture.product_for != "both":
        kept = {
            "discriminator": "the segmenter's second-order term is left out",
            "segmenter": "the discriminator's second-order term is left out",
            "none": "both second-order terms are left out; the unrolled step is taken",
        }
        yield Deviation(
            name="second-order terms left out",
            option=f"--product-for {architecture.product_for}",
            difference=kept[architecture.product_for],
        )
    if architecture.product == "exact" and architecture.product_for != "none":
        yield Deviation(
            name="exact products",
            option="--product exact",
            difference="second-order terms are differentiated exactly, not by finite differences",
        )


def _of_discriminator(settings: SearchSettings) -> Iterator[Deviation]:
    if settings.space.space == "flexvgg":
        yield Deviation(
            name="another search space",
            option="--space flexvgg",
            difference="the discriminator is a VGG of searched depths and widths",
            source="Nelson 2022",
        )
    elif settings.space.verdict == "pixel":
        yield Deviation(
            name="verdicts on pixels",
            option="--verdict pixel",
            difference="the discriminator judges each pixel, not the image as a whole",
            source="Lalwani",
        )
    if settings.space.discriminator_input == "map+image":
        yield Deviation(
            name="the image as input",
            option="--discriminator-input map+image",
            difference="the discriminator sees the image beside the class map",
        )


def _of_game(game: GameSettings) -> Iterator[Deviation]:
    if game.passes == "joint":
        yield Deviation(
            name="joint pass",
            option="--passes joint",
            difference="real and fake maps go through the discriminator in one batch, so that "
            "batch norm normalises them together; without batch statistics the verdicts are the "
            "same",
        )
    told = {
        "game": "another game is played",
        "adversarial_loss": "the adversarial terms are not those of Eq. 1 and 2",
        "cue": "the discriminator sees other maps than probabilities and one-hot truths",
        "discriminator_steps": "the discriminator takes more than one step for one of the "
        "segmenter",
        "adversarial_start": "the adversarial training begins later",
        "adversarial_ramp": "the adversarial weight grows over the epochs",
        "unlabelled_weight": "unlabelled images take part",
    }
    default = GameSettings()
    for name, difference in told.items():
        value = getattr(game, name)
        if value != getattr(default, name):
            option = f"--{name.replace('_', '-')} {value}"
            yield Deviation(name=name.replace("_", " "), option=option, difference=difference)


def _of_precision(precision: str) -> Iterator[Deviation]:
    if precision == "bf16":
        yield Deviation(
            name="reduced precision",
            option="--precision bf16",
            difference="the networks compute with 8 significant bits, but for the differences of "
            "second-order terms",
        )


def _of_memory(settings: SearchSettings) -> Iterator[Deviation]:
    if settings.space.space == "cell" and settings.cell.recompute_cells:
        yield Deviation(
            name="activation checkpointing",
            option="--recompute-cells",
            difference="each cell is computed again in the backward pass",
            equal=True,
            source="Chen et al. 2016",
        )
