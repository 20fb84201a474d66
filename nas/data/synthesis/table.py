"""The layouts that can be synthesized, by name.

A layout is one file with a function that writes it, and one line here: its name, the function as
"module:function", and one line for the help.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from nas.data.synthesis.files import require_empty
from nas.errors import UsageError

LAYOUTS: dict[str, tuple[str, str]] = {
    "folder": ("nas.data.synthesis.folder:write", "images/ and masks/ of equal stems: cells"),
    "cxseg": ("nas.data.synthesis.cxseg:write", "CX-SEG: chest radiographs, heart and lungs"),
    "jsrt": ("nas.data.synthesis.jsrt:write", "JSRT .IMG files with the SCR masks, always 2048 px"),
    "jsrt_mini": ("nas.data.synthesis.jsrt_mini:write", "the small JSRT set: bmp and label png"),
    "glas": ("nas.data.synthesis.glas:write", "GlaS: glands as numbered objects, Grade.csv"),
    "drive": ("nas.data.synthesis.drive:write", "DRIVE: retinal vessels, labels for the test set"),
    "drive_without_test_labels": (
        "nas.data.synthesis.drive:write_without_test_labels",
        "DRIVE as it is handed out now, its test set without labels",
    ),
    "chase_db1": (
        "nas.data.synthesis.chase_db1:write",
        "CHASE_DB1: retinal vessels, two observers",
    ),
    "montgomery": ("nas.data.synthesis.montgomery:write", "Montgomery: lungs, one mask per lung"),
    "shenzhen": ("nas.data.synthesis.shenzhen:write", "Shenzhen: lungs, some without a mask"),
    "ctc": ("nas.data.synthesis.ctc:write", "Cell Tracking Challenge: sparse gold, silver truth"),
    "dsb2018": ("nas.data.synthesis.dsb2018:write", "DSB2018: nuclei, a file for each"),
    "nnunet": ("nas.data.synthesis.nnunet:write", "nnU-Net raw, RGB png"),
    "nnunet_volumes": (
        "nas.data.synthesis.nnunet:write_volumes",
        "nnU-Net raw, NIfTI volumes of two channels with an ignore label",
    ),
    "msd": ("nas.data.synthesis.msd:write", "Medical Segmentation Decathlon: hippocampus volumes"),
    "bids": ("nas.data.synthesis.bids:write", "BIDS as axondeepseg uses it: axons and myelin"),
}


def synthesize(
    layout: str, root: Path, cases: int, seed: int, size: tuple[int, int] | None = None
) -> None:
    """Write generated data of a layout.

    Args:
        layout: a name of `LAYOUTS`.
        root: folder that is made, or that is empty.
        cases: images or volumes in all, those for test included.
        seed: of everything that is drawn; the same seed writes the same files.
        size: height and width in pixels; by default those of the real files.

    Raises:
        UsageError: there is no such layout, the folder is not empty, the layout cannot have this
            number of cases, or its files have one size only.
    """
    if layout not in LAYOUTS:
        guesses = difflib.get_close_matches(layout, LAYOUTS, n=1)
        hint = f" Did you mean {guesses[0]}?" if guesses else ""
        raise UsageError(
            f"There is no layout {layout!r} to synthesize.{hint} There are {', '.join(LAYOUTS)}."
        )
    write = writer(layout)
    options = {} if size is None else {"size": size}
    if size is not None and "size" not in inspect.signature(write).parameters:
        raise UsageError(f"The files of {layout} have one size only: leave the size out.")
    require_empty(root)
    try:
        write(root, cases, seed, **options)
    except ValueError as error:
        raise UsageError(f"{layout} cannot be written: {error}") from error


def writer(layout: str) -> Callable[..., None]:
    """The function that writes a layout of `LAYOUTS`."""
    module, function = LAYOUTS[layout][0].split(":")
    write: Callable[..., None] = getattr(import_module(module), function)
    return write
