"""What is done to images when they are read: one channel alone, histogram equalisation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nas.data.cases import Case, Reader
from nas.data.delegating import DelegatingReader
from nas.errors import UsageError
from nas.settings import DataSettings

COLOURS = ("red", "green", "blue")
"""The channels of an RGB image in order."""


@dataclass(frozen=True)
class PreprocessedReader(DelegatingReader):
    """The cases of a reader, with their images preprocessed. See :func:`preprocessed`."""

    settings: DataSettings

    @property
    def channels(self) -> int:
        """Channels of every image that is read."""
        return self.reader.channels if self.settings.image_channel == "all" else 1

    def read_image(self, case: Case) -> np.ndarray:
        """(C, H, W) float32 in [0, 1] at stored size, preprocessed.

        Raises:
            DataError: the file is missing, damaged, or of another kind; it names the file.
            UsageError: the image is smaller than the number of tiles.
        """
        return preprocess_image(self.reader.read_image(case), self.settings)


def preprocessed(reader: Reader, settings: DataSettings) -> Reader:
    """A reader whose images are preprocessed; the reader itself where the settings ask for nothing.

    Raises:
        UsageError: one channel is asked for, and the images are grey or are to be read as grey;
            or the clip limit is above 1.
    """
    if settings.clahe_clip > 1:
        raise UsageError(
            f"--clahe-clip {settings.clahe_clip:g} is no share: expected 0 (no equalisation) to 1, "
            "such as 0.01."
        )
    if settings.image_channel != "all":
        _check_colour(reader, settings)
    elif not settings.clahe_clip:
        return reader
    return PreprocessedReader(reader, settings)


def _check_colour(reader: Reader, settings: DataSettings) -> None:
    option = f"--image-channel {settings.image_channel}"
    if settings.image_channels == 1:
        raise UsageError(
            f"{option} takes a channel of RGB images, and --image-channels 1 reads them as grey: "
            "leave one of the two out."
        )
    if all("grey" in reader.describe(case) for case in reader.cases):
        raise UsageError(
            f"{option} takes a channel of RGB images, and the images of {reader.name} are grey: "
            "leave it out."
        )


def preprocess_image(image: np.ndarray, settings: DataSettings) -> np.ndarray:
    """One channel of an image, equalised, as far as the settings ask for it.

    Args:
        image: (C, H, W) float32 in [0, 1].
        settings: ``image_channel``, ``clahe_clip`` and ``clahe_tiles`` are taken from here.

    Returns:
        (C, H, W) float32 in [0, 1], with C = 1 where one channel is asked for.

    Raises:
        UsageError: one channel is asked for, and the image is grey; or it has fewer pixels along
            a side than tiles are asked for.
    """
    if settings.image_channel != "all":
        if image.shape[0] != len(COLOURS):
            raise UsageError(
                f"--image-channel {settings.image_channel} takes a channel of RGB images, and the "
                f"image has {image.shape[0]} channel(s)."
            )
        image = image[COLOURS.index(settings.image_channel)][None].copy()
    if settings.clahe_clip:
        clip, tiles = settings.clahe_clip, settings.clahe_tiles
        image = np.stack([_equalised(channel, clip, tiles) for channel in image])
    return image


def _equalised(channel: np.ndarray, clip: float, tiles: int) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld 1994) of (H, W) in [0, 1].

    Tiles have side / tiles pixels, rounded up. The result is stretched to the whole of [0, 1], as
    scikit-image does; a channel of one value is left as it is.
    """
    from skimage.exposure import equalize_adapthist

    if min(channel.shape) < tiles:
        raise UsageError(
            f"--clahe-tiles {tiles} is more than an image of {channel.shape[0]}x{channel.shape[1]} "
            "pixels has along a side: lower it."
        )
    if channel.min() == channel.max():
        return channel
    sides = [math.ceil(side / tiles) for side in channel.shape]
    equalised = equalize_adapthist(channel, kernel_size=sides, clip_limit=clip)
    return np.clip(equalised, 0.0, 1.0).astype(np.float32)
