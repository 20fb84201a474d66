"""A recipe's grid becomes settings, point by point."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPECIFICATION = importlib.util.spec_from_file_location("run_recipe", ROOT / "tools/run_recipe.py")
assert SPECIFICATION is not None and SPECIFICATION.loader is not None
run_recipe = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(run_recipe)

RECIPE = """
backbone = "concatenation_fcn?preset=003"
[training]
epochs = 3
[adversary]
discriminator = "flexvgg"
[variants.tiny.training]
epochs = 1
[variants.none.adversary]
discriminator = "none"
[grid]
"training.segmenter_lr" = [0.1, 0.01]
"backbone?blocks" = [3, 4]
"adversary.discriminator?features" = [8]
"game.adversarial_ramp" = [30]
"""


def test_every_combination_of_the_grid_is_a_row() -> None:
    rows = run_recipe.chosen_rows(tomllib.loads(RECIPE), None, ["tiny"], Path("r.toml"))
    assert list(rows) == [
        f"segmenter_lr-{rate}_blocks-{blocks}_features-8_adversarial_ramp-30"
        for rate in (0.1, 0.01)
        for blocks in (3, 4)
    ]
    last = list(rows.values())[-1]
    assert last == {
        "backbone": "concatenation_fcn?preset=003&blocks=4",
        "training": {"epochs": 1, "segmenter_lr": 0.01},
        "adversary": {"discriminator": "flexvgg?features=8"},
        "game": {"adversarial_ramp": 30},
    }


def test_named_rows_are_the_recipe_and_its_variants() -> None:
    rows = run_recipe.chosen_rows(tomllib.loads(RECIPE), ["base", "none"], [], Path("r.toml"))
    assert [row["adversary"]["discriminator"] for row in rows.values()] == ["flexvgg", "none"]
    assert all("grid" not in row and "variants" not in row for row in rows.values())


def test_a_recipe_without_a_grid_is_one_row() -> None:
    rows = run_recipe.chosen_rows({"backbone": "unet"}, None, [], Path("r.toml"))
    assert rows == {"base": {"backbone": "unet"}}


@pytest.mark.slow
def test_a_sweep_is_trained_once_and_not_again(tmp_path: Path) -> None:
    command = [
        *(sys.executable, str(ROOT / "tools/run_recipe.py")),
        *(str(ROOT / "experiments/livne2019/experiment3_batch_size.toml"), "--variant", "smoke"),
        *("--out", str(tmp_path), "--epochs", "1", "--device", "cpu"),
    ]
    first = subprocess.run(command, check=True, capture_output=True, text=True)
    assert first.stdout.count("The segmenter is") == 3
    folders = sorted(path.name for path in tmp_path.glob("*-seed0"))
    assert folders == [f"batch_size-{size}-seed0" for size in (1, 4, 8)]
    second = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "The segmenter is" not in second.stdout
