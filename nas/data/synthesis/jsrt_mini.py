"""The small JSRT set for segmentation (segmentation02.zip of imgcom.jsrt.or.jp).

segmentation/org_train/caseNNN.bmp and segmentation/label_train/caseNNN_label.png, the same with
_test; 199 and 48 images of 8 bits. Labels: 0 outside of the body, 85 heart, 170 body outside of
the lungs, 255 lung; left and right lung are not told apart. Folder names as in torch-em's
loader (constantinpape/torch-em, medical/jsrt.py). That the numbers run on from the training to
the test images, and the side of 256 pixels, are assumptions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas.data.scenes import chest
from nas.data.synthesis.files import (
    bytes_of,
    generator,
    require_cases,
    require_size,
    save_picture,
)

SIZE = (256, 256)
TRAIN, TEST = 199, 48
OUTSIDE, HEART, BODY, LUNG = 0, 85, 170, 255


def write(root: Path, cases: int, seed: int, size: tuple[int, int] = SIZE) -> None:
    """Write the images (8-bit grey BMP) and labels (8-bit grey PNG).

    Args:
        root: folder to write into.
        cases: images, 2 to 247; a fifth of them, as in the real set, for test.
        seed: of what is drawn.
        size: height and width.

    Raises:
        ValueError: the number of cases is out of range, or the size too small.
    """
    require_cases(cases, 2, TRAIN + TEST)
    require_size(size, 32)
    test = max(1, round(cases * TEST / (TRAIN + TEST)))
    for number in range(1, cases + 1):
        part = "train" if number <= cases - test else "test"
        picture = chest.draw(generator(seed, number), size)
        body = _body(picture.labels)
        image = np.where(body, picture.image, 0.05 * picture.image)
        labels = np.select(
            [picture.labels == 1, picture.labels >= 2, body], [HEART, LUNG, BODY], OUTSIDE
        )
        folder = root / "segmentation"
        save_picture(folder / f"org_{part}" / f"case{number:03d}.bmp", bytes_of(image))
        save_picture(
            folder / f"label_{part}" / f"case{number:03d}_label.png", labels.astype(np.uint8)
        )


def _body(labels: np.ndarray) -> np.ndarray:
    """The trunk around the organs, widening downwards, (H, W) bool."""
    rows, columns = np.nonzero(labels)
    left, width = columns.min(), np.ptp(columns) + 1
    top, height = rows.min(), np.ptp(rows) + 1
    y, x = np.mgrid[: labels.shape[0], : labels.shape[1]]
    below = np.clip((y - top + 0.15 * height) / height, 0.0, 1.0)
    half = width * (0.2 + 0.45 * below**0.4)
    inside: np.ndarray = (np.abs(x - (left + width / 2)) < half) & (below > 0) | (labels > 0)
    return inside
