from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

import search_spaces
from search_spaces import genotypes
from search_spaces.concatenation_fcn import (
    ConcatenationFCNNetwork,
    ConcatenationFCNSupernet,
    inherit_weights,
)
from search_spaces.description import GenotypeError, Normalisation
from search_spaces.parametric_genotypes import ConcatenationFCN, ConcatenationFCNGenotype

RELAXED: tuple[Normalisation, ...] = ("batch", "instance", "group", "none")
GRID: dict[str, Any] = {
    "input_depth": (1, 2),
    "channels": (8, 16),
    "blocks": (2, 3),
    "depth": (1, 2),
    "pattern": ("single_run", "double_run"),
    "taps": (1, 2),
    "combination": ("concatenate", "sum"),
}
BASE = ConcatenationFCN(in_channels=3, outputs=2, max_channels=24, taps=2)
SMALL = ConcatenationFCN(channels=4, blocks=3, depth=2)


def _supernet(candidates: dict[str, Any] = GRID, **changes: Any) -> ConcatenationFCNSupernet:
    torch.manual_seed(0)
    network = msgspec.structs.replace(BASE, **changes)
    return ConcatenationFCNSupernet(network, candidates, generator=_generator(0))


def _network(network: ConcatenationFCN, in_channels: int = 3) -> ConcatenationFCNNetwork:
    torch.manual_seed(0)
    return ConcatenationFCNNetwork(ConcatenationFCNGenotype(network), in_channels, network.outputs)


def _inherited(
    supernet: ConcatenationFCNSupernet, plain: ConcatenationFCN
) -> ConcatenationFCNNetwork:
    network = _network(plain).double().eval()
    inherit_weights(network, supernet)
    return network


def _perturb(module: nn.Module) -> None:
    """Give scales, shifts and biases values that show."""
    generator = _generator(1)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.add_(noise, alpha=0.1)


def _images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=_generator(2), dtype=torch.float64)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _input_of(layer: nn.Module) -> list[Tensor]:
    """What the layer is given, call after call."""
    seen: list[Tensor] = []
    layer.register_forward_hook(lambda *given: seen.append(given[1][0]))
    return seen


# The discrete network


@pytest.mark.parametrize(
    ("network", "channels", "taps", "expected"),
    [
        (ConcatenationFCN(), [64] * 6, [64] * 3, 519_744),
        (
            ConcatenationFCN(channels=16, depth=2),
            [16, 16, 32, 32, 64, 64, 128, 128, 256, 256, 512],
            [128, 256, 512],
            9_591_152,
        ),
        (
            ConcatenationFCN(channels=8, depth=2),
            [8, 8, 16, 16, 32, 32, 64, 64, 128, 128, 256],
            [64, 128, 256],
            2_399_992,
        ),
        (
            ConcatenationFCN(
                input_depth=2, channels=6, blocks=2, depth=3, pattern="single_run", taps=1
            ),
            [6, 6, 12, 24, 48, 96, 192, 384],
            [384],
            None,
        ),
        (ConcatenationFCN(channels=5, blocks=4, taps=4, max_channels=4), [4] * 5, [4] * 4, None),
    ],
)
def test_numbers_of_parameters(
    network: ConcatenationFCN, channels: list[int], taps: list[int], expected: int | None
) -> None:
    pairs = zip([3, *channels[:-1]], channels, strict=True)
    slots = sum(taps)
    count = sum(9 * a * b + 2 * b for a, b in pairs)
    count += 2 * slots + 9 * slots**2 + 2 * slots + 2 * slots
    with torch.device("meta"):
        built = ConcatenationFCNNetwork(ConcatenationFCNGenotype(network), 3, 2)
    assert _parameters(built) == count
    assert expected in (count, None)


def test_a_sum_has_the_channels_of_the_last_block() -> None:
    network = _network(msgspec.structs.replace(SMALL, combination="sum"))
    assert network.classifier.weight.shape == (2, 32, 1, 1)


@pytest.mark.parametrize("combination", ["concatenate", "sum"])
def test_the_last_blocks_are_upsampled_and_combined(combination: Any) -> None:
    """Blocks of 8, 16 and 32 channels, of which the last two are tapped."""
    network = _network(msgspec.structs.replace(SMALL, taps=2, combination=combination))
    _perturb(network)
    network.double().eval()
    seen = _input_of(network.mapping)
    images = _images(2, 3, 33, 47)
    network(images)
    _, first, second = network.encoder(images)
    assert (first.shape[1], second.shape[1]) == (16, 32)
    taps = []
    for block, norm in ((first, network.taps[1][0]), (second, network.taps[0][0])):  # type: ignore[index]
        large = functional.interpolate(block, size=(33, 47), mode="bilinear", align_corners=False)
        taps.append(norm(large).relu())
    if combination == "concatenate":
        expected = torch.cat(taps, 1)
    else:
        expected = taps[1] + torch.cat([taps[0], torch.zeros_like(taps[0])], 1)
    torch.testing.assert_close(seen[0], expected)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (775, 522), (565, 584)])
@pytest.mark.parametrize("combination", ["concatenate", "sum"])
def test_logits_have_the_size_of_the_images(size: tuple[int, int], combination: Any) -> None:
    plain = ConcatenationFCN(channels=1, blocks=6, taps=6, outputs=3, combination=combination)
    assert _network(plain)(torch.rand(1, 3, *size)).shape == (1, 3, *size)


@pytest.mark.parametrize("normalisation", ["batch", "instance", "group", "spectral", "none"])
def test_the_loss_falls(normalisation: Normalisation) -> None:
    network = _network(ConcatenationFCN(channels=8, blocks=3, normalisation=normalisation))
    images = torch.rand(4, 3, 33, 40, generator=_generator(0))
    images[:, :, 8:24, 8:24] += 1
    masks = (images.mean(1) > 1).long()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = functional.cross_entropy(network(images), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_gradients_reach_the_input() -> None:
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    _network(SMALL)(images).square().sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    assert images.grad.any()


def test_a_saved_network_is_restored() -> None:
    network, other = (_network(SMALL) for _ in range(2))
    _perturb(network)
    other.load_state_dict(network.state_dict())
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(other.eval()(images), network.eval()(images))


@pytest.mark.parametrize("combination", ["concatenate", "sum"])
def test_export_for_any_size(combination: Any) -> None:
    network = _network(msgspec.structs.replace(SMALL, combination=combination)).eval()
    dynamic = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    program = torch.export.export(network, (torch.rand(2, 3, 64, 48),), dynamic_shapes=(dynamic,))
    images = torch.rand(3, 3, 33, 71)
    torch.testing.assert_close(program.module()(images), network(images))


# The relaxed network


@pytest.mark.parametrize("normalisation", RELAXED)
def test_a_certain_network_is_exactly_the_discrete_one(normalisation: Normalisation) -> None:
    narrow = {} if normalisation == "group" else {"channels": (2, 4)}
    supernet = _supernet(
        {**GRID, **narrow}, max_channels=24 if normalisation == "group" else 6,
        normalisation=normalisation,
    ).double()  # fmt: skip
    _perturb(supernet)
    images = _images(2, 3, 37, 50)
    modes = (False, True) if normalisation == "batch" else (True,)
    logits = []
    with torch.no_grad():
        supernet(3 * images + 1)  # running statistics
        for plain in supernet.choices.networks:
            network = _inherited(supernet, plain)
            joint = supernet.choices.one_hot(plain)
            for training in modes:
                network.train(training)
                supernet.train(training)
                expected = network(images)
                relaxed = supernet.expectation(images, joint)
                torch.testing.assert_close(relaxed, expected, rtol=1e-9, atol=1e-12)
                logits.append(expected)
    assert len(logits) == len(modes) * 2**7
    assert torch.stack(logits).std(0).min() > 0


@pytest.mark.parametrize("combination", [("sum",), ("concatenate",)])
def test_other_numbers_of_taps_are_exact_too(combination: tuple[str]) -> None:
    candidates = {"taps": (3, 1, 2), "blocks": (3, 5, 4), "combination": combination}
    supernet = _supernet(candidates, channels=2, depth=2, max_channels=1024).double()
    _perturb(supernet)
    images = _images(1, 3, 33, 40)
    with torch.no_grad():
        for plain in supernet.choices.networks:
            expected = _inherited(supernet.eval(), plain)(images)
            relaxed = supernet.expectation(images, supernet.choices.one_hot(plain))
            torch.testing.assert_close(relaxed, expected, rtol=1e-9, atol=1e-12)


def test_large_architecture_parameters_make_a_network_certain() -> None:
    supernet = _supernet(normalisation="group").double().eval()
    with torch.no_grad():
        for alpha in supernet.alphas():
            alpha[1] = 1000
    genotype = supernet.genotype()
    assert genotype.network == ConcatenationFCN(
        input_depth=2, channels=16, blocks=3, depth=2, taps=2, combination="sum", in_channels=3,
        max_channels=24, normalisation="group",
    )  # fmt: skip
    images = _images(2, 3, 32, 33)
    expected = _inherited(supernet, genotype.network)(images)
    torch.testing.assert_close(supernet(images), expected, rtol=1e-9, atol=1e-12)


def test_a_network_outside_the_space_inherits_nothing() -> None:
    supernet = _supernet()
    with pytest.raises(GenotypeError, match="not in the space"):
        inherit_weights(_network(SMALL), supernet)


def test_copied_weights_are_copies() -> None:
    supernet = _supernet().double()
    network = _inherited(supernet, supernet.choices.networks[-1])
    pointers = {parameter.data_ptr() for parameter in supernet.parameters()}
    assert pointers.isdisjoint(parameter.data_ptr() for parameter in network.parameters())


def test_taps_lie_in_slots_with_the_probability_that_they_are_used() -> None:
    """Three taps of 2, 4 and 8 channels, of which one, two or all are used, side by side or not."""
    candidates = {"taps": (3, 1, 2), "combination": ("sum", "concatenate")}
    supernet = _supernet(candidates, channels=1, blocks=3, depth=2).double().eval()
    _perturb(supernet)
    images = _images(2, 3, 33, 40)
    first, second, third = (
        tap(functional.interpolate(block, size=(33, 40), mode="bilinear"))
        for tap, block in zip(
            reversed(supernet.taps),
            _blocks(supernet, images),
            strict=True,  # type: ignore[call-overload]
        )
    )
    seen, mapped = _input_of(supernet.mapping), _input_of(supernet.classifier)
    taps = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    summed = 0.4
    joint = torch.kron(taps, torch.tensor([summed, 1 - summed], dtype=torch.float64))
    supernet.expectation(images, joint)

    last = third + summed * (0.8 * _wide(second) + 0.5 * _wide(first))
    beside = 1 - summed
    expected = torch.cat([0.5 * beside * first, 0.8 * beside * second, last], 1)
    torch.testing.assert_close(seen[0], expected)
    shares = torch.tensor([0.5 * beside] * 2 + [0.8 * beside] * 4 + [1.0] * 8)
    output = supernet.mapping(seen[0]) * shares[:, None, None].double()
    torch.testing.assert_close(mapped[0], output)


def _blocks(supernet: ConcatenationFCNSupernet, images: Tensor) -> list[Tensor]:
    """Outputs of the blocks where the encoder is not searched."""
    unused = torch.full((len(supernet.choices.networks),), torch.nan, dtype=torch.float64)
    outputs: list[Tensor] = supernet.encoder(images, unused)
    return outputs


def _wide(features: Tensor) -> Tensor:
    return torch.cat([features, features.new_zeros(2, 8 - features.shape[1], 33, 40)], 1)


def test_a_tap_takes_the_blocks_with_the_probability_that_they_are_its() -> None:
    supernet = _supernet({"blocks": (4, 2, 3)}, channels=1, depth=2).double().eval()
    images = _images(2, 3, 33, 40)
    _, second, third, fourth = (
        functional.interpolate(block, size=(33, 40), mode="bilinear")
        for block in _blocks(supernet, images)
    )
    seen = _input_of(supernet.taps[0])
    supernet.expectation(images, torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64))
    expected = 0.5 * fourth
    expected[:, :8] += 0.3 * third
    expected[:, :4] += 0.2 * second
    torch.testing.assert_close(seen[0], expected)
    assert supernet.tapped == [0, 1, 2, 3]


def test_blocks_that_are_never_tapped_are_not_upsampled() -> None:
    assert _supernet({"blocks": (5, 6)}, blocks=6).tapped == [3, 4, 5]
    assert _supernet({}, blocks=6, taps=1).tapped == [5]


@pytest.mark.parametrize("normalisation", ["group", "none"])
def test_derivatives_by_the_architecture_parameters(normalisation: Normalisation) -> None:
    supernet = _supernet(normalisation=normalisation).double()
    _perturb(supernet)
    images = _images(1, 3, 32, 33)
    projection = torch.randn(2, 32, 33, generator=_generator(3), dtype=torch.float64)
    names = [f"choices.alpha.{name}" for name in GRID]

    def loss(*alphas: Tensor) -> Tensor:
        logits = functional_call(supernet, dict(zip(names, alphas, strict=True)), (images,))
        return (logits * projection).mean()

    alphas = [supernet.choices.alpha[name].detach().clone().requires_grad_() for name in GRID]
    assert torch.autograd.gradcheck(loss, alphas, atol=1e-7)


def test_second_derivatives_exist() -> None:
    candidates = {"channels": (1, 2), "blocks": (2, 3), "combination": ("concatenate", "sum")}
    supernet = _supernet(candidates, normalisation="none").double()
    images = _images(1, 3, 9, 8)

    def loss(*alphas: Tensor) -> Tensor:
        given = {f"choices.alpha.{n}": a for n, a in zip(candidates, alphas, strict=True)}
        return functional_call(supernet, given, (images,)).square().mean()

    alphas = [alpha.detach().clone().requires_grad_() for alpha in supernet.alphas()]
    assert torch.autograd.gradgradcheck(loss, alphas, atol=1e-7)


@pytest.mark.parametrize("normalisation", RELAXED)
def test_gradients_reach_every_choice_and_every_weight(normalisation: Normalisation) -> None:
    supernet = _supernet(normalisation=normalisation)
    supernet(torch.rand(2, 3, 37, 50)).square().mean().backward()
    for parameter in [*supernet.alphas(), *supernet.weights()]:
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    assert all(alpha.grad is not None and alpha.grad.any() for alpha in supernet.alphas())


def test_where_nothing_is_searched_the_supernet_is_the_network() -> None:
    supernet = _supernet({})
    assert supernet.alphas() == []
    network = ConcatenationFCNNetwork(supernet.genotype(), 3, 2)
    assert _parameters(network) == _parameters(supernet)
    inherit_weights(network, supernet)
    images = torch.rand(2, 3, 33, 32)
    assert torch.equal(supernet(images), network(images))


def test_the_largest_network_fills_the_supernet() -> None:
    candidates: dict[str, Any] = {"blocks": (3, 4, 5), "channels": (8, 16), "depth": (2,)}
    with torch.device("meta"):
        supernet = ConcatenationFCNSupernet(ConcatenationFCN(in_channels=3), candidates)
    assert sum(weight.numel() for weight in supernet.weights()) == 9_591_152


def test_architecture_parameters_and_weights_are_all_there_is() -> None:
    supernet = _supernet()
    alphas, weights = set(supernet.alphas()), set(supernet.weights())
    assert len(alphas) == len(GRID)
    assert alphas.isdisjoint(weights)
    assert alphas | weights == set(supernet.parameters())
    assert {f"choices.alpha.{name}" for name in GRID} <= set(supernet.state_dict())


def test_a_saved_supernet_is_restored() -> None:
    supernet = _supernet()
    _perturb(supernet)
    other = _supernet()
    other.load_state_dict(copy.deepcopy(supernet.state_dict()))
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(other.eval()(images), supernet.eval()(images))
    assert other.genotype() == supernet.genotype()


def test_tables_are_where_the_weights_are() -> None:
    supernet = _supernet().to("meta")
    assert supernet(torch.rand(2, 3, 32, 32, device="meta")).shape == (2, 2, 32, 32)


@cache
def _space() -> ConcatenationFCNSupernet:
    return _supernet()


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 1.0, 1e6]))
@settings(max_examples=30, deadline=None)
def test_every_alpha_decodes_to_a_network_of_the_space(seed: int, scale: float) -> None:
    supernet = _space()
    generator = _generator(seed)
    with torch.no_grad():
        for alpha in supernet.alphas():
            alpha.copy_(scale * torch.randn(len(alpha), generator=generator))
    genotype = supernet.genotype()
    assert genotype.network in supernet.choices.networks
    for name, alpha in supernet.choices.alpha.items():
        assert getattr(genotype.network, name) == GRID[name][int(alpha.argmax())]
    assert genotype.relaxation is not None
    assert genotype.relaxation.decode(BASE) == genotype.network


def test_genotypes_are_read_back_and_built(tmp_path: Path) -> None:
    genotype = _supernet().genotype()
    genotypes.write(genotype, tmp_path / "g.json")
    assert search_spaces.load(tmp_path / "g.json") == genotype
    network = search_spaces.build(tmp_path / "g.json")
    assert isinstance(network, ConcatenationFCNNetwork)
    assert network(torch.rand(1, 3, 32, 32)).shape == (1, 2, 32, 32)


def test_what_cannot_be_relaxed_is_refused() -> None:
    with pytest.raises(GenotypeError, match="in_channels"):
        ConcatenationFCNSupernet(ConcatenationFCN(), {"blocks": (4, 5)})
    with pytest.raises(GenotypeError, match="spectral"):
        _supernet(normalisation="spectral")
    with pytest.raises(GenotypeError, match="multiples of 8"):
        _supernet({"channels": (8, 4)}, normalisation="group")
    with pytest.raises(GenotypeError, match="features"):
        _supernet({"features": (8, 16)})
