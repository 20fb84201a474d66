import pytest
import torch
from torch import Tensor, nn

from nas.segmenters.unet import UNet


def test_parameters_of_the_published_network() -> None:
    down = [1, 64, 128, 256, 512, 1024]
    pairs = list(zip(down, down[1:], strict=False))
    encoder = sum(9 * a * b + b + 9 * b * b + b for a, b in pairs)
    decoder = sum(
        (4 * 2 * b * b + b) + (9 * 2 * b * b + b) + (9 * b * b + b) for b in (512, 256, 128, 64)
    )
    head = 64 * 2 + 2
    assert parameters(UNet(1, 2)) == encoder + decoder + head == 31_030_658


def test_normalisation_replaces_the_bias_by_scale_and_shift() -> None:
    with_bias = UNet(1, 2, width=1, depth=2)
    normalised = UNet(1, 2, width=1, depth=2, normalisation="batch")
    norms = [module for module in normalised.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 2 * (2 + 1 + 2)
    biases = sum(norm.num_features for norm in norms)
    assert parameters(normalised) == parameters(with_bias) + biases


def test_outputs_see_as_far_as_in_the_paper() -> None:
    """Ronneberger et al. 2015, Fig. 1: a tile of 388 outputs depends on 572 inputs.

    Without padding, the pooling of level i starts 2 * (2 ** i - 1) pixels inside the inputs, so 14
    pixels at the last: the inputs of a tile start at 2 modulo 16.
    """
    network = all_ones(UNet(1, 1, width=1))
    start, end = 82, 82 + 572
    tile = (..., slice(start + 92, end - 92))
    reached = [
        bool(response(network, position, width=736)[tile].any())
        for position in (start - 1, start, end - 1, end)
    ]
    assert reached == [False, True, True, False]


def test_skip_connection_of_the_first_level_passes_beside_the_others() -> None:
    network = all_ones(UNet(1, 1, width=1, depth=2))
    for parameter in network.upsamplers.parameters():
        nn.init.zeros_(parameter)
    reached = response(network, 50, width=101).flatten(0, 2).any(0).nonzero().flatten()
    assert reached.tolist() == list(range(46, 55))


def test_deeper_features_are_concatenated_behind_those_of_the_same_level() -> None:
    network = all_ones(UNet(1, 1, width=1, depth=1))
    weights = dict(network.decoder.named_parameters())["0.0.weight"]
    assert weights.shape[:2] == (1, 2)
    with torch.no_grad():
        weights[:, 1].zero_()
    reached = response(network, 50, width=101).flatten(0, 2).any(0).nonzero().flatten()
    assert reached.tolist() == list(range(46, 55))


@pytest.mark.parametrize("size", [(32, 32), (65, 97), (33, 47)])
def test_any_size_and_the_inside_does_not_depend_on_it(size: tuple[int, int]) -> None:
    """Cropping the image below and right leaves the logits above and left unchanged."""
    network = UNet(2, 3, width=2, depth=2).double()
    image = torch.rand(1, 2, 128, 128, generator=generator(), dtype=torch.float64)
    height, width = size
    logits = network(image[..., :height, :width])
    assert logits.shape == (1, 3, height, width)
    inside = (..., slice(height - 24), slice(width - 24))
    torch.testing.assert_close(logits[inside], network(image)[..., :height, :width][inside])


@pytest.mark.parametrize(("width", "depth"), [(0, 4), (4, 0)])
def test_refuses_sizes_below_one(width: int, depth: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        UNet(1, 2, width=width, depth=depth)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def all_ones(network: UNet) -> UNet:
    """Weights of one and no biases: any path from an input to an output shows."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    return network.double()


def response(network: UNet, position: int, width: int) -> Tensor:
    """The output on an image (1, 1, 32, width) that is 1 in one column and else 0."""
    image = torch.zeros(1, 1, 32, width, dtype=torch.float64)
    image[..., position] = 1.0
    with torch.no_grad():
        return network(image)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_all_levels_but_the_last_are_those_of_another_library() -> None:
    """MONAI's BasicUNet with copied weights; its last level has twice as many channels."""
    nets = pytest.importorskip("monai.networks.nets")
    width = 3
    features = (*(width * factor for factor in (1, 2, 4, 8, 16)), width)
    other = nets.BasicUNet(2, 2, 3, features, act="relu", norm=None).double()
    network = UNet(2, 3, width=width).double()
    downs = [other.conv_0, other.down_1, other.down_2, other.down_3, other.down_4]
    ups = [other.upcat_4, other.upcat_3, other.upcat_2]
    for ours, theirs in [
        *zip(network.encoder, downs, strict=True),
        *zip(network.upsamplers, (up.upsample for up in ups), strict=False),
        *zip(network.decoder, (up.convs for up in ups), strict=False),
    ]:
        values = list(ours.parameters())
        for parameter, value in zip(theirs.parameters(), values, strict=True):
            parameter.data = value.data.clone()
    seen = {}
    network.decoder[2].register_forward_hook(lambda *parts: seen.update(ours=parts[2]))
    other.upcat_2.register_forward_hook(lambda *parts: seen.update(theirs=parts[2]))
    images = torch.randn(2, 2, 48, 80, dtype=torch.float64)
    network(images)
    other(images)
    torch.testing.assert_close(seen["ours"], seen["theirs"])
