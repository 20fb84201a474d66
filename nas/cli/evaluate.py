"""nas-evaluate: score a retrained segmenter."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal

import tyro
from msgspec import Struct

from nas.cli.common import main as run_command
from nas.cli.common import parse
from nas.metrics.tables import area_table, image_table, object_table, score_table
from nas.runs import RunFolder

COMMAND = "nas-evaluate"


class Options(Struct, frozen=True, kw_only=True):
    """Score the segmenter of a retraining on images that it was not trained on."""

    run: tyro.conf.Positional[Path]
    """Folder of the retraining."""

    split: Literal["train", "val", "test"] = "test"
    """Which subset of the run's split."""

    at: Literal["network", "stored"] = "network"
    """Size at which masks are compared: that of the network, or the stored one of each image, as
    most publications do; logits are resized to it. Distances are in pixels of that size."""

    objects: Literal["auto", "none"] = "auto"
    """Compare objects, where the data tells them apart (auto), or never."""

    curves: bool = False
    """Also the areas under the ROC curve and the average precision of each class against the rest,
    inside the field of view, pooled and per image, with a picture of the curves."""

    device: str = "auto"
    """auto (CUDA if there is one), cpu, cuda, cuda:1, ..."""

    config: Path | None = None
    """TOML file with these options; those on the command line override it."""


def evaluate() -> None:
    """Evaluate, print the tables, and say where everything is."""
    options = parse(Options, COMMAND)
    folder = RunFolder.open(options.run, "retrain")

    from rich.console import Console

    from nas.evaluate import evaluate as evaluate_run
    from nas.trackers import tell_results
    from nas.tracking import reading_progress

    with reading_progress(f"scoring {options.split} images") as progress:
        scores, areas, out = evaluate_run(
            folder,
            options.split,
            options.device,
            at=options.at,
            objects=options.objects,
            curves=options.curves,
            progress=progress,
        )
    tell_results(folder)
    size = "stored size" if scores.size is None else "{}x{} pixels".format(*scores.size)
    title = f"{options.run}, {scores.images} {options.split} images at {size}"
    console = Console()
    console.print(score_table(scores, scores.intervals, scores.ece, title))
    console.print(image_table(scores, scores.surface, scores.intervals))
    if scores.objects is not None:
        console.print(object_table(scores.objects))
    if areas is not None:
        console.print(area_table(areas))
    print(f"Per case, as JSON, and pictures: {out}")
    run = shlex.quote(str(options.run))
    print(f"Next: nas-predict {run} IMAGE... -o masks/")


def main() -> None:
    """Entry point."""
    run_command(COMMAND, evaluate)


if __name__ == "__main__":
    main()
