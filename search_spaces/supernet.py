"""What every relaxed network of a search space has in common."""

from __future__ import annotations

from abc import abstractmethod

from torch import nn

from search_spaces.genotypes import Genotype


class Supernet(nn.Module):
    """A relaxed network: weights, architecture parameters, and the genotype these stand for."""

    @abstractmethod
    def alphas(self) -> list[nn.Parameter]:
        """The architecture parameters."""

    @abstractmethod
    def genotype(self) -> Genotype:
        """What the architecture parameters are decoded to, with the parameters beside it."""

    def weights(self) -> list[nn.Parameter]:
        """All parameters but the architecture parameters."""
        architecture = set(self.alphas())
        return [parameter for parameter in self.parameters() if parameter not in architecture]
