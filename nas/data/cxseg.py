"""CX-SEG, the chest radiographs of Dong et al. 2019, as paired folders.

No public copy of the set is known, hence no original layout. Expected are images/ and masks/
of equal stems; the masks hold 0 background, 1 heart, 2 left lung, 3 right lung, where left
and right are the patient's (the right lung is on the image's left).
"""

from __future__ import annotations

from nas.data.cases import CHEST_CLASSES
from nas.data.folder import FolderReader, read_folder
from nas.errors import DataError, UsageError
from nas.settings import DataSettings

LAYOUT = (
    "expected are {root}/images/*.png and {root}/masks/*.png of equal stems, the masks with the "
    "values 0 background, 1 heart, 2 left lung, 3 right lung (the patient's left and right). "
    "CX-SEG has no public download; --dataset phantom runs now, on built-in generated chest "
    "radiographs"
)


def survey(settings: DataSettings) -> FolderReader:
    """The reader of CX-SEG under ``settings.data_root``.

    Raises:
        DataError: nothing is found; says what is expected where.
        UsageError: class names are given that are not those of the chest, or the value map has
            another number of classes.
    """
    root = settings.data_root
    if root is None:
        raise DataError(f"--dataset cxseg needs --data-root: {LAYOUT.format(root='DIR')}.")
    if not (root / "images").is_dir() or not (root / "masks").is_dir():
        raise DataError(f"No CX-SEG data is found in {root}: {LAYOUT.format(root=root)}.")
    if settings.class_names and settings.class_names != CHEST_CLASSES:
        raise UsageError(
            f"The classes of cxseg are {', '.join(CHEST_CLASSES)}; do not rename them."
        )
    return read_folder(root, settings, name="cxseg", class_names=CHEST_CLASSES)
