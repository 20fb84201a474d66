"""When kernels compute, and what is said of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from search_spaces import kernel_choice
from search_spaces.kernel_choice import (
    are_compiled,
    choose_kernels,
    path_in_use,
    without_kernels,
)

MAPS = torch.zeros(1, 2, 2, 1, 16)


@pytest.fixture(autouse=True)
def chosen_again() -> Iterator[None]:
    yield
    choose_kernels("auto")


def test_numba_is_not_loaded_before_it_is_needed() -> None:
    code = "import sys, search_spaces.cell; assert not {'numba', 'llvmlite'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="auto, torch, compiled"):
        choose_kernels("fast")  # type: ignore[arg-type]


def test_without_numba_auto_is_torch_and_compiled_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernel_choice, "_trouble", lambda: "numba is not installed")
    assert not are_compiled(MAPS)
    assert path_in_use() == "relaxed cell: plain PyTorch, as numba is not installed"
    with pytest.raises(ModuleNotFoundError, match="numba is not installed"):
        choose_kernels("compiled")


def test_torch_is_taken_where_it_is_asked_for() -> None:
    choose_kernels("torch")
    assert not are_compiled(MAPS)
    assert path_in_use() == "relaxed cell: plain PyTorch, as was asked for"


def test_with_numba_kernels_take_single_and_double_precision_on_a_cpu() -> None:
    pytest.importorskip("numba", reason="kernels need numba")
    assert "kernels compiled by numba" in path_in_use()
    assert are_compiled(MAPS)
    assert are_compiled(MAPS.double(), MAPS.double())
    assert not are_compiled(MAPS, MAPS.double())
    assert not are_compiled(MAPS.bfloat16())
    assert not are_compiled(MAPS.to("meta"))
    assert not are_compiled(MAPS[..., :12])
    assert not are_compiled(MAPS[:0])
    with torch.autocast("cpu", torch.bfloat16):
        assert not are_compiled(MAPS)
    assert "not for cuda" in path_in_use("cuda")
    assert "(12)" in path_in_use(channels=12)


@pytest.mark.parametrize("channels", [4, 12, 16, 32])
@pytest.mark.parametrize("lowered", [False, True])
def test_what_is_said_is_what_is_computed(channels: int, lowered: bool) -> None:
    pytest.importorskip("numba", reason="kernels need numba")
    with torch.autocast("cpu", torch.bfloat16, enabled=lowered):
        said, computed = path_in_use(channels=channels), are_compiled(torch.zeros(1, channels))
        assert (without_kernels("cpu", channels) is None) == computed
    assert ("kernels compiled by numba" in said) == computed == (not (lowered or channels % 16))
    assert ("in passes of bfloat16, as kernels are for single or" in said) == lowered


def test_maps_of_half_precision_have_no_kernels() -> None:
    assert "in passes of float16" in (without_kernels("cpu", 16, torch.float16) or "")
    assert without_kernels("cpu", 16, torch.float64) is None


def test_subclasses_of_tensors_are_left_to_torch() -> None:
    pytest.importorskip("numba", reason="kernels need numba")

    class Other(Tensor):
        pass

    assert not are_compiled(MAPS.as_subclass(Other))
