"""The small JSRT set (segmentation02.zip of imgcom.jsrt.or.jp), as the society hands it out.

segmentation/org_train/case001.bmp and segmentation/label_train/case001_label.png, the same with
org_test and label_test: 199 and 48 chest radiographs of 8 bits. A label is 0 outside of the body,
85 in the heart, 170 in the body outside of the lungs, 255 in the lungs.

Checked against torch-em's loader (medical/jsrt.py), which reads the same folders and values, and
against a program that takes the number of a case, over both parts, as the place of its image in
the 247 of JSRT: a number is given once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.data.cases import Case, Subset, natural_order
from nas.data.groups import with_groups
from nas.data.layouts.finding import files_by_id, find_folder
from nas.data.layouts.greys import open_greys
from nas.data.layouts.layout import LayoutReader, nothing_found, root_of, the_file
from nas.data.layouts.same_size import header_of
from nas.settings import DataSettings

CLASSES = ("background", "heart", "lungs")
CLASS_OF = {0: 0, 85: 1, 170: 0, 255: 2}
"""Class of each stored value."""
PARTS = ("train", "test")
LAYOUT = (
    "expected are segmentation/org_train/case001.bmp and segmentation/label_train/"
    "case001_label.png ..., and the same in org_test and label_test. The Japanese Society of "
    "Radiological Technology hands it out (segmentation02.zip, imgcom.jsrt.or.jp)"
)
NOTES = (
    "Images are 8-bit grey. Labels: 85 is the heart, 255 the lungs, left and right not told apart; "
    "170 (body) and 0 (outside of it) are both background. Its makers say that the labels were not "
    "supervised medically.",
    "Training and test are org_train and org_test.",
)
_IMAGE = re.compile(r"(case\d+)\.(?i:bmp)")
_LABEL = re.compile(r"(case\d+)_label\.(?i:png)")


@dataclass(frozen=True, kw_only=True)
class JsrtMiniReader(LayoutReader):
    """Cases of the small JSRT set."""

    name: str = "jsrt_mini"
    notes: tuple[str, ...] = NOTES
    classes: tuple[str, ...] = CLASSES

    def read_mask(self, case: Case) -> np.ndarray:
        """(H, W) uint8 class indices."""
        table = np.zeros(256, dtype=np.uint8)
        for stored, label in CLASS_OF.items():
            table[stored] = label
        return table[open_greys(the_file(case.mask), CLASS_OF)]


def _cases(folder: Path, part: str, problems: list[str]) -> list[Case]:
    images = files_by_id(folder / f"org_{part}", _IMAGE, problems)
    labels = files_by_id(folder / f"label_{part}", _LABEL, problems)
    cases = []
    for name, image in images.items():
        label = labels.pop(name, None)
        if label is None:
            expected = folder / f"label_{part}" / f"{name}_label.png"
            problems.append(f"{image} has no label: expected {expected}.")
        elif header_of(image, {label: "label"}, problems):
            cases.append(Case(name, image, label))
    problems += [
        f"{path} has no image: expected {folder / f'org_{part}' / name}.bmp."
        for name, path in labels.items()
    ]
    return cases


def _once(train: list[Case], test: list[Case], problems: list[str]) -> list[Case]:
    """The test cases whose id is none of the training cases'."""
    known = {case.id: case for case in train}
    for case in test:
        if case.id in known:
            problems.append(
                f"{known[case.id].image} and {case.image} are two files for one case: keep one."
            )
    return [case for case in test if case.id not in known]


def _lists(train: list[Case], test: list[Case]) -> dict[Subset, tuple[str, ...]] | None:
    """The split of the folders; None where one side of it is not there."""
    if not train or not test:
        return None
    first, last = (natural_order(case.id for case in part) for part in (train, test))
    return {"train": first, "val": (), "test": last}


def survey(settings: DataSettings) -> JsrtMiniReader:
    """The reader of the small JSRT set under ``settings.data_root``, or of a folder below it.

    Raises:
        DataError: no image is found; says what is expected.
    """
    root = root_of(settings, LAYOUT)
    folder = find_folder(root, lambda place: (place / "org_train").is_dir(), "the small JSRT set")
    problems: list[str] = []
    train, test = (_cases(folder, part, problems) if folder else [] for part in PARTS)
    if not train and not test and not problems:
        raise nothing_found(root, "images of the small JSRT set", LAYOUT)
    test = _once(train, test, problems)
    return JsrtMiniReader(
        channels=settings.image_channels or 1,
        cases=with_groups([*train, *test], settings.groups, problems),
        problems=tuple(problems),
        lists=_lists(train, test),
    )
