"""Evaluation of a retrained segmenter on one subset of its own split."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import nn

from nas import pictures
from nas.data.batches import Samples
from nas.data.cases import Subset
from nas.devices import resolve_device
from nas.errors import DataError, RunError
from nas.illustration import case_row
from nas.metrics.semantic import Counts, Scores, dice, iou, mean_defined, pixel_accuracy, score
from nas.networks import build_segmenter
from nas.own_genotypes import with_own_genotypes
from nas.preparation import Data, open_data
from nas.runs import RunFolder, atomic_write, unwritable
from nas.scoring import case_confusions, predictions
from nas.settings import RetrainSettings
from nas.standardised import Standardised

SHOWN_OF_EACH = 2


@dataclass(frozen=True)
class TrainedSegmenter:
    """A segmenter as a retraining left it, ready for use.

    Attributes:
        network: in evaluation mode, on ``device``.
        epoch: the epoch it was kept from.
    """

    network: nn.Module
    epoch: int
    device: torch.device


def load_segmenter(
    settings: RetrainSettings, folder: RunFolder, channels: int, classes: int, device_name: str
) -> TrainedSegmenter:
    """The segmenter that a retraining kept.

    Raises:
        RunError: there is no checkpoint, it is damaged, or it does not fit the settings.
    """
    device = resolve_device(device_name)
    state = folder.load_checkpoint("segmenter", "segmenter")
    with torch.random.fork_rng(devices=[]):
        backbone = with_own_genotypes(settings, folder).backbone
        network = build_segmenter(backbone, channels, classes)
    if settings.data.standardise != "none":
        network = Standardised(network, torch.zeros(channels), torch.ones(channels))
    try:
        network.load_state_dict(state["weights"])
        epoch = int(state["epoch"])
    except (RuntimeError, KeyError, TypeError) as error:
        raise RunError(
            f"{folder.checkpoint('segmenter')} does not hold the weights of {settings.backbone} "
            f"for {channels} channels and {classes} classes, as the run's settings say."
        ) from error
    return TrainedSegmenter(network.to(device).eval(), epoch, device)


def evaluate(folder: RunFolder, subset: Subset, device: str) -> tuple[Scores, Path]:
    """Score the segmenter of a run on a subset of its split; write tables and pictures.

    The scores are at the size of the settings. Written below evaluation/SUBSET in the folder:
    scores.json, cases.csv, cases.png (best, median and worst cases by mean IoU).

    Returns:
        The scores, and the folder they were written to.

    Raises:
        DataError: the subset is empty.
        RunError: the run is not usable, or the results cannot be written.
    """
    data, segmenter, samples = opened(folder, subset, device)
    ids = data.split.subset(subset)
    confusions = case_confusions(segmenter.network, samples, len(data.classes))
    scores = score(confusions, data.classes)
    out = folder.path / "evaluation" / subset
    with atomic_write(out / "scores.json") as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(scores), indent=2))
    with atomic_write(out / "cases.csv") as stream:
        stream.write(case_table(ids, confusions, data.classes).encode())
    _write_sheet(segmenter.network, data, subset, confusions, out / "cases.png", segmenter.device)
    return scores, out


def opened(
    folder: RunFolder, subset: Subset, device: str
) -> tuple[Data, TrainedSegmenter, Samples]:
    """The data of a run, the segmenter that it kept, and the cases of a subset.

    Raises:
        DataError: the subset is empty.
        RunError: the run is not usable.
    """
    settings = folder.read_settings(RetrainSettings)
    data = open_data(settings.data, folder)
    if not data.split.subset(subset):
        raise DataError(
            f"The split of {folder.path} has no {subset} images; evaluate another --split."
        )
    segmenter = load_segmenter(settings, folder, data.reader.channels, len(data.classes), device)
    return data, segmenter, data.samples(subset, segmenter.device)


def case_table(ids: tuple[str, ...], confusions: Counts, classes: tuple[str, ...]) -> str:
    """CSV with a row per case: mean IoU, pixel accuracy, IoU and Dice of every class.

    A score that is undefined, because the class is in neither truth nor prediction, is empty.
    """
    ious, dices = iou(confusions), dice(confusions)
    columns = {
        "mean_iou": mean_defined(ious),
        "pixel_accuracy": pixel_accuracy(confusions),
        **{f"iou {name}": ious[:, index] for index, name in enumerate(classes)},
        **{f"dice {name}": dices[:, index] for index, name in enumerate(classes)},
    }
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", *columns])
    for row, name in enumerate(ids):
        values = [column[row] for column in columns.values()]
        writer.writerow([name, *("" if np.isnan(value) else f"{value:.6f}" for value in values)])
    return text.getvalue()


def _write_sheet(
    network: nn.Module,
    data: Data,
    subset: Subset,
    confusions: Counts,
    path: Path,
    device: torch.device,
) -> None:
    ids = data.split.subset(subset)
    chosen = pictures.best_median_worst(mean_defined(iou(confusions)).tolist(), SHOWN_OF_EACH)
    names = {ids[index]: kind for kind, index in chosen}
    rows = []
    for batch, found in predictions(network, data.samples(subset, device), list(names), 1):
        image, truth = batch.images[0].cpu().numpy(), batch.labels[0].cpu().numpy()
        title = f"{names[batch.ids[0]]}: {batch.ids[0]}"
        rows.append(case_row(title, image, truth, found[0].cpu().numpy(), len(data.classes)))
    try:
        pictures.write_png(pictures.sheet(rows, data.classes), path)
    except OSError as error:
        raise unwritable(path, error) from error
