"""Comparisons whose cells are written by hand instead of trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nas.comparison.analysis import analyse
from nas.comparison.cells import Cell, cells_of, plan_of, write_plan
from nas.comparison.recipe import Recipe, read_recipe
from nas.comparison.record import Comparison
from nas.comparison.results import CellOutcome
from nas.evaluation_files import Confusions
from nas.runs import RunFolder

GROUPS = ("p", "p", "q", None)
TABLES: dict[str, Any] = {
    "methods": ["none", "patchgan?width=4", "random:2", "search"],
    "backbones": ["unet?width=2"],
    "seeds": [0, 1, 2],
    "budget": {"epochs": 3, "search_epochs": 2},
    "datasets": {"mine": {"dataset": "phantom"}},
}


def matrices(hits: Sequence[int]) -> list[list[list[int]]]:
    """Of each case 100 pixels of either class, of which so many are right in each."""
    return [[[hit, 100 - hit], [100 - hit, hit]] for hit in hits]


class Bench:
    """Writes the folders of cells as their processes would leave them."""

    def __init__(self, out: Path, recipe: Recipe) -> None:
        self.out = out
        self.recipe = recipe

    def finish(
        self, cell: Cell, test: Sequence[int], val: Sequence[int] = (), seconds: float = 60.0
    ) -> None:
        """A finished cell with so many right pixels of 100 in each class, case by case."""
        folder = cell.folder(self.out)
        plan = plan_of(self.recipe, cell)
        write_plan(plan, folder)
        run = RunFolder(folder)
        adversary = msgspec.structs.replace(plan.retrain.adversary, discriminator="none")
        run.begin("retrain", msgspec.structs.replace(plan.retrain, adversary=adversary))
        run.record(initial_segmenter=f"weights of {cell.seed}", data={"split_hash": "s"})
        if plan.kind == "search":
            assert plan.search is not None
            RunFolder(folder / "search").begin("search", plan.search)
        for subset, hits in (("test", test), ("val", val)):
            if hits:
                self._score(folder / "evaluation" / subset, hits)
        lines = [{"part": "retrain", "ended": False}]
        lines += [
            {
                "part": "retrain",
                "ended": True,
                "seconds": seconds,
                "process_seconds": seconds / 2,
                "peak_memory": 10**8 + cell.seed,
            }
        ]
        (folder / "cost.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        self.outcome(cell, 0, None)

    def cells(self, method: str) -> list[Cell]:
        """Those of a method, seed by seed."""
        return [cell for cell in cells_of(self.recipe) if cell.method == method]

    def comparison(self) -> Comparison:
        """What the cells say."""
        return analyse(self.recipe, "recipe", self.out, "nas-compare recipe.toml")

    def outcome(self, cell: Cell, code: int, reason: str | None, retried: bool = False) -> None:
        """How the process of a cell ended."""
        kept = CellOutcome(
            exit_code=code, reason=reason, retried=retried, seconds=1.0, peak_memory=None
        )
        path = cell.folder(self.out) / "outcome.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.encode(kept))

    def _score(self, folder: Path, hits: Sequence[int]) -> None:
        folder.mkdir(parents=True)
        confusions = Confusions(
            classes=("background", "disc"),
            cases=tuple(f"case{n}" for n in range(len(hits))),
            groups=GROUPS[: len(hits)],
            matrices=matrices(hits),
        )
        (folder / "confusions.json").write_bytes(msgspec.json.encode(confusions))


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    """Makes a comparison without cells yet: ``bench(seeds=[0])``."""

    def make(**changes: Any) -> Bench:
        return Bench(tmp_path, read_recipe({**TABLES, **changes}, (), Path("recipe.toml")))

    return make
