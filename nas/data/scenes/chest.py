"""Chest radiographs, from the generator of the built-in data set."""

from __future__ import annotations

import numpy as np

from nas.data.cases import CHEST_CLASSES
from nas.data.layouts.phantom import draw_image, draw_mask
from nas.data.scenes.scene import Scene, enlarge

CLASSES = CHEST_CLASSES
LARGEST = 640
"""Longer side in pixels of what is drawn; larger pictures are enlarged from it."""


def draw(rng: np.random.Generator, size: tuple[int, int]) -> Scene:
    """The radiograph of a patient who is drawn anew.

    Args:
        rng: is drawn from.
        size: height and width.

    Returns:
        Grey, bones bright; labels 0 background, 1 heart, 2 left lung, 3 right lung, left and
        right being the patient's (the right lung is on the image's left).
    """
    seed, patient = (int(number) for number in rng.integers(2**31, size=2))
    scale = min(1.0, LARGEST / max(size))
    drawn = (max(round(size[0] * scale), 1), max(round(size[1] * scale), 1))
    image, labels = draw_image(seed, patient, drawn), draw_mask(seed, patient, drawn)
    if drawn != size:
        image, labels = enlarge(image, size), enlarge(labels, size)
    return Scene(image=image, labels=labels)
