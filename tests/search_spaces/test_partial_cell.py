"""Partial channels against the equations of PC-DARTS, written edge by edge.

In float64, at 64 pixels; the tolerance is what noise of 1e-13 on the weights changes, ten times.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.cell import KINDS, CellStack, CellSupernet, Place, bring
from search_spaces.cell_genotype import OPERATIONS, complete_edges
from search_spaces.description import Normalisation
from search_spaces.operations import Style, build_operation
from search_spaces.partial_cell import PartialCell, passed_by, shuffled
from search_spaces.relaxed_cell import RelaxedCell


class EdgeByEdge(nn.Module):
    """A cell of PC-DARTS: on each edge C / k channels are mixed, the others pass, all shuffle."""

    def __init__(self, parts: int, place: Place, nodes: int, style: Style) -> None:
        super().__init__()
        self.before, self.last = bring(place, style)
        self.parts, self.place, self.nodes = parts, place, nodes
        self.edges = nn.ModuleDict(
            {
                f"{source}_{target}": nn.ModuleDict(
                    {
                        name: build_operation(
                            name, place.channels // parts, place.stride(source), style
                        )
                        for name in OPERATIONS[1:]
                    }
                )
                for source, target in complete_edges(nodes)
            }
        )
        self.out_channels = nodes * place.channels

    def forward(self, before: Tensor, last: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        states = [self.before(before), self.last(last)]
        first = 0
        for node in range(self.nodes):
            weights = beta[first : first + 2 + node].exp()
            weights = weights / weights.sum()
            total: Any = 0.0
            for source, x in enumerate(states):
                edge = self.edges[f"{source}_{node + 2}"]
                mixture = alpha[first + source].exp() / alpha[first + source].exp().sum()
                total = total + weights[source] * self.edge(edge, x, mixture, source)
            states.append(total)
            first += 2 + node
        return torch.cat(states[2:], dim=1)

    def edge(self, operations: Any, x: Tensor, mixture: Tensor, source: int) -> Tensor:
        seen = x.shape[1] // self.parts
        mixed = sum(
            mixture[column] * operations[name](x[:, :seen])
            for column, name in enumerate(OPERATIONS)
            if name != "none"
        )
        rest = x[:, seen:]
        if self.place.stride(source) == 2:
            rest = functional.max_pool2d(rest, 2, 2, ceil_mode=True)
        y = torch.cat([mixed, rest], dim=1)
        return torch.stack([y[:, i::seen] for i in range(seen)], dim=1).flatten(1, 2)


class PlainPartial(CellStack):
    """The network of such cells, with the weights of a supernet."""

    def __init__(self, supernet: CellSupernet, parts: int) -> None:
        network = supernet.network
        style = Style(network.normalisation, affine=False, pool_norm=True)
        nodes = supernet.relaxation().nodes
        super().__init__(network, 2, 1, style, lambda place: EdgeByEdge(parts, place, nodes, style))
        self.double().load_state_dict(supernet.of_edges())

    def forward(self, images: Tensor, alphas: Mapping[str, Tensor]) -> Tensor:
        before = last = self.head(images)
        for letter, cell in zip(self.network.layout, self.cells, strict=True):
            kind = KINDS[letter]
            given = alphas[kind], alphas[f"{kind}_edges"]
            before, last = last, cell(before, last, *given)
        return self.verdicts(last, images.shape[2:])


def new_supernet(normalisation: Normalisation = "group", **options: Any) -> CellSupernet:
    options = {"channels": 8, "layout": "RN", "nodes": 3, "partial_channels": 4, **options}
    supernet = CellSupernet(2, normalisation=normalisation, **options).double()
    with torch.no_grad():
        for alpha in supernet.alphas():
            alpha.normal_()
    return supernet


def slopes_of(verdicts: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(verdicts.square().sum(), inputs))


@pytest.mark.parametrize("normalisation", ["batch", "group", "spectral", "none"])
@pytest.mark.parametrize(("parts", "size"), [(4, (64, 64)), (2, (67, 49))])
def test_values_and_gradients_are_those_of_the_equations(
    normalisation: Normalisation, parts: int, size: tuple[int, int]
) -> None:
    supernet = new_supernet(normalisation, partial_channels=parts)
    plain = PlainPartial(supernet, parts)
    noisy = copy.deepcopy(plain)
    with torch.no_grad():
        for weight in noisy.parameters():
            weight.mul_(1 + 1e-13 * torch.randn_like(weight))
    images = torch.rand(2, 2, *size, dtype=torch.float64, requires_grad=True)
    alphas = dict(supernet.alpha.named_parameters())
    inputs = [*alphas.values(), images]
    verdicts = [supernet(images), plain(images, alphas), noisy(images, alphas)]
    ours, theirs, around = ([v, *slopes_of(v, inputs)] for v in verdicts)
    for one, other, control in zip(ours, theirs, around, strict=True):
        tolerance = 10 * (other - control).norm() + 1e-14 * other.norm()
        assert (one - other).norm() <= tolerance
        assert other.norm() > 0


def test_weights_have_the_gradients_of_the_equations() -> None:
    supernet = new_supernet()
    plain = PlainPartial(supernet, 4)
    images = torch.rand(2, 2, 64, 64, dtype=torch.float64)
    holder = copy.deepcopy(supernet)
    slopes = slopes_of(supernet(images), list(supernet.parameters()))
    for parameter, slope in zip(holder.parameters(), slopes, strict=True):
        parameter.data = slope
    ours = holder.of_edges()
    named = dict(plain.named_parameters())
    alphas = dict(supernet.alpha.named_parameters())
    theirs = slopes_of(plain(images, alphas), list(named.values()))
    for name, slope in zip(named, theirs, strict=True):
        torch.testing.assert_close(ours[name], slope, rtol=1e-6, atol=1e-9, msg=name)


def test_all_channels_and_uniform_edges_give_a_fraction_of_the_ordinary_cell() -> None:
    """One node of two edges: half of it."""
    shape = 1, OPERATIONS, 4, 1, Style("group", affine=False, pool_norm=True)
    cell = PartialCell(1, nn.Identity(), nn.Identity(), *shape)
    ordinary = RelaxedCell(nn.Identity(), nn.Identity(), *shape)
    ordinary.load_state_dict(cell.state_dict())
    x, y = torch.rand(2, 2, 4, 16, 16)
    probabilities = torch.rand(2, len(OPERATIONS)).softmax(dim=1)
    expected = ordinary(x, y, probabilities) / 2
    torch.testing.assert_close(cell(x, y, probabilities / 2), expected)


def test_the_channels_that_pass_by() -> None:
    """Largest of 2x2 pixels, and at the end of an odd length of those that are left."""
    x = torch.arange(30.0).view(1, 3, 5, 2, 1)
    weights = torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    first = torch.tensor([[12.0, 16.0, 18.0], [22.0, 26.0, 28.0]])
    given = passed_by(x, weights, stride=2)
    assert given.shape == (1, 2, 3, 2, 1)
    torch.testing.assert_close(given[0, ..., 0, 0], first)
    torch.testing.assert_close(given[0, ..., 1, 0], first + 0.75)
    torch.testing.assert_close(passed_by(x, weights, stride=1)[0, ..., 0, 0], x[0, ..., 0, 0])


def test_channels_are_shuffled_as_cards() -> None:
    assert shuffled(torch.arange(8), 4).tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    assert shuffled(torch.arange(6), 2).tolist() == [0, 3, 1, 4, 2, 5]


def test_edges_are_architecture_parameters_that_are_kept() -> None:
    supernet = new_supernet()
    assert {each.shape for each in supernet.alphas()} == {(9, 8), (9,)}
    assert not set(supernet.weights()) & set(supernet.alphas())
    again = new_supernet()
    again.load_state_dict(supernet.state_dict())
    assert again.relaxation() == supernet.relaxation()
    edges = supernet.relaxation().normal_edges
    assert edges is not None
    assert list(edges) == pytest.approx(supernet.alpha.normal_edges.tolist())  # type: ignore[union-attr]


@pytest.mark.parametrize(("channels", "parts"), [(6, 4), (4, 4), (3, 2)])
def test_channels_that_cannot_be_divided_are_refused(channels: int, parts: int) -> None:
    with pytest.raises(ValueError, match=f"{channels} channels cannot be divided into {parts}"):
        CellSupernet(2, channels=channels, layout="N", partial_channels=parts)
