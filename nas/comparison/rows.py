"""The rows of a table: methods with their trainings of each seed, the two readings of random:N."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nas.comparison.recipe import Method, slug
from nas.comparison.record import CellResult, Cost, Kind, SeedScore
from nas.comparison.results import CellFound
from nas.metrics.semantic import Counts


class RowCells(NamedTuple):
    """A row before anything is computed of it.

    Attributes:
        label: for people, unique in its table.
        method: as the recipe names it.
        kind: what the row is.
        seeds: a score for each seed that has one.
        matrices: of each of these seeds (D, N, K, K), of the trainings that the score is a mean of.
        costs: of each of these seeds, what the row took.
        missing: a sentence for each seed or cell that is not in the numbers.
    """

    label: str
    method: str
    kind: Kind
    seeds: tuple[SeedScore, ...]
    matrices: tuple[Counts, ...]
    costs: tuple[Cost | None, ...]
    missing: tuple[str, ...]


class _SeedCells(NamedTuple):
    """What a row takes of the finished cells of a seed, and what these cost."""

    taken: list[CellFound]
    cost: Cost | None


def rows_of(method: Method, cells: Mapping[int, Sequence[CellFound]]) -> list[RowCells]:
    """The rows of a method in one table.

    Args:
        method: of the recipe.
        cells: of each seed, one; of ``random:N`` N.
    """
    if method.kind == "random":
        many = method.draws > 1
        rows = [_row(mean_label(method.text), method, "random mean", cells, _all)]
        if many:
            label = f"{method.text}, best by validation"
            rows.append(_row(label, method, "random best", cells, _best))
        return rows
    return [_row(short_label(method), method, method.kind, cells, _all)]


def mean_label(method: str) -> str:
    """How the mean over the genotypes of ``random:N`` is called."""
    return f"{method}, mean"


def short_label(method: Method) -> str:
    """How a method is called in tables and sentences."""
    if method.kind == "random":
        return mean_label(method.text)
    if method.kind == "search":
        return "searched"
    if method.kind == "genotype":
        return slug(method.text)
    return method.text


def short_backbone(specification: str) -> str:
    """A backbone as tables show it: of a genotype's file its name."""
    name, mark, options = specification.partition("?")
    return f"{Path(name).name}{mark}{options}"


Taking = Callable[[Sequence[CellFound]], _SeedCells]


def _all(finished: Sequence[CellFound]) -> _SeedCells:
    """Every training counts; a row costs what one of them does."""
    return _SeedCells(list(finished), mean_cost([each.result.cost for each in finished]))


def _best(finished: Sequence[CellFound]) -> _SeedCells:
    """The training with the best validation score, at the cost of all; never chosen on the test.

    Of equal ones the first drawn counts. Nothing is chosen where one has no validation score.
    """
    scores = [each.result.validation for each in finished]
    known = [score for score in scores if score is not None]
    if not known or len(known) < len(scores):
        return _SeedCells([], None)
    chosen = finished[int(np.argmax(known))]
    return _SeedCells([chosen], sum_cost([each.result.cost for each in finished]))


def _row(
    label: str,
    method: Method,
    kind: Kind,
    cells: Mapping[int, Sequence[CellFound]],
    take: Taking,
) -> RowCells:
    seeds: list[SeedScore] = []
    matrices: list[Counts] = []
    costs: list[Cost | None] = []
    missing: list[str] = []
    for seed, found in cells.items():
        finished = [each for each in found if each.tested is not None]
        missing += [_missing(each.result) for each in found if each.tested is None]
        taken, cost = take(finished) if finished else _SeedCells([], None)
        if finished and not taken:
            missing.append(f"seed {seed} has no validation images to choose by")
        if not taken:
            continue
        scores = [each.result.score for each in taken if each.result.score is not None]
        names = tuple(each.result.name for each in taken)
        seeds.append(SeedScore(seed=seed, score=float(np.mean(scores)), cells=names))
        matrices.append(np.stack([each.tested.matrices for each in taken if each.tested]))
        costs.append(cost)
    return RowCells(
        label, method.text, kind, tuple(seeds), tuple(matrices), tuple(costs), tuple(missing)
    )


def _missing(cell: CellResult) -> str:
    which = f"seed {cell.seed}"
    if cell.draw is not None:
        which += f", genotype {cell.draw}"
    if cell.state == "missing":
        return f"{which} has not come to an end"
    again = ", tried twice" if cell.retried else ""
    return f"{which} failed with exit code {cell.exit_code}{again}: {cell.reason}"


def mean_cost(costs: Sequence[Cost | None]) -> Cost | None:
    """Mean of times, largest of memory, of those that are known; None of none."""
    total, known = sum_cost(costs), [cost for cost in costs if cost is not None]
    if total is None:
        return None
    return Cost(
        seconds=total.seconds / len(known),
        process_seconds=total.process_seconds / len(known),
        search_seconds=total.search_seconds / len(known),
        search_process_seconds=total.search_process_seconds / len(known),
        peak_memory=total.peak_memory,
        peak_device_memory=total.peak_device_memory,
        complete=total.complete,
    )


def sum_cost(costs: Sequence[Cost | None]) -> Cost | None:
    """Sum of times, largest of memory, of those that are known; None of none."""
    known = [cost for cost in costs if cost is not None]
    if not known:
        return None
    return Cost(
        seconds=sum(cost.seconds for cost in known),
        process_seconds=sum(cost.process_seconds for cost in known),
        search_seconds=sum(cost.search_seconds for cost in known),
        search_process_seconds=sum(cost.search_process_seconds for cost in known),
        peak_memory=_largest([cost.peak_memory for cost in known]),
        peak_device_memory=_largest([cost.peak_device_memory for cost in known]),
        complete=len(known) == len(costs) and all(cost.complete for cost in known),
    )


def _largest(values: Sequence[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
