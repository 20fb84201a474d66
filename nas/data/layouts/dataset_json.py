"""dataset.json, in which nnU-Net and the Medical Segmentation Decathlon describe a data set."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.data.cases import UNKNOWN, natural_order
from nas.data.layouts.layout import nothing_found
from nas.errors import DataError

IGNORE = "ignore"
"""Name of the label of voxels that nnU-Net leaves out."""


def find_dataset(root: Path, pattern: str, what: str, expected: str) -> Path:
    """The folder that holds dataset.json: the root itself, or the only fitting one in it.

    Args:
        root: of the data.
        pattern: of the names of such folders.
        what: the layout, as a word of a sentence.
        expected: what the root should hold, as the end of a sentence.

    Raises:
        DataError: there is none, or there are several.
    """
    if (root / "dataset.json").is_file():
        return root
    if (root / "imagesTr").is_dir():
        raise DataError(f"{root} holds imagesTr, but no dataset.json: {expected}.")
    named = [path for path in root.iterdir() if path.is_dir() and re.fullmatch(pattern, path.name)]
    if len(named) > 1:
        names = ", ".join(natural_order(path.name for path in named))
        raise DataError(
            f"{root} holds {len(named)} data sets of {what} ({names}): name one of them with "
            "--data-root."
        )
    if not named:
        raise nothing_found(root, f"data set of {what}", expected)
    if not (named[0] / "dataset.json").is_file():
        raise DataError(f"{named[0]} holds no dataset.json: {expected}.")
    return named[0]


def read_dataset_json(path: Path) -> dict[str, Any]:
    """The content of dataset.json.

    Raises:
        DataError: the file cannot be read, or is no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is no JSON object; expected labels, numTraining and others.")
    return content


def channel_names(path: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the channels in order, from ``channel_names`` or ``modality``.

    Raises:
        DataError: there are none, or they are not numbered 0, 1, 2, ...
    """
    names = content.get("channel_names", content.get("modality"))
    if not isinstance(names, dict) or not names:
        raise DataError(
            f'{path} names no channels: expected "channel_names": {{"0": "CT"}}, or "modality" '
            "in older files."
        )
    numbers = [str(number) for number in range(len(names))]
    if sorted(names, key=str) != sorted(numbers):
        raise DataError(
            f"{path} numbers its channels {', '.join(map(str, names))}; expected 0, 1, 2, ... "
            "without a gap."
        )
    return tuple(str(names[number]) for number in numbers)


def classes_of(path: Path, content: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[int, int]]:
    """Names of the classes, and the class of each stored value.

    Both forms are understood: names to numbers (nnU-Net 2), numbers to names (nnU-Net 1, the
    Decathlon). A label named ``ignore`` becomes `UNKNOWN` and is no class.

    Raises:
        DataError: labels are regions, not numbered 0, 1, 2, ... or too few or too many.
    """
    values = _values(path, content.get("labels"))
    ignore = values.pop(IGNORE, None)
    numbers = sorted(values.values())
    if numbers != list(range(len(numbers))):
        raise DataError(
            f"{path} numbers its labels {', '.join(map(str, numbers))}; expected 0 (background), "
            "1, 2, ... without a gap."
        )
    if not 2 <= len(numbers) <= UNKNOWN:
        raise DataError(
            f"{path} names {len(numbers)} labels; expected the background and one class or more, "
            f"{UNKNOWN} in all at most."
        )
    if ignore is not None and ignore != len(numbers):
        raise DataError(
            f"{path} gives the label ignore the value {ignore}; it must be the highest, "
            f"{len(numbers)}."
        )
    stored = {number: number for number in numbers}
    if ignore is not None:
        stored[ignore] = UNKNOWN
    return tuple(sorted(values, key=values.__getitem__)), stored


def _values(path: Path, labels: object) -> dict[str, int]:
    """Value of each label by name."""
    if not isinstance(labels, dict) or not labels:
        raise DataError(f'{path} names no labels: expected "labels": {{"background": 0, ...}}.')
    regions = [str(name) for name, value in labels.items() if isinstance(value, list)]
    if regions:
        raise DataError(
            f"{path} describes regions that overlap ({', '.join(regions)}): they are not read. "
            "Give each class a number of its own in labels."
        )
    if all(isinstance(value, str) for value in labels.values()):
        pairs = [(name, number) for number, name in labels.items()]
    else:
        pairs = list(labels.items())
    if not all(str(number).isdecimal() for _, number in pairs):
        raise DataError(
            f'{path} has the labels {labels}; expected "background": 0 and so on, or "0": '
            '"background".'
        )
    names = [str(name) for name, _ in pairs]
    if len(set(names)) != len(names):
        raise DataError(f"{path} gives two labels one name ({', '.join(names)}).")
    return {str(name): int(number) for name, number in pairs}


def say_count(path: Path, content: Mapping[str, Any], found: int) -> list[str]:
    """A note where ``numTraining`` disagrees with the training cases that were found."""
    stated = content.get("numTraining")
    if stated is None or stated == found:
        return []
    return [f"{path} says numTraining is {stated}; there are {found} training cases."]
