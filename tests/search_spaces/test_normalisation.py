from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import nn

from search_spaces.description import Normalisation
from search_spaces.normalisation import conv2d, linear, norm_layer

LAYERS = ["batch", "instance", "group"]


def _axes(normalisation: Normalisation) -> tuple[int, ...]:
    """What is averaged over, with channels in four groups: (N, group, channel of it, H, W)."""
    return {"batch": (0, 3, 4), "instance": (3, 4), "group": (2, 3, 4)}[normalisation]


@pytest.mark.parametrize("normalisation", LAYERS)
def test_layers_give_zero_mean_and_unit_variance_over_their_axes(
    normalisation: Normalisation,
) -> None:
    torch.manual_seed(0)
    x = 5 + 3 * torch.randn(4, 16, 6, 7)
    y = norm_layer(normalisation, 16)(x).reshape(4, 4, 4, 6, 7)
    axes = _axes(normalisation)
    assert y.mean(axes).abs().max() < 1e-5
    assert (y.var(axes, unbiased=False) - 1).abs().max() < 1e-3


@pytest.mark.parametrize("normalisation", LAYERS)
@pytest.mark.parametrize("affine", [True, False])
def test_scale_and_shift_are_a_choice(normalisation: Normalisation, affine: bool) -> None:
    shapes = [tuple(p.shape) for p in norm_layer(normalisation, 12, affine).parameters()]
    assert shapes == ([(12,), (12,)] if affine else [])


@pytest.mark.parametrize("channels", [1, 3, 5, 12, 36, 48])
def test_group_norm_fits_any_number_of_channels(channels: int) -> None:
    assert norm_layer("group", channels)(torch.rand(2, channels, 4, 4)).isfinite().all()


@pytest.mark.parametrize(
    ("channels", "groups"),
    [(1, 1), (2, 1), (3, 1), (4, 2), (5, 1), (6, 3), (8, 4), (9, 3), (10, 2), (14, 2)]
    + [(channels, 4) for channels in (16, 24, 32, 48, 64)],
)
def test_no_group_of_one_channel(channels: int, groups: int) -> None:
    layer = norm_layer("group", channels)
    assert isinstance(layer, nn.GroupNorm)
    assert layer.num_groups == groups


@pytest.mark.parametrize("normalisation", ["spectral", "none"])
def test_without_a_layer_maps_pass_unchanged(normalisation: Normalisation) -> None:
    x = torch.randn(2, 3, 4, 4)
    assert norm_layer(normalisation, 3)(x) is x


def test_unknown_normalisation_is_refused() -> None:
    with pytest.raises(ValueError, match="'layer' is not one of batch, instance"):
        norm_layer("layer", 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("normalisation", get_args(Normalisation))
def test_a_convolution_has_a_bias_exactly_where_no_layer_follows(
    normalisation: Normalisation,
) -> None:
    names = [name for name, _ in conv2d(normalisation, 3, 4, 1).named_parameters()]
    assert ("bias" in names) == (normalisation in ("spectral", "none"))
    assert len(list(conv2d(normalisation, 3, 4, 1, bias=False).parameters())) == 1


@pytest.mark.parametrize(
    "new_layer", [lambda: conv2d("spectral", 6, 10, 3), lambda: linear("spectral", 9, 5)]
)
def test_spectral_normalisation_makes_the_largest_singular_value_one(
    new_layer: Callable[[], nn.Module],
) -> None:
    layer = new_layer()
    with torch.no_grad():
        for _ in range(1000):
            weight = layer.weight
    assert isinstance(weight, torch.Tensor)
    assert float(torch.linalg.matrix_norm(weight.flatten(1), 2)) == pytest.approx(1, abs=1e-3)


def test_a_linear_layer_is_plain_unless_the_network_is_spectrally_normalised() -> None:
    assert type(linear("batch", 3, 1)) is nn.Linear
    assert linear("batch", 3, 1).bias is not None


@pytest.mark.parametrize("size", [(16, 12), (9, 7)])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_pointwise_convolution_of_few_channels_last_has_its_gradients(
    size: tuple[int, int], stride: int
) -> None:
    layer = conv2d("none", 4, 8, 1, stride=stride).double()
    x = torch.randn(8, 4, *size, dtype=torch.float64).to(memory_format=torch.channels_last)
    x.requires_grad_()
    y = layer(x)
    slope = torch.randn_like(y)
    weight, bias = layer.parameters()
    seen = x[:, :, ::stride, ::stride]
    expected = torch.einsum("nihw,oi->nohw", seen, weight[:, :, 0, 0]) + bias[:, None, None]
    torch.testing.assert_close(y, expected)
    inputs = [x, weight, bias]
    found = torch.autograd.grad(y, inputs, slope)
    for one, other in zip(found, torch.autograd.grad(expected, inputs, slope), strict=True):
        torch.testing.assert_close(one, other)


def test_weight_gradients_of_few_channels_last_are_right_in_single_precision() -> None:
    layer = conv2d("none", 4, 8, 1, stride=2, bias=False)
    x = torch.randn(8, 4, 48, 48).to(memory_format=torch.channels_last)
    slope = torch.randn(8, 8, 24, 24).to(memory_format=torch.channels_last)
    (found,) = torch.autograd.grad(layer(x), list(layer.parameters()), slope)
    expected = torch.einsum("nihw,nohw->oi", x[:, :, ::2, ::2], slope)
    torch.testing.assert_close(found[:, :, 0, 0], expected, rtol=1e-4, atol=1e-3)
