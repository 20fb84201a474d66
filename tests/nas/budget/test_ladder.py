"""The ladder: what is offered, in which order, and what is never touched."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import msgspec
import pytest
import torch
from hypothesis import given as generated
from hypothesis import settings as examples
from hypothesis import strategies as st

from nas.budget.ladder import (
    BF16,
    DISCRIMINATOR,
    LADDER,
    STEADY,
    Candidate,
    Saving,
    candidates,
    with_values,
)
from nas.budget.pick import _has
from nas.search import check_settings
from nas.settings import (
    ArchitectureSettings,
    CellSettings,
    GameSettings,
    RunSettings,
    SearchSettings,
    SpaceSettings,
    TrainingSettings,
)
from nas.supernets import SEARCHED_SEGMENTER

NO_DIAGNOSIS = {"diagnose_every": 0}
ONE_PRODUCT = {**NO_DIAGNOSIS, "product_for": "discriminator"}
FIRST = {**NO_DIAGNOSIS, "order": "first"}
CHEAPER_CELLS = ("partial_channels", "relaxation")
"""Settings of cells, whose rungs are offered behind all others."""


def offered(
    settings: SearchSettings,
    given: Collection[str] = (),
    has: Collection[str] = (DISCRIMINATOR, STEADY),
    limited: Collection[Saving] = (),
) -> list[Candidate]:
    return list(candidates(settings, given, has, check_settings, limited))


def changes(found: list[Candidate]) -> list[dict[str, Any]]:
    """Of each candidate, without those of cheaper cells."""
    told = [
        {name: value for name, value in each.changes.items() if name not in CHEAPER_CELLS}
        for each in found
    ]
    return [each for number, each in enumerate(told) if each not in told[:number]]


def test_the_published_settings_come_first_and_each_loss_comes_later() -> None:
    found = offered(SearchSettings())
    assert found[0] == Candidate(SearchSettings())
    partial, single = {"partial_channels": 4}, {"relaxation": "single-path"}
    expected = [{}, NO_DIAGNOSIS, ONE_PRODUCT, FIRST, FIRST | partial, FIRST | single]
    assert [each.changes for each in found] == expected


def test_with_a_limit_of_memory_each_is_tried_with_recomputed_cells_too() -> None:
    found = offered(SearchSettings(), limited=["memory"])
    again = [each for each in found if each.saves == "memory"]
    assert [each.changes.get("recompute_cells", False) for each in found] == [
        False,
        True,
    ] * len(again)
    for plain, recomputed in zip(found[::2], found[1::2], strict=True):
        assert recomputed.changes == {**plain.changes, "recompute_cells": True}
        assert recomputed.settings == with_values(plain.settings, {"recompute_cells": True})


@pytest.mark.parametrize(
    ("threads", "given", "changes"),
    [
        (1, (), {"capture": True}),
        (2, (), {"capture": True, "streams": 2}),
        (2, ("streams",), {"capture": True}),
    ],
)
def test_with_a_limit_of_time_each_is_tried_with_captured_steps_too(
    threads: int,
    given: Collection[str],
    changes: dict[str, Any],
    use_threads: Callable[[int], None],
) -> None:
    use_threads(threads)
    found = offered(SearchSettings(run=RunSettings(device="cpu")), given, limited=["time"])
    captured = [each for each in found if each.saves == "time"]
    assert [each.settings.cell.relaxation for each in found if each.saves is None][-1] == (
        "single-path"
    )
    draws = [each for each in found if each.settings.cell.relaxation == "single-path"]
    assert [each.saves for each in draws] == [None]
    for plain, beside in zip(found[::2], found[1::2], strict=False):
        assert beside.changes == {**plain.changes, **changes}
        assert beside.losses == (*plain.losses, "nothing but memory")
    assert len(captured) == len(found) // 2


def test_captured_steps_are_not_offered_where_each_epoch_has_its_own() -> None:
    """Few epochs have as many steps as come before the first replay."""
    game = GameSettings(adversarial_ramp=10)
    settings = SearchSettings(game=game, run=RunSettings(device="cpu"))
    has = _has(settings, torch.device("cpu"))
    assert STEADY not in has
    assert STEADY in _has(SearchSettings(), torch.device("cpu"))
    assert all(each.saves is None for each in offered(settings, has=has, limited=["time"]))


def test_what_has_no_kernels_is_not_offered_where_they_are_asked_for() -> None:
    settings = SearchSettings(run=RunSettings(device="cpu", kernels="compiled"))
    found = offered(settings, given=("kernels",), has=(DISCRIMINATOR, STEADY, BF16))
    assert len(found) > 1
    assert {each.settings.run.precision for each in found} == {"fp32"}
    assert {each.settings.cell.partial_channels for each in found} == {1}


def test_bf16_comes_last_where_the_machine_has_it() -> None:
    found = offered(SearchSettings(), has=(DISCRIMINATOR, STEADY, BF16))
    assert [each.settings.run.precision for each in found] == ["fp32"] * (len(found) - 1) + ["bf16"]


@pytest.mark.parametrize(
    ("settings", "given", "expected"),
    [
        (SearchSettings(), {"order"}, [{}, NO_DIAGNOSIS, ONE_PRODUCT]),
        (SearchSettings(), {"product_for"}, [{}, NO_DIAGNOSIS]),
        (SearchSettings(), {"radius"}, [{}, NO_DIAGNOSIS, ONE_PRODUCT]),
        (
            SearchSettings(),
            {"diagnose_every"},
            [{}, {"product_for": "discriminator"}, {"order": "first"}],
        ),
        (
            SearchSettings(architecture=ArchitectureSettings(product_for="segmenter")),
            (),
            [{}, NO_DIAGNOSIS],
        ),
        (
            SearchSettings(architecture=ArchitectureSettings(objective="segmenter")),
            (),
            [{}, NO_DIAGNOSIS],
        ),
        (
            SearchSettings(architecture=ArchitectureSettings(order="first")),
            (),
            [{}, NO_DIAGNOSIS],
        ),
    ],
)
def test_what_the_user_has_set_stays(
    settings: SearchSettings, given: Collection[str], expected: list[dict[str, Any]]
) -> None:
    assert changes(offered(settings, given)) == expected


NAMES = sorted(
    {name for rung in LADDER for name in rung.changes}
    | {"recompute_cells", "capture", "streams", "radius"}
)


@examples(max_examples=25, deadline=None)
@generated(
    given=st.sets(st.sampled_from(NAMES)),
    space=st.sampled_from(["cell", "flexvgg"]),
    limited=st.sets(st.sampled_from(["memory", "time"])),
)
def test_candidates_differ_by_their_changes_alone_and_may_be_given_by_hand(
    given: set[str], space: Any, limited: set[Saving]
) -> None:
    settings = SearchSettings(
        space=SpaceSettings(space=space),
        training=TrainingSettings(epochs=7, batch_size=3),
    )
    found = offered(settings, given, (DISCRIMINATOR, STEADY, BF16), limited)
    for each in found:
        assert given.isdisjoint(each.changes)
        assert each.settings == with_values(settings, each.changes)
        check_settings(each.settings)
        assert each.settings.training == settings.training
        assert each.settings.data == settings.data
        assert each.settings.run.seed == settings.run.seed
    assert len({msgspec.json.encode(each.settings, enc_hook=str) for each in found}) == len(found)


def test_a_segmenter_alone_keeps_its_product_until_all_second_order_terms_go() -> None:
    settings = SearchSettings(backbone=SEARCHED_SEGMENTER, space=SpaceSettings(space="none"))
    assert changes(offered(settings, has=(), limited=["memory"])) == [{}, NO_DIAGNOSIS, FIRST]


def test_recomputed_cells_that_are_set_already_are_not_offered() -> None:
    settings = SearchSettings(cell=CellSettings(recompute_cells=True))
    assert not any(each.saves for each in offered(settings, limited=["memory"]))
