"""DRIVE, vessels of the retina, as its owners hand it out.

training/images/21_training.tif ... 40, training/1st_manual/21_manual1.gif and
training/mask/21_training_mask.gif, where mask means the field of view; test/images/01_test.tif
... 20 and test/mask/01_test_mask.gif. Older copies have test/1st_manual/01_manual1.gif and
test/2nd_manual/01_manual2.gif; what is handed out today (drive.grand-challenge.org) has no labels
of test images. Staal et al. 2004, "Ridge-based vessel segmentation in color images of the retina".

Checked against torch-em's loader (medical/drive.py), which too takes the training folder alone,
and against public descriptions of older copies.
"""

from __future__ import annotations

import re
from pathlib import Path

from nas.data.cases import Case, Subset
from nas.data.groups import with_groups
from nas.data.layouts.finding import files_by_id, find_folder
from nas.data.layouts.greys import BinaryReader
from nas.data.layouts.layout import nothing_found, root_of
from nas.data.layouts.same_size import header_of
from nas.settings import DataSettings

CLASSES = ("background", "vessel")
LAYOUT = (
    "expected are training/images/21_training.tif, training/1st_manual/21_manual1.gif, "
    "training/mask/21_training_mask.gif, ..., and the same of 01 to 20 in test/. DRIVE is free "
    "after registration at drive.grand-challenge.org"
)
MEANING = (
    "Images are 8-bit RGB, labels the vessels that the first observer drew (1st_manual). Scores "
    "count the pixels inside the field of view (mask/) alone. The second observer (2nd_manual) is "
    "not used."
)
_LABEL = re.compile(r"(\d\d)_manual1\.(?i:gif)")


class _Part:
    """The files of training/ or test/, by number."""

    def __init__(self, folder: Path, problems: list[str]) -> None:
        self.folder = folder
        self.word = folder.name
        self.images = files_by_id(folder / "images", self._pattern(r"\.(?i:tiff?)"), problems)
        self.labels = files_by_id(folder / "1st_manual", _LABEL, problems)
        self.views = files_by_id(folder / "mask", self._pattern(r"_mask\.(?i:gif)"), problems)

    def _pattern(self, end: str) -> re.Pattern[str]:
        return re.compile(rf"(\d\d)_{self.word}{end}")

    def cases(self, problems: list[str]) -> list[Case]:
        """The complete ones; what the others lack is added to the problems."""
        cases = []
        for number, image in self.images.items():
            label = self._take(self.labels, number, "1st_manual", "manual1", problems)
            view = self._take(self.views, number, "mask", f"{self.word}_mask", problems)
            if label is None or view is None:
                continue
            if header_of(image, {label: "label", view: "field of view"}, problems):
                name = f"{number}_{self.word}"
                cases.append(Case(name, image, label, field_of_view=view))
        for path in (*self.labels.values(), *self.views.values()):
            if path.name[:2] not in self.images:
                missing = self.folder / "images" / f"{path.name[:2]}_{self.word}.tif"
                problems.append(f"{path} has no image: expected {missing}.")
        return cases

    def _take(
        self, files: dict[str, Path], number: str, folder: str, end: str, problems: list[str]
    ) -> Path | None:
        if number not in files:
            expected = self.folder / folder / f"{number}_{end}.gif"
            problems.append(
                f"{self.images[number]} has no {expected.relative_to(self.folder)}: expected "
                f"{expected}."
            )
        return files.get(number)


def _note(training: list[Case], test: _Part, tested: list[Case]) -> str:
    if tested:
        return (
            f"Training are the {len(training)} images of training/, test are the {len(tested)} of "
            "test/, as published."
        )
    if test.images:
        return (
            f"The {len(test.images)} images of test/ came without labels and are left out, as in "
            "today's official download: splits are drawn from training/, and their scores do not "
            "compare with published ones."
        )
    return (
        "There are no images in test/: splits are drawn from training/, and their scores do not "
        "compare with published ones."
    )


def survey(settings: DataSettings) -> BinaryReader:
    """The reader of DRIVE under ``settings.data_root``, or one of the folders below it.

    Raises:
        DataError: no training image is found; says what is expected.
    """
    root = root_of(settings, LAYOUT)
    folder = find_folder(root, lambda place: (place / "training" / "images").is_dir(), "DRIVE")
    problems: list[str] = []
    training = _Part(folder / "training", problems) if folder else None
    if folder is None or training is None or not training.images:
        raise nothing_found(root, "DRIVE images", LAYOUT)
    trained = training.cases(problems)
    test = _Part(folder / "test", problems)
    tested = test.cases(problems) if test.labels else []
    lists: dict[Subset, tuple[str, ...]] | None = None
    if trained and tested:
        lists = {
            "train": tuple(case.id for case in trained),
            "val": (),
            "test": tuple(case.id for case in tested),
        }
    return BinaryReader(
        name="drive",
        classes=CLASSES,
        channels=settings.image_channels or 3,
        cases=with_groups([*trained, *tested], settings.groups, problems),
        problems=tuple(problems),
        notes=(MEANING, _note(trained, test, tested)),
        lists=lists,
    )
