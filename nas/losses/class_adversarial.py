"""The losses of a network of K + 1 classes, the last of which is "fake" (Lahiri et al. 2017).

With p the softmax over the logits z_1 .. z_(K+1) of a patch x with the class y, and a generator G:

    classification   L_c   = -log p(y | x; y < K + 1)
    unmasking        L_adv = -log p(K + 1 | G(noise))
    generator        L_G   = -log(1 - p(K + 1 | G(noise)))

The network minimises L_c + L_adv, the generator L_G. All are means over the patches.

L_c is conditioned on the patch being real, so that it does not depend on z_(K+1): nothing tells the
network that a real patch is not fake. A network that takes everything for fake has an L_adv of 0
and may have any L_c. How many generated patches it unmasks is to be read beside how many real ones
it takes for fake. The classes of an image do not suffer: they are compared with each other alone.
Salimans et al. 2016, from whom the K + 1 classes come, add -log(1 - p(K + 1 | x)) for real x; here
it is left out as published.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy, softplus


def classification_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """L_c, the cross-entropy over the classes of real patches, given that the patch is real.

    Args:
        logits: (N, K + 1) of real patches, the last that of "fake".
        classes: (N,) integers in 0..K-1.

    Returns:
        A scalar.

    Raises:
        ValueError: the logits are not (N, K + 1) with K of 1 or more.
    """
    return cross_entropy(_checked(logits)[:, :-1], classes)


def unmasking_loss(logits: Tensor) -> Tensor:
    """L_adv, what the network pays for not calling generated patches fake.

    Args:
        logits: (N, K + 1) of generated patches, the last that of "fake".

    Returns:
        A scalar.

    Raises:
        ValueError: the logits are not (N, K + 1) with K of 1 or more.
    """
    return softplus(realness(logits)).mean()


def generator_loss(logits: Tensor) -> Tensor:
    """L_G, what the generator pays for being unmasked.

    Args:
        logits: (N, K + 1) of generated patches, the last that of "fake".

    Returns:
        A scalar.

    Raises:
        ValueError: the logits are not (N, K + 1) with K of 1 or more.
    """
    return softplus(-realness(logits)).mean()


def realness(logits: Tensor) -> Tensor:
    """The log-odds of "not fake", log((1 - p(K + 1)) / p(K + 1)).

    Args:
        logits: (N, K + 1), the last that of "fake".

    Returns:
        (N,) float32, or float64 of such logits.

    Raises:
        ValueError: the logits are not (N, K + 1) with K of 1 or more.
    """
    logits = _checked(logits)
    return logits[:, :-1].logsumexp(1) - logits[:, -1]


def _checked(logits: Tensor) -> Tensor:
    """The logits, in float32 at least."""
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(f"logits (N, K + 1) were expected, not {tuple(logits.shape)}")
    return logits if logits.dtype.itemsize >= 4 else logits.float()
