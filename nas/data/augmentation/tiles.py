"""Images cut into tiles and put together again."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def cut(picture: torch.Tensor, rows: int, columns: int) -> list[torch.Tensor]:
    """Tiles of a picture, without overlap.

    Args:
        picture: (..., H, W).
        rows: tiles on top of each other, 1 to H.
        columns: tiles beside each other, 1 to W.

    Returns:
        rows * columns tiles (..., h, w), line by line, as views of the picture. Where a side
        is no multiple of their number, the first tiles are one pixel larger than the last.

    Raises:
        ValueError: there are more tiles than pixels along a side, or fewer than 1.
    """
    height, width = picture.shape[-2:]
    if not (1 <= rows <= height and 1 <= columns <= width):
        raise ValueError(
            f"{rows} x {columns} tiles (rows x columns) of a picture of {height}x{width} pixels: "
            "expected 1 or more along each side, and at most one for each pixel"
        )
    strips = picture.tensor_split(rows, dim=-2)
    return [tile for strip in strips for tile in strip.tensor_split(columns, dim=-1)]


def join(tiles: Sequence[torch.Tensor], rows: int, columns: int) -> torch.Tensor:
    """The picture whose tiles `cut` gave.

    Args:
        tiles: rows * columns tiles (..., h, w), line by line.
        rows: tiles on top of each other.
        columns: tiles beside each other.

    Returns:
        (..., H, W).

    Raises:
        ValueError: there is another number of tiles.
    """
    if min(rows, columns) < 1 or len(tiles) != rows * columns:
        raise ValueError(f"{len(tiles)} tiles do not fill {rows} rows of {columns}")
    strips = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    return torch.cat([torch.cat(list(strip), dim=-1) for strip in strips], dim=-2)
