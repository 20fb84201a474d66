"""nas-sweep: runs of a recipe over a space of settings."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import tomli_w
import tyro
from msgspec import Struct

from nas.cli.common import main as run_command
from nas.cli.common import parse
from nas.errors import Interrupted, RunError
from nas.runs import atomic_write
from nas.settings import Count, Positive

COMMAND = "nas-sweep"


class Options(Struct, frozen=True, kw_only=True):
    """Try the settings of a recipe's tables [grid] and [space], and find the best.

    What stands behind a lone -- goes to each run's command, as in
    nas-sweep RECIPE.toml --out runs/sweep -- --data-root DIR --threads 1.
    """

    recipe: tyro.conf.Positional[Path]
    """TOML file with the settings of a run, and a table [grid] of lists or [space] of lists and
    ranges such as {low = 1e-5, high = 1e-2, log = true}. Keys are settings
    (training.segmenter_lr), options of a network (backbone?blocks), or ratios
    (training.discriminator_lr / training.segmenter_lr)."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder of the sweep. Given again, it goes on where it was."""

    variant: tuple[str, ...] = ()
    """Tables [variants.NAME] of the recipe to lay over its settings."""

    method: Literal["grid", "random", "tpe"] | None = None
    """grid: all combinations; random: --trials of them; tpe: likewise, most of them near good ones.
    By default grid, where there is a table [space] tpe."""

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

    limit: Positive | None = None
    """Trials that this process takes at most; by default it goes on until all are done."""


def sweep(arguments: list[str]) -> None:
    """Work on a sweep until it is done, and say what is best."""
    given, passed_on = _apart(arguments)
    options = parse(Options, COMMAND, given)

    from nas.sweep.outcome import ended, outcome_of
    from nas.sweep.recipe import read_recipe
    from nas.sweep.study import default_storage, open_study
    from nas.sweep.trial import Trials
    from nas.sweep.worker import take_one

    recipe = read_recipe(options.recipe, options.variant, _of_table(options))
    _prepare(options.out)
    study = open_study(recipe.plan, options.storage or default_storage(options.out))
    _refuse_other(study, recipe, passed_on, options)
    trials = Trials(options.out, recipe, passed_on)
    taken = 0
    try:
        while (done := ended(outcome_of(study, recipe.plan))) < recipe.plan.trials:
            if taken == options.limit:
                break
            print(f"Trial {done + 1} of {recipe.plan.trials}.", flush=True)
            take_one(study, trials)
            taken += 1
            _tell_last(outcome_of(study, recipe.plan))
    except Interrupted as stopped:
        raise Interrupted(
            f"{stopped} Go on with: {shlex.join([COMMAND, *arguments])}", stopped.exit_code - 128
        ) from stopped
    finally:
        _write(outcome_of(study, recipe.plan), trials)
    _tell(outcome_of(study, recipe.plan), trials)


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


def _refuse_other(study: Any, recipe: Any, passed_on: list[str], options: Options) -> None:
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


def _write(outcome: Any, trials: Any) -> None:
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


def _tell_last(outcome: Any) -> None:
    last = outcome.trials[-1]
    point = ", ".join(f"{key} = {value}" for key, value in last.point.items())
    found = f"{outcome.score} {last.score:.4f}" if last.score is not None else last.reason or ""
    print(f"  {point}: {last.state}, {found}", flush=True)


def _tell(outcome: Any, trials: Any) -> None:
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
