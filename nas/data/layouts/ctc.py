"""The Cell Tracking Challenge in two dimensions, with its silver or its gold truth.

A set holds the sequences 01 and 02 (t000.tif, t001.tif, ...; t0000.tif where there are more than a
thousand frames), 01_ST/SEG/man_seg000.tif (silver truth: made from the results of earlier
participants, every frame), 01_GT/SEG/man_seg000.tif (gold truth: drawn by people, some frames and
some cells) and 01_GT/TRA/man_track000.tif (markers of all cells). Labels are 16-bit numbers of
cells, 0 is background. Checked on the challenge's page of annotations: gold tracking truth covers
all cells unless stated otherwise, gold segmentation truth covers few; files named
man_seg_000_007.tif are slices of volumes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.data.cases import UNKNOWN, Case, natural_order
from nas.data.groups import with_groups
from nas.data.images import open_mask, open_picture, read_header
from nas.data.layouts.layout import LayoutReader, nothing_found, root_of, the_file, the_files
from nas.data.layouts.same_size import header_of
from nas.data.layouts.volume_layout import hidden
from nas.errors import DataError
from nas.settings import DataSettings

CLASSES = ("background", "cell")
TRUTHS = {"silver": "ST", "gold": "GT"}
LAYOUT = (
    "expected is a data set of the Cell Tracking Challenge (celltrackingchallenge.net): 01/t000.tif"
    " ... with 01_ST/SEG/man_seg000.tif ... (silver truth) or 01_GT/SEG (gold truth), and the same "
    "of 02"
)
MEANING = (
    "Each number of a label is a cell; the mask is what is inside of any. 16-bit images are "
    "divided by 65535, and dark where the camera used few of its bits (--standardise set helps). A "
    "group is a sequence."
)


@dataclass(frozen=True, kw_only=True)
class CtcReader(LayoutReader):
    """Frames of the Cell Tracking Challenge.

    Attributes:
        partial: ids of frames in which some cells are not segmented, or may not be.
    """

    name: str = "ctc"
    classes: tuple[str, ...] = CLASSES
    partial: frozenset[str]

    def read_mask(self, case: Case) -> np.ndarray:
        """(H, W) uint8: 1 inside of cells; outside 0, or `UNKNOWN` where cells may be missing."""
        inside = open_mask(the_file(case.instances)) > 0
        outside = UNKNOWN if case.id in self.partial else 0
        return np.where(inside, 1, outside).astype(np.uint8)


def _set_folder(root: Path) -> Path:
    """The folder with the sequences: the root, or the only fitting one in it."""
    if _sequences(root):
        return root
    inner = [path for path in root.iterdir() if path.is_dir() and _sequences(path)]
    if len(inner) > 1:
        names = ", ".join(natural_order(path.name for path in inner))
        raise DataError(
            f"{root} holds {len(inner)} data sets of the Cell Tracking Challenge ({names}): name "
            "one of them with --data-root."
        )
    if not inner:
        raise nothing_found(root, "sequence of the Cell Tracking Challenge", LAYOUT)
    return inner[0]


def _sequences(folder: Path) -> list[Path]:
    """The folders 01, 02, ... that hold frames."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and re.fullmatch(r"\d\d", path.name) and _numbered(path, "t")
    )


def _numbered(folder: Path, prefix: str) -> dict[int, Path]:
    """The files ``{prefix}000.tif`` of a folder by their numbers."""
    if not folder.is_dir():
        return {}
    matches = (
        (re.fullmatch(rf"{prefix}(\d{{3,}})\.tif", path.name), path)
        for path in sorted(folder.iterdir())
        if not hidden(path)
    )
    return {int(match[1]): path for match, path in matches if match}


def _labels(sequence: Path, truth: str) -> dict[int, Path]:
    """The labels of a sequence by frame.

    Raises:
        DataError: they are slices of volumes.
    """
    folder = sequence.with_name(f"{sequence.name}_{TRUTHS[truth]}") / "SEG"
    if folder.is_dir():
        for path in folder.iterdir():
            if re.fullmatch(r"man_seg_\d+_\d+\.tif", path.name):
                raise DataError(
                    f"{path} is the label of one slice of a volume: three-dimensional data of the "
                    "Cell Tracking Challenge are not read, choose a set with 2D in its name."
                )
    return _numbered(folder, "man_seg")


def _refuse_missing_truth(folder: Path, sequences: Sequence[Path], truth: str) -> None:
    """Refuse a set that has nothing of the truth that is asked for."""
    if any(_labels(sequence, truth) for sequence in sequences):
        return
    other = "gold" if truth == "silver" else "silver"
    first = folder / f"{sequences[0].name}_{TRUTHS[truth]}" / "SEG"
    if any(_labels(sequence, other) for sequence in sequences):
        raise DataError(
            f"{folder} has no {truth} truth ({first}), but {other} truth: read it with --truth "
            f"{other}."
        )
    raise DataError(f"{folder} has neither silver nor gold truth ({first}): {LAYOUT}.")


def _frames(path: Path) -> int:
    with open_picture(path) as picture:
        return int(getattr(picture, "n_frames", 1))


def _agree(image: Path, label: Path, problems: list[str]) -> bool:
    """Whether a frame and its label can be read, are flat and have one size.

    Raises:
        DataError: one of them is a volume.
    """
    if header_of(image, {label: "label"}, problems) is None:
        return False
    depths = {path: _frames(path) for path in (image, label)}
    for path, depth in depths.items():
        if depth > 1:
            raise DataError(
                f"{path} is a volume of {depth} slices: three-dimensional data of the Cell "
                "Tracking Challenge are not read, choose a set with 2D in its name."
            )
    return True


def _cases(sequence: Path, truth: str, problems: list[str], notes: list[str]) -> list[Case]:
    """The frames of a sequence that have a label."""
    images, labels = _numbered(sequence, "t"), _labels(sequence, truth)
    folder = sequence.with_name(f"{sequence.name}_{TRUTHS[truth]}")
    without = [images[number] for number in images if number not in labels]
    if not labels and truth == "silver":
        problems.append(
            f"{sequence} has no silver truth: expected {folder / 'SEG'}/man_seg000.tif."
        )
    elif truth == "silver":
        problems += [
            f"{path} has no label: expected {folder / 'SEG'}/man_seg{path.stem[1:]}.tif."
            for path in without
        ]
    elif without:
        notes.append(
            f"{len(without)} of {len(images)} frames of {sequence.name} have no gold truth and are "
            "left out."
        )
    for number in sorted(labels.keys() - images.keys()):
        problems.append(f"{labels[number]} has no image {sequence / f't{number:03d}.tif'}.")
    markers = _numbered(folder / "TRA", "man_track") if truth == "gold" else {}
    cases = []
    for number in sorted(images.keys() & labels.keys()):
        image, label = images[number], labels[number]
        if _agree(image, label, problems):
            mask = (label, markers[number]) if number in markers else label
            name = f"{sequence.name}_{image.stem}"
            cases.append(Case(name, image, mask, group=sequence.name, instances=label))
    return cases


def _partial(cases: Sequence[Case], problems: list[str], notes: list[str]) -> frozenset[str]:
    """The frames of gold truth in which cells are, or may be, without a segmentation."""
    fewer, unsure = [], []
    for case in cases:
        if isinstance(case.mask, Path):
            unsure.append(case.id)
            continue
        label, marker = the_files(case.mask)
        try:
            if _count(marker) > _count(label):
                fewer.append(case.id)
        except DataError as error:
            problems.append(str(error))
    if fewer:
        notes.append(
            f"In {len(fewer)} of {len(cases)} frames of gold truth the markers (TRA) name more "
            "cells than are segmented: all outside of segmented cells is unknown there, and counts "
            "neither in training nor in scores. Cells that are not segmented are no objects."
        )
    if unsure:
        notes.append(
            f"{len(unsure)} of {len(cases)} frames of gold truth have no markers (TRA) that say "
            "how many cells there are: gold truth need not have all, so all outside of segmented "
            "cells is unknown there."
        )
    return frozenset((*fewer, *unsure))


def _count(path: Path) -> int:
    """Cells that a label or a file of markers names."""
    return int(np.count_nonzero(np.unique(open_mask(path))))


def survey(settings: DataSettings) -> CtcReader:
    """The reader of a set of the Cell Tracking Challenge under ``settings.data_root``.

    Raises:
        DataError: nothing is found, the truth that is asked for is not there, or the data are
            three-dimensional.
    """
    root = root_of(settings, LAYOUT)
    folder = _set_folder(root)
    sequences = _sequences(folder)
    truth = settings.truth
    _refuse_missing_truth(folder, sequences, truth)
    problems: list[str] = []
    notes = [MEANING, f"The truth is the {truth} one ({TRUTHS[truth]}/SEG)."]
    cases = [case for sequence in sequences for case in _cases(sequence, truth, problems, notes)]
    partial = _partial(cases, problems, notes) if truth == "gold" else frozenset()
    return CtcReader(
        channels=settings.image_channels or _channels(cases),
        cases=with_groups(cases, settings.groups, problems),
        problems=tuple(problems),
        notes=tuple(notes),
        partial=partial,
    )


def _channels(cases: Sequence[Case]) -> int:
    """As most frames have."""
    counts = Counter(read_header(the_file(case.image)).channels for case in cases)
    return max(counts, default=1)
