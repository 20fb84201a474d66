"""nas-data convert: any layout as paired folders or as nnU-Net raw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from msgspec import Struct

from nas.cli.common import parse, refuse_unused
from nas.cli.data_options import TRAINING_ALONE
from nas.cli.data_outputs import require_new_folder
from nas.cli.data_progress import progress_bar
from nas.errors import UsageError
from nas.settings import DataSettings


class Options(Struct, frozen=True, kw_only=True):
    """Write the data in another form, of which other programs can make use.

    The division comes along where one is given: by the lists that came with the data, by --split
    or by numbers of images.
    """

    to: Literal["folder", "nnunet"]
    """folder: images/ and masks/, with train.txt, val.txt, test.txt and groups.csv; nnunet:
    nnU-Net raw, imagesTr, labelsTr and so on, with dataset.json."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder to write into, new or empty; for nnunet named DatasetNNN_Name."""

    data: DataSettings = DataSettings()

    config: Path | None = None
    """TOML file with a [data] table; options on the command line override it."""


def run(arguments: Sequence[str]) -> None:
    """Convert, and say how to look at it."""
    options = parse(Options, "nas-data convert", arguments)
    data = options.data
    unused = dict.fromkeys(TRAINING_ALONE, "is about what a network sees, and files are written")

    from rich.console import Console

    from nas.data.convert import DATASET, convert
    from nas.data.readers import open_reader
    from nas.data.splits import divided_by, make_split

    if options.to == "nnunet" and not DATASET.fullmatch(options.out.name):
        raise UsageError(
            f"No data set of nnU-Net can be named {options.out.name!r}: name a folder by -o, such "
            f"as {options.out.parent / 'Dataset500_Chest'}."
        )
    reader = open_reader(data)
    counted = data.train_images is not None or data.val_images is not None
    divided = data.split is not None or data.fold is not None or reader.lists is not None
    if not counted:
        unused["split_seed"] = "draws a split of so many images, and no number of them is given"
    refuse_unused(unused, arguments)
    split = make_split(reader, data) if counted or divided else None
    require_new_folder(options.out)
    with progress_bar(Console(), "converting") as tell:
        if options.to == "folder":
            written = convert(reader, split, options.out, "folder", progress=tell)
        else:
            written = convert(
                reader, split, options.out.parent, "nnunet", options.out.name, progress=tell
            )
    print(f"Written: {written.folder}, {len(written.stems)} cases.")
    if written.lost:
        print(f"Note: nnU-Net's form has no {' and no '.join(written.lost)}: they are left out.")
    further = written.options
    for note in divided_by(split, reader.cases) if split is not None else ():
        print(f"Note: {note}")
        if options.to == "folder":
            further = further.partition(" --groups ")[0]
            print(
                "Note: train.txt, val.txt and test.txt with these groups are refused as a mistake: "
                "leave groups.csv out, as below, or draw another split by it with nas-data split."
            )
    print(f"Next: nas-data check {further}")
