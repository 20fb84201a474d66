"""Files that name the cases of a split, or of several folds, and what their names mean.

Three forms are read: an object ``{"train": [...], "val": [...], "test": [...], "seed": 0}``, which
is one split; a list of such objects, which are folds; and splits_final.json of nnU-Net, a list of
``{"train": [...], "val": [...]}``, in which a case that a fold does not name is for test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from nas.data.cases import Case, Slice
from nas.data.groups import case_id
from nas.errors import DataError, UsageError

FORMS = (
    "a JSON file with train, val, test and seed, as split.json in the folder of a run, a list of "
    "such objects, as nas-data split writes, or splits_final.json of nnU-Net"
)


class Names(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The names of one fold as they stand in a file; no test part means all that are not named.

    ``divides_groups`` says why groups may be divided, as some published splits do; without it, no
    split from a file may.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...] | None = None
    seed: int = 0
    divides_groups: str | msgspec.UnsetType = msgspec.UNSET


class _Single(Names, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of one split, which names its test part."""

    test: tuple[str, ...]


def read_names(path: Path, fold: int | None = None) -> Names:
    """What a file says of one fold.

    Args:
        path: of the file, in any of the three forms.
        fold: which of several, the first is 0; None where the file has one split.

    Raises:
        DataError: the file cannot be read, or has another form.
        UsageError: there are several folds and none is chosen, the chosen one is not there, or one
            is chosen where there is a single split.
    """
    content = _decoded(path)
    if isinstance(content, _Single):
        if fold is not None:
            raise UsageError(
                f"{path} holds one split, not several folds, and --fold {fold} would be ignored: "
                "leave it out."
            )
        return content
    if not content:
        raise DataError(f"{path} is an empty list: expected a fold or more.")
    last = len(content) - 1
    if fold is None and last > 0:
        raise UsageError(
            f"{path} holds {len(content)} folds: choose one by --fold 0, ..., --fold {last}."
        )
    if fold is not None and fold > last:
        raise UsageError(
            f"{path} holds {len(content)} folds, the first is 0 and the last is {last}: there is "
            f"no --fold {fold}."
        )
    return content[fold or 0]


def _decoded(path: Path) -> _Single | tuple[Names, ...]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Single | tuple[Names, ...])
    except OSError as error:
        raise DataError(f"The split {path} cannot be read: {error}.") from error
    except msgspec.MsgspecError as error:
        raise DataError(f"{path} is not a split: {error}. Expected {FORMS}.") from error


def cases_named(names: Iterable[str], cases: Sequence[Case]) -> list[str]:
    """The ids of the cases that names mean; a name that means nothing is handed on as it is.

    A name is the id of a case, with or without the extension of a file; else that of a volume,
    and means its slices; else that of a group, and means all its cases.

    Args:
        names: as they stand in a file.
        cases: of the data.
    """
    ids = {case.id for case in cases}
    several = _collections(cases)
    found: list[str] = []
    for name in names:
        case = case_id(name, ids)
        found += [case] if case is not None else several.get(name, [name])
    return found


def _collections(cases: Sequence[Case]) -> Mapping[str, list[str]]:
    """Ids by the name of their volume, and by their group where no volume is called so."""
    groups, volumes = defaultdict(list), defaultdict(list)
    for case in cases:
        if case.group is not None:
            groups[case.group].append(case.id)
        volumes[file_name(case)].append(case.id)
    return groups | volumes


def file_name(case: Case) -> str:
    """The name of a case among files: of its volume where it is a slice, else its id."""
    image = case.image
    first = image[0] if isinstance(image, tuple) and not isinstance(image, Slice) else image
    return case.id.rpartition("_")[0] if isinstance(first, Slice) else case.id
