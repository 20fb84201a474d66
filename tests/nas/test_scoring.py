"""Predictions and scores of segmenters whose answers are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.data.batches import Batch, Samples
from nas.data.cases import UNKNOWN
from nas.preparation import Data
from nas.scoring import case_confusions, predictions, score_segmenter, validate

CPU = torch.device("cpu")


class Threshold(nn.Module):
    """Class 1 where the image is brighter than 0.45, which is exactly the disc."""

    def __init__(self) -> None:
        super().__init__()
        self.modes: list[bool] = []

    def forward(self, images: Tensor) -> Tensor:
        self.modes.append(self.training)
        bright = (images - 0.45) * 1000
        return torch.cat([-bright, bright], dim=1)


class Nothing(nn.Module):
    """Background everywhere."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([torch.ones_like(images), -torch.ones_like(images)], dim=1)


@pytest.fixture
def samples(discs: Callable[..., Data]) -> Samples:
    return discs(train=5, val=0).samples("train", CPU)


def test_predictions_come_in_order_and_in_evaluation_mode(samples: Samples) -> None:
    for training in (True, False):
        segmenter = Threshold().train(training)
        found = list(predictions(segmenter, samples, batch_size=2))
        assert [name for batch, _ in found for name in batch.ids] == list(samples.ids)
        assert [len(batch.ids) for batch, _ in found] == [2, 2, 1]
        for batch, predicted in found:
            assert torch.equal(predicted, batch.labels)
            assert not predicted.requires_grad
        assert segmenter.modes == [False] * 3
        assert segmenter.training is training


def test_the_mode_comes_back_when_the_reader_leaves_early(samples: Samples) -> None:
    segmenter = Threshold().train()
    iterator = predictions(segmenter, samples, batch_size=1)
    next(iterator)
    iterator.close()
    assert segmenter.training


def test_parts_of_a_network_keep_a_mode_of_their_own(samples: Samples) -> None:
    resting = nn.Sequential(Threshold(), nn.BatchNorm2d(2).eval())
    list(predictions(resting, samples))
    assert [module.training for module in resting] == [True, False]


def test_confusions_count_every_pixel_of_each_case(samples: Samples) -> None:
    perfect, empty = (case_confusions(net, samples, 2) for net in (Threshold(), Nothing()))
    discs = torch.stack([samples.batch([name]).labels[0] for name in samples.ids]).sum((1, 2))
    for case, disc in enumerate(discs.tolist()):
        rest = 32 * 32 - disc
        assert np.array_equal(perfect[case], [[rest, 0], [0, disc]])
        assert sorted(empty[case].ravel()) == sorted([rest, disc, 0, 0])
        assert empty[case].trace() == rest


def test_pixels_of_unknown_class_do_not_count(samples: Samples) -> None:
    """With the right half unknown, what is said of it changes nothing."""
    real = samples.batch

    def half_known(ids: Sequence[str]) -> Batch:
        batch = real(ids)
        labels = batch.labels.clone()
        labels[:, :, 16:] = UNKNOWN
        return batch._replace(labels=labels)

    with patch.object(samples, "batch", half_known):
        found = case_confusions(Nothing(), samples, 2)
        scores = score_segmenter(Nothing(), samples, ("background", "disc"))
    discs = real(samples.ids).labels[:, :, :16].sum((1, 2))
    for confusion, disc in zip(found, discs.tolist(), strict=True):
        assert confusion.tolist() == [[32 * 16 - disc, 0], [disc, 0]]
    assert scores.pooled.pixel_accuracy == pytest.approx(1 - discs.sum().item() / (5 * 32 * 16))


def test_scores_of_some_cases(samples: Samples) -> None:
    chosen = samples.ids[1:3]
    scores = score_segmenter(Nothing(), samples, ("background", "disc"), chosen)
    share = samples.batch(chosen).labels.float().mean().item()
    assert scores.images == 2
    assert scores.pooled.iou.per_class == pytest.approx((1 - share, 0.0))
    assert scores.pooled.pixel_accuracy == pytest.approx(1 - share)
    assert score_segmenter(Threshold(), samples, ("background", "disc")).pooled.iou.mean == 1


def test_validation_is_one_pass_in_evaluation_mode(samples: Samples) -> None:
    """The loss is the mean over images, each asked for once, though batches differ in size."""
    segmenter = Threshold().train()

    def criterion(logits: Tensor, batch: Batch) -> Tensor:
        assert not logits.requires_grad
        assert torch.equal(logits, Threshold()(batch.images))
        return batch.labels.float().mean()

    shares = [samples.batch([name]).labels.float().mean().item() for name in samples.ids]
    found = validate(segmenter, criterion, samples, "ab")
    assert found == {"mean_iou": 1, "foreground_iou": 1, "val_loss": pytest.approx(sum(shares) / 5)}
    assert segmenter.training and segmenter.modes == [False] * 2
    some = validate(segmenter, criterion, samples, "ab", samples.ids[1:3])
    assert some["val_loss"] == pytest.approx(sum(shares[1:3]) / 2)


def test_training_watches_pooled_scores_and_the_loss(samples: Samples) -> None:
    chosen = samples.ids[1:3]
    found = validate(Nothing(), lambda logits, batch: logits.sum() * 0 + 2.5, samples, "ab", chosen)
    share = samples.batch(chosen).labels.float().mean().item()
    expected = {"mean_iou": (1 - share) / 2, "foreground_iou": 0.0, "val_loss": 2.5}
    assert found == pytest.approx(expected)
