"""GlaS, the glands of the colon of the MICCAI 2015 challenge, as Warwick hands them out.

One flat folder, "Warwick QU Dataset (Released 2016_07_08)", with train_1.bmp ... train_85.bmp,
testA_1.bmp ... testA_60.bmp, testB_1.bmp ... testB_20.bmp (RGB, H&E at 20x), for each of them
NAME_anno.bmp (0 background, 1, 2, 3, ... one number per gland), and Grade.csv: name, patient ID,
grade (GlaS), grade (Sirinukunwattana et al. 2015), with blanks before the names and the values.

Checked against public copies of Grade.csv: its lines may end in a carriage return alone, the
grades are benign and malignant, there are 16 patients, and most of them are in training and in
test. Sirinukunwattana et al. 2017, "Gland segmentation in colon histology images".
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nas.data.cases import Case, Subset, natural_order
from nas.data.groups import with_groups
from nas.data.images import open_mask
from nas.data.layouts.finding import files_by_id, find_folder, holds
from nas.data.layouts.layout import LayoutReader, nothing_found, root_of, the_file
from nas.data.layouts.same_size import header_of
from nas.data.value_maps import shown
from nas.errors import DataError
from nas.settings import DataSettings

CLASSES = ("background", "gland")
PARTS = {"train": 85, "testA": 60, "testB": 20}
"""Official parts and the number of their images."""
GRADES = ("benign", "malignant")
GRADE_FILE = "Grade.csv"
LAYOUT = (
    'expected are, in "Warwick QU Dataset (Released 2016_07_08)", the files train_1.bmp, '
    "testA_1.bmp, testB_1.bmp ..., each with its train_1_anno.bmp, and Grade.csv. The University "
    "of Warwick (TIA Centre, GlaS@MICCAI'2015) hands GlaS out for research"
)
MEANING = (
    "Images are 8-bit RGB. An annotation numbers its glands 1, 2, 3, ...: these are the instances, "
    "and the mask is all of them."
)
_IMAGE = re.compile(r"((?:train|testA|testB)_\d+)\.(?i:bmp)")
_ANNOTATION = re.compile(r"((?:train|testA|testB)_\d+)_anno\.(?i:bmp)")


class Grade(NamedTuple):
    """What Grade.csv says of an image."""

    patient: str
    grade: str


@dataclass(frozen=True, kw_only=True)
class GlasReader(LayoutReader):
    """Cases of GlaS."""

    name: str = "glas"
    classes: tuple[str, ...] = CLASSES

    def read_mask(self, case: Case) -> np.ndarray:
        """(H, W) uint8, 1 where a gland is."""
        return (_open_annotation(the_file(case.mask)) > 0).astype(np.uint8)

    def read_instances(self, case: Case) -> np.ndarray:
        """(H, W) int32, the numbers of the glands."""
        return _open_annotation(the_file(case.instances)).astype(np.int32)


def _open_annotation(path: Path) -> np.ndarray:
    numbers = open_mask(path)
    found = np.unique(numbers).tolist()
    if found in ([0, 255], [255]):
        raise DataError(
            f"{path} holds the values {shown(found)}; an annotation of GlaS numbers its glands 1, "
            "2, 3, ...: this copy no longer tells them apart, get the files of Warwick."
        )
    return numbers


def read_grades(path: Path, names: list[str], problems: list[str]) -> dict[str, Grade]:
    """What Grade.csv says of the named images.

    Args:
        path: of Grade.csv.
        names: ids of the images, such as train_1; lines of others are passed over.
        problems: a header, line or grade that is not as expected is added here, and images
            without a line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problems.append(f"{path} cannot be read ({error}): copy or unpack it again.")
        return {}
    if not rows or rows[0][:3] != ["name", "patient ID", "grade (GlaS)"]:
        problems.append(
            f"{path} begins with {', '.join(rows[0]) if rows else 'nothing'}; expected the columns "
            "name, patient ID, grade (GlaS): copy or unpack it again."
        )
        return {}
    grades: dict[str, Grade] = {}
    for number, row in enumerate(rows[1:], start=2):
        if row and row[0] in names:
            grade = _grade(path, number, row, problems)
            if grade and grades.setdefault(row[0], grade) != grade:
                problems.append(f"{path} says two things of {row[0]}: keep the right line.")
    missing = [name for name in names if name not in grades]
    if missing:
        problems.append(
            f"{path} has no usable line for {len(missing)} of {len(names)} images "
            f"({', '.join(missing[:3])}): add name, patient ID and grade of each."
        )
    return grades


def _grade(path: Path, number: int, row: list[str], problems: list[str]) -> Grade | None:
    if len(row) >= 3 and row[1] and row[2] in GRADES:
        return Grade(row[1], row[2])
    problems.append(
        f"Line {number} of {path} is {', '.join(row)}; expected a name, a patient and benign or "
        "malignant."
    )
    return None


def _cases(folder: Path, problems: list[str]) -> list[Case]:
    images = files_by_id(folder, _IMAGE, problems)
    annotations = files_by_id(folder, _ANNOTATION, problems)
    cases = []
    for name, image in images.items():
        annotation = annotations.pop(name, None)
        if annotation is None:
            problems.append(f"{image} has no annotation: expected {folder / name}_anno.bmp.")
        elif header_of(image, {annotation: "annotation"}, problems):
            cases.append(Case(name, image, annotation, instances=annotation))
    problems += [
        f"{path} has no image: expected {folder / name}.bmp." for name, path in annotations.items()
    ]
    return cases


def _graded(cases: list[Case], grades: Mapping[str, Grade]) -> list[Case]:
    return [
        replace(case, group=grades[case.id].patient, stratum=grades[case.id].grade)
        if case.id in grades
        else case
        for case in cases
    ]


def _part(case: Case) -> str:
    return case.id.partition("_")[0]


def _lists(cases: list[Case]) -> dict[Subset, tuple[str, ...]] | None:
    """The official split; None where one side of it is not there."""
    ids = natural_order(case.id for case in cases)
    train = tuple(name for name in ids if name.startswith("train"))
    test = tuple(name for name in ids if name.startswith("test"))
    return {"train": train, "val": (), "test": test} if train and test else None


def _note_of_parts(cases: list[Case]) -> str:
    counts = Counter(_part(case) for case in cases)
    there = ", ".join(f"{counts[part]} of {whole} in {part}" for part, whole in PARTS.items())
    return (
        f"Images: {there}. The official training part is train, test are testA and testB together; "
        "published numbers are for testA and testB separately."
    )


def _note_of_patients(cases: list[Case]) -> str:
    train = {case.group for case in cases if _part(case) == "train"}
    test = {case.group for case in cases if _part(case) != "train"}
    return (
        "Groups are the patients and strata the grades of Grade.csv. The official parts divide "
        f"patients: {len((train & test) - {None})} have images in training and in test."
    )


def survey(settings: DataSettings) -> GlasReader:
    """The reader of GlaS under ``settings.data_root``, or one of the folders below it.

    Raises:
        DataError: no image is found; says what is expected.
    """
    root = root_of(settings, LAYOUT)
    folder = find_folder(root, lambda place: holds(place, _IMAGE), "GlaS")
    if folder is None:
        raise nothing_found(root, "GlaS images", LAYOUT)
    problems: list[str] = []
    cases = _cases(folder, problems)
    notes = [MEANING, _note_of_parts(cases)]
    if (folder / GRADE_FILE).is_file():
        names = [case.id for case in cases]
        cases = _graded(cases, read_grades(folder / GRADE_FILE, names, problems))
        notes.append(_note_of_patients(cases))
    else:
        notes.append(f"There is no {folder / GRADE_FILE}: patients and grades are not known.")
    return GlasReader(
        channels=settings.image_channels or 3,
        cases=with_groups(cases, settings.groups, problems),
        problems=tuple(problems),
        notes=tuple(notes),
        lists=_lists(cases),
    )
