"""Evaluation of a run whose segmenter's answers are known."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from nas.errors import DataError, RunError
from nas.evaluate import case_table, evaluate, load_segmenter
from nas.networks import build_segmenter
from nas.preparation import Data
from nas.runs import RunFolder
from nas.settings import AdversarySettings, RetrainSettings

BACKBONE = "unet?width=2&depth=1"
SETTINGS = RetrainSettings(backbone=BACKBONE, adversary=AdversarySettings(discriminator="none"))


@pytest.fixture
def run(tmp_path: Path, discs: Callable[..., Data]) -> RunFolder:
    """A run whose segmenter says class 1 everywhere, on discs."""
    folder = RunFolder(tmp_path / "run")
    folder.begin("retrain", SETTINGS)
    network = always(1)
    state = {"weights": network.state_dict(), "epoch": 3}
    folder.save_checkpoint("segmenter", "segmenter", state)
    return folder


def always(chosen: int) -> nn.Module:
    """A U-Net whose last layer is all bias."""
    network = build_segmenter(BACKBONE, 1, 2)
    last = [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([float(chosen == 0), float(chosen == 1)]))  # type: ignore[union-attr]
    return network


def evaluated(folder: RunFolder, data: Data, subset: str = "test") -> tuple[object, Path]:
    with patch("nas.evaluate.open_data", return_value=data):
        return evaluate(folder, subset, "cpu")  # type: ignore[arg-type]


def test_scores_are_those_of_the_answers(run: RunFolder, discs: Callable[..., Data]) -> None:
    data = discs(test=3)
    scores, out = evaluated(run, data)
    masks = [data.reader.read_mask(case) for case in data.reader.cases[-3:]]
    share = float(np.mean(masks))
    assert scores.pooled.iou.per_class == pytest.approx((0.0, share))  # type: ignore[attr-defined]
    assert scores.images == 3  # type: ignore[attr-defined]

    written = json.loads((out / "scores.json").read_text())
    assert written["pooled"]["iou"]["per_class"] == pytest.approx([0.0, share])
    rows = list(csv.DictReader((out / "cases.csv").open()))
    assert [row["case"] for row in rows] == list(data.split.test)
    for row, mask in zip(rows, masks, strict=True):
        assert float(row["iou class 1"] if "iou class 1" in row else row["iou disc"]) == (
            pytest.approx(mask.mean(), abs=1e-6)
        )
        assert float(row["pixel_accuracy"]) == pytest.approx(mask.mean(), abs=1e-6)
        assert float(row["mean_iou"]) == pytest.approx(mask.mean() / 2, abs=1e-6)
    assert Image.open(out / "cases.png").size[0] > 3 * 32


@pytest.mark.parametrize("subset", ["train", "val", "test"])
def test_each_subset_has_its_folder(
    run: RunFolder, discs: Callable[..., Data], subset: str
) -> None:
    data = discs(train=3, val=1, test=2)
    _, out = evaluated(run, data, subset)
    assert out == run.path / "evaluation" / subset
    cases = [row["case"] for row in csv.DictReader((out / "cases.csv").open())]
    assert tuple(cases) == getattr(data.split, subset)


def test_an_empty_subset_is_said(run: RunFolder, discs: Callable[..., Data]) -> None:
    with pytest.raises(DataError, match="no val images"):
        evaluated(run, discs(val=0), "val")
    assert not (run.path / "evaluation").exists()


def test_the_segmenter_is_the_kept_one_ready_for_use(run: RunFolder) -> None:
    random = torch.get_rng_state()
    segmenter = load_segmenter(SETTINGS, run, 1, 2, "cpu")
    assert torch.equal(torch.get_rng_state(), random)
    assert segmenter.epoch == 3
    assert not segmenter.network.training
    assert (segmenter.network(torch.rand(1, 1, 32, 32)).argmax(1) == 1).all()


@pytest.mark.parametrize(("channels", "classes"), [(3, 2), (1, 3)])
def test_weights_that_do_not_fit_are_refused(run: RunFolder, channels: int, classes: int) -> None:
    with pytest.raises(RunError, match=f"{channels} channels and {classes} classes"):
        load_segmenter(SETTINGS, run, channels, classes, "cpu")


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"weights": 3, "epoch": 1},
        {"weights": {}, "epoch": 1},
        {"weights": always(1).state_dict()},
    ],
)
def test_foreign_states_are_refused(run: RunFolder, state: dict[str, object]) -> None:
    run.save_checkpoint("segmenter", "segmenter", state)
    with pytest.raises(RunError, match="does not hold the weights"):
        load_segmenter(SETTINGS, run, 1, 2, "cpu")


def test_results_that_cannot_be_written_are_said(
    run: RunFolder, discs: Callable[..., Data]
) -> None:
    (run.path / "evaluation").write_text("a file")
    with pytest.raises(RunError, match="Cannot write"):
        evaluated(run, discs())
    (run.path / "evaluation").unlink()
    (run.path / "evaluation" / "test" / "cases.png").mkdir(parents=True)
    with pytest.raises(RunError, match=r"Cannot write .*cases\.png"):
        evaluated(run, discs())
    shutil.rmtree(run.path / "evaluation")


def test_the_table_leaves_out_what_is_undefined() -> None:
    """Case a: 3 of 4 background pixels found, no object anywhere. Case b: all is right."""
    confusions = np.array([[[3, 1], [0, 0]], [[4, 0], [0, 0]]])
    text = case_table(("a", "b"), confusions, ("background", "cell"))
    header, first, second = csv.reader(text.splitlines())
    assert header == [
        *("case", "mean_iou", "pixel_accuracy"),
        *("iou background", "iou cell", "dice background", "dice cell"),
    ]
    assert first[:4] == ["a", "0.375000", "0.750000", "0.750000"]
    assert first[4] == "0.000000"
    assert second == ["b", "1.000000", "1.000000", "1.000000", "", "1.000000", ""]
