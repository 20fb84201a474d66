"""JSRT chest radiographs with the SCR masks.

JSRT (Shiraishi et al. 2000): All247images/JPCLN001.IMG ... 154 (with a nodule) and JPCNN001.IMG
... 093 (none), each 2048 x 2048 big-endian 16-bit integers without a header, of which 12 bits
are used, stored bright where the film is dark. SCR (van Ginneken et al. 2006):
scratch/fold1/masks and fold2/masks, each with the folders heart, left lung, right lung, left
clavicle, right clavicle (with a blank in the name), a 1024 x 1024 GIF of 0 and 255 for each
image; fold1 has the odd file numbers, fold2 the even ones. Left and right are the patient's.
The landmarks (.pfs) and the clinical text are left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas.data.layouts.phantom import draw_image, draw_mask
from nas.data.scenes.scene import enlarge
from nas.data.synthesis.files import generator, require_cases, save_gif

SIDE = 2048
MASK_SIDE = 1024
DRAWN = 512
"""Side of what is drawn; the picture is enlarged from it."""
LARGEST = 4095
NODULE, NONE = 154, 93
"""Images with and without a nodule."""
ORGANS = {"heart": 1, "left lung": 2, "right lung": 3}
CLAVICLES = {"left clavicle": 2, "right clavicle": 3}
"""Name of the folder, and class of the lung it belongs to."""


def write(root: Path, cases: int, seed: int) -> None:
    """Write the .IMG files and their masks; all files have the one size of the real ones.

    Args:
        root: folder to write into.
        cases: images, 1 to 247, with and without a nodule as in the real set.
        seed: of what is drawn.

    Raises:
        ValueError: the number of cases is out of range.
    """
    require_cases(cases, 1, NODULE + NONE)
    key = int(generator(seed).integers(2**31))
    for name, number in _names(cases):
        patient = number + (0 if name.startswith("JPCLN") else NODULE)
        _write_image(root / "All247images" / f"{name}.IMG", key, patient)
        masks = root / "scratch" / ("fold1" if number % 2 else "fold2") / "masks"
        labels = draw_mask(key, patient, (MASK_SIDE, MASK_SIDE))
        for organ, label in ORGANS.items():
            save_gif(masks / organ / f"{name}.gif", labels == label)
        for organ, lung in CLAVICLES.items():
            save_gif(masks / organ / f"{name}.gif", _clavicle(labels == lung, lung))


def _names(cases: int) -> list[tuple[str, int]]:
    """Names without extension and file numbers."""
    nodules = min(NODULE, max(round(cases * NODULE / (NODULE + NONE)), cases - NONE))
    with_nodule = [(f"JPCLN{n:03d}", n) for n in range(1, nodules + 1)]
    return with_nodule + [(f"JPCNN{n:03d}", n) for n in range(1, cases - nodules + 1)]


def _write_image(path: Path, key: int, patient: int) -> None:
    film = enlarge(draw_image(key, patient, (DRAWN, DRAWN)), (SIDE, SIDE))
    stored = np.round((1.0 - np.clip(film, 0.0, 1.0)) * LARGEST).astype(">u2")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stored.tobytes())


def _clavicle(lung: np.ndarray, label: int) -> np.ndarray:
    """A bar that crosses the upper part of a lung, rising outwards, (H, W) bool."""
    rows, columns = np.nonzero(lung)
    if not len(rows):
        return np.zeros_like(lung)
    top, height = rows.min(), np.ptp(rows) + 1
    left, width = columns.min(), np.ptp(columns) + 1
    y, x = np.mgrid[: lung.shape[0], : lung.shape[1]]
    along = (x - left) / width
    outwards = along if label == CLAVICLES["left clavicle"] else 1.0 - along
    middle = top + height * (0.16 - 0.12 * outwards)
    inside: np.ndarray = (np.abs(y - middle) < 0.035 * height) & (along > -0.1) & (along < 1.1)
    return inside
