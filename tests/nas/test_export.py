"""Exported files: what other programs compute with them, and what is refused."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import search_spaces
from nas import export
from nas.discriminators import DISCRIMINATORS
from nas.errors import RunError, UsageError
from nas.export import Exported, export_network, export_onnx, export_torch
from nas.run_networks import RunNetwork
from nas.segmenters import SEGMENTERS
from search_spaces import cell_genotype
from search_spaces.cell_genotype import OPERATIONS, Cell, CellGenotype, Edge
from search_spaces.genotypes import Genotype
from search_spaces.parametric_genotypes import (
    ConcatenationFCN,
    ConcatenationFCNGenotype,
    FlexVGG,
    FlexVGGGenotype,
)

IN_CHANNELS = 3
CLASSES = 4
Network: TypeAlias = Callable[[Tensor], Tensor]
THIN = {"width": 4, "channels": 4, "middle_modules": 1}
"""Options that make a network small, for those networks that have them."""

WHOLE_CELL = Cell(
    (
        tuple(Edge(name, number % 2) for number, name in enumerate(OPERATIONS[1:3])),
        tuple(Edge(name, number) for number, name in enumerate(OPERATIONS[3:6])),
        tuple(Edge(name, number + 1) for number, name in enumerate(OPERATIONS[6:])),
    ),
    (2, 3, 4),
)
"""A cell with every operation on an edge."""

GENOTYPES: dict[str, Genotype] = {
    "cell": CellGenotype(
        WHOLE_CELL,
        WHOLE_CELL,
        cell_genotype.Network(channels=4, layout="NR", normalisation="group"),
    ),
    "flexvgg": FlexVGGGenotype(FlexVGG(channels=2, blocks=2, features=8)),
    "concatenation_fcn": ConcatenationFCNGenotype(
        ConcatenationFCN(channels=2, blocks=3, outputs=CLASSES)
    ),
}
"""A thin network of every search space."""


def thin(table: Mapping[str, tuple[str, str]], name: str, *ends: int) -> nn.Module:
    """A network of a table as small as its options allow, its norm layers no longer new."""
    constructor = search_spaces.find(table[name][0])
    parameters = inspect.signature(constructor, eval_str=True).parameters
    options = {
        option: value
        for option, value in THIN.items()
        if option in parameters and parameters[option].annotation is int
    }
    return used(constructor(*ends, **options))


def used(network: nn.Module) -> nn.Module:
    """With running statistics that differ from what they begin with."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return network


def networks() -> dict[str, Callable[[], nn.Module]]:
    """Every network that can be named, by its name."""
    found: dict[str, Callable[[], nn.Module]] = {}
    for name in SEGMENTERS:
        found[name] = lambda name=name: thin(SEGMENTERS, name, IN_CHANNELS, CLASSES)
    for name in DISCRIMINATORS:
        found[name] = lambda name=name: thin(DISCRIMINATORS, name, IN_CHANNELS)
    for space in search_spaces.SPACES:
        found[f"space {space}"] = lambda space=space: used(
            search_spaces.build(GENOTYPES[space], in_channels=IN_CHANNELS)
        )
    return found


NETWORKS = networks()


def answer(network: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return network.eval()(images)


def open_onnx(path: Path) -> Network:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    return lambda images: torch.from_numpy(session.run(["logits"], {entry.name: images.numpy()})[0])


def open_torch(path: Path) -> Network:
    return torch.export.load(path).module()


def compare(found: Network, network: nn.Module) -> None:
    """On sizes and batches that neither the export nor its own check has seen."""
    for shape in ((1, IN_CHANNELS, 67, 121), (4, IN_CHANNELS, 32, 32)):
        images = torch.rand(shape)
        expected = answer(network, images)
        scale = expected.abs().max().item()
        with torch.no_grad():
            assert torch.allclose(found(images), expected, rtol=0, atol=1e-5 + 1e-4 * scale)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_becomes_a_program(name: str, tmp_path: Path) -> None:
    network = NETWORKS[name]()
    exported = export_torch(network, IN_CHANNELS, tmp_path / "network.pt2")
    assert exported.path == tmp_path / "network.pt2"
    compare(open_torch(exported.path), network)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_becomes_onnx(name: str, tmp_path: Path) -> None:
    network = NETWORKS[name]()
    exported = export_onnx(network, IN_CHANNELS, tmp_path / "network.onnx")
    compare(open_onnx(exported.path), network)


def test_every_space_has_a_thin_network_here() -> None:
    assert set(GENOTYPES) == set(search_spaces.SPACES)


class Small(nn.Module):
    """Convolution, batch norm, dropout and a crop: what training and exporting may get wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(IN_CHANNELS, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.5)
        self.up = nn.ConvTranspose2d(4, CLASSES, 2, stride=2)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        features = self.dropout(torch.relu(self.norm(self.convolution(images))))
        return self.up(features)[..., :height, :width]


@pytest.fixture
def small() -> nn.Module:
    return used(Small())


def test_onnx_computes_what_the_network_does(small: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "network.onnx"
    exported = export_onnx(small, IN_CHANNELS, path)
    compare(open_onnx(path), small)
    assert [each.name for each in path.parent.iterdir()] == ["network.onnx"]
    assert exported.shapes == ((1, IN_CHANNELS, 131, 101), (3, IN_CHANNELS, 64, 160))
    assert 0 <= exported.difference < 1e-4
    assert str(exported) == (
        "compared with the original on 1x3x131x101 and 3x3x64x160: differs by "
        f"{exported.difference:.2g} at most"
    )


def test_onnx_says_what_it_is(small: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    export_onnx(small, IN_CHANNELS, path, input_name="maps", description={"classes": '["é"]'})
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    shapes = {
        each.name: [dim.dim_param or dim.dim_value for dim in each.type.tensor_type.shape.dim]
        for each in (*model.graph.input, *model.graph.output)
    }
    assert shapes["maps"] == ["batch", IN_CHANNELS, "height", "width"]
    assert shapes["logits"][:2] == ["batch", CLASSES]
    assert {each.key: each.value for each in model.metadata_props} == {
        "format": "discriminator-nas/network",
        "version": export.__version__,
        "classes": '["é"]',
    }


def test_a_program_says_what_it_is(small: nn.Module, tmp_path: Path) -> None:
    export_torch(small, IN_CHANNELS, tmp_path / "network.pt2", description={"role": "segmenter"})
    found = {"description.json": ""}
    torch.export.load(tmp_path / "network.pt2", extra_files=found)
    described = json.loads(found["description.json"])
    assert described["format"] == "discriminator-nas/network"
    assert described["role"] == "segmenter"


@pytest.mark.parametrize(("role", "name"), [("segmenter", "images"), ("discriminator", "maps")])
def test_a_network_of_a_run_is_exported_by_its_role(
    small: nn.Module, tmp_path: Path, role: Any, name: str
) -> None:
    network = RunNetwork(role, small, IN_CHANNELS, {"role": role})
    onnx_file, program = tmp_path / "network.onnx", tmp_path / "network.pt2"
    export_network(network, "onnx", onnx_file, (48, 64))
    export_network(network, "torch", program, (48, 64))
    model = onnx.load(onnx_file)
    assert model.graph.input[0].name == name
    assert role in {each.value for each in model.metadata_props}
    images = torch.rand(5, IN_CHANNELS, 48, 64)
    expected = answer(small, images)
    for found in (open_onnx(onnx_file)(images), open_torch(program)(images)):
        assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("write", [export_onnx, export_torch])
def test_a_file_of_one_size_takes_only_that(
    small: nn.Module, tmp_path: Path, write: Callable[..., Exported]
) -> None:
    exported = write(small, IN_CHANNELS, tmp_path / "network", size=(48, 64))
    assert exported.shapes == ((1, IN_CHANNELS, 48, 64), (3, IN_CHANNELS, 48, 64))
    read = open_onnx if write is export_onnx else open_torch
    with pytest.raises(Exception, match="64|Guard|dimension"):
        read(exported.path)(torch.rand(1, IN_CHANNELS, 48, 80))


@pytest.mark.parametrize("write", [export_onnx, export_torch])
def test_the_network_stays_as_it_is(
    small: nn.Module, tmp_path: Path, write: Callable[..., Exported]
) -> None:
    small.train()
    before = {name: value.clone() for name, value in small.state_dict().items()}
    write(small, IN_CHANNELS, tmp_path / "network")
    assert all(module.training for module in small.modules())
    assert all(torch.equal(value, before[name]) for name, value in small.state_dict().items())


CHATTER = """
import logging, sys, torch, warnings
from pathlib import Path
from nas.export import export_onnx, export_torch
network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.InstanceNorm2d(4))
export_onnx(network, 3, Path(sys.argv[1]))
export_torch(network, 3, Path(sys.argv[2]))
print("out")
logging.warning("logged")
warnings.warn("warned")
"""


def test_exporters_are_silenced_and_nobody_else(tmp_path: Path) -> None:
    files = [tmp_path / "network.onnx", tmp_path / "network.pt2"]
    command = [sys.executable, "-c", CHATTER, *map(str, files)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout == "out\n"
    assert [line.split(":")[0] for line in found.stderr.splitlines()] == ["WARNING", "<string>"]
    assert all(file.is_file() for file in files)


@pytest.mark.parametrize("write", [export_onnx, export_torch])
def test_a_file_does_not_say_where_it_was_traced(
    small: nn.Module, tmp_path: Path, write: Callable[..., Exported]
) -> None:
    write(small, IN_CHANNELS, tmp_path / "network")
    assert str(Path(__file__).parents[1]).encode() not in (tmp_path / "network").read_bytes()


class Largest(nn.Sequential):
    """The largest values of 2x3 parts, for which ONNX has no operator unless the size is known."""

    def __init__(self) -> None:
        super().__init__(nn.AdaptiveMaxPool2d((2, 3)), nn.Flatten(), nn.Linear(6 * IN_CHANNELS, 1))


def test_a_global_average_stays_simple(tmp_path: Path) -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(IN_CHANNELS, 1))
    exported = export_onnx(network, IN_CHANNELS, tmp_path / "network")
    operators = {node.op_type for node in onnx.load(exported.path).graph.node}
    assert operators <= {"ReduceMean", "GlobalAveragePool", "Reshape", "Flatten", "Gemm"}


def test_what_onnxruntime_cannot_do_is_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """The product of matrices that do not fit, of which the file does not say their sizes."""
    value = onnx.helper.make_tensor_value_info
    product = onnx.helper.make_node("MatMul", ["images", "images"], ["logits"])
    ends = [
        value(name, onnx.TensorProto.FLOAT, ["rows", "columns"]) for name in ("images", "logits")
    ]
    graph = onnx.helper.make_graph([product], "product", ends[:1], ends[1:])
    opset = onnx.helper.make_opsetid("", 18)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)
    runner = export._onnx_runner(model.SerializeToString())
    assert runner(torch.ones(2, 2)).tolist() == [[2, 2], [2, 2]]
    with pytest.raises(Exception, match="(?i)dimension"):
        runner(torch.ones(2, 3))
    assert capfd.readouterr() == ("", "")


class Rigid(nn.Module):
    """Takes sides that are multiples of 32 alone, as networks of other libraries do."""

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[2] % 32 or images.shape[3] % 32:
            raise RuntimeError("Wrong input shape.\nIt must be divisible by 32.")
        return images


@pytest.mark.parametrize(
    ("network", "write", "words"),
    [
        (Largest(), export_onnx, r"cannot be exported \(No ONNX function found for .*max_pool2d"),
        (Rigid(), export_onnx, r"itself does not take 1x3x131x101 values \(Wrong input shape\)"),
        (Rigid(), export_torch, r"itself does not take 1x3x131x101 values \(Wrong input shape\)"),
    ],
    ids=["no operator", "onnx", "torch"],
)
def test_a_network_that_needs_one_size_is_told_so_and_exported_at_it(
    tmp_path: Path, network: nn.Module, write: Callable[..., Exported], words: str
) -> None:
    path = tmp_path / "network"
    with pytest.raises(RunError, match=f"{words}.*--size HEIGHT WIDTH"):
        write(network, IN_CHANNELS, path)
    assert not path.exists()
    images = torch.rand(4, IN_CHANNELS, 64, 96)
    read = open_onnx if write is export_onnx else open_torch
    exported = write(network, IN_CHANNELS, path, size=(64, 96))
    assert torch.allclose(read(exported.path)(images), answer(network, images), atol=1e-5)


def test_a_program_pools_whatever_the_size(tmp_path: Path) -> None:
    network = Largest()
    exported = export_torch(network, IN_CHANNELS, tmp_path / "network")
    compare(open_torch(exported.path), network)


@pytest.mark.parametrize("pooled", [(1, 1), (2, 3), (7, 1), (5, 64)])
@pytest.mark.parametrize("size", [(7, 7), (32, 31), (3, 100)])
def test_matrices_pool_as_torch_does(pooled: tuple[int, int], size: tuple[int, int]) -> None:
    features = torch.rand(2, 3, *size, dtype=torch.float64)
    expected = nn.functional.adaptive_avg_pool2d(features, pooled)
    assert torch.allclose(export._pooled_by_matrices(features, pooled), expected, atol=1e-12)


def test_onnx_pools_whatever_the_size(tmp_path: Path) -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d((5, 4)), nn.Flatten(), nn.Linear(60, 1))
    exported = export_onnx(network, IN_CHANNELS, tmp_path / "network")
    compare(open_onnx(exported.path), network)


@pytest.mark.parametrize("size", [None, (64, 96)])
def test_what_cannot_be_traced_is_said(tmp_path: Path, size: tuple[int, int] | None) -> None:
    class Undecided(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images if images.mean() > 0.1 else -images

    with pytest.raises(RunError, match="cannot be exported") as caught:
        export_torch(Undecided(), IN_CHANNELS, tmp_path / "network", size=size)
    assert ("--size" in str(caught.value)) == (size is None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("write", "spoil", "words"),
    [
        (export_onnx, lambda logits: logits * 1.01, "differs from the original by"),
        (export_torch, lambda logits: logits * 1.01, "differs from the original by"),
        (export_torch, lambda logits: logits * float("nan"), "differs from the original by nan"),
        (export_torch, lambda logits: logits[:, :1], "makes 1x1x131x101 values of 1x3x131x101"),
    ],
    ids=["onnx", "torch", "nan", "shape"],
)
def test_a_file_that_computes_something_else_is_not_written(
    small: nn.Module,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[..., Exported],
    spoil: Callable[[Tensor], Tensor],
    words: str,
) -> None:
    name = "_onnx_runner" if write is export_onnx else "_torch_runner"
    original = getattr(export, name)

    def spoilt(content: bytes) -> Callable[[Tensor], Tensor]:
        runner = original(content)
        return lambda images: spoil(runner(images))

    monkeypatch.setattr(export, name, spoilt)
    path = tmp_path / "network"
    path.write_text("the old one")
    with pytest.raises(RunError, match=words):
        write(small, IN_CHANNELS, path)
    assert path.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_network_that_has_diverged_is_refused(small: nn.Module, tmp_path: Path) -> None:
    with torch.no_grad():
        next(small.parameters()).fill_(float("nan"))
    with pytest.raises(RunError, match="not finite"):
        export_torch(small, IN_CHANNELS, tmp_path / "network.pt2")


def test_what_is_missing_is_named(
    small: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("onnxscript", "onnxruntime"):
        monkeypatch.setitem(sys.modules, package, None)
    expected = r"onnxscript, onnxruntime.*pip install 'discriminator-nas\[export\]'"
    with pytest.raises(UsageError, match=expected):
        export_onnx(small, IN_CHANNELS, tmp_path / "network.onnx")


def test_weights_beyond_protobuf_are_refused(tmp_path: Path) -> None:
    with torch.device("meta"):
        large = nn.Linear(2**15, 2**14)
    with pytest.raises(RunError, match=r"take 2\.0 GiB.*--format torch"):
        export_onnx(large, IN_CHANNELS, tmp_path / "network.onnx")


def test_a_folder_that_cannot_be_written_is_said(small: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="Cannot write"):
        export_torch(small, IN_CHANNELS, tmp_path / "file" / "network.pt2")


def test_an_unknown_form_is_an_error(small: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        export_network(RunNetwork("segmenter", small, 3, {}), "tflite", tmp_path / "network")
