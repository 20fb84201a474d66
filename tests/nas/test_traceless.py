"""Contexts that give back what they changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from nas.traceless import frozen, moved, same_buffers, same_noise, without_trace


def test_moved_adds_the_displacement_and_gives_the_same_bits_back() -> None:
    weights = [nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(2, 2))]
    before = [weight.detach().clone() for weight in weights]
    displacement = [torch.full((3,), 1e8), torch.full((2, 2), 0.1)]
    with moved(weights, displacement):
        for weight, start, shift in zip(weights, before, displacement, strict=True):
            assert torch.equal(weight, start + shift)
    assert all(torch.equal(a, b) for a, b in zip(weights, before, strict=True))


def test_moved_gives_back_after_an_error() -> None:
    weight = nn.Parameter(torch.tensor([1.0]))
    with pytest.raises(ValueError, match="boom"), moved([weight], [torch.tensor([1.0])]):
        raise ValueError("boom")
    assert float(weight.detach()) == 1.0


def test_without_trace_restores_buffers_and_noise() -> None:
    norm = nn.BatchNorm2d(3)
    norm(torch.randn(4, 3, 5, 5))
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    state = torch.get_rng_state()
    with without_trace([norm]):
        norm(torch.randn(4, 3, 5, 5))
        assert not torch.equal(norm.running_mean, before["running_mean"])
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


class Elsewhere(nn.Module):
    """Says that it has a parameter on one device and a buffer on another."""

    def __init__(self, parameter: str, buffer: str) -> None:
        super().__init__()
        self.places = parameter, buffer

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        yield SimpleNamespace(device=torch.device(self.places[0]))  # type: ignore[misc]

    def buffers(self, recurse: bool = True) -> Iterator[torch.Tensor]:
        device = torch.device(self.places[1])
        yield SimpleNamespace(device=device, clone=lambda: None, copy_=lambda _: None)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([("cuda:1", "cpu")], [1]),
        ([("cpu", "cuda:2")], [2]),
        ([("cuda:3", "cuda:0"), ("cuda:3", "cpu")], [0, 3]),
        ([("cpu", "meta")], []),
    ],
)
def test_without_trace_keeps_the_noise_of_every_device_of_the_modules(
    monkeypatch: pytest.MonkeyPatch, places: list[tuple[str, str]], expected: list[int]
) -> None:
    forked: list[list[int]] = []

    @contextmanager
    def fork(devices: list[int]) -> Iterator[None]:
        forked.append(devices)
        yield

    monkeypatch.setattr(torch.random, "fork_rng", fork)
    with without_trace([Elsewhere(*place) for place in places]):
        pass
    assert forked == [expected]


def test_same_buffers_gives_back_after_an_error() -> None:
    norm = nn.BatchNorm1d(2)
    with pytest.raises(ValueError, match="boom"), same_buffers([norm]):
        norm(torch.randn(8, 2))
        raise ValueError("boom")
    assert torch.equal(norm.running_mean, torch.zeros(2))
    assert int(norm.num_batches_tracked) == 0


def test_same_noise_draws_the_same_numbers_each_time() -> None:
    draws = []
    for _ in range(2):
        with same_noise([torch.zeros(1)]):
            draws.append(torch.rand(3))
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(draws[0], torch.rand(3))


def test_frozen_thaws_only_what_was_trainable() -> None:
    trainable, fixed = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1), requires_grad=False)
    with frozen([trainable, fixed]):
        assert not trainable.requires_grad
    assert trainable.requires_grad
    assert not fixed.requires_grad
