"""Single paths: one operation of each edge, drawn for each pass (GDAS, Dong & Yang 2019).

    o = argmax(log p + g),   p~ = softmax((log p + g) / T),   g_i = -log(-log u_i)

p is the softmax of alpha, g the noise of Gumbel: it is added to logarithms of probabilities, so
that operation i is drawn with probability p_i. Forward, the drawn operation counts as 1; backward,
its share is p~_o (Eq. 5 to 7). No other operation is computed, so none but p~_o has a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from search_spaces.cell_genotype import CellKind


class PathSampler(nn.Module):
    """Draws a path for the cells of each kind, which share it as they share alpha.

    Noise comes from torch's own generator of the device of alpha, as that of dropout. In evaluation
    mode nothing is drawn, and the path is the most probable one.

    Attributes:
        temperature: T > 0 of the backward pass. The lower it is, the nearer is the share to 1 or 0.
        agree: what is made of the noise that was drawn: where several processes search together,
            that of one of them.
    """

    agree: Callable[[Tensor], Tensor]

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature
        self.agree = as_drawn
        self._holds = False
        self._held: dict[CellKind, Tensor] = {}

    def forward(self, alphas: Mapping[CellKind, Tensor]) -> dict[CellKind, tuple[Tensor, Tensor]]:
        """The shares of operations, and the path, of each kind of cell.

        Args:
            alphas: (edges, operations) each.

        Returns:
            Shares (edges, operations), of which one in each row is 1 and the others are 0, with the
            gradient of p~; path (edges,), the columns of the former, in the memory of the CPU.
        """
        noise = self._noise(alphas)
        noisy = {kind: alpha.log_softmax(1) + noise[kind] for kind, alpha in alphas.items()}
        paths = torch.cat([each.detach().argmax(dim=1) for each in noisy.values()]).cpu()
        sizes = [len(each) for each in noisy.values()]
        return {
            kind: (straight_through(each / self.temperature), path)
            for (kind, each), path in zip(noisy.items(), paths.split(sizes), strict=True)
        }

    @contextmanager
    def one_path(self) -> Iterator[None]:
        """Let all passes in this context take the path of the first of them."""
        if self._holds:
            yield
            return
        self._holds = True
        try:
            yield
        finally:
            self._holds, self._held = False, {}

    def _noise(self, alphas: Mapping[CellKind, Tensor]) -> Mapping[CellKind, Tensor]:
        if not self.training:
            return {kind: torch.zeros_like(alpha) for kind, alpha in alphas.items()}
        noise = self._held or {
            kind: self.agree(gumbel_like(alpha)) for kind, alpha in alphas.items()
        }
        if self._holds:
            self._held = dict(noise)
        return noise


def as_drawn(noise: Tensor) -> Tensor:
    """The noise."""
    return noise


def gumbel_like(values: Tensor) -> Tensor:
    """Independent standard Gumbel numbers, by torch's generator, finite."""
    smallest = torch.finfo(values.dtype).tiny
    uniform = torch.empty_like(values, requires_grad=False).exponential_()
    return -uniform.clamp_min(smallest).log()


def straight_through(logits: Tensor) -> Tensor:
    """1 for the largest of each row (edges, operations), else 0, with the softmax's gradient."""
    soft = logits.softmax(dim=1)
    hard = torch.zeros_like(soft).scatter_(1, soft.detach().argmax(dim=1, keepdim=True), 1.0)
    return hard + (soft - soft.detach())


@contextmanager
def one_path(network: nn.Module) -> Iterator[None]:
    """Let all passes through a network in this context take one path, where paths are drawn."""
    with ExitStack() as stack:
        for module in network.modules():
            if isinstance(module, PathSampler):
                stack.enter_context(module.one_path())
        yield


def linear_temperature(first: float, last: float, epoch: int, epochs: int) -> float:
    """The temperature of an epoch, counted from 0: from that of the first to that of the last."""
    share = epoch / max(epochs - 1, 1)
    return (1 - share) * first + share * last
