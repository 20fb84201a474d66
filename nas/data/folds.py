"""Folds of a cross-validation, and single splits: by group, and stratified.

A group is never divided. Each part has its share of every stratum, a grade say, as well as the
groups allow; cases whose stratum is not known are a stratum of their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from nas.data.cases import Case, natural_order
from nas.data.split_files import file_name
from nas.data.splits import Split, whole_groups
from nas.errors import DataError, UsageError
from nas.runs import atomic_write

Form = Literal["json", "nnunet"]


def draw_folds(
    cases: Sequence[Case], folds: int, seed: int, test_share: float = 0.0
) -> tuple[Split, ...]:
    """The folds of a cross-validation: each case is for validation once, or always for test.

    Groups are dealt one by one, the largest first, each to the fold that has least of their strata;
    where that is equal, to the fold with the fewest cases. Without groups, the folds differ by one
    case at most, in each stratum and in all.

    Args:
        cases: to divide; their order is of no account.
        folds: how many, 2 or more.
        seed: of the draw.
        test_share: of the cases that are held out, in [0, 1): the same in all folds, in each
            stratum to within a case where there are no groups.

    Raises:
        ValueError: folds or test_share are out of their range.
        DataError: there are fewer groups than parts.
    """
    if folds < 2:
        raise ValueError(f"folds must be 2 or more, not {folds}")
    _check_share("test_share", test_share)
    deck = _Deck(cases, seed)
    deck.require(folds + (test_share > 0))
    test = deck.hold_out(test_share, leave=folds)
    hands = deck.deal(folds)
    return tuple(
        _sorted([case for other in hands if other is not val for case in other], val, test, seed)
        for val in hands
    )


def draw_split(cases: Sequence[Case], seed: int, val_share: float, test_share: float) -> Split:
    """One random split, by group and stratified.

    Args:
        cases: to divide; their order is of no account.
        seed: of the draw.
        val_share: of all cases that are for validation, in [0, 1).
        test_share: of all cases that are for test, in [0, 1); both together less than 1.

    Raises:
        ValueError: a share is out of its range.
        DataError: there are fewer groups than parts.
    """
    _check_share("val_share", val_share)
    _check_share("test_share", test_share)
    _check_share("val_share + test_share", val_share + test_share)
    deck = _Deck(cases, seed)
    deck.require(1 + (val_share > 0) + (test_share > 0))
    test = deck.hold_out(test_share, leave=1 + (val_share > 0))
    val = deck.hold_out(val_share, leave=1)
    return _sorted(deck.left(), val, test, seed)


def _check_share(name: str, share: float) -> None:
    if not 0 <= share < 1:
        raise ValueError(f"{name} must be in [0, 1), not {share}")


def _sorted(train: Sequence[str], val: Sequence[str], test: Sequence[str], seed: int) -> Split:
    return Split(
        train=natural_order(train), val=natural_order(val), test=natural_order(test), seed=seed
    )


class _Deck:
    """Groups of cases in random order, from which parts are taken."""

    def __init__(self, cases: Sequence[Case], seed: int) -> None:
        known = {case.id: case for case in cases}
        groups = {case: known[case].group for case in natural_order(known)}
        strata = sorted({case.stratum for case in cases}, key=lambda name: (name is None, name))
        self.generator = np.random.default_rng([seed, 2])
        blocks = whole_groups(groups)
        self.blocks = [blocks[i] for i in self.generator.permutation(len(blocks))]
        self.counts = [
            np.array([sum(known[case].stratum == name for case in block) for name in strata])
            for block in self.blocks
        ]
        self.totals = np.array([sum(case.stratum == name for case in cases) for name in strata])

    def require(self, parts: int) -> None:
        """Make sure that each part can have a group."""
        if len(self.blocks) < parts:
            raise DataError(
                f"The cases form {len(self.blocks)} groups; {parts} parts need at least as many "
                "groups."
            )

    def hold_out(self, share: float, leave: int) -> list[str]:
        """Take blocks that together have about a share of all cases in each stratum.

        In their order, a block is taken when that brings the counts nearer to the wanted ones, as
        long as ``leave`` blocks remain; where none does, the one that comes nearest is.
        """
        if share == 0:
            return []
        lacking = self._quotas(share)
        spare = len(self.blocks) - leave
        taken: list[int] = []
        for number, count in enumerate(self.counts):
            if len(taken) < spare and _square(lacking - count) < _square(lacking):
                lacking = lacking - count
                taken.append(number)
        if not taken:
            distances = [_square(lacking - count) for count in self.counts]
            taken = [distances.index(min(distances))]
        return self._take(taken)

    def _quotas(self, share: float) -> np.ndarray:
        """Whole numbers of cases wanted of each stratum: the largest remainders are rounded up."""
        exact = share * self.totals
        quotas = np.floor(exact).astype(int)
        missing = round(share * int(self.totals.sum())) - int(quotas.sum())
        chance = self.generator.random(len(exact))
        order = np.lexsort((chance, quotas - exact))
        quotas[order[: max(missing, 0)]] += 1
        return quotas

    def deal(self, hands: int) -> list[list[str]]:
        """All blocks that are left, dealt into equal hands.

        Adding a block of counts v to a hand with counts c adds sum_s (2 c_s v_s + v_s^2) / n_s^2 to
        the sum over hands and strata of (c_s / n_s)^2, which is least where the strata are spread
        evenly (n_s, all cases of a stratum). The hand in which it adds least takes the block.
        """
        totals = np.maximum(sum(self.counts), 1)
        common = math.lcm(*totals.tolist()) ** 2
        weights = np.array([common // total**2 for total in totals.tolist()], dtype=object)
        held = np.zeros((hands, len(totals)), dtype=object)
        dealt: list[list[str]] = [[] for _ in range(hands)]
        for number in sorted(range(len(self.blocks)), key=self._rank):
            growth = held @ (weights * self.counts[number])
            hand = min(range(hands), key=lambda each: (growth[each], len(dealt[each])))
            held[hand] += self.counts[number]
            dealt[hand] += self.blocks[number]
        return dealt

    def _rank(self, number: int) -> tuple[int, ...]:
        """The largest blocks first; among equals those of a stratum together."""
        return -len(self.blocks[number]), *(-self.counts[number])

    def left(self) -> list[str]:
        """All cases that are left."""
        return [case for block in self.blocks for case in block]

    def _take(self, numbers: Sequence[int]) -> list[str]:
        taken = [case for number in numbers for case in self.blocks[number]]
        kept = [number for number in range(len(self.blocks)) if number not in set(numbers)]
        self.blocks = [self.blocks[number] for number in kept]
        self.counts = [self.counts[number] for number in kept]
        return taken


def _square(counts: np.ndarray) -> int:
    return int((counts**2).sum())


def save_folds(folds: Sequence[Split], cases: Sequence[Case], path: Path, form: Form) -> None:
    """Write a split (one fold) or several, whole or not at all.

    Args:
        folds: one or more.
        cases: of the data.
        path: of the file.
        form: json, which `nas.data.split_files` describes; or nnunet, splits_final.json, in which
            volumes stand for their slices.

    Raises:
        UsageError: nnU-Net's form cannot hold the folds.
        RunError: the file cannot be written.
    """
    content = _for_nnunet(folds, cases) if form == "nnunet" else _for_us(folds)
    text = msgspec.json.format(msgspec.json.encode(content), indent=2)
    with atomic_write(path) as stream:
        stream.write(text + b"\n")


def _for_us(folds: Sequence[Split]) -> Split | Sequence[Split]:
    return folds[0] if len(folds) == 1 else folds


def _for_nnunet(folds: Sequence[Split], cases: Sequence[Case]) -> list[dict[str, list[str]]]:
    names = {case.id: file_name(case) for case in cases}
    content = []
    for fold in folds:
        parts = [{names[case] for case in part} for part in (fold.train, fold.val, fold.test)]
        unnamed = set(names) - {*fold.train, *fold.val, *fold.test}
        if unnamed:
            raise UsageError(
                f"The folds leave {len(unnamed)} cases out, such as {natural_order(unnamed)[0]}, "
                "and in the form of nnU-Net these would be for test: use the form json."
            )
        for first, second in ((0, 1), (0, 2), (1, 2)):
            for name in parts[first] & parts[second]:
                raise UsageError(
                    f"The slices of {name} are in two parts, and the form of nnU-Net names whole "
                    "volumes: use the form json, or groups that hold whole volumes."
                )
        content.append(
            {"train": list(natural_order(parts[0])), "val": list(natural_order(parts[1]))}
        )
    return content
