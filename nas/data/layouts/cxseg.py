"""CX-SEG, the chest radiographs of Dong et al. 2019, as paired folders.

No public copy of the set is known, hence no original layout. Expected are images/ and masks/
of equal stems; the masks hold 0 background, 1 heart, 2 left lung, 3 right lung, where left
and right are the patient's (the right lung is on the image's left).
"""

from __future__ import annotations

from nas.data.cases import CHEST_CLASSES
from nas.data.layouts.folder import FolderReader, read_folder
from nas.data.layouts.layout import nothing_found, root_of
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
        UsageError: the value map has another number of classes.
    """
    root = root_of(settings, LAYOUT.format(root="DIR"))
    if not (root / "images").is_dir() or not (root / "masks").is_dir():
        raise nothing_found(root, "CX-SEG data", LAYOUT.format(root=root))
    return read_folder(root, settings, name="cxseg", class_names=CHEST_CLASSES)
