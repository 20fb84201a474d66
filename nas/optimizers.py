"""Optimisers of the weights and of the architecture parameters, by settings.

Each takes its steps in one kernel, which reads and writes what it moves once.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.optim import Optimizer

from nas.bilevel import UnrolledStep
from nas.prompt_optimizers import SGD, Adam
from nas.settings import ArchitectureSettings, TrainingSettings


def weight_optimizer(
    settings: TrainingSettings,
    weights: Sequence[nn.Parameter],
    rate: float,
    capturable: bool = False,
) -> Optimizer:
    """Adam, or SGD with momentum, for the weights of one network.

    Args:
        settings: of the training.
        weights: what it moves.
        rate: learning rate at the start.
        capturable: for steps that are captured, with all that they count in tensors.
    """
    decay = settings.weight_decay
    if settings.optimizer == "sgd":
        momentum = settings.sgd_momentum
        return SGD(weights, rate, momentum=momentum, weight_decay=decay, fused=True)
    betas = settings.adam_beta1, 0.999
    return Adam(weights, rate, betas, weight_decay=decay, fused=True, capturable=capturable)


def unrolled_step(settings: TrainingSettings, rate: float | None) -> UnrolledStep:
    """The virtual step of the weights: with momentum and weight decay where SGD trains them."""
    if settings.optimizer == "sgd":
        return UnrolledStep(rate, settings.sgd_momentum, settings.weight_decay)
    return UnrolledStep(rate)


def architecture_optimizer(
    settings: ArchitectureSettings, alphas: Sequence[nn.Parameter], capturable: bool = False
) -> Optimizer:
    """Adam with betas 0.5 and 0.999, as DARTS moves alpha; ``capturable`` as above."""
    return Adam(
        alphas,
        settings.architecture_lr,
        betas=(0.5, 0.999),
        weight_decay=settings.architecture_decay,
        fused=True,
        capturable=capturable,
    )
