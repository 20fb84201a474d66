"""What there is to choose from: networks with their size, search spaces and data sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

import msgspec
from msgspec import Struct

from nas import libraries
from nas.data.readers import READERS
from nas.errors import UsageError
from nas.networks import (
    GENOTYPE_SUFFIX,
    PATCH_NETWORKS,
    TABLES,
    build_network,
    is_genotype,
    read_genotype,
)
from nas.specifications import did_you_mean, parse_specification
from search_spaces import SPACES
from search_spaces.description import Role

Kind: TypeAlias = Literal["segmenter", "discriminator", "space", "data set"]


class Entry(Struct, frozen=True, kw_only=True):
    """Something to choose.

    Attributes:
        kind: what it is.
        name: how a user names it.
        description: one line.
        role: of a space, which network is searched in it.
        parameters: of a network; of a space those of its relaxed network.
        multiply_adds: likewise, see `nas.complexity`; None where it does not take the size.
    """

    kind: Kind
    name: str
    description: str
    role: Role | None = None
    parameters: int | None = None
    multiply_adds: int | None = None


class Task(NamedTuple):
    """What networks are built for.

    Attributes:
        size: height and width of the images, in pixels.
        channels: of the images.
        classes: K, background included.
        sees_image: whether discriminators get the image beside the map.
    """

    size: tuple[int, int]
    channels: int
    classes: int
    sees_image: bool

    def ends(self, role: Role) -> tuple[int, int]:
        """Input channels and outputs of a network."""
        if role == "segmenter":
            return self.channels, self.classes
        return self.classes + self.channels * self.sees_image, 1


def everything(task: Task) -> list[Entry]:
    """Every network of the toolkit with its default options, every space and every data set."""
    entries = [
        measured(name, role, task, description)
        for role, table in TABLES.items()
        for name, (_, description) in table.items()
    ]
    entries += [of_patches(name, task) for name in PATCH_NETWORKS]
    entries += [relaxed(name, task) for name in SPACES]
    entries += [
        Entry(kind="data set", name=name, description=layout.help)
        for name, layout in READERS.items()
    ]
    return entries


def chosen(specifications: Sequence[str], task: Task) -> list[Entry]:
    """The networks that a user named.

    A network of another library is listed as a segmenter if it can be one, and as a discriminator
    otherwise.

    Raises:
        UsageError: there is no such network, or it cannot be built.
        RunError: a genotype's file cannot be read.
    """
    return [find_entry(specification, task) for specification in specifications]


def find_entry(specification: str, task: Task) -> Entry:
    """The network of a specification."""
    name = parse_specification(specification).name
    if is_genotype(name):
        genotype = read_genotype(name)
        description = f"a genotype of the space {genotype.space}"
        return measured(specification, genotype.role, task, description)
    if libraries.is_foreign(name):
        return foreign_entry(specification, task)
    for role, table in TABLES.items():
        if name in table:
            return measured(specification, role, task, table[name][1])
    if name in PATCH_NETWORKS:
        return of_patches(specification, task)
    known = [each for table in TABLES.values() for each in table]
    raise UsageError(
        f"There is no network {name!r}{did_you_mean(name, known)}. Choose from {', '.join(known)}, "
        f"the file of a genotype (NAME{GENOTYPE_SUFFIX}), or a network of another library "
        f"({', '.join(f'{prefix}:' for prefix in libraries.PREFIXES)})."
    )


def foreign_entry(specification: str, task: Task) -> Entry:
    """A network of another library, in the first role that it can have."""
    reasons = []
    for role in get_args(Role):
        try:
            return measured(specification, role, task, f"{role} of another library")
        except UsageError as error:
            reasons.append(str(error))
    if len(set(reasons)) == 1:
        raise UsageError(reasons[0])
    raise UsageError(f"As a segmenter: {reasons[0]} As a discriminator: {reasons[1]}")


def of_patches(specification: str, task: Task) -> Entry:
    """A segmenter that is trained on patches; a pass depends on how densely it slides."""
    import torch

    from nas.complexity import count_parameters

    with torch.device("meta"):
        network = build_network(specification, "segmenter", *task.ends("segmenter"))
    return Entry(
        kind="segmenter",
        name=specification,
        description=PATCH_NETWORKS[parse_specification(specification).name][1],
        parameters=count_parameters(network),
    )


def relaxed(name: str, task: Task) -> Entry:
    """A space with the size of its relaxed network under the default settings of a search."""
    import torch

    from nas.complexity import count_multiply_adds, count_parameters
    from nas.supernets import DEFAULT_SEARCHES, new_supernet

    space = SPACES[name]
    settings = DEFAULT_SEARCHES[name]
    if task.sees_image:
        seeing = msgspec.structs.replace(settings.space, discriminator_input="map+image")
        settings = msgspec.structs.replace(settings, space=seeing)
    with torch.device("meta"):
        supernet = new_supernet(space.role, settings, task.channels, task.classes)
    return Entry(
        kind="space",
        name=name,
        description=space.description,
        role=space.role,
        parameters=count_parameters(supernet),
        multiply_adds=count_multiply_adds(supernet, task.ends(space.role)[0], task.size),
    )


def measured(specification: str, role: Role, task: Task, description: str) -> Entry:
    """A network with its size.

    The toolkit's own are built without memory; those of other libraries, of which not all can be
    built so, are built as they are.
    """
    import torch

    from nas.complexity import count_multiply_adds, count_parameters

    in_channels, outputs = task.ends(role)
    foreign = libraries.is_foreign(specification)
    with torch.device("cpu" if foreign else "meta"):
        network = build_network(specification, role, in_channels, outputs).to("meta")
    try:
        multiply_adds = count_multiply_adds(network, in_channels, task.size)
    except (RuntimeError, ValueError):
        multiply_adds = None
    return Entry(
        kind=role,
        name=specification,
        description=description,
        parameters=count_parameters(network),
        multiply_adds=multiply_adds,
    )
