"""Is the discriminator of use to the segmenter? Numbers, and sentences where they are out of band.

A discriminator helps as long as it can tell real from fake, is not always right, judges shapes, and
hands the segmenter a gradient. Each of that can go wrong without any loss looking odd.

Softness or shape: a truth is one-hot and a prediction soft, so a discriminator may look at nothing
else. The probe crosses the two: it shows the shapes of either side with the softness of the other
(`nas.softness`), such as hardened predictions, and truths as blurred as predictions are. With
F(shape, softness) the share of verdicts "fake",

    by_softness = 1/2 [F(real, fake) - F(real, real)] + 1/2 [F(fake, fake) - F(fake, real)]
    by_shape    = 1/2 [F(fake, real) - F(real, real)] + 1/2 [F(fake, fake) - F(real, fake)]

are the main effects of a 2 x 2 design. Their sum is F(fake, fake) - F(real, real), which is all
that the discriminator can tell: accuracy on real + accuracy on fake - 1. A discriminator that looks
at softness alone has by_softness = 1 and by_shape = 0, one that looks at shape alone the reverse.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from nas.cues import Cue
from nas.data.batches import Batch
from nas.games.adversarial import Pressure, Side
from nas.gradients import filled, norm
from nas.losses.adversarial import AdversarialLoss
from nas.softness import with_softness_of
from nas.traceless import frozen, without_trace

CLEARLY_BETTER = 0.1
"""A channel shows another class than its own where its correlation with that is so much higher."""

SMALLEST_DEVIATION = 1e-6
"""A channel whose standard deviation is far smaller correlates with no class."""


class Game(Protocol):
    """What is examined: see `nas.games.adversarial.AdversarialSegmentation`."""

    segmenter: nn.Module
    discriminator: nn.Module
    adversarial: AdversarialLoss
    cue: Cue
    pressure: Pressure

    def contestants(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The real and the fake maps, (N, K, H, W), as the discriminator sees them."""

    def judge(self, maps: Tensor, batch: Batch, of: Side) -> Tensor:
        """Verdicts on maps of one side of the batch."""

    def shown(self, batch: Batch) -> Batch:
        """The batch with the segmenter's logits, as far as its losses ask for them."""

    def images_of(self, batch: Batch, side: Side) -> Tensor:
        """The images (N, C, H, W) of one side."""

    def segmentation_loss(self, batch: Batch) -> Tensor:
        """The term of the segmenter's loss that is not adversarial."""


@dataclass(frozen=True)
class Health:
    """What was seen of a discriminator.

    Attributes:
        verdicts: how many were seen, of the side with fewer.
        real_loss: mean loss of verdicts on real maps.
        fake_loss: mean loss of verdicts on fake maps.
        real_accuracy: share of real maps called real.
        fake_accuracy: share of fake maps called fake.
        softened_real_accuracy: share of real shapes called real, with the softness of fake ones.
        hardened_fake_accuracy: share of fake shapes called fake, with the softness of real ones.
        segmenter_gradient: norm, over the segmenter's weights, of the gradient of the adversarial
            term without its weight; the mean over batches.
        segmentation_gradient: the same of the segmentation loss.
        adversarial_weight: of the adversarial term at the time, >= 0.
        shown_classes: for each channel of the fake maps, the class whose probability it shows.
        leaked_gradient: norm of what lies in ``.grad`` of the discriminator's weights between
            steps; 0 where a step starts from a clean slate.
    """

    verdicts: int
    real_loss: float
    fake_loss: float
    real_accuracy: float
    fake_accuracy: float
    softened_real_accuracy: float
    hardened_fake_accuracy: float
    segmenter_gradient: float
    segmentation_gradient: float
    adversarial_weight: float
    shown_classes: tuple[int, ...]
    leaked_gradient: float

    @property
    def accuracy(self) -> float:
        """Mean of the accuracies on real and on fake, in [0, 1]; 1/2 is guessing."""
        return (self.real_accuracy + self.fake_accuracy) / 2

    @property
    def gradient_ratio(self) -> float:
        """Gradient of the adversarial term over that of the segmentation loss, >= 0."""
        smallest = torch.finfo(torch.float32).tiny
        return self.segmenter_gradient / max(self.segmentation_gradient, smallest)

    @property
    def weighted_ratio(self) -> float:
        """The same with the weight that the adversarial term has, >= 0."""
        return self.adversarial_weight * self.gradient_ratio

    @property
    def by_softness(self) -> float:
        """How much oftener a map is called fake for its softness, in [-1, 1]."""
        lost_on_real = self.real_accuracy - self.softened_real_accuracy
        lost_on_fake = self.fake_accuracy - self.hardened_fake_accuracy
        return (lost_on_real + lost_on_fake) / 2

    @property
    def by_shape(self) -> float:
        """How much oftener a map is called fake for its shape, in [-1, 1]."""
        return self.real_accuracy + self.fake_accuracy - 1 - self.by_softness

    @property
    def softness(self) -> float:
        """How far softness decides alone: by_softness - |by_shape|, in [0, 1]; 0 below that."""
        return max(0.0, self.by_softness - abs(self.by_shape))

    @property
    def inverted(self) -> bool:
        """Whether a channel of the fake maps shows another class than its own."""
        return self.shown_classes != tuple(range(len(self.shown_classes)))

    def numbers(self) -> dict[str, float]:
        """For the records of a run; all are finite where the losses are."""
        return {
            "real_loss": self.real_loss,
            "fake_loss": self.fake_loss,
            "real_accuracy": self.real_accuracy,
            "fake_accuracy": self.fake_accuracy,
            "segmenter_gradient": self.segmenter_gradient,
            "gradient_ratio": self.gradient_ratio,
            "weighted_ratio": self.weighted_ratio,
            "by_softness": self.by_softness,
            "by_shape": self.by_shape,
            "softness": self.softness,
            "inverted": float(self.inverted),
            "leaked_gradient": self.leaked_gradient,
        }


def examine(game: Game, batches: Iterable[Batch]) -> Health:
    """Look at a discriminator through the eyes of its game.

    Both networks are examined in the mode (training or evaluation) that they are in. Buffers, noise
    and gradients are left as they were.

    Args:
        game: segmenter, discriminator and their losses.
        batches: what they are shown, one or more.

    Raises:
        ValueError: there is no batch.
    """
    leaked = leaked_gradient(game.discriminator)
    with (
        without_trace([game.segmenter, game.discriminator]),
        frozen(game.discriminator.parameters()),
    ):
        looks = [_Look.at(game, batch) for batch in batches]
    if not looks:
        raise ValueError("A discriminator is examined on one batch or more; there is none.")
    real, fake, softened, hard = (
        torch.cat(verdicts) for verdicts in zip(*(look.verdicts for look in looks), strict=True)
    )
    threshold = game.adversarial.threshold
    slopes = torch.tensor([look.gradients for look in looks], dtype=torch.float64).mean(dim=0)
    return Health(
        verdicts=min(len(real), len(fake)),
        real_loss=float(game.adversarial.real(real)),
        fake_loss=float(game.adversarial.fake(fake)),
        real_accuracy=_share(real > threshold),
        fake_accuracy=_share(fake <= threshold),
        softened_real_accuracy=_share(softened > threshold),
        hardened_fake_accuracy=_share(hard <= threshold),
        segmenter_gradient=float(slopes[0]),
        segmentation_gradient=float(slopes[1]),
        adversarial_weight=game.pressure.adversarial,
        shown_classes=shown_classes(torch.stack([look.correlations for look in looks]).mean(dim=0)),
        leaked_gradient=leaked,
    )


@dataclass(frozen=True)
class _Look:
    """What one batch tells.

    Attributes:
        verdicts: on real maps, fake maps, real shapes with the softness of fake ones, and fake
            shapes with the softness of real ones; flat.
        gradients: norms of that of the adversarial term and that of the segmentation loss.
        correlations: (K, K) of the channels of fake maps with the classes.
    """

    verdicts: tuple[Tensor, Tensor, Tensor, Tensor]
    gradients: tuple[float, float]
    correlations: Tensor

    @classmethod
    def at(cls, game: Game, batch: Batch) -> _Look:
        shown = game.shown(batch)
        real, fake = game.contestants(shown)
        on_fake = game.judge(fake, shown, "fake")
        terms = game.adversarial.fooling(on_fake), game.segmentation_loss(shown)
        adversarial, segmentation = _slopes_of_segmenter(game.segmenter, terms)
        with torch.no_grad():
            real, fake = real.detach(), fake.detach()
            verdicts = (
                game.judge(real, shown, "real").flatten(),
                on_fake.detach().flatten(),
                game.judge(with_softness_of(real, fake), shown, "real").flatten(),
                game.judge(with_softness_of(fake, real), shown, "fake").flatten(),
            )
            probabilities = _fake_logits(game, shown).softmax(dim=1)
            seen = correlations(fake, game.cue.prediction(probabilities))
        return cls(verdicts, (adversarial, segmentation), seen)


def _slopes_of_segmenter(segmenter: nn.Module, terms: Sequence[Tensor]) -> list[float]:
    """Norm of the gradient of each term, all of the same pass, over the segmenter's weights."""
    weights = [weight for weight in segmenter.parameters() if weight.requires_grad]

    def slopes(term: Tensor) -> Sequence[Tensor | None]:
        if not (weights and term.requires_grad):
            return [None for _ in weights]
        return torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True)

    return [float(norm(filled(slopes(term), weights))) for term in terms]


def _fake_logits(game: Game, shown: Batch) -> Tensor:
    """The segmenter's for the images of the fake side."""
    images = game.images_of(shown, "fake")
    known = shown.logits if images is shown.images else shown.unlabelled_logits
    return game.segmenter(images) if known is None else known.detach()


def correlations(shown: Tensor, probabilities: Tensor) -> Tensor:
    """Pearson's, over all pixels, of each channel with each class; 0 where one does not vary.

    Args:
        shown: (N, K, H, W), what the discriminator sees.
        probabilities: (N, K, H, W) of the classes in order, treated by the same cue.

    Returns:
        (K, K) float64 on the CPU; rows are channels, columns classes.
    """
    channels, classes = (_standardised(maps) for maps in (shown, probabilities))
    return (channels @ classes.T / channels.shape[1]).cpu()


def _standardised(maps: Tensor) -> Tensor:
    pixels = maps.movedim(1, 0).flatten(1).double()
    centred = pixels - pixels.mean(dim=1, keepdim=True)
    deviation = centred.square().mean(dim=1, keepdim=True).sqrt()
    return centred / deviation.clamp_min(SMALLEST_DEVIATION)


def shown_classes(correlation: Tensor) -> tuple[int, ...]:
    """The class that each channel shows: its own, unless another correlates clearly better.

    Args:
        correlation: (K, K) of channels (rows) with classes (columns).
    """
    best, classes = correlation.max(dim=1)
    misplaced = best > correlation.diagonal() + CLEARLY_BETTER
    own = torch.arange(len(correlation))
    return tuple(torch.where(misplaced, classes, own).tolist())


def leaked_gradient(network: nn.Module) -> float:
    """Norm of what lies in ``.grad`` of a network's weights; 0 where there is nothing."""
    slopes = [weight.grad for weight in network.parameters() if weight.grad is not None]
    return float(norm(slopes)) if slopes else 0.0


def _share(right: Tensor) -> float:
    return float(right.double().mean())
