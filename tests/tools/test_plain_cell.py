"""The plain relaxed cell, which others are compared with, by the definition."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from search_spaces.cell_genotype import OPERATIONS
from search_spaces.operations import Style

TOOL = Path(__file__).parents[2] / "tools/plain_cell.py"
SPECIFICATION = importlib.util.spec_from_file_location("plain_cell", TOOL)
assert SPECIFICATION is not None and SPECIFICATION.loader is not None
plain_cell = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(plain_cell)
MixedOperation = plain_cell.MixedOperation

STYLE = Style("none")
ORDERS = [
    OPERATIONS,
    ("skip_connect", "none", "avg_pool_3x3"),
    ("sep_conv_3x3", "dil_conv_5x5"),
]


@pytest.mark.parametrize("operations", ORDERS)
@pytest.mark.parametrize("stride", [1, 2])
def test_a_mixed_operation_is_the_weighted_sum_of_its_operations(
    operations: tuple[str, ...], stride: int
) -> None:
    torch.manual_seed(0)
    mixed = MixedOperation(operations, 3, stride, STYLE)
    x = torch.randn(2, 3, 7, 5)
    weights = torch.linspace(0.1, 0.9, len(operations))
    expected = sum(
        float(weights[operations.index(name)]) * module(x) for name, module in mixed.items()
    )
    assert set(mixed) == set(operations) - {"none"}
    torch.testing.assert_close(mixed(x, weights), expected)


def test_none_contributes_exactly_zero() -> None:
    mixed = MixedOperation(("none", "skip_connect"), 3, 1, STYLE)
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(mixed(x, torch.tensor([5.0, 0.0])), torch.zeros_like(x))
    assert torch.equal(mixed(x, torch.tensor([5.0, 1.0])), x)


def test_an_operation_of_probability_zero_neither_contributes_nor_learns() -> None:
    torch.manual_seed(0)
    mixed = MixedOperation(("sep_conv_3x3", "dil_conv_3x3"), 2, 1, STYLE)
    probabilities = torch.tensor([0.0, 1.0], requires_grad=True)
    x = torch.randn(1, 2, 6, 6)
    y = mixed(x, probabilities)
    assert torch.equal(y, mixed["dil_conv_3x3"](x))
    y.square().sum().backward()
    assert all(not p.grad.any() for p in mixed["sep_conv_3x3"].parameters() if p.grad is not None)
    assert all(p.grad is not None and p.grad.any() for p in mixed["dil_conv_3x3"].parameters())
    assert probabilities.grad is not None
    assert probabilities.grad[0] != 0


def test_the_gradient_of_the_probabilities_is_what_each_operation_gives() -> None:
    torch.manual_seed(0)
    mixed = MixedOperation(OPERATIONS, 2, 2, STYLE).double()
    x = torch.randn(1, 2, 7, 7, dtype=torch.float64)
    probabilities = torch.full((8,), 0.125, dtype=torch.float64, requires_grad=True)
    mixed(x, probabilities).sum().backward()
    expected = [0.0] + [float(mixed[name](x).detach().sum()) for name in OPERATIONS[1:]]
    assert probabilities.grad is not None
    assert probabilities.grad.tolist() == pytest.approx(expected)
