"""Nerve fibres cut across under an electron microscope: axons in sheaths of myelin."""

from __future__ import annotations

import numpy as np

from nas.data.scenes.blobs import strew
from nas.data.scenes.scene import Scene, clipped, clouds

CLASSES = ("background", "axon", "myelin")


def draw(rng: np.random.Generator, size: tuple[int, int]) -> Scene:
    """Bright axons, each inside of a dark ring of myelin, in grey tissue.

    Args:
        rng: is drawn from.
        size: height and width.

    Returns:
        Grey; labels 0 background, 1 axon, 2 myelin; instances 1, 2, ..., one for each fibre
        (an axon with its sheath).
    """
    side = min(size)
    labels = np.zeros(size, dtype=np.uint8)
    instances = np.zeros(size, dtype=np.int32)
    room = size[0] * size[1] / side**2
    for smallest, largest, count in ((0.07, 0.12, 8), (0.03, 0.06, 40)):
        blobs = strew(rng, size, round(count * room), (smallest * side, largest * side), 0.0, 0.05)
        for blob in blobs:
            box, radius = blob.relative_radius(size)
            fibre = radius < 1.0
            if not fibre.any() or instances[box][fibre].any():
                continue
            instances[box][fibre] = instances.max() + 1
            labels[box][fibre] = 2
            labels[box][radius < rng.uniform(0.55, 0.72)] = 1
    return Scene(image=_scan(rng, size, labels, side), labels=labels, instances=instances)


def _scan(
    rng: np.random.Generator, size: tuple[int, int], labels: np.ndarray, side: int
) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    shades = np.array([0.52, 0.70, 0.22], dtype=np.float32)
    image = gaussian_filter(shades[labels], max(side / 400, 0.5))
    image += 0.06 * clouds(rng, size, side / 70) * (labels != 2)
    return clipped(image + 0.04 * clouds(rng, size, 0.6) + 0.03 * clouds(rng, size, side / 3))
