"""Stages against the same cells edge by edge.

In float64, at 64 pixels or more: of fewer values, norm layers amplify rounding. The tolerance is
the plain network's own: ten times what noise of 1e-13 on its weights changes.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from search_spaces.cell import CellSupernet
from search_spaces.description import Normalisation
from search_spaces.kernel_choice import choose_kernels

TOOL = Path(__file__).parents[2] / "tools/plain_cell.py"
SPECIFICATION = importlib.util.spec_from_file_location("plain_cell", TOOL)
assert SPECIFICATION is not None and SPECIFICATION.loader is not None
plain_cell = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(plain_cell)

NORMALISATIONS: tuple[Normalisation, ...] = ("batch", "instance", "group", "spectral", "none")
SETTINGS: dict[str, dict[str, Any]] = {
    "odd sizes": {"size": (67, 49)},
    "odd channels": {"channels": 3, "normalisation": "instance"},
    "one node": {"nodes": 1},
    "few operations": {"operations": ("skip_connect", "none", "dil_conv_3x3")},
    "pools alone": {"operations": ("max_pool_3x3", "avg_pool_3x3"), "layout": "NR"},
    "no skip": {"operations": ("sep_conv_5x5", "none", "max_pool_3x3")},
}

Values = Mapping[str, Tensor]


def _supernet(
    normalisation: Normalisation = "group",
    channels: int = 4,
    layout: str = "RN",
    nodes: int = 3,
    **options: Any,
) -> CellSupernet:
    torch.manual_seed(0)
    supernet = CellSupernet(
        2, channels=channels, layout=layout, nodes=nodes, normalisation=normalisation, **options
    ).double()
    with torch.no_grad():
        for alpha in supernet.alphas():
            alpha.normal_()
    return supernet


def _by_edge(supernet: CellSupernet, slopes: list[Tensor]) -> dict[str, Tensor]:
    """Gradients by the names of the plain network's parameters."""
    holder = copy.deepcopy(supernet)
    for parameter, slope in zip(holder.parameters(), slopes, strict=True):
        parameter.data = slope.detach()
    named: dict[str, Tensor] = plain_cell.by_edge(holder)
    return named


def _slopes(network: nn.Module, images: Tensor) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Verdicts, the image's gradient and a second derivative; gradients of all parameters."""
    alphas = [network.get_parameter("alpha.normal"), network.get_parameter("alpha.reduction")]
    verdicts = network(images)
    parameters = list(network.parameters())
    loss = verdicts.square().sum()
    first = torch.autograd.grad(loss, [images, *parameters], create_graph=True)
    weights = [s for s, p in zip(first[1:], parameters, strict=True) if p.shape != alphas[0].shape]
    along = torch.stack([slope.square().sum() for slope in weights]).sum()
    second = torch.autograd.grad(along, [*alphas, images], allow_unused=True)
    values = {"verdicts": verdicts, "images": first[0]}
    values |= {f"second {i}": s for i, s in enumerate(second) if s is not None}
    return values, list(first[1:])


def _compare(ours: Values, theirs: Values, control: Values) -> None:
    assert ours.keys() >= theirs.keys()
    for name, value in theirs.items():
        error = (ours[name] - value).norm()
        own = (control[name] - value).norm() + 1e-15 * value.norm()
        assert error <= 10 * own, f"{name}: {error / value.norm():.1e}, plain {own:.1e}"


def _everything(supernet: CellSupernet, size: tuple[int, int]) -> None:
    plain = plain_cell.PlainSupernet(supernet)
    noisy = copy.deepcopy(plain)
    with torch.no_grad():
        for parameter in noisy.parameters():
            parameter.mul_(1 + 1e-13 * torch.randn_like(parameter))
    images = torch.rand(2, 2, *size, dtype=torch.float64, requires_grad=True)
    values, slopes = _slopes(supernet, images)
    expected, others = _slopes(plain, images)
    control, around = _slopes(noisy, images)
    _compare(values, expected, control)
    names = [name for name, _ in plain.named_parameters()]
    _compare(
        _by_edge(supernet, slopes),
        dict(zip(names, others, strict=True)),
        dict(zip(names, around, strict=True)),
    )
    buffers = plain_cell.by_edge(supernet)
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(buffers[name], buffer, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_values_gradients_second_derivatives_and_statistics_are_those_of_the_plain_network(
    normalisation: Normalisation,
) -> None:
    _everything(_supernet(normalisation), (64, 64))


@pytest.mark.parametrize("name", SETTINGS)
def test_it_is_the_plain_network_at_other_settings(name: str) -> None:
    options = dict(SETTINGS[name])
    size = options.pop("size", (64, 64))
    _everything(_supernet(**options), size)


@pytest.fixture
def _compiled() -> Iterator[None]:
    pytest.importorskip("numba", reason="kernels need numba")
    choose_kernels("compiled")
    yield
    choose_kernels("auto")


@pytest.mark.usefixtures("_compiled")
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_kernels_compute_the_plain_network(
    normalisation: Normalisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of odd sizes, in each operation, with one thread and with two."""
    odd = normalisation == "instance"
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1 + odd)
    nodes = 3 if normalisation == "group" else 1
    _everything(_supernet(normalisation, 16, nodes=nodes), (67, 49) if odd else (64, 64))


@pytest.mark.usefixtures("_compiled")
def test_kernels_keep_less_than_half_of_what_the_plain_network_keeps() -> None:
    supernet = _supernet(channels=16)
    images = torch.rand(2, 2, 64, 64, dtype=torch.float64)
    assert _kept(supernet, images) < 0.5 * _kept(plain_cell.PlainSupernet(supernet), images)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_after_training_it_evaluates_as_the_plain_network(normalisation: Normalisation) -> None:
    supernet = _supernet(normalisation)
    images = torch.rand(2, 2, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        supernet(images)
        supernet.eval()
        plain = plain_cell.PlainSupernet(supernet)
        torch.testing.assert_close(supernet(images), plain(images), rtol=1e-9, atol=1e-12)


def _frozen(supernet: CellSupernet, images: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    for parameter in supernet.parameters():
        parameter.requires_grad_(any(parameter is each for each in inputs))
    return list(torch.autograd.grad(supernet(images).square().sum(), inputs))


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_freezing_weights_changes_no_other_gradient(normalisation: Normalisation) -> None:
    supernet = _supernet(normalisation).eval()
    images = torch.rand(2, 2, 64, 64, dtype=torch.float64, requires_grad=True)
    loss = supernet(images).square().sum()
    every = torch.autograd.grad(loss, [images, *supernet.alphas()])
    still = images.detach()
    ours = [*_frozen(supernet, images, [images]), *_frozen(supernet, still, supernet.alphas())]
    for one, other in zip(ours, every, strict=True):
        torch.testing.assert_close(one, other)


def test_weights_start_as_those_of_single_convolutions() -> None:
    """Uniform within 1 / sqrt(inputs of an output), edge by edge."""
    torch.manual_seed(0)
    supernet = CellSupernet(2, channels=16, layout="N")
    limits = {"sep_conv_5x5.1": 25, "sep_conv_5x5.6": 16, "dil_conv_3x3.1": 9, "last.1": 64 * 3 / 4}
    for part, inputs in limits.items():
        values = [v for name, v in supernet.of_edges().items() if f"{part}.weight" in name]
        largest = torch.cat([value.flatten() for value in values]).abs().max()
        assert 0.98 * inputs**-0.5 < float(largest) <= inputs**-0.5


FREE = {
    getattr(torch.ops.aten, name)
    for name in ("empty", "empty_like", "new_empty", "_unsafe_view", "detach", "empty_strided")
}


class Counter(TorchDispatchMode):
    """Counts operations that compute something: not views, nor what only asks for memory."""

    count = 0

    def __torch_dispatch__(self, operation: Any, _: Any, given: Any = (), named: Any = None) -> Any:
        self.count += not operation.is_view and operation.overloadpacket not in FREE
        return operation(*given, **(named or {}))


def test_it_launches_a_fraction_of_the_operations() -> None:
    supernet = _supernet(nodes=4)
    images = torch.rand(2, 2, 64, 64, dtype=torch.float64)
    counts = []
    for network in (supernet, plain_cell.PlainSupernet(supernet)):
        with Counter() as counter:
            torch.autograd.grad(network(images).sum(), list(network.parameters()))
        counts.append(counter.count)
    assert counts[0] < 0.75 * counts[1], counts


def test_frozen_weights_keep_fewer_tensors_for_the_backward_pass() -> None:
    supernet = _supernet()
    images = torch.rand(2, 2, 64, 64, dtype=torch.float64)

    every = _kept(supernet, images)
    for weight in supernet.weights():
        weight.requires_grad_(False)
    assert _kept(supernet, images) < 0.65 * every


def _kept(network: nn.Module, images: Tensor) -> int:
    """Bytes that wait for the backward pass."""
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        verdicts = network(images)
    assert verdicts.requires_grad
    return sum(storages.values())
