"""A generated picture with everything that is known of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Scene:
    """One picture.

    Attributes:
        image: (H, W) or (H, W, 3) float32 in [0, 1].
        labels: (H, W) uint8 class indices, 0 is background.
        instances: (H, W) int32, 0 outside of objects and a number of its own for each; None
            where objects are not told apart.
        field_of_view: (H, W) bool; None where the picture has no border of its own.
    """

    image: np.ndarray
    labels: np.ndarray
    instances: np.ndarray | None = None
    field_of_view: np.ndarray | None = None


@dataclass(frozen=True)
class Volume:
    """One volume: ``image`` (X, Y, Z) float32 in [0, 1] and ``labels`` (X, Y, Z) uint8."""

    image: np.ndarray
    labels: np.ndarray


def clouds(rng: np.random.Generator, size: tuple[int, ...], scale: float) -> np.ndarray:
    """Smooth noise of mean 0 and deviation 1, whose spots are about ``scale`` pixels wide.

    Args:
        rng: is drawn from.
        size: of the result.
        scale: deviation of the Gaussian that smooths, in pixels; 0 for white noise.
    """
    from scipy.ndimage import gaussian_filter

    noise = rng.standard_normal(size, dtype=np.float32)
    if scale > 0:
        noise = gaussian_filter(noise, scale, mode="wrap")
    noise -= noise.mean()
    deviation = float(noise.std())
    return (noise / deviation if deviation > 0 else noise).astype(np.float32)


def clipped(image: np.ndarray) -> np.ndarray:
    """float32 in [0, 1]."""
    return np.clip(image, 0.0, 1.0).astype(np.float32)


def enlarge(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels at a larger size: numbers of float type are interpolated, integers repeated.

    Args:
        pixels: (H, W) float32 or uint8.
        size: height and width of the result.
    """
    smooth = np.issubdtype(pixels.dtype, np.floating)
    method = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    picture = Image.fromarray(pixels).resize((size[1], size[0]), method)
    return np.asarray(picture).astype(pixels.dtype)
