"""BIDS microscopy as axondeepseg has it: nerve fibres with their axons and their myelin.

Images: sub-X/micr/sub-X_sample-Y_SEM.png (TEM, BF and the other suffixes of BIDS microscopy too).
Labels: derivatives/labels/sub-X/micr/, of the same name and _seg-axonmyelin-manual.png (0
background, 127 or 128 myelin, 255 axon), or in two files, _seg-axon-manual.png and
_seg-myelin-manual.png (0 and 255).

Checked in axondeepseg's public data set data_axondeepseg_sem: all ten masks of both kinds hold 0,
127 (one of them 128) and 255, and one a handful of other values (130, 233), which is why values are
read by ranges as axondeepseg reads them: above 200 axon, 101 to 200 myelin (it leaves 200 itself
out). Two masks have an alpha channel, which is dropped. Sidecars lie beside the image or, for all
images of a subject, as sub-X_SEM.json. Older copies name the folder microscopy.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.cases import Case
from nas.data.groups import with_groups
from nas.data.images import open_mask, read_header
from nas.data.layouts.layout import LayoutReader, nothing_found, root_of
from nas.data.layouts.same_size import header_of
from nas.data.layouts.volume_layout import hidden
from nas.errors import DataError
from nas.settings import DataSettings

CLASSES = ("background", "axon", "myelin")
AXON, MYELIN = 1, 2
MODALITIES = (
    *("TEM", "SEM", "uCT", "BF", "DF", "PC", "DIC", "FLUO", "CONF", "PLI", "CARS", "2PE", "MPE"),
    *("SR", "NLO", "OCT", "SPIM", "XPCT"),
)
"""Suffixes of images in BIDS microscopy."""
FOLDERS = ("micr", "microscopy")
ENDINGS = (".png", ".tif", ".tiff")
MYELIN_ABOVE, AXON_ABOVE = 100, 200
BINARY_ABOVE = 127
KINDS = ("axonmyelin", "axon", "myelin")
LAYOUT = (
    "expected are sub-X/micr/sub-X_sample-Y_SEM.png (or _TEM, _BF ...) and "
    "derivatives/labels/sub-X/micr/sub-X_sample-Y_SEM_seg-axonmyelin-manual.png, as "
    "axondeepseg's data sets have them"
)
MEANING = (
    "In axon-and-myelin masks, values above 200 are axon and values of 101 to 200 myelin (127 as a "
    "rule); in masks of one of them, values above 127 are inside, and axon goes over myelin. A "
    "group is a subject."
)


@dataclass(frozen=True, kw_only=True)
class BidsReader(LayoutReader):
    """Cases of BIDS microscopy."""

    name: str = "bids"
    classes: tuple[str, ...] = CLASSES

    def read_mask(self, case: Case) -> np.ndarray:
        """(H, W) uint8 class indices."""
        if isinstance(case.mask, Path):
            return _both(case.mask)
        assert isinstance(case.mask, tuple)
        axon, myelin = (_inside(path) for path in case.mask if isinstance(path, Path))
        result = np.where(myelin, MYELIN, 0).astype(np.uint8)
        result[axon] = AXON
        return result


def _both(path: Path) -> np.ndarray:
    stored = open_mask(path)
    _require_levels(path, stored, (127, 128, 255))
    result = np.where(stored > MYELIN_ABOVE, MYELIN, 0).astype(np.uint8)
    result[stored > AXON_ABOVE] = AXON
    return result


def _inside(path: Path) -> np.ndarray:
    stored = open_mask(path)
    _require_levels(path, stored, (255,))
    return stored > BINARY_ABOVE


def _require_levels(path: Path, stored: np.ndarray, levels: tuple[int, ...]) -> None:
    """Refuse a mask most of whose foreground has other values than those of the layout."""
    foreground = stored[stored != 0]
    if 2 * np.isin(foreground, levels).sum() >= foreground.size:
        return
    values = np.unique(stored).tolist()
    shown = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
    raise DataError(
        f"{path} holds the values {shown}; expected 0 and {', '.join(map(str, levels))}: save the "
        "mask as axondeepseg does, or use --dataset folder with --value-map."
    )


def _images(root: Path) -> list[Path]:
    """The images of all subjects and sessions."""
    found = [
        path
        for folder in FOLDERS
        for path in root.glob(f"sub-*/**/{folder}/*")
        if path.suffix.lower() in ENDINGS and not hidden(path) and _modality(path) in MODALITIES
    ]
    return sorted(found)


def _base(path: Path) -> str:
    """The name without its ending, which may be .ome.tif."""
    return path.name.partition(".")[0]


def _modality(path: Path) -> str:
    return _base(path).rpartition("_")[2]


def _labels(root: Path, image: Path) -> tuple[Path, Path, Path]:
    """Where the label of both, of the axons and of the myelin of an image may be."""
    folder = root / "derivatives" / "labels" / image.parent.relative_to(root)
    first, second, third = (
        folder / f"{_base(image)}_seg-{what}-manual.png"
        for what in ("axonmyelin", "axon", "myelin")
    )
    return first, second, third


def _cases(root: Path, images: list[Path], problems: list[str], notes: list[str]) -> list[Case]:
    cases = []
    unlabelled = []
    for image in images:
        both, axon, myelin = _labels(root, image)
        there = [path for path in (axon, myelin) if path.is_file()]
        if both.is_file():
            mask: Path | tuple[Path, ...] = both
        elif len(there) == 2:
            mask = (axon, myelin)
        elif there:
            missing = myelin if there == [axon] else axon
            problems.append(f"{image} has {there[0].name}, but no {missing}: both are needed.")
            continue
        else:
            unlabelled.append((image, both))
            continue
        subject = image.relative_to(root).parts[0]
        case = Case(_base(image), image, mask, group=subject)
        if header_of(image, dict.fromkeys(case.files[1:], "mask"), problems):
            cases.append(case)
    if unlabelled:
        image, label = unlabelled[0]
        notes.append(
            f"{len(unlabelled)} images have no label and are left out, such as {image}: expected "
            f"is {label}."
        )
    return cases


def _orphans(root: Path, images: list[Path]) -> list[str]:
    """Sentences on labels whose image is not there."""
    known = {path for image in images for path in _labels(root, image)}
    found = (root / "derivatives" / "labels").glob("sub-*/**/*_seg-*-manual.png")
    return [
        f"{path} has no image in {root / path.relative_to(root / 'derivatives' / 'labels').parent}."
        for path in sorted(found)
        if path not in known
        and not hidden(path)
        and any(path.name.endswith(f"_seg-{kind}-manual.png") for kind in KINDS)
    ]


def _say_pixels(root: Path, cases: list[Case]) -> list[str]:
    """A note on the size of the pixels, from the sidecars."""
    sizes = Counter(_pixel(root, case.files[0]) for case in cases)
    unknown = sizes.pop(None, 0)
    notes = []
    if sizes:
        text = ", ".join(f"{size} ({count} images)" for size, count in sorted(sizes.items()))
        notes.append(f"Sizes of a pixel: {text}. Images are not resampled to one size of pixels.")
    if unknown:
        notes.append(f"{unknown} images have no PixelSize in a sidecar (.json).")
    return notes


def _pixel(root: Path, image: Path) -> str | None:
    """Size of a pixel, from the nearest sidecar that states it."""
    subject = image.relative_to(root).parts[0]
    modality = _modality(image)
    places = (
        image.parent / f"{_base(image)}.json",
        image.parent / f"{subject}_{modality}.json",
        root / subject / f"{subject}_{modality}.json",
        root / f"{modality}.json",
    )
    for place in places:
        content = _json(place)
        size = content.get("PixelSize")
        if isinstance(size, list) and size and all(isinstance(s, int | float) for s in size):
            unit = content.get("PixelSizeUnits", "of a unit that is not stated")
            return f"{' x '.join(f'{side:g}' for side in size)} {unit}"
    return None


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    return content if isinstance(content, dict) else {}


def survey(settings: DataSettings) -> BidsReader:
    """The reader of BIDS microscopy under ``settings.data_root``.

    Raises:
        DataError: nothing is found, or a sidecar cannot be read; says what is expected.
    """
    root = root_of(settings, LAYOUT)
    images = _images(root)
    if not images:
        raise nothing_found(root, "images of BIDS microscopy", LAYOUT)
    problems: list[str] = []
    notes = [MEANING]
    cases = _cases(root, images, problems, notes)
    problems += _orphans(root, images)
    if not cases and not problems:
        raise nothing_found(root, f"labels of its {len(images)} images", LAYOUT)
    notes += _say_pixels(root, cases)
    if not (root / "dataset_description.json").is_file():
        notes.append(f"{root} has no dataset_description.json, which BIDS asks for.")
    return BidsReader(
        channels=settings.image_channels or _channels(cases),
        cases=with_groups(cases, settings.groups, problems),
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _channels(cases: list[Case]) -> int:
    """3 as soon as one image has colours (grey ones are repeated), else 1."""
    return max((read_header(case.files[0]).channels for case in cases), default=1)
