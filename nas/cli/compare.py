"""nas-compare: methods over backbones, data sets and seeds, with a verdict."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from msgspec import Struct

from nas.cli.common import check_writable, parse_options, with_variants
from nas.cli.common import main as run_command
from nas.cli.engines import EngineOptions, make_engine, refuse_unused_engine_options
from nas.cli.stopping import stops_in_order
from nas.comparison.recipe import Recipe, anchored_out, default_out, read_recipe
from nas.errors import RunError
from nas.runs import RunFolder, read_toml
from nas.settings import Count

if TYPE_CHECKING:
    from nas.comparison.cells import Cell
    from nas.comparison.record import Comparison
    from nas.comparison.running import Progress
    from nas.engines import Engine

COMMAND = "nas-compare"


class Options(Struct, frozen=True, kw_only=True):
    """Compare methods over backbones, data sets and seeds, and say in words what came out.

    The recipe is a TOML file: methods (none, a discriminator by name with options as nas-list
    prints them, the file of a genotype, random:10, search), backbones, seeds, [budget], a table
    [datasets.NAME] for each data set, and the tables of a settings file, which all cells share. A
    comparison that was stopped goes on by the same command; what is finished is not run again.
    Methods, seeds and data sets may be added later.
    """

    recipe: tyro.conf.Positional[Path]
    """The recipe."""

    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Folder of the comparison; by default runs/compare-RECIPE."""

    variant: tuple[str, ...] = ()
    """Tables [variants.NAME] of the recipe to lay over it, in this order."""

    data: tuple[str, ...] = ()
    """Where data is on this machine: NAME.SETTING=PATH ..., such as mine.data_root=DIR
    mine.groups=FILE."""

    seeds: tuple[Count, ...] = ()
    """Seeds in place of the recipe's."""

    retry_failed: bool = False
    """Run cells that failed once more; else they stay as they are."""

    dry_run: bool = False
    """List the cells and about how long they take, from a few steps of each, and stop."""

    engines: EngineOptions = EngineOptions()


def compare() -> None:
    """Run what is missing, then say what came out."""
    options = parse_options(Options, COMMAND)
    refuse_unused_engine_options(options.engines)
    recipe = _recipe(options)
    out = anchored_out(options.out or default_out(options.recipe))

    from nas.comparison.cells import cells_of
    from nas.comparison.preflight import check_comparison
    from nas.comparison.running import pending

    check_comparison(recipe)
    cells = cells_of(recipe)
    left = pending(cells, out, options.retry_failed)
    engine = make_engine(options.engines, recipe.run, len(left), out)
    if options.dry_run:
        _list(recipe, cells, left, engine)
        return
    check_writable(out)
    with RunFolder(out).locked():
        _run(recipe, cells, left, out, engine)
        comparison = _conclude(recipe, options, out)
    _tell(comparison, out)


def _recipe(options: Options) -> Recipe:
    tables = with_variants(read_toml(options.recipe), options.variant, options.recipe)
    if options.seeds:
        tables["seeds"] = list(options.seeds)
    return read_recipe(tables, options.data, options.recipe)


def _run(
    recipe: Recipe, cells: Sequence[Cell], left: Sequence[Cell], out: Path, engine: Engine
) -> None:
    from nas.comparison.running import run

    done = len(cells) - len(left)
    before = f", {done} of them done before" if done else ""
    print(f"{len(cells)} cells{before}; {engine.slots} at a time, in {out}", flush=True)
    with stops_in_order(COMMAND, out):
        run(recipe, cells, left, out, engine, _say)


def _say(progress: Progress) -> None:
    from nas.tracking import duration

    outcome = progress.outcome
    told = f"done in {duration(outcome.seconds)}"
    if not outcome.succeeded:
        told = f"failed with exit code {outcome.exit_code}: {outcome.reason}"
    left = progress.total - progress.done
    after = f"remaining {duration(progress.remaining)}" if progress.remaining is not None else ""
    after = after if left else "all have ended"
    line = f"{progress.done}/{progress.total} {progress.cell.name}: {told.rstrip('.')}"
    print(f"{line}; {after}" if after else line, flush=True)


def _conclude(recipe: Recipe, options: Options, out: Path) -> Comparison:
    from nas.comparison.analysis import analyse
    from nas.comparison.tables import write
    from nas.trackers.hparams import write_comparison

    command = shlex.join([COMMAND, *sys.argv[1:]])
    comparison = analyse(recipe, options.recipe.stem, out, command)
    write(comparison, out)
    write_comparison(comparison, out)
    return comparison


def _tell(comparison: Comparison, out: Path) -> None:
    """Print the verdicts and where the numbers are.

    Raises:
        RunError: no cell came to its end.
    """
    from nas.comparison.tables import unfinished

    for table in comparison.tables:
        print(f"\n{table.dataset}, {table.backbone}")
        for sentence in (*table.verdict, *table.notes):
            print(f"  {sentence}")
    if not comparison.complete:
        print(f"\n{unfinished(comparison).replace('**', '')}")
        print("Run those that failed once more by --retry-failed.")
    print(f"\nWritten: {out}/comparison.md, .csv, .tex and .json")
    if not any(cell.state == "finished" for cell in comparison.cells):
        raise RunError(f"No cell came to its end; the reasons stand in {out / 'comparison.json'}.")


def _list(recipe: Recipe, cells: Sequence[Cell], left: Sequence[Cell], engine: Engine) -> None:
    """Print every cell, what is done, and estimates of the rest."""
    from nas.comparison.estimates import estimates
    from nas.tracking import duration

    found = estimates(recipe, left)
    for cell in cells:
        if cell not in found:
            print(f"{cell.name}: has ended")
            continue
        each = found[cell]
        searched = f"search {each.search_epochs} epochs, " if each.search_epochs else ""
        print(
            f"{cell.name}: {searched}{each.epochs} epochs, about {duration(each.load.seconds)}, "
            f"{each.load.flops:.2g} FLOPs"
        )
    total = sum(each.load.seconds for each in found.values())
    print(
        f"{len(cells)} cells, {len(left)} to run, {engine.slots} at a time: about "
        f"{duration(total / engine.slots)}, if as many at a time are as fast as one alone; "
        "scoring, pictures and checkpoints come on top."
    )


def main() -> None:
    """Entry point."""
    run_command(COMMAND, compare)


if __name__ == "__main__":
    main()
