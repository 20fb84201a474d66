"""Folds: what must hold of any of them, by counting, and balance against scikit-learn."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from nas.data.cases import Case, Slice
from nas.data.folds import Form, draw_folds, draw_split, save_folds
from nas.data.splits import SUBSETS, Split, load_fold
from nas.errors import DataError, UsageError

STRATA = ("benign", "malignant", None)


def single(strata: Sequence[str | None]) -> tuple[Case, ...]:
    return tuple(Case(f"c{n}", n, n, None, stratum) for n, stratum in enumerate(strata))


def grouped(sizes: list[int], seed: int, pure: bool) -> tuple[Case, ...]:
    """Groups of given sizes; all cases of a group are of one stratum where ``pure``."""
    rng = np.random.default_rng(seed)
    cases: list[Case] = []
    for group, size in enumerate(sizes):
        one = rng.integers(3)
        for _ in range(size):
            stratum = STRATA[one if pure else rng.integers(3)]
            cases.append(Case(f"c{len(cases)}", 0, 0, f"g{group}", stratum))
    return tuple(cases)


def covered(split: Split) -> list[str]:
    return sorted(case for subset in SUBSETS for case in split.subset(subset))


def strata_in(ids: tuple[str, ...], cases: tuple[Case, ...]) -> Counter[str | None]:
    stratum = {case.id: case.stratum for case in cases}
    return Counter(stratum[case] for case in ids)


@given(
    strata=st.lists(st.sampled_from(STRATA), min_size=8, max_size=60),
    folds=st.integers(2, 6),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_without_groups_folds_differ_by_one_case(
    strata: list[str | None], folds: int, seed: int
) -> None:
    cases = single(strata)
    drawn = draw_folds(cases, folds, seed)
    assert len(drawn) == folds
    assert sorted(case for fold in drawn for case in fold.val) == sorted(c.id for c in cases)
    sizes = [len(fold.val) for fold in drawn]
    assert max(sizes) - min(sizes) <= 1
    for stratum in STRATA:
        counts = [strata_in(fold.val, cases)[stratum] for fold in drawn]
        assert max(counts) - min(counts) <= 1
    for fold in drawn:
        assert covered(fold) == sorted(case.id for case in cases)
        assert fold.test == ()
        assert fold.seed == seed


@given(
    strata=st.lists(st.sampled_from(STRATA), min_size=10, max_size=60),
    share=st.floats(0.05, 0.7),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_without_groups_the_test_part_is_as_large_as_asked_in_each_stratum(
    strata: list[str | None], share: float, seed: int
) -> None:
    cases = single(strata)
    first, second = draw_folds(cases, 2, seed, share)
    assert first.test == second.test
    assert len(first.test) == max(1, round(share * len(cases)))
    for stratum, count in Counter(strata).items():
        assert abs(strata_in(first.test, cases)[stratum] - share * count) < 1 + 1e-9
    assert covered(first) == covered(second) == sorted(case.id for case in cases)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=6, max_size=20),
    folds=st.integers(2, 4),
    share=st.sampled_from([0.0, 0.2, 0.6]),
    seed=st.integers(0, 99),
    pure=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_groups_stay_whole_and_no_part_is_empty(
    sizes: list[int], folds: int, share: float, seed: int, pure: bool
) -> None:
    cases = grouped(sizes, seed, pure)
    group = {case.id: case.group for case in cases}
    drawn = draw_folds(cases, folds, seed, share)
    everything = sorted(case.id for case in cases)
    assert sorted([c for fold in drawn for c in fold.val] + list(drawn[0].test)) == everything
    for fold in drawn:
        assert covered(fold) == everything
        assert fold.train
        assert fold.val
        assert bool(fold.test) == (share > 0)
        places = [{group[case] for case in fold.subset(subset)} for subset in SUBSETS]
        assert sum(map(len, places)) == len(set().union(*places))


def imbalance(parts: list[list[str]], cases: tuple[Case, ...]) -> float:
    """Standard deviation over parts of their share of a stratum, mean over the strata."""
    strata = sorted({str(case.stratum) for case in cases})
    stratum = {case.id: str(case.stratum) for case in cases}
    counts = np.array([[sum(stratum[c] == s for c in part) for s in strata] for part in parts])
    return float((counts / counts.sum(axis=0)).std(axis=0).mean())


def test_balance_with_groups_is_that_of_scikit_learn_or_better() -> None:
    ours, theirs = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        sizes = rng.integers(1, 9, rng.integers(10, 30)).tolist()
        cases = grouped(sizes, seed, pure=seed % 2 == 0)
        ids = [case.id for case in cases]
        ours.append(imbalance([list(fold.val) for fold in draw_folds(cases, 4, seed)], cases))
        splitter = StratifiedGroupKFold(4, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            places = list(
                splitter.split(ids, [str(c.stratum) for c in cases], [c.group for c in cases])
            )
        theirs.append(imbalance([[ids[n] for n in held] for _, held in places], cases))
    assert np.mean(ours) <= 1.02 * np.mean(theirs)


def test_the_largest_groups_are_spread() -> None:
    sizes = [9, 9, 9, 3, 3, 3, 1, 1, 1]
    cases = tuple(
        Case(f"g{g}-{n}", 0, 0, f"g{g}") for g, size in enumerate(sizes) for n in range(size)
    )
    assert [len(fold.val) for fold in draw_folds(cases, 3, 0)] == [13, 13, 13]


def test_the_seed_decides_and_the_order_of_the_cases_does_not() -> None:
    cases = grouped([3] * 12, 0, pure=True)
    first = draw_folds(cases, 3, 5, 0.2)
    assert draw_folds(tuple(reversed(cases)), 3, 5, 0.2) == first
    assert len({draw_folds(cases, 3, seed, 0.2)[0].val for seed in range(6)}) == 6
    assert len({draw_folds(cases, 3, seed, 0.2)[0].test for seed in range(6)}) > 3


def test_the_largest_remainder_is_rounded_up() -> None:
    """0.3 of 7 and of 3 are 2.1 and 0.9, 3 in all."""
    cases = single(["a"] * 7 + ["b"] * 3)
    for seed in range(5):
        assert strata_in(draw_folds(cases, 2, seed, 0.3)[0].test, cases) == {"a": 2, "b": 1}


def test_the_smallest_group_is_held_out_where_all_are_too_large() -> None:
    sizes = [12, 6, 12, 10]
    cases = tuple(
        Case(f"g{g}-{n}", 0, 0, f"g{g}") for g, size in enumerate(sizes) for n in range(size)
    )
    assert {len(draw_folds(cases, 2, seed, 0.05)[0].test) for seed in range(8)} == {6}


def test_rounding_up_is_left_to_chance() -> None:
    cases = single(["a", "b"] * 5)
    odd = {
        tuple(sorted(strata_in(draw_folds(cases, 2, s, 0.3)[0].test, cases).items(), key=str))
        for s in range(20)
    }
    assert odd == {(("a", 1), ("b", 2)), (("a", 2), ("b", 1))}


@given(strata=st.lists(st.sampled_from(STRATA), min_size=10, max_size=50), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_a_single_split_has_its_shares(strata: list[str | None], seed: int) -> None:
    cases = single(strata)
    split = draw_split(cases, seed, 0.2, 0.3)
    assert covered(split) == sorted(case.id for case in cases)
    assert len(split.test) == round(0.3 * len(cases))
    assert abs(len(split.val) - 0.2 * len(cases)) <= 2
    for stratum, count in Counter(strata).items():
        assert abs(strata_in(split.test, cases)[stratum] - 0.3 * count) < 1 + 1e-9
        assert strata_in(split.val, cases)[stratum] < 0.2 * count + 1 + 1e-9


def test_a_single_split_may_do_without_parts() -> None:
    cases = single(["a"] * 10)
    assert len(draw_split(cases, 0, 0.0, 0.0).train) == 10
    assert draw_split(cases, 0, 0.3, 0.0).test == ()
    assert len(draw_split(cases, 0, 0.0, 0.4).test) == 4


@pytest.mark.parametrize(("folds", "share"), [(1, 0.0), (0, 0.0), (2, 1.0), (2, -0.1), (2, np.nan)])
def test_numbers_out_of_range(folds: int, share: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        draw_folds(single(["a"] * 9), folds, 0, share)


def test_shares_that_leave_nothing() -> None:
    with pytest.raises(ValueError, match=r"val_share \+ test_share"):
        draw_split(single(["a"] * 9), 0, 0.5, 0.5)


def test_too_few_groups() -> None:
    cases = grouped([4, 4, 4], 0, pure=True)
    assert len(draw_folds(cases, 3, 0)) == 3
    with pytest.raises(DataError, match="3 groups; 4 parts"):
        draw_folds(cases, 3, 0, 0.2)
    with pytest.raises(DataError, match="2 groups; 3 parts"):
        draw_split(cases[:8], 0, 0.2, 0.2)


@pytest.mark.parametrize("form", ["json", "nnunet"])
@pytest.mark.parametrize("share", [0.0, 0.25])
def test_what_is_saved_is_read_again(tmp_path: Path, form: Form, share: float) -> None:
    cases = grouped([3] * 12, 0, pure=True)
    folds = draw_folds(cases, 3, 5, share)
    save_folds(folds, cases, tmp_path / "f.json", form)
    for number, fold in enumerate(folds):
        read = load_fold(tmp_path / "f.json", number, cases)
        assert [read.subset(s) for s in SUBSETS] == [fold.subset(s) for s in SUBSETS]
        assert read.seed == (5 if form == "json" else 0)


def test_a_single_split_is_saved_in_the_form_of_a_run(tmp_path: Path) -> None:
    cases = single(["a"] * 10)
    split = draw_split(cases, 3, 0.2, 0.2)
    save_folds([split], cases, tmp_path / "s.json", "json")
    content = json.loads((tmp_path / "s.json").read_text())
    assert set(content) == {"train", "val", "test", "seed"}
    assert load_fold(tmp_path / "s.json", None, cases) == split


def slices(volumes: int, count: int) -> tuple[Case, ...]:
    return tuple(
        Case(
            f"vol_{v}_{n:03d}",
            Slice(Path(f"{v}.nii"), n) if v % 2 else (Slice(Path("a"), n), Slice(Path("b"), n)),
            Slice(Path("m"), n),
            f"vol_{v}",
        )
        for v in range(volumes)
        for n in range(count)
    )


def test_the_form_of_nnunet_names_volumes(tmp_path: Path) -> None:
    cases = slices(4, 5)
    folds = draw_folds(cases, 2, 0)
    save_folds(folds, cases, tmp_path / "splits_final.json", "nnunet")
    content = json.loads((tmp_path / "splits_final.json").read_text())
    assert [set(fold) for fold in content] == [{"train", "val"}] * 2
    assert sorted(content[0]["train"] + content[0]["val"]) == [f"vol_{v}" for v in range(4)]
    assert content[0]["val"] == content[1]["train"]
    assert load_fold(tmp_path / "splits_final.json", 1, cases).val == folds[1].val


def test_the_form_of_nnunet_cannot_hold_everything(tmp_path: Path) -> None:
    cases = slices(2, 2)
    ids = [case.id for case in cases]
    part = Split(train=tuple(ids[:2]), val=(ids[2],), test=())
    with pytest.raises(UsageError, match="leave 1 cases out, such as vol_1_001"):
        save_folds([part], cases, tmp_path / "s.json", "nnunet")
    torn = Split(train=tuple(ids[:3]), val=(ids[3],), test=())
    with pytest.raises(UsageError, match="slices of vol_1 are in two parts"):
        save_folds([torn], cases, tmp_path / "s.json", "nnunet")
    assert not list(tmp_path.iterdir())
