"""Cheaper settings for a search, from no loss of its mathematics to most.

A rung is laid over all rungs before it. Where memory is limited, each is tried with recomputed
cells too, which are the same mathematics in more time; where time is, with captured steps, which
are the same mathematics in more memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from nas.errors import UsageError
from nas.settings import SearchSettings
from nas.unused import unused_in_search

Saving = Literal["memory", "time"]


@dataclass(frozen=True)
class Rung:
    """Settings that make a search cheaper.

    Attributes:
        changes: the settings, by name.
        loss: what the search loses by them.
        voids: settings that say nothing under them.
        needs: of what only some searches and machines have, what it needs.
    """

    changes: Mapping[str, Any]
    loss: str
    voids: Collection[str] = ()
    needs: Collection[str] = ()


@dataclass(frozen=True)
class Candidate:
    """Settings that a budget may pick.

    Attributes:
        settings: all of them.
        changes: those that differ from the user's, by name.
        losses: what the search loses by them.
        saves: what it takes less of than the last candidate of which this is None, by the same
            mathematics and at the cost of the other one.
    """

    settings: SearchSettings
    changes: Mapping[str, Any] = field(default_factory=dict)
    losses: tuple[str, ...] = ()
    saves: Saving | None = None


DISCRIMINATOR, BF16 = "a discriminator", "bf16 on a GPU"
STEADY = "an adversarial weight that stays"
"""Steps are captured anew under each other one."""

SECOND_ORDER = ("product", "product_for", "radius", "unrolled_rate")

LADDER = (
    Rung(
        {"diagnose_every": 0},
        "nothing of the search, but you are not told what the second-order terms are worth",
    ),
    Rung(
        {"product_for": "discriminator"},
        "the segmenter's second-order term",
        needs=(DISCRIMINATOR,),
    ),
    Rung({"order": "first", "product_for": "both"}, "all second-order terms", SECOND_ORDER),
    Rung({"partial_channels": 4}, "in each step, three quarters of the channels of an edge"),
    Rung(
        {"relaxation": "single-path", "partial_channels": 1},
        "in each step, all candidate operations of an edge but one that is drawn",
    ),
    Rung(
        {"precision": "bf16"},
        "digits of all passes but those of second-order differences",
        needs=(BF16,),
    ),
)
"""In order. A rung with a setting that this version does not have is passed over."""

SAVING: Mapping[Saving, Sequence[Rung]] = {
    "memory": [Rung({"recompute_cells": True}, "nothing but time")],
    "time": [
        Rung({"capture": True, "streams": 2}, "nothing but memory", needs=(STEADY,)),
        Rung({"capture": True}, "nothing but memory", needs=(STEADY,)),
    ],
}
"""The same mathematics, in less of one and more of the other; the first that can be taken is."""


def candidates(
    settings: SearchSettings,
    given: Collection[str],
    has: Collection[str],
    check: Callable[[SearchSettings], None],
    limited: Collection[Saving],
) -> Iterator[Candidate]:
    """The user's settings, then cheaper ones, in the order in which they are to be tried.

    Args:
        settings: the user's.
        given: names of those that the user has set, which stay. So does what differs from the
            default.
        has: of what rungs need, what this search and this machine have.
        check: raises UsageError for settings that contradict each other; these are left out.
        limited: what there must not be too much of.
    """
    kept = {*given, *_changed(settings)}

    def allowed(rung: Rung, present: SearchSettings) -> bool:
        return (
            kept.isdisjoint({*rung.changes, *rung.voids})
            and set(rung.needs) <= set(has)
            and _has_effect(rung, present)
            and _passes(check, with_values(present, rung.changes))
        )

    present = Candidate(settings)
    yield from _with_savings(present, limited, allowed)
    for rung in LADDER:
        if allowed(rung, present.settings):
            present = _laid_over(present, rung)
            yield from _with_savings(present, limited, allowed)


def _with_savings(
    present: Candidate,
    limited: Collection[Saving],
    allowed: Callable[[Rung, SearchSettings], bool],
) -> Iterator[Candidate]:
    """A candidate, and the same mathematics in less of what is limited."""
    yield present
    for saves, rungs in SAVING.items():
        possible = [rung for rung in rungs if allowed(rung, present.settings)]
        if saves in limited and possible:
            yield replace(_laid_over(present, possible[0]), saves=saves)


def with_values(settings: SearchSettings, values: Mapping[str, Any]) -> SearchSettings:
    """The settings with some of them, by name, set to other values."""
    tables = {}
    for table, content in _tables(settings).items():
        own = {name: values[name] for name in values if name in content.__struct_fields__}
        tables[table] = msgspec.structs.replace(content, **own)
    return msgspec.structs.replace(settings, **tables)


def _laid_over(candidate: Candidate, rung: Rung) -> Candidate:
    settings = with_values(candidate.settings, rung.changes)
    defaults = _values(SearchSettings())
    changes = {**candidate.changes, **rung.changes}
    changes = {name: value for name, value in changes.items() if value != defaults[name]}
    return Candidate(settings, changes, (*candidate.losses, rung.loss))


def _passes(check: Callable[[SearchSettings], None], settings: SearchSettings) -> bool:
    try:
        check(settings)
    except UsageError:
        return False
    return True


def _has_effect(rung: Rung, settings: SearchSettings) -> bool:
    """Whether the search has all settings of the rung, one of them is other, and all count.

    They do if they say something before or under the rung.
    """
    values = _values(settings)
    if not set(rung.changes) <= set(values):
        return False
    differs = any(values[name] != value for name, value in rung.changes.items())
    under = with_values(settings, rung.changes)
    unused = unused_in_search(settings).keys() & unused_in_search(under).keys()
    return differs and unused.isdisjoint(rung.changes)


def _changed(settings: SearchSettings) -> set[str]:
    """The names of settings that differ from their defaults."""
    defaults = _values(SearchSettings())
    return {name for name, value in _values(settings).items() if value != defaults[name]}


def _values(settings: SearchSettings) -> dict[str, Any]:
    """All settings of the tables by name; no name is in two tables."""
    return {
        name: getattr(table, name)
        for table in _tables(settings).values()
        for name in table.__struct_fields__
    }


def _tables(settings: SearchSettings) -> dict[str, msgspec.Struct]:
    fields = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return {name: value for name, value in fields.items() if isinstance(value, msgspec.Struct)}
