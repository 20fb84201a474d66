"""nas-data split: folds of a cross-validation, or one split, saved for later runs."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from msgspec import Meta, Struct
from msgspec.structs import replace

from nas.cli.common import parse, refuse_unused
from nas.cli.data_options import TRAINING_ALONE, words
from nas.cli.data_outputs import require_new_file
from nas.errors import UsageError
from nas.settings import DataSettings, Positive

if TYPE_CHECKING:
    from rich.table import Table

    from nas.data.cases import Case, Reader
    from nas.data.splits import Split

PartShare = Annotated[float, Meta(ge=0, lt=1)]
VAL_SHARE = 0.2
TEST_SHARE = 0.2
"""Shares of a single split where none are given."""
UNUSED = {
    **dict.fromkeys(TRAINING_ALONE, "is about what a network sees, not about who trains on what"),
    **dict.fromkeys(("split", "fold"), "names a split, and a new one is drawn"),
    **dict.fromkeys(("train_images", "val_images"), "counts images, and here shares are given"),
}


class Options(Struct, frozen=True, kw_only=True):
    """Draw the folds of a cross-validation, or one split, and save them for later runs.

    No group is divided, and every part has its share of each stratum (a grade, a diagnosis) where
    the data says it.
    """

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """File to write, a new one."""

    folds: Positive = 5
    """Each case is for validation in one of so many folds; 1 is a single split."""

    test: PartShare | None = None
    """Share of the cases that are for test, the same in all folds. By default the test images
    that came with the data as a list; where there are none, 0.2 for a single split and else 0."""

    val: PartShare | None = None
    """Share of the cases for validation in a single split, by default 0.2."""

    form: Literal["json", "nnunet"] = "json"
    """json names the cases of each part; nnunet is splits_final.json, in which a case that a fold
    does not name is for test, and a volume stands for its slices. Both are read by --split."""

    data: DataSettings = DataSettings()

    config: Path | None = None
    """TOML file with a [data] table; options on the command line override it."""


def run(arguments: Sequence[str]) -> None:
    """Draw, save, and say what came of it."""
    options = parse(Options, "nas-data split", arguments)
    refuse_unused(UNUSED, arguments)
    val, test = _shares(options)
    require_new_file(options.out)

    from rich.console import Console

    from nas.data.folds import save_folds
    from nas.data.readers import open_reader
    from nas.data.splits import divided_by

    reader = open_reader(options.data)
    folds = draw(reader, options, val, test)
    save_folds(folds, reader.cases, options.out, options.form)
    Console().print(table(folds, reader.cases))
    for note in divided_by(folds[0], reader.cases):
        print(f"Note: {note}")
    print(f"Written: {options.out}")
    chosen = ["--split", str(options.out), *(["--fold", "0"] if len(folds) > 1 else [])]
    command = ["nas-search", *words(options.data, options.config), *chosen]
    print(f"Use it: {shlex.join(command)}")


def _shares(options: Options) -> tuple[float, float]:
    """Shares for validation, 0 of folds, and for test."""
    single = options.folds == 1
    if not single and options.val is not None:
        raise UsageError(
            "--val is the share of a single split (--folds 1); with several folds each has its "
            "part of the cases for validation. Leave one of them out."
        )
    val, test = (VAL_SHARE, TEST_SHARE) if single else (0.0, 0.0)
    val = val if options.val is None else options.val
    test = test if options.test is None else options.test
    if val + test >= 1:
        raise UsageError(f"--val {val} and --test {test} leave nothing for training: lower them.")
    return val, test


def draw(reader: Reader, options: Options, val: float, test: float) -> tuple[Split, ...]:
    """The folds that the options ask for; a single split is one fold.

    Where the test images came with the data, the cases of the lists for training and validation
    are divided, and those of no list are left out.
    """
    from nas.data.folds import draw_folds, draw_split
    from nas.data.splits import check_given

    def drawn(cases: Sequence[Case], share: float) -> tuple[Split, ...]:
        if options.folds > 1:
            return draw_folds(cases, options.folds, options.data.split_seed, share)
        return (draw_split(cases, options.data.split_seed, val, share),)

    lists = reader.lists
    if options.test is not None or lists is None or not lists["test"]:
        return drawn(reader.cases, test)
    listed = lists["test"]
    print(
        f"The lists of the data name {len(listed)} test images; they are the test part here too "
        "(--test SHARE draws another)."
    )
    pool = {*lists["train"], *lists["val"]}
    cases = [case for case in reader.cases if case.id in pool]
    folds = tuple(replace(fold, test=listed) for fold in drawn(cases, 0.0))
    for fold in folds:
        check_given(fold, reader, options.data.dataset, "The test list of the data")
    return folds


def table(folds: Sequence[Split], cases: Sequence[Case]) -> Table:
    """A line for each part: its images, its groups, and its images of each stratum."""
    from rich.table import Table

    known = {case.id: case for case in cases}
    groups = any(case.group is not None for case in cases)
    strata = strata_of(cases)
    shown = Table(title="Folds" if len(folds) > 1 else "Split", title_justify="left")
    shown.add_column("fold")
    shown.add_column("part")
    for heading in ("images", *(["groups"] if groups else []), *strata.values()):
        shown.add_column(heading, justify="right")
    for name, part, ids in parts(folds):
        found = [known[case] for case in ids]
        count = Counter(case.stratum for case in found)
        apart = len({case.group for case in found} - {None})
        numbers = [len(found), *([apart] if groups else []), *(count[s] for s in strata)]
        shown.add_row(name, part, *map(str, numbers))
    return shown


def strata_of(cases: Sequence[Case]) -> dict[str | None, str]:
    """The headings of the strata; none where no stratum is known."""
    found = {case.stratum for case in cases}
    if found == {None}:
        return {}
    named = sorted(name for name in found if name is not None)
    unknown: dict[str | None, str] = {None: "unknown"} if None in found else {}
    return {**{name: name for name in named}, **unknown}


def parts(folds: Sequence[Split]) -> list[tuple[str, str, tuple[str, ...]]]:
    """(fold, part, ids) of every line; what is for test in all folds stands once, at the end."""
    numbers = map(str, range(len(folds))) if len(folds) > 1 else iter("-")
    lines = [
        (number, part, fold.subset(part))
        for number, fold in zip(numbers, folds, strict=True)
        for part in ("train", "val")
    ]
    test = folds[0].test
    return [*lines, ("all" if len(folds) > 1 else "-", "test", test)] if test else lines
