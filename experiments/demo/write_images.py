"""Write radiographs of patients beyond the 259 cases of the phantom, for nas-predict.

python experiments/demo/write_images.py OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from nas.data.layouts.phantom import CASES, draw_image

COUNT = 4
SIZE = (256, 224)


def write_images(out: Path) -> None:
    """Write grey 8-bit PNG files, larger than the networks of the demo see them."""
    out.mkdir(parents=True)
    for number in range(CASES, CASES + COUNT):
        pixels = (255 * draw_image(0, number, SIZE)).round().astype(np.uint8)
        Image.fromarray(pixels).save(out / f"patient{number}.png")


if __name__ == "__main__":
    write_images(Path(sys.argv[1]))
