"""What a comparison has found: one structure that holds every number, written as comparison.json.

Scores are shares in [0, 1], differences of scores likewise (0.031 is 3.1 points); seconds are
seconds, memory is bytes. What is not known is None, and where a person should know why, a sentence
stands beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from nas.errors import RunError

FORMAT = "discriminator-nas/comparison"
VERSION = 1

ScoreName = Literal["mean_iou", "foreground_iou", "mean_dice", "foreground_dice"]
"""Pooled over all pixels of the test images: mean IoU or Dice of all classes, or of all but the
background."""

Kind = Literal["none", "named", "genotype", "random mean", "random best", "search"]
CellState = Literal["finished", "failed", "missing"]


class _Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields by name, and no others."""


class Estimate(_Record, frozen=True, kw_only=True):
    """A number and its confidence interval.

    Attributes:
        value: the number.
        low, high: ends of the interval; None where there is none.
    """

    value: float
    low: float | None = None
    high: float | None = None


class Cost(_Record, frozen=True, kw_only=True):
    """What a training took; of a search cell, the search is in every number.

    Attributes:
        seconds: by the clock.
        process_seconds: of all threads on the CPU.
        search_seconds: the search's part of ``seconds``.
        search_process_seconds: the search's part of ``process_seconds``.
        peak_memory: largest resident memory of the process, bytes.
        peak_device_memory: largest memory taken on a CUDA device, bytes; None without one.
        complete: whether every part is in it; False where a part was killed before it could tell.
    """

    seconds: float
    process_seconds: float
    search_seconds: float = 0.0
    search_process_seconds: float = 0.0
    peak_memory: int | None = None
    peak_device_memory: int | None = None
    complete: bool = True


class CellResult(_Record, frozen=True, kw_only=True):
    """One training, or what became of it.

    Attributes:
        name: of the cell, also its folder below ``cells/``, which is an ordinary run folder.
        method: as the recipe names it, such as ``random:10``.
        draw: of ``random:N`` which genotype, from 0; None of other methods.
        seed: of the run.
        state: missing where it has not come to an end yet.
        reason: why it failed, a sentence; None otherwise.
        exit_code: of the process that failed; None otherwise.
        retried: whether it was tried again, because memory ran out or a node was lost.
        score: the primary score on the test images.
        validation: the primary score on the validation images; None where there are none.
        scores: every primary score there is to choose, on the test images.
        epochs: of the retraining.
        search_epochs: of the search; None without one.
        genotype: file of the discriminator's genotype, relative to the comparison's folder.
        search: folder of the search run, relative likewise.
        initial_state: SHA-256 of the segmenter's weights before the first step.
        split: hash of the split.
        cost: None where nothing was measured.
    """

    name: str
    dataset: str
    backbone: str
    method: str
    seed: int
    state: CellState
    draw: int | None = None
    reason: str | None = None
    exit_code: int | None = None
    retried: bool = False
    score: float | None = None
    validation: float | None = None
    scores: dict[str, float] = {}
    epochs: int | None = None
    search_epochs: int | None = None
    genotype: str | None = None
    search: str | None = None
    initial_state: str | None = None
    split: str | None = None
    cost: Cost | None = None


class SeedScore(_Record, frozen=True, kw_only=True):
    """The primary score of a row with one seed.

    Attributes:
        seed: of the run.
        score: on the test images; of "random mean" the mean over the genotypes.
        cells: names of the cells that it comes from; of "random best" the one chosen.
    """

    seed: int
    score: float
    cells: tuple[str, ...]


class Row(_Record, frozen=True, kw_only=True):
    """One line of a table: a method, or one of the two readings of ``random:N``.

    Attributes:
        label: for people; unique in its table.
        method: as the recipe names it.
        kind: what it is.
        seeds: a score for each seed that has one.
        score: mean over seeds, with its bootstrap interval over seeds and cases; None without any.
        spread: standard deviation of the seeds' scores; None with fewer than two.
        case_scores: the primary score of each test case taken by itself, mean over seeds, in the
            order of the table's cases; None where it is undefined.
        cost: mean over seeds, memory the largest; of "random best" the genotypes together.
        missing: a sentence for each seed or cell that is not in the numbers.
    """

    label: str
    method: str
    kind: Kind
    seeds: tuple[SeedScore, ...]
    score: Estimate | None
    spread: float | None
    case_scores: tuple[float | None, ...]
    cost: Cost | None
    missing: tuple[str, ...] = ()


class Welch(_Record, frozen=True, kw_only=True):
    """Welch's t-test of the seeds' scores, two-sided."""

    statistic: float
    degrees_of_freedom: float
    p: float
    p_adjusted: float


class Wilcoxon(_Record, frozen=True, kw_only=True):
    """Wilcoxon's signed-rank test over cases (groups where they are known), two-sided.

    Attributes:
        pairs: cases or groups with a score in both rows.
        effect_size: matched-pairs rank-biserial correlation, in [-1, 1].
    """

    pairs: int
    p: float
    p_adjusted: float
    effect_size: float


class SeedsNeeded(_Record, frozen=True, kw_only=True):
    """How many seeds a paired t-test needs to see a difference.

    Attributes:
        difference: that should be seen, in shares.
        power: probability of seeing it.
        level: of the test, two-sided.
        seeds: how many; None where it is not known, or beyond ``limit``.
        limit: up to which it was looked for.
        reason: why it is not known, a sentence.
    """

    difference: float
    power: float
    level: float
    seeds: int | None
    limit: int
    reason: str | None = None


class PairTest(_Record, frozen=True, kw_only=True):
    """One row against another.

    Attributes:
        first, second: labels of the rows.
        against: whether the second is the named baseline, the best row, or both.
        difference: first minus second, mean over the seeds that both have, with its interval.
        seeds: that both have.
        welch, wilcoxon: None where they cannot be made.
        welch_reason, wilcoxon_reason: why not, sentences.
        cohen_d: difference of the means over the pooled standard deviation of the seeds; None with
            fewer than two seeds or no spread.
        needed: seeds to see the recipe's smallest difference.
        verdict: this test in words.
    """

    first: str
    second: str
    against: tuple[Literal["baseline", "best"], ...]
    difference: Estimate | None
    seeds: tuple[int, ...]
    welch: Welch | None
    wilcoxon: Wilcoxon | None
    welch_reason: str | None
    wilcoxon_reason: str | None
    cohen_d: float | None
    needed: SeedsNeeded
    verdict: str


class ComparisonTable(_Record, frozen=True, kw_only=True):
    """The rows of one data set and one backbone.

    Attributes:
        dataset: as the recipe names it.
        backbone: specification of the segmenter.
        classes: names, background first.
        cases: ids of the test cases.
        groups: of each case; None where it stands for itself.
        rows: in the order of the recipe.
        best: label of the row with the highest mean; None where there is none.
        tests: of each other row against the baseline and against the best.
        verdict: sentences; the first answers the question.
        notes: sentences that a reader should know.
    """

    dataset: str
    backbone: str
    classes: tuple[str, ...]
    cases: tuple[str, ...]
    groups: tuple[str | None, ...]
    rows: tuple[Row, ...]
    best: str | None
    tests: tuple[PairTest, ...]
    verdict: tuple[str, ...]
    notes: tuple[str, ...]


class Comparison(_Record, frozen=True, kw_only=True):
    """A comparison as it stands.

    Attributes:
        format, version: of this file.
        name: of the recipe.
        created: when this was computed, UTC.
        score: the primary score.
        baseline: label of the row that the others are tested against.
        level: of the intervals.
        resamples: of the bootstrap.
        significance: up to which an adjusted p counts as a difference.
        complete: whether every cell is finished.
        recipe: the resolved recipe as plain values.
        versions: of this toolkit and the libraries.
        machine: system and cores.
        command: that goes on with it, or repeats it.
        tables: one for each data set and backbone.
        cells: every cell of the recipe, those that failed too.
    """

    format: str
    version: int
    name: str
    created: str
    score: ScoreName
    baseline: str
    level: float
    resamples: int
    significance: float
    complete: bool
    recipe: dict[str, Any]
    versions: dict[str, str]
    machine: dict[str, Any]
    command: str
    tables: tuple[ComparisonTable, ...]
    cells: tuple[CellResult, ...]


def encode(comparison: Comparison) -> bytes:
    """The text of comparison.json."""
    return msgspec.json.format(msgspec.json.encode(comparison), indent=2) + b"\n"


def read(path: Path) -> Comparison:
    """The comparison of a comparison.json.

    Raises:
        RunError: the file cannot be read, or is of another format or version.
    """
    try:
        comparison = msgspec.json.decode(path.read_bytes(), type=Comparison)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read as a comparison: {error}.") from error
    if (comparison.format, comparison.version) != (FORMAT, VERSION):
        raise RunError(
            f"{path} is of format {comparison.format} {comparison.version}; {FORMAT} {VERSION} was "
            "expected."
        )
    return comparison
