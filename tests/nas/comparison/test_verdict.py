"""What is said, for every relation that two rows can have."""

from __future__ import annotations

import msgspec
import pytest

from nas.comparison.record import (
    Estimate,
    Kind,
    PairTest,
    Row,
    SeedScore,
    SeedsNeeded,
    Welch,
)
from nas.comparison.verdict import (
    needed_in_words,
    outcome_of,
    points,
    sentence_of,
    table_verdict,
    with_interval,
)

SEEDS = (0, 1, 2, 3, 4)


def compared(
    first: str, second: str, value: float, low: float, high: float, p: float, needed: int = 14
) -> PairTest:
    difference = Estimate(value=value, low=low, high=high)
    welch = Welch(statistic=1.0, degrees_of_freedom=4.0, p=p / 2, p_adjusted=p)
    return PairTest(
        first=first,
        second=second,
        against=("baseline",),
        difference=difference,
        seeds=SEEDS,
        welch=welch,
        wilcoxon=None,
        welch_reason=None,
        wilcoxon_reason="left out",
        cohen_d=None,
        needed=SeedsNeeded(difference=0.01, power=0.8, level=0.05, seeds=needed, limit=100),
        verdict=sentence_of(first, second, difference, welch, None, 5, "mIoU", 0.05),
    )


def row(label: str, value: float | None, kind: Kind = "named", missing: str = "") -> Row:
    return Row(
        label=label,
        method=label,
        kind=kind,
        seeds=tuple(SeedScore(seed=s, score=value, cells=()) for s in SEEDS) if value else (),
        score=None if value is None else Estimate(value=value),
        spread=None,
        case_scores=(),
        cost=None,
        missing=(missing,) if missing else (),
    )


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0312, "3.1"), (-0.0005, "-0.1"), (-0.0004, "0.0"), (0.61, "61.0")]
)
def test_points(value: float, expected: str) -> None:
    assert points(value) == expected


@pytest.mark.parametrize(
    ("low", "high", "sign", "expected"),
    [
        (0.012, 0.049, 1, "3.1 [1.2, 4.9]"),
        (0.012, 0.049, -1, "-3.1 [-4.9, -1.2]"),
        (None, None, 1, "3.1"),
    ],
)
def test_intervals(low: float | None, high: float | None, sign: int, expected: str) -> None:
    assert with_interval(Estimate(value=0.031, low=low, high=high), sign) == expected


@pytest.mark.parametrize(
    ("value", "low", "high", "p", "outcome", "sentence"),
    [
        (0.031, 0.012, 0.049, 0.01, 1, "a beats b by 3.1 points mIoU [1.2, 4.9]"),
        (-0.031, -0.049, -0.012, 0.05, -1, "a loses to b by 3.1 points mIoU [1.2, 4.9]"),
        (
            *(0.031, 0.012, 0.049, 0.051, 0),
            "a looks better than b (+3.1 points mIoU [1.2, 4.9]), which 5 seeds do not prove "
            "(Welch's p 0.051)",
        ),
        (
            *(-0.294, -0.36, -0.247, 0.339, 0),
            "a looks worse than b (-29.4 points mIoU [-36.0, -24.7]), which 5 seeds do not prove "
            "(Welch's p 0.34)",
        ),
        (
            *(0.031, -0.001, 0.049, 0.01, 0),
            "a is not distinguishable from b with 5 seeds (+3.1 points mIoU [-0.1, 4.9])",
        ),
        (
            *(-0.031, -0.049, 0.0, 0.01, 0),
            "a is not distinguishable from b with 5 seeds (-3.1 points mIoU [-4.9, 0.0])",
        ),
    ],
)
def test_a_difference_needs_the_test_and_the_interval(
    value: float, low: float, high: float, p: float, outcome: int, sentence: str
) -> None:
    found = compared("a", "b", value, low, high, p)
    assert outcome_of(found.difference, found.welch, 0.05) == outcome
    assert found.verdict == sentence


def test_without_a_test_nothing_is_claimed() -> None:
    difference = Estimate(value=0.2, low=0.1, high=0.3)
    assert outcome_of(difference, None, 0.05) == 0
    why = "a test over seeds needs two or more"
    assert sentence_of("a", "b", difference, None, why, 1, "mIoU", 0.05) == (
        "a and b cannot be told apart with 1 seed (+20.0 points mIoU [10.0, 30.0]): a test over "
        "seeds needs two or more"
    )
    assert sentence_of("a", "b", None, None, "a row has no score", 0, "mIoU", 0.05) == (
        "a cannot be compared with b: a row has no score"
    )


@pytest.mark.parametrize(
    ("difference", "seeds", "reason", "expected"),
    [
        (0.01, 14, None, "to see a difference of 1 point you would need about 14 seeds"),
        (0.005, 2, None, "to see a difference of 0.5 points you would need about 2 seeds"),
        (
            *(0.02, None, "the seeds do not differ"),
            "how many seeds a difference of 2 points takes is not known, since the seeds do not "
            "differ",
        ),
    ],
)
def test_seeds_needed(
    difference: float, seeds: int | None, reason: str | None, expected: str
) -> None:
    needed = SeedsNeeded(
        difference=difference, power=0.8, level=0.05, seeds=seeds, limit=9, reason=reason
    )
    assert needed_in_words(needed) == expected


def test_the_sentence_of_a_search_that_pays() -> None:
    rows = [
        row("none", 0.60, "none"),
        row("resnet10", 0.62),
        row("patchgan", 0.58),
        row("vgg16", 0.60),
        row("searched", 0.631, "search"),
    ]
    tests = [
        compared("resnet10", "none", 0.02, -0.01, 0.03, 0.4),
        compared("patchgan", "none", -0.02, -0.03, -0.01, 0.01),
        compared("searched", "none", 0.031, 0.012, 0.049, 0.001),
        compared("resnet10", "searched", -0.011, -0.03, 0.01, 0.3),
        compared("patchgan", "searched", -0.051, -0.06, -0.04, 0.001),
        compared("vgg16", "searched", -0.031, -0.05, -0.01, 0.2),
    ]
    assert table_verdict(rows, tests, "none", "searched", 0.05) == (
        "searched beats none by 3.1 points mIoU [1.2, 4.9]; it beats patchgan; it looks better "
        "than vgg16; not distinguishable from resnet10 with 5 seeds; to see a difference of 1 "
        "point you would need about 14 seeds.",
        "resnet10 is not distinguishable from none with 5 seeds (+2.0 points mIoU [-1.0, 3.0]).",
        "patchgan loses to none by 2.0 points mIoU [1.0, 3.0].",
    )


def test_with_one_seed_nothing_looks_better() -> None:
    rows = [row("none", 0.60, "none"), row("vgg16", 0.55), row("searched", 0.63, "search")]
    tests = [compared("searched", "none", 0.03, 0.01, 0.05, 1.0)]
    alone = compared("vgg16", "searched", -0.08, -0.09, -0.07, 1.0)
    tests.append(msgspec.structs.replace(alone, welch=None))
    first = table_verdict(rows, tests, "none", "searched", 0.05)[0]
    assert "not distinguishable from vgg16" in first
    assert "looks better than vgg16" not in first


def test_a_search_that_is_not_the_best_is_set_beside_it() -> None:
    rows = [row("none", 0.60, "none"), row("resnet10", 0.66), row("searched", 0.61, "search")]
    tests = [
        compared("resnet10", "none", 0.06, 0.03, 0.07, 0.01),
        compared("searched", "none", 0.01, -0.01, 0.03, 0.4),
        compared("searched", "resnet10", -0.05, -0.06, -0.03, 0.01),
    ]
    first = table_verdict(rows, tests, "none", "resnet10", 0.05)[0]
    assert first.startswith(
        "searched is not distinguishable from none with 5 seeds (+1.0 points mIoU [-1.0, 3.0]); "
        "loses to resnet10 by 5.0 points mIoU [3.0, 6.0]; to see"
    )


def test_nothing_that_helps_is_said_and_failures_too() -> None:
    rows = [
        row("none", 0.60, "none"),
        row("resnet10", 0.59),
        row("vgg16", None, missing="seed 0 failed with exit code 5: No."),
    ]
    tests = [compared("resnet10", "none", -0.01, -0.02, 0.01, 0.4)]
    found = table_verdict(rows, tests, "none", "none", 0.05)
    assert found[0].startswith("resnet10 is not distinguishable from none")
    assert found[1:] == (
        "Nothing was shown to beat none.",
        "vgg16 has no score: seed 0 failed with exit code 5: No.",
    )


@pytest.mark.parametrize(
    ("rows", "best", "expected"),
    [
        ([row("none", None, "none")], None, "No method has a score yet."),
        ([row("none", 0.6, "none")], "none", "There is nothing to compare with none."),
    ],
)
def test_where_there_is_nothing_to_say(rows: list[Row], best: str | None, expected: str) -> None:
    assert table_verdict(rows, [], "none", best, 0.05)[0] == expected
