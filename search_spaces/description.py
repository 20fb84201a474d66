"""What the descriptions of all search spaces share: their errors, their origin, their words.

Nothing here needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self, TypeAlias

import msgspec
from msgspec import Struct

Normalisation: TypeAlias = Literal["batch", "instance", "group", "spectral", "none"]
Role: TypeAlias = Literal["segmenter", "discriminator"]


class GenotypeError(ValueError):
    """A genotype that cannot be: the message says what is wrong, where, and what was expected."""


class Provenance(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a genotype comes from; every part is optional."""

    dataset: str | None = None
    backbone: str | None = None
    seed: int | None = None
    split_hash: str | None = None
    epoch: int | None = None
    settings: dict[str, Any] = {}
    versions: dict[str, str] = {}
    created: str | None = None


class Description(Struct, frozen=True):
    """What every genotype has: a ``network`` of plain numbers, and methods to change it.

    Attributes:
        role: which of the two networks of adversarial segmentation it describes.
    """

    role: ClassVar[Role]

    @property
    def space(self) -> str:
        """Name of the search space, as in the file."""
        return str(self.__struct_config__.tag)

    def with_network(self, **changes: Any) -> Self:
        """The same choice in a network with other numbers: ``with_network(normalisation="none")``.

        Raises:
            GenotypeError: there is no such network.
        """
        network = msgspec.structs.replace(self.network, **changes)  # type: ignore[attr-defined]
        return msgspec.structs.replace(self, network=network)


def require(condition: bool, message: str) -> None:
    """Raise GenotypeError with the message unless the condition holds."""
    if not condition:
        raise GenotypeError(message)


def check_ends(in_channels: int | None, outputs: int) -> None:
    """Raise GenotypeError unless a network can have so many input channels and outputs."""
    require(
        in_channels is None or in_channels >= 1,
        f"in_channels is {in_channels}: at least 1 was expected, or null where it is not known",
    )
    require(outputs >= 1, f"outputs is {outputs}: at least 1 was expected")


def softmax(row: Sequence[float]) -> tuple[float, ...]:
    """Softmax of plain numbers; the sum is 1."""
    largest = max(row)
    weights = [math.exp(value - largest) for value in row]
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)
