from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax

from search_spaces.cell_genotype import OPERATIONS
from search_spaces.relaxation import ArchitectureParameters


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


def test_edges_have_parameters_where_they_are_weighed() -> None:
    alpha = ArchitectureParameters(3, 8, torch.Generator().manual_seed(0), weigh_edges=True)
    assert {name: tuple(each.shape) for name, each in alpha.named_parameters()} == {
        "normal": (9, 8),
        "reduction": (9, 8),
        "normal_edges": (9,),
        "reduction_edges": (9,),
    }
    with torch.no_grad():
        for each in alpha.parameters():
            each.normal_(generator=torch.Generator().manual_seed(2))
    relaxation = alpha.to_relaxation(OPERATIONS)
    weights = alpha.edge_weights()
    assert weights is not None
    for kind, rows in alpha.shares().items():
        beta = getattr(alpha, f"{kind}_edges").detach().numpy()
        expected = [each for a, b in ((0, 2), (2, 5), (5, 9)) for each in softmax(beta[a:b])]
        np.testing.assert_allclose(weights[kind].detach().numpy(), expected, rtol=1e-5)
        np.testing.assert_allclose(rows.sum(1).detach().numpy(), expected, rtol=1e-5)
        np.testing.assert_allclose(rows.detach().numpy(), relaxation.shares(kind), rtol=1e-5)


def test_without_weights_of_edges_shares_are_probabilities() -> None:
    alpha = _parameters()
    assert alpha.edge_weights() is None
    for kind, rows in alpha.shares().items():
        assert torch.equal(rows, alpha.probabilities()[kind])
