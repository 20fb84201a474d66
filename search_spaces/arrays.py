"""Tensors as arrays, which kernels take; they share their memory where it is dense."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from search_spaces.kernels.tape import taped


def array_of(values: Tensor) -> np.ndarray:
    """The numbers of a tensor on a CPU, in order."""
    return taped(values.detach().contiguous().numpy())


def image_of(maps: Tensor) -> np.ndarray:
    """(N, H, W, ..., C) to (N, H, W, R), the numbers of a pixel beside each other."""
    return array_of(maps).reshape(*maps.shape[:3], -1)
