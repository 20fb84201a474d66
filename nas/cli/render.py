"""nas-render: draw a genotype."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from msgspec import Struct

from nas.cli.common import main as run_command
from nas.cli.common import parse
from nas.errors import UsageError
from nas.networks import read_genotype

COMMAND = "nas-render"


class Options(Struct, frozen=True, kw_only=True):
    """Draw a genotype: both cells with operations and probabilities on the edges, or the parts of a
    FlexVGG or ConcatenationFCN with their channels."""

    genotype: tyro.conf.Positional[Path]
    """File of the genotype."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("genotype.svg")
    """Picture to write: .svg, .pdf, .png, or .dot for the text of the graph."""

    probabilities: Path | None = None
    """Also draw all probabilities, as a heat map or as bars: .svg, .pdf or .png."""

    config: Path | None = None
    """TOML file with these options; those on the command line override it."""


def render() -> None:
    """Draw."""
    options = parse(Options, COMMAND)
    genotype = read_genotype(options.genotype)

    from nas.runs import unwritable
    from search_spaces.drawing import DrawingError, draw, draw_probabilities

    if options.probabilities is not None and genotype.relaxation is None:
        raise UsageError(
            f"{options.genotype} holds no architecture parameters, so there are no probabilities "
            "to draw; those that a search writes do."
        )
    try:
        draw(genotype, options.out)
        print(f"Drawn: {options.out}")
        if options.probabilities is not None and genotype.relaxation is not None:
            draw_probabilities(genotype.relaxation, options.probabilities)
            print(f"Drawn: {options.probabilities}")
    except DrawingError as error:
        raise UsageError(f"{error}.") from error
    except OSError as error:
        raise unwritable(Path(error.filename or options.out), error) from error


def main() -> None:
    """Entry point."""
    run_command(COMMAND, render)


if __name__ == "__main__":
    main()
