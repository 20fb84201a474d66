"""The pictures of a run while it runs: cases, cells, probabilities, curves.

What draws figures and graphs is imported by the first drawing, not before the first step.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from PIL import Image
from torch import nn

from nas import pictures
from nas.data.batches import Samples
from nas.data.cases import UNKNOWN
from nas.metrics.semantic import confusion_matrix, iou, mean_defined
from nas.runs import RunFolder, unwritable
from nas.scoring import predictions
from nas.time_share import TimeShare
from nas.tracking import Tracker
from search_spaces import genotypes
from search_spaces.cell_genotype import CellKind, Relaxation
from search_spaces.description import Role
from search_spaces.parametric_genotypes import Choices

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nas.retrain import RetrainStage
    from nas.search import SearchStage

SHOWN_CASES = 4
DRAWINGS_PER_RUN = 20

SHARE_OF_TIME = 0.005
"""Of a run, that its pictures take, besides those of the first epoch and the last."""


def is_drawn(epoch: int, epochs: int) -> bool:
    """Whether an epoch (from 0) gets pictures: the first, the last, and about 20 in all."""
    every = max(1, epochs // DRAWINGS_PER_RUN)
    return epoch in (0, epochs - 1) or (epoch + 1) % every == 0


class Pace:
    """How often a run is drawn: as `is_drawn` says, as far as it has the time.

    Between the first epoch and the last, one is left out as long as the pictures before it took
    more than `SHARE_OF_TIME` of the time since this began.

    Args:
        now: seconds on any clock.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._time = TimeShare(SHARE_OF_TIME, now)

    def allows(self, epoch: int, epochs: int, is_last: bool) -> bool:
        """Whether an epoch (from 0) is drawn."""
        if is_last or epoch in (0, epochs - 1):
            return True
        return self._time.is_left and is_drawn(epoch, epochs)

    def drawing(self) -> AbstractContextManager[None]:
        """What is done in this context is counted."""
        return self._time.spending()


def draw_search(stage: SearchStage, epoch: int, tracker: Tracker) -> None:
    """Cases of the architecture half; of each network searched, the genotype and probabilities."""
    is_last = stage.stop_reason() is not None
    if stage.folder.is_written and stage.pace.allows(epoch, stage.epochs, is_last):
        with stage.pace.drawing():
            _draw_search(stage, epoch, tracker)


def _draw_search(stage: SearchStage, epoch: int, tracker: Tracker) -> None:
    from nas import plots
    from search_spaces.drawing import render
    from search_spaces.probability_figures import probabilities_figure

    shown = {
        "cases": case_sheet(
            stage.game.segmenter,
            stage.samples,
            stage.data.classes,
            stage.architecture_half[:SHOWN_CASES],
        )
    }
    for role in stage.phase.supernets:
        genotype = stage.genotypes[role]
        assert genotype.relaxation is not None
        shown[role] = _decode_png(render(genotype, "png"))
        figure = probabilities_figure(genotype.relaxation)
        shown[f"{role}_probabilities"] = plots.as_picture(figure)
    for name, picture in shown.items():
        tracker.picture(name, picture, epoch + 1, (epoch + 1) * stage.steps)
    draw_curves(stage.folder)


def draw_retraining(stage: RetrainStage, epoch: int, tracker: Tracker) -> None:
    """Cases of the validation images, or of the training images where there are none."""
    is_last = stage.stop_reason() is not None
    if stage.folder.is_written and stage.pace.allows(epoch, stage.epochs, is_last):
        with stage.pace.drawing():
            _draw_retraining(stage, epoch, tracker)


def _draw_retraining(stage: RetrainStage, epoch: int, tracker: Tracker) -> None:
    samples = stage.val_samples if len(stage.val_samples) else stage.train_samples
    picture = case_sheet(
        stage.game.segmenter, samples, stage.data.classes, samples.ids[:SHOWN_CASES]
    )
    tracker.picture("cases", picture, epoch + 1, (epoch + 1) * stage.steps)
    draw_curves(stage.folder)


def case_sheet(
    segmenter: nn.Module, samples: Samples, classes: Sequence[str], ids: Sequence[str]
) -> pictures.Picture:
    """Image, truth and prediction of some cases under each other, each with its mean IoU."""
    rows = []
    for batch, found in predictions(segmenter, samples, ids):
        for name, image, truth, predicted in zip(
            batch.ids,
            batch.images.cpu().numpy(),
            batch.labels.cpu().numpy(),
            found.cpu().numpy(),
            strict=True,
        ):
            rows.append(case_row(name, image, truth, predicted, len(classes)))
    return pictures.sheet(rows, classes)


def case_row(
    name: str, image: np.ndarray, truth: np.ndarray, predicted: np.ndarray, classes: int
) -> pictures.Picture:
    """Image (C, H, W), truth and prediction (H, W) of one case, with its mean IoU.

    What does not count, since the truth is `UNKNOWN`, is grey in the truth.
    """
    value = float(mean_defined(iou(confusion_matrix(predicted, truth, classes))))
    title = "truth (grey: not counted)" if (truth == UNKNOWN).any() else "truth"
    masks = {title: truth, f"prediction, IoU {value:.2f}": predicted}
    return pictures.panels(image, masks, classes, name)


def draw_curves(folder: RunFolder) -> None:
    """The curves of metrics.jsonl so far, as pictures/curves.png."""
    records = folder.read_metrics() if folder.is_written else []
    if records:
        from nas import plots

        _save_figure(plots.learning_curves(records), folder.pictures / "curves.png")


def draw_architecture_over_epochs(folder: RunFolder) -> None:
    """The probabilities of a search over its epochs, as pictures."""
    if not folder.is_written:
        return
    from nas import plots

    for role in get_args(Role):
        found = [genotypes.read(path).relaxation for path in folder.genotype_files(role)]
        cells = [each for each in found if isinstance(each, Relaxation)]
        choices = [each for each in found if isinstance(each, Choices)]
        if cells:
            _draw_cells_over_epochs(role, cells, folder)
        if choices:
            figure = plots.choices_over_epochs(range(1, len(choices) + 1), choices, role)
            _save_figure(figure, folder.pictures / f"{role}_over_epochs.png")


def _draw_cells_over_epochs(role: Role, found: Sequence[Relaxation], folder: RunFolder) -> None:
    from nas import plots

    for kind in get_args(CellKind):
        values = np.array([each.shares(kind) for each in found])
        weighted = ", probabilities times weights of edges" if found[0].has_edges else ""
        figure = plots.probabilities_over_epochs(
            range(1, len(found) + 1), values, found[0].operations, f"{kind} cell{weighted}"
        )
        _save_figure(figure, folder.pictures / f"{role}_{kind}_over_epochs.png")


def _save_figure(figure: Figure, path: Path) -> None:
    from nas import plots

    try:
        path.parent.mkdir(exist_ok=True)
        plots.save(figure, path)
    except OSError as error:
        raise unwritable(path, error) from error


def _decode_png(content: bytes) -> pictures.Picture:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
