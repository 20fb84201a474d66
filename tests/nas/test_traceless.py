"""Contexts that give back what they changed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from nas.traceless import (
    frozen,
    moved,
    noise_told,
    same_buffers,
    same_noise,
    without_trace,
)
from search_spaces.cell import CellSupernet


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


class Overriding(nn.BatchNorm2d):
    """Batch norm with a pass of its own, which might read its statistics."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) + self.get_buffer("running_mean").sum()


def layers() -> dict[str, nn.Module]:
    """Whose passes change or read buffers."""
    torch.manual_seed(3)
    return {
        "batch norm": nn.BatchNorm2d(3),
        "batch norm of a kind of its own": Overriding(3),
        "instance norm": nn.InstanceNorm2d(3, track_running_stats=True),
        "spectral norm": spectral_norm(nn.Conv2d(3, 64, 5)),
    }


def buffers(layer: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in layer.named_buffers()}


def are_same(buffers: dict[str, Tensor], layer: nn.Module) -> bool:
    named = dict(layer.named_buffers())
    assert buffers.keys() == named.keys()
    return all(torch.equal(value, named[name]) for name, value in buffers.items())


every_layer = pytest.mark.parametrize("name", layers())


@every_layer
def test_without_trace_keeps_buffers_and_noise(name: str) -> None:
    """Also of layers within others."""
    layer = layers()[name]
    network = nn.Sequential(nn.Sequential(layer))
    x = torch.randn(4, 3, 5, 5)
    layer(x)
    before = buffers(layer)
    state = torch.get_rng_state()
    with without_trace([network]):
        network(torch.randn(4, 3, 5, 5))
        assert are_same(before, layer) == (name == "batch norm")
    assert are_same(before, layer)
    assert torch.equal(state, torch.get_rng_state())
    network(x)
    assert not are_same(before, layer)


@every_layer
def test_buffers_come_back_after_errors_and_from_nested_contexts(name: str) -> None:
    layer = layers()[name]
    x = torch.randn(4, 3, 5, 5)
    layer(x)
    before = buffers(layer)
    with pytest.raises(ValueError, match="boom"), same_buffers([layer]):
        layer(x + 1)
        within = buffers(layer)
        with same_buffers([layer, layer]):
            layer(x * 2)
        assert are_same(within, layer)
        layer(x - 1)
        assert are_same(before, layer) == (name == "batch norm")
        raise ValueError("boom")
    assert are_same(before, layer)
    layer(x)
    assert not are_same(before, layer)


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, Overriding])
def test_batch_norm_that_learns_again_in_the_context_has_its_buffers_back(
    kind: type[nn.BatchNorm2d],
) -> None:
    """In use, its passes read its statistics, and these are there."""
    layer, x = kind(3), torch.randn(4, 3, 5, 5)
    layer(x)
    layer.eval()
    before, expected = buffers(layer), layer(x)
    with same_buffers([layer]):
        assert torch.equal(layer(x), expected)
        layer.train()
        layer(x)
        assert not are_same(before, layer)
    assert are_same(before, layer)
    assert layer.track_running_stats


def test_statistics_can_be_read_where_they_are_not_tracked() -> None:
    layer, x = nn.BatchNorm2d(3), torch.randn(4, 3, 5, 5)
    layer(x)
    expected = copy.deepcopy(layer).eval()(x)
    with same_buffers([layer]):
        assert torch.equal(layer.eval()(x), expected)


def slopes(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """The output and its gradients."""
    given = x.clone().requires_grad_()
    output = layer(given)
    loss = (output**3).sum()
    return [output.detach(), *torch.autograd.grad(loss, [given, *layer.parameters()])]


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm1d(3),
        nn.BatchNorm2d(3),
        nn.BatchNorm3d(3),
        nn.BatchNorm2d(3, momentum=None),
        nn.BatchNorm2d(3, affine=False),
        nn.BatchNorm2d(3, track_running_stats=False),
    ],
)
def test_batch_norm_computes_the_same_bits(layer: nn.Module) -> None:
    size = [5] * {"1d": 1, "2d": 2, "3d": 3}[type(layer).__name__[-2:]]
    x = torch.randn(4, 3, *size)
    tracks = layer.track_running_stats
    with same_buffers([layer]):
        found = slopes(layer, x)
        assert not layer.track_running_stats
    expected = slopes(layer, x)
    assert layer.track_running_stats is tracks
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("error", [False, True])
def test_batch_norm_tracks_behind_nested_contexts(error: bool) -> None:
    layer, x = nn.BatchNorm2d(3), torch.randn(4, 3, 5, 5)
    with suppress(ValueError), same_buffers([layer]):
        with same_buffers([layer]):
            layer(x)
        assert not layer.track_running_stats
        layer(x)
        if error:
            raise ValueError
    assert int(layer.get_buffer("num_batches_tracked")) == 0
    layer(x)
    assert int(layer.get_buffer("num_batches_tracked")) == 1
    plain = nn.BatchNorm2d(3)
    plain(x)
    assert torch.equal(layer.get_buffer("running_mean"), plain.get_buffer("running_mean"))


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
    states = {index: torch.tensor([index], dtype=torch.uint8) for index in range(4)}
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda index: states[index])
    monkeypatch.setattr(
        torch.cuda, "set_rng_state", lambda state, index: given.append((int(state), index))
    )
    with without_trace([Elsewhere(*place) for place in places]):
        pass
    assert given == [(index, index) for index in expected]


def test_same_buffers_gives_back_after_an_error() -> None:
    norm = nn.BatchNorm1d(2)
    with pytest.raises(ValueError, match="boom"), same_buffers([norm]):
        norm(torch.randn(8, 2))
        raise ValueError("boom")
    assert torch.equal(norm.get_buffer("running_mean"), torch.zeros(2))
    assert int(norm.get_buffer("num_batches_tracked")) == 0


def test_same_noise_draws_the_same_numbers_each_time() -> None:
    draws = []
    for _ in range(2):
        with same_noise([torch.zeros(1)]):
            draws.append(torch.rand(3))
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(draws[0], torch.rand(3))


def test_what_is_told_of_noise_can_be_done_again_from_another_state() -> None:
    told: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
    with (
        pytest.raises(ValueError, match="boom"),
        noise_told(lambda function, given, named: told.append((function, given))),
    ):
        with same_noise([]):
            told.append((torch.rand, (3,)))
        raise ValueError("boom")
    with same_noise([]):
        pass
    torch.manual_seed(7)
    before = torch.get_rng_state()
    for function, given in told:
        function(*given)
        drawn = not torch.equal(torch.get_rng_state(), before)
        assert drawn == (function is torch.rand)
    assert len(told) == 3


def test_frozen_thaws_only_what_was_trainable() -> None:
    trainable, fixed = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1), requires_grad=False)
    with frozen([trainable, fixed]):
        assert not trainable.requires_grad
    assert trainable.requires_grad
    assert not fixed.requires_grad


@pytest.mark.parametrize("channels", [4, 16])
@pytest.mark.parametrize("relaxation", [{}, {"single_path": True}, {"partial_channels": 2}])
def test_relaxed_cells_keep_no_statistics_inside_and_keep_them_behind(
    channels: int, relaxation: dict[str, int]
) -> None:
    """By torch, and with 16 channels by kernels; also where cells are computed again."""
    torch.manual_seed(0)
    network = CellSupernet(2, channels=channels, layout="NR", nodes=2, **relaxation)  # type: ignore[arg-type]
    images = torch.rand(2, 2, 16, 16)
    before = {name: value.clone() for name, value in network.named_buffers()}
    for network.recompute in (False, True):
        with same_buffers([network]):
            network(images).sum().backward()
        assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())
    network(images)
    assert any(not torch.equal(value, before[name]) for name, value in network.named_buffers())
