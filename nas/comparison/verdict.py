"""What a comparison's numbers say, in words.

A row beats another if Welch's test over seeds, corrected for the number of tests, finds a
difference, and the interval of the difference over seeds and cases leaves out zero. Where the
interval alone does, a row "looks" better or worse. Anything less is "not distinguishable", which
does not mean equal; so the number of seeds is given that it would take to see a difference that
matters.
"""

from __future__ import annotations

from collections.abc import Sequence

from nas.comparison.record import Estimate, PairTest, Row, SeedsNeeded, Welch


def points(value: float) -> str:
    """A share in points, with one decimal: 0.0312 is 3.1."""
    text = f"{100 * value:.1f}"
    return text.removeprefix("-") if float(text) == 0 else text


def with_interval(estimate: Estimate, sign: int = 1) -> str:
    """Points and interval: ``3.1 points mIoU [1.2, 4.9]`` without the words."""
    ends = [estimate.low, estimate.high]
    if None in ends:
        return points(sign * estimate.value)
    low, high = sorted(sign * end for end in ends if end is not None)
    return f"{points(sign * estimate.value)} [{points(low)}, {points(high)}]"


def outcome_of(difference: Estimate | None, welch: Welch | None, significance: float) -> int:
    """1 where the first is shown to be better, -1 where it is shown to be worse, else 0."""
    if difference is None or welch is None or welch.p_adjusted > significance:
        return 0
    return look_of(difference)


def look_of(difference: Estimate) -> int:
    """The sign of a difference whose interval leaves out zero, else 0."""
    if difference.low is None or difference.high is None:
        return 0
    if difference.low <= 0 <= difference.high:
        return 0
    return 1 if difference.value > 0 else -1


def count_of_seeds(number: int) -> str:
    """``1 seed``, ``5 seeds``."""
    return f"{number} seed" if number == 1 else f"{number} seeds"


def sentence_of(
    first: str,
    second: str,
    difference: Estimate | None,
    welch: Welch | None,
    welch_reason: str | None,
    seeds: int,
    score: str,
    significance: float,
) -> str:
    """One test in words, without a full stop.

    Args:
        first, second: labels of the rows.
        difference: first minus second; None where there is none.
        welch: the test over seeds; None where it cannot be made.
        welch_reason: why not.
        seeds: that both rows have.
        score: the primary score in words.
        significance: up to which an adjusted p counts.
    """
    if difference is None:
        return f"{first} cannot be compared with {second}: {welch_reason or 'a score is missing'}"
    if welch is None:
        told = _signed(difference, score)
        return (
            f"{first} and {second} cannot be told apart with {count_of_seeds(seeds)} ({told}): "
            f"{welch_reason}"
        )
    outcome = outcome_of(difference, welch, significance)
    if outcome:
        verb = "beats" if outcome > 0 else "loses to"
        return f"{first} {verb} {second} by {_amount(difference, score, outcome)}"
    if look := look_of(difference):
        return (
            f"{first} looks {'better' if look > 0 else 'worse'} than {second} "
            f"({_signed(difference, score)}), which {count_of_seeds(seeds)} do not prove "
            f"(Welch's p {welch.p_adjusted:.2g})"
        )
    return (
        f"{first} is not distinguishable from {second} with {count_of_seeds(seeds)} "
        f"({_signed(difference, score)})"
    )


def _amount(difference: Estimate, score: str, sign: int) -> str:
    value, _, interval = with_interval(difference, sign).partition(" ")
    return f"{value} points {score} {interval}".rstrip()


def _signed(difference: Estimate, score: str) -> str:
    plus = "+" if float(points(difference.value)) > 0 else ""
    return plus + _amount(difference, score, 1)


def needed_in_words(needed: SeedsNeeded) -> str:
    """How many seeds it takes, without a full stop."""
    size = f"{100 * needed.difference:g}"
    wanted = f"a difference of {size} point{'' if size == '1' else 's'}"
    if needed.seeds is None:
        return f"how many seeds {wanted} takes is not known, since {needed.reason}"
    return f"to see {wanted} you would need about {count_of_seeds(needed.seeds)}"


def table_verdict(
    rows: Sequence[Row],
    tests: Sequence[PairTest],
    baseline: str,
    best: str | None,
    significance: float,
) -> tuple[str, ...]:
    """A table in sentences; the first answers the question for the searched row, or the best one.

    Args:
        rows: of the table.
        tests: of the table.
        baseline: label of the row that the others are tested against.
        best: label of the row with the highest mean.
        significance: up to which an adjusted p counts.
    """
    without = [row for row in rows if row.score is None]
    told = [f"{row.label} has no score: {'; '.join(row.missing)}" for row in without]
    if best is None:
        return tuple(_ended(["No method has a score yet", *told]))
    subject = _subject(rows, baseline, best)
    if subject is None:
        return tuple(_ended([f"There is nothing to compare with {baseline}", *told]))
    found = {(test.first, test.second): test for test in tests}
    head = found.get((subject, baseline))
    if head is None:
        return tuple(_ended([f"{baseline} has no score, so nothing is compared with it", *told]))
    parts = [head.verdict, *_beside(subject, baseline, best, rows, found, significance)]
    sentences = ["; ".join([*parts, needed_in_words(head.needed)])]
    sentences += [
        test.verdict
        for test in tests
        if test.second == baseline and test.first != subject and test.difference is not None
    ]
    against = [test for test in tests if test.second == baseline]
    if not any(outcome_of(t.difference, t.welch, significance) > 0 for t in against):
        sentences.append(f"Nothing was shown to beat {baseline}")
    return tuple(_ended([*sentences, *told]))


def _subject(rows: Sequence[Row], baseline: str, best: str) -> str | None:
    """The row that the first sentence is about."""
    scored = [row for row in rows if row.score is not None and row.label != baseline]
    searched = [row.label for row in scored if row.kind == "search"]
    if searched:
        return searched[0]
    if best != baseline:
        return best
    highest = max(scored, key=lambda row: row.score.value if row.score else 0.0, default=None)
    return None if highest is None else highest.label


def _beside(
    subject: str,
    baseline: str,
    best: str,
    rows: Sequence[Row],
    found: dict[tuple[str, str], PairTest],
    significance: float,
) -> list[str]:
    """How the subject stands to the best row, or, being the best, to the others."""
    if subject != best:
        test = found.get((subject, best))
        return [] if best == baseline or test is None else [_without_subject(test, subject)]
    others = [row.label for row in rows if row.label not in (subject, baseline)]
    tests = [found[(other, subject)] for other in others if (other, subject) in found]
    known = [test for test in tests if test.difference is not None]
    beaten = [t for t in known if outcome_of(t.difference, t.welch, significance) < 0]
    behind = [t for t in known if t not in beaten and _looks_worse(t)]
    equal = [t for t in known if t not in beaten and t not in behind]
    parts = []
    if beaten:
        parts.append(f"it beats {listed([test.first for test in beaten])}")
    if behind:
        parts.append(f"it looks better than {listed([test.first for test in behind])}")
    if equal:
        fewest = min(len(test.seeds) for test in equal)
        names = listed([test.first for test in equal], "or")
        parts.append(f"not distinguishable from {names} with {count_of_seeds(fewest)}")
    return parts


def _looks_worse(test: PairTest) -> bool:
    """Whether the first row looks worse than the second, where there are seeds enough to test."""
    return test.difference is not None and test.welch is not None and look_of(test.difference) < 0


def _without_subject(test: PairTest, subject: str) -> str:
    return test.verdict.removeprefix(f"{subject} ").removeprefix("is ")


def listed(names: Sequence[str], word: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *front, last = names
    return f"{', '.join(front)} {word} {last}" if front else last


def _ended(sentences: Sequence[str]) -> list[str]:
    return [sentence if sentence.endswith(".") else f"{sentence}." for sentence in sentences]
