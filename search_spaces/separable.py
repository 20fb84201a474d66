"""Separable convolutions on the edges of a stage: within channels, then across them.

All edges that leave a source read its map.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from search_spaces.depthwise import depthwise
from search_spaces.pixel_products import product


@dataclass(frozen=True)
class Separable:
    """Weights on all edges, stacked by targets, and for each of them by sources.

    Attributes:
        within: (edges * C, 1, k, k), k odd.
        across: (edges * C, C, 1, 1).
        bias: (edges * C,), behind both; None if a norm layer follows.
        stride: 1 or 2.
        dilation: 1 or 2.
    """

    within: Tensor
    across: Tensor
    bias: Tensor | None = None
    stride: int = 1
    dilation: int = 1

    @property
    def seen(self) -> tuple[int, int, int]:
        """Every which pixel is seen, and the stride and dilation among these.

        With a stride and a dilation every second pixel only is seen, and these without dilation.
        """
        if self.stride > 1 and self.dilation > 1:
            return self.stride, 1, self.dilation // self.stride
        return 1, self.stride, self.dilation


def separable(x: Tensor, targets: int, convolution: Separable) -> Tensor:
    """What the edges make of the sources' maps.

    Args:
        x: (N, H, W, sources, C).
        targets: that read each source.
        convolution: of all edges.

    Returns:
        (N, ceil(H / stride), ceil(W / stride), targets * sources, C).
    """
    apart, stride, dilation = convolution.seen
    seen = x[:, ::apart, ::apart]
    edges = seen.unsqueeze(3).expand(-1, -1, -1, targets, -1, -1).flatten(3, 4)
    image = edges.flatten(3).permute(0, 3, 1, 2)
    y = depthwise(image, convolution.within, stride, dilation).permute(0, 2, 3, 1)
    maps = y.unflatten(3, edges.shape[3:])
    across = convolution.across.view(*maps.shape[3:], -1)
    result = product(maps.flatten(0, 2), across).view(maps.shape)
    return result if convolution.bias is None else result + convolution.bias.view(maps.shape[3:])
