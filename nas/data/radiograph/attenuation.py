"""What a ray loses on its way through a generated chest.

Attenuations add up along a ray: about 0 in air, 0.5 in a healthy lung, 1.8 in the abdomen.
Disease, gas, and devices change the picture and never a label.
"""

from __future__ import annotations

import math

import numpy as np

from nas.data.radiograph.chest import Chest, Lung, Rib
from nas.data.radiograph.frame import Canvas, Frame, Point, cloud, ramp

Array = np.ndarray

SOFT_TISSUE = 1.62
AIR = 1.13


def attenuation(chest: Chest, frame: Frame, rng: np.random.Generator, devices: bool) -> Array:
    """Attenuation of every pixel of the film.

    Args:
        chest: the patient.
        frame: size of the film and the place of the patient on it.
        rng: draws everything that is not geometry: disease, vessels, gas, devices.
        devices: whether the patient wears catheters, electrodes, a pacemaker.

    Returns:
        (H, W) float32, not negative.
    """
    x, y = frame.patient()
    sides = (chest.across(0, x, y), chest.across(1, x, y))
    trunk, silhouette = _trunk(chest, sides[1], y)
    total = SOFT_TISSUE * trunk
    total -= _air_of_lungs(chest, frame, rng, sides, x, y)
    total += silhouette * _bones(chest, frame, rng, sides, y)
    total += silhouette * _soft_parts(chest, rng, sides, y)
    total -= _gas(chest, rng, sides, y)
    if devices:
        total += 1.1 * _devices(chest, frame, rng)
    return np.maximum(total, 0.0)


def _trunk(chest: Chest, u: Array, y: Array) -> tuple[Array, Array]:
    """Thickness of neck, shoulders and trunk, and their silhouette."""
    off = np.abs(u)
    fall = np.clip((y - chest.shoulder + 0.40) / 0.46, 0.0, 1.0) ** 1.9
    arm = 1.06 + 0.25 * np.clip(y + 0.6, 0.0, 0.4)
    half = chest.neck + (arm - chest.neck) * fall
    depth = np.sqrt(np.clip(1.0 - (off / half) ** 4, 0.0, 1.0))
    depth *= 0.82 + 0.18 * np.clip((y + 0.9) / 1.2, 0.0, 1.0)
    reach = chest.arm_gap * np.maximum(y - chest.shoulder - 0.55, 0.0)
    gap = ramp(reach - np.abs(off - chest.flank - 0.03 - reach) - 0.015, 0.03)
    return depth * (1 - 0.9 * gap), ramp(half - off, 0.02) * (1 - gap)


def _air_of_lungs(
    chest: Chest,
    frame: Frame,
    rng: np.random.Generator,
    sides: tuple[Array, Array],
    x: Array,
    y: Array,
) -> Array:
    """Attenuation that is missing where there is air in the lungs."""
    sharp = rng.uniform(2.5, 7.0)
    beside = np.minimum(chest.heart.relative_radius(x, y), 1.0)
    heart = np.sqrt(1.0 - beside**sharp)
    vessels = _vessels(chest, frame, rng)
    texture = 1.0 + rng.uniform(0.02, 0.09) * cloud(rng, 14, x.shape, octaves=3)
    total = np.zeros_like(x)
    for lung, u in zip(chest.lungs, sides, strict=True):
        inside = ramp(lung.margin(u, y), 0.018 + 0.25 * heart)
        across = np.clip(u / lung.outer_edge(y), 0.0, 1.0)
        air = AIR * inside * np.sqrt(1.04 - across**4) * (1.0 - 0.9 * heart) * texture
        air *= 1.0 - np.clip(_disease(rng, lung, u, y) + _root(rng, lung, u, y), 0.0, 0.96)
        total += air * (1.0 - 0.55 * vessels)
        behind = ramp(lung.floor(u) + 0.16 - y, 0.25) * ramp(lung.outer_edge(y) - u, 0.03)
        total += 0.16 * behind * (1 - inside) * ramp(u - 0.15, 0.1) * ramp(y, 0.05)
    return total


def _bump(u: Array, y: Array, centre: Point, radii: Point) -> Array:
    return np.exp(-(((u - centre[0]) / radii[0]) ** 2) - ((y - centre[1]) / radii[1]) ** 2)


def _root(rng: np.random.Generator, lung: Lung, u: Array, y: Array) -> Array:
    """Air displaced beside the mediastinum: hilum, great vessels, fat beside the heart."""
    hilum = (rng.uniform(0.14, 0.20), lung.bulges[0][0])
    total = rng.uniform(0.2, 0.7) * _bump(u, y, hilum, (0.08, 0.12))
    trunk = (0.10, rng.uniform(-0.30, -0.12))
    total += rng.uniform(0.0, 0.9) * _bump(u, y, trunk, (rng.uniform(0.06, 0.16), 0.2))
    fat = (rng.uniform(0.15, 0.5), lung.dome)
    total += rng.uniform(0.0, 0.8) * _bump(u, y, fat, (0.12, rng.uniform(0.05, 0.12)))
    return total


def _disease(rng: np.random.Generator, lung: Lung, u: Array, y: Array) -> Array:
    """Share of the air that disease displaces: haze, infiltrates, a dense lobe, fluid."""
    haze = rng.uniform(0.0, 0.15) + rng.uniform(0.0, 0.4) * ramp(y - 0.1, 1.0)
    for _ in range(rng.choice(5, p=(0.45, 0.26, 0.15, 0.09, 0.05))):
        centre = (rng.uniform(0.12, 0.75), rng.uniform(-0.65, 0.45))
        radii = (rng.uniform(0.07, 0.30), rng.uniform(0.07, 0.30))
        spots = np.clip(0.65 + 0.55 * cloud(rng, 9, u.shape, octaves=2), 0.0, 1.4)
        haze = haze + rng.uniform(0.3, 1.0) * _bump(u, y, centre, radii) * spots
    if rng.random() < 0.09:
        fissure = rng.uniform(-0.25, 0.15) + rng.uniform(-0.3, 0.3) * u
        upper = 1.0 if rng.random() < 0.5 else -1.0
        haze = haze + rng.uniform(0.4, 0.95) * ramp(upper * (fissure - y), 0.05)
    if rng.random() < 0.15:
        fluid = rng.uniform(0.05, 0.30) if rng.random() < 0.75 else rng.uniform(0.3, 0.9)
        level = lung.dome + 0.15 - fluid - 0.25 * np.clip(u / lung.width, 0.0, 1.2) ** 3
        haze = haze + 0.96 * ramp(y - level, 0.08)
    return haze


def _vessels(chest: Chest, frame: Frame, rng: np.random.Generator) -> Array:
    """Ink of the vascular trees that leave both hila."""
    canvas = Canvas(frame)
    strength = rng.uniform(0.25, 0.7)
    for sign, lung in zip((-1, 1), chest.lungs, strict=True):
        for heading in np.linspace(-1.25, 1.35, 13) + rng.normal(0, 0.1, 13):
            x = chest.midline.offset + sign * 0.13 + rng.normal(0, 0.02)
            root = (float(x), lung.bulges[0][0] + rng.normal(0, 0.02))
            _grow(canvas, rng, root, float(heading), rng.uniform(0.014, 0.030), sign, strength)
    return canvas.scaled()


def _grow(
    canvas: Canvas,
    rng: np.random.Generator,
    start: Point,
    heading: float,
    width: float,
    sign: int,
    strength: float,
) -> None:
    """Draw a vessel and, thinner and thinner, its branches."""
    points = [start]
    turns = rng.normal(0, 0.16, 3).tolist()
    for turn, step in zip(turns, rng.uniform(0.035, 0.07, 3).tolist(), strict=True):
        heading += turn
        x, y = points[-1]
        points.append((x + sign * step * math.cos(heading), y + step * math.sin(heading)))
    canvas.line(points, width, strength * min(1.0, 0.2 + width * 28))
    if width > 0.008:
        spread, first, second = rng.uniform((0.15, 0.55, 0.60), (0.50, 0.80, 0.85)).tolist()
        _grow(canvas, rng, points[-1], heading + spread, width * first, sign, strength)
        _grow(canvas, rng, points[-1], heading - spread, width * second, sign, strength)


def _bones(
    chest: Chest, frame: Frame, rng: np.random.Generator, sides: tuple[Array, Array], y: Array
) -> Array:
    """Ribs, collar bones, shoulders and spine."""
    behind = _ribs(chest, frame, 0.10, 1.62)
    front = _ribs(chest, frame, 1.50, rng.uniform(2.3, 2.65))
    total = 0.15 * behind + rng.uniform(0.08, 0.14) * front
    for side in (0, 1):
        total += _collar_bone(chest, side, sides[side], y)
        total += _shoulder(chest, sides[side], y)
    return rng.uniform(0.6, 1.3) * (total + _spine(chest, np.abs(sides[1]), y))


def _ribs(chest: Chest, frame: Frame, start: float, stop: float) -> Array:
    """Ink of all ribs between two angles; the walls of a rib are denser than its middle."""
    canvas = Canvas(frame)
    for sign in (-1, 1):
        for rib in chest.ribs:
            points = _points_of_rib(chest, rib, sign, start, stop)
            canvas.line(points, rib.thickness, 1.0)
            canvas.line(points, rib.thickness * 0.55, 0.72)
    return canvas.scaled()


def _points_of_rib(chest: Chest, rib: Rib, sign: int, start: float, stop: float) -> list[Point]:
    u, y = rib.curve(start, stop)
    x = chest.midline.at(y) + sign * u
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _tube(distance: Array, half: float | Array) -> Array:
    """Attenuation across a hollow bone: more in its walls than in the middle."""
    t = np.clip(np.abs(distance) / half, 0.0, 1.0)
    return np.sqrt(1.0 - t**2) * (0.62 + 0.55 * t**3)


def _collar_bone(chest: Chest, side: int, u: Array, y: Array) -> Array:
    level, inner, rise = chest.clavicles[side]
    t = np.clip((u - inner) / (0.82 - inner), 0.0, 1.0)
    centre = level - rise * t - 0.035 * np.sin(2 * np.pi * t)
    half = 0.034 - 0.012 * np.sin(np.pi * t)
    return 0.30 * _tube(y - centre, half) * ramp(u - inner, 0.03) * ramp(0.84 - u, 0.05)


def _shoulder(chest: Chest, u: Array, y: Array) -> Array:
    """Head and shaft of the upper arm, and the faint blade beside the lung."""
    below = y - chest.shoulder
    head = np.sqrt(np.clip(1.0 - ((u - 0.97) / 0.13) ** 2 - ((below - 0.06) / 0.13) ** 2, 0, 1))
    shaft = _tube(u - 0.99 - 0.05 * below, 0.06) * ramp(below - 0.1, 0.1)
    inner = 0.66 + 0.25 * (below - 0.45) ** 2
    blade = ramp(u - inner, 0.02) * ramp(0.95 - u, 0.1) * ramp(below - 0.12, 0.1)
    blade *= ramp(0.82 - below + 0.9 * (inner - u), 0.05)
    return 0.45 * head + 0.35 * shaft + 0.11 * blade


def _spine(chest: Chest, off: Array, y: Array) -> Array:
    """Vertebrae with the discs between them, taller downwards."""
    column = ramp(chest.spine_width - off, 0.04)
    discs = 0.5 + 0.5 * np.cos(np.log1p(0.45 * np.maximum(y + 1.1, -1.0)) * 2 * np.pi * 13)
    pedicles = np.exp(-(((off - 0.6 * chest.spine_width) / 0.018) ** 2)) * discs**3
    return column * (0.12 - 0.07 * discs**4) + 0.08 * pedicles


def _soft_parts(
    chest: Chest, rng: np.random.Generator, sides: tuple[Array, Array], y: Array
) -> Array:
    """Unevenness of fat and muscle, the liver's side of the diaphragm, breasts, skin folds."""
    total = 0.06 * cloud(rng, 3, y.shape)
    for lung, u in zip(chest.lungs, sides, strict=True):
        total += 0.12 * ramp(y - lung.floor(u), 0.3)
        if chest.breast:
            across = np.clip(1 - ((u - 0.48) / 0.34) ** 2, 0.0, 1.0)
            lower = chest.breast_y + 0.30 * np.sqrt(across)
            mass = across**0.7 * ramp(lower - y, 0.03) * ramp(y - chest.breast_y + 0.35, 0.7)
            total += chest.breast * mass
        if rng.random() < 0.15:
            fold = u - rng.uniform(0.3, 0.9) - rng.uniform(-0.3, 0.3) * y
            total += rng.uniform(0.05, 0.25) * ramp(fold, 0.015) * ramp(0.25 - fold, 0.5)
    return total


def _gas(chest: Chest, rng: np.random.Generator, sides: tuple[Array, Array], y: Array) -> Array:
    """Air outside the lungs: windpipe and main bronchi, stomach, bowel under the diaphragm."""
    split = -0.30
    total = 0.38 * _pipe(sides[1], 0.042) * ramp(split - y, 0.06)
    for u, steepness in zip(sides, (1.35, 1.05), strict=True):
        bronchus = _pipe((y - split - steepness * u) * 0.65, 0.034)
        total += 0.22 * bronchus * ramp(u, 0.02) * ramp(0.17 - u, 0.08)
    stomach, bowel = rng.random() < 0.5, rng.integers(0, 5) if rng.random() < 0.25 else 0
    if stomach:
        total += _bubble(rng, chest.lungs[1], sides[1], y, (0.08, 0.26))
    for _ in range(bowel):
        side = int(rng.integers(0, 2))
        total += _bubble(rng, chest.lungs[side], sides[side], y, (0.06, 0.18))
    return total


def _pipe(distance: Array, half: float) -> Array:
    return np.sqrt(np.clip(1.0 - (distance / half) ** 2, 0.0, 1.0))


def _bubble(
    rng: np.random.Generator, lung: Lung, u: Array, y: Array, width: tuple[float, float]
) -> Array:
    """A bubble under the diaphragm, often with a level of fluid."""
    radii = (rng.uniform(*width), rng.uniform(0.05, 0.15))
    centre = rng.uniform(0.2, 0.55)
    top = float(lung.floor(np.asarray(centre))) + rng.uniform(0.025, 0.10)
    shape = ((u - centre) / radii[0]) ** 2 + ((y - top - radii[1]) / radii[1]) ** 2
    fluid = ramp(top + rng.uniform(0.9, 2.2) * radii[1] - y, 0.02)
    rough = 0.25 * cloud(rng, 12, y.shape)
    return rng.uniform(0.2, 0.85) * ramp(1.0 - shape + rough, 0.7) * fluid


def _devices(chest: Chest, frame: Frame, rng: np.random.Generator) -> Array:
    """Ink of a catheter, electrodes with their wires, a pacemaker."""
    canvas = Canvas(frame)
    t = np.linspace(0.0, 1.0, 40)
    if rng.random() < 0.6:
        x = rng.choice((-1, 1)) * rng.uniform(0.3, 0.7)
        y = rng.uniform(-0.75, -0.6)
        canvas.line(_bend((x, y), (-0.02, -0.62), (-0.10, rng.uniform(-0.15, 0.15)), t), 0.01, 0.8)
    for _ in range(rng.integers(0, 4)):
        x, y = rng.uniform(-0.75, 0.75), rng.uniform(-0.5, 0.55)
        canvas.disc((x, y), 0.028, 0.55)
        end = (x + rng.uniform(-0.5, 0.5), y + rng.uniform(0.4, 1.0))
        middle = (x + rng.uniform(-0.3, 0.3), y + rng.uniform(0.0, 0.5))
        canvas.line(_bend((x, y), middle, end, t), 0.008, 0.45)
    if rng.random() < 0.25:
        x, y = 0.47 + rng.normal(0, 0.05), -0.45 + rng.normal(0, 0.05)
        canvas.polygon(_rounded_box(x, y, 0.10, 0.085), 1.0)
        tip = (chest.heart.x + 0.12, chest.heart.y + 0.12)
        canvas.line(_bend((x, y - 0.05), (-0.25, -0.65), tip, t), 0.010, 0.9)
    return canvas.scaled()


def _bend(start: Point, middle: Point, end: Point, t: Array) -> list[Point]:
    """Points of a quadratic Bezier curve."""
    weights = np.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], axis=1)
    points = weights @ np.asarray([start, middle, end])
    return [(float(x), float(y)) for x, y in points]


def _rounded_box(x: float, y: float, width: float, height: float) -> list[Point]:
    angle = np.linspace(0, 2 * np.pi, 60)
    across = np.sign(np.cos(angle)) * np.sqrt(np.abs(np.cos(angle)))
    down = np.sign(np.sin(angle)) * np.sqrt(np.abs(np.sin(angle)))
    return [
        (x + width * float(a), y + height * float(d)) for a, d in zip(across, down, strict=True)
    ]
