"""The settings and the final numbers of a run or a comparison's cell, as trackers show them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from nas.comparison.record import CellResult
from nas.report.gather import Run, defined

Value: TypeAlias = float | str | bool

SCORES = {
    "mean_iou": ("pooled", "iou", "mean"),
    "foreground_iou": ("pooled", "iou", "mean_foreground"),
    "mean_dice": ("pooled", "dice", "mean"),
    "foreground_dice": ("pooled", "dice", "mean_foreground"),
    "hd95": ("surface", "hd95", "mean_foreground"),
    "assd": ("surface", "assd", "mean_foreground"),
}
"""Where in scores.json each number stands."""


def settings_of(run: Run) -> dict[str, Value]:
    """The settings of a run by dotted names; several values as one text."""
    return {"kind": run.kind, **dict(_flat(run.settings))}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Value]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, bool | int | float | str):
            yield prefix + name, value
        else:
            yield prefix + name, ", ".join(map(str, value))


def numbers_of(run: Run) -> dict[str, float]:
    """The final numbers of a run: its cost, its best validation, and each evaluation's scores."""
    found: dict[str, float] = {"training/epochs": run.epochs}
    if (seconds := run.record.get("seconds")) is not None:
        found["training/seconds"] = float(seconds)
    if best := defined([each.get("mean_iou") for each in run.records]):
        found["training/best_mean_iou"] = max(best)
    for evaluation in run.evaluations:
        for name, path in SCORES.items():
            value: Any = evaluation.scores
            for part in path:
                value = value.get(part) if isinstance(value, Mapping) else None
            if value is not None:
                found[f"{evaluation.name}/{name}"] = float(value)
    return found


def settings_of_cell(cell: CellResult) -> dict[str, Value]:
    """What tells a cell of a comparison from the others."""
    named: dict[str, Value] = {
        "dataset": cell.dataset,
        "backbone": cell.backbone,
        "method": cell.method,
        "seed": cell.seed,
    }
    return named if cell.draw is None else named | {"draw": cell.draw}


def numbers_of_cell(cell: CellResult) -> dict[str, float]:
    """The numbers that a comparison knows of a cell."""
    found = {f"test/{name}": value for name, value in cell.scores.items()}
    cost = cell.cost
    more: dict[str, float | None] = {
        "primary score": cell.score,
        "primary score, validation": cell.validation,
        "training/epochs": cell.epochs,
        "training/seconds": cost.seconds if cost else None,
        "training/search_seconds": cost.search_seconds if cost else None,
        "training/peak_memory": cost.peak_memory if cost else None,
    }
    return found | {name: value for name, value in more.items() if value is not None}
