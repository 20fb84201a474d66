"""nas-derive: the genotypes of a search, or networks in the forms of other programs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec
import tyro
from msgspec import Struct

from nas.cli.common import check_writable, parse
from nas.cli.common import main as run_command
from nas.deviations import deviations, summary
from nas.errors import RunError, UsageError
from nas.networks import read_genotype
from nas.runs import RunFolder, unwritable
from nas.settings import Positive, SearchSettings
from search_spaces import cell_genotype, genotypes
from search_spaces.cell_genotype import CellGenotype
from search_spaces.derivation import derive
from search_spaces.description import GenotypeError, Role
from search_spaces.genotypes import Genotype

COMMAND = "nas-derive"
EXPORTS = ("onnx", "torch")


class Options(Struct, frozen=True, kw_only=True):
    """Derive the discrete networks from the architecture parameters of a search.

    With --format onnx or torch, write networks for other programs instead: of a retraining with
    their trained weights, of a search with fresh ones.
    """

    run: tyro.conf.Positional[Path]
    """Folder of the search; with --format onnx or torch also of a retraining."""

    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """File to write, by default genotype and the suffix of the format. Where there are two
    networks, their names come before the suffix: genotype.segmenter.json and
    genotype.discriminator.json."""

    epoch: Positive | None = None
    """Epoch to derive from; by default the last."""

    edges_per_node: Positive | None = None
    """Incoming edges kept per node of a cell (k); by default as in the search."""

    format: Literal["json", "darts", "onnx", "torch"] = "json"
    """json keeps everything; darts is the text form that other code reads: the cells alone; onnx
    and torch (a torch.export program) are networks, compared with the original after writing."""

    size: tuple[Positive, Positive] | None = None
    """Height and width to which --format onnx or torch ties the network; by default to none."""

    config: Path | None = None
    """TOML file with these options; those on the command line override it."""


SUFFIXES = {"json": ".json", "darts": ".txt", "onnx": ".onnx", "torch": ".pt2"}


def derive_genotype() -> None:
    """Derive, write, and say what to do next."""
    options = parse(Options, COMMAND)
    out = options.out or Path(f"genotype{SUFFIXES[options.format]}")
    if out.is_dir():
        raise RunError(f"{out} is a folder: name a file by -o.")
    check_writable(out.parent)
    if options.format in EXPORTS:
        export(options, out)
    else:
        derive_files(options, out)


def derive_files(options: Options, out: Path) -> None:
    """Write the genotype of each network searched, and print them."""
    if options.size is not None:
        raise UsageError(
            "--size ties an exported network to a size: it needs --format onnx or torch."
        )
    folder = RunFolder.open(options.run, "search")
    settings = folder.read_settings(SearchSettings)
    found = {
        role: rederive(read_genotype(path), options.edges_per_node, settings)
        for role, path in genotype_paths(folder, options.epoch).items()
    }
    check_options(found, options)
    written = output_paths(out, found)
    for role, genotype in found.items():
        write(genotype, written[role], options.format)
        print(f"{role}, space {genotype.space}")
        print_genotype(genotype)
    print(f"Written: {', '.join(map(str, written.values()))}")
    told = summary(deviations(settings))
    if told is not None:
        print(told)
    if options.format == "json":
        for path in written.values():
            picture = shlex.quote(str(path.with_suffix(".svg")))
            print(f"Draw it: nas-render {shlex.quote(str(path))} -o {picture}")
        print(f"Next: {retrain_command(folder.settings_file, written)}")


def export(options: Options, out: Path) -> None:
    """Write the networks of a run for other programs, and say how well they agree."""
    if options.edges_per_node is not None:
        raise UsageError("--edges-per-node needs --format json or darts: derive, then retrain.")
    folder = RunFolder(options.run)
    searched = folder.record_file.is_file() and folder.read_record().get("kind") == "search"
    folder = RunFolder.open(options.run, "search" if searched else "retrain")
    if options.epoch is not None and not searched:
        raise UsageError("--epoch chooses among the epochs of a search; this is a retraining.")
    files = genotype_paths(folder, options.epoch) if searched else {}

    from nas.export import export_network
    from nas.run_networks import networks_of_retraining, networks_of_search

    networks = networks_of_search(folder, files) if searched else networks_of_retraining(folder)
    for role, path in output_paths(out, networks).items():
        exported = export_network(networks[role], options.format, path, options.size)
        print(f"Written: {path}, the {role}, {exported}")


def genotype_paths(folder: RunFolder, epoch: int | None) -> dict[Role, Path]:
    """For each network searched, the file of its genotype as it stood after an epoch.

    A decoupled search has finished with the segmenter when it begins with the discriminator: after
    a later epoch, the segmenter's genotype is its last one.

    Raises:
        RunError: the search has not come to the end of that epoch.
    """
    found: dict[Role, list[Path]] = {
        role: folder.genotype_files(role) for role in get_args(Role) if folder.genotype_files(role)
    }
    if not found:
        raise RunError(
            f"The search in {folder.path} has not finished an epoch yet, so there is no genotype."
        )
    if epoch is None:
        return {role: paths[-1] for role, paths in found.items()}
    last = max(_epoch(paths[-1]) for paths in found.values())
    if epoch > last:
        raise RunError(f"{folder.path} has genotypes of {last} epochs, none of {epoch}.")
    until = {role: [p for p in paths if _epoch(p) <= epoch] for role, paths in found.items()}
    return {role: paths[-1] for role, paths in until.items() if paths}


def _epoch(path: Path) -> int:
    return int(path.stem.removeprefix("epoch_"))


def output_paths(out: Path, networks: Mapping[Role, object]) -> dict[Role, Path]:
    """The file of each network: ``out`` of a single one, else with the network's name in it."""
    if len(networks) == 1:
        return dict.fromkeys(networks, out)
    return {role: out.with_name(f"{out.stem}.{role}{out.suffix}") for role in networks}


def rederive(genotype: Genotype, edges_per_node: int | None, settings: SearchSettings) -> Genotype:
    """Decode the architecture parameters of cells with so many edges per node.

    Raises:
        RunError: the genotype holds no architecture parameters.
    """
    if genotype.relaxation is None:
        raise RunError("The genotype of this epoch was stripped of its architecture parameters.")
    if not isinstance(genotype, CellGenotype) or genotype.relaxation is None:
        return genotype
    edges = edges_per_node or settings.cell.edges_per_node
    derived = derive(genotype.relaxation, genotype.network, edges)
    return msgspec.structs.replace(derived, provenance=genotype.provenance)


def check_options(found: Mapping[Role, Genotype], options: Options) -> None:
    """Refuse options about cells where a network has none.

    Raises:
        UsageError: which option, and which space.
    """
    other = sorted({each.space for each in found.values() if not isinstance(each, CellGenotype)})
    if options.format == "darts" and other:
        raise UsageError(
            f"--format darts is for cells, and this search is over {other[0]}: use json."
        )
    if options.edges_per_node is not None and not any(
        isinstance(each, CellGenotype) for each in found.values()
    ):
        raise UsageError(f"--edges-per-node is for cells, and this search is over {other[0]}.")


def write(genotype: Genotype, path: Path, form: str) -> None:
    """Write the genotype in the form that was asked for."""
    try:
        if form == "darts" and isinstance(genotype, CellGenotype):
            path.write_text(cell_genotype.to_darts_text(genotype) + "\n")
        else:
            genotypes.write(genotype, path)
    except GenotypeError as error:
        raise UsageError(f"--format darts: {error}; use --format json.") from error
    except OSError as error:
        raise unwritable(path, error) from error


def print_genotype(genotype: Genotype) -> None:
    """Print the choice: of cells a line per node, else a line per number searched."""
    if isinstance(genotype, CellGenotype):
        _print_cells(genotype)
    elif genotype.relaxation is not None:
        for name, choice in genotype.relaxation.choices.items():
            shares = zip(choice.candidates, choice.probabilities(), strict=True)
            told = ", ".join(f"{candidate} {share:.3f}" for candidate, share in shares)
            print(f"  {name} = {choice.best()}   ({told})")


def _print_cells(genotype: CellGenotype) -> None:
    for kind in get_args(cell_genotype.CellKind):
        print(f"{kind} cell")
        nodes = getattr(genotype, kind).nodes
        for node, edges in enumerate(nodes, start=cell_genotype.INPUTS):
            parts = [f"{edge.operation}({edge.source}) {edge.probability:.3f}" for edge in edges]
            print(f"  node {node} = {' + '.join(parts)}")


def retrain_command(settings_file: Path, written: Mapping[Role, Path]) -> str:
    """The command that retrains with the genotypes under the settings of their search."""
    words = ["nas-retrain", "--config", str(settings_file)]
    if "discriminator" in written:
        words += ["--genotype", str(written["discriminator"])]
    else:
        words += ["--discriminator", "none"]
    if "segmenter" in written:
        words += ["--backbone", str(written["segmenter"])]
    return shlex.join(words)


def main() -> None:
    """Entry point."""
    run_command(COMMAND, derive_genotype)


if __name__ == "__main__":
    main()
