"""How time and memory of a second-order step grow with pixels, cells, channels and batch.

    python tools/benchmark_scaling.py --threads 1 --out experiments/performance/scaling.csv \\
        --figure experiments/performance/scaling.svg
    python tools/benchmark_scaling.py --quick

One of the four is varied at a time, around a centre. What is measured, and how, is told in
`benchmark_step.py`, which measures it; rows that stand in --out are not measured again. The three
sides stand beside each other where they fit into --memory-gb and --cell-seconds.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from benchmark_step import SIDES, Cell, NotRun, measure

from nas.devices import resolve_device

CELLS = "NRNRNRNRN"
"""Layouts of fewer cells are beginnings of it."""

AXES = ("pixels", "cells", "channels", "batch")
FIGURES = ("s", "MB", "tensor MB", "launches")
COLUMNS = ("axis", "value", "px", "backbone", "batch", "channels", "layout", "side", *FIGURES)


def curves(arguments: argparse.Namespace) -> Iterator[tuple[str, int, Cell]]:
    """Every point: the axis it lies on, its place there, and what is measured."""
    centre = Cell(
        arguments.centre_px,
        arguments.backbone,
        arguments.centre_batch,
        "second",
        arguments.centre_channels,
        CELLS[: arguments.centre_cells],
    )
    for axis in AXES:
        for value in getattr(arguments, axis):
            changed = {
                "pixels": {"px": value},
                "cells": {"layout": CELLS[:value]},
                "channels": {"channels": value},
                "batch": {"batch": value},
            }[axis]
            yield axis, value, dataclasses.replace(centre, **changed)


def place(axis: str, value: int, cell: Cell) -> dict[str, str]:
    """Where a row stands, apart from its side."""
    told = {name: str(getattr(cell, name)) for name in ("px", "backbone", "batch")}
    told |= {"channels": str(cell.channels), "layout": cell.layout}
    return {"axis": axis, "value": str(value), **told}


def read(path: Path | None) -> list[dict[str, str]]:
    """The rows of an earlier run."""
    if path is None or not path.exists():
        return []
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if rows and tuple(rows[0]) != COLUMNS:
        sys.exit(f"error: {path} is a table with other columns: name another file by --out.")
    return rows


def write(path: Path | None, rows: Sequence[Mapping[str, str]]) -> None:
    """All rows so far."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def draw(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Seconds and megabytes over each axis, both logarithmic, with the slope of each curve."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), layout="constrained")
    grid = figure.subplots(2, len(AXES), sharey="row", squeeze=False)
    for column, axis in enumerate(AXES):
        for line, (name, label) in enumerate((("s", "seconds"), ("tensor MB", "MB of tensors"))):
            panel = grid[line][column]
            values = sorted({int(row["value"]) for row in rows if row["axis"] == axis})
            for side in SIDES:
                points = sorted(
                    (int(row["value"]), float(row[name]))
                    for row in rows
                    if (row["axis"], row["side"]) == (axis, side) and row[name]
                )
                if points:
                    panel.loglog(*zip(*points, strict=True), "o-", label=f"{side}{slope(points)}")
            panel.set_xlabel(axis)
            panel.set_xticks(values, labels=[str(value) for value in values])
            panel.minorticks_off()
            if not column:
                panel.set_ylabel(label)
            if panel.lines:
                panel.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def slope(points: Sequence[tuple[int, float]]) -> str:
    """The exponent of the growth between the first and the last point, in words."""
    from math import log

    (first, low), (last, high) = points[0], points[-1]
    return f", exponent {log(high / low) / log(last / first):.2f}" if last > first else ""


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pixels", type=int, nargs="*", default=[32, 64, 96, 128, 192, 256])
    parser.add_argument("--cells", type=int, nargs="*", default=[1, 3, 5, 7])
    parser.add_argument("--channels", type=int, nargs="*", default=[4, 8, 16, 32])
    parser.add_argument("--batch", type=int, nargs="*", default=[2, 4, 8])
    parser.add_argument("--centre-px", type=int, default=64)
    parser.add_argument("--centre-cells", type=int, default=7)
    parser.add_argument("--centre-channels", type=int, default=16)
    parser.add_argument("--centre-batch", type=int, default=2)
    parser.add_argument("--backbone", default="unet?width=16")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--steps", type=int, default=1, help="timed ones of each point")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--minutes", type=float, default=600.0, help="for all points")
    parser.add_argument("--cell-seconds", type=float, default=1800.0, help="for each measurement")
    parser.add_argument("--memory-gb", type=float, default=64.0, help="for each process on a CPU")
    parser.add_argument("--quick", action="store_true", help="tiny curves, in seconds")
    parser.add_argument("--out", type=Path, help="CSV")
    parser.add_argument("--figure", type=Path, help="PNG or SVG by the suffix")
    arguments = parser.parse_args(words)
    if arguments.quick:
        arguments.backbone, arguments.sides = "unet?width=4&depth=2", ["engine"]
        arguments.centre_px, arguments.centre_cells, arguments.centre_channels = 32, 1, 2
        arguments.pixels, arguments.cells = [32, 64], []
        arguments.channels, arguments.batch = [], []
    if not 1 <= max([arguments.centre_cells, *arguments.cells]) <= len(CELLS):
        parser.error(f"--cells goes to {len(CELLS)}")
    return arguments


def main() -> None:
    """Measure the points, and write and draw them as they come."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    print(f"{resolve_device(arguments.device)}, {arguments.threads} thread(s)", flush=True)
    deadline = time.monotonic() + 60 * arguments.minutes
    rows = read(arguments.out)
    known = [{name: row[name] for name in COLUMNS[:8]} for row in rows]
    sides = arguments.sides
    for axis, value, cell in curves(arguments):
        for side in sides:
            told = place(axis, value, cell) | {"side": side}
            if told in known:
                continue
            arguments.sides = [side]
            try:
                figures = measure(cell, arguments.steps, arguments, deadline)[side]
            except NotRun as reason:
                print(f"{axis} {value}, {side}: not run, {reason}", flush=True)
                continue
            rows.append(
                told | {name: f"{figures[name]:.4g}" for name in FIGURES if name in figures}
            )
            print(", ".join(rows[-1].values()), flush=True)
            write(arguments.out, rows)
    if arguments.figure:
        draw(arguments.figure, rows)


if __name__ == "__main__":
    main()
