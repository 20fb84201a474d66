"""Rows and columns that are copied to other places of the same images."""

from __future__ import annotations

from typing import NamedTuple

import torch

from nas.data.augmentation.stack import Stack


class Lines(NamedTuple):
    """Which row and column of an image each row and column of its copy is taken from.

    Attributes:
        rows: (N, H) int64 in 0..H-1.
        columns: (N, W) int64 in 0..W-1.
    """

    rows: torch.Tensor
    columns: torch.Tensor


def all_lines(count: int, size: tuple[int, int]) -> Lines:
    """The rows and columns of so many images of (height, width), each at its own place."""
    rows, columns = (torch.arange(length).expand(count, length) for length in size)
    return Lines(rows, columns)


def copied(stack: Stack, lines: Lines) -> Stack:
    """The stack with its rows and columns taken from elsewhere; nothing is interpolated.

    Args:
        stack: of N images.
        lines: of the same number and size, moved to the device of the stack.
    """
    rows, columns = (part.to(stack.images.device) for part in lines)
    return stack.mapped(lambda part: _taken(part, rows, columns))


def _taken(part: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """(N, ..., H, W) with the rows (N, H) and the columns (N, W) of each of the N."""
    flat = part.reshape(-1, *part.shape[-2:])
    repeated = len(flat) // len(rows)
    starts = torch.arange(len(flat), device=part.device)[:, None] * flat.shape[1]
    sources = (rows.repeat_interleave(repeated, dim=0) + starts).flatten()
    flat = flat.flatten(0, 1).index_select(0, sources).view_as(flat)
    columns = columns.repeat_interleave(repeated, dim=0)[:, None].expand_as(flat)
    return flat.gather(2, columns).view_as(part)
