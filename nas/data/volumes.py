"""NIfTI volumes and their slices.

Every volume is turned to RAS: its axes run to the patient's right, to anterior and to superior, in
the order and direction nearest to what the affine of the file says (nibabel's canonical
orientation); voxels are never resampled. A slice has a number along one of these axes, and is shown
as radiologists look at it, whatever the orientation of the file:

=========  ====================  ===============  ================
plane      number 0 is           top of picture   left of picture
=========  ====================  ===============  ================
axial      the most inferior     anterior         patient's right
coronal    the most posterior    superior         patient's right
sagittal   the leftmost          superior         anterior
=========  ====================  ===============  ================
"""

from __future__ import annotations

import gzip
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from nas.data.medical import library
from nas.errors import DataError, UsageError

NIFTI_SUFFIXES = (".nii", ".nii.gz")
Plane = Literal["axial", "coronal", "sagittal"]
AXES: dict[Plane, int] = {"sagittal": 0, "coronal": 1, "axial": 2}
"""The axis of RAS along which the slices of a plane are numbered."""

PERCENTILES = (0.5, 99.5)
"""Percentiles of a whole volume that become 0 and 1 where no window is given."""

KEPT = 4
"""Files that a `VolumeCache` keeps decoded, at least."""

TOLERANCE = 0.1
"""Voxels by which the corners of two volumes of one geometry may lie apart."""


def is_nifti(path: Path) -> bool:
    """Whether the name ends in .nii or .nii.gz."""
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def stem(path: Path) -> str:
    """The name without .nii or .nii.gz."""
    name = path.name
    for suffix in reversed(NIFTI_SUFFIXES):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return path.stem


@dataclass(frozen=True)
class VolumeHeader:
    """What a NIfTI file says of itself before its voxels are decoded.

    Attributes:
        path: the file.
        shape: voxels to right, anterior and superior.
        channels: values of a voxel.
        orientation: axis codes as stored, such as ``LPS``.
        stated: whether the file states its orientation (an sform or qform code above 0).
        affine: (4, 4), from voxels as stored to millimetres in RAS.
        stored_shape: the three spatial sides as stored.
        spacing: millimetres between voxels to right, anterior and superior.
        kind: type of the stored values, such as ``int16``.
    """

    path: Path
    shape: tuple[int, int, int]
    channels: int
    orientation: str
    stated: bool
    affine: np.ndarray
    stored_shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    kind: str

    def __str__(self) -> str:
        values = "grey" if self.channels == 1 else f"{self.channels}-channel"
        return f"{self.kind} {values} NIfTI volume, stored {self.orientation}"


def _load(path: Path) -> Any:
    nibabel = library("nibabel", path)
    if not path.is_file():
        raise DataError(f"{path} does not exist.")
    try:
        volume = nibabel.load(path)
    except Exception as error:
        raise DataError(
            f"{path} is not a NIfTI file that can be read ({error}): copy or export it again."
        ) from error
    if not isinstance(volume, nibabel.Nifti1Image):
        raise DataError(f"{path} is no NIfTI file, but {type(volume).__name__}: convert it.")
    return volume


def _sides(path: Path, shape: tuple[int, ...]) -> tuple[tuple[int, int, int], int]:
    """The three spatial sides and the number of channels (the last axis) of a stored shape."""
    across, along, up = (*shape, 1, 1, 1)[:3]
    rest = [side for side in shape[3:] if side != 1]
    if len(rest) > 1 or min(shape, default=0) < 1 or len(shape) < 2:
        raise DataError(
            f"{path} has the shape {'x'.join(map(str, shape))}; expected three axes of space, and "
            "one of channels at most."
        )
    return (across, along, up), rest[0] if rest else 1


def read_volume_header(path: Path) -> VolumeHeader:
    """Geometry and type of a NIfTI file, without decoding its voxels.

    Raises:
        UsageError: nibabel is not installed.
        DataError: the file is missing, no NIfTI file, or has other axes than three of space and
            one of channels.
    """
    nibabel = library("nibabel", path)
    volume = _load(path)
    sides, channels = _sides(path, volume.shape)
    kind = volume.header.get_data_dtype()
    if kind.fields is not None or kind.kind not in "iuf":
        raise DataError(f"{path} stores colours or complex numbers; expected one number a voxel.")
    turn = _turn(path, volume.affine)
    order = np.argsort(turn[:, 0])
    spacing = nibabel.affines.voxel_sizes(volume.affine)[order]
    header = volume.header
    return VolumeHeader(
        path=path,
        shape=_three(np.asarray(sides)[order]),
        channels=channels,
        orientation="".join(nibabel.orientations.ornt2axcodes(turn)),
        stated=bool(header["sform_code"] > 0 or header["qform_code"] > 0),
        affine=np.asarray(volume.affine, dtype=np.float64),
        stored_shape=sides,
        spacing=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        kind=str(kind.newbyteorder("=")),
    )


def _three(values: np.ndarray) -> tuple[int, int, int]:
    first, second, third = (int(value) for value in values)
    return first, second, third


def _turn(path: Path, affine: np.ndarray) -> np.ndarray:
    """(3, 2): the axis of RAS that each stored axis is nearest to, and its direction."""
    if np.isfinite(affine).all() and np.linalg.matrix_rank(affine[:3, :3]) == 3:
        turn: np.ndarray = library("nibabel", path).orientations.io_orientation(affine)
        return turn
    raise DataError(
        f"{path} has an affine that maps voxels to no place in space: write its header again."
    )


def open_volume(path: Path) -> np.ndarray:
    """The voxels of a NIfTI file, scaled by its slope and intercept and turned to RAS.

    Returns:
        (X, Y, Z, C) float32; not a number where the file holds none.

    Raises:
        UsageError: nibabel is not installed.
        DataError: the file is missing, damaged, or of another kind.
    """
    return _turned(path, lambda stored: np.asarray(stored, dtype=np.float32))


def open_label_volume(path: Path) -> np.ndarray:
    """The voxels of a NIfTI mask, turned to RAS.

    Returns:
        (X, Y, Z) integers, uint8 where they fit.

    Raises:
        UsageError: nibabel is not installed.
        DataError: the file is missing, damaged, has several channels, or holds values that are no
            integers (floating-point storage of whole numbers is accepted).
    """
    if read_volume_header(path).channels > 1:
        raise DataError(f"{path} has several channels; a mask has one number a voxel.")
    return _turned(path, lambda stored: _whole(path, np.asarray(stored)))[..., 0]


def _turned(path: Path, decode: Callable[[Any], np.ndarray]) -> np.ndarray:
    volume = _load(path)
    header = read_volume_header(path)
    try:
        if path.suffix.lower() == ".gz":
            # As a whole, since only so the check sum at the end of the file is looked at.
            volume = type(volume).from_bytes(gzip.decompress(path.read_bytes()))
        voxels = decode(volume.dataobj)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(
            f"{path} is damaged or incomplete ({error}): copy or export it again."
        ) from error
    voxels = voxels.reshape(*header.stored_shape, header.channels)
    apply = library("nibabel", path).orientations.apply_orientation
    return np.ascontiguousarray(apply(voxels, _turn(path, volume.affine)))


def _whole(path: Path, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f":
        odd = np.unique(values[values != np.round(values)])
        if odd.size:
            shown = ", ".join(f"{value:g}" for value in odd[:8])
            more = f", ... ({odd.size} in all)" if odd.size > 8 else ""
            raise DataError(
                f"{path} holds the values {shown}{more}; a mask holds integers. A mask that was "
                "resampled must be resampled by the nearest neighbour."
            )
    small = values.size == 0 or (values.min() >= 0 and values.max() <= 255)
    return values.astype(np.uint8 if small else np.int64)


def check_same_geometry(first: VolumeHeader, other: VolumeHeader, what: str) -> None:
    """Refuse two volumes of one case that do not lie in the same place of space.

    Args:
        first: of the image.
        other: of the mask, or of another channel.
        what: the other, as a word of the sentence.

    Raises:
        DataError: shapes, orientations or places differ; names both files and orientations.
    """
    both = (
        f"{first.path} is stored {first.orientation} with {_text(first.stored_shape)} voxels, and "
        f"its {what} {other.path} {other.orientation} with {_text(other.stored_shape)}"
    )
    if first.orientation != other.orientation:
        raise DataError(f"{both}: both need one orientation, turn one of them.")
    if first.stored_shape != other.stored_shape:
        raise DataError(f"{both}: both need one shape.")
    apart = _apart(first, other)
    if apart > TOLERANCE:
        raise DataError(
            f"{both}, and their affines place them up to {apart:.3g} voxels apart: both need one "
            "affine."
        )


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _apart(first: VolumeHeader, other: VolumeHeader) -> float:
    """Largest distance between equal corners, in voxels of the first along its axes."""
    sides = np.asarray(first.stored_shape) - 1
    corners = np.stack(np.meshgrid(*[(0, side) for side in sides], indexing="ij")).reshape(3, -1)
    corners = np.vstack([corners, np.ones(corners.shape[1])])
    moved = np.linalg.solve(first.affine, other.affine @ corners) - corners
    return float(np.abs(moved[:3]).max())


def cut(volume: np.ndarray, plane: Plane, number: int) -> np.ndarray:
    """One slice of a volume as radiologists look at it. See the module for the directions.

    Args:
        volume: (X, Y, Z, ...) in RAS.
        plane: of the slice.
        number: along the axis of the plane.

    Returns:
        (H, W, ...), a view.
    """
    picture = np.take(volume, number, axis=AXES[plane])[::-1, ::-1]
    return np.swapaxes(picture, 0, 1)


def picture_size(header: VolumeHeader, plane: Plane) -> tuple[int, int]:
    """Height and width of the slices of a plane."""
    across, up = (side for axis, side in enumerate(header.shape) if axis != AXES[plane])
    return up, across


class Scaled(NamedTuple):
    """Voxels, and the values of each channel that become 0 and 1.

    Attributes:
        voxels: (X, Y, Z, C) float32 in RAS, or (X, Y, Z) labels.
        limits: low and high of each channel; empty for labels.
    """

    voxels: np.ndarray
    limits: tuple[tuple[float, float], ...]


def percentile_limits(path: Path, voxels: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Percentiles 0.5 and 99.5 of every channel of a volume; voxels without a number do not count.

    Raises:
        DataError: both are equal in a channel.
    """
    limits = []
    for channel in np.moveaxis(voxels, -1, 0):
        numbers = channel[np.isfinite(channel)]
        low, high = np.percentile(numbers, PERCENTILES) if numbers.size else (0.0, 0.0)
        if not low < high:
            raise DataError(
                f"{path} has {low:g} as percentile 0.5 and as percentile 99.5, so that nothing "
                "tells which values are dark and which are bright: say so with --window LOW HIGH."
            )
        limits.append((float(low), float(high)))
    return tuple(limits)


def check_window(window: tuple[float, float]) -> tuple[float, float]:
    """The window itself.

    Raises:
        UsageError: the first value is not below the second.
    """
    low, high = window
    if not low < high:
        raise UsageError(
            f"--window {low:g} {high:g} does not do: the first is the value that becomes 0, the "
            "second, larger one that which becomes 1."
        )
    return window


class VolumeCache:
    """Decodes volumes, and keeps the last few, so that their slices are cut without decoding again.

    It takes the memory of so many files: 4 bytes for each voxel and channel of an image, one for
    each voxel of a mask (512x512x200 voxels: 210 MB and 52 MB). Threads may share it; a copy for
    another process begins empty.

    Args:
        window: values that become 0 and 1; None for the percentiles of each volume.
        kept: files that are kept; as many as a case has, or each of its slices decodes all again.
    """

    def __init__(self, window: tuple[float, float] | None = None, kept: int = KEPT) -> None:
        self._window = window
        self._room = kept
        self._kept: OrderedDict[tuple[Path, bool], Scaled] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[VolumeCache], tuple[tuple[float, float] | None, int]]:
        return VolumeCache, (self._window, self._room)

    def image(self, path: Path, plane: Plane, number: int) -> np.ndarray:
        """(C, H, W) float32 in [0, 1]; voxels without a number are 0.

        Raises:
            UsageError: nibabel is not installed.
            DataError: the file is missing or damaged, or its percentiles are equal.
        """
        voxels, limits = self._get(path, labels=False)
        picture = np.moveaxis(cut(voxels, plane, number), -1, 0)
        low, high = np.asarray(limits, dtype=np.float32).T[:, :, None, None]
        scaled = np.clip((picture - low) / (high - low), 0.0, 1.0)
        return np.ascontiguousarray(np.nan_to_num(scaled), dtype=np.float32)

    def mask(self, path: Path, plane: Plane, number: int) -> np.ndarray:
        """(H, W) integers as stored.

        Raises:
            UsageError: nibabel is not installed.
            DataError: the file is missing, damaged, or holds values that are no integers.
        """
        return np.ascontiguousarray(cut(self._get(path, labels=True).voxels, plane, number))

    def labels(self, path: Path) -> np.ndarray:
        """(X, Y, Z) integers of a whole mask in RAS.

        Raises:
            UsageError: nibabel is not installed.
            DataError: the file is missing, damaged, or holds values that are no integers.
        """
        return self._get(path, labels=True).voxels

    def _get(self, path: Path, labels: bool) -> Scaled:
        key = path, labels
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._decode(path, labels)
                while len(self._kept) > self._room:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def _decode(self, path: Path, labels: bool) -> Scaled:
        if labels:
            return Scaled(open_label_volume(path), ())
        voxels = open_volume(path)
        if self._window is not None:
            return Scaled(voxels, (self._window,) * voxels.shape[-1])
        return Scaled(voxels, percentile_limits(path, voxels))
