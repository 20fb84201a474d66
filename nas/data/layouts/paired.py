"""The forms in which paired folders are published, and the pairs of files in them.

Known are images/ and masks/, and img_dir/ and ann_dir/ (MMSegmentation), either directly in the
data root, or in train/, val/ and test/ of it, or with train/, val/ and test/ inside of each of the
two. A mask is named like its image, or with _mask or _anno behind. Beside images/ (or img_dir/)
may stand instances/ and fov/, with files named like the images.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from nas.data.cases import Subset, natural_order
from nas.data.images import IMAGE_SUFFIXES
from nas.data.layouts.layout import archives_in, nothing_found
from nas.errors import DataError

SUBSETS: tuple[Subset, ...] = ("train", "val", "test")
NAMES = (("images", "masks"), ("img_dir", "ann_dir"))
ENDINGS = ("", "_mask", "_anno")
"""What may stand behind the stem of an image in the name of its mask."""
INSTANCES, FIELD_OF_VIEW = "instances", "fov"
EXPECTED = (
    "expected are images/ and masks/ (or img_dir/ and ann_dir/), or train/, val/ and test/ with "
    "both in each"
)


class Place(NamedTuple):
    """The folders of one subset, or of all cases.

    Attributes:
        subset: None where all cases lie together.
        images: folder of the images.
        masks: folder of the masks.
        instances: folder of the numbered objects, where there is one.
        views: folder of the fields of view, where there is one.
    """

    subset: Subset | None
    images: Path
    masks: Path
    instances: Path | None
    views: Path | None


class Pair(NamedTuple):
    """The files of one image."""

    stem: str
    subset: Subset | None
    image: Path
    mask: Path
    instances: Path | None
    view: Path | None


def places_in(root: Path) -> tuple[list[Place], list[str]]:
    """The folders of paired files below a root, and sentences on their form.

    Raises:
        DataError: none of the forms is there, only half of one, or several are.
    """
    forms: list[tuple[list[Place], str]] = []
    for images, masks in NAMES:
        pair = f"{images}/ and {masks}/"
        direct = _place(None, root, "", images, masks)
        if direct is not None:
            inside = [_place(s, root, s, images, masks) for s in SUBSETS]
            forms.append(_form(inside, f"{pair} hold") or ([direct], f"{pair} hold all cases"))
        beside = [_place(s, root / s, "", images, masks) for s in SUBSETS]
        outside = _form(beside, f"{pair} stand in")
        if outside:
            forms.append(outside)
    if len(forms) > 1:
        raise DataError(
            f"{root} is arranged in two ways: {forms[0][1]}, and {forms[1][1]}. Keep one of them."
        )
    if not forms:
        raise _nothing(root)
    places, how = forms[0]
    notes = [] if how == "images/ and masks/ hold all cases" else [f"{how}."]
    return places, notes + _extras(places)


def _place(subset: Subset | None, root: Path, inside: str, images: str, masks: str) -> Place | None:
    folders = [root / name / inside for name in (images, masks, INSTANCES, FIELD_OF_VIEW)]
    if not folders[0].is_dir() or not folders[1].is_dir():
        return None
    extras = [folder if folder.is_dir() else None for folder in folders[2:]]
    return Place(subset, folders[0], folders[1], extras[0], extras[1])


def _form(found: Iterable[Place | None], how: str) -> tuple[list[Place], str] | None:
    places = [place for place in found if place is not None]
    if not places:
        return None
    names = [str(place.subset) for place in places]
    return places, f"{how} {', '.join(f'{name}/' for name in names)}, which are the split"


def _nothing(root: Path) -> DataError:
    """The error for a root in none of the forms; where half of one is there, it names the other."""
    for place in (root, *(root / subset for subset in SUBSETS)):
        for pair in NAMES:
            here = [(place / name).is_dir() for name in pair]
            if any(here):
                missing = pair[here.index(False)]
                return nothing_found(place, f"folder {missing}/", EXPECTED)
    return nothing_found(root, "images/ and masks/", EXPECTED)


def _extras(places: list[Place]) -> list[str]:
    notes = []
    if any(place.instances for place in places):
        notes.append("instances/ numbers the objects, each with a number of its own.")
    if any(place.views for place in places):
        notes.append("fov/ is the field of view: scores count the pixels that are not 0 there.")
    return notes


def files_of(folder: Path, problems: list[str]) -> dict[str, Path]:
    """The image files of a folder by stem; files of other kinds and hidden ones do not count.

    Args:
        folder: to look into.
        problems: archives, and two files of one stem, are added here.
    """
    stems: dict[str, list[Path]] = defaultdict(list)
    for path in folder.iterdir():
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
            stems[path.stem].append(path)
    for archive in archives_in(folder):
        problems.append(f"{archive} is an archive where images are expected: unpack it there.")
    for paths in stems.values():
        if len(paths) > 1:
            names = " and ".join(sorted(p.name for p in paths))
            problems.append(f"{folder} holds {names}, two files of one stem: keep one of them.")
    return {stem: paths[0] for stem, paths in stems.items() if len(paths) == 1}


def pairs_in(place: Place, problems: list[str]) -> tuple[list[Pair], str]:
    """The complete pairs of a place in natural order, and what stands behind the stem in the names
    of its masks; what is incomplete is added to the problems."""
    images = files_of(place.images, problems)
    masks = files_of(place.masks, problems)
    ending = _ending(images.keys(), masks.keys())
    named = {f"{stem}{ending}": stem for stem in images}
    for stem in natural_order(stem for name, stem in named.items() if name not in masks):
        problems.append(
            f"{images[stem]} has no mask: expected {place.masks / (stem + ending)}.png (or .tif, "
            ".bmp, .gif)."
        )
    for name in natural_order(masks.keys() - named.keys()):
        problems.append(f"{masks[name]} has no image of the same stem in {place.images}.")
    stems = natural_order(stem for name, stem in named.items() if name in masks)
    instances = _beside(place.instances, images, problems)
    views = _beside(place.views, images, problems)
    pairs = [
        Pair(
            stem,
            place.subset,
            images[stem],
            masks[f"{stem}{ending}"],
            instances.get(stem),
            views.get(stem),
        )
        for stem in stems
    ]
    return pairs, ending


def _ending(images: Iterable[str], masks: Iterable[str]) -> str:
    """The ending with which most images have a mask; the first of them where none has."""
    names = set(masks)
    stems = list(images)
    return max(ENDINGS, key=lambda ending: sum(f"{stem}{ending}" in names for stem in stems))


def _beside(folder: Path | None, images: dict[str, Path], problems: list[str]) -> dict[str, Path]:
    """The files of instances/ or fov/ by stem, where there is such a folder."""
    if folder is None:
        return {}
    files = files_of(folder, problems)
    for stem in natural_order(images.keys() - files.keys()):
        problems.append(
            f"{images[stem]} has no file in {folder.name}/: expected {folder / stem}.png."
        )
    for stem in natural_order(files.keys() - images.keys()):
        problems.append(f"{files[stem]} has no image of the same stem.")
    return files
