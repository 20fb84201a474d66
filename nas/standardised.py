"""Standardisation of images by the statistics of a set, as part of the segmenter."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


class Standardised(nn.Module):
    """A segmenter behind (image - mean) / std, channel by channel.

    Mean and standard deviation are buffers: a checkpoint keeps them beside the weights, and a
    module that was built with other values takes them over when the checkpoint is loaded.

    Args:
        network: images (N, C, H, W) to logits.
        mean: (C,) of the images.
        std: (C,) of the images, each above 0.

    Raises:
        ValueError: mean and std are no two vectors of one length, or a std is not above 0.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, mean: torch.Tensor, std: torch.Tensor) -> None:
        super().__init__()
        if mean.ndim != 1 or mean.shape != std.shape:
            raise ValueError(
                f"expected mean and std (C,), found {tuple(mean.shape)} and {tuple(std.shape)}"
            )
        if not bool((std > 0).all()):
            raise ValueError(f"expected standard deviations above 0, found {std.tolist()}")
        self.network = network
        self.register_buffer("mean", mean.detach().float().view(-1, 1, 1).clone())
        self.register_buffer("std", std.detach().float().view(-1, 1, 1).clone())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of images (N, C, H, W)."""
        logits: torch.Tensor = self.network((images - self.mean) / self.std)
        return logits


def channel_statistics(images: Iterable[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each channel, over all pixels of all images.

    The images are seen once, one at a time, and may differ in height and width. Sums of squares
    are taken about the mean of each image and merged in float64 (Chan, Golub and LeVeque 1979),
    which stays accurate where the mean is large beside the standard deviation.

    Args:
        images: (C, H, W) floating point.

    Returns:
        Two tensors (C,) float64 on the images' device; the standard deviation is that of the
        population (divided by the number of pixels).

    Raises:
        ValueError: there is no image, images differ in their channels, or a channel has one value
            everywhere, so that its standard deviation is 0.
    """
    count = 0
    mean = squares = least = largest = torch.empty(0)
    for image in images:
        pixels = image.detach().double().flatten(1)
        if count == 0:
            mean = squares = torch.zeros_like(pixels[:, 0])
            least = largest = pixels[:, 0]
        if len(pixels) != len(mean):
            raise ValueError(f"images have {len(mean)} and {len(pixels)} channels: expected one")
        here = pixels.shape[1]
        own = pixels.mean(dim=1)
        distance = own - mean
        squares = (
            squares
            + (pixels - own[:, None]).square().sum(dim=1)
            + distance.square() * (count * here / (count + here))
        )
        count += here
        mean = mean + distance * (here / count)
        least = torch.minimum(least, pixels.amin(dim=1))
        largest = torch.maximum(largest, pixels.amax(dim=1))
    if count == 0:
        raise ValueError("there are no images to take the statistics of")
    _refuse_constant(least, largest)
    return mean, (squares / count).sqrt()


def _refuse_constant(least: torch.Tensor, largest: torch.Tensor) -> None:
    constant = (least == largest).nonzero().flatten().tolist()
    if constant:
        raise ValueError(
            f"channel {constant[0] + 1} of {len(least)} is {least[constant[0]].item():g} in every "
            "pixel of every image: its standard deviation is 0, by which nothing can be divided"
        )
