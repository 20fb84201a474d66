"""Every row of every recipe runs at its smallest: it trains and evaluates; full sizes are valid."""

from __future__ import annotations

import importlib
import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w

from nas.cli.common import with_variants
from nas.data.synthesis.table import synthesize
from nas.retrain import check_settings
from nas.runs import to_settings
from nas.settings import RetrainSettings, SearchSettings

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
DOCUMENTS = ("dong2019", "nelson2022", "lalwani", "ayush2017", "livne2019")
RECIPES = sorted(
    path
    for name in DOCUMENTS
    for path in (EXPERIMENTS / name).glob("*.toml")
    if "methods" not in tomllib.loads(path.read_text())
)
"""Those of single runs; a list ``methods`` makes one of nas-compare."""
SHARED = set(SearchSettings.__struct_fields__) | set(RetrainSettings.__struct_fields__)


SMALLER = {
    "fcn32s": ("--backbone", "fcn32s?width=4"),
    "dan_sn": ("--backbone", "dan_sn?width=8"),
    "short": ("--pretrain-epochs", 1),
    "long": ("--pretrain-epochs", 1),
}
"""Options under which a row is a matter of seconds."""


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def run(name: str, *arguments: object) -> int:
    """A command as it runs from the shell; its exit code."""
    before = sys.argv
    sys.argv = [f"nas-{name}", *map(str, arguments)]
    try:
        importlib.import_module(f"nas.cli.{name}").main()
    except SystemExit as leaving:
        assert isinstance(leaving.code, int)
        return leaving.code
    finally:
        sys.argv = before
    raise AssertionError("a command always leaves with a code")


def retrained(path: Path, variants: list[str]) -> RetrainSettings:
    """The settings that nas-retrain reads from a recipe."""
    tables = with_variants(tomllib.loads(path.read_text()), variants, path)
    assert set(tables) <= SHARED
    own = {
        name: table for name, table in tables.items() if name in RetrainSettings.__struct_fields__
    }
    return to_settings(own, RetrainSettings, path)


def test_there_is_a_recipe_for_each_table_and_figure() -> None:
    names = {name_of(path) for path in RECIPES}
    sweeps = {f"nelson2022/sweep_{number:03d}" for number in (1, 2, 4, 5, 6, 7, 8, 9)}
    assert names >= sweeps | {
        *("dong2019/table1", "dong2019/table2", "dong2019/figure4"),
        *("nelson2022/table3", "nelson2022/table5", "nelson2022/figure19"),
        *("nelson2022/triplet_supplement", "nelson2022/triplet_pretraining"),
        *("nelson2022/as_coded", "lalwani/discriminators"),
        *("ayush2017/drive_150k", "ayush2017/drive_30k", "ayush2017/drive_15k"),
        *("livne2019/experiment1_curriculum", "livne2019/experiment2_tiles"),
        "livne2019/experiment3_batch_size",
    }


def rows_of(path: Path) -> list[str]:
    """The recipe itself, by an empty name, and its variants that are no way to run it."""
    variants = tomllib.loads(path.read_text())["variants"]
    return ["", *(name for name in variants if name not in ("smoke", "stand_in"))]


ROWS = [(path, row) for path in RECIPES for row in rows_of(path)]


@pytest.mark.parametrize(
    ("path", "row"), ROWS, ids=[f"{name_of(path)} {row}".strip() for path, row in ROWS]
)
def test_every_row_trains_and_evaluates_at_its_smallest(
    path: Path, row: str, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    variants = ["smoke", row] if row else ["smoke"]
    named = () if retrained(path, variants).adversary.discriminator else ("--discriminator", "none")
    options = ("--config", path, "--variant", *variants, "--device", "cpu", "--run-dir", folder)
    assert run("retrain", *options, *named, *SMALLER.get(row, ())) == 0
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert len(records) >= 2
    assert run("evaluate", folder, "--split", "train") == 0
    scores = json.loads((folder / "evaluation" / "train" / "scores.json").read_text())
    assert 0 <= scores["pooled"]["iou"]["mean"] <= 1


SYNTHESIZED = {"glas": (165, 64), "drive": (8, 64), "cxseg": (60, 64), "folder": (10, 64)}
"""Cases and side of the generated files of each layout; the split of GlaS names all of its own."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder with generated files of a layout, written when it is first asked for."""
    root = tmp_path_factory.mktemp("layouts")

    def of(layout: str) -> Path:
        if not (root / layout).exists():
            cases, side = SYNTHESIZED[layout]
            synthesize(layout, root / layout, cases, 0, (side, side))
        return root / layout

    return of


@pytest.mark.parametrize(
    "path", [path for path in RECIPES if 'dataset = "jsrt"' not in path.read_text()], ids=name_of
)
def test_a_recipe_reads_files_in_the_form_of_its_own_data(
    path: Path, files: Callable[[str], Path], tmp_path: Path
) -> None:
    """The smoke size on generated files of the official layout, in place of the phantom."""
    tables = tomllib.loads(path.read_text())
    own = tables["data"]["dataset"]
    recipe = with_variants(tables, ["smoke"], path)
    small = ("image_size", "unlabelled_images")
    kept = {name: value for name, value in recipe["data"].items() if name in small}
    recipe["data"] = tables["data"] | kept
    for name in ("train_images", "val_images"):
        recipe["data"].pop(name, None)
    recipe["data"]["data_root"] = str(files(own))
    if own == "glas":
        recipe["data"]["split"] = str(EXPERIMENTS / "nelson2022" / "glas_split.json")
    config = tmp_path / "recipe.toml"
    config.write_text(tomli_w.dumps(recipe))
    named = () if retrained(config, []).adversary.discriminator else ("--discriminator", "none")
    folder = tmp_path / "run"
    options = ("--config", config, "--device", "cpu", "--run-dir", folder)
    assert run("retrain", *options, *named) == 0
    assert run("evaluate", folder, "--split", "test") == 0
    if own == "glas":
        assert "The split divides" in (folder / "notes.txt").read_text()


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_every_variant_is_valid_and_says_where_its_stand_in_is(path: Path) -> None:
    tables = tomllib.loads(path.read_text())
    assert {"smoke", "stand_in"} <= set(tables["variants"])
    for name in ["", *tables["variants"]]:
        settings = retrained(path, [name] if name else [])
        if settings.backbone.startswith("patches:"):
            from nas.patch_training import check_patch_settings

            check_patch_settings(settings)
        else:
            check_settings(settings)
    assert retrained(path, ["stand_in"]).data.dataset == "phantom"


@pytest.mark.parametrize("name", ["table1", "table2"])
def test_dongs_tables_search_derive_and_retrain(name: str, tmp_path: Path) -> None:
    path = EXPERIMENTS / "dong2019" / f"{name}.toml"
    options = ("--config", path, "--variant", "smoke", "--device", "cpu")
    assert run("search", *options, "--run-dir", tmp_path / "search") == 0
    assert run("derive", tmp_path / "search", "-o", tmp_path / "genotype.json") == 0
    found = ("--genotype", tmp_path / "genotype.json", "--run-dir", tmp_path / "retrain")
    assert run("retrain", *options, *found) == 0


POINTS = {
    "nelson2022/sweep_001": 4 * 2 * 2 * 2,
    "nelson2022/sweep_002": 5 * 2 * 2 * 3 * 2,
    "nelson2022/sweep_004": 3 * 3 * 3 * 3 * 2,
    "nelson2022/sweep_005": 6,
    "nelson2022/sweep_006": 5,
    "nelson2022/sweep_007": 6 * 3,
    "nelson2022/sweep_008": 5,
    "nelson2022/sweep_009": 3,
    "nelson2022/triplet_supplement": 4 * 4 * 4,
    "nelson2022/triplet_pretraining": 4,
    "nelson2022/hippocampus_sweep": 3 * 2 * 2,
    "livne2019/experiment3_batch_size": 3,
}
"""Points of each grid: of Nelson's tables, the product of the numbers of values in their rows."""


def test_the_grids_are_those_of_the_documents() -> None:
    swept = {
        name_of(path)
        for path in RECIPES
        if {"grid", "ranges"} & set(tomllib.loads(path.read_text()))
    }
    assert swept == set(POINTS)


@pytest.mark.parametrize("name", POINTS)
def test_a_grid_has_its_points_and_all_of_them_are_settings(name: str) -> None:
    pytest.importorskip("optuna")
    from nas.sweep.preflight import check_sweep
    from nas.sweep.recipe import read_recipe

    path = EXPERIMENTS / f"{name}.toml"
    full = read_recipe(path, (), {})
    points = list(full.checked_points())
    assert len(points) == len({str(point) for point in points}) == full.plan.trials == POINTS[name]
    for point in points:
        settings = full.settings_at(point)
        assert isinstance(settings, RetrainSettings)
        check_settings(settings)
    check_sweep(read_recipe(path, ("smoke",), {}), ())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nelson2022/sweep_006", "nelson2022/triplet_pretraining"])
def test_a_grid_is_swept_at_its_smallest(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    monkeypatch.setenv("PYTHONPATH", str(EXPERIMENTS.parent))
    path = EXPERIMENTS / f"{name}.toml"
    own = ("--variant", "smoke", "--jobs", 1, "--out", tmp_path / "out")
    assert run("sweep", path, *own, "--", "--device", "cpu") == 0
    found = json.loads((tmp_path / "out/sweep.json").read_text())
    assert [trial["state"] for trial in found["trials"]] == ["done", "done"]
