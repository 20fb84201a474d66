"""The built-in data set: generated chest radiographs with exact labels.

259 patients, as many as CX-SEG has, seen by seven hospitals that differ in exposure, contrast,
noise, blur, collimation and position. Nothing is read from disk; case number n is the same
patient in every run and at every size. It stands in for data that cannot be shared: results
on it say how methods compare on a hard segmentation task of this kind, and nothing about
patients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nas.data.cases import CHEST_CLASSES, Case, Subset
from nas.data.groups import with_groups
from nas.data.radiograph.attenuation import attenuation
from nas.data.radiograph.chest import Chest, labels, sample_chest
from nas.data.radiograph.film import HOSPITALS, Hospital, develop
from nas.data.radiograph.frame import Frame
from nas.data.sizes import parse_size
from nas.settings import DataSettings

CASES = 259


@dataclass(frozen=True)
class PhantomReader:
    """Cases that are drawn when they are read, at the size that the network sees."""

    channels: int
    cases: tuple[Case, ...]
    size: tuple[int, int]
    seed: int = 0
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lists: Mapping[Subset, tuple[str, ...]] | None = None
    name: str = "phantom"
    classes: tuple[str, ...] = CHEST_CLASSES

    def read_image(self, case: Case) -> np.ndarray:
        """(C, H, W) float32 in [0, 1]."""
        image = draw_image(self.seed, _number(case.image), self.size)
        return np.repeat(image[None], self.channels, axis=0)

    def read_mask(self, case: Case) -> np.ndarray:
        """(H, W) uint8 class indices."""
        return draw_mask(self.seed, _number(case.mask), self.size)

    def read_instances(self, case: Case) -> None:
        """Organs are classes, not objects of one class."""

    def read_field_of_view(self, case: Case) -> None:
        """All pixels count."""

    def describe(self, case: Case) -> str:
        """How the image comes about."""
        return "generated grey"


def _number(source: object) -> int:
    assert isinstance(source, int)
    return source


def hospital_of(seed: int, number: int) -> Hospital:
    """The hospital that took the picture of a case."""
    rng = np.random.default_rng([seed, number, 0])
    shares = np.asarray([hospital.share for hospital in HOSPITALS])
    return HOSPITALS[rng.choice(len(HOSPITALS), p=shares / shares.sum())]


@dataclass(frozen=True)
class Scene:
    """Everything about a case that its labels or its film depend on, apart from noise."""

    hospital: Hospital
    chest: Chest
    frame: Frame
    devices: bool


def draw_scene(seed: int, number: int, size: tuple[int, int]) -> Scene:
    """The patient of a case, and where he lies on a film of ``size``."""
    hospital = hospital_of(seed, number)
    rng = np.random.default_rng([seed, number, 1])
    chest = sample_chest(rng, supine=bool(rng.random() < hospital.supine))
    devices = bool(rng.random() < hospital.devices)
    frame = Frame(
        height=size[0],
        width=size[1],
        zoom=float(np.clip(rng.normal(*hospital.zoom), 0.7, 1.4)),
        angle=float(np.deg2rad(rng.normal(0, hospital.tilt))),
        shift=(rng.normal(0, 0.06), rng.normal(0.02, 0.06)),
    )
    return Scene(hospital, chest, frame, devices)


def draw_image(seed: int, number: int, size: tuple[int, int]) -> np.ndarray:
    """The radiograph of a case, (H, W) float32 in [0, 1]."""
    scene = draw_scene(seed, number, size)
    inner = np.random.default_rng([seed, number, 2])
    dense = attenuation(scene.chest, scene.frame, inner, scene.devices)
    return develop(dense, scene.frame, scene.hospital, np.random.default_rng([seed, number, 3]))


def draw_mask(seed: int, number: int, size: tuple[int, int]) -> np.ndarray:
    """The classes of a case, (H, W) uint8; a pixel has the class of its centre."""
    scene = draw_scene(seed, number, size)
    return labels(scene.chest, *scene.frame.patient())


def survey(settings: DataSettings) -> PhantomReader:
    """The generated cases at ``settings.image_size``.

    Raises:
        UsageError: the size is malformed.
    """
    cases = [
        Case(id=f"phantom-{n:03d}-{hospital_of(0, n).name}", image=n, mask=n) for n in range(CASES)
    ]
    problems: list[str] = []
    return PhantomReader(
        channels=settings.image_channels or 1,
        cases=with_groups(cases, settings.groups, problems),
        size=parse_size(settings.image_size),
        problems=tuple(problems),
    )
