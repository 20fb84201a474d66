"""The adversarial training of Nelson 2022 as its published code has it, for comparison.

Three things in that code are not what the paper defines. `TruthAgainstPrediction` is the same game
without them; whether they explain the paper's finding that a discriminator has little effect can be
measured with both.

1. The map of a prediction is the probability of the background, the map of a truth is the gland:
   here the classes of a prediction are shown in reverse order.
2. The discriminator's gradients are never zeroed. Each of its steps follows the sum of all
   gradients since the training began, those of the segmenter's loss included.
3. Cross-entropy, which takes logits, is given probabilities: softmax is applied twice, and the loss
   of two classes lies between 0.313 and 1.313.

Also as coded: the discriminator moves first, and learns from the truths of a random half of the
batch and the predictions of the other half.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nas.bilevel import Bilevel
from nas.data.batches import Batch
from nas.games.adversarial import where_known
from nas.games.truth_prediction import TruthAgainstPrediction
from nas.losses.pixel_weights import weighted_cross_entropy


def cross_entropy_of_probabilities(logits: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy with softmax applied twice; a scalar, for two classes in [0.313, 1.313]."""
    return weighted_cross_entropy(logits.softmax(dim=1), batch.labels, None)


@dataclass
class NelsonAsCoded(TruthAgainstPrediction):
    """Truth against prediction with the classes of predictions in reverse order."""

    def prediction(self, logits: Tensor) -> Tensor:
        """What the discriminator sees of a prediction: (N, K, H, W), its last class first."""
        return super().prediction(logits).flip(1)

    @property
    def discriminator_loss(self) -> Callable[[Batch], Tensor]:
        """That of a random half of the truths and the predictions for the other half."""
        return self._loss_on_halves

    def _loss_on_halves(self, batch: Batch) -> Tensor:
        """BCE(truths of one half, 1) + BCE(predictions of the other half, 0); a scalar."""
        truths, predictions = random_halves(batch)
        with torch.no_grad():
            fake = where_known(self.prediction(self.logits(predictions)), predictions.labels)
        real = self.truth(truths.labels, fake.dtype)
        return self.adversarial.discrimination(
            self.judge(real, truths, "real"), self.judge(fake, predictions, "fake")
        )


def random_halves(batch: Batch) -> tuple[Batch, Batch]:
    """The batch in two, drawn by torch's generator; a batch of one image is both halves."""
    count = len(batch.ids)
    order = torch.randperm(count)
    half = max(1, count // 2)
    return _part(batch, order[:half]), _part(batch, order[count - half :])


def _part(batch: Batch, chosen: Tensor) -> Batch:
    where = chosen.to(batch.images.device)
    ids = tuple(batch.ids[index] for index in chosen.tolist())
    return Batch(batch.images[where], batch.labels[where], ids)


class UnclearedGradients(Bilevel[Batch]):
    """Two players of whom the second is never given a cleared gradient.

    The players are the segmenter and the discriminator, in this order; the discriminator moves
    first. Gradients are not clipped.
    """

    def update_weights(self, train: Batch, order: Sequence[str] | None = None) -> dict[str, Tensor]:
        """One step of the discriminator along all its gradients so far, one of the segmenter.

        Those that the order does not name do not move.
        """
        segmenter, discriminator = self.players
        losses = {}
        for player in (discriminator, segmenter):
            if order is not None and player.name not in order:
                continue
            segmenter.optimizer.zero_grad(set_to_none=True)
            with self.autocast():
                loss = player.loss(train)
            loss.backward()
            player.optimizer.step()
            losses[player.name] = loss.detach()
        segmenter.optimizer.zero_grad(set_to_none=True)
        return losses

    def state(self) -> dict[str, Any]:
        """That of the optimisers, and the gradients that have piled up."""
        piled = [weight.grad for weight in self.players[1].weights]
        return {**super().state(), "gradients": piled}

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` was taken from."""
        rest = dict(state)
        piled = rest.pop("gradients")
        super().restore(rest)
        for weight, gradient in zip(self.players[1].weights, piled, strict=True):
            weight.grad = None if gradient is None else gradient.to(weight.device)
