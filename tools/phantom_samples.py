"""Draw samples of the phantom, with and without their labels, into docs/images/phantom.png."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from nas.data.layouts.phantom import draw_image, draw_mask

COLOURS = np.asarray([[0, 0, 0], [213, 94, 0], [0, 158, 115], [86, 180, 233]]) / 255
"""Background, heart, left lung, right lung; distinct for colour-blind readers."""
CASES = (32, 59, 10, 15, 20, 44, 46)
"""One case of each hospital, a to g."""
SIDE = 224
GAP = 6


def overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W) grey in [0, 1] and classes to (H, W, 3), labelled pixels tinted."""
    grey = np.repeat(image[..., None], 3, axis=-1)
    tinted = 0.55 * grey + 0.45 * COLOURS[mask]
    return np.where((mask > 0)[..., None], tinted, grey)


def sheet(cases: tuple[int, ...], side: int) -> np.ndarray:
    """A row of films over a row of the same films with their labels, (H, W, 3) in [0, 1]."""
    size = (side, side)
    films = [draw_image(0, number, size) for number in cases]
    rows = [
        [np.repeat(film[..., None], 3, axis=-1) for film in films],
        [overlay(f, draw_mask(0, n, size)) for f, n in zip(films, cases, strict=True)],
    ]
    gap = np.ones((side, GAP, 3))
    lines = [np.concatenate([p for q in row for p in (q, gap)][:-1], axis=1) for row in rows]
    return np.concatenate([lines[0], np.ones((GAP, lines[0].shape[1], 3)), lines[1]])


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).parents[1] / "docs" / "images" / "phantom.png"
    parser.add_argument("-o", "--output", type=Path, default=default)
    parser.add_argument("--cases", type=int, nargs="+", default=list(CASES), help="case numbers")
    parser.add_argument("--side", type=int, default=SIDE, help="side of a film in pixels")
    options = parser.parse_args()
    picture = Image.fromarray((255 * sheet(tuple(options.cases), options.side)).astype(np.uint8))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(256).save(options.output, optimize=True)


if __name__ == "__main__":
    main()
