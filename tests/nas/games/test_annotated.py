"""DAN's game: predictions for annotated images against those for unannotated ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from nas.data.batches import Batch
from nas.errors import DataError
from nas.games.adversarial import Pressure
from nas.games.annotated import AnnotatedAgainstUnannotated


class Judge(nn.Module):
    """A discriminator of map and image that remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 3)
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return self.layer(x).mean(dim=(2, 3))


@pytest.fixture
def batch() -> Batch:
    labels = torch.randint(0, 2, (2, 6, 5))
    return Batch(torch.rand(2, 1, 6, 5), labels, ("a", "b"), unlabelled=torch.rand(3, 1, 6, 5))


@pytest.fixture
def game() -> AnnotatedAgainstUnannotated:
    segmenter = nn.Conv2d(1, 2, 3, padding=1)
    return AnnotatedAgainstUnannotated(segmenter, Judge(), 2, Pressure(0.4), sees_image=True)


def test_the_discriminator_minimises_b_plus_c_of_nelsons_equation_2(
    game: AnnotatedAgainstUnannotated, batch: Batch
) -> None:
    found = game.discriminator_loss(batch)
    annotated = torch.cat([game.segmenter(batch.images).softmax(1), batch.images], 1)
    unannotated = torch.cat([game.segmenter(batch.unlabelled).softmax(1), batch.unlabelled], 1)
    real, fake = game.discriminator(annotated), game.discriminator(unannotated)
    b = binary_cross_entropy_with_logits(real, torch.ones_like(real))
    c = binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
    assert torch.allclose(found, b + c)
    assert torch.allclose(game.discriminator_objective(batch), b + c)


def test_the_segmenter_minimises_a_and_wants_unannotated_ones_to_be_taken_for_annotated(
    game: AnnotatedAgainstUnannotated, batch: Batch
) -> None:
    found = game.segmenter_loss(batch)
    unannotated = torch.cat([game.segmenter(batch.unlabelled).softmax(1), batch.unlabelled], 1)
    verdict = game.discriminator(unannotated)
    fooled = binary_cross_entropy_with_logits(verdict, torch.ones_like(verdict))
    a = cross_entropy(game.segmenter(batch.images), batch.labels)
    assert torch.allclose(found, a + 0.4 * fooled)


def test_true_masks_never_enter_the_discriminator(
    game: AnnotatedAgainstUnannotated, batch: Batch
) -> None:
    game.discriminator_loss(batch)
    game.segmenter_loss(batch)
    for seen in game.discriminator.seen:
        maps = seen[:, :2]
        assert ((maps > 0) & (maps < 1)).all()


def test_without_unlabelled_images_it_says_what_is_missing(
    game: AnnotatedAgainstUnannotated, batch: Batch
) -> None:
    with pytest.raises(DataError, match="--unlabelled"):
        game.discriminator_loss(batch._replace(unlabelled=None))
