"""A case as it is kept between two batches: at the size of the network, as small as is exact."""

from __future__ import annotations

import math
from collections.abc import Sequence
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import NamedTuple

import torch

WHITE = 255.0
"""Stored value that is 1.0."""


class Decoded(NamedTuple):
    """Image and mask of one case.

    Attributes:
        pixels: (C, H, W), the image as float32 in [0, 1], or as uint8 where that says the same.
        mask: (H, W) uint8 class indices.
    """

    pixels: torch.Tensor
    mask: torch.Tensor

    def to(self, device: torch.device) -> Decoded:
        """The same on another device."""
        return Decoded(self.pixels.to(device), self.mask.to(device))


def apart(decoded: Decoded) -> Decoded:
    """The same in memory that is asked of the system for it alone.

    What a thread allocates to be kept would lie among what it frees while it decodes, and keep
    that from being given back: about as much again as the images themselves was seen.
    """
    try:
        pages = mmap(-1, sum(part.nbytes for part in decoded), MAP_PRIVATE | MAP_ANONYMOUS)
    except OSError:  # The system maps no more: about 65,000 cases are kept.
        return decoded
    parts, start = [], 0
    for part in decoded:
        count = math.prod(part.shape)
        room = torch.frombuffer(pages, dtype=part.dtype, count=count, offset=start)
        parts.append(room.view(part.shape).copy_(part))
        start += part.nbytes
    return Decoded(*parts)


def compact(image: torch.Tensor) -> torch.Tensor:
    """(C, H, W) float32 in [0, 1] as uint8 where all of it are whole 255ths, else as it is."""
    whole = (image * WHITE).round_().to(torch.uint8)
    return whole if torch.equal(expanded(whole), image) else image


def expanded(pixels: torch.Tensor) -> torch.Tensor:
    """What `compact` was given, bit for bit, on any device."""
    if pixels.dtype != torch.uint8:
        return pixels
    # CUDA divides by a number of the CPU as a product with its reciprocal, which rounds otherwise.
    return pixels.float().div_(torch.full((), WHITE, device=pixels.device))


def stacked(pixels: Sequence[torch.Tensor]) -> torch.Tensor:
    """N images as `compact` gave them to (N, C, H, W) float32 in [0, 1]."""
    if len({part.dtype for part in pixels}) > 1:
        pixels = [expanded(part) for part in pixels]
    return expanded(torch.stack(list(pixels)))
