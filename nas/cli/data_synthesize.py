"""nas-data synthesize: generated data in the official form of a layout."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from msgspec import Struct

from nas.cli.common import parse
from nas.cli.data_outputs import require_new_folder
from nas.cli.data_progress import progress_bar
from nas.settings import Count, DataSettings, Positive


class Options(Struct, frozen=True, kw_only=True):
    """Write generated data in the official form of a layout, to try readers and recipes on.

    Folders, names, depths and values are those of the real set.
    """

    layout: tyro.conf.Positional[str]
    """Name of the layout; a name that is none lists them all."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder to write into, new or empty."""

    cases: Positive = 12
    """Images, or volumes, in all."""

    seed: Count = 0
    """Seed of everything that is drawn."""

    size: tuple[Positive, Positive] | None = None
    """Height and width of the images; by default those of the real set."""


def run(arguments: Sequence[str]) -> None:
    """Write, and say how to look at it."""
    options = parse(Options, "nas-data synthesize", arguments)

    from rich.console import Console

    from nas.data.synthesis.table import LAYOUTS, synthesize

    if options.layout in LAYOUTS:
        require_new_folder(options.out)
    with progress_bar(Console(), "writing"):
        synthesize(options.layout, options.out, options.cases, options.seed, options.size)
    print(f"Written: {options.out}, {options.cases} cases of {options.layout}.")
    dataset = LAYOUTS[options.layout][0].partition(":")[0].rpartition(".")[2]
    print(f"Next: {shlex.join(check_command(dataset, options.out))}")


def check_command(dataset: str, root: Path) -> list[str]:
    """The command that looks at what was written.

    Counts of images are named where the data is too small for those by default.

    Args:
        dataset: name of the layout for a reader.
        root: folder of the data.
    """
    from nas.data.readers import survey
    from nas.data.splits import PUBLISHED, PUBLISHED_TRAIN, whole_groups

    command = ["nas-data", "check", "--dataset", dataset, "--data-root", str(root)]
    reader = survey(DataSettings(dataset=dataset, data_root=root))
    if reader.lists is not None:
        return command
    if dataset in PUBLISHED and len(reader.cases) <= PUBLISHED_TRAIN:
        return [*command, "--train-images", str(max(1, len(reader.cases) // 2))]
    if len(whole_groups({case.id: case.group for case in reader.cases})) == 2:
        return [*command, "--val-images", "0"]
    return command
