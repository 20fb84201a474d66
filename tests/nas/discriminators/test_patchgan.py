from __future__ import annotations

from itertools import pairwise
from typing import Literal

import pytest
import torch
from torch import nn

from nas.discriminators.patchgan import PatchGAN
from nas.errors import UsageError
from nas.networks import build_discriminator

Field = Literal[1, 16, 70, 256, 286]

PUBLISHED: dict[Field, str] = {
    1: "C64-C128",
    16: "C64-C128",
    70: "C64-C128-C256-C512",
    286: "C64-C128-C256-C512-C512-C512",
}
"""Isola et al. 2017, section 6.1.2."""


def test_parameters_of_pix2pix_and_cyclegan() -> None:
    """2.769 and 2.765 million, as their authors' code prints.

    CycleGAN's instance norms have no parameters, and its convolutions have biases.
    """
    with torch.device("meta"):
        assert parameters(build_discriminator("patchgan", 6)) == 2_768_705
        assert parameters(build_discriminator("patchgan?normalisation=none", 3)) == 2_764_737


@pytest.mark.parametrize("field", PUBLISHED)
def test_channels_are_the_published_ones(field: Field) -> None:
    area = 1 if field == 1 else 16
    channels = [int(name[1:]) for name in PUBLISHED[field].split("-")]
    inner = sum(area * a * b + 2 * b for a, b in pairwise(channels))
    ends = (area * 5 * 64 + 64) + (area * channels[-1] * 2 + 2)
    with torch.device("meta"):
        assert parameters(PatchGAN(5, 2, receptive_field=field)) == inner + ends


def test_the_256_has_fewer_parameters_than_the_286() -> None:
    """3x3 instead of 4x4 in four convolutions."""
    channels = [64, 128, 256, 512, 512]
    with torch.device("meta"):
        large = parameters(PatchGAN(3, receptive_field=286))
        smaller = parameters(PatchGAN(3, receptive_field=256))
    assert large - smaller == sum((16 - 9) * a * b for a, b in pairwise(channels))


@pytest.mark.parametrize("field", [*PUBLISHED, 256])
@pytest.mark.parametrize("sideways", [False, True])
def test_a_verdict_sees_a_patch_of_the_receptive_field(field: Field, sideways: bool) -> None:
    """The support of its gradient, with positive weights, which cannot cancel."""
    network = PatchGAN(1, receptive_field=field, width=1, normalisation="none").double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.1)
    size = (32, 3 * field + 32) if sideways else (3 * field + 32, 32)
    image = torch.rand(1, 1, *size, dtype=torch.float64, requires_grad=True)
    verdicts = network(image)
    verdicts[0, 0, verdicts.shape[2] // 2, verdicts.shape[3] // 2].backward()
    assert image.grad is not None
    seen = image.grad[0, 0].ne(0).any(0 if sideways else 1).nonzero().flatten()
    assert len(seen) == field
    assert int(seen[-1] - seen[0]) == field - 1


def test_logits_of_several_outputs() -> None:
    network = PatchGAN(1, 3, receptive_field=16, width=2)
    assert network(torch.rand(2, 1, 32, 33)).shape == (2, 3, 14, 14)


def test_30x30_verdicts_on_256x256_pixels() -> None:
    assert PatchGAN(1, width=1)(torch.rand(1, 1, 256, 256)).shape == (1, 1, 30, 30)


def test_one_verdict_per_pixel_of_1x1_patches() -> None:
    network = PatchGAN(2, receptive_field=1, width=2, normalisation="none")
    maps = torch.rand(1, 2, 33, 47)
    order = torch.randperm(33 * 47)
    shuffled = maps.flatten(2)[..., order].reshape(maps.shape)
    expected = network(maps).flatten(2)[..., order].reshape(1, 1, 33, 47)
    torch.testing.assert_close(network(shuffled), expected)


@pytest.mark.parametrize(("field", "layers"), [(16, 1), (70, 3)])
def test_same_as_in_monai(field: Field, layers: int) -> None:
    networks = pytest.importorskip("monai.networks.nets")
    theirs = networks.PatchDiscriminator(2, 8, 3, num_layers_d=layers).double()
    ours = PatchGAN(3, receptive_field=field, width=8).double()
    copied = zip(ours.state_dict(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict(dict(copied))
    maps = torch.rand(2, 3, 65, 97, dtype=torch.float64)
    torch.testing.assert_close(ours(maps), theirs(maps)[-1])


def test_the_ends_have_no_norm_layer() -> None:
    kinds = [type(layer) for layer in PatchGAN(1, width=1).layers]
    inner = [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU]
    assert kinds == [nn.Conv2d, nn.LeakyReLU, *inner * 3, nn.Conv2d]


@pytest.mark.parametrize("field", [256, 286])
def test_every_normalised_map_of_32_pixels_has_more_than_one(field: Field) -> None:
    network = PatchGAN(2, receptive_field=field, width=1, normalisation="instance")
    smallest: list[int] = []
    for layer in network.layers:
        if isinstance(layer, nn.InstanceNorm2d):
            layer.register_forward_hook(lambda *call: smallest.append(call[-1][0, 0].numel()))
    network(torch.rand(1, 2, 32, 32))
    assert min(smallest) == 4


def test_refuses_values_out_of_range() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        PatchGAN(1, width=0)
    with pytest.raises(UsageError, match="receptive_field"):
        build_discriminator("patchgan?receptive_field=100", 3)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
