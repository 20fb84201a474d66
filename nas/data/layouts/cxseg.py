"""CX-SEG, the chest radiographs of Dong et al. 2019, as paired folders.

No public copy of the set is known, hence no original layout. Expected are images/ and masks/
of equal stems; the masks hold 0 background, 1 heart, 2 left lung, 3 right lung, where left
and right are the patient's (the right lung is on the image's left).
"""

from __future__ import annotations

from dataclasses import replace

from nas.data.cases import CHEST_CLASSES
from nas.data.layouts.finding import find_folder
from nas.data.layouts.folder import FolderReader, read_folder
from nas.data.layouts.layout import nothing_found, root_of
from nas.settings import DataSettings

LAYOUT = (
    "expected are images/*.png and masks/*.png of equal stems, the masks with the "
    "values 0 background, 1 heart, 2 left lung, 3 right lung (the patient's left and right). "
    "CX-SEG has no public download; --dataset phantom runs now, on built-in generated chest "
    "radiographs"
)
MEANING = "Left and right lung are the patient's: the right lung is on the image's left."


def survey(settings: DataSettings) -> FolderReader:
    """The reader of CX-SEG under ``settings.data_root``, or one of the folders below it.

    Raises:
        DataError: nothing is found; says what is expected where.
        UsageError: the value map has another number of classes.
    """
    root = root_of(settings, LAYOUT)
    folder = find_folder(
        root, lambda place: (place / "images").is_dir() and (place / "masks").is_dir(), "CX-SEG"
    )
    if folder is None:
        raise nothing_found(root, "CX-SEG data", LAYOUT)
    reader = read_folder(folder, settings, name="cxseg", class_names=CHEST_CLASSES)
    return replace(reader, notes=(MEANING, *reader.notes))
