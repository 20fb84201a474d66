"""Welch's t-test of one number of two sets of evaluated runs, such as several seeds of two methods.

    python tools/compare_means.py roc_auc vessel runs/gan-seed* --against runs/cnn-seed*
    python tools/compare_means.py iou pooled runs/a-seed* --against runs/b-seed*

The number is roc_auc or average_precision of a class (from nas-evaluate --curves), or the mean of
iou or dice, pooled or per_image (from nas-evaluate). Runs of one seed share their initial weights
and split, which this test does not take into account.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from nas.metrics.tests_of_means import welch

AREAS = ("roc_auc", "average_precision")


def main() -> None:
    """Print both means and the result of the test."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("number", choices=[*AREAS, "iou", "dice"])
    parser.add_argument("of", help="a class for areas; pooled or per_image for iou and dice")
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--against", nargs="+", type=Path, required=True)
    parser.add_argument("--subset", default="test")
    options = parser.parse_args()
    sets: tuple[Sequence[Path], ...] = (options.runs, options.against)
    first, second = (
        [
            read_number(run / "evaluation" / options.subset, options.number, options.of)
            for run in runs
        ]
        for runs in sets
    )
    found = welch(first, second)
    print(
        f"{found.means[0]:.4f} ({len(first)} runs) against {found.means[1]:.4f} ({len(second)} "
        f"runs): t = {found.statistic:.2f}, {found.degrees_of_freedom:.1f} degrees of freedom, "
        f"p = {found.p:.2g}"
    )


def read_number(folder: Path, number: str, of: str) -> float:
    """One number of one evaluation."""
    if number in AREAS:
        return float(json.loads((folder / "areas.json").read_text())[of][number])
    return float(json.loads((folder / "scores.json").read_text())[of][number]["mean"])


if __name__ == "__main__":
    main()
