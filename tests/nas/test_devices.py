"""Devices by name, precision, and seeds that depend on their purpose alone."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import pytest
import torch
from torch import nn

from nas.devices import (
    autocast,
    derived_seed,
    layout_of,
    placed,
    resolve_device,
    seed_noise,
    seeded,
    set_threads,
    threads_shared,
    without_tf32,
)
from nas.errors import UsageError
from nas.kernels import take_kernels
from nas.segmenters.unet import UNet
from search_spaces import kernel_choice

CPU = torch.device("cpu")


def test_auto_takes_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == CPU
    assert resolve_device("cpu") == CPU


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_cuda_device_must_be_on_the_machine(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    for index in range(3):
        if index < count:
            assert resolve_device(f"cuda:{index}") == torch.device("cuda", index)
        else:
            with pytest.raises(UsageError, match=f"cuda:{index} is not on this machine"):
                resolve_device(f"cuda:{index}")


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "mps", "meta", "CPU 1"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError) as refused:
        resolve_device(name)
    assert str(refused.value).endswith(".")
    assert f"--device {name}" in str(refused.value)


@pytest.mark.usefixtures("use_threads")
def test_threads_are_set_unless_zero() -> None:
    set_threads(2)
    assert torch.get_num_threads() == 2
    set_threads(0)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("threads", "streams", "each"), [(1, 1, 1), (4, 1, 4), (4, 2, 2), (3, 2, 1), (2, 3, 1)]
)
def test_streams_have_a_share_of_the_threads_which_is_given_back(
    threads: int, streams: int, each: int, use_threads: Callable[[int], None]
) -> None:
    use_threads(threads)
    with pytest.raises(ValueError, match="boom"), threads_shared(streams):
        assert torch.get_num_threads() == each
        raise ValueError("boom")
    assert torch.get_num_threads() == threads


def test_autocast_changes_precision_only_for_bf16() -> None:
    left = torch.ones(2, 2)
    for precision, expected in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        with autocast(precision, CPU)():
            assert (left @ left).dtype == expected


def test_derived_seeds_differ_by_seed_and_purpose() -> None:
    seeds = {derived_seed(seed, purpose) for seed in range(50) for purpose in ("a", "b", "1/a")}
    assert len(seeds) == 150
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derived_seed(3, "segmenter") == derived_seed(3, "segmenter")


@pytest.mark.parametrize("convolution", [True, False])
@pytest.mark.parametrize("multiplication", [True, False])
def test_without_tf32_gives_both_switches_back(convolution: bool, multiplication: bool) -> None:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    try:
        cudnn.allow_tf32, matmul.allow_tf32 = convolution, multiplication
        with pytest.raises(ValueError, match="boom"), without_tf32():
            assert (cudnn.allow_tf32, matmul.allow_tf32) == (False, False)
            raise ValueError("boom")
        assert (cudnn.allow_tf32, matmul.allow_tf32) == (convolution, multiplication)
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


def test_derived_seeds_stay_what_they_are() -> None:
    """The first seven bytes of SHA-256 of "0/segmenter": results of a seed must not drift."""
    assert derived_seed(0, "segmenter") == 30883603321355785


def test_seeded_draws_are_repeatable_and_leave_no_trace() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    draws = []
    for _ in range(2):
        with seeded(7, "segmenter"):
            draws.append(torch.randn(3))
        torch.randn(1)
    assert torch.equal(draws[0], draws[1])
    torch.set_rng_state(before)
    with seeded(7, "segmenter"):
        pass
    assert torch.equal(torch.get_rng_state(), before)
    with seeded(7, "discriminator"):
        assert not torch.equal(torch.randn(3), draws[0])
    with seeded(8, "segmenter"):
        assert not torch.equal(torch.randn(3), draws[0])


def test_noise_is_seeded_apart_from_the_networks() -> None:
    seed_noise(3)
    first = torch.randn(4)
    seed_noise(3)
    assert torch.equal(torch.randn(4), first)
    with seeded(3, "segmenter"):
        assert not torch.equal(torch.randn(4), first)


def test_kernels_that_cannot_be_compiled_are_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_choice, "_trouble", lambda: "numba is not installed")
    take_kernels("auto")
    with pytest.raises(UsageError, match=r"numba is not installed: install .*\[fast\]"):
        take_kernels("compiled")


def placed_in(layout: torch.memory_format, network: nn.Module) -> nn.Module:
    with patch("nas.devices.layout_of", return_value=layout):
        return placed(network, CPU)


def test_the_layout_of_cuda_changes_no_number() -> None:
    """Logits and gradients of a segmenter in either layout, in float64."""
    assert layout_of(CPU) is torch.contiguous_format
    layouts = layout_of(CPU), layout_of(torch.device("cuda"))
    images = torch.rand(2, 1, 16, 16, dtype=torch.float64)
    found = []
    for layout in layouts:
        torch.manual_seed(1)
        network = UNet(1, 3, width=4, depth=2, normalisation="batch").double()
        weights = list(placed_in(layout, network).parameters())
        logits = network(images)
        found.append([logits, *torch.autograd.grad(logits.square().mean(), weights)])
        assert logits.is_contiguous(memory_format=layout)
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-14)
