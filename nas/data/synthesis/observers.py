"""What a second person would have drawn."""

from __future__ import annotations

import numpy as np

from nas.data.scenes.scene import clouds


def second_observer(rng: np.random.Generator, drawn: np.ndarray) -> np.ndarray:
    """The same objects with an edge that is moved by a pixel or two here and there.

    Args:
        rng: is drawn from.
        drawn: (H, W) bool.

    Returns:
        (H, W) bool.
    """
    from scipy.ndimage import distance_transform_edt

    if not drawn.any() or drawn.all():
        return drawn.copy()
    outwards = distance_transform_edt(~drawn) - distance_transform_edt(drawn)
    size = (drawn.shape[0], drawn.shape[1])
    moved: np.ndarray = outwards < 1.3 * clouds(rng, size, 6.0)
    return moved
