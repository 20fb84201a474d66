"""Networks as files that other programs load: ONNX, or a torch.export program.

A file is written once what it computes has been compared with the network, on other images than it
was traced with.
"""

from __future__ import annotations

import copy
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as tracing

from nas.errors import RunError, UsageError
from nas.run_networks import RunNetwork
from nas.runs import atomic_write
from nas.version import __version__
from search_spaces.description import Role

Size: TypeAlias = tuple[int, int]
Runner: TypeAlias = Callable[[Tensor], Tensor]

FORMAT = "discriminator-nas/network"
DESCRIPTION = "description.json"
"""Name of the extra file of a torch.export program that holds its description."""

INPUTS: Mapping[Role, str] = {"segmenter": "images", "discriminator": "maps"}
OUTPUT = "logits"

TRACED_BATCH, TRACED_SIZE = 2, (97, 129)
CHECKED_BATCHES, CHECKED_SIZES = (1, 3), ((131, 101), (64, 160))
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-4, 1e-5
ONNX_BYTES = 2**31 - 2**20
"""What the weights in a single ONNX file may take: protobuf ends at 2 GiB."""

ADVICE = "Give one size that all images will have by --size HEIGHT WIDTH"


@dataclass(frozen=True)
class Exported:
    """What became of an export.

    Attributes:
        path: the file.
        difference: largest absolute difference of a logit from the network's.
        shapes: of the inputs that were compared, (N, C, H, W).
    """

    path: Path
    difference: float
    shapes: tuple[tuple[int, ...], ...]

    def __str__(self) -> str:
        shapes = " and ".join("x".join(map(str, shape)) for shape in self.shapes)
        return f"compared with the original on {shapes}: differs by {self.difference:.2g} at most"


def export_network(
    network: RunNetwork, form: str, path: Path, size: Size | None = None
) -> Exported:
    """Write a network of a run as ``onnx`` or ``torch``; see `export_onnx` and `export_torch`."""
    exporters: dict[str, Callable[..., Exported]] = {
        "onnx": partial(export_onnx, input_name=INPUTS[network.role]),
        "torch": export_torch,
    }
    return exporters[form](
        network.network, network.in_channels, path, description=network.description, size=size
    )


def export_onnx(
    network: nn.Module,
    in_channels: int,
    path: Path,
    *,
    input_name: str = "images",
    description: Mapping[str, str] | None = None,
    size: Size | None = None,
) -> Exported:
    """Write a network in evaluation mode as one ONNX file.

    Its input is float32 (batch, in_channels, height, width) under ``input_name``, its output
    ``logits``. The network stays as it is.

    Args:
        network: float (N, in_channels, H, W) to logits.
        in_channels: channels of its input, >= 1.
        path: file to write; an old one is replaced once the new one is known to be right.
        input_name: name of the input.
        description: becomes the file's ``metadata_props``.
        size: the only height and width that the file will take; by default any.

    Raises:
        UsageError: onnx, onnxscript or onnxruntime is not installed.
        RunError: the network cannot be exported, or the file does not compute what it does.
    """
    _require("onnx", "onnxscript", "onnxruntime")
    _refuse_large(network)
    described = _with_defaults(description)

    def encode(program: ExportedProgram) -> bytes:
        return _onnx_bytes(program, input_name, described, size)

    return _export(network, in_channels, path, size, encode, _onnx_runner)


def export_torch(
    network: nn.Module,
    in_channels: int,
    path: Path,
    *,
    description: Mapping[str, str] | None = None,
    size: Size | None = None,
) -> Exported:
    """Write a network in evaluation mode as a program for ``torch.export.load``.

    As `export_onnx`; the description is the extra file ``description.json``.

    Raises:
        RunError: the network cannot be exported, or the file does not compute what it does.
    """
    extra = {DESCRIPTION: json.dumps(_with_defaults(description), ensure_ascii=False)}

    def encode(program: ExportedProgram) -> bytes:
        content = io.BytesIO()
        with _quiet():
            torch.export.save(program, content, extra_files=extra)
        return content.getvalue()

    return _export(network, in_channels, path, size, encode, _torch_runner)


def _export(
    network: nn.Module,
    in_channels: int,
    path: Path,
    size: Size | None,
    encode: Callable[[ExportedProgram], bytes],
    open_runner: Callable[[bytes], Runner],
) -> Exported:
    """Trace, encode, read back, compare, write."""
    still = copy.deepcopy(network).cpu().eval()
    examples = [(images, _answer(still, images)) for images in _inputs(in_channels, size)]
    content = _encoded(still, in_channels, size, encode)
    differences = _compare(open_runner(content), examples, size)
    with atomic_write(path) as stream:
        stream.write(content)
    return Exported(path, max(differences), tuple(tuple(images.shape) for images, _ in examples))


def _inputs(in_channels: int, size: Size | None) -> list[Tensor]:
    """Inputs to compare on: other batches and, where they are free, other sizes than the traced."""
    generator = torch.Generator().manual_seed(0)
    sizes = CHECKED_SIZES if size is None else (size,) * len(CHECKED_BATCHES)
    return [
        torch.rand(batch, in_channels, *each, generator=generator)
        for batch, each in zip(CHECKED_BATCHES, sizes, strict=True)
    ]


@torch.no_grad()
def _answer(network: nn.Module, images: Tensor) -> Tensor:
    try:
        logits: Tensor = network(images)
    except (RuntimeError, ValueError, IndexError) as error:
        raise RunError(
            f"The network itself does not take {_shape(images)} values ({_reason(error)}). "
            f"{ADVICE}, one that it takes."
        ) from error
    if not logits.isfinite().all():
        raise RunError("The network's logits are not finite, so there is nothing to compare with.")
    return logits


def _encoded(
    network: nn.Module,
    in_channels: int,
    size: Size | None,
    encode: Callable[[ExportedProgram], bytes],
) -> bytes:
    try:
        return encode(_traced(network, in_channels, size))
    except Exception as error:  # exporters raise nearly anything
        advice = f" {ADVICE}, or choose another format." if size is None else ""
        raise RunError(f"The network cannot be exported ({_reason(error)}).{advice}") from error


def _traced(network: nn.Module, in_channels: int, size: Size | None) -> ExportedProgram:
    """The network as a program that takes what it can, and names no file that it was traced from.

    As in torch's ONNX exporter, tracing draws no conclusion from a size that is 0, 1 or that of
    the example. Without its example, a program does not ask either whether an input is laid out
    in memory as the example was. Two other inputs have to show that it is right for them.
    """
    example = torch.zeros(TRACED_BATCH, in_channels, *(size or TRACED_SIZE))
    free = (0,) if size is not None else (0, 2, 3)
    with _quiet(), tracing.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
        program = torch.export.export(
            network, (example,), dynamic_shapes=(dict.fromkeys(free, Dim.DYNAMIC),), strict=False
        )
    program.example_inputs = None
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def _onnx_bytes(
    program: ExportedProgram, input_name: str, description: Mapping[str, str], size: Size | None
) -> bytes:
    import onnx

    names = {0: "batch"} if size is not None else {0: "batch", 2: "height", 3: "width"}
    pooling = {torch.ops.aten.adaptive_avg_pool2d.default: _pooled_by_matrices}
    with _quiet():
        exported = torch.onnx.export(
            program.run_decompositions(pooling),
            dynamo=True,
            input_names=[input_name],
            output_names=[OUTPUT],
            dynamic_shapes=(names,),
        )
    assert exported is not None
    model = exported.model_proto
    model.producer_name, model.producer_version = "discriminator-nas", __version__
    onnx.helper.set_model_props(model, dict(description))
    content: bytes = model.SerializeToString()
    return content


def _pooled_by_matrices(features: Tensor, size: Sequence[int]) -> Tensor:
    """Adaptive average pooling as matrices times (..., H, W), for sizes that are not known yet.

    ONNX has no operator for it, and torch would unroll it into one mean for each position.
    """
    if tuple(size) == (1, 1):
        return features.mean(dim=(-2, -1), keepdim=True)
    rows, columns = (
        _means_of_bins(features.shape[axis], bins, features)
        for axis, bins in zip((-2, -1), size, strict=True)
    )
    return rows @ features @ columns.mT


def _means_of_bins(length: int, bins: int, like: Tensor) -> Tensor:
    """(bins, length): bin i is the mean from floor(i * length / bins) to the ceiling of its end."""
    place = torch.arange(length, device=like.device)
    number = torch.arange(bins, device=like.device)[:, None]
    first, end = number * length // bins, ((number + 1) * length + bins - 1) // bins
    inside = ((first <= place) & (place < end)).to(like.dtype)
    return inside / inside.sum(dim=1, keepdim=True)


def _onnx_runner(content: bytes) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    return lambda images: torch.from_numpy(session.run([OUTPUT], {entry.name: images.numpy()})[0])


def _torch_runner(content: bytes) -> Runner:
    with _quiet():
        return torch.export.load(io.BytesIO(content)).module()


@torch.no_grad()
def _compare(
    runner: Runner, examples: Sequence[tuple[Tensor, Tensor]], size: Size | None
) -> list[float]:
    """The largest difference of each answer from what is expected.

    Raises:
        RunError: the file fails, or differs by more than float32 can explain.
    """
    advice = "." if size is not None else f". {ADVICE}, or choose another format."
    differences = []
    for images, expected in examples:
        try:
            answer = runner(images)
        except Exception as error:  # onnxruntime has exceptions of its own
            raise RunError(
                f"The exported network does not take {_shape(images)} values "
                f"({_reason(error)}), so it was not written{advice}"
            ) from error
        if answer.shape != expected.shape:
            raise RunError(
                f"The exported network makes {_shape(answer)} values of {_shape(images)}, the "
                f"original {_shape(expected)}, so it was not written{advice}"
            )
        difference = (answer - expected).abs().max().item()
        scale = expected.abs().max().item()
        if not difference <= ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * scale:
            raise RunError(
                f"The exported network differs from the original by {difference:.2g} in logits of "
                f"up to {scale:.2g} at {_shape(images)} values, so it was not written{advice}"
            )
        differences.append(difference)
    return differences


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what exporters print, log and warn of from the terminal; exceptions come through."""
    disabled = logging.root.manager.disable
    logging.disable(max(disabled, logging.WARNING))
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _require(*packages: str) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"Writing ONNX needs {', '.join(missing)}, which this Python does not have: "
            "pip install 'discriminator-nas[export]'."
        )


def _refuse_large(network: nn.Module) -> None:
    tensors = [*network.parameters(), *network.buffers()]
    weight = sum(each.numel() * each.element_size() for each in tensors)
    if weight > ONNX_BYTES:
        raise RunError(
            f"The network's weights take {weight / 2**30:.1f} GiB, and an ONNX file holds less "
            "than 2: use --format torch."
        )


def _with_defaults(description: Mapping[str, str] | None) -> dict[str, str]:
    return {"format": FORMAT, "version": __version__, **(description or {})}


def _shape(values: Tensor) -> str:
    return "x".join(map(str, values.shape))


def _reason(error: BaseException) -> str:
    """The first line of what it all began with."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:160].rstrip(".")
