"""A recipe that is swept: its settings, what is varied, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from nas.cli.common import with_variants
from nas.errors import UsageError
from nas.runs import read_toml, to_settings
from nas.settings import Count, Positive
from nas.sweep.dimensions import at_point, points, read_dimensions
from nas.sweep.study import Method, Plan, Score

Stage: TypeAlias = Literal["retrain", "search"]


class SweepTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table [sweep] of a recipe; each has an option of the same name."""

    stage: Stage = "retrain"
    method: Method | None = None
    trials: Positive | None = None
    seeds: tuple[Count, ...] = (0,)
    score: Score = "mean_iou"
    seed: Count = 0
    prune: bool = False


@dataclass(frozen=True)
class SweptRecipe:
    """What every trial of a sweep begins from.

    Attributes:
        tables: settings of a run, without those that are varied.
        stage: the command that is run.
        plan: what is varied, and how.
    """

    tables: Mapping[str, Any]
    stage: Stage
    plan: Plan


def read_recipe(path: Path, variants: Sequence[str], given: Mapping[str, Any]) -> SweptRecipe:
    """A recipe with variants laid over it, and options over its table [sweep].

    Raises:
        UsageError: the file, a table, a dimension or their combination cannot be.
    """
    tables = read_toml(path)
    table = to_settings({**tables.get("sweep", {}), **given}, SweepTable, path)
    dimensions = read_dimensions(tables, path)
    method = table.method or ("tpe" if "ranges" in tables else "grid")
    count = table.trials
    if method == "grid":
        size = sum(1 for _ in points(dimensions))
        if count is not None and count != size:
            raise UsageError(
                f"--trials {count}: the grid of {path} has {size} points, and all are tried. Leave "
                "--trials out, or take --method random or tpe."
            )
        count = size
    if count is None:
        raise UsageError(f"--method {method} needs --trials, the number of points to try.")
    if not table.seeds:
        raise UsageError("--seeds needs one seed at least.")
    plan = Plan(
        dimensions=dimensions,
        method=method,
        trials=count,
        seeds=table.seeds,
        score=table.score,
        seed=table.seed,
        prunes=table.prune,
    )
    base = with_variants(tables, variants, path)
    if method == "grid":
        for point in points(dimensions):
            at_point(base, point)
    return SweptRecipe(base, table.stage, plan)
