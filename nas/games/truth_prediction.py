"""True masks against predictions, with unlabelled images beside (Dong, Luc, Hung, Lalwani)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from nas.data.batches import Batch
from nas.games.adversarial import AdversarialSegmentation, Side, where_known
from search_spaces.path_sampling import one_path


@dataclass
class TruthAgainstPrediction(AdversarialSegmentation):
    """The game of Dong et al. 2019 (Eq. 1 and 2), extended to unlabelled images as by Lalwani.

    Real is the one-hot truth of a labelled image, fake the softmax of the segmenter's logits for
    it, both with the classes in the order of the labels. Where the truth is unknown, both are 0: no
    such pixel tells them apart, or moves the segmenter. Predictions for unlabelled images fool the
    discriminator; it is never trained on them.
    """

    def contestants(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Truth and prediction of the labelled images, (N, K, H, W) each."""
        fake = where_known(self.prediction(self.logits(batch)), batch.labels)
        return self.truth(batch.labels, fake.dtype), fake

    def images_of(self, batch: Batch, side: Side) -> Tensor:
        """The labelled images, of either side."""
        return batch.images

    def segmenter_loss(self, batch: Batch) -> Tensor:
        """L_S = CE(f(x), y) - lambda_1 log g(f(x)) - lambda_2 log g(f(u)); a scalar.

        For the non-saturating loss; x are labelled and u unlabelled images. Dong's Eq. 1 has no u,
        Lalwani's L_G has both in turn (Section III.C.3 and 4).
        """
        with one_path(self.discriminator):
            return self._segmenter_loss(batch)

    def _segmenter_loss(self, batch: Batch) -> Tensor:
        pressure = self.pressure
        terms = [self._supervised(batch)] if pressure.supervised else []
        if pressure.unlabelled and batch.unlabelled is not None:
            verdict = self.verdict(self.predicted(batch.unlabelled), batch.unlabelled)
            fooling = batch.share_of(self.adversarial.fooling(verdict), "unlabelled")
            terms.append(pressure.unlabelled * fooling)
        return sum(terms[1:], start=terms[0])

    def shown(self, batch: Batch) -> Batch:
        """With the logits of the labelled images, unless the segmenter is not asked for them."""
        return super().shown(batch) if self.pressure.supervised else batch

    def _supervised(self, batch: Batch) -> Tensor:
        logits = self.logits(batch)
        loss = self.criterion(logits, batch)
        if not self.pressure.adversarial:
            return loss
        shown = where_known(self.prediction(logits), batch.labels)
        verdict = self.judge(shown, batch, "fake")
        fooling = batch.share_of(self.adversarial.fooling(verdict), "images")
        return loss + self.pressure.adversarial * fooling
