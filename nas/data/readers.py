"""The layouts of data, by name.

A layout is one file with a function that takes the settings and returns a reader, and one
line here: its name, the function as "module:function" and one line for the help.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING

from nas.errors import DataError, UsageError
from nas.settings import DataSettings

if TYPE_CHECKING:
    from nas.data.cases import Reader

READERS: dict[str, tuple[str, str]] = {
    "folder": ("nas.data.folder:survey", "images/ and masks/ with files of equal stems"),
    "cxseg": ("nas.data.cxseg:survey", "CX-SEG chest radiographs: heart, left and right lung"),
    "jsrt": ("nas.data.jsrt:survey", "JSRT chest radiographs with the SCR masks"),
    "phantom": ("nas.data.phantom:survey", "generated chest radiographs; needs no files"),
}


def survey(settings: DataSettings) -> Reader:
    """The reader of a layout, with whatever is wrong with it listed in its ``problems``.

    Raises:
        UsageError: the layout is unknown, or the settings contradict each other.
        DataError: there is nothing to read: no folder, no images.
    """
    if settings.dataset not in READERS:
        guesses = difflib.get_close_matches(settings.dataset, READERS, n=1)
        hint = f" Did you mean {guesses[0]}?" if guesses else ""
        raise UsageError(
            f"There is no dataset {settings.dataset!r}.{hint} The layouts are {', '.join(READERS)}."
        )
    module, function = READERS[settings.dataset][0].split(":")
    reader: Reader = getattr(import_module(module), function)(settings)
    return reader


def open_reader(settings: DataSettings) -> Reader:
    """The reader of a layout in which nothing is wrong.

    Raises:
        UsageError: the layout is unknown, or the settings contradict each other.
        DataError: the layout has a problem; the first one is told, with the number of others.
    """
    reader = survey(settings)
    if not reader.problems:
        return reader
    others = len(reader.problems) - 1
    more = f" ({others} more: run nas-data check to see them all.)" if others else ""
    raise DataError(reader.problems[0] + more)
