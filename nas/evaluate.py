"""Evaluation of a retrained segmenter on one subset of its own split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from nas.areas import Areas, class_areas
from nas.case_scores import CaseScores, score_case
from nas.data.batches import resize_image
from nas.data.cases import Case, Subset
from nas.devices import resolve_device
from nas.errors import DataError, RunError
from nas.evaluation_files import Shown, write_curves, write_scores, write_sheet
from nas.ground_truth import GroundTruth, check_sizes, truth_of
from nas.metrics.calibration import expected_calibration_error
from nas.metrics.intervals import LEVEL
from nas.metrics.objects import ObjectScores, score_objects
from nas.metrics.score_intervals import ScoreIntervals, score_intervals
from nas.metrics.semantic import Scores, iou, mean_defined, score
from nas.metrics.surface import SurfaceSummary, score_surfaces
from nas.networks import build_segmenter
from nas.own_genotypes import with_own_genotypes
from nas.pictures import best_median_worst
from nas.preparation import Data, open_data
from nas.runs import RunFolder
from nas.settings import RetrainSettings
from nas.standardised import Standardised

BOOTSTRAP_SEED = 0
"""The same for all evaluations, so that the same images are drawn for two methods."""

At = Literal["network", "stored"]
"""Size at which prediction and truth are compared: that of the network, or each image's own."""
Objects = Literal["auto", "none"]
"""Whether objects are compared: where the data tells them apart, or never."""

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


class Evaluation(Scores, frozen=True, kw_only=True):
    """The scores of a subset, with everything else that is measured on it.

    Attributes:
        at: size at which prediction and truth were compared.
        size: (height, width) in pixels, the network's; None where each image has its own.
        epoch: that the segmenter was kept from.
        intervals: of the scores and the distances.
        surface: distances in pixels of the size compared at.
        objects: None where objects are not told apart, or were not asked for.
        ece: expected calibration error of all pixels that count, in [0, 1].
    """

    at: At
    size: tuple[int, int] | None
    epoch: int
    intervals: ScoreIntervals
    surface: SurfaceSummary
    objects: ObjectScores | None
    ece: float


class Evaluated(NamedTuple):
    """What an evaluation found, and where it was written."""

    scores: Evaluation
    areas: dict[str, Areas] | None
    """By the name of each foreground class; None where they were not asked for."""
    out: Path


def evaluate(
    folder: RunFolder,
    subset: Subset,
    device: str,
    at: At = "network",
    objects: Objects = "auto",
    curves: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluated:
    """Score the segmenter of a run on a subset of its split; write tables and pictures.

    Only pixels count whose class is known and that are inside the field of view, where there is
    one. At the stored size, the logits are brought there by bilinear interpolation before the class
    is chosen, as `nas.predict` does, and compared with the mask as it is stored.

    Written below evaluation/SUBSET in the folder, or evaluation/SUBSET_stored at stored size:
    scores.json, cases.csv, summary.json (nnU-Net's form), cases.png (best, median and worst cases
    by mean IoU), and with curves areas.json and roc.png.

    Args:
        folder: of the run.
        subset: of its split.
        device: where the segmenter computes.
        at: size at which prediction and truth are compared.
        objects: whether to compare objects.
        curves: whether to compute the areas under the curves.
        progress: called with (cases scored so far, cases in all).

    Raises:
        DataError: the subset is empty, a file of it cannot be read, or no pixel of it counts.
        RunError: the run is not usable, or the results cannot be written.
    """
    data, segmenter = opened(folder, subset, device)
    bench = Bench(data, segmenter, at)
    found = []
    for case in bench.cases(data.split.subset(subset)):
        compared = bench.compare(case)
        found.append(score_case(case, compared.logits, compared.truth, objects == "auto", curves))
        if progress is not None:
            progress(len(found), len(data.split.subset(subset)))
    if not any(each.confusion.any() for each in found):
        raise DataError(
            f"No pixel of the {subset} images of {folder.path} counts: everywhere the class is "
            "unknown, or it is outside the field of view; check the data by nas-data check."
        )
    scores = summarise(found, data, at, segmenter.epoch)
    out = folder.path / "evaluation" / (subset if at == "network" else f"{subset}_stored")
    write_scores(scores, found, data.classes, out)
    areas = _areas(found, data.classes, out) if curves else None
    write_sheet(list(_extremes(bench, found)), data.classes, out / "cases.png")
    return Evaluated(scores, areas, out)


def opened(folder: RunFolder, subset: Subset, device: str) -> tuple[Data, TrainedSegmenter]:
    """The data of a run, and the segmenter that it kept.

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
    return data, load_segmenter(settings, folder, data.reader.channels, len(data.classes), device)


class Compared(NamedTuple):
    """Image (C, H, W) in [0, 1], logits (K, H, W) and truth of one case at one size."""

    image: Tensor
    logits: Tensor
    truth: GroundTruth


@dataclass(frozen=True)
class Bench:
    """A segmenter on the cases of its data, one at a time, so that they may differ in size."""

    data: Data
    segmenter: TrainedSegmenter
    at: At

    def cases(self, ids: Sequence[str]) -> Iterator[Case]:
        """The cases with these ids, in their order."""
        known = {case.id: case for case in self.data.reader.cases}
        return (known[name] for name in ids)

    @torch.no_grad()
    def compare(self, case: Case) -> Compared:
        """The segmenter on a case.

        Raises:
            DataError: a file cannot be read, or image and mask differ in size.
            RunError: the segmenter answers with values that are no numbers.
        """
        image = self.data.reader.read_image(case)
        truth = truth_of(self.data.reader, case)
        check_sizes(case, "image", image.shape[1:], "mask", truth.labels.shape)
        seen = resize_image(image, self.data.size)
        logits = self.segmenter.network(seen[None].to(self.segmenter.device))
        if not logits.isfinite().all():
            raise RunError(
                f"The segmenter kept from epoch {self.segmenter.epoch} answers {case.id} with "
                "values that are no finite numbers, so it cannot be scored: retrain it, with a "
                "lower learning rate."
            )
        if self.at == "network":
            return Compared(seen, logits[0], truth.at(self.data.size))
        full = interpolate(logits, size=image.shape[1:], mode="bilinear", align_corners=False)
        return Compared(torch.from_numpy(image), full[0], truth)


def summarise(found: Sequence[CaseScores], data: Data, at: At, epoch: int) -> Evaluation:
    """The scores of a set of cases, one or more."""
    confusions = np.stack([each.confusion for each in found])
    surfaces = [each.surface for each in found]
    groups = [each.case.group for each in found]
    tallies = [each.objects for each in found if each.objects is not None]
    scores = score(confusions, data.classes)
    bins = np.sum([each.calibration for each in found], axis=0)
    return Evaluation(
        classes=scores.classes,
        images=scores.images,
        pooled=scores.pooled,
        per_image=scores.per_image,
        at=at,
        size=data.size if at == "network" else None,
        epoch=epoch,
        intervals=score_intervals(confusions, surfaces, groups, BOOTSTRAP_SEED, level=LEVEL),
        surface=score_surfaces(surfaces, data.classes),
        objects=score_objects(tallies) if tallies else None,
        ece=float(expected_calibration_error(bins)),
    )


def _areas(found: Sequence[CaseScores], classes: Sequence[str], out: Path) -> dict[str, Areas]:
    of_classes = zip(*(each.thresholds for each in found), strict=True)
    thresholds = dict(zip(classes[1:], of_classes, strict=True))
    areas = {name: class_areas(images) for name, images in thresholds.items()}
    write_curves(areas, thresholds, out)
    return areas


def _extremes(bench: Bench, found: Sequence[CaseScores]) -> Iterator[Shown]:
    """The cases with the best, median and worst mean IoU, seen once more."""
    values = [float(mean_defined(iou(each.confusion))) for each in found]
    for kind, index in best_median_worst(values, SHOWN_OF_EACH):
        case = found[index].case
        image, logits, truth = bench.compare(case)
        prediction = logits.argmax(dim=0).cpu().numpy()
        yield Shown(f"{kind}: {case.id}", image.numpy(), truth.labels, prediction)
