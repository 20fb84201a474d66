"""The engines of nas-compare and nas-sweep: what is refused, and what options become."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from nas.cli.engines import EngineOptions, make_engine
from nas.engines.slurm import SlurmEngine
from nas.errors import UsageError
from nas.settings import RunSettings

Command = Callable[..., Any]
TABLES: dict[str, Any] = {
    "methods": ["none"],
    "backbones": ["unet?width=2"],
    "seeds": [0],
    "budget": {"epochs": 1},
    "datasets": {"mine": {"dataset": "phantom"}},
}


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
        make_engine(EngineOptions(**given), RunSettings(**run), 1, tmp_path)


@pytest.mark.parametrize(("engine", "library"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_library_is_told_by_its_extra(
    engine: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match=rf"{library}.*discriminator-nas\[cluster\]"):
        make_engine(
            EngineOptions(engine=engine, slurm=("time=3",) * (engine == "slurm")),
            RunSettings(),
            1,
            tmp_path,
        )


def test_slurm_has_what_options_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("nas.engines.slurm.slurm_executor", lambda *given: asked.append(given))
    given = EngineOptions(engine="slurm", jobs=7, slurm=("time=240", "comment=a=b"))
    engine = make_engine(given, RunSettings(threads=3, device="cuda"), 50, tmp_path)
    assert isinstance(engine, SlurmEngine)
    assert (engine.slots, engine.threads) == (7, 3)
    folder = tmp_path / ".slurm"
    assert asked == [(folder, {"time": "240", "comment": "a=b"}, 3, 1)]
    default = make_engine(
        EngineOptions(engine="slurm", slurm=("time=1",)), RunSettings(), 50, tmp_path
    )
    assert default.slots == 100
    assert asked[1] == (folder, {"time": "1"}, 1, 0)
