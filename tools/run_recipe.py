"""Train every combination of a recipe's grid, or of named variants, over seeds; then a table.

    python tools/run_recipe.py experiments/nelson2022/sweep_006.toml --data-root GLAS --out runs/s6
    python tools/run_recipe.py experiments/nelson2022/figure19.toml --rows base none as_coded \
        --seeds 0 1 2 --data-root GLAS --out runs/f19

A row is the recipe itself (base), one of its variants, or one point of its [grid], whose keys are
settings (training.segmenter_lr) or options of a network (backbone?blocks). Each is an ordinary
run below --out, trained by nas-retrain and measured by nas-evaluate; what is finished there is not
done again, what was stopped goes on.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

from nas.cli.common import with_variants
from nas.runs import RunFolder


def main() -> None:
    """Run what is missing, and say where it is."""
    options, passed_on = parse_arguments()
    tables = tomllib.loads(options.recipe.read_text())
    rows = chosen_rows(tables, options.rows, options.variant, options.recipe)
    options.out.mkdir(parents=True, exist_ok=True)
    for (name, row), seed in itertools.product(rows.items(), options.seeds):
        recipe = options.out / f"{name}.toml"
        recipe.write_text(tomli_w.dumps(row))
        train(recipe, options.out / f"{name}-seed{seed}", seed, passed_on, options.subset)
    print(f"Done. Compare the runs by: python tools/tabulate_runs.py {options.out}/*-seed*")


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    """The options of this tool, and those that go to nas-retrain as they are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--rows", nargs="+", help="base, or variants; default: the grid, or base")
    parser.add_argument("--variant", nargs="*", default=[], help="laid below every row, as smoke")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--subset", default="val", help="images that are evaluated")
    return parser.parse_known_args()


def chosen_rows(
    tables: dict[str, Any], names: Sequence[str] | None, everywhere: Sequence[str], path: Path
) -> dict[str, dict[str, Any]]:
    """The settings of each row, by its name."""
    if names:
        return {
            name: with_variants(tables, [*everywhere, *([] if name == "base" else [name])], path)
            for name in names
        }
    base = with_variants(tables, everywhere, path)
    grid: dict[str, list[Any]] = tables.get("grid", {})
    points = itertools.product(*grid.values())
    return {point_name(grid, point): at_point(base, list(grid), point) for point in points}


def point_name(keys: Sequence[str] | dict[str, Any], point: Sequence[Any]) -> str:
    """A name for a folder, such as blocks-3_depth-1."""
    pairs = zip(keys, point, strict=True)
    named = [f"{key.replace('?', '.').rpartition('.')[2]}-{value}" for key, value in pairs]
    return "_".join(named) or "base"


def at_point(base: dict[str, Any], keys: Sequence[str], point: Sequence[Any]) -> dict[str, Any]:
    """The settings with those of a point of the grid."""
    settings = {name: dict(t) if isinstance(t, dict) else t for name, t in base.items()}
    for key, value in zip(keys, point, strict=True):
        where, _, option = key.partition("?")
        *outer, name = where.split(".")
        table: dict[str, Any] = settings.setdefault(outer[0], {}) if outer else settings
        table[name] = with_option(table[name], option, value) if option else value
    return settings


def with_option(specification: str, option: str, value: Any) -> str:
    """A network's specification with one option set."""
    network, _, options = specification.partition("?")
    pairs = dict(pair.split("=", 1) for pair in options.split("&") if pair)
    return f"{network}?" + "&".join(
        f"{name}={text}" for name, text in (pairs | {option: value}).items()
    )


def train(recipe: Path, folder: Path, seed: int, passed_on: Sequence[str], subset: str) -> None:
    """Bring one run to its end, and evaluate it."""
    if (folder / "evaluation" / subset / "scores.json").exists():
        return
    began = RunFolder(folder).settings_file.exists()
    new = ["--config", str(recipe), "--seed", str(seed), *passed_on]
    go_on = ["--resume"] if began else new
    command("retrain", "--run-dir", str(folder), *go_on)
    command("evaluate", str(folder), "--split", subset)


def command(name: str, *arguments: str) -> None:
    """Run a command of the toolkit; a failure ends everything."""
    subprocess.run([sys.executable, "-m", f"nas.cli.{name}", *arguments], check=True)


if __name__ == "__main__":
    main()
