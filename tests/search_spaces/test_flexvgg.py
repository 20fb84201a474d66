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
from search_spaces.description import GenotypeError, Normalisation
from search_spaces.flexvgg import FlexVGGNetwork, FlexVGGSupernet, inherit_weights
from search_spaces.parametric_genotypes import FlexVGG, FlexVGGGenotype
from search_spaces.relaxed_sizes import inherit_slices

RELAXED: tuple[Normalisation, ...] = ("batch", "instance", "group", "none")
GRID: dict[str, Any] = {
    "input_depth": (1, 2),
    "channels": (8, 16),
    "blocks": (1, 3),
    "depth": (1, 2),
    "pattern": ("single_run", "double_run"),
    "features": (32, 16),
    "linear_depth": (0, 1),
}
BASE = FlexVGG(in_channels=3, outputs=2, max_channels=24, pooled=(2, 1))
PUBLISHED = FlexVGG(pooled=(15, 22))


def _supernet(
    candidates: dict[str, Any] = GRID, base: FlexVGG = BASE, **changes: Any
) -> FlexVGGSupernet:
    torch.manual_seed(0)
    network = msgspec.structs.replace(base, **changes)
    return FlexVGGSupernet(network, candidates, generator=torch.Generator().manual_seed(0))


def _network(network: FlexVGG, in_channels: int = 3, outputs: int = 1) -> FlexVGGNetwork:
    torch.manual_seed(0)
    return FlexVGGNetwork(FlexVGGGenotype(network), in_channels, outputs)


def _perturb(module: nn.Module) -> None:
    """Give scales, shifts and biases values that show."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.add_(noise, alpha=0.1)


def _maps(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# The discrete network


@pytest.mark.parametrize(
    ("network", "in_channels", "channels", "linear"),
    [
        (PUBLISHED, 4, [64, 64, 128, 128, 256, 256, 512, 512, 1024], [337_920, 128, 64]),
        (FlexVGG(), 4, [64, 64, 128, 128, 256, 256, 512, 512, 1024], [1024, 128, 64]),
        (
            FlexVGG(input_depth=3, channels=8, blocks=2, depth=3, features=40, linear_depth=3),
            2,
            [8, 8, 8, 8, 16, 16, 16, 32, 32],
            [32, 40, 20, 10, 5],
        ),
        (
            FlexVGG(channels=4, blocks=2, pattern="single_run", pooled=(2, 3), linear_depth=0),
            1,
            [4, 8, 16, 32, 64],
            [384, 128],
        ),
    ],
)
def test_numbers_of_parameters(
    network: FlexVGG, in_channels: int, channels: list[int], linear: list[int]
) -> None:
    inputs = [in_channels, *channels[:-1]]
    convolutions = sum(9 * a * b + 2 * b for a, b in zip(inputs, channels, strict=True))
    layers = sum(a * b + b + 2 * b for a, b in zip(linear[:-1], linear[1:], strict=True))
    with torch.device("meta"):
        built = FlexVGGNetwork(FlexVGGGenotype(network), in_channels)
    assert _parameters(built) == convolutions + layers + linear[-1] + 1


def test_the_published_network_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        built = FlexVGGNetwork(FlexVGGGenotype(PUBLISHED), 4)
        assert _parameters(built) == 52_671_105
        assert built(torch.rand(2, 4, 224, 332)).shape == (2, 1)


def test_at_its_size_the_published_network_pools_nothing() -> None:
    network = _network(msgspec.structs.replace(PUBLISHED, channels=1, features=2)).eval()
    features: list[Tensor] = []
    network.linear.register_forward_hook(lambda *given: features.append(given[1][0]))
    maps = torch.rand(1, 3, 224, 332)
    network(maps)
    assert torch.equal(features[0], network.encoder(maps)[-1].flatten(1))


def test_by_default_the_features_are_averages() -> None:
    network = _network(FlexVGG(channels=2, blocks=2)).eval()
    features: list[Tensor] = []
    network.linear.register_forward_hook(lambda *given: features.append(given[1][0]))
    maps = torch.rand(1, 3, 33, 47)
    network(maps)
    torch.testing.assert_close(features[0], network.encoder(maps)[-1].mean((2, 3)))


def test_linear_layers_stand_in_the_published_order() -> None:
    network = _network(FlexVGG(channels=2, blocks=1, features=8, linear_depth=2))
    layers = [m for m in network.linear.modules() if not list(m.children())]
    assert [type(layer) for layer in layers] == [nn.Linear, nn.BatchNorm1d, nn.ReLU] * 3
    assert isinstance(network.head, nn.Linear)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (775, 522)])
def test_inputs_of_any_size(size: tuple[int, int]) -> None:
    maps = torch.rand(2, 3, *size)
    assert _network(FlexVGG(channels=1, blocks=6))(maps).shape == (2, 1)
    assert _network(FlexVGG(channels=1, pooled=(15, 22)), 3, 4)(maps).shape == (2, 4)


@pytest.mark.parametrize("normalisation", ["batch", "instance", "group", "spectral", "none"])
def test_real_and_fake_are_told_apart(normalisation: Normalisation) -> None:
    network = _network(FlexVGG(channels=8, blocks=2, normalisation=normalisation), in_channels=2)
    maps = torch.rand(8, 2, 33, 40, generator=torch.Generator().manual_seed(0))
    maps[:4] = maps[:4].round()
    real = torch.tensor([[1.0]] * 4 + [[0.0]] * 4)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        loss = functional.binary_cross_entropy_with_logits(network(maps), real)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_gradients_reach_the_input() -> None:
    maps = torch.rand(2, 3, 32, 32, requires_grad=True)
    _network(FlexVGG(channels=4, blocks=2))(maps).sum().backward()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()
    assert maps.grad.any()


def test_a_saved_network_is_restored() -> None:
    network, other = (_network(FlexVGG(channels=4, blocks=2)) for _ in range(2))
    _perturb(network)
    other.load_state_dict(network.state_dict())
    maps = torch.rand(2, 3, 32, 32)
    assert torch.equal(other.eval()(maps), network.eval()(maps))


def test_export_for_any_size() -> None:
    network = _network(FlexVGG(channels=2, blocks=2)).eval()
    dynamic = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    program = torch.export.export(network, (torch.rand(2, 3, 64, 48),), dynamic_shapes=(dynamic,))
    maps = torch.rand(3, 3, 33, 71)
    torch.testing.assert_close(program.module()(maps), network(maps))


# The relaxed network


@pytest.mark.parametrize("normalisation", RELAXED)
def test_a_certain_network_is_exactly_the_discrete_one(normalisation: Normalisation) -> None:
    narrow = {} if normalisation == "group" else {"channels": (2, 4)}
    supernet = _supernet(
        {**GRID, **narrow}, max_channels=24 if normalisation == "group" else 6,
        normalisation=normalisation,
    ).double()  # fmt: skip
    _perturb(supernet)
    maps = _maps(2, 3, 37, 50)
    modes = (False, True) if normalisation == "batch" else (True,)
    verdicts = []
    with torch.no_grad():
        supernet(3 * maps + 1)  # running statistics
        for plain in supernet.choices.networks:
            network = _network(plain, outputs=2).double()
            inherit_weights(network, supernet)
            joint = supernet.choices.one_hot(plain)
            for training in modes:
                network.train(training)
                supernet.train(training)
                expected = network(maps)
                verdict = supernet.expectation(maps, joint)
                torch.testing.assert_close(verdict, expected, rtol=1e-9, atol=1e-12)
                verdicts.append(expected)
    assert len(verdicts) == len(modes) * 2**7
    assert torch.stack(verdicts).std(0).min() > 0


def test_large_architecture_parameters_make_a_network_certain() -> None:
    supernet = _supernet(normalisation="group").double().eval()
    with torch.no_grad():
        for alpha in supernet.alphas():
            alpha[1] = 1000
    genotype = supernet.genotype()
    assert genotype.network == FlexVGG(
        input_depth=2, channels=16, blocks=3, features=16, in_channels=3, outputs=2,
        max_channels=24, pooled=(2, 1), normalisation="group",
    )  # fmt: skip
    network = FlexVGGNetwork(genotype, 3, 2).double().eval()
    inherit_weights(network, supernet)
    maps = _maps(2, 3, 32, 33)
    torch.testing.assert_close(supernet(maps), network(maps), rtol=1e-9, atol=1e-12)


def test_copied_weights_are_copies() -> None:
    supernet = _supernet()
    network = _network(supernet.choices.networks[-1], outputs=2)
    inherit_weights(network, supernet)
    pointers = {parameter.data_ptr() for parameter in supernet.parameters()}
    assert pointers.isdisjoint(parameter.data_ptr() for parameter in network.parameters())


def test_features_are_the_expectation_over_the_number_of_blocks() -> None:
    """Where nothing else is searched, each network's own features can be weighted."""
    supernet = _supernet({"blocks": (3, 1, 2)}, max_channels=1024, channels=2).double().eval()
    maps, joint = _maps(2, 3, 33, 40), torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    seen: list[Tensor] = []
    supernet.linear.register_forward_hook(lambda *given: seen.append(given[1][0]))
    supernet.expectation(maps, joint)
    expected = torch.zeros(2, 2 * 2**3 * 2, dtype=torch.float64)
    for share, plain in zip(joint, supernet.choices.networks, strict=True):
        network = _network(plain, outputs=2).double().eval()
        inherit_slices(network.encoder, supernet.encoder.state_dict())
        pooled = functional.adaptive_avg_pool2d(network.encoder(maps)[-1], (2, 1)).flatten(1)
        expected[:, : pooled.shape[1]] += share * pooled
    torch.testing.assert_close(seen[0], expected)


def test_verdicts_are_the_expectation_over_the_first_linear_layer() -> None:
    """With no layer behind it and no norm layer, verdicts are linear in its masked outputs."""
    candidates = {"features": (4, 16, 8)}
    supernet = _supernet(candidates, linear_depth=0, normalisation="none", channels=4).double()
    _perturb(supernet)
    maps, joint = _maps(2, 3, 33, 40), torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    verdicts = []
    for plain in supernet.choices.networks:
        network = _network(plain, outputs=2).double()
        inherit_weights(network, supernet)
        verdicts.append(network(maps))
    expected = sum(share * verdict for share, verdict in zip(joint, verdicts, strict=True))
    torch.testing.assert_close(supernet.expectation(maps, joint), expected)


@pytest.mark.parametrize("normalisation", ["group", "none"])
def test_derivatives_by_the_architecture_parameters(normalisation: Normalisation) -> None:
    supernet = _supernet(normalisation=normalisation).double()
    _perturb(supernet)
    maps = _maps(2, 3, 32, 33)
    names = [f"choices.alpha.{name}" for name in GRID]

    def verdicts(*alphas: Tensor) -> Tensor:
        out: Tensor = functional_call(supernet, dict(zip(names, alphas, strict=True)), (maps,))
        return out

    alphas = [supernet.choices.alpha[name].detach().clone().requires_grad_() for name in GRID]
    assert torch.autograd.gradcheck(verdicts, alphas, atol=1e-6)


@pytest.mark.parametrize("normalisation", RELAXED)
def test_gradients_reach_every_choice_and_every_weight(normalisation: Normalisation) -> None:
    supernet = _supernet({**GRID, "blocks": (2, 1, 3)}, normalisation=normalisation)
    supernet(torch.rand(4, 3, 37, 50)).square().sum().backward()
    for parameter in [*supernet.alphas(), *supernet.weights()]:
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    assert all(alpha.grad is not None and alpha.grad.any() for alpha in supernet.alphas())


def test_one_candidate_is_no_choice() -> None:
    supernet = _supernet({"blocks": (2,), "depth": (1, 2)})
    supernet(torch.rand(2, 3, 32, 32)).square().sum().backward()
    alpha = dict(supernet.choices.alpha)
    assert alpha["depth"].grad is not None
    assert alpha["depth"].grad.any()
    assert alpha["blocks"].grad is None or not alpha["blocks"].grad.any()
    assert supernet.genotype().network.blocks == 2


def test_where_nothing_is_searched_the_supernet_is_the_network() -> None:
    supernet = _supernet({})
    assert supernet.alphas() == []
    network = FlexVGGNetwork(supernet.genotype(), 3, 2)
    assert _parameters(network) == _parameters(supernet)
    inherit_weights(network, supernet)
    maps = torch.rand(2, 3, 33, 32)
    assert torch.equal(supernet(maps), network(maps))


def test_the_widest_and_deepest_network_fills_the_supernet() -> None:
    candidates = {"blocks": (4, 5, 6), "features": (128, 512, 1024), "linear_depth": (0,)}
    with torch.device("meta"):
        supernet = FlexVGGSupernet(FlexVGG(in_channels=4), candidates)
        network = FlexVGGNetwork(
            FlexVGGGenotype(FlexVGG(blocks=6, features=1024, linear_depth=0)), 4
        )
    assert sum(weight.numel() for weight in supernet.weights()) == _parameters(network)


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
    maps = torch.rand(2, 3, 32, 32)
    assert torch.equal(other.eval()(maps), supernet.eval()(maps))
    assert other.genotype() == supernet.genotype()


def test_the_generator_decides_the_architecture_parameters() -> None:
    first, second = (
        FlexVGGSupernet(BASE, GRID, generator=torch.Generator().manual_seed(5)) for _ in range(2)
    )
    assert first.genotype() == second.genotype()
    assert first.genotype() != _supernet().genotype()


def test_tables_are_where_the_weights_are() -> None:
    supernet = _supernet().to("meta")
    assert supernet(torch.rand(2, 3, 32, 32, device="meta")).shape == (2, 2)


@cache
def _space() -> FlexVGGSupernet:
    return _supernet()


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 1.0, 1e6]))
@settings(max_examples=30, deadline=None)
def test_every_alpha_decodes_to_a_network_of_the_space(seed: int, scale: float) -> None:
    supernet = _space()
    generator = torch.Generator().manual_seed(seed)
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
    assert isinstance(network, FlexVGGNetwork)
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 2)


def test_what_cannot_be_relaxed_is_refused() -> None:
    with pytest.raises(GenotypeError, match="in_channels"):
        FlexVGGSupernet(FlexVGG(), {"blocks": (1, 2)})
    with pytest.raises(GenotypeError, match="spectral"):
        _supernet(normalisation="spectral")
    with pytest.raises(GenotypeError, match="multiples of 8"):
        _supernet({"channels": (8, 4)}, normalisation="group")
    with pytest.raises(GenotypeError, match="taps"):
        _supernet({"taps": (1, 2)})
