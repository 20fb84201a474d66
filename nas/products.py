"""Rules for the mixed second derivative of a loss, multiplied by a vector.

Each rule computes  d/dalpha [ grad_w L(alpha, w) . v ]  for a loss L, weights w and a
vector v shaped like w. The rules are interchangeable; they differ in cost and error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from nas.devices import without_tf32
from nas.gradients import Gradient, gradient, norm
from nas.terms import gradient_by_terms, terms_of
from nas.traceless import frozen, moved, same_buffers, same_noise


class Product(Protocol):
    """A rule for the product of the mixed second derivative with a vector."""

    def __call__(
        self,
        loss: Callable[[], Tensor],
        weights: Sequence[Tensor],
        vector: Gradient,
        alphas: Sequence[Tensor],
        modules: Sequence[nn.Module] = (),
    ) -> Gradient:
        """One tensor per entry of ``alphas``, computed in the full precision of their type.

        Args:
            loss: evaluates L, a scalar, at the present values of weights and alphas; by terms, if
                it is `ByTerms`.
            weights: the tensors w that the vector belongs to; left as they were.
            vector: v, one tensor per weight.
            alphas: the tensors to differentiate with respect to.
            modules: networks whose buffers every pass finds as they are now, and leaves so.
        """


def finite_difference(radius: float = 1e-2) -> Product:
    """Central difference of d_alpha L between w + eps v and w - eps v (DARTS, Eq. 8).

    eps = radius / ||v||, so that the weights move by ``radius`` whatever the size of v. The
    error falls with radius^2 on a smooth loss, until rounding takes over. Kinks of ReLU and max
    pooling between the two points are not seen by the exact product but are by this one.
    A vector of zeros gives zeros. Costs two passes and keeps no graph of the weights.

    Raises:
        ValueError: radius is not positive.
    """
    if not radius > 0:
        raise ValueError(f"radius must be positive, got {radius}")

    def product(
        loss: Callable[[], Tensor],
        weights: Sequence[Tensor],
        vector: Gradient,
        alphas: Sequence[Tensor],
        modules: Sequence[nn.Module] = (),
    ) -> Gradient:
        length = norm(vector)
        zero = torch.zeros_like(length)
        eps = torch.where(length > 0, radius / length, zero)
        per_eps = torch.where(length > 0, length / (2 * radius), zero)

        def slope_at(distance: Tensor) -> Gradient:
            with (
                frozen(weights),
                moved(weights, (distance * part for part in vector)),
                same_noise(weights),
                same_buffers(modules),
                without_tf32(),
            ):
                return gradient_by_terms(terms_of(loss), alphas)[1]

        ahead, behind = slope_at(eps), slope_at(-eps)
        return [(a - b) * per_eps for a, b in zip(ahead, behind, strict=True)]

    return product


def exact() -> Product:
    """The product itself, by differentiating grad_w L . v once more (reverse over reverse)."""

    def product(
        loss: Callable[[], Tensor],
        weights: Sequence[Tensor],
        vector: Gradient,
        alphas: Sequence[Tensor],
        modules: Sequence[nn.Module] = (),
    ) -> Gradient:
        def along_vector(term: Tensor) -> Tensor:
            slopes = gradient(term, weights, create_graph=True)
            return torch.stack([(s * v).sum() for s, v in zip(slopes, vector, strict=True)]).sum()

        with same_noise(weights), same_buffers(modules), without_tf32():
            return gradient_by_terms(map(along_vector, terms_of(loss)), alphas)[1]

    return product
