"""The layouts of data, by name.

A layout is one file in nas/data/layouts with a function ``survey`` that takes the settings and
returns a reader, and one line here.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.errors import DataError, UsageError
from nas.settings import DataSettings

if TYPE_CHECKING:
    from nas.data.cases import Reader


class Layout(NamedTuple):
    """A layout of data.

    Attributes:
        module: below nas.data.layouts.
        help: one line.
        options: the settings of `FORM` that mean something with it.
    """

    module: str
    help: str
    options: tuple[str, ...] = ()


FORM = (
    "data_root",
    "white",
    "value_map",
    "class_names",
    "window",
    "slices",
    "empty_slices",
    "truth",
)
"""Settings about the form of the files, each of which means something with some layouts alone."""

OWN_FILES = ("data_root",)
PICTURES = (*OWN_FILES, "white", "value_map", "class_names")
VOLUMES = (*OWN_FILES, "window", "slices", "empty_slices")

READERS: dict[str, Layout] = {
    "folder": Layout(
        "folder", "images/ and masks/ with files of equal stems", (*PICTURES, *VOLUMES)
    ),
    "nnunet": Layout("nnunet", "nnU-Net raw: DatasetNNN_Name, 2D files or NIfTI volumes", VOLUMES),
    "msd": Layout("msd", "Medical Segmentation Decathlon: TaskNN_Name, NIfTI volumes", VOLUMES),
    "bids": Layout("bids", "BIDS microscopy as axondeepseg has it: axon, myelin", OWN_FILES),
    "cxseg": Layout("cxseg", "CX-SEG chest radiographs: heart, left and right lung", PICTURES[:-1]),
    "jsrt": Layout("jsrt", "JSRT chest radiographs with the SCR masks", OWN_FILES),
    "jsrt_mini": Layout("jsrt_mini", "the small JSRT set, segmentation02", OWN_FILES),
    "montgomery": Layout("montgomery", "Montgomery County radiographs: two lungs", OWN_FILES),
    "shenzhen": Layout("shenzhen", "Shenzhen radiographs: lungs", OWN_FILES),
    "drive": Layout("drive", "DRIVE: vessels of the retina, with a field of view", OWN_FILES),
    "chase_db1": Layout("chase_db1", "CHASE_DB1: vessels of children's retinas", OWN_FILES),
    "glas": Layout("glas", "GlaS: glands of the colon, each of its own", OWN_FILES),
    "dsb2018": Layout("dsb2018", "Data Science Bowl 2018: nuclei, each of its own", OWN_FILES),
    "ctc": Layout("ctc", "Cell Tracking Challenge, 2D: cells", (*OWN_FILES, "truth")),
    "phantom": Layout("phantom", "generated chest radiographs; needs no files"),
}


def survey(settings: DataSettings) -> Reader:
    """The reader of a layout, with whatever is wrong with it listed in its ``problems``.

    Raises:
        UsageError: the layout is unknown, an option means nothing with it, or the settings
            contradict each other.
        DataError: there is nothing to read: no folder, no images.
    """
    if settings.dataset not in READERS:
        guesses = difflib.get_close_matches(settings.dataset, READERS, n=1)
        hint = f" Did you mean {guesses[0]}?" if guesses else ""
        raise UsageError(
            f"There is no dataset {settings.dataset!r}.{hint} The layouts are {', '.join(READERS)}."
        )
    layout = READERS[settings.dataset]
    _refuse_options(settings, layout)
    module = import_module(f"nas.data.layouts.{layout.module}")
    try:
        reader: Reader = module.survey(settings)
    except OSError as error:
        raise DataError(
            f"{error.filename or settings.data_root} cannot be read ({error.strerror or error}): "
            "mend its permissions, or copy it to where it can."
        ) from error
    return reader


def _refuse_options(settings: DataSettings, layout: Layout) -> None:
    default: Any = DataSettings()
    for name in FORM:
        if name not in layout.options and getattr(settings, name) != getattr(default, name):
            others = ", ".join(other for other, each in READERS.items() if name in each.options)
            raise UsageError(
                f"--{name.replace('_', '-')} means nothing with --dataset {settings.dataset}, "
                f"only with {others}. Leave it out, or choose another --dataset."
            )


def open_reader(settings: DataSettings) -> Reader:
    """The reader of a layout in which nothing is wrong.

    Raises:
        UsageError: the layout is unknown, an option means nothing with it, or the settings
            contradict each other.
        DataError: the layout has a problem; the first one is told, with the number of others.
    """
    reader = survey(settings)
    if not reader.problems:
        return reader
    others = len(reader.problems) - 1
    more = f" ({others} more: run nas-data check to see them all.)" if others else ""
    raise DataError(reader.problems[0] + more)
