"""Batch normalisation over the joined batch of several processes.

torch's SyncBatchNorm runs on CUDA alone and has no second derivative, which an exact product needs.
Here mean and variance are sums over the ranks that can be differentiated as often as is wanted.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm
from torch.nn.modules.batchnorm import _BatchNorm

from nas.ranks import count, summed
from search_spaces.map_norm import Average


class _SummedOverRanks(torch.autograd.Function):
    """y = sum over ranks of x. All ranks' losses depend on it, so dx is the sum of all dy."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        return summed([own])[0]

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        return summed_over_ranks(slopes[0])


def summed_over_ranks(own: Tensor) -> Tensor:
    """The sum over the ranks of a tensor, with gradients of every order.

    The gradient is that of the sum of the ranks' losses; every rank must take it.
    """
    total: Tensor = _SummedOverRanks.apply(own)
    return total


class SynchronisedBatchNorm(_BatchNorm):
    """Batch normalisation by mean and variance of the images of all ranks, (N, C, ...) each.

    In evaluation mode it is the ordinary one. Relaxed cells, which compute their norm layers
    themselves, ask it for its average (`search_spaces.map_norm.JoinsSamples`).
    """

    def joined(self, samples: int) -> tuple[Tensor, Average]:
        """How many samples all ranks have, and their average, (maps, N, ..., C) to (maps, 1, ...).

        Args:
            samples: N, of this rank.
        """
        assert self.running_mean is not None
        (total,) = summed([self.running_mean.new_full((), samples)])
        return total, lambda values: summed_over_ranks(values.sum(1, keepdim=True)) / total

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected (N, C, ...), got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        """The normalised input, scaled and shifted by weight and bias."""
        self._check_input_dim(input)
        if not self.training and self.running_mean is not None:
            return batch_norm(
                input,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                eps=self.eps,
            )
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        axes = [axis for axis in range(values.dim()) if axis != 1]
        like = [1, -1] + [1] * (values.dim() - 2)
        own = values.new_full((1,), values.numel() / values.shape[1])
        if count() == 1 and values.numel() == values.shape[1]:
            raise ValueError(f"expected more than 1 value per channel, got {tuple(values.shape)}")
        *sums, number = summed_over_ranks(torch.cat([values.sum(axes), own])).split(1)
        mean = torch.cat(sums) / number
        centred = values - mean.view(like)
        variance = summed_over_ranks(centred.square().sum(axes)) / number
        self._remember(mean.detach(), variance.detach(), number)
        found = centred * (variance + self.eps).rsqrt().view(like)
        if self.weight is not None:
            found = found * self.weight.view(like) + self.bias.view(like)
        return found.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, number: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        unbiased = variance * (number / (number - 1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)


def synchronise(network: nn.Module) -> None:
    """Replace every batch norm in a network by a synchronised one with the same parameters."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _BatchNorm):
                setattr(parent, name, _synchronised(child))


def _synchronised(layer: _BatchNorm) -> SynchronisedBatchNorm:
    found = SynchronisedBatchNorm(
        layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats
    )
    if layer.affine:
        found.weight, found.bias = layer.weight, layer.bias
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        setattr(found, name, getattr(layer, name))
    return found.train(layer.training)


def has_batch_norm(network: nn.Module) -> bool:
    """Whether batch statistics enter what the network computes."""
    return any(isinstance(module, _BatchNorm) for module in network.modules())
