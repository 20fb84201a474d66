"""Sampled cells against the discrete network of the path, edge by edge, with the same weights."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from search_spaces.cell import KINDS, CellSupernet
from search_spaces.cell_genotype import OPERATIONS
from search_spaces.description import Normalisation
from search_spaces.path_sampling import PathSampler, gumbel_like, one_path
from search_spaces.relaxed_cell import RelaxedCell
from search_spaces.sampled_cell import SampledCell

TOOL = Path(__file__).parents[2] / "tools/plain_cell.py"
SPECIFICATION = importlib.util.spec_from_file_location("plain_cell", TOOL)
assert SPECIFICATION is not None and SPECIFICATION.loader is not None
plain_cell = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(plain_cell)

NORMALISATIONS: tuple[Normalisation, ...] = ("batch", "instance", "group", "spectral", "none")
TEMPERATURE = 3.0


def new_supernet(normalisation: Normalisation, **options: Any) -> CellSupernet:
    options = {"channels": 4, "layout": "RN", "nodes": 3, **options}
    supernet = CellSupernet(2, normalisation=normalisation, single_path=True, **options).double()
    sampler_of(supernet).temperature = TEMPERATURE
    with torch.no_grad():
        for alpha in supernet.alphas():
            alpha.normal_()
    return supernet


def sampler_of(supernet: CellSupernet) -> PathSampler:
    assert supernet.sampler is not None
    return supernet.sampler


class Discrete(nn.Module):
    """The plain supernet at shares that are given: those of a path leave one operation an edge."""

    def __init__(self, supernet: CellSupernet) -> None:
        super().__init__()
        self.plain = plain_cell.PlainSupernet(supernet)

    def forward(self, images: Tensor, shares: dict[str, Tensor]) -> Tensor:
        before = last = self.plain.head(images)
        for letter, cell in zip(self.plain.network.layout, self.plain.cells, strict=True):
            before, last = last, cell(before, last, shares[KINDS[letter]])
        verdicts: Tensor = self.plain.verdicts(last, images.shape[2:])
        return verdicts


def drawn(supernet: CellSupernet) -> dict[str, tuple[Tensor, Tensor]]:
    """Noise and path of the next pass, by the formula, without changing the random state."""
    found = {}
    with torch.random.fork_rng(devices=[]):
        for kind, alpha in supernet.alpha.logits().items():
            noise = gumbel_like(alpha)
            found[kind] = noise, (alpha.log_softmax(1) + noise).argmax(dim=1)
    return found


def near(one: Tensor, other: Tensor) -> None:
    assert (one - other).norm() <= 1e-8 * other.norm() + 1e-13


@pytest.mark.parametrize("size", [(64, 64), (67, 49)])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_values_and_gradients_are_those_of_the_network_of_the_path(
    normalisation: Normalisation, size: tuple[int, int]
) -> None:
    supernet = new_supernet(normalisation)
    images = torch.rand(2, 2, *size, dtype=torch.float64, requires_grad=True)
    for _ in range(3):
        discrete = Discrete(supernet)
        found = drawn(supernet)
        shares = {
            kind: torch.eye(8, dtype=torch.float64)[path].requires_grad_(True)
            for kind, (_, path) in found.items()
        }
        verdicts, expected = supernet(images), discrete(images, shares)
        near(verdicts, expected)
        (slope,) = torch.autograd.grad(verdicts.square().sum(), [images], retain_graph=True)
        at_shares = torch.autograd.grad(expected.square().sum(), [images, *shares.values()])
        near(slope, at_shares[0])
        alphas = torch.autograd.grad(verdicts.square().sum(), supernet.alphas())
        logits = supernet.alpha.logits().values()
        for mine, alpha, (noise, path), along in zip(
            alphas, logits, found.values(), at_shares[1:], strict=True
        ):
            near(mine, by_hand(alpha.detach(), noise, path, along))


def by_hand(alpha: Tensor, noise: Tensor, path: Tensor, along: Tensor) -> Tensor:
    """alpha's gradient: dL/dshare_o p_o (delta - p) / T, with p softmax of what has noise."""
    soft = ((alpha.log_softmax(1) + noise) / TEMPERATURE).softmax(1)
    chosen = torch.eye(8, dtype=torch.float64)[path]
    slope = (along * soft * chosen).sum(1, keepdim=True)
    return slope * (chosen - soft) / TEMPERATURE


@pytest.mark.parametrize("normalisation", ["batch", "spectral", "none"])
def test_weights_on_the_path_alone_have_gradients_those_of_its_network(
    normalisation: Normalisation,
) -> None:
    supernet = new_supernet(normalisation)
    discrete = Discrete(supernet)
    images = torch.rand(2, 2, 64, 64, dtype=torch.float64)
    shares = {
        kind: torch.eye(8, dtype=torch.float64)[path] for kind, (_, path) in drawn(supernet).items()
    }
    named = dict(discrete.plain.named_parameters())
    loss = discrete(images, shares).square().sum()
    expected = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    slopes = torch.autograd.grad(
        supernet(images).square().sum(), list(supernet.parameters()), allow_unused=True
    )
    holder = copy.deepcopy(supernet)
    for parameter, slope in zip(holder.parameters(), slopes, strict=True):
        parameter.data = torch.zeros_like(parameter) if slope is None else slope
    ours = plain_cell.by_edge(holder)
    reached = 0
    for name, slope in zip(named, expected, strict=True):
        if not name.startswith("alpha") and "original" not in name:
            other = torch.zeros_like(ours[name]) if slope is None else slope
            torch.testing.assert_close(ours[name], other, rtol=1e-6, atol=1e-10, msg=name)
            reached += bool(other.norm() > 0)
    assert reached > 5


def test_running_statistics_move_on_the_path_alone() -> None:
    supernet = new_supernet("batch")
    discrete = Discrete(supernet)
    before = {name: value.clone() for name, value in supernet.of_edges().items()}
    images = torch.rand(2, 2, 64, 64, dtype=torch.float64)
    path = {kind: each for kind, (_, each) in drawn(supernet).items()}
    with torch.no_grad():
        discrete(images, {kind: torch.eye(8, dtype=torch.float64)[p] for kind, p in path.items()})
        supernet(images)
    after, moved = supernet.of_edges(), 0
    statistics = dict(discrete.plain.named_buffers())
    for name, value in after.items():
        if "running" in name and ".edges." in name and not torch.equal(value, before[name]):
            torch.testing.assert_close(value, statistics[name], rtol=1e-9, atol=1e-12)
            moved += 1
    assert 0 < moved < sum("running" in name for name in after) / 2


def test_its_weights_and_their_names_are_those_of_the_ordinary_supernet() -> None:
    options: dict[str, Any] = {"channels": 4, "layout": "RN", "nodes": 3, "normalisation": "batch"}
    sampled = CellSupernet(2, single_path=True, **options)
    ordinary = CellSupernet(2, **options)
    ordinary.load_state_dict(sampled.state_dict())
    assert ordinary.relaxation() == sampled.relaxation()


def test_by_default_the_path_is_that_of_the_largest_shares() -> None:
    supernet = new_supernet("group", layout="N")
    (cell,) = supernet.cells
    assert isinstance(cell, SampledCell)
    x = torch.rand(2, 12, 16, 16, dtype=torch.float64)
    path = torch.randint(0, 8, (9,))
    shares = torch.eye(8, dtype=torch.float64)[path]
    assert torch.equal(cell(x, x, shares), cell(x, x, shares, path))
    near(cell(x, x, shares), RelaxedCell.forward(cell, x, x, shares))


def test_a_cell_of_no_operation_is_zero() -> None:
    supernet = new_supernet("group", layout="R")
    (cell,) = supernet.cells
    x = torch.rand(2, 12, 17, 16, dtype=torch.float64)
    shares = torch.eye(8, dtype=torch.float64)[torch.zeros(9, dtype=torch.long)]
    assert torch.equal(cell(x, x, shares), x.new_zeros(2, 24, 9, 8))


def test_both_passes_of_a_loss_may_meet_one_path() -> None:
    supernet = new_supernet("group")
    images = torch.rand(2, 2, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        apart = [supernet(images) for _ in range(2)]
        with one_path(supernet):
            together = [supernet(images) for _ in range(2)]
    assert torch.equal(*together)
    assert not torch.equal(*apart)


@pytest.mark.parametrize("recompute", [False, True])
def test_cells_that_are_computed_again_take_the_same_path(recompute: bool) -> None:
    supernet = new_supernet("group")
    images = torch.rand(2, 2, 64, 64, dtype=torch.float64)
    torch.manual_seed(1)
    expected = torch.autograd.grad(supernet(images).sum(), supernet.alphas())
    supernet.recompute = recompute
    torch.manual_seed(1)
    found = torch.autograd.grad(supernet(images).sum(), supernet.alphas())
    for one, other in zip(found, expected, strict=True):
        near(one, other)


def test_with_partial_channels_it_is_refused() -> None:
    with pytest.raises(ValueError, match="partial_channels must be 1"):
        CellSupernet(2, channels=8, single_path=True, partial_channels=4)


def test_a_path_through_pools_and_skips_has_no_gradient_of_weights_within() -> None:
    columns = [OPERATIONS.index(name) for name in ("max_pool_3x3", "skip_connect")]
    supernet = new_supernet("group", layout="N", nodes=1)
    (cell,) = supernet.cells
    x = torch.rand(2, 12, 16, 16, dtype=torch.float64)
    shares = torch.eye(8, dtype=torch.float64)[columns]
    inside = list(cell.stages.parameters())
    slopes = torch.autograd.grad(cell(x, x, shares).sum(), inside, allow_unused=True)
    assert all(slope is None for slope in slopes)
