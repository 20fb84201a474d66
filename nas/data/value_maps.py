"""What the stored values of masks mean, as users write it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from nas.data.cases import UNKNOWN
from nas.errors import DataError, UsageError

LARGEST = 65535
"""Value up to which a table is the fastest way from values to classes."""

ADVICE = (
    "Say with --value-map which stored value is which class, such as 0:0,255:1; the class 255 "
    "stands for unknown."
)


def parse_value_map(text: str) -> dict[int, int]:
    """``"0:0,255:1"`` as {stored value: class}; the class 255 is `UNKNOWN`.

    Raises:
        UsageError: the text has another form, a value is given twice, or the classes are not
            0, 1, 2, ... without a gap.
    """
    mapping: dict[int, int] = {}
    for pair in text.split(","):
        stored, separator, label = (part.strip() for part in pair.partition(":"))
        if not (separator and stored.isdecimal() and label.isdecimal()):
            raise UsageError(
                f"The value map {text!r} is not understood: write stored:class pairs such as "
                "0:0,255:1."
            )
        if int(stored) in mapping:
            raise UsageError(f"The value map {text!r} gives the stored value {stored} twice.")
        mapping[int(stored)] = int(label)
    classes = sorted(set(mapping.values()) - {UNKNOWN})
    if classes != list(range(len(classes))) or not 2 <= len(classes) <= UNKNOWN:
        raise UsageError(
            f"The value map {text!r} has the classes {classes}; expected 0 (background), 1, 2, ... "
            "without a gap, and 255 for unknown."
        )
    return mapping


def class_count(value_map: Mapping[int, int]) -> int:
    """Number of the classes of a value map, the background with them, unknown without."""
    return len(set(value_map.values()) - {UNKNOWN})


def check_class_names(names: tuple[str, ...], value_map: Mapping[int, int] | None) -> None:
    """Refuse names of classes that do not do; no names at all do.

    Raises:
        UsageError: there is one alone, one stands twice, or their number is not that of the map.
    """
    if len(names) == 1 or len(set(names)) != len(names):
        raise UsageError(
            f"The class names {', '.join(names)} do not do: name two or more classes, each once, "
            "background first."
        )
    if names and value_map and len(names) != class_count(value_map):
        raise UsageError(
            f"There are {len(names)} class names ({', '.join(names)}) and the value map has "
            f"{class_count(value_map)} classes: both must agree."
        )


def to_classes(
    stored: np.ndarray, value_map: Mapping[int, int], place: str, advice: str
) -> np.ndarray:
    """The classes of the stored values of a mask, uint8 of the same shape.

    Args:
        stored: integers.
        value_map: class of each stored value.
        place: what holds the values, as the beginning of a sentence.
        advice: what to do about other values, as a sentence.

    Raises:
        DataError: a value is not in the map.
    """
    values = _distinct(stored)
    unexpected = [value for value in values.tolist() if value not in value_map]
    if unexpected:
        raise DataError(
            f"{place} holds the values {shown(unexpected)}; expected {shown(value_map)}. {advice}"
        )
    classes = np.array([value_map[value] for value in values.tolist()], dtype=np.uint8)
    if not _is_narrow(stored):
        return classes[np.searchsorted(values, stored)]
    table = np.zeros(LARGEST + 1, dtype=np.uint8)
    table[values] = classes
    return table[stored]


def count_classes(masks: Iterable[tuple[str, np.ndarray]], of_what: str, advice: str) -> int:
    """Number of the classes in masks whose values are the classes 0, 1, ... themselves.

    Args:
        masks: place and stored values of each.
        of_what: what the masks are of, such as ``12 cases``.
        advice: what to do about other values, as a sentence.

    Raises:
        DataError: the values are others; it names the mask with the rarest one.
    """
    places: dict[int, list[str]] = defaultdict(list)
    for place, stored in masks:
        for value in _distinct(stored).tolist():
            places[value].append(place)
    if sorted(places) != list(range(len(places))) or len(places) < 2:
        rarest = min(places, key=lambda value: (len(places[value]), -value), default=None)
        where = f" ({rarest} in {places[rarest][0]})" if rarest is not None else ""
        raise DataError(
            f"The masks of {of_what} hold the values {shown(places)}{where}; expected every class "
            f"0 (background), 1, 2, ... without a gap. {advice}"
        )
    return len(places)


def _distinct(stored: np.ndarray) -> np.ndarray:
    """The values in order; by counting where they are few enough, which is much faster."""
    if _is_narrow(stored):
        return np.flatnonzero(np.bincount(stored.ravel(), minlength=1))
    return np.unique(stored)


def _is_narrow(stored: np.ndarray) -> bool:
    return bool(stored.min(initial=0) >= 0 and stored.max(initial=0) <= LARGEST)


def shown(values: Iterable[int]) -> str:
    """Numbers in order as a text; of many, the first eight and how many there are."""
    numbers = sorted(values)
    text = ", ".join(str(v) for v in numbers[:8])
    return text if len(numbers) <= 8 else f"{text}, ... ({len(numbers)} in all)"
