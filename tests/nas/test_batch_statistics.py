"""Synchronised batch norm; with a single process it must be the ordinary one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nas import batch_statistics
from nas.batch_statistics import SynchronisedBatchNorm, has_batch_norm, synchronise


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum over one rank; tests/nas/test_ranks.py has two."""

    def same(tensors: list[Tensor]) -> list[Tensor]:
        return [tensor.detach().clone() for tensor in tensors]

    monkeypatch.setattr(batch_statistics, "summed", same)


def network(momentum: float | None, affine: bool, tracked: bool) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Sequential(
            nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, 1e-3, momentum, affine, tracked), nn.Tanh()
        ),
        nn.Flatten(),
        nn.BatchNorm1d(48),
    ).double()


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize(("affine", "tracked"), [(True, True), (False, True), (True, False)])
def test_it_is_batch_norm(momentum: float | None, affine: bool, tracked: bool) -> None:
    plain, other = (network(momentum, affine, tracked) for _ in range(2))
    weights = list(other.parameters())
    synchronise(other)
    assert [id(weight) for weight in other.parameters()] == [id(weight) for weight in weights]
    assert sum(isinstance(each, SynchronisedBatchNorm) for each in other.modules()) == 2
    for _ in range(2):
        images = torch.randn(5, 2, 6, 6, dtype=torch.float64)
        torch.testing.assert_close(other(images), plain(images))
    for one, two in ((plain, other), (plain.eval(), other.eval())):
        torch.testing.assert_close(two.state_dict(), one.state_dict())
        torch.testing.assert_close(two(images), one(images))


def test_first_and_second_derivatives() -> None:
    layer = SynchronisedBatchNorm(2).double()
    weight = torch.randn(3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (weight,))
    assert torch.autograd.gradgradcheck(layer, (weight,))


def test_one_value_in_a_channel_is_refused_as_by_batch_norm() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        SynchronisedBatchNorm(3)(torch.rand(1, 3))


def test_which_networks_have_batch_statistics() -> None:
    assert has_batch_norm(network(0.1, True, True))
    assert not has_batch_norm(nn.Sequential(nn.Conv2d(1, 2, 1), nn.GroupNorm(1, 2)))
