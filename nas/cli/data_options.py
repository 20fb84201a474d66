"""The options of the data: those that an action does not use, and how another command has them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from nas.cli.common import parse
from nas.settings import DataSettings

TRAINING_ALONE = (
    "image_size",
    "unlabelled",
    "unlabelled_images",
    "cache",
    "image_channel",
    "clahe_clip",
    "clahe_tiles",
    "standardise",
)
"""Settings of the data about what a network sees, not about the files."""

AFTER_DECODING = dict.fromkeys(
    ("cache", "standardise"), "is about training, and the files are looked at as they are stored"
)
"""Settings of the data that say nothing of the files, and why they are not used."""

DIVISION = ("split", "fold", "train_images", "val_images", "split_seed")
"""Settings of the data about who trains on what."""


class _Options(Struct, frozen=True, kw_only=True):
    """What a settings file says of the data."""

    data: DataSettings = DataSettings()
    config: Path | None = None


def words(data: DataSettings, config: Path | None = None) -> list[str]:
    """Options, for a command that reads the same files; those of the division are left out.

    Args:
        data: as the action had them.
        config: settings file that they come from, in part. It is named unless it counts images,
            which would contradict a --split.
    """
    base = DataSettings()
    found: list[str] = []
    if config is not None:
        given = parse(_Options, "nas-data", ["--config", str(config)]).data
        if given.train_images is None and given.val_images is None:
            base, found = given, ["--config", str(config)]
    for name in DataSettings.__struct_fields__:
        value = getattr(data, name)
        if name not in DIVISION and value != getattr(base, name):
            found += [f"--{name.replace('_', '-')}", *_texts(value)]
    return found


def _texts(value: Any) -> Sequence[str]:
    return [str(each) for each in value] if isinstance(value, tuple) else [str(value)]
