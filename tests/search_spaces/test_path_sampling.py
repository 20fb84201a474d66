"""Paths are drawn as softmax says, and have the gradient of the softmax at the temperature."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from scipy import stats
from torch import Tensor

from search_spaces.path_sampling import (
    PathSampler,
    gumbel_like,
    linear_temperature,
    one_path,
    straight_through,
)

ALPHAS: dict[str, Tensor] = {
    "normal": torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.4, 0.0]], dtype=torch.float64),
    "reduction": torch.tensor([[0.0, 3.0, 0.0], [1.0, 1.0, 1.0]], dtype=torch.float64),
}


def test_operations_are_drawn_as_often_as_they_are_probable() -> None:
    """Chi-squared, at a level that a right sampler fails once in a million; whatever the scale."""
    sampler, draws = PathSampler(temperature=7.0), 4000
    drawn = torch.stack(
        [torch.cat([path for _, path in sampler(ALPHAS).values()]) for _ in range(draws)]  # type: ignore[arg-type]
    )
    rows = torch.cat(list(ALPHAS.values())).softmax(dim=1)
    for edge, probabilities in enumerate(rows):
        counts = drawn[:, edge].bincount(minlength=3)
        test = stats.chisquare(counts.numpy(), (draws * probabilities).numpy())
        assert test.pvalue > 1e-6


def test_edges_and_kinds_are_drawn_apart() -> None:
    alphas = {kind: torch.zeros(14, 8) for kind in ("normal", "reduction")}
    paths = [path for _, path in PathSampler()(alphas).values()]  # type: ignore[arg-type]
    assert not torch.equal(*paths)
    assert all(len(path.unique()) > 2 for path in paths)


def test_noise_is_that_of_gumbel() -> None:
    noise = gumbel_like(torch.empty(20000, dtype=torch.float64, requires_grad=True))
    assert stats.kstest(noise.numpy(), "gumbel_r").pvalue > 1e-6
    assert torch.isfinite(noise).all()


def test_the_share_of_the_drawn_operation_is_one_with_the_gradient_of_softmax() -> None:
    """d p_o / d alpha_i = p_o (delta_oi - p_i) / T, of the noisy probabilities p."""
    temperature = 2.5
    alpha = ALPHAS["normal"].clone().requires_grad_(True)
    sampler = PathSampler(temperature)
    torch.manual_seed(5)
    noise = gumbel_like(alpha)
    torch.manual_seed(5)
    shares, path = sampler({"normal": alpha})["normal"]
    assert torch.equal(path, (alpha.log_softmax(1) + noise).argmax(1))
    assert torch.equal(shares, torch.eye(3, dtype=torch.float64)[path])
    factors = torch.tensor([3.0, -2.0], dtype=torch.float64)
    (slope,) = torch.autograd.grad((shares.gather(1, path[:, None])[:, 0] * factors).sum(), alpha)
    soft = ((alpha.log_softmax(1) + noise) / temperature).softmax(1).detach()
    for row, chosen in enumerate(path.tolist()):
        for column in range(3):
            delta = float(chosen == column)
            expected = soft[row, chosen] * (delta - soft[row, column]) / temperature
            assert float(slope[row, column]) == pytest.approx(float(expected * factors[row]))


def test_other_shares_are_zero_with_a_gradient_too() -> None:
    logits = torch.tensor([[0.0, 1.0]], requires_grad=True)
    shares = straight_through(logits)
    assert shares.tolist() == [[0.0, 1.0]]
    (slope,) = torch.autograd.grad(shares[0, 0], logits)
    assert float(slope[0, 0]) == pytest.approx(math.e / (1 + math.e) ** 2)


def paths_of(sampler: PathSampler, count: int) -> list[list[int]]:
    alphas = {"normal": torch.zeros(30, 8)}
    return [sampler(alphas)["normal"][1].tolist() for _ in range(count)]  # type: ignore[arg-type]


def test_each_pass_draws_anew_unless_one_path_is_asked_for() -> None:
    sampler = PathSampler()
    network = torch.nn.ModuleDict({"deep": torch.nn.ModuleList([sampler])})
    assert all(one != other for one, other in pairwise(paths_of(sampler, 3)))
    with one_path(network):
        with one_path(network):
            first, second = paths_of(sampler, 2)
        (third,) = paths_of(sampler, 1)
    assert first == second == third
    with one_path(network):
        (fourth,) = paths_of(sampler, 1)
    assert fourth != first
    assert paths_of(sampler, 1) != [fourth]


def test_an_error_lets_go_of_the_path() -> None:
    sampler = PathSampler()
    with pytest.raises(KeyError), one_path(sampler):
        paths_of(sampler, 1)
        raise KeyError
    first, second = paths_of(sampler, 2)
    assert first != second


def test_the_random_state_alone_decides() -> None:
    sampler = PathSampler()
    state = torch.get_rng_state()
    first = paths_of(sampler, 3)
    torch.set_rng_state(state)
    assert paths_of(sampler, 3) == first


def test_evaluation_takes_the_most_probable_path_and_draws_nothing() -> None:
    sampler = PathSampler().eval()
    before = torch.get_rng_state()
    found = sampler(ALPHAS)  # type: ignore[arg-type]
    assert {kind: path.tolist() for kind, (_, path) in found.items()} == {
        "normal": [0, 0],
        "reduction": [1, 0],
    }
    assert torch.equal(torch.get_rng_state(), before)


def test_the_temperature_goes_from_the_first_to_the_last_epoch() -> None:
    temperatures = [linear_temperature(10, 0.1, epoch, 4) for epoch in range(4)]
    assert temperatures == pytest.approx([10, 6.7, 3.4, 0.1])
    assert linear_temperature(10, 0.1, 0, 1) == 10
