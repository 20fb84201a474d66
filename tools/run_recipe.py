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
from nas.sweep.dimensions import Choices, at_point, point_name, points


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
    grid = {key: Choices(tuple(values)) for key, values in tables.get("grid", {}).items()}
    return {point_name(point): at_point(base, point) for point in points(grid)}


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
