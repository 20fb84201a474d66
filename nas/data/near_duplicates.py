"""Images that are nearly the same: neighbouring frames of a video, exports of one image.

Two images are near-duplicates when, after the one shift that fits both best, two thirds of the
patches with structure are found again in the other image, a little displaced at most; or when half
of that likeness comes with a whole that agrees in what is not common to all images of the data. In
detail:

1. An image is its mean over the channels, scaled to 128 x 128 and freed of slow changes: what a
   Gaussian of 1.5 pixels smooths is subtracted. Brightness and contrast then drop out by the
   correlations.
2. Its descriptor is what lies between two Gaussians at 64 x 64. The spectra of two images are alike
   by the correlation of the moduli of the Fourier transforms of their descriptors, which a shift
   leaves as they are, each divided by its mean over the neighbouring frequencies, which differs
   little between images of one kind. Candidates for an image are the `NEIGHBOURS` others with the
   spectra most like its own, by `CANDIDATE` or more.
3. The shift of two candidates, up to an eighth of a side, is that of the largest correlation of
   their descriptors.
4. Around it each patch of 16 x 16 pixels of the one is looked for in the other, within 4 pixels
   (3 % of a side) to all sides; its likeness is the largest correlation there. Patches whose
   standard deviation is below 0.35 of the root mean square of all hold no structure and are left
   out.
5. The likeness of two images is what two thirds of their patches reach; fewer than 8 patches with
   structure say nothing. Near-duplicates reach `ALIKE`.
6. So do frames in which tissue moved: they reach `MOVED`, and their descriptors, less the mean of
   all descriptors, correlate by `SCENE` or more. The `NEIGHBOURS` for which that is most are
   candidates too.

A whole-image correlation does not do: two hippocampi or two chests of different patients
correlate by 0.8 and more, as frames of one video do. Details do not agree by chance.

The thresholds lie in gaps that were measured. The most alike pair of different things reaches 0.74
among slices of 130 hippocampi (64 pixels wide: the least detail; without the mean they correlate by
0.71), and 0.41 among 259 generated chests (0.77); tiles of axons in electron microscopy and cells
in phase contrast give no candidate. Of 183 ultrasound images 22 pairs, one frame stored twice,
reach 0.80 to 0.99. Neighbouring frames in which tissue moved reach 0.46 to 0.61 (0.80 to 0.89);
what is left has correlations of 0.67 or less and may show one patient or several.

Not found: mirrored or turned copies (a mirrored organ may be the other one of a pair), copies
shifted by more than some 5 % of a side or zoomed by more than some 6 %, copies whose noise is
stronger than their details, and, where all details are as fine as a pixel of the 128, some of the
copies between pixels.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from nas.data.cases import Case, natural_key, natural_order

Plane = NDArray[np.float32]

SIDE = 128
COARSE_SIDE = 64
PATCH = 16
DETAIL = 1.5
"""Standard deviation of the Gaussian whose result is subtracted, in pixels of 128."""
COARSE_BAND = (0.7, 4.0)
"""The two Gaussians of the descriptors, in pixels of 64."""
NEIGHBOURS = 4
CANDIDATE = 0.15
FREQUENCIES = 3.0
"""Standard deviation of the Gaussian that a mean over neighbouring frequencies is."""
FARTHEST = 8
"""Shift of whole images that is looked for, in pixels of 64."""
REACH = 4
"""Displacement of a patch beyond that of the image, in pixels of 128."""
STRUCTURE = 0.35
FEWEST = 8
SHARE = 2 / 3
ALIKE = 0.78
MOVED = 0.42
SCENE = 0.78
ROWS = 512
"""Rows of the matrix of correlations that are held at a time."""


class NearDuplicate(NamedTuple):
    """Two cases in natural order, and their likeness, `MOVED` to 1."""

    first: str
    second: str
    likeness: float


class Fingerprints:
    """What is kept of each image, 40 KB, to find those that are nearly the same.

    Images are handed in one at a time and not kept. Cases of one group are not compared: a split
    never divides them.
    """

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._groups: list[str | None] = []
        self._details: list[NDArray[np.float16]] = []
        self._descriptors: list[NDArray[np.float16]] = []

    def add(self, id: str, image: NDArray[np.floating], group: str | None = None) -> None:
        """Keep the fingerprint of an image.

        Args:
            id: of the case, unlike all others.
            image: (C, H, W) in [0, 1], of any size.
            group: of the case, as in `nas.data.cases.Case`.

        Raises:
            ValueError: the image has not three dimensions.
        """
        if image.ndim != 3:
            raise ValueError(f"an image (C, H, W) was expected, not {image.shape}")
        grey = np.nan_to_num(image.mean(axis=0)).astype(np.float32)
        self._ids.append(id)
        self._groups.append(group)
        self._details.append(_details(grey).astype(np.float16))
        self._descriptors.append(_descriptor(grey).astype(np.float16))

    def pairs(self, progress: Callable[[int, int], None] | None = None) -> list[NearDuplicate]:
        """The pairs that are nearly the same, the most alike first.

        Time grows with the number of images, but for a product of matrices; a pair of candidates
        takes some milliseconds.

        Args:
            progress: called with (pairs compared, pairs in all) after each.
        """
        if len(self._ids) < 2:
            return []
        near = self._nearest(self._spectra(), CANDIDATE)
        moved = self._nearest(self._scenes(), SCENE)
        candidates = sorted(near | moved)
        found = []
        for number, (one, other) in enumerate(candidates, start=1):
            value = self._likeness(one, other)
            if value >= (MOVED if (one, other) in moved else ALIKE):
                first, second = natural_order((self._ids[one], self._ids[other]))
                found.append(NearDuplicate(first, second, value))
            if progress is not None:
                progress(number, len(candidates))
        return sorted(found, key=lambda pair: (-pair.likeness, natural_key(pair.first)))

    def _spectra(self) -> NDArray[np.float16]:
        return np.stack([_spectrum(each) for each in self._descriptors])

    def _scenes(self) -> NDArray[np.float16]:
        """The descriptors without what all images have in common, of norm 1."""
        mean = np.mean(self._descriptors, axis=0, dtype=np.float32)
        own = (each.astype(np.float32) - mean for each in self._descriptors)
        return np.stack(
            [_divided(each, float(np.linalg.norm(each))).ravel().astype(np.float16) for each in own]
        )

    def _nearest(self, vectors: NDArray[np.float16], least: float) -> set[tuple[int, int]]:
        """Each image with those whose vectors correlate with its own most, by ``least`` or more."""
        groups = self._numbered_groups()
        chosen: set[tuple[int, int]] = set()
        for start in range(0, len(vectors), ROWS):
            rows = np.arange(start, min(start + ROWS, len(vectors)))
            likeness = _products(vectors[rows], vectors)
            likeness[groups[rows][:, None] == groups] = -1
            count = min(NEIGHBOURS, len(vectors) - 1)
            nearest = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
            for row, columns in zip(rows, nearest, strict=True):
                for column in columns[likeness[row - start, columns] >= least]:
                    chosen.add((int(min(row, column)), int(max(row, column))))
        return chosen

    def _numbered_groups(self) -> NDArray[np.int64]:
        """A number per case, the same for cases of one group alone."""
        numbers: dict[object, int] = {}
        keys = [place if group is None else group for place, group in enumerate(self._groups)]
        return np.array([numbers.setdefault(key, len(numbers)) for key in keys])

    def _likeness(self, one: int, other: int) -> float:
        descriptors = [self._descriptors[place].astype(np.float32) for place in (one, other)]
        details = [self._details[place].astype(np.float32) for place in (one, other)]
        down, right = (shift * SIDE // COARSE_SIDE for shift in _shift(*descriptors))
        return _likeness_at(details[0], details[1], down, right)


def grouped(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """The cases that pairs connect, directly or through others, as groups in natural order.

    Args:
        pairs: of ids.
    """
    members: dict[str, set[str]] = defaultdict(set)
    for first, second in pairs:
        together = {first, second} | members[first] | members[second]
        for case in together:
            members[case] = together
    distinct = {id(group): group for group in members.values()}
    groups = [natural_order(group) for group in distinct.values()]
    return tuple(sorted(groups, key=lambda group: natural_key(group[0])))


def merged_groups(cases: Iterable[Case], near: Iterable[tuple[str, ...]]) -> dict[str, str]:
    """A group for every case, so that no split divides images that are nearly the same.

    Args:
        cases: of the data; those of one group stay together.
        near: groups of ids, as `grouped` gives them.

    Returns:
        The group of each id, named by the first of its cases.
    """
    given: dict[str, list[str]] = defaultdict(list)
    groups = {}
    for case in cases:
        groups[case.id] = case.id
        if case.group is not None:
            given[case.group].append(case.id)
    together = [*given.values(), *near]
    pairs = [(ids[0], other) for ids in together for other in ids[1:]]
    for ids in grouped(pairs):
        groups.update(dict.fromkeys(ids, ids[0]))
    return groups


def groups_table(cases: Iterable[Case], near: Iterable[tuple[str, ...]]) -> str:
    """CSV of `merged_groups`, as ``--groups`` reads it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "group"))
    writer.writerows(merged_groups(cases, near).items())
    return text.getvalue()


def _scaled(grey: Plane, side: int) -> Plane:
    resized = Image.fromarray(grey).resize((side, side), Image.Resampling.HAMMING)
    return np.asarray(resized, dtype=np.float32)


def _details(grey: Plane) -> Plane:
    """(128, 128) of mean square 1, or 0 where nothing is to be seen."""
    from scipy.ndimage import gaussian_filter

    scaled = _scaled(grey, SIDE)
    fine: Plane = scaled - gaussian_filter(scaled, DETAIL)
    return _divided(fine, float(np.sqrt(np.square(fine).mean())))


def _descriptor(grey: Plane) -> Plane:
    """(64, 64) of mean 0 and norm 1, or 0 where nothing is to be seen."""
    from scipy.ndimage import gaussian_filter

    scaled = _scaled(grey, COARSE_SIDE)
    low, high = (gaussian_filter(scaled, sigma) for sigma in COARSE_BAND)
    band: Plane = low - high
    band = band - band.mean()
    return _divided(band, float(np.linalg.norm(band)))


def _spectrum(descriptor: NDArray[np.float16]) -> NDArray[np.float16]:
    """(33 * 64,) of mean 0 and norm 1: what is special about the frequencies of an image."""
    from scipy.ndimage import gaussian_filter

    window = np.hanning(COARSE_SIDE + 2)[1:-1]
    seen = descriptor.astype(np.float32) * np.outer(window, window).astype(np.float32)
    roots = np.fft.fftshift(np.sqrt(np.abs(np.fft.fft2(seen))))
    special = roots / np.maximum(gaussian_filter(roots, FREQUENCIES), 1e-9)
    half: Plane = special[: COARSE_SIDE // 2 + 1].ravel().astype(np.float32)
    half = half - half.mean()
    return _divided(half, float(np.linalg.norm(half))).astype(np.float16)


def _divided(plane: Plane, size: float) -> Plane:
    """Nothing is to be seen below the precision of single numbers."""
    return plane / np.float32(size) if size > 1e-5 else np.zeros_like(plane)


def _products(rows: NDArray[np.float16], vectors: NDArray[np.float16]) -> Plane:
    """Correlation of each row with each vector; single precision is held for a part at a time."""
    left = rows.astype(np.float32)
    parts = [
        left @ vectors[start : start + ROWS].astype(np.float32).T
        for start in range(0, len(vectors), ROWS)
    ]
    return np.concatenate(parts, axis=1)


def _shift(one: Plane, other: Plane) -> tuple[int, int]:
    """Where (rows down, columns right) ``one`` lies in ``other``, by their correlation."""
    spectrum = np.conj(np.fft.rfft2(one)) * np.fft.rfft2(other)
    correlation = np.fft.fftshift(np.fft.irfft2(spectrum, s=one.shape))
    middle = COARSE_SIDE // 2
    near = slice(middle - FARTHEST, middle + FARTHEST + 1)
    window = correlation[near, near]
    row, column = divmod(int(window.argmax()), window.shape[1])
    return row - FARTHEST, column - FARTHEST


def _likeness_at(one: Plane, other: Plane, down: int, right: int) -> float:
    """What two thirds of the patches of ``one`` with structure correlate by with ``other``.

    ``down`` and ``right`` say where ``one`` lies in ``other``; 0 where too few patches remain.
    """
    margin = max(abs(down), abs(right)) + REACH
    padded = np.pad(other, margin)
    inside = np.pad(np.ones_like(other), margin)
    rows = slice(margin + down - REACH, margin + down + REACH + 1)
    columns = slice(margin + right - REACH, margin + right + REACH + 1)
    moved = sliding_window_view(padded, (SIDE, SIDE))[rows, columns]
    whole = _at_patches(inside, rows, columns) > PATCH * PATCH - 0.5
    mean = _patch_sums(one) / PATCH**2
    energy = np.maximum(_patch_sums(one * one) - PATCH**2 * mean**2, 0)
    sums = _at_patches(padded, rows, columns)
    energies = np.maximum(_at_patches(padded * padded, rows, columns) - sums**2 / PATCH**2, 0)
    products = _patch_sums(one * moved) - mean * sums
    correlation = products / np.sqrt(np.maximum(energy * energies, 1e-6))
    best = np.where(whole, correlation, -1).max(axis=(0, 1))
    found = whole.any(axis=(0, 1))
    if not found.any():
        return 0.0
    structured = found & (np.sqrt(energy) > STRUCTURE * np.sqrt(energy[found].mean()))
    if structured.sum() < FEWEST:
        return 0.0
    return float(np.clip(np.quantile(best[structured], 1 - SHARE), 0, 1))


def _patch_sums(planes: Plane) -> Plane:
    """(..., 128, 128) to the sums (..., 8, 8) of the patches."""
    count = SIDE // PATCH
    lines = planes.reshape(*planes.shape[:-2], count, PATCH, SIDE).sum(axis=-2)
    return lines.reshape(*lines.shape[:-1], count, PATCH).sum(axis=-1)


def _at_patches(padded: Plane, rows: slice, columns: slice) -> Plane:
    """The sums of the patches of an image that is moved, (moves down, moves right, 8, 8)."""
    total = np.pad(padded.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    box = total[PATCH:, PATCH:] - total[:-PATCH, PATCH:] - total[PATCH:, :-PATCH]
    box += total[:-PATCH, :-PATCH]
    reach = SIDE - PATCH + 1
    moved = sliding_window_view(box, (reach, reach))[rows, columns]
    return moved[..., ::PATCH, ::PATCH].astype(np.float32)
