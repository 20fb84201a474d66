"""The continuous relaxation of a network's numbers: a distribution over networks.

Every number searched has a vector of architecture parameters, and its softmax says how probable
each candidate is. All numbers are drawn independently of each other, which makes every combination
of candidates, and so every network of the space, as probable as the product says.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, Generic

import torch
from torch import Tensor, nn

from search_spaces.description import GenotypeError
from search_spaces.parametric_genotypes import (
    Candidate,
    Choice,
    Choices,
    Parameters,
    combinations,
)
from search_spaces.supernet import Supernet


class ChoiceParameters(nn.Module, Generic[Parameters]):
    """Alpha of every number searched, and the distribution over networks that they stand for.

    Args:
        network: the numbers that are not searched.
        candidates: for each number searched, what it may be; one candidate is no choice.
        generator: draws the initial values, 1e-3 times standard normal; by default torch's own.

    Attributes:
        networks: every network of the space, in the order of `joint`.

    Raises:
        GenotypeError: a combination of candidates gives no network.
    """

    certain: Tensor

    def __init__(
        self,
        network: Parameters,
        candidates: Mapping[str, Sequence[Candidate]],
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.networks: tuple[Parameters, ...] = combinations(network, candidates)
        self.candidates = {name: tuple(values) for name, values in candidates.items()}
        self.alpha = nn.ParameterDict()
        for name, values in self.candidates.items():
            self.alpha[name] = nn.Parameter(1e-3 * torch.randn(len(values), generator=generator))
        self.register_buffer("certain", torch.ones(1), persistent=False)

    def probabilities(self) -> dict[str, Tensor]:
        """Softmax over the candidates of each number."""
        return {name: alpha.softmax(dim=0) for name, alpha in self.alpha.items()}

    def joint(self) -> Tensor:
        """Probability of each of ``networks``, (networks,)."""
        return reduce(torch.kron, self.probabilities().values(), self.certain)

    def one_hot(self, network: Parameters) -> Tensor:
        """The distribution under which the network is certain, (networks,).

        Raises:
            GenotypeError: it is not one of ``networks``.
        """
        if network not in self.networks:
            raise GenotypeError(f"{network} is not in the space that was searched")
        joint = self.certain.new_zeros(len(self.networks))
        joint[self.networks.index(network)] = 1
        return joint

    def to_choices(self) -> Choices:
        """The values as plain numbers.

        Nine significant digits are kept, which restore every float32 exactly.
        """
        return Choices(
            {
                name: Choice(
                    values, tuple(float(f"{value:.9g}") for value in self.alpha[name].tolist())
                )
                for name, values in self.candidates.items()
            }
        )


class ParametricSupernet(Supernet):
    """A relaxed network whose architecture parameters are a distribution over networks.

    Attributes:
        choices: the architecture parameters.
    """

    choices: ChoiceParameters[Any]

    def forward(self, images: Tensor) -> Tensor:
        """The output under the probabilities that the architecture parameters stand for."""
        return self.expectation(images, self.choices.joint())

    @abstractmethod
    def expectation(self, images: Tensor, joint: Tensor) -> Tensor:
        """The output under other probabilities of the networks, (networks,)."""

    def alphas(self) -> list[nn.Parameter]:
        """The architecture parameters, a vector for each number searched."""
        return list(self.choices.parameters())


def check_relaxable(network: Parameters) -> int:
    """The number of input channels of a network that is to be relaxed.

    Raises:
        GenotypeError: it is not known, or the normalisation is spectral: the largest singular value
            of shared weights is not that of their part in a narrower network.
    """
    if network.in_channels is None:
        raise GenotypeError("in_channels is not known: a relaxed network needs it")
    if network.normalisation == "spectral":
        raise GenotypeError(
            "spectral normalisation cannot be relaxed, as it depends on the widths; choose batch, "
            "instance, group or none"
        )
    return network.in_channels
