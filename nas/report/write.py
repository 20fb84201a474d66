"""Writes the report of a folder: of a run, of one of its evaluations, or of a comparison."""

from __future__ import annotations

from pathlib import Path

from nas.errors import RunError
from nas.report.blocks import Page
from nas.report.comparison_page import FILE, comparison_page, open_comparison
from nas.report.gather import Run, open_run
from nas.report.page import html
from nas.report.run_page import run_page
from nas.runs import atomic_write


def write_report(path: Path, out: Path, cases: int) -> int:
    """Write the page about a folder as one file of HTML.

    Args:
        path: folder of a run, of an evaluation of a run, or of a comparison.
        out: file to write; one that is there is replaced.
        cases: how many images to show of each evaluation, or of each table of a comparison.

    Returns:
        Size of the page, in bytes.

    Raises:
        RunError: the folder holds none of these, a file in it is damaged, or the page cannot be
            written.
    """
    content = html(page_of(path, cases)).encode()
    with atomic_write(out) as stream:
        stream.write(content)
    return len(content)


def page_of(path: Path, cases: int) -> Page:
    """The page about a folder; see `write_report`."""
    if (path / FILE).is_file():
        return comparison_page(open_comparison(path), cases)
    if (path / "scores.json").is_file():
        return run_page(_run_of_evaluation(path), cases)
    if (path / "run.json").is_file():
        return run_page(open_run(path), cases)
    raise RunError(
        f"{path} holds nothing to report on: the folder of a run (run.json), of an evaluation "
        "(scores.json) or of a comparison (comparison.json) was expected."
    )


def _run_of_evaluation(path: Path) -> Run:
    """The run that an evaluation is of, as if it had this evaluation alone."""
    run = open_run(path.resolve().parents[1])
    only = [each for each in run.evaluations if each.path.name == path.resolve().name]
    run.__dict__["evaluations"] = only
    return run
