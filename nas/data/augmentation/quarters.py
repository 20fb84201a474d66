"""A quarter of the image, mirrored to full size (Livne 2019, "Mirroring Augmentation")."""

from __future__ import annotations

import torch

from nas.data.augmentation.sample import Sample


def draw_quarter(share: float, generator: torch.Generator) -> tuple[int, int] | None:
    """One of the four quarters (row, column) with probability ``share``, else None."""
    wanted = torch.rand((), generator=generator).item() < share
    row, column = torch.randint(2, (2,), generator=generator).tolist()
    return (row, column) if wanted else None


def mirrored_quarter(sample: Sample, row: int, column: int) -> Sample:
    """The quarter, to the right of it its mirror image, and below both theirs.

    The quarter comes to lie at the top left, whichever it is. Where a side is odd, the middle line
    belongs to both halves, and it is not doubled by the mirror. Pixels are copied, not
    interpolated.

    Args:
        sample: of any size.
        row: 0 for an upper quarter, 1 for a lower one.
        column: 0 for a left quarter, 1 for a right one.

    Returns:
        A sample of the same size.
    """
    height, width = sample.size
    rows = _there_and_back(height, row).to(sample.image.device)
    columns = _there_and_back(width, column).to(sample.image.device)
    return sample.mapped(lambda part: part[..., rows[:, None], columns])


def _there_and_back(length: int, half: int) -> torch.Tensor:
    """Indices of a half of a line, followed by the same ones in reverse; ``length`` in all."""
    indices = torch.arange(length)
    return half * (length // 2) + torch.minimum(indices, length - 1 - indices)
