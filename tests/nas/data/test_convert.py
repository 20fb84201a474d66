import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nas.data.cases import UNKNOWN, Case, Subset
from nas.data.convert import convert, safe_stems
from nas.data.splits import Split
from nas.errors import DataError, UsageError

SIZE = (12, 17)


@dataclass
class Memory:
    """A reader of arrays that are held in memory, (C, H, W) of stored whole numbers."""

    stored: dict[str, np.ndarray]
    largest: float = 255.0
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    objects: dict[str, np.ndarray] = field(default_factory=dict)
    fields: dict[str, np.ndarray] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] = ("background", "left lung", "heart")
    name: str = "memory"
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lists: Mapping[Subset, tuple[str, ...]] | None = None

    @property
    def channels(self) -> int:
        return int(next(iter(self.stored.values())).shape[0])

    @property
    def cases(self) -> tuple[Case, ...]:
        return tuple(
            Case(id=name, image=n, mask=n, group=self.groups.get(name))
            for n, name in enumerate(self.stored)
        )

    def read_image(self, case: Case) -> np.ndarray:
        return (self.stored[case.id] / np.float32(self.largest)).astype(np.float32)

    def read_mask(self, case: Case) -> np.ndarray:
        return self.masks[case.id]

    def read_instances(self, case: Case) -> np.ndarray | None:
        return self.objects.get(case.id)

    def read_field_of_view(self, case: Case) -> np.ndarray | None:
        return self.fields.get(case.id)

    def describe(self, case: Case) -> str:
        return "generated"


def _reader(names: list[str], channels: int = 1, largest: int = 255, **options: object) -> Memory:
    rng = np.random.default_rng(len(names))
    return Memory(
        stored={n: rng.integers(0, largest + 1, (channels, *SIZE)) for n in names},
        largest=largest,
        masks={n: rng.integers(0, 3, SIZE).astype(np.uint8) for n in names},
        **options,  # type: ignore[arg-type]
    )


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture)


def _tree(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


NAMES = ["a1", "a2", "a10"]


@pytest.mark.parametrize(
    ("channels", "largest", "kind"),
    [(1, 255, np.uint8), (1, 65535, np.uint16), (3, 255, np.uint8)],
)
def test_a_folder_holds_the_very_numbers(
    channels: int, largest: int, kind: type, tmp_path: Path
) -> None:
    reader = _reader(NAMES, channels, largest)
    done = convert(reader, None, tmp_path / "out", "folder")
    assert done.folder == tmp_path / "out" and done.stems == {n: n for n in NAMES}
    expected = {f"{f}/{n}.png" for f in ("images", "masks") for n in NAMES} | {"cases.csv"}
    assert _tree(tmp_path / "out") == expected
    for name in NAMES:
        image = _pixels(done.folder / "images" / f"{name}.png")
        assert image.dtype == kind
        image = image[None] if channels == 1 else np.moveaxis(image, -1, 0)
        np.testing.assert_array_equal(image, reader.stored[name])
        mask = _pixels(done.folder / "masks" / f"{name}.png")
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, reader.masks[name])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 65535), st.sampled_from([255, 65535]))
def test_no_grey_is_lost(value: int, largest: int) -> None:
    import tempfile

    value = min(value, largest)
    pixels = np.array([[[0, value, largest, value // 2]]])
    reader = Memory({"x": pixels}, largest, {"x": np.zeros((1, 4), np.uint8)})
    with tempfile.TemporaryDirectory() as folder:
        convert(reader, None, Path(folder) / "o", "folder")
        stored = _pixels(Path(folder) / "o" / "images" / "x.png")
    full = 255 if stored.dtype == np.uint8 else 65535
    np.testing.assert_array_equal(np.round(stored / full * largest), pixels[0])


def test_one_deep_image_makes_all_16_bit(tmp_path: Path) -> None:
    reader = _reader(NAMES)
    reader.stored["a10"] = reader.stored["a10"] + 0.5
    convert(reader, None, tmp_path / "o", "folder")
    first = _pixels(tmp_path / "o" / "images" / "a1.png")
    assert first.dtype == np.uint16
    np.testing.assert_array_equal(first, reader.stored["a1"][0] * 257)


def test_12_bit_greys_stay_apart_and_near(tmp_path: Path) -> None:
    greys = np.arange(4096).reshape(1, 64, 64)
    reader = Memory({"x": greys}, 4095, {"x": np.zeros((64, 64), np.uint8)})
    convert(reader, None, tmp_path / "o", "folder")
    stored = _pixels(tmp_path / "o" / "images" / "x.png")
    assert len(np.unique(stored)) == 4096
    assert np.abs(stored / 65535 - greys[0] / 4095).max() <= 1 / 131070 + 1e-9


def test_objects_fields_and_unknown_pixels(tmp_path: Path) -> None:
    objects = np.arange(12 * 17).reshape(SIZE).astype(np.int32) * 300
    inside = np.random.default_rng(0).random(SIZE) < 0.5
    reader = _reader(NAMES, objects={"a2": objects}, fields={"a1": inside})
    reader.masks["a1"][0, :5] = UNKNOWN
    convert(reader, None, tmp_path / "o", "folder")
    assert sorted(p.name for p in (tmp_path / "o" / "instances").iterdir()) == ["a2.png"]
    np.testing.assert_array_equal(_pixels(tmp_path / "o" / "instances" / "a2.png"), objects)
    np.testing.assert_array_equal(_pixels(tmp_path / "o" / "fov" / "a1.png"), inside * 255)
    assert (_pixels(tmp_path / "o" / "masks" / "a1.png")[0, :5] == 255).all()


@pytest.mark.parametrize("number", [-1, 65536])
def test_objects_that_16_bits_do_not_hold_are_refused(number: int, tmp_path: Path) -> None:
    reader = _reader(["a"], objects={"a": np.full(SIZE, number, np.int32)})
    with pytest.raises(DataError, match="The objects of a"):
        convert(reader, None, tmp_path / "o", "folder")


def test_lists_groups_and_the_table(tmp_path: Path) -> None:
    groups = {"p/1": 'Miller, "Joe"', "p 2": "b"}
    reader = _reader(["p/1", "p 2", "z"], groups=groups)
    split = Split(train=("p/1",), val=("p 2",), test=("z",))
    done = convert(reader, split, tmp_path / "o", "folder")
    lists = {s: (done.folder / f"{s}.txt").read_text() for s in ("train", "val", "test")}
    assert lists == {"train": "p_1\n", "val": "p_2\n", "test": "z\n"}
    with (done.folder / "groups.csv").open(newline="") as file:
        found = {row["file"]: row["group"] for row in csv.DictReader(file)}
    assert found == {"p_1": 'Miller, "Joe"', "p_2": "b", "z": "z"}
    with (done.folder / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["file"], r["id"], r["subset"]) for r in rows] == [
        ("p_1", "p/1", "train"),
        ("p_2", "p 2", "val"),
        ("z", "z", "test"),
    ]
    assert "--groups" in done.options and "'left lung'" in done.options


def test_cases_of_no_subset_are_left_out(tmp_path: Path) -> None:
    split = Split(train=("a1",), val=(), test=("a10",))
    done = convert(_reader(NAMES), split, tmp_path / "o", "folder")
    assert done.stems == {"a1": "a1", "a10": "a10"}
    assert sorted(p.name for p in (tmp_path / "o" / "images").iterdir()) == ["a1.png", "a10.png"]


def test_a_split_of_other_data_is_refused(tmp_path: Path) -> None:
    split = Split(train=("a1", "b7"), val=(), test=())
    with pytest.raises(DataError, match="b7"):
        convert(_reader(NAMES), split, tmp_path / "o", "folder")
    assert not (tmp_path / "o").exists()


def test_nnunet_of_grey_images(tmp_path: Path) -> None:
    names = ["a1", "a2", "a3", "b/1"]
    reader = _reader(names)
    split = Split(train=("a1", "a3"), val=("a2",), test=("b/1",))
    done = convert(reader, split, tmp_path, "nnunet", "Dataset501_Chest")
    assert done.folder == tmp_path / "Dataset501_Chest"
    train = {f"imagesTr/{n}_0000.png" for n in ("a1", "a2", "a3")} | {
        f"labelsTr/{n}.png" for n in ("a1", "a2", "a3")
    }
    rest = {"imagesTs/b_1_0000.png", "labelsTs/b_1.png", "dataset.json", "splits_final.json"}
    assert _tree(done.folder) == train | rest | {"cases.csv"}
    assert json.loads((done.folder / "dataset.json").read_text()) == {
        "channel_names": {"0": "channel 0"},
        "labels": {"background": 0, "left lung": 1, "heart": 2},
        "numTraining": 3,
        "file_ending": ".png",
    }
    splits = json.loads((done.folder / "splits_final.json").read_text())
    assert splits == [{"train": ["a1", "a3"], "val": ["a2"]}]
    for name in names:
        part, stem = ("Ts", "b_1") if name == "b/1" else ("Tr", name)
        image = _pixels(done.folder / f"images{part}" / f"{stem}_0000.png")
        np.testing.assert_array_equal(image, reader.stored[name][0])
        label = _pixels(done.folder / f"labels{part}" / f"{stem}.png")
        np.testing.assert_array_equal(label, reader.masks[name])


def test_nnunet_without_a_split_has_training_cases_only(tmp_path: Path) -> None:
    done = convert(_reader(NAMES), None, tmp_path, "nnunet")
    assert {name.split("/")[0] for name in _tree(done.folder)} == {
        "imagesTr", "labelsTr", "dataset.json", "cases.csv"
    }  # fmt: skip
    assert json.loads((done.folder / "dataset.json").read_text())["numTraining"] == 3


def test_unknown_pixels_become_the_label_ignore(tmp_path: Path) -> None:
    reader = _reader(NAMES)
    reader.masks["a2"][3] = UNKNOWN
    done = convert(reader, None, tmp_path, "nnunet")
    labels = json.loads((done.folder / "dataset.json").read_text())["labels"]
    assert labels == {"background": 0, "left lung": 1, "heart": 2, "ignore": 3}
    label = _pixels(done.folder / "labelsTr" / "a2.png")
    assert (label[3] == 3).all() and (label[:3] < 3).all()


@pytest.mark.parametrize(
    ("channels", "largest", "files"), [(3, 255, 1), (2, 255, 2), (3, 65535, 3), (4, 255, 4)]
)
def test_nnunet_has_a_file_for_each_channel_but_one_for_rgb(
    channels: int, largest: int, files: int, tmp_path: Path
) -> None:
    reader = _reader(["x"], channels, largest)
    done = convert(reader, None, tmp_path, "nnunet")
    images = sorted((done.folder / "imagesTr").iterdir())
    assert [p.name for p in images] == [f"x_{n:04d}.png" for n in range(files)]
    pixels = [_pixels(path) for path in images]
    together = np.moveaxis(pixels[0], -1, 0) if files == 1 else np.stack(pixels)
    np.testing.assert_array_equal(together, reader.stored["x"])
    names = json.loads((done.folder / "dataset.json").read_text())["channel_names"]
    assert len(names) == channels
    assert (list(names.values()) == ["R", "G", "B"]) == (channels == 3)


@pytest.mark.parametrize(("channels", "largest"), [(2, 255), (3, 65535)])
def test_a_folder_refuses_what_a_png_cannot_hold(
    channels: int, largest: int, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="nnunet"):
        convert(_reader(["x"], channels, largest), None, tmp_path / "o", "folder")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "classes", [("background", "ignore"), ("a", "background"), ("background", "x", "x")]
)
def test_class_names_that_nnunet_misreads_are_refused(
    classes: tuple[str, ...], tmp_path: Path
) -> None:
    reader = _reader(["x"], classes=classes)
    with pytest.raises(UsageError, match="cannot be labels"):
        convert(reader, None, tmp_path, "nnunet")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["folder", "nnunet"])
def test_a_folder_that_holds_something_is_refused(form: str, tmp_path: Path) -> None:
    target = tmp_path if form == "folder" else tmp_path / "Dataset500_Converted"
    target.mkdir(exist_ok=True)
    (target / "mine").write_text("precious")
    with pytest.raises(UsageError, match="not empty"):
        convert(_reader(NAMES), None, tmp_path, form)  # type: ignore[arg-type]
    assert _tree(target) == {"mine"}


@pytest.mark.parametrize("name", ["Chest", "Dataset5_Chest", "Dataset500", "Dataset500_a/b"])
def test_other_names_of_a_data_set_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Dataset500_Chest"):
        convert(_reader(NAMES), None, tmp_path, "nnunet", name)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=12), unique=True, max_size=12))
def test_stems_are_different_file_names(ids: list[str]) -> None:
    stems = safe_stems(ids)
    assert list(stems) == ids
    assert len({stem.lower() for stem in stems.values()}) == len(ids)
    for stem in stems.values():
        assert stem and not stem.startswith(".") and stem.isascii()
        assert not set(stem) & set('/\\:*?"<>| \n\t')


def test_stems_of_plain_ids_are_the_ids() -> None:
    assert safe_stems(["case_1", "a.b-2"]) == {"case_1": "case_1", "a.b-2": "a.b-2"}
    assert safe_stems(["a/b", "a b", "A_b", ".x"]) == {
        "a/b": "a_b", "a b": "a_b_2", "A_b": "A_b_3", ".x": "x"
    }  # fmt: skip


@pytest.mark.parametrize("form", ["folder", "nnunet"])
def test_progress_counts_the_cases_that_are_written(tmp_path: Path, form: str) -> None:
    told: list[tuple[int, int]] = []
    convert(
        _reader(["a", "b", "c"]),
        None,
        tmp_path / "out",
        form,  # type: ignore[arg-type]
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("form", ["folder", "nnunet"])
def test_a_conversion_that_fails_leaves_nothing_behind(tmp_path: Path, form: str) -> None:
    class Damaged(Memory):
        def read_mask(self, case: Case) -> np.ndarray:
            if case.id == "c":
                raise DataError("c is damaged.")
            return super().read_mask(case)

    whole = _reader(["a", "b", "c"])
    damaged = Damaged(stored=whole.stored, masks=whole.masks)
    with pytest.raises(DataError, match="c is damaged"):
        convert(damaged, None, tmp_path / "out", form)  # type: ignore[arg-type]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    convert(whole, None, tmp_path / "out", form)  # type: ignore[arg-type]


def test_what_has_no_place_in_nnunets_form_is_named(tmp_path: Path) -> None:
    names = ["a", "b"]

    class WithObjects(Memory):
        @property
        def cases(self) -> tuple[Case, ...]:
            return tuple(
                Case(case.id, case.image, case.mask, "g", instances=1, field_of_view=1)
                for case in super().cases
            )

    plain = _reader(names)
    reader = WithObjects(stored=plain.stored, masks=plain.masks)
    done = convert(reader, None, tmp_path / "n", "nnunet")
    assert done.lost == ("objects", "fields of view")
    assert (done.folder / "groups.csv").read_text() == "file,group\na,g\nb,g\n"
    assert f"--groups {done.folder / 'groups.csv'}" in done.options
    assert convert(reader, None, tmp_path / "f", "folder").lost == ()
    assert convert(plain, None, tmp_path / "p", "nnunet").lost == ()
