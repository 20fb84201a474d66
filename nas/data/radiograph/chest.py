"""Geometry of a generated chest, as a radiograph seen from the front shows it.

Patient coordinates: x to the image's right, y downwards, the thorax about within -1..1. As in
every chest radiograph the patient's right lung is on the image's left. Every curve is a
formula, so that the labels are exact at any size. Shapes follow the textbook picture of a
postero-anterior radiograph; the ranges were set by eye.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Midline:
    """The line that the spine follows: x = offset + lean * y + bend * y^2."""

    offset: float
    lean: float
    bend: float

    def at(self, y: Array) -> Array:
        """x of the midline at the levels y."""
        return self.offset + self.lean * y + self.bend * y * y


@dataclass(frozen=True)
class Lung:
    """One lung in coordinates (u, y), u being the distance from the midline outwards.

    ``bulges`` are (level, size, spread) of what pushes the inner edge outwards: vessels of the
    hilum, the aortic arch.
    """

    apex: float
    apex_u: float
    width: float
    widest: float
    taper: float
    inner: float
    bulges: tuple[tuple[float, float, float], ...]
    dome: float
    dome_u: float
    depth: float
    ripple: tuple[float, float]

    def outer_edge(self, y: Array) -> Array:
        """u of the lateral edge."""
        t = np.clip((y - self.apex) / (self.widest - self.apex), 0.0, 1.0)
        rise = (1.0 - (1.0 - t) ** 2.2) ** 0.62
        below = np.maximum(y - self.widest, 0.0)
        edge = self.apex_u + (self.width - self.apex_u) * rise - self.taper * below**2
        size, phase = self.ripple
        return edge + size * np.sin(5.0 * y + phase) * t

    def inner_edge(self, y: Array) -> Array:
        """u of the edge towards the mediastinum."""
        t = np.clip((y - self.apex) / 0.3, 0.0, 1.0)
        edge = self.apex_u + (self.inner - self.apex_u) * np.sqrt(1.0 - (1.0 - t) ** 2)
        for level, size, spread in self.bulges:
            edge = edge + size * np.exp(-(((y - level) / spread) ** 2))
        return edge

    def floor(self, u: Array) -> Array:
        """y of the diaphragm."""
        outwards = np.maximum(u - self.dome_u, 0.0) / (self.width - self.dome_u)
        inwards = np.maximum(self.dome_u - u, 0.0) / self.dome_u
        return self.dome + self.depth * np.minimum(outwards, 1.3) ** 2.3 + 0.05 * inwards**2

    def margin(self, u: Array, y: Array) -> Array:
        """Positive inside the lung, about the distance to its edge."""
        sides = np.minimum(u - self.inner_edge(y), self.outer_edge(y) - u)
        ends = np.minimum(0.8 * (self.floor(u) - y), y - self.apex)
        return np.minimum(sides, ends)


@dataclass(frozen=True)
class Heart:
    """An egg whose long axis points to the image's lower right, with a waved outline."""

    x: float
    y: float
    long: float
    short: float
    tilt: float
    waves: tuple[tuple[float, float], ...]

    def _radius(self, angle: Array) -> Array:
        shape = (np.abs(np.cos(angle)) / self.long) ** 2.2
        shape = shape + (np.abs(np.sin(angle)) / self.short) ** 2.2
        radius = shape ** (-1 / 2.2)
        for order, (size, phase) in enumerate(self.waves, start=2):
            radius = radius * (1.0 + size * np.cos(order * angle + phase))
        return radius

    def relative_radius(self, x: Array, y: Array) -> Array:
        """Distance from the centre as a share of the outline's; 1 on the outline."""
        dx, dy = x - self.x, y - self.y
        angle = np.arctan2(dy, dx) - self.tilt
        return np.hypot(dx, dy) / self._radius(angle)

    def outline(self) -> tuple[Array, Array]:
        """x and y of points on the outline."""
        angle = np.linspace(-np.pi, np.pi, 181)
        radius = self._radius(angle)
        return (
            self.x + radius * np.cos(angle + self.tilt),
            self.y + radius * np.sin(angle + self.tilt),
        )


@dataclass(frozen=True)
class Rib:
    """One pair of ribs, each a ring that sinks by ``drop`` from the spine to the front."""

    level: float
    reach: float
    slope: float
    drop: float
    thickness: float

    def curve(self, start: float, stop: float) -> tuple[Array, Array]:
        """u and y of points on the ring; the angle is 0 at the spine and pi at the breastbone."""
        angle = np.linspace(start, stop, 24)
        u = self.reach * np.sin(angle) ** 0.85
        sunk = self.drop * (1.0 - np.cos(angle)) / 2 + self.slope * angle / np.pi
        return u, self.level + sunk


@dataclass(frozen=True)
class Chest:
    """One patient. ``lungs`` are (image's left, image's right)."""

    midline: Midline
    lungs: tuple[Lung, Lung]
    heart: Heart
    ribs: tuple[Rib, ...]
    shoulder: float
    flank: float
    neck: float
    arm_gap: float
    clavicles: tuple[tuple[float, float, float], tuple[float, float, float]]
    breast: float
    breast_y: float
    spine_width: float

    def across(self, side: int, x: Array, y: Array) -> Array:
        """u, the distance from the midline towards one side (0 the image's left, 1 right)."""
        return (x - self.midline.at(y)) * (1 if side else -1)


def sample_chest(rng: np.random.Generator, supine: bool) -> Chest:
    """Draw a patient; ``supine`` ones have breathed in less and show a wider heart."""
    breath = rng.normal(-0.9 if supine else 0.3, 0.8)
    midline = Midline(rng.normal(0, 0.03), rng.normal(0, 0.03), rng.normal(0, 0.03))
    width = float(np.clip(rng.normal(0.74, 0.06), 0.58, 0.88))
    turn = rng.normal(0, 0.04)
    dome = 0.38 + 0.08 * breath + rng.normal(0, 0.04)
    raised = rng.uniform(0.0, 0.25, 2) * (rng.random(2) < 0.12)
    lungs = (
        _sample_lung(rng, width - turn, dome - raised[0], right=True),
        _sample_lung(rng, width + turn, dome + rng.normal(0.045, 0.03) - raised[1], right=False),
    )
    heart = _sample_heart(rng, midline, width, lungs, 0.055 if supine else 0.0)
    return Chest(
        midline=midline,
        lungs=lungs,
        heart=heart,
        ribs=_sample_ribs(rng, lungs, width),
        shoulder=rng.uniform(-0.86, -0.66),
        flank=width + rng.uniform(0.10, 0.30),
        neck=rng.uniform(0.24, 0.34),
        arm_gap=rng.uniform(0.05, 0.25) if rng.random() < 0.25 else 0.0,
        clavicles=(_sample_clavicle(rng, turn), _sample_clavicle(rng, -turn)),
        breast=rng.uniform(0.10, 0.34) if rng.random() < 0.5 else 0.0,
        breast_y=rng.uniform(0.10, 0.36),
        spine_width=rng.uniform(0.075, 0.105),
    )


def _sample_lung(rng: np.random.Generator, width: float, dome: float, right: bool) -> Lung:
    hilum = (rng.normal(-0.06 if right else -0.11, 0.03), rng.uniform(0.01, 0.06), 0.13)
    arch = (rng.normal(-0.40, 0.04), rng.uniform(0.02, 0.09), rng.uniform(0.06, 0.10))
    vena = (-0.45, rng.uniform(0.0, 0.05), 0.2)
    return Lung(
        apex=rng.normal(-0.77, 0.045),
        apex_u=rng.uniform(0.25, 0.35),
        width=width,
        widest=rng.uniform(0.05, 0.35),
        taper=rng.uniform(-0.1, 0.35),
        inner=rng.uniform(0.095, 0.155),
        bulges=(hilum, vena if right else arch),
        dome=dome,
        dome_u=rng.uniform(0.30, 0.42),
        depth=rng.uniform(0.12, 0.32),
        ripple=(rng.uniform(0.0, 0.012), rng.uniform(0, 2 * np.pi)),
    )


def _sample_heart(
    rng: np.random.Generator,
    midline: Midline,
    width: float,
    lungs: tuple[Lung, Lung],
    enlarged: float,
) -> Heart:
    """A heart of a drawn cardiothoracic ratio, resting on the diaphragm."""
    long, short = 0.40, rng.uniform(0.26, 0.33)
    waves = tuple((rng.normal(0, 0.025), rng.uniform(0, 2 * np.pi)) for _ in range(3))
    egg = Heart(0.0, 0.0, long, short, rng.normal(0.62, 0.14), waves)
    x, y = egg.outline()
    ratio = float(np.clip(rng.normal(0.46 + enlarged, 0.05), 0.36, 0.58))
    scale = ratio * 2 * width / (x.max() - x.min())
    base = lungs[1].dome + rng.uniform(-0.01, 0.09)
    level = base - y.max() * scale
    right_share = rng.uniform(0.27, 0.38)
    right_edge = float(midline.at(np.asarray(level))) - right_share * ratio * 2 * width
    return Heart(
        x=right_edge - x.min() * scale,
        y=level,
        long=long * scale,
        short=short * scale,
        tilt=egg.tilt,
        waves=waves,
    )


def _sample_ribs(
    rng: np.random.Generator, lungs: tuple[Lung, Lung], width: float
) -> tuple[Rib, ...]:
    apex = (lungs[0].apex + lungs[1].apex) / 2
    pitch = rng.uniform(0.118, 0.145)
    slope = rng.uniform(0.10, 0.36)
    drop = rng.uniform(0.28, 0.46)
    thickness = rng.uniform(0.040, 0.056)
    ribs = []
    for number in range(11):
        share = min(1.0, 0.50 + 0.50 * (1 - (1 - min(number, 5) / 5) ** 2))
        ribs.append(
            Rib(
                level=apex - 0.02 + pitch * number + rng.normal(0, 0.006),
                reach=(width + 0.03) * share,
                slope=slope * share,
                drop=drop * min(1.0, 0.45 + 0.13 * number),
                thickness=thickness * rng.uniform(0.9, 1.1),
            )
        )
    return tuple(ribs)


def _sample_clavicle(rng: np.random.Generator, turn: float) -> tuple[float, float, float]:
    """Level of the inner end, its distance from the midline, and how steeply it rises."""
    return (rng.normal(-0.56, 0.045), 0.085 + abs(turn) * rng.uniform(0, 1), rng.uniform(0.0, 0.28))


def labels(chest: Chest, x: Array, y: Array) -> Array:
    """Class of every point, in the order of ``CHEST_CLASSES``; the heart lies over the lungs.

    Args:
        chest: the patient.
        x, y: patient coordinates, of equal shape.

    Returns:
        uint8 of the same shape: 0 background, 1 heart, 2 left lung, 3 right lung.
    """
    result = np.zeros(x.shape, dtype=np.uint8)
    for side, label in ((0, 3), (1, 2)):
        result[chest.lungs[side].margin(chest.across(side, x, y), y) > 0] = label
    result[chest.heart.relative_radius(x, y) < 1.0] = 1
    return result
