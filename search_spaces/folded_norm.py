"""A norm layer behind a product, folded into the product.

With weights W, y = W d is linear in d, so the mean and the variance of y are those of d under W:
mean(y) = W mean(d), var(y) = diag(W cov(d) W^T). A norm layer without scale and shift is the affine
map y -> a y + b that these decide, and a W d + b is one product again. Neither y nor its normalised
form is ever kept.

Maps are (pixels, N, E, channels): N samples, E products beside each other, each with weights of
its own, (E, out, in).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def fold(norm: nn.Module, d: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weights (N, E, out, in) and biases (N, E, out) of product and norm layer in one.

    Args:
        norm: batch, instance or group norm of E * out channels without scale and shift, or the
            identity. Batch norm takes this batch into its running statistics.
        d: (pixels, N, E, in).
        weight: (E, out, in).
        bias: (E, out), or None.
    """
    samples = d.shape[1]
    if isinstance(norm, nn.Identity):
        bias = weight.new_zeros(weight.shape[:2]) if bias is None else bias
        return weight.expand(samples, -1, -1, -1), bias.expand(samples, -1, -1)
    if isinstance(norm, nn.BatchNorm2d) and not norm.training:
        scale, shift = _running(norm, weight.shape[:2])
    else:
        scale, shift = _standardised(norm, *_moments(d, weight), pixels=d.shape[0])
    folded = scale.unsqueeze(-1) * weight
    return folded.expand(samples, -1, -1, -1), shift.expand(samples, -1, -1)


def normalise(norm: nn.Module, x: Tensor) -> Tensor:
    """The norm layer itself on maps (pixels, N, E, channels)."""
    if isinstance(norm, nn.Identity):
        return x
    if isinstance(norm, nn.BatchNorm2d) and not norm.training:
        scale, shift = _running(norm, x.shape[2:])
    else:
        variance, mean = torch.var_mean(x, dim=0, correction=0)
        scale, shift = _standardised(norm, mean, variance, pixels=x.shape[0])
    return torch.addcmul(shift, x, scale)


def _moments(d: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of weight @ d over the pixels, (N, E, out) each.

    Through the covariance of d, unless there are so few pixels that the product itself is less.
    """
    pixels, samples, edges, channels = d.shape
    blocks = d.flatten(1, 2)
    if pixels < channels:
        y = torch.bmm(blocks.transpose(0, 1), weight.repeat(samples, 1, 1).transpose(1, 2))
        variance, mean = torch.var_mean(y, dim=1, correction=0)
        return mean.unflatten(0, (samples, edges)), variance.unflatten(0, (samples, edges))
    centre = blocks.mean(0)
    square = torch.bmm(blocks.permute(1, 2, 0), blocks.transpose(0, 1)) / pixels
    covariance = square - centre.unsqueeze(2) * centre.unsqueeze(1)
    covariance = covariance.unflatten(0, (samples, edges))
    mean = (weight @ centre.view(samples, edges, channels, 1)).squeeze(-1)
    return mean, ((weight @ covariance) * weight).sum(-1).clamp_min(0)


def _standardised(
    norm: nn.Module, mean: Tensor, variance: Tensor, pixels: int
) -> tuple[Tensor, Tensor]:
    """Scale and shift that the norm layer amounts to, from the moments of each channel."""
    if isinstance(norm, nn.GroupNorm):
        groups = norm.num_groups // mean.shape[1]
        mean, variance = (
            whole.repeat_interleave(mean.shape[2] // groups, dim=2)
            for whole in _pooled(mean.unflatten(2, (groups, -1)), variance.unflatten(2, (groups, -1)), 3)
        )
    elif isinstance(norm, nn.BatchNorm2d):
        count = pixels * mean.shape[0]
        mean, variance = _pooled(mean, variance, 0)
        _track(norm, mean, variance, count)
        mean, variance = mean.unsqueeze(0), variance.unsqueeze(0)
    scale = torch.rsqrt(variance + norm.eps)
    return scale, -mean * scale


def _pooled(mean: Tensor, variance: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Moments of equally large parts taken together."""
    whole = mean.mean(dim)
    spread = (mean - whole.unsqueeze(dim)).square()
    return whole, (variance + spread).mean(dim)


def _running(norm: nn.BatchNorm2d, shape: torch.Size) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = torch.rsqrt(norm.running_var + norm.eps)
    return scale.view(1, *shape), (-norm.running_mean * scale).view(1, *shape)


@torch.no_grad()
def _track(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> None:
    """Running statistics as batch norm keeps them, of the unbiased variance."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.momentum is not None
    norm.running_mean.lerp_(mean.flatten(), norm.momentum)
    norm.running_var.lerp_(variance.flatten() * (count / (count - 1)), norm.momentum)
    norm.num_batches_tracked.add_(1)
