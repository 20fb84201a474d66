"""A recipe that is swept: its settings, what is varied, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from nas.cli.common import anchored, laid_over, named_by_options, settings_of, with_variants
from nas.errors import UsageError
from nas.runs import read_toml, to_settings
from nas.settings import Count, Positive, RetrainSettings, SearchSettings
from nas.sweep.dimensions import (
    Dimension,
    Point,
    at_point,
    grid_size,
    is_plain,
    lowest,
    points,
    read_dimensions,
    target_of,
)
from nas.sweep.study import Method, Plan, Score
from nas.sweep.trial import TrialPlan

Stage: TypeAlias = Literal["retrain", "search"]
KINDS: Mapping[str, type[RetrainSettings] | type[SearchSettings]] = {
    "retrain": RetrainSettings,
    "search": SearchSettings,
}
OWN_TABLES = ("grid", "ranges", "sweep")
"""Tables of a recipe that are no settings of a run; variants may have them too."""
REFUSED = {
    "--config": "the recipe is the settings file",
    "--variant": "give it before, to nas-sweep",
    "--seed": "give --seeds before, to nas-sweep",
    "--run-dir": "nas-sweep makes the folders, below --out",
    "--resume": "nas-sweep goes on by itself",
    "--help": "see nas-retrain --help",
    "--version": "see nas-sweep --version",
}
"""Options of a run that a sweep sets, and what to do instead."""


class SweepTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table [sweep] of a recipe; each has an option of the same name."""

    stage: Stage = "retrain"
    method: Method | None = None
    trials: Positive | None = None
    seeds: tuple[Count, ...] | None = None
    score: Score = "mean_iou"
    seed: Count = 0
    prune: bool = False


@dataclass(frozen=True)
class SweptRecipe:
    """What every trial of a sweep begins from.

    Attributes:
        tables: settings of a run, without those that are varied; options of the runs are in them.
        stage: the command that is run.
        plan: what is varied, and how.
        path: of the recipe.
    """

    tables: Mapping[str, Any]
    stage: Stage
    plan: Plan
    path: Path

    def tables_at(self, point: Point) -> dict[str, Any]:
        """The settings of the first run at a point, which work as --config."""
        tables = at_point(self.tables, point)
        tables["run"] = {**tables.get("run", {}), "seed": self.plan.seeds[0]}
        return tables

    def settings_at(self, point: Point) -> RetrainSettings | SearchSettings:
        """The same as settings, paths absolute.

        Raises:
            UsageError: a name or value is not expected, or the segmenter is missing.
        """
        tables = self.tables_at(point)
        if "backbone" not in tables:
            raise UsageError(
                f'{self.path} names no segmenter: set backbone = "unet", or give --backbone '
                "behind a lone --."
            )
        found: RetrainSettings | SearchSettings
        found = anchored(settings_of(KINDS[self.stage], tables, self.path))
        return found

    def checked_points(self) -> Iterator[Point]:
        """The points whose settings are looked at beforehand: of ranges, the lowest."""
        dimensions = self.plan.dimensions
        if self.plan.method == "grid":
            yield from points(dimensions)
        else:
            yield {key: lowest(each) for key, each in dimensions.items()}

    def plan_at(self, point: Point) -> TrialPlan:
        """What the process of the trial at a point does."""
        settings = self.settings_at(point)
        tables = (table for table in self.tables_at(point).values() if isinstance(table, dict))
        return TrialPlan(
            seeds=self.plan.seeds,
            retrain=settings if isinstance(settings, RetrainSettings) else None,
            search=settings if isinstance(settings, SearchSettings) else None,
            given=tuple(sorted({name for table in tables for name in table})),
        )


def read_recipe(
    path: Path,
    variants: Sequence[str],
    given: Mapping[str, Any],
    passed_on: Sequence[str] = (),
) -> SweptRecipe:
    """A recipe with variants laid over it, and options over its table [sweep].

    Args:
        path: of the recipe.
        variants: names of its tables [variants.NAME].
        given: what stands over its table [sweep].
        passed_on: options of the command of each run.

    Raises:
        UsageError: the file, a table, a dimension or their combination cannot be.
    """
    tables = read_toml(path)
    base = with_variants(tables, variants, path, kept=OWN_TABLES)
    own = {name: base.pop(name, {}) for name in OWN_TABLES}
    table = to_settings({**_table(own["sweep"], path), **given}, SweepTable, path)
    dimensions = read_dimensions(own, path)
    base = _with_options(base, table.stage, dimensions, path, passed_on)
    method = table.method or ("tpe" if own["ranges"] else "grid")
    plan = Plan(
        dimensions=dimensions,
        method=method,
        trials=_trials(method, dimensions, table.trials, path),
        seeds=_seeds(table, base),
        score=table.score,
        seed=table.seed,
        prunes=table.prune,
    )
    return SweptRecipe(base, table.stage, plan, path)


def _table(value: Any, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{path}: sweep must be a table, [sweep].")
    return value


def _with_options(
    tables: Mapping[str, Any],
    stage: Stage,
    dimensions: Mapping[str, Dimension],
    path: Path,
    options: Sequence[str],
) -> dict[str, Any]:
    """The tables with the options of the runs laid over them.

    Raises:
        UsageError: an option is none of the stage, or stands against the sweep.
    """
    if not options:
        return dict(tables)
    names = {each.partition("=")[0].replace("_", "-") for each in options if each[:2] == "--"}
    for name, instead in REFUSED.items():
        if name in names:
            raise UsageError(f"{name} cannot stand behind --: {instead}.")
    for key in dimensions:
        option = f"--{target_of(key).rpartition('.')[2].replace('_', '-')}"
        if option in names:
            raise UsageError(
                f"{option} stands behind --, and {path} varies {key}: leave one of them out."
            )
    plain = {key: lowest(each) for key, each in dimensions.items() if is_plain(key)}
    below = at_point(tables, plain)
    named = named_by_options(KINDS[stage], f"nas-{stage}", below, path, options)
    return laid_over(tables, named)


def _trials(
    method: Method, dimensions: Mapping[str, Dimension], count: int | None, path: Path
) -> int:
    """How many points are tried."""
    if method != "grid":
        if count is None:
            raise UsageError(f"--method {method} needs --trials, the number of points to try.")
        return count
    size = grid_size(dimensions)
    if count is not None and count != size:
        raise UsageError(
            f"--trials {count}: the grid of {path} has {size} points, and all are tried. Leave "
            "--trials out, or take --method random or tpe."
        )
    return size


def _seeds(table: SweepTable, base: Mapping[str, Any]) -> tuple[int, ...]:
    """The seeds of the runs at each point; by default the recipe's own."""
    seeds = table.seeds
    if seeds is None:
        return (base.get("run", {}).get("seed", 0),)
    if not seeds or len(set(seeds)) < len(seeds):
        raise UsageError("--seeds needs one seed at least, and each once.")
    return seeds
