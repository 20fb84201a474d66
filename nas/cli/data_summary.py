"""nas-data summary: a page that shows what the data looks like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from msgspec import Struct

from nas.cli.common import parse, refuse_unused
from nas.cli.data_options import AFTER_DECODING
from nas.cli.data_outputs import require_new_file
from nas.cli.data_progress import progress_bar
from nas.errors import UsageError
from nas.settings import DataSettings, Positive


class Options(Struct, frozen=True, kw_only=True):
    """Write an HTML page with pictures of the data, the masks laid over them, and histograms."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Page to write, a new file that ends in .html."""

    pictures: Positive = 24
    """Cases to show, extremes among them; images that are nearly the same are shown besides."""

    data: DataSettings = DataSettings()

    config: Path | None = None
    """TOML file with a [data] table; options on the command line override it."""


def run(arguments: Sequence[str]) -> None:
    """Write the page."""
    options = parse(Options, "nas-data summary", arguments)
    refuse_unused(AFTER_DECODING, arguments)
    if options.out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"-o {options.out}: a page ends in .html.")
    require_new_file(options.out)

    from rich.console import Console

    from nas.data.summary import summarise

    with progress_bar(Console(), "reading") as tell:
        summarise(options.data, options.out, options.pictures, tell)
    print(f"Written: {options.out}")
