"""Patches of 64x64 pixels, each with the class of its central pixel (Ayush; Lahiri et al. 2017).

The central pixel is the one at row 32 and column 32 of the patch, counted from 0: a patch reaches
32 pixels up and left, and 31 down and right. What lies outside the image is its mirror image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.data.batches import stable_seed
from nas.errors import DataError

SIZE = 64
CENTRE = 32

Centres = NDArray[np.int64]


class Patches(NamedTuple):
    """Where patches are, and their classes: int64 tensors (N,) on the CPU.

    Attributes:
        cases: index of the image.
        rows: of the central pixels.
        columns: of the central pixels.
        classes: of the central pixels.
    """

    cases: Tensor
    rows: Tensor
    columns: Tensor
    classes: Tensor


class PatchBatch(NamedTuple):
    """What one step sees.

    Attributes:
        patches: (N, C, 64, 64) float32 in [0, 1].
        classes: (N,) int64, of the central pixels.
        noise: (N, Z) float32, standard normal.
    """

    patches: Tensor
    classes: Tensor
    noise: Tensor


def patch_centres(mask: NDArray[np.integer], classes: int, dilation: int) -> list[Centres]:
    """The pixels of a mask that training patches may be centred at.

    Of a class of the foreground, the pixels of its skeleton (Zhang and Suen 1984, each class by
    itself); of the background, the pixels whose Euclidean distance from the nearest pixel of the
    foreground is larger than ``dilation``: those outside the foreground dilated by a disc of that
    radius. The disc is not published.

    Args:
        mask: (H, W) class indices, 0 is background.
        classes: K, background included.
        dilation: in pixels, >= 0.

    Returns:
        For each class, (M, 2) row and column.

    Raises:
        ValueError: the mask is not two-dimensional, or dilation is negative.
    """
    from skimage.morphology import skeletonize

    if mask.ndim != 2 or dilation < 0:
        raise ValueError(
            f"a mask (H, W) and a dilation of 0 or more were expected, not {mask.shape} and "
            f"{dilation}"
        )
    background = _distances(mask) > dilation
    skeletons = [skeletonize(mask == index) for index in range(1, classes)]
    return [np.argwhere(chosen) for chosen in (background, *skeletons)]


def _distances(mask: NDArray[np.integer]) -> NDArray[np.float64]:
    """Of each pixel from the nearest pixel of the foreground; infinite where there is none."""
    from scipy.ndimage import distance_transform_edt

    if not mask.any():
        return np.full(mask.shape, np.inf)
    return np.asarray(distance_transform_edt(mask == 0))


@dataclass(frozen=True)
class CentresOfClass:
    """All that the patches of a class may be centred at.

    Attributes:
        name: of the class.
        places: (M, 3) case, row and column.
    """

    name: str
    places: Centres


def all_centres(
    masks: Iterable[NDArray[np.integer]], class_names: Sequence[str], dilation: int
) -> list[CentresOfClass]:
    """The centres of each class in all masks.

    Args:
        masks: (H, W) class indices each; their order numbers the cases.
        class_names: background first.
        dilation: see `patch_centres`.

    Raises:
        DataError: a class has no centre in any of the masks.
    """
    found: list[list[Centres]] = [[] for _ in class_names]
    for case, mask in enumerate(masks):
        for places, centres in zip(
            found, patch_centres(mask, len(class_names), dilation), strict=True
        ):
            places.append(np.insert(centres, 0, case, axis=1))
    joined = [np.concatenate([np.empty((0, 3), np.int64), *places]) for places in found]
    for name, own in zip(class_names, joined, strict=True):
        if not len(own):
            raise DataError(
                f"No training patch of the class {name} is possible: a foreground class needs "
                "pixels in the masks of the training images, the background pixels further than "
                f"--patch-dilation ({dilation}) from the foreground. Choose other training images, "
                "or another --patch-dilation."
            )
    return [CentresOfClass(*each) for each in zip(class_names, joined, strict=True)]


def draw_patches(
    centres: Sequence[CentresOfClass], count: int, generator: np.random.Generator
) -> Patches:
    """A balanced set of patches, drawn at random.

    Each class has ``count // K`` patches, and the first ``count % K`` classes one more. All centres
    of a class are equally likely, whichever image they are in. No centre is drawn twice while
    another of its class is left: where a class has fewer centres than patches, all of them are
    drawn equally often, but for one.

    Args:
        centres: of the K classes, in order, none without centres.
        count: N, patches in all, K or more.
        generator: of the random numbers.

    Raises:
        ValueError: there are fewer patches than classes.
    """
    if count < len(centres):
        raise ValueError(f"{count} patches cannot have {len(centres)} classes")
    wanted = shares(count, len(centres))
    drawn = [
        _draw(each.places, number, generator) for each, number in zip(centres, wanted, strict=True)
    ]
    cases, rows, columns = torch.from_numpy(np.concatenate(drawn)).unbind(1)
    classes = torch.arange(len(centres)).repeat_interleave(torch.tensor(wanted))
    return Patches(cases, rows, columns, classes)


def shares(count: int, parts: int) -> list[int]:
    """Whole numbers that add up to ``count`` and differ by one at most, the larger ones first."""
    return [count // parts + (index < count % parts) for index in range(parts)]


def _draw(places: Centres, count: int, generator: np.random.Generator) -> Centres:
    rounds = [generator.permutation(len(places)) for _ in range(0, count, len(places))]
    return places[np.concatenate(rounds)[:count]]


def extract_patches(images: Tensor, cases: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Patches around central pixels.

    Args:
        images: (M, C, H, W), of any size.
        cases: (N,) indices of the images, on their device.
        rows: (N,) of the central pixels; outside the image too.
        columns: the same.

    Returns:
        (N, C, 64, 64); outside of the image, it is mirrored at the centres of its border pixels.
    """
    height, width = images.shape[2:]
    down, across = reach(rows, height), reach(columns, width)
    found = images[cases[:, None, None], :, down[:, :, None], across[:, None, :]]
    return found.movedim(-1, 1)


def reach(centres: Tensor, size: int) -> Tensor:
    """(N,) centres along one side of an image to the (N, 64) pixels of their patches along it."""
    return mirrored(centres[:, None] + torch.arange(SIZE, device=centres.device) - CENTRE, size)


def mirrored(index: Tensor, size: int) -> Tensor:
    """Indices of any size, brought into 0..size-1: ... 2 1 0 1 2 ... size-1 size-2 ..."""
    period = max(1, 2 * (size - 1))
    index = index.remainder(period)
    return torch.minimum(index, period - index) if size > 1 else index


class PatchBatches:
    """Shuffled batches of patches with noise, a pure function of seed, epoch and step.

    Every epoch has every patch once; the last batch is short where their number is no multiple of
    the batch size.

    Args:
        images: (M, C, H, W) float32 in [0, 1], on the device to compute on.
        patches: of these images.
        batch_size: patches per batch, 1 or more.
        noise: Z, numbers that a generator starts from.
        seed: of the order and the noise.
    """

    def __init__(
        self, images: Tensor, patches: Patches, batch_size: int, noise: int, seed: int
    ) -> None:
        self._images = images
        self._patches = patches
        self._batch_size = batch_size
        self._noise = noise
        self._seed = seed
        self._ordered = (-1, torch.empty(0, dtype=torch.int64))

    def __len__(self) -> int:
        """Steps per epoch."""
        return -(-len(self._patches.classes) // self._batch_size)

    def order(self, epoch: int) -> Tensor:
        """(N,) indices of the patches in the order in which the epoch shows them."""
        if self._ordered[0] != epoch:
            generator = torch.Generator().manual_seed(stable_seed(self._seed, epoch))
            count = len(self._patches.classes)
            self._ordered = (epoch, torch.randperm(count, generator=generator))
        return self._ordered[1]

    def batch(self, epoch: int, step: int) -> PatchBatch:
        """Batch number ``step`` of an epoch; both count from 0.

        Raises:
            IndexError: the epoch has fewer steps.
        """
        if not 0 <= step < len(self):
            raise IndexError(f"step {step} of an epoch of {len(self)} steps")
        chosen = self.order(epoch)[step * self._batch_size : (step + 1) * self._batch_size]
        device = self._images.device
        cases, rows, columns, classes = (part[chosen].to(device) for part in self._patches)
        generator = torch.Generator().manual_seed(stable_seed(self._seed, epoch, step))
        noise = torch.randn(len(chosen), self._noise, generator=generator)
        patches = extract_patches(self._images, cases, rows, columns)
        return PatchBatch(patches, classes, noise.to(device))
