"""Separable convolutions and their gradients by kernels, operation by operation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from search_spaces.kernels import depthwise, products
from search_spaces.kernels.depthwise import Form

Forms = Sequence[tuple[int, int]]
"""Stride and dilation of each operation."""


def forward(x: Tensor, targets: int, forms: Forms, weights: Sequence[Tensor]) -> list[Tensor]:
    """Results, (N, H', W', edges, C), of pairs of weights within and across channels."""
    results = []
    for form, within, across in zip(forms, weights[::2], weights[1::2], strict=True):
        between = _within(x, targets, form, within)
        y = torch.empty_like(between)
        _multiply(between, across.transpose(1, 2), y)
        results.append(y)
    return results


def backward(
    x: Tensor,
    targets: int,
    forms: Forms,
    weights: Sequence[Tensor],
    slopes: Sequence[Tensor],
    needed: Sequence[bool],
) -> tuple[Tensor | None, list[Tensor | None]]:
    """Gradients of x and of the weights; ``needed`` says of which."""
    to_x = x.new_zeros(x.shape) if needed[0] else None
    to_weights: list[Tensor | None] = []
    for place, (form, slope) in enumerate(zip(forms, slopes, strict=True)):
        within, across = weights[2 * place : 2 * place + 2]
        to_within, to_across = needed[1 + 2 * place : 3 + 2 * place]
        slope = slope.contiguous()
        between = torch.empty_like(slope)
        found: Tensor | None = None
        if to_across:
            _convolve(x, targets, form, within, between)
            found = _correlate(slope, between)
        if to_x is not None or to_within:
            _multiply(slope, across, between)
        if to_x is not None:
            _add_input_gradient(to_x, between, targets, within, form)
        own = _weight_gradient(x, between, targets, within, form) if to_within else None
        to_weights += [own, found]
    return to_x, to_weights


def _seen(x: Tensor, form: tuple[int, int]) -> tuple[Tensor, int, int]:
    """What a kernel is applied to, and with which stride and dilation.

    With both, it sees every second pixel only, and these without dilation.
    """
    stride, dilation = form
    if stride > 1 and dilation > 1:
        return x[:, ::stride, ::stride], 1, dilation // stride
    return x, stride, dilation


def _within(x: Tensor, targets: int, form: tuple[int, int], weight: Tensor) -> Tensor:
    """Result (N, H', W', edges, C) of the convolution within channels."""
    height, width = (-(-length // form[0]) for length in x.shape[1:3])
    y = x.new_empty(len(x), height, width, targets * x.shape[3], x.shape[4])
    _convolve(x, targets, form, weight, y)
    return y


def _convolve(x: Tensor, targets: int, form: tuple[int, int], weight: Tensor, y: Tensor) -> None:
    seen, stride, dilation = _seen(x, form)
    shape = Form(weight.shape[2], stride, dilation)
    maps, taps = _sources(seen), _taps(weight, targets)
    depthwise.convolve(maps, taps, _of_targets(y, targets), shape, torch.get_num_threads())


def _add_input_gradient(
    total: Tensor, slope: Tensor, targets: int, weight: Tensor, form: tuple[int, int]
) -> None:
    seen, stride, dilation = _seen(total, form)
    shape = Form(weight.shape[2], stride, dilation)
    whole = seen.is_contiguous()
    given = seen if whole else torch.zeros_like(seen, memory_format=torch.contiguous_format)
    depthwise.add_input_gradient(
        _of_targets(slope, targets),
        _taps(weight, targets),
        _sources(given),
        shape,
        torch.get_num_threads(),
    )
    if not whole:
        seen.add_(given)


def _weight_gradient(
    x: Tensor, slope: Tensor, targets: int, weight: Tensor, form: tuple[int, int]
) -> Tensor:
    seen, stride, dilation = _seen(x, form)
    shape = Form(weight.shape[2], stride, dilation)
    maps, slopes = _sources(seen), _of_targets(slope, targets)
    taps = depthwise.weight_gradient(maps, slopes, shape, torch.get_num_threads())
    return torch.from_numpy(taps).flatten(2).permute(2, 0, 1).reshape(weight.shape)


def _multiply(x: Tensor, weight: Tensor, y: Tensor) -> None:
    """y (..., edges, out) from x (..., edges, in) and weights (edges, in, out)."""
    maps, results = (_pixels(each) for each in (x, y))
    products.multiplied(maps, _array(weight), results, torch.get_num_threads())


def _correlate(x: Tensor, slope: Tensor) -> Tensor:
    maps, slopes = (_pixels(each) for each in (x, slope))
    return torch.from_numpy(products.weight_gradient(maps, slopes, torch.get_num_threads()))


def _taps(weight: Tensor, targets: int) -> np.ndarray:
    """(edges * C, 1, k, k) to (k, k, targets, sources * C)."""
    kernel = weight.shape[2:]
    return _array(weight.flatten(1).t()).reshape(*kernel, targets, -1)


def _of_targets(y: Tensor, targets: int) -> np.ndarray:
    """(N, H, W, edges, C) to (N, H, W, targets, sources * C)."""
    return _array(y).reshape(*y.shape[:3], targets, -1)


def _sources(x: Tensor) -> np.ndarray:
    """(N, H, W, sources, C) to (N, H, W, sources * C)."""
    return _array(x).reshape(*x.shape[:3], -1)


def _pixels(y: Tensor) -> np.ndarray:
    """(N, H, W, edges, C) to (N * H * W, edges, C)."""
    return _array(y).reshape(-1, *y.shape[3:])


def _array(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach()
    array: np.ndarray = (tensor if tensor.is_contiguous() else tensor.contiguous()).numpy()
    return array
