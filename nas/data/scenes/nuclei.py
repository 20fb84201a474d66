"""Fluorescent nuclei on black."""

from __future__ import annotations

import numpy as np

from nas.data.scenes.blobs import strew
from nas.data.scenes.scene import Scene, clipped, clouds

CLASSES = ("background", "nucleus")


def draw(rng: np.random.Generator, size: tuple[int, int]) -> Scene:
    """Bright round nuclei of unequal brightness; some touch.

    Args:
        rng: is drawn from.
        size: height and width.

    Returns:
        Grey; labels 0 background, 1 nucleus; instances 1, 2, ...
    """
    side = min(size)
    count = int(rng.integers(12, 28))
    instances = np.zeros(size, dtype=np.int32)
    image = 0.05 + 0.015 * clouds(rng, size, side / 6)
    texture = clouds(rng, size, side / 80)
    for blob in strew(rng, size, count, (0.03 * side, 0.065 * side), -0.02 * side, 0.05):
        box, radius = blob.relative_radius(size)
        free = (radius < 1.0) & (instances[box] == 0)
        if free.any():
            instances[box][free] = instances.max() + 1
            light = rng.uniform(0.25, 0.8) * (1.0 - 0.35 * radius[free] ** 2)
            image[box][free] += light * (1.0 + 0.12 * texture[box][free])
    image = image + 0.01 * clouds(rng, size, 0.0)
    return Scene(image=clipped(image), labels=(instances > 0).astype(np.uint8), instances=instances)
