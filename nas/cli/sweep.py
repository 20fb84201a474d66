"""nas-sweep: runs of a recipe over a space of settings."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import tomli_w
import tyro
from msgspec import Struct

from nas.cli.common import main as run_command
from nas.cli.common import parse
from nas.cli.stopping import stops_in_order
from nas.errors import RunError
from nas.runs import atomic_write
from nas.settings import Count, Positive

if TYPE_CHECKING:
    from optuna import Study

    from nas.sweep.outcome import Outcome
    from nas.sweep.recipe import SweptRecipe
    from nas.sweep.trial import Trials

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
    """Stop a run at an epoch that is worse than the median of earlier runs at that epoch."""

    storage: str | None = None
    """URL of the database that holds the study, by default a SQLite file in --out. With
    postgresql://USER:PASSWORD@HOST/NAME the same command may run on many machines."""

    jobs: Count = 0
    """Trials that run at the same time; 0 for as many as fit on the cores or the GPUs, one each."""

    limit: Positive | None = None
    """Take so many trials in this process at most, one after the other, and leave."""


def sweep(arguments: list[str]) -> None:
    """Work on a sweep until it is done, and say what is best."""
    given, passed_on = _apart(arguments)
    options = parse(Options, COMMAND, given)

    from nas.sweep.outcome import outcome_of
    from nas.sweep.recipe import read_recipe
    from nas.sweep.study import default_storage, open_study
    from nas.sweep.trial import Trials

    recipe = read_recipe(options.recipe, options.variant, _of_table(options))
    _prepare(options.out)
    study = open_study(recipe.plan, options.storage or default_storage(options.out))
    _refuse_other(study, recipe, passed_on, options)
    trials = Trials(options.out, recipe, passed_on)
    try:
        if options.limit:
            _take_here(study, trials, options.limit)
        else:
            with stops_in_order(COMMAND, options.out):
                _take_by_engine(study, trials, options, arguments)
    finally:
        _write(outcome_of(study, recipe.plan), trials)
    if not options.limit:
        _tell(outcome_of(study, recipe.plan), trials)


def _take_here(study: Study, trials: Trials, limit: int) -> None:
    from nas.sweep.outcome import ended, outcome_of
    from nas.sweep.worker import take_one

    plan = trials.recipe.plan
    for _ in range(limit):
        if ended(outcome_of(study, plan)) < plan.trials:
            take_one(study, trials)


def _take_by_engine(study: Study, trials: Trials, options: Options, arguments: list[str]) -> None:
    """Processes of this command, each for one trial, until all are done.

    Raises:
        RunError: one of them could not take a trial.
    """
    from nas.cli.compare_engines import local_engine
    from nas.engines import Job
    from nas.sweep.outcome import ended, outcome_of

    plan, table = trials.recipe.plan, trials.recipe.tables.get("run", {})
    at = arguments.index("--") if "--" in arguments else len(arguments)
    command = (*arguments[:at], "--limit", "1", *arguments[at:])
    running = told = 0

    def jobs() -> Iterator[Job]:
        nonlocal running
        number = 0
        while (done := ended(outcome_of(study, plan))) + running < plan.trials:
            running += 1
            number += 1
            yield Job(
                name=f"trial {done + running}",
                command=(sys.executable, "-m", "nas.cli.sweep", *command),
                folder=trials.folder / "workers" / f"{number:04d}",
            )

    left = plan.trials - ended(outcome_of(study, plan))
    engine = local_engine(
        table.get("device", "auto"), table.get("threads", 0), max(1, left), options.jobs
    )
    print(f"{left} of {plan.trials} trials; {engine.slots} at a time, in {options.out}", flush=True)
    with closing(engine.run(jobs())) as outcomes:
        for outcome in outcomes:
            running -= 1
            if not outcome.succeeded:
                raise RunError(f"A trial could not be taken: {outcome.reason}")
            told = _tell_new(outcome_of(study, plan), told)
            _write(outcome_of(study, plan), trials)


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


def _refuse_other(
    study: Study, recipe: SweptRecipe, passed_on: list[str], options: Options
) -> None:
    """Make sure that a sweep goes on with what it was begun with.

    Raises:
        RunError: it was begun otherwise.
    """
    now = msgspec.json.encode([recipe.tables, recipe.stage, recipe.plan, passed_on]).decode()
    before = study.user_attrs.get("begun_with")
    if before is None:
        study.set_user_attr("begun_with", now)
    elif before != now:
        raise RunError(
            f"The sweep in {options.storage or options.out} was begun with other settings: go on "
            "with the recipe and options of then, or choose another --out."
        )


def _write(outcome: Outcome, trials: Trials) -> None:
    from nas.sweep.outcome import comma_separated, markdown

    files = {
        "sweep.json": msgspec.json.format(msgspec.json.encode(outcome), indent=2),
        "sweep.md": markdown(outcome).encode(),
        "sweep.csv": comma_separated(outcome).encode(),
    }
    if outcome.best_trial:
        from nas.sweep.dimensions import at_point

        best = at_point(trials.recipe.tables, outcome.best_trial.point)
        files["best.toml"] = tomli_w.dumps(best).encode()
    for name, content in files.items():
        with atomic_write(trials.folder / name) as stream:
            stream.write(content)


def _tell_new(outcome: Outcome, told: int) -> int:
    """Print the trials that have ended since so many were told; how many that makes."""
    over = [trial for trial in outcome.trials if trial.state != "running"]
    for trial in over[told:]:
        point = ", ".join(f"{key} = {value}" for key, value in trial.point.items())
        found = f"{outcome.score} {trial.score:.4f}" if trial.score is not None else trial.reason
        print(f"{len(over)}/{len(outcome.trials)} {point}: {trial.state}, {found}", flush=True)
    return len(over)


def _tell(outcome: Outcome, trials: Trials) -> None:
    from nas.sweep.outcome import markdown

    print(markdown(outcome))
    best = outcome.best_trial
    if best is None:
        raise RunError(
            f"No trial came to its end; the reasons stand in {trials.folder / 'sweep.md'}."
        )
    print(f"Best: trial {best.number}, {outcome.score} {best.score:.4f} on validation images.")
    command = f"nas-{trials.recipe.stage} --config {shlex.quote(str(trials.folder / 'best.toml'))}"
    print(f"Next: {command} {shlex.join(trials.passed_on)}".rstrip())


def main() -> None:
    """Entry point."""
    run_command(COMMAND, lambda: sweep(sys.argv[1:]))


if __name__ == "__main__":
    main()
