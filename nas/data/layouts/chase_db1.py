"""CHASE_DB1, vessels of both retinas of 14 children, as Kingston University hands it out.

One flat folder: Image_01L.jpg, Image_01R.jpg, ... Image_14R.jpg (999 x 960, width x height), and
for each the vessels of two observers, Image_01L_1stHO.png and Image_01L_2ndHO.png. Fraz et al.
2012, "An ensemble classification-based approach applied to retinal blood vessel segmentation".

Checked against public loaders and descriptions of the folder: no field of view and no split are
handed out; many train on the first 20 images and test on the last 8, which are whole children.
"""

from __future__ import annotations

import re
from pathlib import Path

from nas.data.cases import Case
from nas.data.groups import with_groups
from nas.data.layouts.finding import files_by_id, find_folder, holds
from nas.data.layouts.greys import BinaryReader
from nas.data.layouts.layout import nothing_found, root_of
from nas.data.layouts.same_size import header_of
from nas.settings import DataSettings

CLASSES = ("background", "vessel")
LAYOUT = (
    "expected are Image_01L.jpg, Image_01L_1stHO.png, Image_01R.jpg, ... in one folder. Kingston "
    "University (Retinal Image Analysis) hands CHASE_DB1 out"
)
NOTES = (
    "Images are 8-bit RGB, labels the vessels that the first observer drew (1stHO). The second "
    "observer (2ndHO) is not used. Groups are the children, each with a left and a right eye.",
    "No field of view is handed out: scores count every pixel, the black border too, which makes "
    "them higher than inside a field of view.",
)
_IMAGE = re.compile(r"(Image_\d\d[LR])\.(?i:jpg)")
_LABEL = re.compile(r"(Image_\d\d[LR])_1stHO\.(?i:png)")


def _cases(folder: Path, problems: list[str]) -> list[Case]:
    images = files_by_id(folder, _IMAGE, problems)
    labels = files_by_id(folder, _LABEL, problems)
    cases = []
    for name, image in images.items():
        label = labels.pop(name, None)
        if label is None:
            problems.append(f"{image} has no label: expected {folder / name}_1stHO.png.")
        elif header_of(image, {label: "label"}, problems):
            cases.append(Case(name, image, label, group=name[6:8]))
    problems += [
        f"{path} has no image: expected {folder / name}.jpg." for name, path in labels.items()
    ]
    return cases


def survey(settings: DataSettings) -> BinaryReader:
    """The reader of CHASE_DB1 under ``settings.data_root``, or one of the folders below it.

    Raises:
        DataError: no image is found; says what is expected.
    """
    root = root_of(settings, LAYOUT)
    folder = find_folder(root, lambda place: holds(place, _IMAGE), "CHASE_DB1")
    if folder is None:
        raise nothing_found(root, "CHASE_DB1 images", LAYOUT)
    problems: list[str] = []
    cases = _cases(folder, problems)
    return BinaryReader(
        name="chase_db1",
        classes=CLASSES,
        channels=settings.image_channels or 3,
        cases=with_groups(cases, settings.groups, problems),
        problems=tuple(problems),
        notes=NOTES,
    )
