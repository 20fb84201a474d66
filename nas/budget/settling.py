"""Settles the settings of a search that has a budget, before it begins."""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from nas.budget.advice import nothing_fits
from nas.budget.pick import pick
from nas.budget.pick_record import PickRecord, read_record, record_of
from nas.errors import RunError, UsageError
from nas.runs import RunFolder
from nas.settings import BudgetSettings, SearchSettings


def settle(
    settings: SearchSettings,
    folder: RunFolder,
    resume: bool,
    given: Collection[str],
    check: Callable[[SearchSettings], None],
    say: Callable[[str], None],
) -> tuple[SearchSettings, PickRecord | None]:
    """The settings that fit the budget, as if they had been given by hand, and how it was found.

    Without a budget, and where a run goes on, these are the settings, and there is nothing to tell.

    Args:
        settings: of the search.
        folder: of the run.
        resume: whether the run goes on.
        given: names of the settings that the user has set.
        check: raises UsageError for settings that contradict each other.
        say: tells the user what goes on.

    Raises:
        UsageError: nothing fits the budget.
        RunError: the run that goes on had another budget.
        DataError, UsageError, RunError: the search could not begin.
    """
    budget = settings.budget.budget
    if not budget:
        return settings, None
    if resume:
        _refuse_another(budget, folder)
        return msgspec.structs.replace(settings, budget=BudgetSettings()), None
    tried = pick(settings, given, check, say)
    if not tried[-1].fits:
        raise UsageError(f"--budget {' '.join(budget)}: {nothing_fits(tried)}.")
    record = record_of(tried, budget)
    say(record.sentence())
    return tried[-1].candidate.settings, record


def _refuse_another(budget: tuple[str, ...], folder: RunFolder) -> None:
    record = read_record(folder)
    if record is None or record.budget != budget:
        began = f"--budget {' '.join(record.budget)}" if record else "no --budget"
        raise RunError(
            f"{folder.path} was started with {began}, and a run that goes on keeps its settings: "
            "leave --budget out, or start a new run in another --run-dir."
        )
