"""Against torch's own layers, which see each map as an image (N, channels, pixels, 1)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from search_spaces.map_norm import (
    Average,
    normalised,
    rectified,
    statistics,
    statistics_of_sums,
    weighted,
)

N, PIXELS, TARGETS, SOURCES, C = 3, 10, 2, 2, 16
CHANNELS = TARGETS * SOURCES * C
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "batch": lambda: nn.BatchNorm2d(CHANNELS, affine=False),
    "instance": lambda: nn.InstanceNorm2d(CHANNELS),
    "group": lambda: nn.GroupNorm(CHANNELS // 2, CHANNELS, affine=False),
    "none": nn.Identity,
}

pytestmark = pytest.mark.usefixtures("path")


def _by_layer(layer: nn.Module, y: Tensor) -> Tensor:
    image = y.flatten(2).transpose(1, 2).unsqueeze(3)
    result: Tensor = layer(image).squeeze(3).transpose(1, 2).reshape(y.shape)
    return result


def _maps(count: int = 2) -> list[Tensor]:
    shape = (N, PIXELS, TARGETS, SOURCES, C)
    return [
        (2 * torch.randn(shape, dtype=torch.float64) + 0.5).requires_grad_() for _ in range(count)
    ]


def _same(
    ours: Callable[[], Sequence[Tensor]],
    theirs: Callable[[], Sequence[Tensor]],
    inputs: Sequence[Tensor],
) -> None:
    """Values, gradients, and gradients of a function of the gradients."""

    def slopes(compute: Callable[[], Sequence[Tensor]]) -> list[Tensor]:
        results = compute()
        loss = torch.stack([y.pow(3).sum() for y in results]).sum()
        first = torch.autograd.grad(loss, inputs, create_graph=True)
        along = torch.stack([slope.pow(3).sum() for slope in first]).sum()
        plain = torch.autograd.grad(loss, inputs, retain_graph=True)
        return [*results, *plain, *first, *torch.autograd.grad(along, inputs)]

    for one, other in zip(slopes(ours), slopes(theirs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [True, False])
def test_normalised_and_rectified_maps_are_those_of_the_layers(name: str, training: bool) -> None:
    layers = [LAYERS[name]().double().train(training) for _ in range(2)]
    others = copy.deepcopy(layers)
    for layer in [*layers, *others]:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_var = layer.running_var * 2 + 1  # type: ignore[operator]
    maps = _maps()
    _same(
        lambda: [*normalised(layers, maps), *rectified(layers, maps)],
        lambda: [
            *(_by_layer(layer, y) for layer, y in zip(others, maps, strict=True)),
            *(_by_layer(layer, y).relu() for layer, y in zip(others, maps, strict=True)),
        ],
        maps,
    )
    for layer, other in zip(layers, others, strict=True):
        for buffer, expected in zip(layer.buffers(), other.buffers(), strict=True):
            torch.testing.assert_close(buffer, expected)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [True, False])
def test_a_weighted_sum_is_over_maps_and_sources(name: str, training: bool) -> None:
    layers = [LAYERS[name]().double().train(training) for _ in range(2)]
    maps = _maps()
    weights = torch.rand(2, TARGETS, SOURCES, dtype=torch.float64, requires_grad=True)

    def plainly() -> list[Tensor]:
        terms = [_by_layer(layer, y) for layer, y in zip(layers, maps, strict=True)]
        return [torch.einsum("knptsc,kts->nptc", torch.stack(terms), weights)]

    _same(lambda: [weighted(layers, maps, weights)], plainly, [*maps, weights])


class _FirstOnceMore(nn.modules.batchnorm._BatchNorm):
    """Elsewhere, the first sample is seen once more."""

    def joined(self, samples: int) -> tuple[int, Average]:
        return samples + 1, lambda values: torch.cat([values, values[:, :1]], dim=1).mean(
            1, keepdim=True
        )


def test_a_batch_norm_may_bring_samples_from_elsewhere() -> None:
    joined = _FirstOnceMore(CHANNELS, affine=False).double()
    plain = nn.BatchNorm2d(CHANNELS, affine=False).double()
    (y,) = _maps(1)
    (ours,) = normalised([joined], [y])
    everywhere = _by_layer(plain, torch.cat([y, y[:1].detach()]))
    torch.testing.assert_close(ours, everywhere[:N])
    torch.testing.assert_close(joined.state_dict(), plain.state_dict())
    slopes = [torch.autograd.grad(z.pow(3).sum(), y)[0] for z in (ours, everywhere)]
    torch.testing.assert_close(*slopes)
    torch.testing.assert_close(*normalised([joined.eval()], [y]), _by_layer(plain.eval(), y))


def test_rounding_leaves_flat_maps_finite() -> None:
    """The difference of mean square and squared mean may fall below -eps in single precision."""
    flat = (1000 * torch.rand(64)).expand(1, 1000, 1, 1, 64).contiguous()
    (result,) = normalised([nn.InstanceNorm2d(64)], [flat])
    assert result.isfinite().all()


def test_nearly_flat_maps_are_normalised_to_nearly_zero() -> None:
    flat = torch.full((1, 100, 1, 1, 4), 0.3)
    (result,) = normalised([nn.GroupNorm(1, 4, affine=False)], [flat])
    assert result.abs().max() < 1e-3


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(4, affine=False), nn.InstanceNorm2d(4)])
def test_one_value_per_channel_is_refused(layer: nn.Module) -> None:
    with pytest.raises(ValueError, match="more than 1"):
        rectified([layer], [torch.rand(1, 1, 1, 1, 4)])


@pytest.mark.parametrize("name", [*LAYERS, "joined"])
def test_sums_over_pixels_are_all_that_statistics_need(name: str) -> None:
    layer = {**LAYERS, "joined": lambda: _FirstOnceMore(CHANNELS, affine=False)}[name]
    layers = [layer().double() for _ in range(2)]
    others, y = copy.deepcopy(layers), torch.stack(_maps()).detach()
    sums = torch.stack([y.sum(2), (y * y).sum(2)])
    found, expected = statistics_of_sums(layers, sums, PIXELS), statistics(others, y)
    torch.testing.assert_close((found.mean, found.scale), (expected.mean, expected.scale))
    for own, other in zip(layers, others, strict=True):
        torch.testing.assert_close(own.state_dict(), other.state_dict())
