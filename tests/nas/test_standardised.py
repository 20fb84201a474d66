from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from nas.standardised import Standardised, channel_statistics

SIZES = [(5, 7), (3, 3), (1, 9), (6, 2)]


def make_images(offset: float = 0.0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    scales = torch.tensor([1.0, 0.1, 0.01]).view(3, 1, 1)
    return [
        torch.rand(3, *size, generator=generator) * scales + offset + 0.1 * number
        for number, size in enumerate(SIZES)
    ]


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_statistics_are_those_of_all_pixels_together(offset: float) -> None:
    images = make_images(offset)
    mean, std = channel_statistics(images)
    pixels = np.concatenate([image.double().flatten(1).numpy() for image in images], axis=1)
    np.testing.assert_allclose(mean.numpy(), pixels.mean(axis=1), rtol=1e-13)
    np.testing.assert_allclose(std.numpy(), pixels.std(axis=1), rtol=1e-9)
    assert mean.shape == std.shape == (3,) and mean.dtype == std.dtype == torch.float64


def test_large_mean_costs_no_accuracy() -> None:
    images = [torch.tensor([[[1e8, 1e8 + 1]]], dtype=torch.float64)] * 3
    mean, std = channel_statistics(images)
    assert (mean.item(), std.item()) == (1e8 + 0.5, pytest.approx(0.5, abs=1e-12))


def test_one_pass_over_anything_that_can_be_gone_through() -> None:
    def once() -> Iterator[torch.Tensor]:
        yield from make_images()

    for one, other in zip(
        channel_statistics(once()), channel_statistics(make_images()), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_constant_channel_is_refused(value: float) -> None:
    images = make_images()
    for image in images:
        image[1] = value
    with pytest.raises(ValueError, match=rf"channel 2 of 3 is {value:g} in every .* is 0"):
        channel_statistics(images)


def test_channel_that_differs_between_images_alone_is_not_constant() -> None:
    _, std = channel_statistics([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])
    assert std.item() == 0.5


def test_no_images_and_unequal_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="no images"):
        channel_statistics([])
    with pytest.raises(ValueError, match="3 and 1 channels"):
        channel_statistics([torch.rand(3, 2, 2), torch.rand(1, 2, 2)])


def test_network_sees_mean_zero_and_deviation_one() -> None:
    images = torch.stack([image[:, :1, :2] for image in make_images()])
    standardised = Standardised(nn.Identity(), *channel_statistics(images))
    seen = standardised(images)
    assert seen.dtype == torch.float32
    pixels = images.double().numpy()
    expected = (pixels - pixels.mean(axis=(0, 2, 3), keepdims=True)) / pixels.std(
        axis=(0, 2, 3), keepdims=True
    )
    np.testing.assert_allclose(seen.numpy(), expected, atol=1e-4)


def test_checkpoint_keeps_mean_and_deviation() -> None:
    trained = Standardised(nn.Conv2d(3, 2, 1), *channel_statistics(make_images()))
    fresh = Standardised(nn.Conv2d(3, 2, 1), torch.zeros(3), torch.ones(3))
    images = torch.rand(2, 3, 4, 5)
    assert not torch.allclose(fresh(images), trained(images))
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(fresh(images), trained(images))
    assert trained.state_dict()["mean"].shape == trained.state_dict()["std"].shape == (3, 1, 1)
    assert {name for name, _ in trained.named_parameters()} == {"network.weight", "network.bias"}


def test_vectors_of_other_lengths_and_deviations_of_zero_are_refused() -> None:
    for mean, std in ((torch.zeros(3), torch.ones(2)), (torch.zeros(1, 3), torch.ones(1, 3))):
        with pytest.raises(ValueError, match="expected mean and std"):
            Standardised(nn.Identity(), mean, std)
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="above 0"):
            Standardised(nn.Identity(), torch.zeros(1), torch.tensor([wrong]))
