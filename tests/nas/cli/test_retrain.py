"""nas-retrain: damaged runs, changed data and missing genotypes; nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nas.runs import CHECKPOINT_FORMAT, RunFolder

Command = Callable[..., Any]
HEADER = {"format": CHECKPOINT_FORMAT, "version": 1, "kind": "retrain"}


def test_a_retraining_leaves_a_segmenter_and_the_next_command(
    command: Command, options: list[object]
) -> None:
    result = command("retrain", *options, "--discriminator", "none", "--run-dir", "my run")
    assert result.code == 0, result
    assert "Next: nas-evaluate 'my run'" in result.out
    folder = RunFolder.open(Path("my run"), "retrain")
    assert folder.load_checkpoint("segmenter", "segmenter")["epoch"] in (1, 2)
    assert "remaining 0 s" in result.out


@pytest.mark.parametrize(("val", "subset"), [(["case4"], "val"), ([], "train")])
def test_the_next_command_scores_images_that_there_are(
    command: Command, options: list[object], tmp_path: Path, val: list[str], subset: str
) -> None:
    split = tmp_path / "split.json"
    train = ["case1", "case2", "case3"]
    split.write_text(json.dumps({"train": train, "val": val, "test": []}))
    counts = {"--train-images", "--val-images"}
    kept = [
        each
        for place, each in enumerate(options)
        if each not in counts and (place == 0 or options[place - 1] not in counts)
    ]
    result = command("retrain", *kept, "--split", split, "--discriminator", "none")
    assert result.code == 0, result
    (line,) = (each for each in result.out.splitlines() if each.startswith("Next: "))
    assert line.endswith(f" --split {subset}")
    assert command(*line.removeprefix("Next: nas-").split()).code == 0


@pytest.mark.parametrize(
    ("extra", "code", "words"),
    [
        ((), 2, "Say what to train against"),
        (("--discriminator", "none", "--genotype", "g.json"), 2, "not both"),
        (("--genotype", "missing.json"), 4, "missing.json"),
        (("--discriminator", "resnet11"), 2, "There is no discriminator 'resnet11'"),
        (("--discriminator", "resnet10?widt=3"), 2, "has no option 'widt'"),
        (("--discriminator", "GENOTYPE?channels=0"), 2, "cannot be built"),
        (("--discriminator", "GENOTYPE?layout=RRRRRR", "--batch-size", 1), 2, "less deep"),
        (("--genotype", "TRUNCATED"), 4, "truncated"),
        (("--genotype", "FOREIGN"), 4, "not a genotype"),
        (("--discriminator", "none", "--run-dir", "/proc/nowhere"), 4, "Cannot write"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    command: Command,
    options: list[object],
    finished: Path,
    extra: tuple[object, ...],
    code: int,
    words: str,
) -> None:
    genotype = (finished / "genotype.json").read_text()
    Path("truncated.json").write_text(genotype[:200])
    Path("foreign.json").write_text('{"nodes": []}')
    files = {"GENOTYPE": finished / "genotype.json"}
    files |= {"TRUNCATED": Path("truncated.json"), "FOREIGN": Path("foreign.json")}
    words_given = [str(each) for each in extra]
    for name, path in files.items():
        words_given = [each.replace(name, str(path)) for each in words_given]
    command("retrain", *options, "--run-dir", "run", *words_given).refused(code, words)
    assert not Path("run").exists()


class Bomb:
    """Unpickled carelessly, it makes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch exploded",)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, path)


def bomb(path: Path) -> None:
    torch.save({**HEADER, "state": {"stage": Bomb()}}, path)


def hollow(path: Path) -> None:
    torch.save({**HEADER, "state": {}}, path)


def other_network(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    content["state"]["stage"]["segmenter"].popitem()
    torch.save(content, path)


def garbage(path: Path) -> None:
    path.write_bytes(b"\xff garbage\n")


@pytest.mark.parametrize(
    ("name", "damage", "code", "words"),
    [
        ("checkpoints/last.pt", cut, 4, "is damaged or is no checkpoint"),
        ("checkpoints/last.pt", empty, 4, "is damaged or is no checkpoint"),
        ("checkpoints/last.pt", garbage, 4, "is damaged or is no checkpoint"),
        ("checkpoints/last.pt", foreign, 4, "not a checkpoint of this toolkit"),
        ("checkpoints/last.pt", bomb, 4, "is damaged or is no checkpoint"),
        ("checkpoints/last.pt", hollow, 4, "does not fit the settings"),
        ("checkpoints/last.pt", other_network, 4, "does not fit the settings"),
        ("metrics.jsonl", garbage, 4, "metrics.jsonl cannot be read"),
        ("settings.toml", garbage, 4, "settings of the run are damaged"),
        ("run.json", garbage, 4, "run.json cannot be read"),
        ("split.json", garbage, 3, "split.json is not a split"),
        ("checkpoints/discriminator.json", garbage, 4, "discriminator.json"),
    ],
)
def test_a_damaged_run_is_refused_and_the_rest_is_kept(
    command: Command,
    copied: Callable[[str], Path],
    name: str,
    damage: Callable[[Path], None],
    code: int,
    words: str,
) -> None:
    path = copied("retrain")
    damage(path / name)
    before = {each: each.read_bytes() for each in path.rglob("*") if each.is_file()}
    command("retrain", "--run-dir", path, "--resume").refused(code, words)
    assert not Path("exploded").exists()
    after = {each: each.read_bytes() for each in path.rglob("*") if each.is_file()}
    assert {each: after[each] for each in before} == before


def on_copied_data(finished: Path, run: Path, data: Path) -> None:
    """Let a copied run read copied data."""
    shutil.copytree(finished / "data", data)
    settings = run / "settings.toml"
    settings.write_text(settings.read_text().replace(str(finished / "data"), str(data)))


def remove_case(data: Path) -> None:
    for path in data.glob("*/case*.png"):
        if path.stem in ("case1", "case2", "case3"):
            path.unlink()


def invert_images(data: Path) -> None:
    for path in (data / "images").iterdir():
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)


def add_class(data: Path) -> None:
    for path in (data / "masks").iterdir():
        mask = np.array(Image.open(path))
        mask[0, 0] = 2
        Image.fromarray(mask).save(path)


def add_colour(data: Path) -> None:
    for path in (data / "images").iterdir():
        Image.open(path).convert("RGB").save(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (remove_case, "The data has no case"),
        (invert_images, "has another image or mask"),
        (add_class, "classes was"),
        (add_colour, "channels was 1 and is 3"),
        (shutil.rmtree, "There is no folder"),
    ],
)
def test_data_that_changed_is_refused(
    command: Command,
    copied: Callable[[str], Path],
    finished: Path,
    tmp_path: Path,
    change: Callable[[Path], None],
    words: str,
) -> None:
    path, data = copied("retrain"), tmp_path / "moved"
    on_copied_data(finished, path, data)
    assert command("retrain", "--run-dir", path, "--resume").code == 0
    change(data)
    command("retrain", "--run-dir", path, "--resume").refused(3, words)


def test_the_genotype_may_be_gone_on_resuming(
    command: Command, options: list[object], finished: Path
) -> None:
    shutil.copy(finished / "genotype.json", "mine.json")
    arguments = (*options, "--genotype", "mine.json", "--run-dir", "run")
    assert command("retrain", *arguments).code == 0
    Path("mine.json").unlink()
    RunFolder(Path("run")).checkpoint("last").unlink()
    assert command("retrain", "--run-dir", "run", "--resume").code == 0
