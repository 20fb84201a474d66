"""Evaluation of a run whose segmenter's answers are known."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from nas.data.cases import UNKNOWN, Case
from nas.errors import DataError, RunError
from nas.evaluate import Evaluated, evaluate, load_segmenter
from nas.metrics.objects import score_objects, tally_objects
from nas.metrics.surface import hd95
from nas.networks import build_segmenter
from nas.predict import TrainedSegmenter, predict_mask
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


@dataclass(frozen=True)
class Whole:
    """A reader of discs that knows of fields of view, objects and unknown pixels."""

    reader: Any
    view: np.ndarray | None = None
    objects: bool = False
    unknown: np.ndarray | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reader, name)

    def read_mask(self, case: Case) -> np.ndarray:
        mask = self.reader.read_mask(case)
        return mask if self.unknown is None else np.where(self.unknown, UNKNOWN, mask)

    def read_field_of_view(self, case: Case) -> np.ndarray | None:
        return self.view

    def read_instances(self, case: Case) -> np.ndarray | None:
        return 5 * self.reader.read_mask(case).astype(np.int32) if self.objects else None


def evaluated(folder: RunFolder, data: Data, subset: str = "test", **options: Any) -> Evaluated:
    if not isinstance(data.reader, Whole):
        data = replace(data, reader=Whole(data.reader))
    with patch("nas.evaluate.open_data", return_value=data):
        return evaluate(folder, subset, "cpu", **options)  # type: ignore[arg-type]


def test_scores_are_those_of_the_answers(run: RunFolder, discs: Callable[..., Data]) -> None:
    data = discs(test=3)
    scores, _, out = evaluated(run, data)
    masks = [data.reader.read_mask(case) for case in data.reader.cases[-3:]]
    share = float(np.mean(masks))
    assert scores.pooled.iou.per_class == pytest.approx((0.0, share))
    assert scores.images == 3

    written = json.loads((out / "scores.json").read_text())
    assert written["pooled"]["iou"]["per_class"] == pytest.approx([0.0, share])
    rows = list(csv.DictReader((out / "cases.csv").open()))
    assert [row["case"] for row in rows] == list(data.split.test)
    for row, mask in zip(rows, masks, strict=True):
        assert float(row["iou disc"]) == pytest.approx(mask.mean(), abs=1e-6)
        assert float(row["pixel_accuracy"]) == pytest.approx(mask.mean(), abs=1e-6)
        assert float(row["mean_iou"]) == pytest.approx(mask.mean() / 2, abs=1e-6)
    assert Image.open(out / "cases.png").size[0] > 3 * 32


@pytest.mark.parametrize("subset", ["train", "val", "test"])
def test_each_subset_has_its_folder(
    run: RunFolder, discs: Callable[..., Data], subset: str
) -> None:
    data = discs(train=3, val=1, test=2)
    out = evaluated(run, data, subset).out
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


def test_only_the_field_of_view_counts(run: RunFolder, discs: Callable[..., Data]) -> None:
    """The view is the left half, of which the first rows are unknown besides."""
    data = discs(test=3)
    view, unknown = np.zeros((32, 32), bool), np.zeros((32, 32), bool)
    view[:, :16] = True
    unknown[:5] = True
    masks = [data.reader.read_mask(case)[5:, :16] for case in data.reader.cases[-3:]]
    limited = replace(data, reader=Whole(data.reader, view=view, unknown=unknown))
    scores, areas, out = evaluated(run, limited, curves=True)
    share = float(np.mean(masks))
    assert scores.pooled.iou.per_class == pytest.approx((0.0, share))
    assert scores.ece == pytest.approx(math.e / (1 + math.e) - share, abs=1e-6)
    assert areas is not None
    assert areas["disc"].average_precision == pytest.approx(share)
    assert areas["disc"].roc_auc == 0.5
    written = json.loads((out / "summary.json").read_text())["metric_per_case"]
    counts = [case["metrics"]["1"] for case in written]
    assert [each["n_ref"] for each in counts] == [int(mask.sum()) for mask in masks]
    assert {each["TN"] + each["FP"] + each["FN"] + each["TP"] for each in counts} == {27 * 16}


def test_nothing_that_counts_is_said(run: RunFolder, discs: Callable[..., Data]) -> None:
    data = discs()
    blind = replace(data, reader=Whole(data.reader, view=np.zeros((32, 32), bool)))
    with pytest.raises(DataError, match="No pixel of the test images"):
        evaluated(run, blind)
    assert not (run.path / "evaluation").exists()


def test_distances_objects_and_intervals(run: RunFolder, discs: Callable[..., Data]) -> None:
    """All of the image is predicted as one object; the true one is the disc."""
    data = discs(test=4)
    groups = {"case6": "a", "case7": "a", "case8": "b", "case9": None}
    cases = tuple(replace(case, group=groups.get(case.id)) for case in data.reader.cases)
    reader = replace(data.reader, cases=cases)  # type: ignore[type-var]
    scores, _, out = evaluated(run, replace(data, reader=Whole(reader, objects=True)))
    masks = [reader.read_mask(case) for case in cases[-4:]]
    everywhere = np.ones((32, 32), int)
    distances = [hd95(everywhere, mask) for mask in masks]
    assert scores.surface.hd95.per_class[1] == pytest.approx(np.mean(distances))
    assert scores.surface.missed == (4, 0)
    assert scores.intervals.units == 3
    interval = scores.intervals.pooled.iou.per_class[1]
    assert interval is not None
    assert min(m.mean() for m in masks) <= interval.low <= np.mean(masks) <= interval.high
    assert scores.objects == score_objects([tally_objects(everywhere, mask) for mask in masks])
    rows = list(csv.DictReader((out / "cases.csv").open()))
    assert [row["group"] for row in rows] == ["a", "a", "b", ""]
    assert [float(row["hd95 disc"]) for row in rows] == pytest.approx(distances, abs=1e-6)
    shares = [1 / (1 + 1024 / mask.sum()) * 2 for mask in masks]
    assert [float(row["objects object_dice"]) for row in rows] == pytest.approx(shares, abs=1e-6)
    written = json.loads((out / "scores.json").read_text())
    assert written["objects"]["counts"]["true_objects"] == 4
    assert written["intervals"]["pooled"]["iou"]["per_class"][1] == list(interval)
    assert written["size"] == [32, 32]
    assert (
        evaluated(
            run, replace(data, reader=Whole(reader, objects=True)), objects="none"
        ).scores.objects
        is None
    )


@dataclass(frozen=True)
class Sizes:
    """Discs of which every second is stored at twice the size, the others at once and a half."""

    reader: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reader, name)

    def rows(self, case: Case) -> np.ndarray:
        size = 64 if int(str(case.image)) % 2 else 48
        return np.arange(size) * 32 // size

    def read_image(self, case: Case) -> np.ndarray:
        rows = self.rows(case)
        return self.reader.read_image(case)[:, rows][:, :, rows]

    def read_mask(self, case: Case) -> np.ndarray:
        rows = self.rows(case)
        return self.reader.read_mask(case)[rows][:, rows]


def test_at_stored_size_it_scores_the_masks_that_prediction_writes(
    run: RunFolder, discs: Callable[..., Data]
) -> None:
    torch.manual_seed(3)
    network = build_segmenter(BACKBONE, 1, 2).eval()
    run.save_checkpoint("segmenter", "segmenter", {"weights": network.state_dict(), "epoch": 1})
    data = discs(test=4)
    data = replace(data, reader=Sizes(data.reader))
    scores, areas, out = evaluated(run, data, at="stored", curves=True)
    assert out == run.path / "evaluation" / "test_stored"
    assert (scores.at, scores.size) == ("stored", None)
    trained = TrainedSegmenter(network, 1, torch.device("cpu"))
    hits = pixels = 0
    rows = list(csv.DictReader((out / "cases.csv").open()))
    for case, row in zip(data.reader.cases[-4:], rows, strict=True):
        mask = data.reader.read_mask(case)
        predicted = predict_mask(trained, data.reader.read_image(case), (32, 32))
        assert (int(row["height"]), int(row["width"])) == mask.shape
        assert float(row["pixel_accuracy"]) == pytest.approx((predicted == mask).mean(), abs=1e-6)
        hits, pixels = hits + (predicted == mask).sum(), pixels + mask.size
    assert {row["height"] for row in rows} == {"48", "64"}
    assert scores.pooled.pixel_accuracy == pytest.approx(hits / pixels)
    assert areas is not None
    assert (out / "roc.png").stat().st_size > 1000
    at_network = evaluated(run, data)
    assert at_network.out == run.path / "evaluation" / "test"
    assert (at_network.scores.at, at_network.scores.size) == ("network", (32, 32))
    assert at_network.scores.pooled.pixel_accuracy != scores.pooled.pixel_accuracy


def test_an_image_and_a_mask_of_other_sizes_are_said(
    run: RunFolder, discs: Callable[..., Data]
) -> None:
    data = discs()
    reader = Whole(data.reader)
    with (
        patch.object(Whole, "read_mask", lambda self, case: np.zeros((32, 31), np.uint8)),
        pytest.raises(DataError, match="image of case6 is 32x32 and its mask 32x31"),
    ):
        evaluated(run, replace(data, reader=reader))


def test_a_segmenter_without_numbers_is_said(run: RunFolder, discs: Callable[..., Data]) -> None:
    weights = {name: weight * math.nan for name, weight in always(1).state_dict().items()}
    run.save_checkpoint("segmenter", "segmenter", {"weights": weights, "epoch": 7})
    with pytest.raises(RunError, match="epoch 7 answers case6"):
        evaluated(run, discs())


def test_progress_is_told(run: RunFolder, discs: Callable[..., Data]) -> None:
    told: list[tuple[int, int]] = []
    evaluated(run, discs(test=3), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
