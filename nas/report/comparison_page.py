"""The page of a comparison: the verdict first, then everything that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nas.comparison.cells import CELLS
from nas.comparison.record import (
    CellResult,
    Comparison,
    ComparisonTable,
    Cost,
    Estimate,
    read,
)
from nas.comparison.scores import IN_WORDS
from nas.comparison.tables import cells as table_cells
from nas.comparison.tables import headings, legend, unfinished
from nas.comparison.verdict import with_interval
from nas.metrics.tables import percent
from nas.report.blocks import Block, Charts, Heading, Listing, Page, Section, Table, Text
from nas.report.cells import genotype_block
from nas.report.charts import Bar, Chart, Interval, bar_chart, interval_chart
from nas.report.circumstances import flattened, megabytes, version_block
from nas.report.commands import comparison_commands
from nas.report.compared_cases import compared_cases
from nas.report.compared_curves import curve_blocks, health_blocks_of
from nas.report.curves import probability_blocks
from nas.report.gather import Run, open_run
from nas.runs import without_none
from nas.tracking import duration

FILE = "comparison.json"
PerTable = Callable[[Sequence[CellResult], Mapping[str, Run]], Iterable[Block]]


@dataclass(frozen=True)
class Compared:
    """A comparison's folder as a report sees it.

    Attributes:
        path: the folder.
        comparison: content of comparison.json.
    """

    path: Path
    comparison: Comparison

    @cached_property
    def runs(self) -> dict[str, Run]:
        """The runs of the cells whose folders are here, by name of the cell."""
        folders = {cell.name: self.path / CELLS / cell.name for cell in self.comparison.cells}
        return {
            name: open_run(folder)
            for name, folder in folders.items()
            if (folder / "run.json").is_file() and (folder / "settings.toml").is_file()
        }

    def cells(self, table: ComparisonTable) -> list[CellResult]:
        """The cells of a table, in order."""
        place = table.dataset, table.backbone
        return [each for each in self.comparison.cells if (each.dataset, each.backbone) == place]

    def searches(self, table: ComparisonTable) -> Iterator[tuple[CellResult, Run]]:
        """The searches of a table whose folders are here."""
        for cell in self.cells(table):
            if cell.search and (self.path / cell.search / "run.json").is_file():
                yield cell, open_run(self.path / cell.search)


def open_comparison(path: Path) -> Compared:
    """The comparison of a folder.

    Raises:
        RunError: comparison.json cannot be read.
    """
    return Compared(path, read(path / FILE))


def comparison_page(compared: Compared, cases: int) -> Page:
    """Everything that a comparison says.

    Args:
        compared: complete or not; what is missing is said on the page.
        cases: how many images to show of each table.

    Raises:
        RunError: a file is damaged.
    """
    comparison = compared.comparison
    sections = [
        Section("verdict", "Verdict", list(_verdicts(comparison))),
        Section("table", "Table", list(_tables(comparison))),
        Section("intervals", "Intervals", list(_intervals(comparison))),
        Section("images", "Images", list(_images(compared, cases))),
        Section("curves", "Learning curves", list(_per_table(compared, curve_blocks))),
        Section(
            "health", "The discriminators' health", list(_per_table(compared, health_blocks_of))
        ),
        Section("probabilities", "Probabilities over the epochs", list(_probabilities(compared))),
        Section("cells", "The genotypes found", list(_genotypes(compared))),
        Section("cost", "Cost", list(_costs(comparison))),
        Section("trainings", "All trainings", list(_trainings(comparison))),
        Section("settings", "Settings", list(_settings(comparison))),
        Section("split", "Same start, same split", list(_splits(compared))),
        Section(
            "versions",
            "Versions and machine",
            [version_block(comparison.versions, comparison.machine)],
        ),
        Section("repeat", "To repeat it", [comparison_commands(compared.path, comparison)]),
    ]
    return Page(
        title=comparison.name,
        subtitle=_subtitle(comparison),
        badges=_badges(comparison),
        sections=[each for each in sections if each.blocks],
    )


def _subtitle(comparison: Comparison) -> str:
    counts = {
        "method": len({cell.method for cell in comparison.cells}),
        "data set": len({cell.dataset for cell in comparison.cells}),
        "backbone": len({cell.backbone for cell in comparison.cells}),
        "seed": len({cell.seed for cell in comparison.cells}),
    }
    told = ", ".join(f"{n} {name}{'' if n == 1 else 's'}" for name, n in counts.items())
    return f"{told}; primary score {IN_WORDS[comparison.score]}; computed {comparison.created}"


def _badges(comparison: Comparison) -> list[tuple[str, bool]]:
    states = [cell.state for cell in comparison.cells]
    badges = [
        (f"{states.count('finished')} of {len(states)} trainings finished", comparison.complete)
    ]
    for state in ("failed", "missing"):
        if state in states:
            badges.append((f"{states.count(state)} {state}", False))
    return badges


def name_of(table: ComparisonTable) -> str:
    """What a table is about."""
    return f"{table.dataset}, {table.backbone}"


def _verdicts(comparison: Comparison) -> Iterator[Block]:
    if not comparison.complete:
        yield Text([unfinished(comparison).replace("*", "")], "warning")
    for table in comparison.tables:
        yield Heading(name_of(table))
        yield Text(table.verdict, "verdict")


def _tables(comparison: Comparison) -> Iterator[Block]:
    for table in comparison.tables:
        yield Heading(name_of(table))
        best = [place for place, row in enumerate(table.rows) if row.label == table.best]
        yield Table(headings(comparison), table_cells(comparison, table), marked=best)
        missing = [f"{row.label}: {reason}" for row in table.rows for reason in row.missing]
        if missing:
            yield Text(missing, "missing")
        yield Listing("Every test in words", "\n".join(_tests(table)))
        if table.notes:
            yield Text(table.notes)
    yield Text([legend(comparison)])


def _tests(table: ComparisonTable) -> Iterator[str]:
    for test in table.tests:
        reasons = {test.welch_reason, test.wilcoxon_reason} - {None}
        yield f"{test.verdict}." if not test.verdict.endswith(".") else test.verdict
        yield from (f"    {reason}" for reason in sorted(map(str, reasons)))


def _intervals(comparison: Comparison) -> Iterator[Block]:
    level = f"{100 * comparison.level:g} % intervals"
    for table in comparison.tables:
        yield Heading(name_of(table))
        charts = [*_score_chart(comparison, table), *_difference_chart(comparison, table)]
        if not charts:
            yield Text(["No method has a score yet."], "missing")
            continue
        yield Charts(charts, caption=f"{level} over seeds and cases; the grey dots are the seeds.")


def _score_chart(comparison: Comparison, table: ComparisonTable) -> Iterator[Chart]:
    rows = [
        _interval(
            row.label,
            row.score,
            [100 * seed.score for seed in row.seeds],
            row.label == table.best,
            "no score",
        )
        for row in table.rows
    ]
    if any(row.value is not None for row in rows):
        yield interval_chart(f"{IN_WORDS[comparison.score]}, in %", rows, unit="%")


def _difference_chart(comparison: Comparison, table: ComparisonTable) -> Iterator[Chart]:
    rows = [
        _interval(test.first, test.difference, (), test.first == table.best, "not to be had")
        for test in table.tests
        if test.second == comparison.baseline
    ]
    if any(row.value is not None for row in rows):
        title = f"Difference from {comparison.baseline}, in points"
        yield interval_chart(title, rows, zero=True, unit="points")


def _interval(
    label: str, found: Estimate | None, dots: Sequence[float], strong: bool, otherwise: str
) -> Interval:
    """An estimate in points, with the text that stands in the table."""
    if found is None:
        return Interval(label, None, text=otherwise)
    low, high = (None if each is None else 100 * each for each in (found.low, found.high))
    return Interval(label, 100 * found.value, low, high, dots, with_interval(found), strong)


def _images(compared: Compared, cases: int) -> Iterator[Block]:
    for number, table in enumerate(compared.comparison.tables):
        yield Heading(name_of(table))
        yield from compared_cases(table, compared.runs, cases, f"table-{number}")


def _per_table(compared: Compared, blocks: PerTable) -> Iterator[Block]:
    for table in compared.comparison.tables:
        yield Heading(name_of(table))
        yield from blocks(compared.cells(table), compared.runs)


def _probabilities(compared: Compared) -> Iterator[Block]:
    """Of the first search of each table; the others are in the reports of their own folders."""
    for table in compared.comparison.tables:
        searches = list(compared.searches(table))
        for cell, run in searches[:1]:
            yield Heading(f"{name_of(table)}: {cell.method}, seed {cell.seed}")
            for found in run.searched().values():
                yield from probability_blocks(found)
            if len(searches) > 1:
                folder = compared.path / str(searches[1][0].search)
                others = len(searches) - 1
                yield Text([f"{others} more on pages of their own: nas-report {folder} ..."])


def _genotypes(compared: Compared) -> Iterator[Block]:
    for table in compared.comparison.tables:
        for cell, run in compared.searches(table):
            for role, found in run.searched().items():
                caption = f"{name_of(table)}: {cell.method}, seed {cell.seed}, {role}"
                yield genotype_block(found[-1][1], caption)


def _costs(comparison: Comparison) -> Iterator[Block]:
    for table in comparison.tables:
        costs = [(row.label, row.cost) for row in table.rows]
        yield Heading(name_of(table))
        if not any(cost for _, cost in costs):
            yield Text(["No cost is recorded."], "missing")
            continue
        yield Charts(
            [
                bar_chart("Time of one seed", [_time_bar(*each) for each in costs]),
                bar_chart("Largest memory", [_memory_bar(*each) for each in costs]),
            ],
            caption="Strong: the search's part of the time. Time is the mean over seeds.",
        )


def _time_bar(label: str, cost: Cost | None) -> Bar:
    if cost is None:
        return Bar(label, None, "not measured")
    text = duration(cost.seconds)
    if cost.search_seconds:
        text += f", search {duration(cost.search_seconds)}"
    return Bar(
        label, cost.seconds, text if cost.complete else f"more than {text}", cost.search_seconds
    )


def _memory_bar(label: str, cost: Cost | None) -> Bar:
    memory = cost and (cost.peak_device_memory or cost.peak_memory)
    if not memory:
        return Bar(label, None, "not measured")
    return Bar(label, memory, megabytes(memory))


def _trainings(comparison: Comparison) -> Iterator[Block]:
    head = ["training", "state", "test", "validation", "epochs", "search epochs", "time", "reason"]
    rows = [
        [
            cell.name,
            cell.state + (", retried alone" if cell.retried else ""),
            percent(cell.score),
            percent(cell.validation),
            str(cell.epochs or "-"),
            str(cell.search_epochs or "-"),
            duration(cell.cost.seconds) if cell.cost else "-",
            cell.reason or "",
        ]
        for cell in comparison.cells
    ]
    caption = f"{IN_WORDS[comparison.score]} in %."
    yield Table(head, rows, caption, numbers=False)


def _settings(comparison: Comparison) -> Iterator[Block]:
    rows = [[name, value] for name, value in flattened(without_none(comparison.recipe))]
    chosen = [row for row in rows if row[0].split(".")[0] in CHOICES]
    yield Table(["setting of the recipe", "value"], chosen, numbers=False)
    yield Listing(f"All {len(rows)} settings", "\n".join(f"{n} = {value}" for n, value in rows))


CHOICES = ("methods", "backbones", "seeds", "budget", "baseline", "score", "smallest_difference")


def _splits(compared: Compared) -> Iterator[Block]:
    rows = []
    for table in compared.comparison.tables:
        cells = [cell for cell in compared.cells(table) if cell.state == "finished"]
        images: dict[str, int] = next(
            (
                run.record.get("data", {}).get("images", {})
                for cell in cells
                if (run := compared.runs.get(cell.name))
            ),
            {},
        )
        counts = " / ".join(str(images.get(name, "?")) for name in ("train", "val", "test"))
        rows.append(
            [
                name_of(table),
                counts,
                _same([(cell.seed, cell.split) for cell in cells]),
                _same([(cell.seed, cell.initial_state) for cell in cells]),
            ]
        )
    head = ["", "train / val / test", "split within a seed", "initial segmenter within a seed"]
    yield Table(head, rows, "By the hashes that the trainings recorded.", numbers=False)


def _same(found: Sequence[tuple[int, str | None]]) -> str:
    """Whether all trainings of a seed recorded the same hash."""
    seeds: dict[int, set[str | None]] = {}
    for seed, digest in found:
        seeds.setdefault(seed, set()).add(digest)
    if not seeds or any(None in each for each in seeds.values()):
        return "not recorded everywhere"
    different = [str(seed) for seed, each in seeds.items() if len(each) > 1]
    return f"different in seed {', '.join(different)}" if different else "the same"
