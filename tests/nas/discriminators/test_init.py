"""What the hand-made discriminators promise with every normalisation.

`tests/nas/test_networks.py` has what every discriminator promises as it stands in the table.
"""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from nas.losses.adversarial import discrimination_loss, fooling_loss
from nas.networks import build_discriminator
from search_spaces.description import Normalisation

NORMALISATIONS: tuple[Normalisation, ...] = get_args(Normalisation)

THIN = {
    "vgg16": "vgg16?width=2&dropout=0",
    "dan_en": "dan_en?width=8",
    "dan_en, published": "dan_en?width=8&pooled=15,22",
    "patchgan 1": "patchgan?width=4&receptive_field=1",
    "patchgan 16": "patchgan?width=4&receptive_field=16",
    "patchgan 70": "patchgan?width=4&receptive_field=70",
    "patchgan 256": "patchgan?width=4&receptive_field=256",
    "patchgan 286": "patchgan?width=4&receptive_field=286",
    "fcn": "fcn?width=4",
    "dc_net": "dc_net?width=4",
}

each_network = pytest.mark.parametrize("name", THIN)
each_normalisation = pytest.mark.parametrize("normalisation", NORMALISATIONS)


@each_network
@each_normalisation
def test_small_and_odd_sizes_in_training(name: str, normalisation: Normalisation) -> None:
    network = thin(name, normalisation)
    for size in ((32, 32), (33, 47)):
        logits = network(torch.rand(2, 3, *size))
        assert logits.shape[:2] == (2, 1)
        assert logits.numel() > 0
        assert bool(logits.isfinite().all())


@pytest.mark.parametrize("name", ["vgg16", "dan_en", "patchgan", "fcn", "dc_net"])
@pytest.mark.parametrize("size", [(775, 522), (565, 584)])
def test_large_odd_sizes(name: str, size: tuple[int, int]) -> None:
    grids = {
        "patchgan": tuple(side // 8 - 2 for side in size),
        "fcn": size,
        "dc_net": tuple(-(-side // 64) for side in size),
    }
    with torch.device("meta"):
        logits = build_discriminator(name, 7)(torch.rand(2, 7, *size))
    assert logits.shape == (2, 1, *grids.get(name, ()))


@each_network
@each_normalisation
def test_normalisation_is_what_it_says(name: str, normalisation: Normalisation) -> None:
    kinds: dict[str, tuple[type[nn.Module], ...]] = {
        "batch": (nn.BatchNorm2d, nn.BatchNorm1d),
        "instance": (nn.InstanceNorm2d,),
        "group": (nn.GroupNorm,),
    }
    modules = list(thin(name, normalisation).modules())
    found = {kind for kind, types in kinds.items() if any(isinstance(m, types) for m in modules)}
    assert found == {normalisation} & set(kinds)
    layers = [m for m in modules if isinstance(m, nn.Conv2d | nn.Linear)]
    spectral = [hasattr(layer, "parametrizations") for layer in layers]
    assert spectral == [normalisation == "spectral"] * len(layers)


@each_network
@each_normalisation
def test_second_derivatives_through_the_map(name: str, normalisation: Normalisation) -> None:
    """Double backward against a central difference of the gradient, along a random direction."""
    network = thin(name, normalisation).double().train(normalisation != "spectral")
    maps = torch.rand(2, 3, 40, 33, dtype=torch.float64)
    direction = torch.randn(maps.shape, dtype=torch.float64)
    radius = 1e-8

    def gradient(at: Tensor) -> Tensor:
        loss = discrimination_loss(network(at), network(at.flip(-1)).square())
        (found,) = torch.autograd.grad(loss, at, create_graph=True)
        return found

    at = maps.clone().requires_grad_()
    (exact,) = torch.autograd.grad((gradient(at) * direction).sum(), at)
    ahead, behind = (
        gradient((maps + sign * radius * direction).requires_grad_()).detach()
        for sign in (1.0, -1.0)
    )
    difference = (ahead - behind) / (2 * radius)
    assert float(exact.norm()) > 0
    assert float((exact - difference).norm() / exact.norm()) < 1e-2


@each_network
@each_normalisation
def test_weights_start_by_the_rules(name: str, normalisation: Normalisation) -> None:
    """Variance 2 / N of convolutions, or singular values of 1 under spectral norm."""
    layers = [m for m in thin(name, normalisation).modules() if isinstance(m, nn.Conv2d)]
    weights = [layer.weight.detach().flatten(1) for layer in layers]
    if normalisation == "spectral":
        singular = torch.cat([torch.linalg.svdvals(weight) for weight in weights])
        torch.testing.assert_close(singular, torch.ones_like(singular))
    else:
        scaled = torch.cat([weight.flatten() * weight.shape[1] ** 0.5 for weight in weights])
        assert float(scaled.var()) == pytest.approx(2, rel=0.4)


@each_network
def test_losses_take_the_verdicts(name: str) -> None:
    network = thin(name, "group")
    maps = torch.rand(2, 3, 33, 47, requires_grad=True)
    fooled = fooling_loss(network(maps))
    assert fooled.shape == ()
    (reached,) = torch.autograd.grad(fooled, maps)
    assert bool(reached.flatten(1).any(1).all())
    told = discrimination_loss(network(torch.rand(2, 3, 33, 47)), network(maps.detach()))
    told.backward()
    assert all(bool(p.grad.isfinite().all()) for p in network.parameters() if p.grad is not None)
    assert all(p.grad is not None for p in network.parameters())


def thin(name: str, normalisation: Normalisation) -> nn.Module:
    torch.manual_seed(0)
    return build_discriminator(f"{THIN[name]}&normalisation={normalisation}", 3)
