"""The Dice loss against MONAI's, and against cases by hand."""

from __future__ import annotations

import pytest
import torch

from nas.data.cases import UNKNOWN
from nas.losses.dice import dice_loss


def logits_of(probabilities: torch.Tensor) -> torch.Tensor:
    """(N, K, H, W) probabilities as logits."""
    return probabilities.double().log()


def everything(batch: int, classes: int, size: tuple[int, int]) -> torch.Tensor:
    """Labels in which each image has each class."""
    labels = torch.randint(classes, (batch, *size))
    labels[:, 0, :classes] = torch.arange(classes)
    return labels


@pytest.mark.parametrize("classes", [2, 4])
def test_equals_monai_where_all_classes_are_present(classes: int) -> None:
    from monai.losses.dice import DiceLoss

    logits = torch.randn(3, classes, 6, 7, dtype=torch.float64, requires_grad=True)
    labels = everything(3, classes, (6, 7))
    reference = DiceLoss(softmax=True, to_onehot_y=True, smooth_nr=0.0, smooth_dr=0.0)
    expected = reference(logits, labels[:, None])
    found = dice_loss(logits, labels)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_equals_monai_over_the_classes_that_are_present() -> None:
    """Image by image, MONAI's losses per class; those of absent classes are left out."""
    from monai.losses.dice import DiceLoss

    logits = torch.randn(3, 4, 5, 5, dtype=torch.float64)
    labels = everything(3, 4, (5, 5))
    labels[0][labels[0] == 2] = 1
    labels[2] = 3
    reference = DiceLoss(
        softmax=True, to_onehot_y=True, smooth_nr=0.0, smooth_dr=0.0, reduction="none"
    )
    each = reference(logits, labels[:, None]).flatten(1)
    expected = (each[0, [0, 1, 3]].mean() + each[1].mean() + each[2, 3]) / 3
    torch.testing.assert_close(dice_loss(logits, labels), expected)


def test_by_hand() -> None:
    """Two pixels, p of class 1 is 1/2 and 1/4, truth 1 and 0.

    Class 1: 1 - 2 * 1/2 / (3/4 + 1) = 3/7; class 0: 1 - 2 * 3/4 / (5/4 + 1) = 1/3.
    """
    foreground = torch.tensor([[[[0.5, 0.25]]]])
    logits = logits_of(torch.cat([1 - foreground, foreground], dim=1))
    loss = dice_loss(logits, torch.tensor([[[1, 0]]]))
    assert float(loss) == pytest.approx((3 / 7 + 1 / 3) / 2)


def test_bounds() -> None:
    labels = everything(2, 3, (4, 4))
    right = torch.nn.functional.one_hot(labels, 3).movedim(3, 1) * 1e4
    assert float(dice_loss(right.float(), labels)) == 0.0
    assert float(dice_loss(right.float().roll(1, dims=1), labels)) == 1.0


def test_an_image_of_background_alone_has_a_loss_and_a_gradient() -> None:
    logits = torch.randn(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    loss = dice_loss(logits, labels)
    background = logits.softmax(dim=1)[:, 0].sum()
    torch.testing.assert_close(loss, 1 - 2 * background / (background + 16))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.isfinite(gradient).all() and (gradient[:, 0] < 0).all()


def test_gradients_of_both_orders() -> None:
    labels = everything(2, 3, (2, 3))
    logits = torch.randn(2, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: dice_loss(x, labels), logits)
    assert torch.autograd.gradgradcheck(lambda x: dice_loss(x, labels), logits)


def test_labels_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="labels"):
        dice_loss(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 5, dtype=torch.int64))


def test_equals_that_of_the_known_pixels_alone() -> None:
    """Unknown are the last two columns, without which the images are those of the other call."""
    logits = torch.randn(2, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    labels = everything(2, 3, (4, 6))
    marked = labels.clone()
    marked[..., 4:] = UNKNOWN
    found = dice_loss(logits, marked)
    torch.testing.assert_close(found, dice_loss(logits[..., :4], labels[..., :4]))
    (gradient,) = torch.autograd.grad(found, logits)
    assert not gradient[..., 4:].any()


def test_an_image_of_which_nothing_is_known_counts_nothing() -> None:
    logits = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    labels = everything(2, 3, (4, 4))
    labels[1] = UNKNOWN
    found = dice_loss(logits, labels)
    torch.testing.assert_close(found, dice_loss(logits[:1], labels[:1]) / 2)
    (gradient,) = torch.autograd.grad(found, logits)
    assert gradient.isfinite().all()
