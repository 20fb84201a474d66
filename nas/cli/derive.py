"""nas-derive: the genotype of a search."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import tyro
from msgspec import Struct

from nas.cli.common import check_writable, parse
from nas.cli.common import main as run_command
from nas.errors import RunError, UsageError
from nas.networks import read_genotype
from nas.runs import RunFolder, unwritable
from nas.settings import DataSettings, Positive, SearchSettings
from search_spaces import cell_genotype, description, genotypes
from search_spaces.derivation import derive

COMMAND = "nas-derive"


class Options(Struct, frozen=True, kw_only=True):
    """Derive the discrete discriminator from the architecture parameters of a search."""

    run: tyro.conf.Positional[Path]
    """Folder of the search."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("genotype.json")
    """File of the genotype."""

    epoch: Positive | None = None
    """Epoch to derive from; by default the last."""

    edges_per_node: Positive | None = None
    """Incoming edges kept per node (k); by default as in the search."""

    format: Literal["json", "darts"] = "json"
    """json keeps everything; darts is the text form that other code reads: the cells alone."""

    config: Path | None = None
    """TOML file with these options; those on the command line override it."""


def derive_genotype() -> None:
    """Derive, write, and say what to do next."""
    options = parse(Options, COMMAND)
    folder = RunFolder.open(options.run, "search")
    if options.out.is_dir():
        raise RunError(f"{options.out} is a folder: name a file by -o.")
    check_writable(options.out.parent)
    settings = folder.read_settings(SearchSettings)
    genotype = rederive(
        read_genotype(genotype_file(folder, options.epoch)),
        options.edges_per_node or settings.space.edges_per_node,
    )
    write(genotype, options)
    print_cells(genotype)
    print(f"Written: {options.out}")
    if options.format == "json":
        out = shlex.quote(str(options.out))
        print(f"Draw it: nas-render {out} -o {shlex.quote(str(options.out.with_suffix('.svg')))}")
        print(f"Next: {retrain_command(settings, options.out)}")


def genotype_file(folder: RunFolder, epoch: int | None) -> Path:
    """The file of an epoch's genotype, of the last epoch by default.

    Raises:
        RunError: the search has not come to the end of that epoch.
    """
    found = folder.genotype_files()
    if not found:
        raise RunError(
            f"The search in {folder.path} has not finished an epoch yet, so there is no genotype."
        )
    if epoch is None:
        return found[-1]
    path = folder.genotypes / f"epoch_{epoch:04d}.json"
    if path not in found:
        raise RunError(f"{folder.path} has genotypes of {len(found)} epochs, none of {epoch}.")
    return path


def rederive(
    genotype: cell_genotype.CellGenotype, edges_per_node: int
) -> cell_genotype.CellGenotype:
    """Decode the architecture parameters in a genotype with so many edges per node.

    Raises:
        RunError: the genotype holds no architecture parameters.
        UsageError: so many edges cannot be kept.
    """
    if genotype.relaxation is None:
        raise RunError("The genotype of this epoch was stripped of its architecture parameters.")
    try:
        derived = derive(genotype.relaxation, genotype.network, edges_per_node)
    except ValueError as error:
        raise UsageError(f"--edges-per-node {edges_per_node}: {error}.") from error
    return msgspec.structs.replace(derived, provenance=genotype.provenance)


def write(genotype: cell_genotype.CellGenotype, options: Options) -> None:
    """Write the genotype in the form that was asked for."""
    try:
        if options.format == "darts":
            options.out.write_text(cell_genotype.to_darts_text(genotype) + "\n")
        else:
            genotypes.write(genotype, options.out)
    except description.GenotypeError as error:
        raise UsageError(f"--format darts: {error}; use --format json.") from error
    except OSError as error:
        raise unwritable(options.out, error) from error


def print_cells(genotype: cell_genotype.CellGenotype) -> None:
    """Print the cells, a line per node."""
    for kind in ("normal", "reduction"):
        print(f"{kind} cell")
        for node, edges in enumerate(getattr(genotype, kind).nodes, start=cell_genotype.INPUTS):
            parts = [f"{edge.operation}({edge.source}) {edge.probability:.3f}" for edge in edges]
            print(f"  node {node} = {' + '.join(parts)}")


def retrain_command(settings: SearchSettings, genotype: Path) -> str:
    """The command that retrains with a genotype on the data of its search."""
    words = ["nas-retrain", "--genotype", str(genotype), "--backbone", settings.backbone]
    default = DataSettings()
    for name in DataSettings.__struct_fields__:
        value = getattr(settings.data, name)
        if value != getattr(default, name):
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return shlex.join(words)


def main() -> None:
    """Entry point."""
    run_command(COMMAND, derive_genotype)


if __name__ == "__main__":
    main()
