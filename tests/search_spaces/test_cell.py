from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import search_spaces
from search_spaces.cell import CellNetwork, CellSupernet, inherit_weights
from search_spaces.cell_genotype import (
    OPERATIONS,
    Cell,
    CellGenotype,
    Edge,
    Network,
    complete_edges,
    from_darts_text,
)
from search_spaces.derivation import derive
from search_spaces.description import GenotypeError, Normalisation

NORMALISATIONS: tuple[Normalisation, ...] = ("batch", "instance", "group", "spectral", "none")
CIFAR = Network(channels=36, layout="NNNNNNRNNNNNNRNNNNNN", ends="classifier")


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _supernet(**changes: Any) -> CellSupernet:
    torch.manual_seed(0)
    options: dict[str, Any] = {"channels": 2, "layout": "NRN", "nodes": 2}
    generator = torch.Generator().manual_seed(0)
    return CellSupernet(3, **{**options, **changes}, generator=generator)


# Published networks


def test_published_networks_have_as_many_parameters_as_their_authors_say(published: Any) -> None:
    network = CellNetwork(from_darts_text(published.text, CIFAR), 3, 10)
    assert _parameters(network) == published.parameters


def test_the_supernet_of_darts_has_as_many_weights_and_architecture_parameters() -> None:
    supernet = CellSupernet(3, 10, channels=16, layout="NNRNNRNN", ends="classifier")
    assert sum(weight.numel() for weight in supernet.weights()) == 1_930_618
    assert sum(alpha.numel() for alpha in supernet.alphas()) == 224


# The relaxed and the discrete network are one


def _one_hot_(supernet: CellSupernet, seed: int) -> None:
    """Give each node two random edges with one operation each, and `none` to the other edges."""
    draw = random.Random(seed)
    nodes = supernet.relaxation().nodes
    with torch.no_grad():
        for alpha in supernet.alphas():
            alpha.zero_()
            for node in range(2, 2 + nodes):
                kept = draw.sample(range(node), 2)
                for row, (source, target) in enumerate(complete_edges(nodes)):
                    if target == node:
                        column = draw.randrange(1, len(OPERATIONS)) if source in kept else 0
                        alpha[row, column] = 1000


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("seed", range(3))
def test_the_derived_network_with_copied_weights_equals_the_one_hot_supernet(
    normalisation: Normalisation, seed: int
) -> None:
    supernet = _supernet(
        normalisation=normalisation, layout="NRRN", nodes=3 + seed % 2, ends="discriminator"
    ).double()
    _one_hot_(supernet, seed)
    genotype = derive(supernet.relaxation(), supernet.network)
    network = CellNetwork(genotype, 3, affine=False, pool_norm=True).double()
    images = torch.rand(2, 3, 49, 37, dtype=torch.float64)
    supernet(images)  # running statistics and singular vectors are copied too
    inherit_weights(network, supernet)
    with torch.no_grad():
        torch.testing.assert_close(network(images), supernet(images), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(
            network.eval()(images), supernet.eval()(images), rtol=1e-9, atol=1e-12
        )
        assert network(images).std() > 0


def test_copied_weights_are_copies() -> None:
    supernet = _supernet()
    network = CellNetwork(
        derive(supernet.relaxation(), supernet.network), 3, affine=False, pool_norm=True
    )
    inherit_weights(network, supernet)
    pointers = {parameter.data_ptr() for parameter in supernet.parameters()}
    assert pointers.isdisjoint(parameter.data_ptr() for parameter in network.parameters())


# What cells compute


def test_a_cell_computes_the_graph_that_its_genotype_describes() -> None:
    """Pools and identities alone, so that the result can be written down by hand."""
    normal = Cell(
        (
            (Edge("max_pool_3x3", 1), Edge("skip_connect", 0)),
            (Edge("avg_pool_3x3", 2), Edge("skip_connect", 1)),
            (Edge("max_pool_3x3", 3),),
        ),
        (4, 2),
    )
    network = CellNetwork(CellGenotype(normal, normal, Network(layout="N")), 1)
    (cell,) = network.cells
    cell.before = cell.last = nn.Identity()
    torch.manual_seed(0)
    zero, one = torch.randn(2, 1, 3, 6, 6)

    two = functional.max_pool2d(one, 3, 1, 1) + zero
    three = functional.avg_pool2d(two, 3, 1, 1, count_include_pad=False) + one
    four = functional.max_pool2d(three, 3, 1, 1)
    torch.testing.assert_close(cell(zero, one), torch.cat([four, two], 1))


def test_a_reduction_cell_halves_on_the_edges_from_its_inputs_only() -> None:
    reduction = Cell(
        (
            (Edge("max_pool_3x3", 0), Edge("avg_pool_3x3", 1)),
            (Edge("max_pool_3x3", 2), Edge("avg_pool_3x3", 0)),
        ),
        (3,),
    )
    network = CellNetwork(CellGenotype(reduction, reduction, Network(layout="R")), 1)
    (cell,) = network.cells
    cell.before = cell.last = nn.Identity()
    zero, one = torch.randn(2, 1, 3, 7, 6)

    def average(x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)

    two = functional.max_pool2d(zero, 3, 2, 1) + average(one)
    three = functional.max_pool2d(two, 3, 1, 1) + average(zero)
    torch.testing.assert_close(cell(zero, one), three)


def test_cells_are_fed_the_last_two_outputs_in_order() -> None:
    """The first is c_{k-2}, the second c_{k-1}; the first cell gets the head's output as both."""
    first = Cell(((Edge("skip_connect", 0),),), (2,))
    network = CellNetwork(CellGenotype(first, first, Network(layout="NNNN")), 1)
    inputs: list[tuple[Tensor, Tensor]] = []
    outputs: list[Tensor] = []

    def record(_: nn.Module, given: tuple[Tensor, Tensor], result: Tensor) -> None:
        inputs.append(given)
        outputs.append(result)

    for cell in network.cells:
        cell.register_forward_hook(record)
    network(torch.rand(2, 1, 32, 32))
    assert inputs[0][0] is inputs[0][1]
    assert inputs[1][1] is outputs[0]
    assert inputs[3][0] is outputs[1]
    assert inputs[3][1] is outputs[2]


@pytest.mark.parametrize(("ends", "first"), [("discriminator", 32), ("classifier", 64)])
def test_each_reduction_doubles_channels_and_halves_sizes(
    ends: Any, first: int, darts_v2: str
) -> None:
    genotype = from_darts_text(darts_v2, Network(channels=3, layout="NRNRNRN", ends=ends))
    network = CellNetwork(genotype, 2)
    shapes: list[tuple[int, ...]] = []
    for cell in network.cells:
        cell.register_forward_hook(lambda *given: shapes.append(tuple(given[2].shape[1:3])))
    network(torch.rand(2, 2, 64, 64))
    halvings = [0, 1, 1, 2, 2, 3, 3]
    assert shapes == [(4 * 3 * 2**n, first // 2**n) for n in halvings]


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (65, 97)])
@pytest.mark.parametrize("outputs", [1, 3])
def test_any_size_of_images_will_do(size: tuple[int, int], outputs: int, darts_v2: str) -> None:
    images = torch.rand(2, 5, *size)
    genotype = from_darts_text(darts_v2, Network(channels=2))
    supernet = CellSupernet(5, outputs, channels=2, nodes=2)
    assert CellNetwork(genotype, 5, outputs)(images).shape == (2, outputs)
    assert supernet(images).shape == (2, outputs)


# Verdicts


def _means(supernet: CellSupernet, normalisation: Normalisation) -> Tensor:
    """Mean verdicts on ten batches (batch norm), or verdicts on ten images (instance norm)."""
    torch.manual_seed(1)
    images = [scale * torch.rand(4, 3, 32, 32) for scale in range(1, 11)]
    with torch.no_grad():
        if normalisation == "batch":
            return torch.stack([supernet(batch).mean() for batch in images])
        return supernet(torch.cat(images)).flatten()


@pytest.mark.parametrize("normalisation", ["batch", "instance"])
def test_the_relu_before_the_average_lets_masks_and_forgeries_differ(
    normalisation: Normalisation,
) -> None:
    with_relu = _means(_supernet(normalisation=normalisation), normalisation)
    without = _means(_supernet(normalisation=normalisation, ends="classifier"), normalisation)
    assert without.std() < 1e-5
    assert with_relu.std() > 1e-3


def test_a_verdict_is_a_logit_on_both_sides_of_zero() -> None:
    supernet = _supernet()
    with torch.no_grad():
        supernet.get_parameter("bottom.bias").fill_(-7.0)
        assert (supernet(torch.rand(2, 3, 32, 32)) < 0).all()
        supernet.get_parameter("bottom.bias").fill_(7.0)
        assert (supernet(torch.rand(2, 3, 32, 32)) > 1).all()


# Parameters


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_weights_and_alphas_share_the_parameters_out(normalisation: Normalisation) -> None:
    supernet = _supernet(normalisation=normalisation)
    weights, alphas = map(set, (supernet.weights(), supernet.alphas()))
    assert not weights & alphas
    assert weights | alphas == set(supernet.parameters())
    assert {tuple(alpha.shape) for alpha in alphas} == {(5, 8)}


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_gradients_reach_every_architecture_parameter_and_the_image(
    normalisation: Normalisation,
) -> None:
    supernet = _supernet(normalisation=normalisation, channels=4)
    images = torch.rand(3, 3, 32, 32, requires_grad=True)
    supernet(images).square().sum().backward()
    for alpha in supernet.alphas():
        assert alpha.grad is not None
        assert (alpha.grad != 0).all()
    assert images.grad is not None
    assert (images.grad != 0).any((1, 2, 3)).all()
    assert all(weight.grad is not None for weight in supernet.weights())


@pytest.mark.parametrize("kind", ["normal", "reduction"])
def test_the_gradient_of_alpha_is_that_of_central_differences(kind: str) -> None:
    supernet = _supernet(normalisation="none").double()
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    alpha: nn.Parameter = getattr(supernet.alpha, kind)
    (gradient,) = torch.autograd.grad(supernet(images).sum(), alpha)
    direction = torch.randn(alpha.shape, dtype=torch.float64)
    step = 1e-5
    with torch.no_grad():
        alpha.add_(direction, alpha=step)
        above = supernet(images).sum()
        alpha.sub_(direction, alpha=2 * step)
        below = supernet(images).sum()
    slope = float((above - below) / (2 * step))
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5)


def test_everything_is_saved_and_loaded(tmp_path: Path) -> None:
    supernet, other = _supernet(), _supernet(normalisation="batch")
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(torch.randn_like(parameter))
    torch.save(supernet.state_dict(), tmp_path / "supernet.pt")
    other.load_state_dict(torch.load(tmp_path / "supernet.pt", weights_only=True))
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(other.eval()(images), supernet.eval()(images))
    assert torch.equal(other.alpha.normal, supernet.alpha.normal)


def test_the_order_of_edges_in_a_genotype_does_not_change_the_network(darts_v2: str) -> None:
    genotype = from_darts_text(darts_v2, Network(channels=2, layout="NR"))

    def reversed_edges(cell: Cell) -> Cell:
        return Cell(tuple(tuple(reversed(edges)) for edges in cell.nodes), cell.concat)

    other = msgspec.structs.replace(
        genotype,
        normal=reversed_edges(genotype.normal),
        reduction=reversed_edges(genotype.reduction),
    )
    verdicts = []
    for each in (genotype, other):
        torch.manual_seed(0)
        verdicts.append(CellNetwork(each, 1)(torch.ones(2, 1, 32, 32).cumsum(2)))
    assert torch.equal(*verdicts)


# Settings


def test_the_operations_and_nodes_are_settings() -> None:
    operations = ("skip_connect", "none", "dil_conv_3x3")
    supernet = _supernet(operations=operations, nodes=3)
    genotype = derive(supernet.relaxation(), supernet.network)
    assert supernet.alpha.normal.shape == (9, 3)
    chosen = {edge.operation for node in genotype.normal.nodes for edge in node}
    assert chosen <= {"skip_connect", "dil_conv_3x3"}
    assert supernet(torch.rand(2, 3, 32, 32)).shape == (2, 1)


@pytest.mark.parametrize("operations", [("none",), (), ("conv",), ("skip_connect",) * 2])
def test_impossible_operations_are_refused(operations: tuple[str, ...]) -> None:
    with pytest.raises(GenotypeError, match="operations"):
        _supernet(operations=operations)


def test_the_supernet_searches_with_the_norm_layers_of_darts() -> None:
    """Scale and shift in the head only, and one norm layer behind each of the pools."""
    supernet = _supernet()
    affine = [
        name
        for name, module in supernet.named_modules()
        if isinstance(module, nn.BatchNorm2d) and module.affine
    ]
    assert affine == ["head.1"]
    behind_pools = [name for name in supernet.of_edges() if "pool" in name]
    assert "cells.0.edges.0_2.max_pool_3x3.1.running_mean" in behind_pools
    buffers_of_each = 3
    assert len(behind_pools) == buffers_of_each * 2 * len(complete_edges(2)) * len(supernet.cells)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_a_network_learns_to_tell_masks_from_blurred_masks(
    normalisation: Normalisation, random_genotype: Callable[..., CellGenotype], darts_v2: str
) -> None:
    network = Network(channels=4, layout="NR", normalisation=normalisation)
    torch.manual_seed(0)
    discriminator = CellNetwork(from_darts_text(darts_v2, network), 1)
    masks = functional.interpolate(torch.rand(8, 1, 4, 4).round(), scale_factor=8)
    blurred = functional.avg_pool2d(masks, 9, 1, 4)
    optimiser = torch.optim.Adam(discriminator.parameters(), 1e-2)
    losses = []
    for _ in range(25):
        loss = functional.softplus(-discriminator(masks)).mean()
        loss = loss + functional.softplus(discriminator(blurred)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_recomputed_cells_give_the_same_gradients_first_and_second() -> None:
    network = CellSupernet(2, channels=2, layout="NR", nodes=2).double()
    images = torch.rand(2, 2, 33, 40, dtype=torch.float64)

    def slopes() -> list[Tensor]:
        inputs = [*network.weights(), *network.alphas()]
        first = torch.autograd.grad(network(images).square().sum(), inputs, create_graph=True)
        along = torch.stack([slope.square().sum() for slope in first]).sum()
        return [*first, *torch.autograd.grad(along, network.alphas())]

    kept = slopes()
    network.recompute = True
    recomputed = slopes()
    assert all(torch.allclose(a, b, rtol=1e-9) for a, b in zip(kept, recomputed, strict=True))


def test_gradients_under_bfloat16_are_finite_and_near_those_of_float32() -> None:
    network = CellSupernet(3, channels=8, layout="NR", normalisation="group")
    maps = torch.rand(2, 3, 48, 48).softmax(dim=1)
    weights = network.weights()

    def slopes() -> Tensor:
        loss = functional.softplus(network(maps).float()).mean()
        return torch.cat([slope.flatten() for slope in torch.autograd.grad(loss, weights)])

    exact = slopes()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = slopes()
    assert rounded.isfinite().all()
    assert functional.cosine_similarity(exact, rounded, dim=0) > 0.9


def test_a_discriminator_of_pixels_judges_every_pixel_and_on_average_like_that_of_images() -> None:
    """Without downscaling behind the cells, the mean of the verdicts is the verdict of the mean."""
    shape = {"channels": 4, "layout": "NR", "nodes": 1, "normalisation": "none"}
    image, pixel = (
        CellSupernet(3, generator=torch.Generator().manual_seed(0), ends=ends, **shape).double()
        for ends in ("discriminator", "pixel_discriminator")
    )
    pixel.load_state_dict(image.state_dict())
    maps = torch.rand(2, 3, 16, 24, dtype=torch.float64)
    verdicts = pixel(maps)
    assert verdicts.shape == (2, 1, 16, 24)
    assert torch.allclose(verdicts.mean(dim=(2, 3)), image(maps))
    assert verdicts.std().item() > 0
    again = search_spaces.build(pixel.genotype())
    assert again(maps.float()).shape == (2, 1, 16, 24)


@pytest.mark.parametrize("size", [(32, 32), (33, 47)])
def test_a_discriminator_of_pixels_takes_odd_sizes(size: tuple[int, int]) -> None:
    network = CellSupernet(2, channels=2, layout="NRN", nodes=1, ends="pixel_discriminator")
    assert network(torch.rand(2, 2, *size)).shape == (2, 1, *size)
