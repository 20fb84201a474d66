"""The parts of a search, counted by going through it step by step."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from nas.budget.timetable import END, END_WITH_PICTURES, LAST, Timetable, steps_of
from nas.illustration import is_drawn
from nas.settings import (
    ArchitectureSettings,
    GameSettings,
    SearchSettings,
    SpaceSettings,
    TrainingSettings,
)
from nas.supernets import SEARCHED_SEGMENTER

TABLES = st.builds(
    Timetable,
    epochs=st.integers(1, 45),
    phases=st.integers(1, 2),
    steps=st.integers(1, 7),
    warmup=st.integers(0, 3),
    diagnose_every=st.integers(0, 30),
    complete_from=st.integers(0, 4),
    validate_every=st.integers(1, 6),
)


def walked(table: Timetable) -> list[Counter[str]]:
    """The contents of all epochs, as the search itself decides what a step is."""
    count, epochs = 0, []
    for phase in range(table.phases):
        where = f" of phase {phase + 1}" if table.phases == 2 else ""
        for within in range(table.epochs):
            content: Counter[str] = Counter()
            for _ in range(table.steps):
                if within < table.warmup:
                    name = "step of the warm-up"
                elif table.diagnose_every and not count % table.diagnose_every:
                    name = "diagnosed step"
                else:
                    name = "step"
                content[name + where] += 1
                count += 1
            drawn = is_drawn(phase * table.epochs + within, table.phases * table.epochs)
            content[END_WITH_PICTURES if drawn else END] += 1
            epochs.append(content)
    epochs[-1][LAST] = 1
    return epochs


@examples(max_examples=25, deadline=None)
@given(TABLES)
def test_every_step_and_end_is_counted(table: Timetable) -> None:
    assert table.contents() == walked(table)
    steps = sum(steps_of(each).total() for each in table.contents())
    assert steps == table.phases * table.epochs * table.steps


@examples(max_examples=25, deadline=None)
@given(TABLES)
def test_each_kind_has_a_place_where_it_is(table: Timetable) -> None:
    contents = walked(table)
    places, ends = table.places(), table.ends()
    kinds = set().union(*contents)
    assert places.keys() | ends.keys() == kinds
    for name, (epoch, step) in places.items():
        diagnosed = table.diagnose_every and not (epoch * table.steps + step) % table.diagnose_every
        assert name in contents[epoch] and 0 <= step < table.steps
        assert name.startswith("diagnosed") == bool(
            diagnosed and epoch % table.epochs >= table.warmup
        )
        complete = any(
            name in content and number % table.epochs >= table.complete_from
            for number, content in enumerate(contents)
        )
        assert not complete or epoch % table.epochs >= table.complete_from
    assert all(name in contents[epoch] for name, epoch in ends.items())
    assert list(ends)[-1] == LAST


def test_a_small_search_by_hand() -> None:
    table = Timetable(epochs=3, phases=1, steps=4, warmup=1, diagnose_every=5)
    assert table.contents() == [
        {"step of the warm-up": 4, END_WITH_PICTURES: 1},
        {"step": 3, "diagnosed step": 1, END_WITH_PICTURES: 1},
        {"step": 3, "diagnosed step": 1, END_WITH_PICTURES: 1, LAST: 1},
    ]
    assert table.places() == {
        "step of the warm-up": (0, 0),
        "step": (1, 0),
        "diagnosed step": (1, 1),
    }


@pytest.mark.parametrize(
    ("game", "complete_from"),
    [
        ({}, 0),
        ({"adversarial_start": 4}, 3),
        ({"unlabelled_weight": 0.1, "unlabelled_start": 5}, 4),
        ({"unlabelled_weight": 0.1, "unlabelled_start": 5, "unlabelled_order": "stages"}, 0),
    ],
)
def test_of_a_searchs_settings(game: dict[str, float], complete_from: int) -> None:
    settings = SearchSettings(
        backbone=SEARCHED_SEGMENTER,
        space=SpaceSettings(space="flexvgg"),
        training=TrainingSettings(epochs=7),
        architecture=ArchitectureSettings(warmup_epochs=2, diagnose_every=9, schedule="decoupled"),
        game=GameSettings(**game),
    )
    assert Timetable.of(settings, 3) == Timetable(7, 2, 3, 2, 9, complete_from, 4)


def test_an_end_is_one_with_a_validation_where_there_is_one() -> None:
    """Of 63 epochs every third has pictures; 60 is the last of them with a score but for 63."""
    table = Timetable(epochs=63, phases=1, steps=1, warmup=0, diagnose_every=0, validate_every=4)
    assert table.ends() == {END_WITH_PICTURES: 62, END: 55, LAST: 62}
    none = Timetable(epochs=40, phases=1, steps=1, warmup=0, diagnose_every=0, validate_every=4)
    assert none.ends()[END] == 38
