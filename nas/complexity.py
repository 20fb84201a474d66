"""How large a network is: its parameters, and the multiply-adds of a pass."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nas.modes import modes_kept


def count_parameters(network: nn.Module) -> int:
    """Numbers that training changes, or could change; those that layers share count once."""
    return sum(weight.numel() for weight in network.parameters())


def count_multiply_adds(network: nn.Module, in_channels: int, size: tuple[int, int]) -> int:
    """Multiply-adds of the forward pass of one image of a size.

    Those of convolutions, linear layers and other products of matrices: as is the custom of
    published figures, additions of biases, normalisation, activations, pooling and interpolation
    are not in it. On the meta device (a network built under ``torch.device("meta")``) this needs
    neither memory nor computation. The network is in evaluation mode meanwhile, and unchanged.

    Args:
        network: from float (1, in_channels, H, W), on whatever device.
        in_channels: channels of its input.
        size: height and width in pixels.
    """
    weight = next(network.parameters(), None)
    images = torch.zeros(1, in_channels, *size, device=None if weight is None else weight.device)
    with modes_kept(network), FlopCounterMode(display=False) as counter:
        network.eval()(images)
    return counter.get_total_flops() // 2
