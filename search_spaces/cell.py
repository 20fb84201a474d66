"""The cell space: networks of stacked cells, relaxed for the search and discrete after it.

A cell is a directed acyclic graph of feature maps (Liu et al. 2019, section 2.1). Both networks
are the same stack; what stands on an edge differs: all operations, weighted, or the chosen one.
Images are (N, in_channels, H, W), verdicts (N, outputs) logits; any H and W from 32 on will do.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from search_spaces import cell_genotype
from search_spaces.cell_genotype import (
    INPUTS,
    OPERATIONS,
    CellGenotype,
    CellKind,
    Ends,
    Network,
    Relaxation,
)
from search_spaces.derivation import derive
from search_spaces.description import Normalisation
from search_spaces.normalisation import conv2d, linear
from search_spaces.operations import FactorisedReduction, ReluConvNorm, Style, build_operation
from search_spaces.partial_cell import PartialCell
from search_spaces.path_sampling import PathSampler
from search_spaces.relaxation import ArchitectureParameters
from search_spaces.relaxed_cell import RelaxedCell
from search_spaces.sampled_cell import SampledCell
from search_spaces.supernet import Supernet

KINDS: Mapping[str, CellKind] = {"N": "normal", "R": "reduction"}


@dataclass(frozen=True)
class Place:
    """Where a cell stands: what it is fed and what it makes of it.

    ``before`` and ``last`` are the channels of its two inputs (the outputs of the cell before the
    last and of the last cell), ``channels`` those of each of its nodes. ``halved`` says that the
    last cell was a reduction cell, so that the first input is twice as large as the second.
    """

    kind: CellKind
    before: int
    last: int
    channels: int
    halved: bool

    def stride(self, source: int) -> int:
        """Stride of an edge: a reduction cell halves on the edges from its inputs."""
        return 2 if self.kind == "reduction" and source < INPUTS else 1


class Cell(nn.Module):
    """Two inputs, intermediate nodes that are the sums of their edges, output by concatenation.

    Args:
        place: where the cell stands.
        edges: module on each edge (source, target), ordered by target.
        concat: the nodes that make the output.
        style: how the modules that bring the inputs to one shape are built.
    """

    def __init__(
        self,
        place: Place,
        edges: Mapping[tuple[int, int], nn.Module],
        concat: Sequence[int],
        style: Style,
    ) -> None:
        super().__init__()
        self.before, self.last = bring(place, style)
        self.edges = nn.ModuleDict({f"{s}_{t}": module for (s, t), module in edges.items()})
        self.wiring = tuple(edges)
        self.concat = tuple(concat)
        self.out_channels = len(concat) * place.channels

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        """Output of the cell, from the outputs of the cell before the last and of the last."""
        nodes = {0: self.before(before), 1: self.last(last)}
        for (source, target), edge in zip(self.wiring, self.edges.values(), strict=True):
            term = edge(nodes[source])
            nodes[target] = nodes[target] + term if target in nodes else term
        return torch.cat([nodes[node] for node in self.concat], dim=1)


class CellStack(nn.Module):
    """Head, cells, bottom: what the relaxed and the discrete network share.

    The ends of a discriminator are those of Dong et al. 2019 (3x3 convolution and 2x2 max pooling;
    global average pooling and one linear layer), with a ReLU before the average. Without it the
    average of normalised maps says nothing: it is the same for each image under instance norm, and
    its mean over a batch is the same for each batch under batch norm, so that masks and forgeries
    that pass separately get the same mean verdict. The ends of a classifier are those of DARTS on
    CIFAR, which has neither the pooling in the head nor the ReLU.

    Args:
        network: how the cells are stacked.
        in_channels: channels of the images.
        outputs: logits for each image.
        style: how convolutions are normalised.
        make_cell: builds the cell for a place.

    Attributes:
        recompute: keep only the outputs of cells for the backward pass and compute a cell's inside
            again when its gradient is due (Chen et al. 2016): the same gradients in less memory and
            more time. Running statistics then take in every batch twice.
    """

    recompute: bool = False

    def __init__(
        self,
        network: Network,
        in_channels: int,
        outputs: int,
        style: Style,
        make_cell: Callable[[Place], nn.Module],
    ) -> None:
        super().__init__()
        self.network = network
        last = network.stem_multiplier * network.channels
        self.head = _head(network.ends, in_channels, last, style)
        self.cells = nn.ModuleList()
        before, channels, halved = last, network.channels, False
        for letter in network.layout:
            channels *= 2 if letter == "R" else 1
            cell = make_cell(Place(KINDS[letter], before, last, channels, halved))
            self.cells.append(cell)
            before, last, halved = last, _out_channels(cell), letter == "R"
        self.bottom = linear(style.normalisation, last, outputs)

    def stack(self, images: Tensor, probabilities: Mapping[CellKind, tuple[Tensor, ...]]) -> Tensor:
        """Logits (N, outputs), or (N, outputs, H, W) of a discriminator of pixels.

        The latter come from the last cell's positions, between which they are bilinear.
        ``probabilities`` holds what the cells of each kind are given.
        """
        before = last = self.head(images.contiguous(memory_format=_memory_format(images)))
        for letter, cell in zip(self.network.layout, self.cells, strict=True):
            before, last = last, self._run(cell, before, last, *probabilities[KINDS[letter]])
        return self.verdicts(last, images.shape[2:])

    def verdicts(self, last: Tensor, size: Sequence[int]) -> Tensor:
        """Logits, see `stack`, for images of a size, from the output of the last cell."""
        if self.network.ends != "classifier":
            last = functional.relu(last)
        if self.network.ends == "pixel_discriminator":
            verdicts = self.bottom(last.movedim(1, -1)).movedim(-1, 1)
            return functional.interpolate(verdicts, size=size, mode="bilinear", align_corners=False)
        logits: Tensor = self.bottom(last.mean(dim=(2, 3)))
        return logits

    def _run(self, cell: nn.Module, *inputs: Tensor) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            output: Tensor = checkpoint(
                cell, *inputs, use_reentrant=False, preserve_rng_state=False
            )
            return output
        return cell(*inputs)


class CellNetwork(CellStack):
    """The discrete network of a genotype.

    Args:
        genotype: its cells and how they are stacked.
        in_channels: channels of the images, >= 1.
        outputs: logits for each image, or pixel.
        affine: norm layers in cells have a learned scale and shift.
        pool_norm: a norm layer stands behind each pooling.
    """

    def __init__(
        self,
        genotype: CellGenotype,
        in_channels: int,
        outputs: int = 1,
        *,
        affine: bool = True,
        pool_norm: bool = False,
    ) -> None:
        style = Style(genotype.network.normalisation, affine, pool_norm)

        def make_cell(place: Place) -> Cell:
            cell: cell_genotype.Cell = getattr(genotype, place.kind)
            edges: dict[tuple[int, int], nn.Module] = {}
            for target, incoming in enumerate(cell.nodes, start=INPUTS):
                for source, name in sorted((edge.source, edge.operation) for edge in incoming):
                    module = build_operation(name, place.channels, place.stride(source), style)
                    edges[source, target] = nn.Sequential(OrderedDict({name: module}))
            return Cell(place, edges, cell.concat, style)

        super().__init__(genotype.network, in_channels, outputs, style, make_cell)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see `stack`, of images (N, in_channels, H, W)."""
        return self.stack(images, {"normal": (), "reduction": ()})


class CellSupernet(CellStack, Supernet):
    """The relaxed network: every edge of every cell mixes all candidate operations.

    Cells of one kind share their architecture parameters. As in the search of DARTS, norm layers
    in cells have no scale and shift, and one stands behind each pooling.

    Args:
        in_channels: channels of the images, >= 1.
        outputs: logits for each image.
        channels, layout, normalisation, stem_multiplier, sees_image, ends: as in `Network`.
        nodes: intermediate nodes of a cell, >= 1.
        operations: candidate operations, at least one other than `none`.
        edges_per_node: edges kept per node when a genotype is derived.
        generator: draws the initial architecture parameters; by default torch's own.
        partial_channels: k; mixed operations see one of so many parts of the channels, and edges
            have parameters too, unless it is 1 (Xu et al. 2020).
        single_path: each pass goes through one operation of each edge, drawn anew by ``sampler``
            (Dong & Yang 2019), in evaluation mode through the most probable one.

    Raises:
        GenotypeError: the operations or the layout cannot be.
        ValueError: the channels cannot be divided, or both relaxations are asked for.
    """

    def __init__(
        self,
        in_channels: int,
        outputs: int = 1,
        *,
        channels: int = 16,
        layout: str = "NRNRNRN",
        nodes: int = 4,
        operations: Sequence[str] = OPERATIONS,
        edges_per_node: int = 2,
        normalisation: Normalisation = "batch",
        stem_multiplier: int = 3,
        sees_image: bool = False,
        ends: Ends = "discriminator",
        generator: torch.Generator | None = None,
        partial_channels: int = 1,
        single_path: bool = False,
    ) -> None:
        cell_genotype.check_operations(operations)
        if single_path and partial_channels > 1:
            raise ValueError("a single path goes through all channels: partial_channels must be 1")
        style = Style(normalisation, affine=False, pool_norm=True)
        network = Network(
            channels=channels,
            stem_multiplier=stem_multiplier,
            layout=layout,
            normalisation=normalisation,
            sees_image=sees_image,
            ends=ends,
            in_channels=in_channels,
            outputs=outputs,
        )

        build: Callable[..., RelaxedCell] = SampledCell if single_path else RelaxedCell
        if partial_channels > 1:
            build = partial(PartialCell, partial_channels)

        def make_cell(place: Place) -> RelaxedCell:
            stride, brought = place.stride(0), bring(place, style)
            return build(*brought, nodes, operations, place.channels, stride, style)

        super().__init__(network, in_channels, outputs, style, make_cell)
        self.operations = tuple(operations)
        self.edges_per_node = edges_per_node
        self.alpha = ArchitectureParameters(
            nodes, len(operations), generator, weigh_edges=partial_channels > 1
        )
        self.sampler = PathSampler() if single_path else None

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see `stack`, of images (N, in_channels, H, W)."""
        if self.sampler is not None:
            return self.stack(images, self.sampler(self.alpha.logits()))
        return self.stack(images, {kind: (rows,) for kind, rows in self.alpha.shares().items()})

    def alphas(self) -> list[nn.Parameter]:
        """The architecture parameters."""
        return list(self.alpha.parameters())

    def of_edges(self) -> dict[str, Tensor]:
        """All parameters and buffers by the names that a `CellNetwork` gives to its own."""
        values = {
            name: value
            for name, value in self.state_dict().items()
            if not name.startswith(("cells.", "alpha."))
        }
        for place, cell in enumerate(self.cells):
            assert isinstance(cell, RelaxedCell)
            values |= {f"cells.{place}.{name}": value for name, value in cell.of_edges()}
        return values

    def relaxation(self) -> Relaxation:
        """The architecture parameters as plain numbers, from which a genotype is derived."""
        return self.alpha.to_relaxation(self.operations)

    def genotype(self) -> CellGenotype:
        """The strongest edges with their best operations."""
        return derive(self.relaxation(), self.network, self.edges_per_node)


def inherit_weights(network: CellNetwork, supernet: CellSupernet) -> None:
    """Copy into a discrete network the weights that its operations have in the supernet.

    Raises:
        KeyError: the network has an operation or a norm layer that the supernet lacks.
        RuntimeError: their shapes differ.
    """
    weights = supernet.of_edges()
    network.load_state_dict({name: weights[name] for name in network.state_dict()})


def bring(place: Place, style: Style) -> tuple[nn.Module, nn.Module]:
    """What brings the two inputs of a cell to one shape."""
    build = FactorisedReduction if place.halved else ReluConvNorm
    before = build(place.before, place.channels, style)
    return before, ReluConvNorm(place.last, place.channels, style)


def _out_channels(cell: nn.Module) -> int:
    channels = cell.out_channels
    assert isinstance(channels, int)
    return channels


def _memory_format(images: Tensor) -> torch.memory_format:
    """Channels last, which makes depthwise convolutions up to twice as fast.

    Not so for bfloat16 on a CPU: there the weight gradient of a dilated 5x5 depthwise convolution
    with channels last is at times NaN (torch 2.13, oneDNN).
    """
    if images.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        return torch.contiguous_format
    return torch.channels_last


def _head(ends: Ends, in_channels: int, out_channels: int, style: Style) -> nn.Sequential:
    """Convolution and norm layer, which has a scale and shift in the supernet too."""
    head = nn.Sequential(
        conv2d(style.normalisation, in_channels, out_channels, 3, padding=1),
        replace(style, affine=True).norm(out_channels),
    )
    return head if ends == "classifier" else head.append(nn.MaxPool2d(2))
