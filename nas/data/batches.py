"""Cases at hand at the size of the network, and the batches drawn from them."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch.nn import functional

from nas.data.cache import Cache
from nas.data.cases import Reader
from nas.data.decoded import Decoded, apart, compact, stacked
from nas.errors import DataError

THREADS = 8
"""Files that are decoded at once, at most; there is one thread for each core otherwise."""


class Shares(NamedTuple):
    """What a part of a batch holds of the whole, each in [0, 1].

    Attributes:
        images: of the labelled images.
        known: of their pixels of known class, a float64 scalar.
        unlabelled: of the unlabelled images.
    """

    images: float
    known: torch.Tensor
    unlabelled: float


class Batch(NamedTuple):
    """Labelled images, and what a training may want beside them.

    Attributes:
        images: (N, C, H, W) float32 in [0, 1].
        labels: (N, H, W) int64 class indices.
        ids: of the cases.
        weights: (N, H, W) float32, what each pixel counts; None where all count 1.
        triplets: (M, 3) int64, flat indices into N * H * W of anchor, positive and negative; None
            where there is no triplet loss.
        unlabelled: (M, C, H, W) float32 in [0, 1], images without truth; None where there are none.
        logits: (N, K, H, W), what the segmenter makes of the images; None where it is to be asked.
        unlabelled_logits: (M, K, H, W), the same of the images without truth.
        shares: of a larger batch that this is a part of; None where it is the whole.
    """

    images: torch.Tensor
    labels: torch.Tensor
    ids: tuple[str, ...]
    weights: torch.Tensor | None = None
    triplets: torch.Tensor | None = None
    unlabelled: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    unlabelled_logits: torch.Tensor | None = None
    shares: Shares | None = None

    def share_of(
        self, loss: torch.Tensor, over: Literal["images", "known", "unlabelled"]
    ) -> torch.Tensor:
        """What the batch contributes to the whole batch's loss.

        Args:
            loss: of this batch.
            over: what it is a mean over.
        """
        if self.shares is None:
            return loss
        share = getattr(self.shares, over)
        return loss * (share.to(loss.dtype) if isinstance(share, torch.Tensor) else share)


def resize_image(image: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """(C, h, w) float32 to (C, *size), bilinear, antialiased when it shrinks."""
    pixels = torch.from_numpy(image)[None]
    return functional.interpolate(
        pixels, size=size, mode="bilinear", align_corners=False, antialias=True
    )[0].clamp_(0.0, 1.0)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """(h, w) uint8 to uint8 of ``size``: the value of the pixel whose area holds the centre."""
    pixels = torch.from_numpy(np.ascontiguousarray(mask))[None, None]
    return functional.interpolate(pixels, size=size, mode="nearest-exact")[0, 0]


def resize_numbers(numbers: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w) integers of up to 32 bits to those of ``size``, as `resize_mask` chooses them."""
    doubles = torch.from_numpy(numbers.astype(np.float64))[None, None]
    nearest = functional.interpolate(doubles, size=size, mode="nearest-exact")[0, 0]
    return nearest.numpy().astype(numbers.dtype)


class Samples:
    """The cases of a reader at one size, each decoded once, when it is first wanted.

    They are kept in memory, or, with a cache, mapped from its files where the device is the CPU.

    Args:
        reader: where the cases come from.
        ids: the cases to hold.
        size: (height, width) in pixels.
        device: where the tensors are kept.
        progress: called with (cases decoded so far, cases in all) after each decoding, in the
            thread that asked for it.
        cache: of the reader's cases on disk; None where there is none.

    Raises:
        DataError: an id is unknown to the reader.
    """

    def __init__(
        self,
        reader: Reader,
        ids: Sequence[str],
        size: tuple[int, int],
        device: torch.device | str = "cpu",
        progress: Callable[[int, int], None] | None = None,
        cache: Cache | None = None,
    ) -> None:
        known = {case.id: case for case in reader.cases}
        unknown = [case for case in ids if case not in known]
        if unknown:
            raise DataError(f"The data has no case {unknown[0]}.")
        self.size = size
        self.device = torch.device(device)
        self._reader = reader
        self._cases = {case: known[case] for case in ids}
        self._progress = progress
        self._cache = cache
        self._decoded: dict[str, Decoded] = {}

    def __len__(self) -> int:
        return len(self._cases)

    @property
    def ids(self) -> tuple[str, ...]:
        """The cases that are held, in the given order."""
        return tuple(self._cases)

    def load(self) -> None:
        """Decode everything that is not decoded yet, several files at once.

        Threads suffice: what decodes and resizes lets go of Python's lock. Of several files that
        cannot be read, the first one in order is told.

        Raises:
            DataError: a file cannot be read.
            RunError: the cache cannot be written.
        """
        waiting = [case for case in self._cases if case not in self._decoded]
        if waiting:
            # Some layouts find their classes by reading every mask: here once, not in all threads.
            _ = self._reader.classes
        pool = ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1), "decoding")
        try:
            for case, decoded in zip(waiting, pool.map(self._decode, waiting), strict=True):
                self._keep(case, decoded)
        finally:
            pool.shutdown(cancel_futures=True)

    def batch(self, ids: Sequence[str]) -> Batch:
        """The named cases as one batch.

        Raises:
            DataError: a file cannot be read.
            RunError: the cache cannot be written.
        """
        for case in ids:
            if case not in self._decoded:
                self._keep(case, self._decode(case))
        decoded = [self._decoded[case] for case in ids]
        labels = torch.stack([each.mask for each in decoded]).long()
        return Batch(stacked([each.pixels for each in decoded]), labels, tuple(ids))

    def instances(self, case: str) -> np.ndarray | None:
        """(H, W) integers at the size, the numbers of a case's objects; None where it has none.

        Raises:
            DataError: the file cannot be read.
        """
        numbers = self._reader.read_instances(self._cases[case])
        return None if numbers is None else resize_numbers(numbers, self.size)

    def _keep(self, case: str, decoded: Decoded) -> None:
        self._decoded[case] = decoded.to(self.device)
        if self._progress is not None:
            self._progress(len(self._decoded), len(self._cases))

    def _decode(self, case: str) -> Decoded:
        if self._cache is None:
            return apart(self._read(case))
        return self._cache.fetch(self._cases[case], self.size, lambda: self._read(case))

    def _read(self, case: str) -> Decoded:
        image = self._reader.read_image(self._cases[case])
        mask = self._reader.read_mask(self._cases[case])
        if image.shape[1:] != mask.shape:
            raise DataError(
                f"The image of {case} is {image.shape[1]}x{image.shape[2]} and its mask "
                f"{mask.shape[0]}x{mask.shape[1]} (height x width): both need one size."
            )
        return Decoded(compact(resize_image(image, self.size)), resize_mask(mask, self.size))


class Shuffled:
    """Parts of a list in random order, a pure function of seed, epoch and step.

    Every epoch has every name once. The last part is short where their number is no multiple of
    the size; a last part of one joins the one before, since batch norm learns nothing from it.

    Args:
        names: what is shuffled, one or more.
        size: names in a part, 1 or more.
        seed: seed of the order.
    """

    def __init__(self, names: Sequence[str], size: int, seed: int) -> None:
        self._names = tuple(names)
        self._size = size
        self._seed = seed

    def __len__(self) -> int:
        """Parts of an epoch."""
        return len(self._bounds()) - 1

    @property
    def smallest(self) -> int:
        """Names in the smallest part."""
        bounds = self._bounds()
        return min(end - begin for begin, end in itertools.pairwise(bounds))

    def _bounds(self) -> list[int]:
        count = len(self._names)
        bounds = [*range(0, count, self._size), count]
        lonely = bounds[-1] - bounds[-2] == 1
        if lonely and self._size > 1 and len(bounds) > 2:
            del bounds[-2]
        return bounds

    def order(self, epoch: int) -> tuple[str, ...]:
        """The names in the order of the epoch."""
        generator = torch.Generator().manual_seed(stable_seed(self._seed, epoch))
        permutation = torch.randperm(len(self._names), generator=generator)
        return tuple(self._names[i] for i in permutation.tolist())

    def part(self, epoch: int, step: int) -> tuple[str, ...]:
        """Part number ``step`` of an epoch; both count from 0.

        Raises:
            IndexError: the epoch has fewer parts.
        """
        if not 0 <= step < len(self):
            raise IndexError(f"step {step} of an epoch of {len(self)} steps")
        bounds = self._bounds()
        return self.order(epoch)[bounds[step] : bounds[step + 1]]


class Addition(Protocol):
    """What is done to a training batch before a network sees it."""

    def __call__(self, batch: Batch, epoch: int, step: int) -> Batch:
        """The batch with something changed or added, a pure function of seed, epoch and step."""


class Batches:
    """Shuffled batches for training, in the order of `Shuffled`.

    Args:
        samples: the cases in memory.
        batch_size: images per batch, 1 or more.
        seed: seed of the order.
        ids: the part of the samples that is shown; all by default.
        additions: done to every batch, one after the other.
        part: what is taken of every batch; by default all of it.

    Raises:
        DataError: there is no case, or the batch size is below 1.
    """

    def __init__(
        self,
        samples: Samples,
        batch_size: int,
        seed: int,
        ids: Sequence[str] | None = None,
        additions: Sequence[Addition] = (),
        part: Callable[[Batch], Batch] | None = None,
    ) -> None:
        names = samples.ids if ids is None else tuple(ids)
        if not names or batch_size < 1:
            raise DataError(
                f"Batches of {batch_size} from {len(names)} images: both must be 1 or more."
            )
        self._samples = samples
        self._shuffled = Shuffled(names, batch_size, seed)
        self._additions = additions
        self._part = part

    def __len__(self) -> int:
        """Steps per epoch."""
        return len(self._shuffled)

    @property
    def smallest(self) -> int:
        """Images of the smallest batch."""
        return self._shuffled.smallest

    def order(self, epoch: int) -> tuple[str, ...]:
        """The cases in the order in which the epoch shows them."""
        return self._shuffled.order(epoch)

    def batch(self, epoch: int, step: int) -> Batch:
        """Batch number ``step`` of an epoch, or the part of it; both count from 0.

        Raises:
            IndexError: the epoch has fewer steps.
        """
        whole = self.whole(epoch, step)
        return whole if self._part is None else self._part(whole)

    def whole(self, epoch: int, step: int) -> Batch:
        """As `batch`, but all of it.

        Raises:
            IndexError: the epoch has fewer steps.
        """
        batch = self._samples.batch(self._shuffled.part(epoch, step))
        for addition in self._additions:
            batch = addition(batch, epoch, step)
        return batch


def stable_seed(*numbers: int) -> int:
    """A seed of 63 bits, far from those of neighbouring numbers, equal on every machine."""
    digest = hashlib.sha256(":".join(str(number) for number in numbers).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def in_order(
    samples: Samples, batch_size: int, ids: Sequence[str] | None = None
) -> Iterator[Batch]:
    """The samples (or some of them) in their order, for evaluation; the last batch may be short."""
    wanted = samples.ids if ids is None else tuple(ids)
    for start in range(0, len(wanted), batch_size):
        yield samples.batch(wanted[start : start + batch_size])
