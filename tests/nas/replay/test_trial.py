"""A replay that does something else is found out."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nas.replay import trial
from nas.replay.trial import OtherResultError, check_replay


def state() -> dict[str, list[Tensor]]:
    torch.manual_seed(0)
    return {"weights": [torch.randn(4, 3), torch.randn(5)], "steps": [torch.tensor(7)]}


def move(tensors: dict[str, list[Tensor]], factor: float) -> None:
    for each in tensors["weights"]:
        each.add_(each, alpha=factor)
    tensors["steps"][0].add_(1)


def test_the_state_is_what_a_replay_makes_of_it() -> None:
    own, expected = state(), state()
    move(expected, 0.5 + 1e-6)
    order = []

    def work() -> None:
        order.append("work")
        move(own, 0.5)

    def replay() -> None:
        order.append("replay")
        move(own, 0.5 + 1e-6)

    check_replay(replay, work, own, {})
    assert order == ["work", "replay"]
    for kind, tensors in own.items():
        assert all(map(torch.equal, tensors, expected[kind]))


@pytest.mark.parametrize("factor", [0.49, -2.5])
def test_other_sizes_and_signs_are_refused(factor: float) -> None:
    own = state()
    with pytest.raises(OtherResultError, match="other weights"):
        check_replay(lambda: move(own, factor), lambda: move(own, 0.5), own, {})


def test_one_tensor_of_many_is_enough() -> None:
    own = state()
    with pytest.raises(OtherResultError, match="other steps"):
        check_replay(lambda: None, lambda: own["steps"][0].add_(1), own, {})


def test_where_the_work_diverges_there_is_nothing_to_compare() -> None:
    own, rest = state(), {"moments": [torch.tensor([1.0, torch.nan])]}

    def diverge() -> None:
        own["weights"][0].fill_(torch.nan)

    check_replay(diverge, diverge, own, rest)
    own = state()
    with pytest.raises(OtherResultError, match="other weights"):
        check_replay(diverge, lambda: None, own, {})
    with pytest.raises(OtherResultError, match="changes moments"):
        check_replay(lambda: rest["moments"][0].nan_to_num_(), diverge, own, rest)


def test_rounding_and_noise_are_none() -> None:
    own = {"moments": [torch.ones(3), torch.full((3,), 1e-9)]}

    def replay() -> None:
        own["moments"][0].mul_(1 + 1e-5)
        own["moments"][1].mul_(-3)

    check_replay(replay, lambda: None, own, {})


def test_work_takes_gradients() -> None:
    weight = torch.ones(2, requires_grad=True)
    slopes = []

    def work() -> None:
        slopes.extend(torch.autograd.grad((weight**2).sum(), [weight]))

    check_replay(lambda: None, work, {"w": [weight]}, {})
    assert torch.equal(slopes[0], torch.full((2,), 2.0))


def test_random_numbers_are_those_of_the_work() -> None:
    own = state()

    def noisy() -> None:
        own["weights"][0].add_(torch.rand(4, 3))

    check_replay(noisy, noisy, own, {})
    drawn = torch.rand(4, 3)
    with pytest.raises(OtherResultError, match="other random numbers"):
        check_replay(lambda: own["weights"][0].add_(drawn), noisy, own, {})


def test_what_rests_is_not_copied_and_stays_bit_for_bit() -> None:
    moving, rest = state(), torch.full((1000,), 0.1)
    resting = {"moments": [rest]}

    def step() -> None:
        move(moving, 0.5)
        rest.add_(1)
        rest.copy_(torch.full((1000,), 0.1))

    check_replay(step, step, moving, resting)

    def almost() -> None:
        move(moving, 0.5)
        rest[7] = torch.nextafter(rest[7], torch.tensor(1.0))

    with pytest.raises(OtherResultError, match="changes moments"):
        check_replay(almost, step, moving, resting)


@given(
    shape=st.sampled_from([(), (0,), (1,), (7,), (3, 5), (5, 2, 3), (2, 0), (1, 11)]),
    chunk=st.integers(1, 40),
    seed=st.integers(0, 9),
)
def test_norms_are_taken_in_parts_of_any_size(
    shape: tuple[int, ...], chunk: int, seed: int
) -> None:
    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    values = numbers.double().numpy()
    with patch.object(trial, "CHUNK", chunk):
        found = trial._norms([numbers, -numbers])
    lengths = [np.linalg.norm(part) for part in (values, values.clip(0), values, (-values).clip(0))]
    assert np.allclose(found.numpy(), lengths)
