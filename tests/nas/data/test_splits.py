import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.data.cases import Case, Reader
from nas.data.layouts.phantom import PhantomReader
from nas.data.readers import open_reader
from nas.data.splits import (
    SUBSETS,
    Split,
    divided_by,
    divided_groups,
    halve,
    load_fold,
    load_split,
    make_split,
    save_split,
)
from nas.errors import DataError, RunError, UsageError
from nas.settings import DataSettings

Make = Callable[..., DataSettings]


def _reader(
    groups: Sequence[str | None], lists: Mapping[str, tuple[str, ...]] | None = None
) -> PhantomReader:
    """A reader of which only the cases and the lists matter."""
    cases = tuple(Case(f"c{n}", n, n, group) for n, group in enumerate(groups))
    return PhantomReader(channels=1, cases=cases, size=(32, 32), lists=lists)  # type: ignore[arg-type]


def _folder(**options: object) -> DataSettings:
    return DataSettings(dataset="folder", **options)  # type: ignore[arg-type]


def _subset_of_groups(split: Split, reader: Reader) -> dict[str | None, set[str]]:
    group = {case.id: case.group for case in reader.cases}
    places: dict[str | None, set[str]] = {}
    for subset in SUBSETS:
        for case in split.subset(subset):
            places.setdefault(group[case], set()).add(subset)
    return places


@pytest.mark.parametrize("dataset", ["phantom", "cxseg", "jsrt"])
def test_published_protocol_is_the_default(dataset: str) -> None:
    split = make_split(_reader([None] * 259), DataSettings(dataset=dataset))
    assert [len(split.subset(s)) for s in SUBSETS] == [50, 0, 209]


def test_other_data_are_split_60_20_20() -> None:
    split = make_split(_reader([None] * 35), _folder())
    assert [len(split.subset(s)) for s in SUBSETS] == [21, 7, 7]


def test_counts_can_be_asked_for() -> None:
    split = make_split(_reader([None] * 20), _folder(train_images=9, val_images=0))
    assert [len(split.subset(s)) for s in SUBSETS] == [9, 0, 11]


def test_the_phantom_keeps_the_protocol() -> None:
    options = DataSettings(image_size="64")
    split = make_split(open_reader(options), options)
    assert [len(split.subset(s)) for s in SUBSETS] == [50, 0, 209]


@given(
    sizes=st.lists(st.integers(1, 9), min_size=3, max_size=12),
    single=st.integers(0, 10),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_a_draw_covers_all_cases_once_and_keeps_groups_whole(
    sizes: list[int], single: int, seed: int
) -> None:
    groups: list[str | None] = [f"g{n}" for n, size in enumerate(sizes) for _ in range(size)]
    reader = _reader(groups + [None] * single)
    split = make_split(reader, _folder(split_seed=seed))
    ids = [case for subset in SUBSETS for case in split.subset(subset)]
    assert sorted(ids) == sorted(case.id for case in reader.cases)
    assert all(split.subset(subset) for subset in SUBSETS)
    places = _subset_of_groups(split, reader)
    assert all(len(where) == 1 for group, where in places.items() if group is not None)


@given(size=st.integers(1, 5), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_equal_groups_come_as_near_as_they_can(size: int, seed: int) -> None:
    groups: list[str | None] = [f"g{n // size}" for n in range(20 * size)]
    split = make_split(_reader(groups), _folder(split_seed=seed))
    assert [len(split.subset(s)) for s in SUBSETS] == [12 * size, 4 * size, 4 * size]


def test_the_seed_decides_and_the_order_of_the_cases_does_not() -> None:
    options = [_folder(split_seed=seed) for seed in (0, 0, 1)]
    first, again, other = (make_split(_reader([None] * 30), o) for o in options)
    assert first == again
    assert set(first.train) != set(other.train)


def test_every_case_can_be_drawn_for_training() -> None:
    reader = _reader([None] * 10)
    seen = {
        case for seed in range(30) for case in make_split(reader, _folder(split_seed=seed)).train
    }
    assert seen == {case.id for case in reader.cases}


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (30, {"dataset": "jsrt"}, "There are 30 images; 50 for training"),
        (10, {"train_images": 8, "val_images": 2}, "leave none for test"),
        (10, {"train_images": 0}, "needs a training image"),
        (10, {"val_images": -1}, "needs a training image"),
    ],
)
def test_too_few_images(count: int, options: dict[str, object], message: str) -> None:
    settings_ = DataSettings(**{"dataset": "folder", **options})  # type: ignore[arg-type]
    with pytest.raises(DataError, match=message):
        make_split(_reader([None] * count), settings_)


def test_too_few_groups() -> None:
    two = _reader(["a"] * 10 + ["b"] * 10)
    with pytest.raises(DataError, match="2 groups; 3 subsets .*: --val-images 0 leaves one"):
        make_split(two, _folder())
    assert len(make_split(two, _folder(val_images=0)).train) == 10
    with pytest.raises(DataError, match=r"1 groups; 2 subsets need at least as many groups\.$"):
        make_split(_reader(["a"] * 10), _folder(val_images=0))


def test_lists_of_the_data_win_over_a_draw() -> None:
    lists = {"train": ("c4", "c10", "c2"), "val": (), "test": ("c0",)}
    split = make_split(_reader([None] * 12, lists), _folder())
    assert split.train == ("c2", "c4", "c10")
    assert split.test == ("c0",)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"train": ("c1", "c2"), "val": (), "test": ("c2",)}, "c2 stands in test and in train"),
        ({"train": ("c1", "c1"), "val": (), "test": ()}, "c1 stands in train twice"),
        ({"train": (), "val": (), "test": ("c1",)}, "no training case"),
        ({"train": ("c9",), "val": (), "test": ()}, "does not have, such as c9"),
        ({"train": ("c0",), "val": (), "test": ("c1",)}, "divides the group g between train"),
    ],
)
def test_lists_that_do_not_fit(lists: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_split(_reader(["g", "g", None], lists), _folder())


OWNERS = {"train": ("c0", "c1"), "val": (), "test": ("c2", "c3")}


def test_owners_may_divide_a_group_and_users_may_not() -> None:
    reader = _reader(["g", "g", "g", None], OWNERS)
    split = make_split(reader, DataSettings(dataset="glas"))
    assert (split.train, split.val, split.test) == (("c0", "c1"), (), ("c2", "c3"))
    for dataset in ("folder", "cxseg"):
        with pytest.raises(
            DataError, match=r"\(train.txt, .*divides the group g between train and"
        ):
            make_split(reader, DataSettings(dataset=dataset))
    with pytest.raises(
        UsageError, match=r"^The split that came with the data: this names the images"
    ):
        make_split(reader, DataSettings(dataset="glas", train_images=1))


@pytest.mark.parametrize(
    ("parts", "fits"),
    [
        ((["c0", "c1"], [], ["c2", "c3"]), True),
        ((["c0", "c1"], ["c3"], ["c2"]), True),
        ((["c0"], ["c1"], ["c2", "c3"]), False),
        ((["c0", "c2"], [], ["c1", "c3"]), False),
        ((["c0", "c1", "c2"], [], ["c3"]), True),
    ],
)
def test_a_file_divides_a_group_only_as_its_owners_do(
    tmp_path: Path, parts: tuple[list[str], ...], fits: bool
) -> None:
    reader = _reader(["g", "g", "g", None], OWNERS)
    path = tmp_path / "s.json"
    path.write_text(json.dumps(dict(zip(SUBSETS, parts, strict=True))))
    options = DataSettings(dataset="glas", split=path)
    if fits:
        assert list(make_split(reader, options).train) == parts[0]
    else:
        with pytest.raises(DataError, match=r"s\.json divides the group g"):
            make_split(reader, options)


def test_a_file_that_says_why_may_divide_groups(tmp_path: Path) -> None:
    reader = _reader(["g", "g", "g", None], OWNERS)
    path = tmp_path / "s.json"
    parts: dict[str, object] = {"train": ["c0"], "val": ["c1"], "test": ["c2", "c3"]}
    path.write_text(json.dumps(parts | {"divides_groups": "as published"}))
    split = make_split(reader, DataSettings(dataset="glas", split=path))
    assert (split.train, split.val, split.test) == (("c0",), ("c1",), ("c2", "c3"))
    (sentence,) = divided_by(split, reader.cases)
    assert "such as g (train and val and test), as published: scores" in sentence
    save_split(split, tmp_path / "again.json")
    assert load_split(tmp_path / "again.json") == split
    path.write_text(json.dumps(parts | {"test": ["c9"], "divides_groups": "as published"}))
    with pytest.raises(DataError, match="does not have, such as c9"):
        make_split(reader, DataSettings(dataset="glas", split=path))


def test_what_is_divided_is_told() -> None:
    cases = _reader(["p10", "p2", "p10", "p2", "p3", None, None]).cases
    split = Split(train=("c0", "c1", "c5"), val=("c4",), test=("c2", "c3", "c6"))
    (sentence,) = divided_by(split, cases)
    assert sentence.startswith("The split divides 2 of 3 groups, such as p2 (train and test):")
    assert divided_by(Split(train=("c0", "c2"), val=("c1",), test=("c5", "c6")), cases) == ()


def test_an_empty_list_for_validation_stays_empty() -> None:
    assert make_split(_reader([None] * 4, OWNERS), _folder()).val == ()


def _folds(path: Path) -> Path:
    folds = [{"train": ["g1", "c4"], "val": ["g2"]}, {"train": ["g2"], "val": ["g1"]}]
    path.write_text(json.dumps(folds))
    return path


def test_a_fold_of_nnunet_is_used(tmp_path: Path) -> None:
    path = _folds(tmp_path / "splits_final.json")
    reader = _reader(["g1", "g2", "g1", "g2", None, None])
    first = make_split(reader, _folder(split=path, fold=0))
    assert first == Split(train=("c0", "c2", "c4"), val=("c1", "c3"), test=("c5",))
    second = make_split(reader, _folder(split=path, fold=1))
    assert second == Split(train=("c1", "c3"), val=("c0", "c2"), test=("c4", "c5"))
    assert load_fold(path, 1, reader.cases) == second


def test_folds_and_files_belong_together(tmp_path: Path) -> None:
    reader = _reader([None] * 6)
    with pytest.raises(UsageError, match="--fold 1 chooses .* no --split FILE"):
        make_split(reader, _folder(fold=1))
    with pytest.raises(UsageError, match="--fold 1 chooses .* no --split FILE"):
        make_split(_reader([None] * 6, OWNERS), _folder(fold=1))
    path = _folds(tmp_path / "folds.json")
    with pytest.raises(UsageError, match="choose one by --fold"):
        make_split(reader, _folder(split=path))
    with pytest.raises(DataError, match="names 1 cases that the data does not have, such as g1"):
        make_split(_reader([None] * 6), _folder(split=_without_c4(tmp_path), fold=0))


def _without_c4(folder: Path) -> Path:
    path = folder / "other.json"
    path.write_text(json.dumps([{"train": ["g1", "c1"], "val": ["c2"]}]))
    return path


def test_a_name_that_stands_twice_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps([{"train": ["c0", "g"], "val": []}]))
    with pytest.raises(DataError, match=r"s\.json: The case c0 stands in train twice"):
        make_split(_reader(["g", "g", None]), _folder(split=path))


def test_saved_split_is_used_again(tmp_path: Path) -> None:
    reader = _reader([None] * 12)
    split = make_split(reader, _folder(split_seed=5))
    save_split(split, tmp_path / "split.json")
    assert load_split(tmp_path / "split.json") == split
    assert make_split(reader, _folder(split=tmp_path / "split.json")) == split
    assert [path.name for path in tmp_path.iterdir()] == ["split.json"]
    with pytest.raises(DataError, match=r"split\.json names .* does not have"):
        make_split(_reader([None] * 5), _folder(split=tmp_path / "split.json"))


@pytest.mark.parametrize(
    ("options", "name"), [({"train_images": 3}, "--train-images"), ({"val_images": 0}, "--val-im")]
)
def test_numbers_are_refused_where_the_images_are_named(
    tmp_path: Path, options: dict[str, int], name: str
) -> None:
    path = tmp_path / "split.json"
    reader = _reader([None] * 12)
    save_split(make_split(reader, _folder()), path)
    with pytest.raises(UsageError, match=f"split.json.*{name}"):
        make_split(reader, _folder(split=path, **options))
    lists = {"train": ("c4",), "val": (), "test": ("c0",)}
    with pytest.raises(UsageError, match=f"came with the data.*{name}"):
        make_split(_reader([None] * 12, lists), _folder(**options))


def test_a_split_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "split.json" / "in the way").mkdir(parents=True)
    with pytest.raises(RunError, match=r"Cannot write .*split\.json"):
        save_split(Split(train=("a",), val=(), test=()), tmp_path / "split.json")
    assert [path.name for path in tmp_path.iterdir()] == ["split.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a split"),
        ('{"train": ["a"], "val": [], "test": [], "extra": 1}', "is not a split"),
        ('{"train": ["a"], "val": []}', "is not a split"),
        ('{"train": ["a"], "val": ["a"], "test": []}', "a stands in val and in train"),
    ],
)
def test_files_that_are_no_split(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        load_split(path)
    assert "split.json" in str(caught.value)
    with pytest.raises(DataError, match="cannot be read"):
        load_split(tmp_path / "none.json")


def test_hash_is_that_of_the_sets() -> None:
    text = '{"test":["c"],"train":["a","b"],"val":[]}'
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert Split(train=("b", "a"), val=(), test=("c",), seed=3).hash == expected
    assert Split(train=("a", "b"), val=(), test=("c",), seed=4).hash == expected
    assert Split(train=("a",), val=("b",), test=("c",)).hash != expected


@given(count=st.integers(2, 60), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_halves_are_disjoint_and_even(count: int, seed: int) -> None:
    train = [f"c{n}" for n in range(count)]
    weights, architecture = halve(train, seed)
    assert sorted(weights + architecture) == sorted(train)
    assert len(weights) - len(architecture) == count % 2
    assert halve(tuple(reversed(train)), seed) == (weights, architecture)


def test_halves_keep_groups_where_that_is_balanced() -> None:
    train = [f"c{n}" for n in range(30)]
    groups = {case: f"g{n % 6}" for n, case in enumerate(train)}
    weights, architecture = halve(train, 0, groups)
    assert {groups[c] for c in weights} & {groups[c] for c in architecture} == set()
    assert len(weights) == 15
    assert divided_groups((weights, architecture), groups) == ()


def test_halves_divide_groups_rather_than_be_lopsided() -> None:
    train = [f"c{n}" for n in range(31)]
    groups = {case: "one" if n else "other" for n, case in enumerate(train)}
    weights, architecture = halve(train, 0, groups)
    assert (len(weights), len(architecture)) == (16, 15)
    assert divided_groups((weights, architecture), groups) == ("one",)
    weights, architecture = halve(train, 0, dict.fromkeys(train, "same"))
    assert (len(weights), len(architecture)) == (16, 15)


def test_divided_groups_are_those_in_both_halves() -> None:
    groups = {"a": "g10", "b": "g10", "c": "g2", "d": "g2", "e": "g3", "f": None, "g": None}
    assert divided_groups((("a", "c", "e", "f"), ("d", "b", "g")), groups) == ("g2", "g10")


def test_the_seed_decides_the_halves() -> None:
    train = [f"c{n}" for n in range(30)]
    assert len({halve(train, seed) for seed in range(5)}) == 5


def test_one_image_cannot_be_halved() -> None:
    with pytest.raises(DataError, match="2 training images or more"):
        halve(["a"], 0)


def test_lists_in_files_are_used(make_folder: Make, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("case1\ncase3\n")
    (tmp_path / "test.txt").write_text("case2\n")
    options = make_folder(4)
    split = make_split(open_reader(options), options)
    assert (split.train, split.val, split.test) == (("case1", "case3"), (), ("case2",))
