"""Tensors as arrays, which kernels take; they share their memory where it is dense."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def array_of(values: Tensor) -> np.ndarray:
    """The numbers of a tensor on a CPU, in order."""
    array: np.ndarray = values.detach().contiguous().numpy()
    return array


def image_of(maps: Tensor) -> np.ndarray:
    """(N, H, W, ..., C) to (N, H, W, R), the numbers of a pixel beside each other."""
    return array_of(maps).reshape(*maps.shape[:3], -1)
