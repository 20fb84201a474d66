"""Division of the cases into training, validation and test images."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from nas.data.cases import Case, Reader, Subset, natural_order
from nas.data.split_files import cases_named, read_names
from nas.errors import DataError, UsageError
from nas.runs import atomic_write
from nas.settings import DataSettings

SUBSETS: tuple[Subset, ...] = ("train", "val", "test")
PUBLISHED = ("cxseg", "jsrt", "phantom")
"""Layouts whose default is 50 random training images, none for validation, the rest for test
(Dong et al. 2019)."""
PUBLISHED_TRAIN = 50
USERS_LISTS = ("folder", "cxseg")
"""Layouts whose lists are the user's own. Those of the others came from the owners of the data: a
group that they divide is no mistake of the user, and told in a note."""
TRAIN_PERCENT = 60
VAL_PERCENT = 20
"""Training and validation images of other data; the rest is for test."""
SMALLEST_HALF = 0.25
"""Share of the training images below which a half made of whole groups is not accepted."""


class Split(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Case ids of the three subsets, each in natural order, and the seed that drew them.

    ``divides_groups`` says why it may divide groups; unset where it may not.

    Raises:
        DataError: on construction, when an id stands twice.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    seed: int = 0
    divides_groups: str | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for subset in SUBSETS:
            for case in self.subset(subset):
                if case in seen:
                    place = "twice" if seen[case] == subset else f"and in {seen[case]}"
                    raise DataError(
                        f"The case {case} stands in {subset} {place}: every case belongs to one "
                        "subset, once."
                    )
                seen[case] = subset

    def subset(self, name: Subset) -> tuple[str, ...]:
        """The ids of one subset."""
        ids: tuple[str, ...] = getattr(self, name)
        return ids

    @property
    def hash(self) -> str:
        """SHA-256 of the three sets of ids: equal for equal divisions, whatever drew them."""
        sets = {subset: sorted(self.subset(subset)) for subset in SUBSETS}
        text = json.dumps(sets, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode("ascii")).hexdigest()


def _split(train: Sequence[str], val: Sequence[str], test: Sequence[str], seed: int) -> Split:
    return Split(
        train=natural_order(train), val=natural_order(val), test=natural_order(test), seed=seed
    )


def make_split(reader: Reader, settings: DataSettings) -> Split:
    """The split that the settings ask for.

    In this order: the file ``settings.split``; the lists that came with the data; a random
    draw with ``settings.split_seed``. A draw never divides a group; the counts of a draw by
    groups are therefore only approximate.

    Raises:
        DataError: there are fewer images (or groups) than the split needs, a file or list
            names unknown cases, two subsets overlap, or a file or list divides a group, unless
            the lists by the owners of the data divide it so.
        UsageError: numbers of images are asked for where a file or list names the images, or a
            fold where there are none.
    """
    if settings.split is not None:
        split = load_fold(settings.split, settings.fold, reader.cases)
        origin = str(settings.split)
    elif settings.fold is not None:
        raise UsageError(
            f"--fold {settings.fold} chooses among the folds of a file, and no --split FILE is "
            "given: make one by nas-data split."
        )
    elif reader.lists is not None:
        split = _split(
            reader.lists["train"], reader.lists["val"], reader.lists["test"], settings.split_seed
        )
        files = " (train.txt, val.txt, test.txt)" if settings.dataset in USERS_LISTS else ""
        origin = f"The split that came with the data{files}"
    else:
        return _draw(reader.cases, _counts(len(reader.cases), settings), settings.split_seed)
    _refuse_counts(settings, origin)
    check_given(split, reader, settings.dataset, origin)
    return split


def _refuse_counts(settings: DataSettings, origin: str) -> None:
    default = DataSettings()
    for name in ("train_images", "val_images"):
        if getattr(settings, name) != getattr(default, name):
            raise UsageError(
                f"{origin}: this names the images of each subset, and "
                f"--{name.replace('_', '-')} would be ignored. Leave one of them out."
            )


def check_given(split: Split, reader: Reader, dataset: str, origin: str) -> None:
    """Make sure that a split from a file or list fits the data.

    Args:
        split: to check.
        reader: of the data.
        dataset: name of the layout.
        origin: of the split, as the beginning of a sentence.

    Raises:
        DataError: the split names unknown cases, or none for training, or divides a group that
            the owners of the data do not divide, and does not say why.
    """
    groups = {case.id: case.group for case in reader.cases}
    unknown = [case for subset in SUBSETS for case in split.subset(subset) if case not in groups]
    if unknown:
        raise DataError(
            f"{origin} names {len(unknown)} cases that the data does not have, such as "
            f"{unknown[0]}: the split belongs to other data."
        )
    if not split.train:
        raise DataError(f"{origin} names no training case.")
    if split.divides_groups:
        return
    lists = None if dataset in USERS_LISTS else reader.lists
    owners = {case: subset for subset, ids in (lists or {}).items() for case in ids}
    places: dict[tuple[str, Subset | None], Subset] = {}
    for subset in SUBSETS:
        for case in split.subset(subset):
            group = groups[case]
            if group is None:
                continue
            before = places.setdefault((group, owners.get(case)), subset)
            if before != subset:
                raise DataError(
                    f"{origin} divides the group {group} between {before} and {subset}: correct "
                    "the lists, or the groups."
                )


def divided_by(split: Split, cases: Sequence[Case]) -> tuple[str, ...]:
    """A sentence on the groups that a split divides; none where it divides none.

    Args:
        split: of the cases.
        cases: of the data.
    """
    groups = {case.id: case.group for case in cases}
    places: dict[str, dict[Subset, None]] = defaultdict(dict)
    for subset in SUBSETS:
        for case in split.subset(subset):
            group = groups.get(case)
            if group is not None:
                places[group][subset] = None
    divided = natural_order(group for group, where in places.items() if len(where) > 1)
    if not divided:
        return ()
    first = divided[0]
    why = f", {split.divides_groups}" if split.divides_groups else ""
    return (
        f"The split divides {len(divided)} of {len(places)} groups, such as {first} "
        f"({' and '.join(places[first])}){why}: scores may come out better than on groups that "
        "were never seen.",
    )


def _counts(total: int, settings: DataSettings) -> tuple[int, int, int]:
    """Wanted numbers of training, validation and test images."""
    published = settings.dataset in PUBLISHED
    train = settings.train_images
    if train is None:
        train = PUBLISHED_TRAIN if published else total * TRAIN_PERCENT // 100
    val = settings.val_images
    if val is None:
        val = 0 if published else round(total * VAL_PERCENT / 100)
    if train < 1 or val < 0:
        raise DataError(f"A split needs a training image or more; {train} and {val} were asked.")
    if train + val >= total:
        raise DataError(
            f"There are {total} images; {train} for training and {val} for validation leave none "
            "for test: lower --train-images or --val-images, or add images."
        )
    return train, val, total - train - val


def _draw(cases: Sequence[Case], counts: tuple[int, int, int], seed: int) -> Split:
    generator = np.random.default_rng(seed)
    blocks = whole_groups({case.id: case.group for case in cases})
    wanted = sum(count > 0 for count in counts)
    if len(blocks) < wanted:
        raise DataError(
            f"The cases form {len(blocks)} groups; {wanted} subsets need at least as many groups"
            f"{': --val-images 0 leaves one subset out' if counts[1] else ''}."
        )
    order = [blocks[i] for i in generator.permutation(len(blocks))]
    train, order = _take(order, counts[0], leave=wanted - 1)
    val, order = _take(order, counts[1], leave=wanted - 2)
    return _split(train, val, [case for block in order for case in block], seed)


def whole_groups(groups: Mapping[str, str | None]) -> list[list[str]]:
    """Cases that stay together: those of one group; a case without a group by itself."""
    named: dict[str, list[str]] = defaultdict(list)
    single = []
    for case, group in groups.items():
        if group is None:
            single.append([case])
        else:
            named[group].append(case)
    return single + list(named.values())


def _take(blocks: list[list[str]], count: int, leave: int) -> tuple[list[str], list[list[str]]]:
    """Cases of blocks that together come near ``count``, and the blocks that are left.

    Goes through the blocks in their order and takes one when that brings the number nearer to
    ``count``, as long as ``leave`` blocks remain; takes the smallest where none does.
    """
    if count == 0:
        return [], blocks
    taken: list[str] = []
    left: list[list[str]] = []
    spare = len(blocks) - leave
    for block in blocks:
        nearer = abs(len(taken) + len(block) - count) < abs(len(taken) - count)
        if nearer and spare > 0:
            taken += block
            spare -= 1
        else:
            left.append(block)
    if not taken:
        smallest = min(left, key=len)
        left.remove(smallest)
        taken = list(smallest)
    return taken, left


def halve(
    train: Sequence[str], seed: int, groups: Mapping[str, str | None] | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The training images of a search as two halves: for the weights, for the architecture.

    Groups stay whole where that leaves each half a quarter of the images or more; otherwise
    the halves are drawn by image, and `divided_groups` says which groups are in both. The
    weights get the larger half.

    Args:
        train: ids of the training images, two or more.
        seed: seed of the draw.
        groups: group of each id, as in :class:`nas.data.cases.Case`.

    Raises:
        DataError: there is only one training image.
    """
    if len(train) < 2:
        raise DataError(
            f"A search needs 2 training images or more, half for the weights and half for the "
            f"architecture; there are {len(train)}."
        )
    generator = np.random.default_rng([seed, 1])
    half = len(train) - len(train) // 2
    known = {case: (groups or {}).get(case) for case in natural_order(train)}
    blocks = whole_groups(known)
    if len(blocks) > 1:
        order = [blocks[i] for i in generator.permutation(len(blocks))]
        weights, rest = _take(order, half, leave=1)
        if SMALLEST_HALF <= len(weights) / len(train) <= 1 - SMALLEST_HALF:
            other = [case for block in rest for case in block]
            larger, smaller = sorted((weights, other), key=len, reverse=True)
            return natural_order(larger), natural_order(smaller)
    shuffled = [natural_order(train)[i] for i in generator.permutation(len(train))]
    return natural_order(shuffled[:half]), natural_order(shuffled[half:])


def divided_groups(
    halves: tuple[Sequence[str], Sequence[str]], groups: Mapping[str, str | None]
) -> tuple[str, ...]:
    """The groups with images in both halves of a search, in natural order.

    Args:
        halves: ids of the two halves, as `halve` gives them.
        groups: group of each id.
    """
    first, second = ({groups.get(case) for case in half} for half in halves)
    return natural_order(group for group in first & second if group is not None)


def save_split(split: Split, path: Path) -> None:
    """Write a split as JSON, whole or not at all.

    Raises:
        RunError: the file cannot be written.
    """
    text = msgspec.json.format(msgspec.json.encode(split), indent=2)
    with atomic_write(path) as stream:
        stream.write(text + b"\n")


def load_split(path: Path) -> Split:
    """Read a split that :func:`save_split` wrote.

    Raises:
        DataError: the file is missing, is no split, or has a case in two subsets.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Split)
    except OSError as error:
        raise DataError(f"The split {path} cannot be read: {error}.") from error
    except msgspec.MsgspecError as error:
        raise DataError(
            f"{path} is not a split: {error}. Expected a JSON file with train, val, test and seed, "
            "as split.json in the folder of a run."
        ) from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def load_fold(path: Path, fold: int | None, cases: Sequence[Case]) -> Split:
    """Read a split, or one of several folds, in any form of `nas.data.split_files`.

    Args:
        path: of the file; its names may be ids, volumes or groups.
        fold: which of several, the first is 0.
        cases: of the data.

    Raises:
        DataError: the file is missing, is no split, or has a case in two subsets.
        UsageError: several folds and none chosen, or one chosen that is not there.
    """
    names = read_names(path, fold)
    train, val = (cases_named(part, cases) for part in (names.train, names.val))
    if names.test is None:
        named = {*train, *val}
        test = [case.id for case in cases if case.id not in named]
    else:
        test = cases_named(names.test, cases)
    try:
        split = _split(train, val, test, names.seed)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return msgspec.structs.replace(split, divides_groups=names.divides_groups)
