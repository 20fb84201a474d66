from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax

from search_spaces.cell_genotype import OPERATIONS
from search_spaces.operations import Style
from search_spaces.relaxation import ArchitectureParameters, MixedOperation

STYLE = Style("none")


def _parameters(seed: int = 0) -> ArchitectureParameters:
    return ArchitectureParameters(4, 8, torch.Generator().manual_seed(seed))


def test_they_are_registered_parameters_of_the_shape_of_darts() -> None:
    alpha = _parameters()
    shapes = {name: tuple(value.shape) for name, value in alpha.named_parameters()}
    assert shapes == {"normal": (14, 8), "reduction": (14, 8)}
    assert set(alpha.state_dict()) == {"normal", "reduction"}


def test_they_start_as_small_normal_numbers() -> None:
    values = torch.cat([p.detach().flatten() for p in _parameters().parameters()])
    assert float(values.std()) == pytest.approx(1e-3, rel=0.2)
    assert abs(float(values.mean())) < 3e-4
    assert not torch.equal(values[:112], values[112:])


def test_only_the_generator_decides_how_they_start() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = _parameters(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.normal, _parameters(3).normal)
    assert not torch.equal(first.normal, _parameters(4).normal)


def test_probabilities_are_the_softmax_over_operations() -> None:
    alpha = _parameters()
    torch.nn.init.normal_(alpha.normal, generator=torch.Generator().manual_seed(0))
    torch.nn.init.normal_(alpha.reduction, generator=torch.Generator().manual_seed(1))
    for kind, rows in alpha.probabilities().items():
        values = getattr(alpha, kind).detach().numpy()
        np.testing.assert_allclose(rows.detach().numpy(), softmax(values, axis=1), rtol=1e-5)


def test_plain_numbers_restore_the_parameters_exactly() -> None:
    alpha = _parameters()
    relaxation = alpha.to_relaxation(OPERATIONS)
    assert torch.equal(torch.tensor(relaxation.normal), alpha.normal)
    assert torch.equal(torch.tensor(relaxation.reduction), alpha.reduction)
    assert relaxation.operations == OPERATIONS


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
