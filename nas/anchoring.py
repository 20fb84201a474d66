"""Paths in settings made absolute, so that a run can be used from any folder."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from nas.networks import is_genotype
from nas.settings import DataSettings

DATA_PATHS = ("data_root", "groups", "split", "unlabelled", "cache")
"""The settings of data that are paths."""


def absolute(path: Path) -> Path:
    """The path from the root, links in it as they are."""
    return Path(os.path.abspath(path))


def anchored_data(data: DataSettings) -> DataSettings:
    """The settings with absolute paths, where they have any."""
    given = {name: getattr(data, name) for name in DATA_PATHS}
    changed = {name: absolute(path) for name, path in given.items() if path is not None}
    return msgspec.structs.replace(data, **changed)


def anchored_network(specification: str) -> str:
    """A network's specification, the path of its genotype absolute if it has one."""
    name, question, options = specification.partition("?")
    if not is_genotype(name):
        return specification
    return os.path.abspath(name) + question + options
