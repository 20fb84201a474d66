"""Gradients as plain lists of tensors, aligned with the tensors they are taken with respect to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Gradient = list[Tensor]


def gradient(value: Tensor, inputs: Sequence[Tensor], *, create_graph: bool = False) -> Gradient:
    """Derivative of a scalar with respect to each input; zero where it does not depend on it.

    Nothing is accumulated into ``.grad``.
    """
    return filled(slopes_if_any(value, inputs, create_graph=create_graph), inputs)


def slopes_if_any(
    value: Tensor, inputs: Sequence[Tensor], *, create_graph: bool = False
) -> list[Tensor | None]:
    """As `gradient`, but None for an input that is no part of how the value was computed."""
    if not inputs or not value.requires_grad:
        return [None for _ in inputs]
    return list(
        torch.autograd.grad(value, list(inputs), create_graph=create_graph, allow_unused=True)
    )


def filled(slopes: Sequence[Tensor | None], inputs: Sequence[Tensor]) -> Gradient:
    """The slopes with zeros, shaped like the input, in place of None."""
    return [
        torch.zeros_like(tensor) if slope is None else slope
        for slope, tensor in zip(slopes, inputs, strict=True)
    ]


def laid_out_like(tensor: Tensor, slope: Tensor) -> Tensor:
    """The slope in the memory layout of its tensor, which fused optimisers take for granted."""
    if slope.stride() == tensor.stride():
        return slope
    return torch.empty_like(tensor).copy_(slope)


def alone(gradient: Gradient) -> Gradient:
    """The sum over one process: the gradient."""
    return gradient


def add(*gradients: Gradient) -> Gradient:
    """Sum, entry by entry."""
    return [torch.stack(entries).sum(dim=0) for entries in zip(*gradients, strict=True)]


def plus(tensors: Gradient, others: Gradient, factor: float = 1.0) -> Gradient:
    """tensors + factor * others, entry by entry."""
    return list(torch._foreach_add(tensors, others, alpha=factor))


def scale(tensors: Gradient, factor: float | Tensor) -> Gradient:
    """Multiple of each entry."""
    return list(torch._foreach_mul(tensors, factor))


def norm(tensors: Sequence[Tensor]) -> Tensor:
    """Euclidean norm of all entries as one vector; a scalar tensor."""
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(tensors))))


def cosine(first: Gradient, second: Gradient) -> Tensor:
    """Cosine of the angle between two gradients, NaN where one of them is zero."""
    dot = torch.stack([(a * b).sum() for a, b in zip(first, second, strict=True)]).sum()
    return dot / (norm(first) * norm(second))
