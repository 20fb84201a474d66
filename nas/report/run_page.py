"""The page of a run: a search or a retraining, with its evaluations."""

from __future__ import annotations

from collections.abc import Iterator

from nas.metrics.tables import percent
from nas.report.blocks import Block, Card, Cards, Charts, Heading, Page, Section, Text
from nas.report.cases import case_blocks, sheet_block
from nas.report.cells import genotype_block
from nas.report.circumstances import (
    cost_blocks,
    defaults_of,
    settings_blocks,
    split_blocks,
    version_block,
)
from nas.report.commands import evaluate_command, run_commands
from nas.report.curves import health_blocks, learning_charts, probability_blocks
from nas.report.gather import Run
from nas.report.numbers import no_evaluation, score_blocks, score_cards
from nas.tracking import duration

NO_VERDICT = (
    "One run does not say whether its discriminator is worth it: that takes the same training "
    "without one, over several seeds, as nas-compare does it."
)


def run_page(run: Run, cases: int) -> Page:
    """Everything that a run's folder says.

    Args:
        run: of any kind; without an evaluation or killed, what is missing is said on the page.
        cases: how many images to show of each evaluation.

    Raises:
        RunError: a file of the run is damaged.
    """
    return Page(
        title=run.path.resolve().name,
        subtitle=_subtitle(run),
        badges=_badges(run),
        sections=[each for each in _sections(run, cases) if each.blocks],
    )


def _subtitle(run: Run) -> str:
    data = run.record.get("data", {})
    seed = run.setting("run", "seed")
    parts = [
        {"search": "Search", "retrain": "Retraining"}.get(run.kind, run.kind),
        f"of {run.settings.get('backbone')}",
        f"against {opponent(run)}",
        f"on {data.get('name', run.setting('data', 'dataset'))}",
        f"at {run.setting('data', 'image_size')} px",
    ]
    return " ".join(parts) + (f", seed {seed}" if seed is not None else "")


def opponent(run: Run) -> str:
    """The discriminator of a run in words."""
    if run.kind == "search":
        space = run.setting("space", "space")
        return "no discriminator" if space == "none" else f"discriminators of the space {space}"
    adversary = run.settings.get("adversary", {})
    named = adversary.get("discriminator") or adversary.get("genotype")
    if named == "none" or not named:
        return "no discriminator"
    return f"the genotype {named}" if str(named).endswith(".json") else str(named)


def _badges(run: Run) -> list[tuple[str, bool]]:
    progress = f"{run.epochs} of {run.planned_epochs} epochs"
    state = ("finished", True) if run.is_finished else ("not finished", False)
    evaluated = [("evaluated", True)] if run.evaluations else []
    if run.kind == "retrain" and not run.evaluations:
        evaluated = [("not evaluated", False)]
    return [state, (progress, run.is_finished), *evaluated]


def _sections(run: Run, cases: int) -> Iterator[Section]:
    yield Section("summary", "In short", list(_summary(run)))
    yield Section("scores", "Scores", list(_scores(run)))
    yield Section("images", "Images", list(_images(run, cases)))
    yield Section("curves", "Learning curves", list(_curves(run)))
    yield Section("probabilities", "Probabilities over the epochs", list(_probabilities(run)))
    yield Section("cells", "The genotype", list(_cells(run)))
    health = health_blocks(run.records, run.record.get("health"))
    yield Section("health", "The discriminator's health", health)
    yield Section("notes", "Notes of the run", [Text(run.notes)] if run.notes else [])
    yield Section("cost", "Cost", cost_blocks(run))
    yield Section(
        "settings",
        "Settings",
        settings_blocks(run.settings, defaults_of(run.kind)),
    )
    versions = version_block(run.record.get("versions", {}), run.record.get("machine", {}))
    yield Section("versions", "Versions and machine", [versions])
    yield Section("split", "Split", split_blocks(run))
    yield Section("repeat", "To repeat it", [run_commands(run)])


def _summary(run: Run) -> Iterator[Block]:
    if run.evaluations:
        yield score_cards(run.evaluations[0])
    yield Cards(list(_cards(run)))
    if not run.is_finished:
        yield Text([_unfinished(run)], "warning")
    if run.kind == "retrain":
        yield Text([NO_VERDICT])


def _cards(run: Run) -> Iterator[Card]:
    images = run.record.get("data", {}).get("images", {})
    if images:
        held = f"{images.get('val')} for validation, {images.get('test')} for test"
        yield Card("training images", str(images.get("train")), held)
    best = [each["mean_iou"] for each in run.records if each.get("mean_iou") is not None]
    if best:
        last = f"{percent(best[-1])} % after the last epoch"
        yield Card("best mean IoU in training", f"{percent(max(best))} %", last)
    seconds = run.record.get("seconds")
    if seconds is not None:
        yield Card("training time", duration(float(seconds)), str(run.record.get("device", "")))


def _unfinished(run: Run) -> str:
    done = f"{run.epochs} of {run.planned_epochs} epochs are recorded"
    return (
        f"No end of this run is recorded: {done}. It is still running, or was stopped or killed. "
        "The numbers are as they stood when this page was written."
    )


def _scores(run: Run) -> Iterator[Block]:
    if run.kind != "retrain":
        yield Text(
            [
                "A search is not evaluated: its genotype is derived and retrained first, and the "
                "retraining is."
            ],
            "missing",
        )
        return
    if not run.evaluations:
        yield no_evaluation(evaluate_command(run))
    for each in run.evaluations:
        epoch = each.scores.get("epoch")
        kept = f", segmenter of epoch {epoch}" if epoch is not None else ""
        yield Heading(f"{each.title}{kept}")
        yield from score_blocks(each)


def _images(run: Run, cases: int) -> Iterator[Block]:
    for each in run.evaluations:
        yield Heading(each.title)
        yield from case_blocks(run, each, cases)
    if run.evaluations:
        return
    sheet = list(sheet_block(run.last_picture("cases"), "as the run drew them last"))
    yield from sheet or [Text(["The run has drawn no images yet."], "missing")]


def _curves(run: Run) -> Iterator[Block]:
    charts = learning_charts(run.records)
    if not charts:
        yield Text(["No epoch is recorded yet, so there are no curves."], "missing")
        return
    yield Charts(charts)


def _probabilities(run: Run) -> Iterator[Block]:
    for role, found in run.searched().items():
        yield Heading(role)
        yield from probability_blocks(found)
    if run.kind == "search" and not run.searched():
        yield Text(["No genotype is recorded yet: the first epoch was not finished."], "missing")


def _cells(run: Run) -> Iterator[Block]:
    for role, found in run.searched().items():
        epoch, genotype = found[-1]
        yield genotype_block(genotype, f"{role}, after epoch {epoch}")
    for role, genotype in run.own_genotypes().items():
        yield genotype_block(genotype, f"{role}, as this run was trained with it")
