"""nas-sweep: runs of a recipe over a space of settings."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import tomli_w
import tyro
from msgspec import Struct

from nas.cli.common import main as run_command
from nas.cli.common import parse_options
from nas.cli.engines import EngineOptions, make_engine, refuse_unused_engine_options
from nas.cli.stopping import stops_in_order
from nas.errors import RunError, UsageError
from nas.runs import RunFolder, atomic_write
from nas.settings import Count, Positive

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage

    from nas.sweep.outcome import Outcome
    from nas.sweep.recipe import SweptRecipe

COMMAND = "nas-sweep"


class Options(Struct, frozen=True, kw_only=True):
    """Try the settings of a recipe's tables [grid] and [ranges], and find the best.

    What stands behind a lone -- goes to each run's command, as in
    nas-sweep RECIPE.toml --out runs/sweep -- --data-root DIR --threads 1.
    """

    recipe: tyro.conf.Positional[Path]
    """TOML file with the settings of a run, and a table [grid] of lists or [ranges] of lists and
    ranges such as {low = 1e-5, high = 1e-2, log = true}. Keys are settings
    (training.segmenter_lr), options of a network (backbone?blocks), or ratios
    (training.discriminator_lr / training.segmenter_lr)."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder of the sweep. Given again, it goes on where it was."""

    variant: tuple[str, ...] = ()
    """Tables [variants.NAME] of the recipe to lay over its settings."""

    method: Literal["grid", "random", "tpe"] | None = None
    """grid: all combinations; random: --trials of them; tpe: likewise, most of them near good ones.
    By default grid, where there is a table [ranges] tpe."""

    trials: Positive | None = None
    """Points to try; of a grid, all."""

    seeds: tuple[Count, ...] | None = None
    """Seeds of the runs at each point, whose scores are averaged; by default 0."""

    stage: Literal["retrain", "search"] | None = None
    """Command of a run: retrain by default, or search."""

    score: Literal["mean_iou", "foreground_iou", "val_loss"] | None = None
    """Number of the validation images, of a run's best epoch; by default mean_iou."""

    seed: Count | None = None
    """Seed of the points that are drawn."""

    prune: bool = False
    """Stop a trial at the first epoch at which the best score of its first run so far is worse than
    the median of earlier trials at that epoch, once five have ended."""

    storage: str | None = None
    """URL of the database that holds the study, by default a SQLite file in --out. With
    postgresql://USER:PASSWORD@HOST/NAME the same command may run on many machines, each with an
    --out of its own."""

    retry_failed: bool = False
    """Try the points of trials that failed once more; else they stay as they are."""

    engines: EngineOptions = EngineOptions()


def sweep(arguments: list[str]) -> None:
    """Work on a sweep until it is done, and say what is best."""
    given, passed_on = _apart(arguments)
    options = parse_options(Options, COMMAND, given)
    _refuse(options)

    from nas.anchoring import absolute
    from nas.sweep.preflight import check_sweep
    from nas.sweep.recipe import read_recipe
    from nas.sweep.study import default_storage, known_study, open_storage

    recipe = read_recipe(options.recipe, options.variant, _of_table(options), passed_on)
    check_sweep(recipe, passed_on)
    out = absolute(options.out)
    _prepare(out)
    with RunFolder(out).locked():
        database = open_storage(options.storage or default_storage(out))
        study = known_study(database, recipe.plan)
        if study is not None:
            _refuse_other(study, recipe, options)
        study = _work(study, database, recipe, options, out)
        _write(study, recipe, out)
    _tell(study, recipe, out)


def _refuse(options: Options) -> None:
    """Refuse options that do not go together.

    Raises:
        UsageError: which.
    """
    refuse_unused_engine_options(options.engines)
    if options.prune and options.engines.engine == "ray" and options.engines.address is not None:
        raise UsageError(
            "--prune compares runs while they train, and the folders of a cluster's runs come back "
            "at their ends: leave out --address, or take --engine local or slurm."
        )


def _work(
    study: Study | None,
    database: RDBStorage,
    recipe: SweptRecipe,
    options: Options,
    out: Path,
) -> Study:
    """Bring what is left of a sweep to its end; its study."""
    from nas.sweep.lead import Lead
    from nas.sweep.outcome import ended, outcome_of
    from nas.sweep.study import new_study, queue_failed

    plan = recipe.plan
    if study is not None and options.retry_failed:
        queue_failed(study)
    left = plan.trials - (ended(outcome_of(study, plan)) if study is not None else 0)
    if study is not None and left <= 0:
        return study
    run = recipe.settings_at(next(recipe.checked_points())).run
    engine = make_engine(options.engines, run, left, out)
    if study is None:
        study = new_study(database, plan, _beginning(recipe))
    print(f"{left} of {plan.trials} trials; {engine.slots} at a time, in {out}", flush=True)
    told = {each.number for each in outcome_of(study, plan).trials if each.state != "running"}

    def tell() -> None:
        outcome = outcome_of(study, plan)
        _tell_new(outcome, told, plan.trials)
        _write_tables(outcome, recipe, out)

    try:
        with stops_in_order(COMMAND, out):
            Lead(out, recipe, study).run(engine, tell)
    finally:
        _write(study, recipe, out)
    return study


def _apart(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Options of the sweep, and behind a lone -- those of its runs."""
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def _of_table(options: Options) -> dict[str, Any]:
    """The options that stand over the recipe's table [sweep]."""
    names = ("method", "trials", "seeds", "stage", "score", "seed")
    given = {name: getattr(options, name) for name in names}
    found = {name: value for name, value in given.items() if value is not None}
    return found | ({"prune": True} if options.prune else {})


def _prepare(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"Cannot make {out}: {error.strerror or error}.") from error


def _beginning(recipe: SweptRecipe) -> str:
    """What a sweep must go on with: plan and settings, without what may change."""
    from nas.sweep.trial import fixed

    plan = msgspec.to_builtins(recipe.plan)
    if recipe.plan.method != "grid":
        del plan["trials"]
    settings = recipe.settings_at(next(recipe.checked_points()))
    kept = {"sweep": plan, "stage": recipe.stage, **fixed(settings, anywhere=True)}
    return msgspec.json.encode(kept).decode()


def _refuse_other(study: Study, recipe: SweptRecipe, options: Options) -> None:
    """Make sure that a sweep goes on with what it was begun with.

    Raises:
        RunError: it was begun otherwise.
    """
    from nas.comparison.cells import first_difference
    from nas.sweep.study import BEGUN_WITH

    before, now = (
        msgspec.json.decode(each) for each in (study.user_attrs[BEGUN_WITH], _beginning(recipe))
    )
    difference = first_difference(before, now)
    if difference is not None:
        raise RunError(
            f"The sweep in {options.storage or options.out} was begun with {difference}: go on "
            "with the recipe and options of then, or choose another --out."
        )


def _write(study: Study, recipe: SweptRecipe, out: Path) -> None:
    """Write everything that a sweep has found."""
    from nas.sweep.outcome import concluded

    _write_tables(concluded(study, recipe.plan), recipe, out)


def _write_tables(outcome: Outcome, recipe: SweptRecipe, out: Path) -> None:
    from nas.sweep.outcome import comma_separated, markdown

    files = {
        "sweep.json": msgspec.json.format(msgspec.json.encode(outcome), indent=2),
        "sweep.md": markdown(outcome).encode(),
        "sweep.csv": comma_separated(outcome).encode(),
    }
    if outcome.best_trial:
        files["best.toml"] = tomli_w.dumps(recipe.tables_at(outcome.best_trial.point)).encode()
    for name, content in files.items():
        with atomic_write(out / name) as stream:
            stream.write(content)


def _tell_new(outcome: Outcome, told: set[int], total: int) -> None:
    """Print the trials that have ended and were not told; those that were are added."""
    for trial in outcome.trials:
        if trial.state == "running" or trial.number in told:
            continue
        told.add(trial.number)
        point = ", ".join(f"{key} = {value}" for key, value in trial.point.items())
        found = f"{outcome.score} {trial.score:.4f}" if trial.score is not None else trial.reason
        print(f"{len(told)}/{total} {point}: {trial.state}, {found}", flush=True)


def _tell(study: Study, recipe: SweptRecipe, out: Path) -> None:
    """Print what was found, and what to do with it.

    Raises:
        RunError: no trial came to its end.
    """
    from nas.sweep.outcome import concluded, markdown

    outcome = concluded(study, recipe.plan)
    print(markdown(outcome))
    running = sum(trial.state == "running" for trial in outcome.trials)
    if running:
        print(f"{running} trials were stopped or run elsewhere; the same command goes on.")
    best = outcome.best_trial
    if best is None:
        raise RunError(f"No trial came to its end; the reasons stand in {out / 'sweep.md'}.")
    print(f"Best: trial {best.number}, {outcome.score} {best.score:.4f} on validation images.")
    print(f"Next: nas-{recipe.stage} --config {shlex.quote(str(out / 'best.toml'))}")


def main() -> None:
    """Entry point."""
    run_command(COMMAND, lambda: sweep(sys.argv[1:]))


if __name__ == "__main__":
    main()
