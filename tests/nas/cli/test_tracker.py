"""--tracker: what Weights & Biases keeps on disk when it is offline, and TensorBoard's table."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
BLOCK = 32768
FIRST = 7


def records(path: Path) -> Iterator[Any]:
    """The records of a .wandb file, which is a LevelDB log behind a header of seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, parts = path.read_bytes(), FIRST, b""
    while place + 7 <= len(content):
        if BLOCK - place % BLOCK < 7:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield Record.FromString(parts)
            parts = b""


def kept(run: Path) -> list[dict[str, Any]]:
    """What each process told of a run: its id, settings, history and summary."""
    found = []
    for path in sorted(run.glob("wandb/offline-run-*/*.wandb")):
        told: dict[str, Any] = {"history": [], "summary": {}, "config": {}, "id": None}
        for record in records(path):
            if record.HasField("run"):
                told["id"] = record.run.run_id
                told["project"] = record.run.project
                told["notes"] = record.run.notes or told.get("notes", "")
                told["config"] |= {
                    each.key: json.loads(each.value_json) for each in record.run.config.update
                }
            if record.HasField("history"):
                told["history"].append(
                    {
                        each.nested_key[0]: json.loads(each.value_json)
                        for each in record.history.item
                    }
                )
            if record.HasField("summary"):
                told["summary"] |= {
                    each.key: json.loads(each.value_json)
                    for each in record.summary.update
                    if each.key
                }
        found.append(told)
    return found


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights & Biases without a network."""
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_PROJECT", "mine")


@pytest.mark.slow
def test_weights_and_biases_is_told_what_the_folder_is(
    command: Command, options: list[object], offline: None
) -> None:
    told = [*options, "--discriminator", "none"]
    for name, more in (("with", ["--tracker", "wandb"]), ("without", [])):
        result = command("retrain", *told, *more, "--run-dir", name)
        assert result.code == 0, result
    assert command("evaluate", "with").code == 0
    training, *later = kept(Path("with"))
    assert {each["id"] for each in later} == {training["id"]}
    assert (training["project"], training["config"]["backbone"]) == ("mine", "unet?width=2&depth=1")
    assert training["config"]["training.epochs"] == 2
    lines = [json.loads(line) for line in Path("with/metrics.jsonl").read_text().splitlines()]
    epochs = [each for each in training["history"] if "epoch/mean_iou" in each]
    assert [each["epoch/mean_iou"] for each in epochs] == [line["mean_iou"] for line in lines]
    assert [each["_step"] for each in epochs] == [line["step"] for line in lines]
    assert sum("step/segmenter_loss" in each for each in training["history"]) == 4
    assert any("cases" in each for each in training["history"])
    scores = json.loads(Path("with/evaluation/test/scores.json").read_text())
    assert later[-1]["summary"]["test/mean_iou"] == scores["pooled"]["iou"]["mean"]
    without = [json.loads(line) for line in Path("without/metrics.jsonl").read_text().splitlines()]
    assert not Path("without/wandb").exists()
    assert [each | {"seconds": 0} for each in lines] == [each | {"seconds": 0} for each in without]


def test_without_the_library_it_is_said_what_to_install(
    command: Command, options: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    result = command(
        "retrain", *options, "--discriminator", "none", "--tracker", "wandb", "--run-dir", "a"
    )
    result.refused(2, "pip install 'discriminator-nas[wandb]'")
    assert not Path("a/metrics.jsonl").exists()


def test_without_a_login_it_is_said_what_to_do(
    command: Command, options: list[object], offline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    def refuse(**settings: object) -> None:
        raise wandb.errors.UsageError("api_key not configured (no-tty).\nmore")

    monkeypatch.setattr(wandb, "init", refuse)
    result = command(
        "retrain", *options, "--discriminator", "none", "--tracker", "wandb", "--run-dir", "a"
    )
    result.refused(2, "(api_key not configured (no-tty))", "WANDB_MODE=offline")


def test_every_run_has_a_row_in_the_table(copied: Callable[[str], Path]) -> None:
    for name in ("search", "retrain"):
        assert len(list(copied(name).glob("tensorboard/*.hparams"))) == 1
