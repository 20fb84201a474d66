"""A comparison as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from nas.comparison.record import Comparison, ComparisonTable, Cost, PairTest, Row, encode
from nas.comparison.scores import IN_WORDS
from nas.comparison.verdict import points, with_interval
from nas.runs import atomic_write

MEGA = 10**6
HEADINGS = (
    "method",
    "seeds",
    "{score} [{level:g} %]",
    "spread",
    "difference from {baseline}",
    "Welch p",
    "Wilcoxon p",
    "Cohen's d",
    "rank-biserial",
    "minutes (search)",
    "MB",
)
UNKNOWN = "-"


def write(comparison: Comparison, out: Path) -> tuple[Path, ...]:
    """comparison.json, comparison.md, comparison.csv and comparison.tex; their paths.

    Raises:
        RunError: a file cannot be written.
    """
    contents = {
        "json": encode(comparison),
        "md": markdown(comparison).encode(),
        "csv": as_csv(comparison).encode(),
        "tex": latex(comparison).encode(),
    }
    for suffix, content in contents.items():
        with atomic_write(out / f"comparison.{suffix}") as stream:
            stream.write(content)
    return tuple(out / f"comparison.{suffix}" for suffix in contents)


def markdown(comparison: Comparison) -> str:
    """The verdicts, a table each, and notes."""
    parts = [f"# {comparison.name}", ""]
    if not comparison.complete:
        parts += [unfinished(comparison), ""]
    for table in comparison.tables:
        rows = [headings(comparison), *cells(comparison, table)]
        lines = [f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in rows]
        lines.insert(1, "|---" + "|---:" * (len(rows[0]) - 1) + "|")
        parts += [f"## {table.dataset}, {table.backbone}", "", *_bullets(table.verdict), ""]
        parts += [*lines, "", *_bullets(table.notes), ""]
    parts.append(legend(comparison))
    return "\n".join(parts) + "\n"


def unfinished(comparison: Comparison) -> str:
    """How many cells have failed or are missing, in a sentence."""
    states = [cell.state for cell in comparison.cells]
    return (
        f"**Not complete**: of {len(states)} cells {states.count('failed')} failed and "
        f"{states.count('missing')} have not come to an end."
    )


def legend(comparison: Comparison) -> str:
    """How the numbers are to be read."""
    tests = [test for table in comparison.tables for test in table.tests]
    counts = [sum(getattr(test, kind) is not None for test in tests) for kind in KINDS]
    return (
        f"Scores are {IN_WORDS[comparison.score]} of all test pixels together, in percent, mean "
        f"over seeds; intervals of {100 * comparison.level:g} % are from "
        f"{comparison.resamples} resamples of seeds and of groups of cases. Welch's test compares "
        "seeds, as published; Wilcoxon's compares cases (groups where they are known), each a mean "
        f"over seeds. Both are corrected by Holm's method for all tests here ({counts[0]} and "
        f"{counts[1]}), those against the best row too. Minutes are by the clock and for one seed."
    )


KINDS = ("welch", "wilcoxon")


def headings(comparison: Comparison) -> list[str]:
    """Of the columns."""
    values = {
        "score": IN_WORDS[comparison.score],
        "level": 100 * comparison.level,
        "baseline": comparison.baseline,
    }
    return [heading.format(**values) for heading in HEADINGS]


def cells(comparison: Comparison, table: ComparisonTable) -> list[list[str]]:
    """A row of texts for each row of a table."""
    tests = {test.first: test for test in table.tests if test.second == comparison.baseline}
    return [_cells(row, tests.get(row.label), row.label == table.best) for row in table.rows]


def _cells(row: Row, test: PairTest | None, is_best: bool) -> list[str]:
    label = f"{row.label} (best)" if is_best else row.label
    if row.score is None:
        return [label, "0", *[UNKNOWN] * (len(HEADINGS) - 2)]
    return [
        label,
        str(len(row.seeds)),
        with_interval(row.score),
        UNKNOWN if row.spread is None else points(row.spread),
        *_test_cells(test),
        *_cost_cells(row.cost),
    ]


def _test_cells(test: PairTest | None) -> list[str]:
    if test is None or test.difference is None:
        return [UNKNOWN] * 5
    return [
        with_interval(test.difference),
        UNKNOWN if test.welch is None else _p(test.welch.p_adjusted),
        UNKNOWN if test.wilcoxon is None else _p(test.wilcoxon.p_adjusted),
        UNKNOWN if test.cohen_d is None else f"{test.cohen_d:.2f}",
        UNKNOWN if test.wilcoxon is None else f"{test.wilcoxon.effect_size:.2f}",
    ]


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _cost_cells(cost: Cost | None) -> list[str]:
    if cost is None:
        return [UNKNOWN, UNKNOWN]
    minutes = f"{cost.seconds / 60:.1f}"
    if cost.search_seconds:
        minutes += f" ({cost.search_seconds / 60:.1f})"
    memory = cost.peak_device_memory or cost.peak_memory
    return [minutes, UNKNOWN if memory is None else f"{memory / MEGA:.0f}"]


COLUMNS = (
    "dataset",
    "backbone",
    "row",
    "method",
    "seeds",
    "score",
    "low",
    "high",
    "spread",
    "difference",
    "difference_low",
    "difference_high",
    "welch_p",
    "welch_p_adjusted",
    "wilcoxon_p",
    "wilcoxon_p_adjusted",
    "cohen_d",
    "rank_biserial",
    "seeds_needed",
    "seconds",
    "process_seconds",
    "search_seconds",
    "peak_memory",
    "peak_device_memory",
    "missing",
)


def as_csv(comparison: Comparison) -> str:
    """A line for each row of each table, numbers in full, empty where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for table in comparison.tables:
        tests = {test.first: test for test in table.tests if test.second == comparison.baseline}
        for row in table.rows:
            values = _values(row, tests.get(row.label))
            writer.writerow([table.dataset, table.backbone, *values])
    return text.getvalue()


def _values(row: Row, test: PairTest | None) -> Iterable[object]:
    cost = row.cost
    welch, wilcoxon = (test.welch, test.wilcoxon) if test else (None, None)
    difference = test.difference if test else None
    return [
        row.label,
        row.method,
        len(row.seeds),
        *(getattr(row.score, name, "") for name in ("value", "low", "high")),
        row.spread,
        *(getattr(difference, name, "") for name in ("value", "low", "high")),
        *(getattr(welch, name, "") for name in ("p", "p_adjusted")),
        *(getattr(wilcoxon, name, "") for name in ("p", "p_adjusted")),
        test.cohen_d if test else "",
        getattr(wilcoxon, "effect_size", ""),
        test.needed.seeds if test else "",
        *(getattr(cost, name, "") for name in COLUMNS[-6:-1]),
        "; ".join(row.missing),
    ]


SPECIAL = {
    "\\": r"\textbackslash{}",
    **{each: rf"\{each}" for each in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
}


def latex(comparison: Comparison) -> str:
    """A table environment for each table; needs the package booktabs."""
    parts = [r"% \usepackage{booktabs}"]
    for table in comparison.tables:
        rows = cells(comparison, table)
        width = len(HEADINGS)
        caption = " ".join([f"{table.dataset}, {table.backbone}.", *table.verdict])
        parts += [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{in_latex(caption)}}}",
            rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}",
            r"\toprule",
            _latex_line(headings(comparison)),
            r"\midrule",
            *(_latex_line(row) for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    return "\n".join(parts) + "\n"


def _latex_line(row: Sequence[str]) -> str:
    return " & ".join(map(in_latex, row)) + r" \\"


def in_latex(text: str) -> str:
    """A text as LaTeX shows it."""
    return "".join(SPECIAL.get(character, character) for character in text)


def _escaped(text: str) -> str:
    return text.replace("|", r"\|")


def _bullets(sentences: Sequence[str]) -> list[str]:
    return [f"- {sentence}" for sentence in sentences]
