"""Pictures of a run: which epochs have them, and that they show what they should."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from nas.errors import RunError
from nas.illustration import (
    Pace,
    case_row,
    case_sheet,
    draw_architecture_over_epochs,
    draw_curves,
    is_drawn,
)
from nas.pictures import LINE
from nas.preparation import Data
from nas.runs import RunFolder
from search_spaces import genotypes
from search_spaces.cell_genotype import Network, Relaxation
from search_spaces.derivation import derive
from search_spaces.parametric_genotypes import (
    Choice,
    Choices,
    ConcatenationFCN,
    ConcatenationFCNGenotype,
)


@pytest.mark.parametrize("epochs", [1, 2, 5, 19, 20, 21, 40, 50, 1000])
def test_the_first_the_last_and_about_twenty_epochs_have_pictures(epochs: int) -> None:
    drawn = [epoch for epoch in range(epochs) if is_drawn(epoch, epochs)]
    assert drawn[0] == 0
    assert drawn[-1] == epochs - 1
    assert min(epochs, 20) <= len(drawn) <= 41
    gaps = np.diff(drawn)
    assert not len(gaps) or gaps.max() <= max(1, epochs // 20)


def test_pictures_keep_to_their_share_of_the_time() -> None:
    """Epochs of 100 s and pictures of 1.5 s: the first one, every third behind it, the last."""
    seconds = [0.0]
    pace = Pace(now=lambda: seconds[0])
    drawn = []
    for epoch in range(12):
        seconds[0] += 100.0
        if pace.allows(epoch, 12, is_last=False):
            drawn.append(epoch)
            with pace.drawing():
                seconds[0] += 1.5
    assert drawn == [0, 2, 5, 8, 11]


def test_without_time_the_first_and_the_last_are_drawn_all_the_same() -> None:
    seconds = [0.0]
    pace = Pace(now=lambda: seconds[0])
    with pace.drawing():
        seconds[0] += 1.0
    assert [epoch for epoch in range(9) if pace.allows(epoch, 9, is_last=False)] == [0, 8]
    assert pace.allows(4, 9, is_last=True)


def test_with_time_the_epochs_are_those_of_before() -> None:
    seconds = iter(range(0, 10**9, 1000))
    pace = Pace(now=lambda: float(next(seconds)))
    drawn = [epoch for epoch in range(60) if pace.allows(epoch, 60, is_last=False)]
    assert drawn == [epoch for epoch in range(60) if is_drawn(epoch, 60)]


class Reader(nn.Module):
    """Class 1 where the image is brighter than 0.45."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([0.45 - images, images - 0.45], dim=1)


def test_a_sheet_has_a_row_for_each_case(discs: Callable[..., Data]) -> None:
    samples = discs().samples("train", torch.device("cpu"))
    classes = ("background", "disc")
    one = case_sheet(Reader(), samples, classes, samples.ids[:1])
    three = case_sheet(Reader(), samples, classes, samples.ids[:3])
    assert one.dtype == three.dtype == np.uint8
    assert three.shape[1] == one.shape[1]
    assert three.shape[0] - one.shape[0] == pytest.approx(2 * (one.shape[0] * 0.8), rel=0.5)


def test_a_row_shows_truth_and_prediction(discs: Callable[..., Data]) -> None:
    data = discs()
    case = data.reader.cases[0]
    image, truth = data.reader.read_image(case), data.reader.read_mask(case)
    right = case_row("a", image, truth, truth, 2)
    wrong = case_row("a", image, truth, 1 - truth, 2)
    assert right.shape == wrong.shape
    third = right.shape[1] // 3
    assert np.array_equal(right[:, :third], wrong[:, :third])
    assert not np.array_equal(right[:, -third:], wrong[:, -third:])


def test_a_row_scores_what_is_known(discs: Callable[..., Data]) -> None:
    """Wrong everywhere but where the truth is said: the row says that the IoU is 1."""
    data = discs()
    case = data.reader.cases[0]
    image, truth = data.reader.read_image(case), data.reader.read_mask(case)
    known = np.zeros_like(truth, dtype=bool)
    known[:, :16] = True
    partly = case_row("a", image, np.where(known, truth, 255), np.where(known, truth, 1 - truth), 2)
    right = case_row("a", image, truth, truth, 2)
    third = right.shape[1] // 3
    title = slice(0, LINE)
    assert np.array_equal(partly[title, -third:], right[title, -third:])
    assert not np.array_equal(partly[title, third:-third], right[title, third:-third])


def test_curves_are_drawn_from_the_records(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    draw_curves(folder)
    assert not folder.pictures.exists()
    for epoch in (1, 2, 3):
        folder.append_metrics(
            {"epoch": epoch, "segmenter_loss": 1 / epoch, "mean_iou": None if epoch < 2 else 0.5}
        )
    draw_curves(folder)
    first = np.asarray(Image.open(folder.pictures / "curves.png"))
    folder.append_metrics({"epoch": 4, "segmenter_loss": 3.0, "mean_iou": 0.1})
    draw_curves(folder)
    assert not np.array_equal(first, np.asarray(Image.open(folder.pictures / "curves.png")))


def test_pictures_that_cannot_be_written_are_said(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append_metrics({"epoch": 1, "segmenter_loss": 1.0})
    folder.pictures.write_text("a file")
    with pytest.raises(RunError, match="Cannot write"):
        draw_curves(folder)


def test_probabilities_over_epochs_have_a_picture_for_each_cell(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    draw_architecture_over_epochs(folder)
    assert not folder.pictures.exists()
    for role in ("segmenter", "discriminator"):
        (folder.genotypes / role).mkdir(parents=True)
    for epoch in (1, 2):
        rows = ((0.1 * epoch, 0.0), (0.0, 0.3))
        relaxation = Relaxation(("skip_connect", "sep_conv_3x3"), rows, rows)
        genotype = derive(relaxation, Network(), 2)
        genotypes.write(genotype, folder.genotypes / "discriminator" / f"epoch_{epoch:04d}.json")
        choices = Choices({"blocks": Choice((3, 4), (0.0, 0.1 * epoch))})
        segmenter = ConcatenationFCNGenotype(ConcatenationFCN(), choices)
        genotypes.write(segmenter, folder.genotypes / "segmenter" / f"epoch_{epoch:04d}.json")
    draw_architecture_over_epochs(folder)
    names = sorted(path.name for path in folder.pictures.iterdir())
    assert names == [
        "discriminator_normal_over_epochs.png",
        "discriminator_reduction_over_epochs.png",
        "segmenter_over_epochs.png",
    ]
