"""Sweeps whose runs are written down in no time, so that only the sweep itself is tested."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from nas.engines import Job, Outcome
from nas.settings import RetrainSettings
from nas.sweep.lead import Lead
from nas.sweep.outcome import Outcome as Found
from nas.sweep.outcome import outcome_of
from nas.sweep.recipe import SweptRecipe, read_recipe
from nas.sweep.study import default_storage, known_study, new_study, open_storage
from nas.sweep.trial import read_plan, run_of

pytest.importorskip("optuna")

TABLES: dict[str, Any] = {
    "backbone": "unet?width=2&depth=1",
    "data": {"dataset": "phantom", "image_size": "32", "train_images": 4, "val_images": 2},
    "training": {"epochs": 2, "batch_size": 2, "segmenter_lr": 1e-2},
    "adversary": {"discriminator": "none"},
    "run": {"threads": 1, "device": "cpu"},
}
Curve = Callable[[RetrainSettings, int], Sequence[float]]
"""The scores of a run's epochs, from its settings and its seed."""


def write_run(folder: Path, seed: int, scores: Sequence[float]) -> None:
    """What a run leaves behind."""
    run = run_of(folder, seed)
    run.path.mkdir(parents=True, exist_ok=True)
    records = [
        {"epoch": number, "mean_iou": score, "val_loss": 1 - score, "seconds": 10.0 * number}
        for number, score in enumerate(scores, start=1)
    ]
    run.metrics_file.write_text("".join(json.dumps(each) + "\n" for each in records))
    run.record_file.write_text(json.dumps({"finished": "now", "seconds": 10.0 * len(scores)}))


class Instant:
    """An engine whose jobs are a function of their settings."""

    slots = 1

    def __init__(self, curve: Curve) -> None:
        self.curve = curve

    def run(self, jobs: Iterable[Job]) -> Generator[Outcome]:
        """Runs one after the other."""
        for job in jobs:
            plan = read_plan(job.folder)
            for seed in plan.seeds:
                write_run(job.folder, seed, self.curve(plan.settings, seed))
            yield Outcome(
                job=job,
                exit_code=0,
                reason=None,
                seconds=1.0,
                peak_memory=None,
                retried=False,
            )


@pytest.fixture
def recipe_of(tmp_path: Path) -> Callable[..., SweptRecipe]:
    """Reads a recipe with these tables: ``recipe_of(grid={...}, method="grid")``."""

    def read(
        grid: Mapping[str, Any] | None = None,
        ranges: Mapping[str, Any] | None = None,
        passed_on: Sequence[str] = (),
        variants: Sequence[str] = (),
        tables: Mapping[str, Any] = TABLES,
        **own: Any,
    ) -> SweptRecipe:
        path = tmp_path / "recipe.toml"
        space = {name: each for name, each in (("grid", grid), ("ranges", ranges)) if each}
        path.write_text(tomli_w.dumps({**tables, **space}))
        return read_recipe(path, variants, own, passed_on)

    return read


@pytest.fixture
def sweep() -> Callable[..., Found]:
    """Leads a sweep to its end: ``sweep(folder, recipe, curve)``."""

    def lead(folder: Path, recipe: SweptRecipe, curve: Curve) -> Found:
        folder.mkdir(exist_ok=True)
        database = open_storage(default_storage(folder))
        study = known_study(database, recipe.plan) or new_study(database, recipe.plan)
        Lead(folder, recipe, study).run(Instant(curve), lambda: None)
        return outcome_of(study, recipe.plan)

    return lead
