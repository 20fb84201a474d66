"""nas-list: what there is to choose from, and how large it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import tyro
from msgspec import Struct

from nas.cli.common import main as run_command
from nas.cli.common import parse
from nas.data.sizes import parse_size
from nas.settings import Positive

if TYPE_CHECKING:
    from nas.inventory import Entry

COMMAND = "nas-list"
TITLES = {
    "segmenter": "Segmentation networks (--backbone)",
    "discriminator": "Discriminators (--discriminator)",
    "space": "Search spaces (--space; of segmenters --backbone search:NAME), relaxed, by default",
    "data set": "Data sets (--dataset)",
}
NETWORKS = ("segmenter", "discriminator")
NUMBERS = ("parameters", "multiply-adds")
UNITS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


class Options(Struct, frozen=True, kw_only=True):
    """List all networks, search spaces and data sets, or compare some networks.

    Networks are listed with their parameters and the multiply-adds of a pass of one image.
    """

    networks: tyro.conf.Positional[tuple[str, ...]] = ()
    """Only these networks, with options if you like: nas-list 'unet?width=16' resnet10. Files of
    genotypes and networks of other libraries (smp:Unet) too."""

    image_size: str = "512"
    """Size of the image, in pixels: 128, or HEIGHTxWIDTH such as 224x332."""

    image_channels: Positive = 1
    """Channels of the image."""

    classes: Positive = 4
    """Classes, background included."""

    discriminator_input: Literal["map", "map+image"] = "map"
    """What discriminators see: the class map alone, or with the image."""

    format: Literal["table", "json"] = "table"
    """table is for people; json for programs: a list of objects with all numbers in full."""

    config: Path | None = None
    """TOML file with these options; those on the command line override it."""


def list_choices() -> None:
    """Print."""
    options = parse(Options, COMMAND)
    size = parse_size(options.image_size)

    from nas.inventory import Task, chosen, everything

    sees_image = options.discriminator_input == "map+image"
    task = Task(size, options.image_channels, options.classes, sees_image)
    entries = chosen(options.networks, task) if options.networks else everything(task)
    if options.format == "json":
        print(msgspec.json.format(msgspec.json.encode(entries)).decode())
        return
    for kind, title in TITLES.items():
        found = [entry for entry in entries if entry.kind == kind]
        if found:
            print_table(title, headings(kind), [cells(entry) for entry in found])
    if any(entry.kind in NETWORKS for entry in entries):
        print(
            f"Multiply-adds of one image of {size[0]}x{size[1]} pixels and {task.channels} "
            f"channel(s), {task.classes} classes; '-': the network does not take that size, or "
            "slides over it."
        )


def headings(kind: str) -> list[str]:
    """Of the columns of a table."""
    searched = ["searched"] if kind == "space" else []
    numbers = [] if kind == "data set" else NUMBERS
    return ["name", *searched, *numbers, "what it is"]


def cells(entry: Entry) -> list[str]:
    """The row of an entry."""
    role = [entry.role] if entry.role is not None else []
    numbers = []
    if entry.parameters is not None:
        numbers = [f"{entry.parameters:,}", short(entry.multiply_adds)]
    return [entry.name, *role, *numbers, entry.description]


def short(number: int | None) -> str:
    """A number with four digits and a unit: 54.71 G; '-' for None."""
    if number is None:
        return "-"
    for unit, letter in UNITS:
        if number >= unit:
            return f"{number / unit:.4g} {letter}"
    return str(number)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal; elsewhere aligned columns, an entry a line however long."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if console.is_terminal:
        table = Table(title=title, title_justify="left")
        for column in columns:
            table.add_column(column, justify="right" if column in NUMBERS else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
        return
    print(title)
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        padded = (
            cell.rjust(width) if column in NUMBERS else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        )
        print("  " + "  ".join(padded).rstrip())
    print()


def main() -> None:
    """Entry point."""
    run_command(COMMAND, list_choices)


if __name__ == "__main__":
    main()
