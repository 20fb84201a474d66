"""A small block of magnetic resonance imaging around one hippocampus."""

from __future__ import annotations

import numpy as np

from nas.data.scenes.scene import Volume, clipped, clouds

CLASSES = ("background", "Anterior", "Posterior")
SIZE = (35, 51, 35)
"""A usual size of the volumes of the Medical Segmentation Decathlon's task 4."""


def draw(rng: np.random.Generator, size: tuple[int, int, int] = SIZE) -> Volume:
    """A bent tube, thick in front (the head, anterior) and thin behind (body and tail).

    Args:
        rng: is drawn from.
        size: along the axes right (x), anterior (y) and superior (z).

    Returns:
        Labels 0 background, 1 anterior, 2 posterior.
    """
    x, y, z = ((np.arange(length, dtype=np.float32) + 0.5) / length * 2 - 1 for length in size)
    along = (y / rng.uniform(0.68, 0.82))[None, :, None]
    bend, tilt = rng.normal(0.25, 0.06), rng.normal(0.15, 0.05)
    across = x[:, None, None] - (bend * along**2 + rng.normal(0, 0.06) - bend / 2)
    above = z[None, None, :] - (tilt * along - rng.normal(0, 0.06))
    head = rng.uniform(0.28, 0.36)
    thickness = head * (0.72 + 0.28 * np.tanh(3 * along)) * np.sqrt(np.clip(1 - along**4, 0, 1))
    radius = np.hypot(across / 1.15, above / 0.85)
    inside = radius < thickness
    border = rng.uniform(0.02, 0.2)
    labels = np.where(inside, np.where(along > border, 1, 2), 0).astype(np.uint8)
    light = 0.38 + 0.05 * clouds(rng, size, 3.0) + 0.02 * clouds(rng, size, 0.0)
    rim = (radius < thickness + 0.1) & ~inside & (np.abs(along) < 1.1)
    image = light + 0.22 * inside + 0.04 * (labels == 1) - 0.16 * rim
    return Volume(image=clipped(image), labels=labels)
