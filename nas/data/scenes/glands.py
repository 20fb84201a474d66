"""Glands of the colon on a section stained with haematoxylin and eosin."""

from __future__ import annotations

import numpy as np

from nas.data.scenes.blobs import strew
from nas.data.scenes.scene import Scene, clipped, clouds

CLASSES = ("background", "gland")
BENIGN = 0.06
MALIGNANT = 0.16
"""Waviness of the outlines of healthy and of malignant glands."""

_STROMA = (0.86, 0.62, 0.78)
_EPITHELIUM = (0.52, 0.32, 0.62)
_LUMEN = (0.95, 0.92, 0.95)


def draw(rng: np.random.Generator, size: tuple[int, int], waviness: float = BENIGN) -> Scene:
    """Dark rings (epithelium) around a bright lumen, in pink stroma with scattered nuclei.

    Args:
        rng: is drawn from.
        size: height and width.
        waviness: how irregular the outlines are, as a share of the radius.

    Returns:
        RGB; labels 0 background, 1 gland (ring and lumen); instances 1, 2, ...
    """
    side = min(size)
    count = max(3, round(size[0] * size[1] / side**2 * rng.integers(5, 10)))
    instances = np.zeros(size, dtype=np.int32)
    depth = np.ones(size, dtype=np.float32)
    for blob in strew(rng, size, count, (0.09 * side, 0.17 * side), 0.01 * side, waviness):
        box, radius = blob.relative_radius(size)
        free = (radius < 1.0) & (instances[box] == 0)
        if free.any():
            instances[box][free] = instances.max() + 1
            depth[box][free] = radius[free]
    return Scene(
        image=_stain(rng, size, instances > 0, depth, side),
        labels=(instances > 0).astype(np.uint8),
        instances=instances,
    )


def _stain(
    rng: np.random.Generator, size: tuple[int, int], gland: np.ndarray, depth: np.ndarray, side: int
) -> np.ndarray:
    lumen = np.clip((0.48 - depth + 0.05 * clouds(rng, size, side / 60)) / 0.06, 0.0, 1.0) * gland
    ring = gland * (1.0 - lumen)
    stroma = 1.0 - gland
    nuclei = np.clip(clouds(rng, size, side / 110) - 1.1, 0.0, 1.0) * stroma
    grain = clouds(rng, size, side / 200)
    channels = []
    for pink, purple, white in zip(_STROMA, _EPITHELIUM, _LUMEN, strict=True):
        channel = pink * stroma + purple * ring + white * lumen
        channel = channel - 0.45 * nuclei * (pink - 0.2) + 0.045 * grain * (stroma + ring)
        channels.append(channel + 0.015 * clouds(rng, size, 0.0))
    return clipped(np.stack(channels, axis=-1))
