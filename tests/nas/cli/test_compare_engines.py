"""The engines of nas-compare: what is refused, and what options become."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from nas.cli.compare import Options
from nas.cli.compare_engines import make_engine
from nas.comparison.recipe import Recipe, read_recipe
from nas.engines.slurm import SlurmEngine
from nas.errors import UsageError

Command = Callable[..., Any]
TABLES: dict[str, Any] = {
    "methods": ["none"],
    "backbones": ["unet?width=2"],
    "seeds": [0],
    "budget": {"epochs": 1},
    "datasets": {"mine": {"dataset": "phantom"}},
}


def recipe(**run: Any) -> Recipe:
    return read_recipe({**TABLES, "run": run}, (), Path("recipe.toml"))


def options(**given: Any) -> Options:
    return Options(recipe=Path("recipe.toml"), **given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--address", "auto"], "--address goes with --engine ray"),
        (["--engine", "slurm", "--send-data"], "--send-data goes with --engine ray"),
        (["--gpus-per-job", "0.5"], "--gpus-per-job goes with --engine ray or slurm"),
        (["--engine", "ray", "--slurm", "time=3"], "--slurm goes with --engine slurm"),
    ],
)
def test_options_of_other_engines_are_refused(
    given: list[str], words: str, command: Command
) -> None:
    Path("recipe.toml").write_text(tomli_w.dumps(TABLES))
    command("compare", "recipe.toml", *given).refused(2, words)


@pytest.mark.parametrize(
    ("given", "run", "words"),
    [
        ({"engine": "ray", "gpus_per_job": 0.5}, {"device": "cpu"}, "contradicts run.device"),
        ({"engine": "slurm", "gpus_per_job": 0.5}, {}, "whole GPUs"),
        ({"engine": "slurm", "slurm": ("time",)}, {}, "NAME=VALUE"),
    ],
)
def test_what_contradicts_itself_is_refused(
    given: dict[str, Any], run: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        make_engine(options(**given), recipe(**run), 1, tmp_path)


@pytest.mark.parametrize(("engine", "library"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_library_is_told_by_its_extra(
    engine: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match=rf"{library}.*discriminator-nas\[cluster\]"):
        make_engine(
            options(engine=engine, slurm=("time=3",) * (engine == "slurm")), recipe(), 1, tmp_path
        )


def test_slurm_has_what_options_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("nas.engines.slurm.slurm_executor", lambda *given: asked.append(given))
    given = options(engine="slurm", jobs=7, slurm=("time=240", "comment=a=b"))
    engine = make_engine(given, recipe(threads=3, device="cuda"), 50, tmp_path)
    assert isinstance(engine, SlurmEngine)
    assert (engine.slots, engine.threads) == (7, 3)
    folder = tmp_path / ".slurm"
    assert asked == [(folder, {"time": "240", "comment": "a=b"}, 3, 1)]
    default = make_engine(options(engine="slurm", slurm=("time=1",)), recipe(), 50, tmp_path)
    assert default.slots == 100
    assert asked[1] == (folder, {"time": "1"}, 1, 0)
