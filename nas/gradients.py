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
    if not inputs:
        return []
    if not value.requires_grad:
        return [torch.zeros_like(tensor) for tensor in inputs]
    return list(
        torch.autograd.grad(
            value,
            list(inputs),
            create_graph=create_graph,
            allow_unused=True,
            materialize_grads=True,
        )
    )


def add(*gradients: Gradient) -> Gradient:
    """Sum, entry by entry."""
    return [torch.stack(entries).sum(dim=0) for entries in zip(*gradients, strict=True)]


def scale(tensors: Gradient, factor: float | Tensor) -> Gradient:
    """Multiple of each entry."""
    return [tensor * factor for tensor in tensors]


def norm(tensors: Sequence[Tensor]) -> Tensor:
    """Euclidean norm of all entries as one vector; a scalar tensor."""
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(t) for t in tensors]))


def cosine(first: Gradient, second: Gradient) -> Tensor:
    """Cosine of the angle between two gradients, NaN where one of them is zero."""
    dot = torch.stack([(a * b).sum() for a, b in zip(first, second, strict=True)]).sum()
    return dot / (norm(first) * norm(second))
