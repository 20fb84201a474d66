"""The film that a hospital makes of the attenuation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from nas.data.radiograph.frame import Canvas, Frame, cloud, ramp

Array = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Hospital:
    """How one hospital positions its patients, takes films and develops them.

    Pairs named (mean, spread) are drawn for each film from a normal distribution. Lengths are
    in film units, the tilt in degrees.
    """

    name: str
    share: float
    """Share of all cases."""
    supine: float
    """Share of patients who lie down."""
    devices: float
    """Share of patients with catheters, electrodes, a pacemaker."""
    zoom: tuple[float, float]
    tilt: float
    exposure: tuple[float, float]
    """Darker films above 0, (mean, spread)."""
    contrast: tuple[float, float]
    scatter: float
    """Share of the picture that is a wide glow of itself, 0..1."""
    blur: float
    grain: float
    edges: float
    """Strength of the edge enhancement."""
    uneven: float
    """Spread of the brightness from one border to the other."""
    shutters: float
    """Share of films whose collimation shows as a black border."""
    marker: tuple[float, float]
    """Film coordinates of the letter of the side."""


HOSPITALS = (
    Hospital(
        name="a", share=0.20, supine=0.0, devices=0.10, zoom=(1.16, 0.05), tilt=1.5,
        exposure=(0.0, 0.10), contrast=(3.0, 0.4), scatter=0.25, blur=0.003, grain=0.025,
        edges=0.2, uneven=0.10, shutters=0.0, marker=(0.80, -0.82),
    ),
    Hospital(
        name="b", share=0.16, supine=0.1, devices=0.05, zoom=(1.20, 0.07), tilt=3.0,
        exposure=(-0.12, 0.20), contrast=(2.1, 0.4), scatter=0.35, blur=0.007, grain=0.075,
        edges=0.0, uneven=0.25, shutters=0.1, marker=(-0.80, -0.70),
    ),
    Hospital(
        name="c", share=0.16, supine=1.0, devices=0.70, zoom=(1.12, 0.10), tilt=6.0,
        exposure=(0.10, 0.20), contrast=(1.9, 0.4), scatter=0.65, blur=0.010, grain=0.055,
        edges=0.0, uneven=0.35, shutters=0.3, marker=(0.75, -0.60),
    ),
    Hospital(
        name="d", share=0.14, supine=0.1, devices=0.20, zoom=(1.16, 0.04), tilt=2.0,
        exposure=(0.0, 0.10), contrast=(3.4, 0.4), scatter=0.30, blur=0.002, grain=0.030,
        edges=0.7, uneven=0.10, shutters=0.1, marker=(0.84, -0.35),
    ),
    Hospital(
        name="e", share=0.14, supine=0.2, devices=0.25, zoom=(1.08, 0.08), tilt=3.5,
        exposure=(-0.30, 0.15), contrast=(3.6, 0.6), scatter=0.30, blur=0.004, grain=0.040,
        edges=0.2, uneven=0.20, shutters=0.9, marker=(-0.70, -0.85),
    ),
    Hospital(
        name="f", share=0.12, supine=0.4, devices=0.35, zoom=(1.00, 0.10), tilt=5.0,
        exposure=(0.28, 0.15), contrast=(2.6, 0.5), scatter=0.50, blur=0.005, grain=0.100,
        edges=0.0, uneven=0.40, shutters=0.3, marker=(0.85, 0.80),
    ),
    Hospital(
        name="g", share=0.08, supine=0.3, devices=0.30, zoom=(0.88, 0.10), tilt=7.0,
        exposure=(0.05, 0.22), contrast=(2.7, 0.7), scatter=0.40, blur=0.006, grain=0.060,
        edges=0.4, uneven=0.45, shutters=0.8, marker=(0.70, -0.75),
    ),
)  # fmt: skip


def develop(dense: Array, frame: Frame, hospital: Hospital, rng: np.random.Generator) -> Array:
    """The film of an attenuation, (H, W) float32 in [0, 1]; what is dense is bright.

    In this order: scatter, blur, edge enhancement, unevenness, quantum noise (more behind dense
    parts, and in finer pixels), the S-shaped curve of the film, the letter, the shutters. The
    noise of the pixels has a generator of its own, so that the rest is equal at every size.
    """
    pixels = min(dense.shape) / 2
    (grain,) = rng.spawn(1)
    x, y = frame.film()
    across, down = rng.normal(0, 0.6 * hospital.uneven, 2)
    seen = _seen(dense, hospital, pixels) + across * x + down * y
    seen = seen + _noise(dense, hospital, grain, pixels)
    film = _tone(seen, hospital, rng)
    film = np.maximum(film, _letter(frame, hospital, rng))
    if rng.random() < hospital.shutters:
        film = film * _opening(frame, rng)
    return film.astype(np.float32)


def _seen(dense: Array, hospital: Hospital, pixels: float) -> Array:
    glow = hospital.scatter / 2
    seen = (1 - glow) * dense + glow * _blurred(dense, 0.25 * pixels)
    seen = gaussian_filter(seen, hospital.blur * pixels)
    return seen + hospital.edges * (seen - _blurred(seen, 0.06 * pixels))


def _blurred(field: Array, sigma: float) -> Array:
    """Gaussian blur, at a quarter of the resolution where it is wide."""
    if sigma < 6:
        return gaussian_filter(field, sigma)
    height, width = field.shape
    small = np.asarray(Image.fromarray(field.astype(np.float32)).reduce(4))
    soft = Image.fromarray(gaussian_filter(small, sigma / 4))
    return np.asarray(soft.resize((width, height), Image.Resampling.BILINEAR))


def _noise(dense: Array, hospital: Hospital, rng: np.random.Generator, pixels: float) -> Array:
    fine = cloud(rng, 90, dense.shape)
    grain = rng.standard_normal(dense.shape).astype(np.float32) * np.sqrt(pixels / 64)
    return 0.7 * hospital.grain * (grain + fine) * np.exp(0.5 * np.minimum(dense, 2.4) - 0.6)


def _tone(seen: Array, hospital: Hospital, rng: np.random.Generator) -> Array:
    middle = 1.02 - 0.9 * rng.normal(*hospital.exposure)
    slope = max(rng.normal(*hospital.contrast), 1.2)
    black, white = (1 / (1 + np.exp(-slope * (level - middle))) for level in (0.0, 2.0))
    film = 1 / (1 + np.exp(-slope * (seen - middle)))
    return np.clip((film - black) / (white - black), 0.0, 1.0)


def _letter(frame: Frame, hospital: Hospital, rng: np.random.Generator) -> Array:
    """The letter of the side: the patient's right is on the film's left."""
    x, y = hospital.marker
    canvas = Canvas(frame)
    place = (x + rng.normal(0, 0.04), y + rng.normal(0, 0.05))
    canvas.letters(place, "R" if x < 0 else "L", 0.11, 0.95)
    return canvas.scaled()


def _opening(frame: Frame, rng: np.random.Generator) -> Array:
    """1 where the collimator is open, 0 under its shutters."""
    x, y = frame.film()
    angle = rng.normal(0, 0.02)
    across, down = x + angle * y, y - angle * x
    left, right, top, bottom = 1.0 - np.abs(rng.normal(0.02, 0.07, 4))
    columns = ramp(across + left, 0.02) * ramp(right - across, 0.02)
    return columns * ramp(down + top, 0.02) * ramp(bottom - down, 0.02)
