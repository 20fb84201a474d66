"""Cases to look at: the images of an evaluation with truth and prediction, best, median and worst.

An evaluation keeps the scores of its cases, not their predictions: these are computed anew, by the
segmenter that the run kept, from the images where they still lie. Where that is impossible, the
page says why and shows the sheet that the evaluation drew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from nas.data.cases import UNKNOWN, Subset
from nas.errors import UserError
from nas.metrics.semantic import confusion_matrix, iou, mean_defined
from nas.metrics.tables import percent
from nas.page_pictures import data_uri, mask_layer, photograph_uri, small_picture
from nas.pictures import UNKNOWN_COLOUR, best_median_worst, class_colours
from nas.report.blocks import Block, CaseFigure, Layer, Picture, Text, Viewer
from nas.report.gather import EvaluationFiles, Run, number_of

if TYPE_CHECKING:
    from nas.evaluate import At, Bench

SIDE = 320
"""Longer side of a picture, in pixels; smaller images keep their size."""
WRONG_COLOUR = (214, 40, 90)
SAME_IOU = 0.005
"""Difference of a mean IoU from the evaluation's up to which it is the same: another machine."""


@dataclass(frozen=True)
class Seen:
    """A case as one segmenter sees it: (C, H, W) in [0, 1], and twice (H, W) classes."""

    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the classes in truth or prediction; NaN where there are none."""
        classes = 1 + max(
            int(each[each != UNKNOWN].max(initial=0)) for each in (self.truth, self.prediction)
        )
        return float(mean_defined(iou(confusion_matrix(self.prediction, self.truth, classes))))


def chosen_cases(values: Mapping[str, float | None], count: int) -> list[tuple[str, str]]:
    """Which cases to show, about a third of each: (best, median or worst, case id).

    Args:
        values: score of each case; None where it is undefined.
        count: how many, 1 or more.
    """
    ids = list(values)
    found = best_median_worst(list(values.values()), max(1, count // 3))
    return [(place, ids[index]) for place, index in found][: max(count, 1)]


def case_blocks(run: Run, evaluation: EvaluationFiles, count: int) -> list[Block]:
    """The cases of an evaluation to step through; or why not, and the sheet it drew.

    Args:
        run: that was evaluated.
        evaluation: of it.
        count: how many cases to show; 0 for none.
    """
    values = {row["case"]: number_of(row, "mean_iou") for row in evaluation.cases}
    chosen = chosen_cases(values, count) if count else []
    if not chosen:
        reason = "No cases were asked for." if not count else "The evaluation lists no cases."
        return [Text([reason], "missing")]
    try:
        bench = open_bench(run, evaluation)
        seen = {id: look(bench, id) for _, id in chosen}
    except UserError as error:
        return [_not_again(error), *sheet_block(evaluation.path / "cases.png", evaluation.title)]
    figures = [figure(place, id, seen[id], values[id]) for place, id in chosen]
    caption = (
        f"{len(figures)} of {len(values)} {evaluation.title}, by their mean IoU. Predictions are "
        "computed anew by the segmenter that the run kept."
    )
    viewer = Viewer(
        evaluation.name, figures, legend_of(run.classes, seen.values(), wrong=True), caption
    )
    return [*changed(seen, values), viewer]


def _not_again(error: UserError) -> Text:
    return Text([f"The images cannot be shown one by one: {error}"], "missing")


def changed(seen: Mapping[str, Seen], values: Mapping[str, float | None]) -> list[Block]:
    """A warning where predictions score otherwise than the evaluation says."""
    other = [
        id
        for id, each in seen.items()
        if (before := values[id]) is not None and not abs(each.mean_iou - before) <= SAME_IOU
    ]
    if not other:
        return []
    first = other[0]
    return [
        Text(
            [
                f"{len(other)} of the cases below score otherwise than the evaluation says: the "
                f"mean IoU of {first} was {percent(values[first])} % and is "
                f"{percent(seen[first].mean_iou)} %. The images, the masks or the checkpoint have "
                "changed since; evaluate again."
            ],
            "warning",
        )
    ]


def open_bench(run: Run, evaluation: EvaluationFiles) -> Bench:
    """The segmenter of a run on the images of an evaluation, on the CPU.

    Raises:
        DataError: the images are not where they were.
        RunError: there is no usable checkpoint.
    """
    from nas.evaluate import Bench, opened

    data, segmenter = opened(run.folder, cast("Subset", evaluation.subset), "cpu")
    return Bench(data, segmenter, cast("At", evaluation.at))


def look(bench: Bench, id: str) -> Seen:
    """A case of a bench.

    Raises:
        DataError: the data has no such case, or it cannot be read.
    """
    from nas.errors import DataError

    try:
        (case,) = bench.cases([id])
    except KeyError as error:
        raise DataError(f"The data has no case {id} any more.") from error
    image, logits, truth = bench.compare(case)
    return Seen(image.numpy(), truth.labels, logits.argmax(dim=0).cpu().numpy())


def figure(place: str, id: str, seen: Seen, score: float | None) -> CaseFigure:
    """A case of one run: image, truth, prediction and where these differ."""
    side = side_of(seen.image)
    wrong = ((seen.prediction != seen.truth) & (seen.truth != UNKNOWN)).astype(np.int64)
    layers = [
        Layer("image", None),
        Layer("truth", layer_uri(seen.truth, side)),
        Layer("prediction", layer_uri(seen.prediction, side)),
        Layer("wrong pixels", wrong_uri(wrong, side), f"{percent(float(wrong.mean()))} %"),
    ]
    return case_figure(place, id, f"mean IoU {percent(score)} %", seen.image, layers)


def case_figure(
    place: str, id: str, remark: str, image: np.ndarray, layers: Sequence[Layer]
) -> CaseFigure:
    """A case with its image as a small picture."""
    picture = small_picture(image, side_of(image))
    return CaseFigure(
        id=id,
        place=place,
        remark=remark,
        image=photograph_uri(picture),
        height=picture.height,
        width=picture.width,
        layers=layers,
    )


def side_of(image: np.ndarray) -> int:
    """Longer side of the picture of an image (C, H, W)."""
    return min(SIDE, max(image.shape[1:]))


def layer_uri(labels: np.ndarray, side: int) -> str:
    """Classes (H, W) as a transparent layer."""
    return data_uri(mask_layer(labels, side))


def wrong_uri(wrong: np.ndarray, side: int) -> str:
    """Pixels that are 1 as a transparent layer."""
    return data_uri(mask_layer(wrong, side, colours=((0, 0, 0), WRONG_COLOUR)))


def legend_of(
    classes: Sequence[str], seen: Iterable[Seen], wrong: bool = False
) -> list[tuple[str, str]]:
    """Name and colour of each class but the background, and of what else is drawn.

    Args:
        classes: names, background first.
        seen: the cases shown; unknown pixels are in the legend where one has them.
        wrong: whether wrong pixels are drawn.
    """
    colours = class_colours(max(len(classes), 1)).tolist()
    named = list(zip(classes[1:], colours[1:], strict=True))
    if wrong:
        named.append(("wrong", list(WRONG_COLOUR)))
    if any((each.truth == UNKNOWN).any() for each in seen):
        named.append(("unknown, not counted", list(UNKNOWN_COLOUR)))
    return [(name, f"rgb({','.join(map(str, colour))})") for name, colour in named]


def sheet_block(path: Path | None, title: str) -> list[Block]:
    """A sheet of cases that a run or an evaluation drew, as it is; nothing where it drew none."""
    if path is None or not path.is_file():
        return []
    from PIL import Image

    with Image.open(path) as picture:
        uri = photograph_uri(picture.convert("RGB"))
        width = picture.width
    return [
        Picture(uri, f"Images, truths and predictions: {title}", title, minimum=min(width, 560))
    ]
