"""What automatic mixed precision does not do for functions with gradients of their own."""

from __future__ import annotations

import torch
from torch import Tensor


def lowered(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in the type of the autocast that is on; as they are where none is."""
    kind = tensors[0].device.type
    if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
        return tensors
    return tuple(each.to(torch.get_autocast_dtype(kind)) for each in tensors)


def raised(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Tensors of less than single precision in single precision, others as they are."""
    return tuple(each.float() if each.dtype.itemsize < 4 else each for each in tensors)
