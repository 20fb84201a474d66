"""Images without masks: files of a folder, or training images whose masks are put aside."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nas.data.batches import Batch, Shuffled, resize_image
from nas.data.cases import Case, natural_key
from nas.data.images import IMAGE_SUFFIXES, open_image
from nas.data.preprocessing import preprocess_image
from nas.data.splits import Split
from nas.errors import DataError
from nas.settings import DataSettings


def put_aside(train: Sequence[str], settings: DataSettings) -> tuple[str, ...]:
    """The training images whose masks are not used, drawn by the seed of the split.

    Raises:
        DataError: none of the training images would keep its mask.
    """
    count = settings.unlabelled_images
    if count and count >= len(train):
        raise DataError(
            f"--unlabelled-images {count} leaves none of the {len(train)} training images with its "
            "mask: lower it."
        )
    chosen = set(random.Random(f"unlabelled {settings.split_seed}").sample(sorted(train), count))
    return tuple(case for case in train if case in chosen)


def files_of(folder: Path) -> tuple[Path, ...]:
    """The image files of a folder in natural order.

    Raises:
        DataError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise DataError(f"--unlabelled {folder} is no folder: it should hold images.")
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise DataError(
            f"--unlabelled {folder} holds no images ({', '.join(IMAGE_SUFFIXES)} are read)."
        )
    return tuple(sorted(files, key=lambda path: natural_key(path.name)))


def refuse_held_out(files: Iterable[Path], split: Split, cases: Iterable[Case]) -> None:
    """Refuse unlabelled images that a run is to be judged by.

    Raises:
        DataError: names the first one.
    """
    judges = {*split.val, *split.test}
    held_out = {
        path.resolve(): case.id for case in cases if case.id in judges for path in case.files
    }
    for path in files:
        if path.resolve() in held_out:
            raise DataError(
                f"--unlabelled holds {path}, which is the validation or test image "
                f"{held_out[path.resolve()]}: scores on it would be too good. Take it out."
            )


def read_file(path: Path, channels: int, settings: DataSettings) -> np.ndarray:
    """(C, H, W) float32 in [0, 1], read and preprocessed like the images of the data."""
    stored = channels if settings.image_channel == "all" else 3
    return preprocess_image(open_image(path, stored, settings.white, settings.window), settings)


@dataclass(frozen=True)
class Unlabelled:
    """Images without truth in memory.

    Attributes:
        images: (C, H, W) float32 in [0, 1] by name, all of one size and on one device.
    """

    images: Mapping[str, torch.Tensor]

    @classmethod
    def read(
        cls,
        names: Iterable[str],
        read: Callable[[str], np.ndarray],
        size: tuple[int, int],
        device: torch.device,
    ) -> Unlabelled:
        """The named images, read by a function and brought to a size (height, width)."""
        return cls({name: resize_image(read(name), size).to(device) for name in names})


def halves(
    unlabelled: Unlabelled | None, seed: int
) -> tuple[Unlabelled, Unlabelled] | tuple[None, None]:
    """The images for the weights and those for the architecture of a search, drawn by a seed.

    Raises:
        DataError: there is one image alone.
    """
    if unlabelled is None:
        return None, None
    names = sorted(unlabelled.images)
    if len(names) < 2:
        raise DataError(
            "A search divides the unlabelled images into two halves, and there is one alone: give "
            "more."
        )
    random.Random(f"unlabelled halves {seed}").shuffle(names)
    parts = names[: len(names) // 2], names[len(names) // 2 :]
    first, second = ({name: unlabelled.images[name] for name in part} for part in parts)
    return Unlabelled(first), Unlabelled(second)


class WithUnlabelled:
    """Gives every training batch as many unlabelled images as it has labelled ones.

    Args:
        unlabelled: the images.
        batch_size: images per step.
        seed: seed of their order.
        steps: steps of an epoch of labelled images; the unlabelled ones go round on their own.
    """

    def __init__(self, unlabelled: Unlabelled, batch_size: int, seed: int, steps: int) -> None:
        self._images = unlabelled.images
        self._shuffled = Shuffled(tuple(self._images), min(batch_size, len(self._images)), seed)
        self._steps = steps

    @property
    def smallest(self) -> int:
        """The fewest that a batch is given."""
        return self._shuffled.smallest

    def __call__(self, batch: Batch, epoch: int, step: int) -> Batch:
        """The batch with unlabelled images."""
        place = divmod(epoch * self._steps + step, len(self._shuffled))
        images = [self._images[name] for name in self._shuffled.part(*place)]
        return batch._replace(unlabelled=torch.stack(images))
