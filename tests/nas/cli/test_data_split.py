"""nas-data split: what is saved is what is told, and --split reads it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.cli.common import parse
from nas.cli.data_split import parts, strata_of
from nas.data.cases import Case
from nas.data.readers import open_reader
from nas.data.splits import Split, make_split
from nas.errors import DataError
from nas.settings import SearchSettings

Command = Callable[..., Any]


@pytest.fixture
def split(command: Command, data: Path) -> Command:
    """Runs nas-data split on eight images."""
    return lambda *options: command(
        "data", "split", "--dataset", "folder", "--data-root", data, *options
    )


def used(out: str) -> Split:
    """The split of a search that is begun with the command that was printed."""
    line = next(line for line in out.splitlines() if line.startswith("Use it: nas-search "))
    settings = parse(SearchSettings, "nas-search", shlex.split(line)[3:]).data
    return make_split(open_reader(settings), settings)


@pytest.mark.parametrize("form", ["json", "nnunet"])
def test_folds_are_told_saved_and_used(split: Command, form: str) -> None:
    result = split("--folds", 3, "--test", 0.25, "--form", form, "-o", "new/folds.json")
    assert result.code == 0, result
    first = used(result.out)
    assert [len(first.train), len(first.val), len(first.test)] == [4, 2, 2]
    content = json.loads(Path("new/folds.json").read_text())
    assert len(content) == 3
    assert content[0]["train"] == list(first.train)
    assert ("test" in content[0]) == (form == "json")
    rows = [line.replace("│", " ").split() for line in result.out.splitlines()]
    assert ["0", "train", "4"] in rows
    assert ["2", "val", "2"] in rows
    assert rows.count(["all", "test", "2"]) == 1


def test_a_single_split_has_three_parts(split: Command) -> None:
    result = split("--folds", 1, "-o", "s.json")
    assert "--fold" not in result.out
    drawn = used(result.out)
    assert [len(drawn.train), len(drawn.val), len(drawn.test)] == [4, 2, 2]
    result = split("--folds", 1, "--val", 0, "--test", 0.5, "-o", "t.json")
    drawn = used(result.out)
    assert [len(drawn.train), len(drawn.val), len(drawn.test)] == [4, 0, 4]


def test_the_seed_decides(split: Command) -> None:
    seeds = {}
    for seed in (0, 1, 2):
        split("--split-seed", seed, "-o", f"{seed}.json")
        seeds[seed] = Path(f"{seed}.json").read_text()
    assert split("--split-seed", 1, "-o", "again.json").code == 0
    assert Path("again.json").read_text() == seeds[1]
    assert len(set(seeds.values())) == 3


def test_the_test_images_of_the_lists_stay(split: Command, data: Path) -> None:
    (data / "train.txt").write_text("case1\ncase2\ncase3\n")
    (data / "val.txt").write_text("case4\n")
    (data / "test.txt").write_text("case5\ncase6\n")
    result = split("--folds", 2, "-o", "f.json")
    assert "name 2 test images" in result.out
    fold = used(result.out)
    assert fold.test == ("case5", "case6")
    assert sorted(fold.train + fold.val) == ["case1", "case2", "case3", "case4"]
    fold = used(split("--folds", 2, "--test", 0.5, "-o", "g.json").out)
    assert len(fold.test) == 4
    assert len({*fold.train, *fold.val, *fold.test}) == 8
    nnunet = split("--folds", 2, "--form", "nnunet", "-o", "h.json")
    nnunet.refused(2, "leave 2 cases out, such as case0")


def test_the_users_lists_may_not_divide_a_group(split: Command, data: Path) -> None:
    (data / "train.txt").write_text("case1\ncase2\ncase3\n")
    (data / "test.txt").write_text("case4\n")
    groups = data / "groups.csv"
    groups.write_text("".join(f"case{n},{'same' if n in (3, 4) else n}\n" for n in range(8)))
    result = split("--folds", 2, "--groups", groups, "-o", "f.json")
    result.refused(DataError.exit_code, "divides the group same between")
    assert not Path("f.json").exists()


def test_groups_are_counted(split: Command, data: Path) -> None:
    groups = data / "groups.csv"
    groups.write_text("".join(f"case{n},g{n % 4}\n" for n in range(8)))
    result = split("--folds", 2, "--groups", groups, "-o", "f.json")
    rows = [line.replace("│", " ").split() for line in result.out.splitlines()]
    assert ["0", "train", "4", "2"] in rows
    fold = used(result.out)
    assert {int(case[-1]) % 4 for case in fold.train}.isdisjoint(int(c[-1]) % 4 for c in fold.val)
    too_many = split("--folds", 5, "--groups", groups, "-o", "g.json")
    too_many.refused(3, "4 groups; 5 parts")


def test_patients_that_the_owners_divide_are_told(command: Command) -> None:
    made = command("data", "synthesize", "glas", "--cases", 40, "--size", 64, 64, "-o", "glas")
    assert made.code == 0, made
    result = command("data", "split", "--dataset", "glas", "--data-root", "glas", "-o", "f.json")
    assert result.code == 0, result
    assert result.out.count("Note: The split divides") == 1
    heading = next(line for line in result.out.splitlines() if "images" in line and "fold" in line)
    assert "benign" in heading
    assert "malignant" in heading
    fold = used(result.out)
    assert all(case.startswith("train_") for case in (*fold.train, *fold.val))
    assert all(case.startswith("test") for case in fold.test)


def test_settings_may_come_from_a_file(command: Command, data: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'[data]\ndataset = "folder"\ndata_root = "{data}"\nimage_size = "64"\n')
    result = command("data", "split", "--folds", 2, "--config", config, "-o", "f.json")
    assert f"Use it: nas-search --config {config} --split f.json --fold 0" in result.out
    assert len(used(result.out).val) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--val", 0.2), "--val is the share of a single split"),
        (("--folds", 1, "--val", 0.5, "--test", 0.5), "leave nothing for training"),
        (("--test", 1), "--test: expected"),
        (("--folds", 0), "--folds: expected"),
        (("--fold", 1), "--fold names a split"),
        (("--train-images", 3), "--train-images counts images"),
        (("--image-size", 64), "--image-size is about what a network sees"),
    ],
)
def test_options_that_contradict(split: Command, options: tuple[object, ...], words: str) -> None:
    split(*options, "-o", "f.json").refused(2, words)
    assert not Path("f.json").exists()


def test_nothing_is_overwritten(split: Command) -> None:
    Path("f.json").write_text("kept")
    split("-o", "f.json").refused(2, "f.json exists")
    assert Path("f.json").read_text() == "kept"


def test_lines_of_the_table() -> None:
    one = Split(train=("a", "b"), val=("c",), test=("d",))
    assert parts([one]) == [
        ("-", "train", ("a", "b")),
        ("-", "val", ("c",)),
        ("-", "test", ("d",)),
    ]
    two = Split(train=("c",), val=("a", "b"), test=())
    assert [line[:2] for line in parts([two, two])] == [
        ("0", "train"),
        ("0", "val"),
        ("1", "train"),
        ("1", "val"),
    ]


def test_headings_of_strata() -> None:
    cases = [
        Case(name, 0, 0, None, stratum)
        for name, stratum in zip("abc", ("y", None, "x"), strict=True)
    ]
    assert strata_of(cases) == {"x": "x", "y": "y", None: "unknown"}
    assert strata_of(cases[1:2]) == {}
