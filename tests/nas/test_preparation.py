"""Data of a run: its own split, its files read early, and changes noticed on resuming."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from nas.data.cases import UNKNOWN, Case
from nas.data.delegating import DelegatingReader
from nas.data.splits import Split, save_split
from nas.errors import DataError, UsageError
from nas.preparation import Data, changes, describe, new_segmenter, open_data, record_data, rehearse
from nas.runs import RunFolder
from nas.settings import DataSettings, SearchSettings

CPU = torch.device("cpu")
PHANTOM = DataSettings(image_size="32", train_images=3, val_images=1)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.begin("search", SearchSettings())
    return folder


def recorded(folder: RunFolder, data: Data) -> None:
    record_data(folder, data, data.loaded("train", CPU), data.loaded("val", CPU))


def test_the_split_of_the_folder_wins(folder: RunFolder) -> None:
    drawn = open_data(PHANTOM, folder).split
    ids = [case.id for case in open_data(PHANTOM).reader.cases]
    own = Split(train=tuple(ids[:2]), val=(), test=tuple(ids[2:]))
    save_split(own, folder.split_file)
    assert open_data(PHANTOM, folder).split == own
    assert open_data(PHANTOM).split == drawn != own


def test_data_is_recorded_once_and_found_again(
    folder: RunFolder, discs: Callable[..., Data]
) -> None:
    data = discs()
    recorded(folder, data)
    record = folder.read_record()["data"]
    assert record["images"] == {"train": 4, "val": 2, "test": 2, "labelled": 4}
    assert record["split_hash"] == data.split.hash
    assert list(record["means"]) == [*data.split.train, *data.split.val]
    case = data.reader.cases[5]
    assert record["means"][case.id] == pytest.approx(
        [data.reader.read_image(case).mean(), data.reader.read_mask(case).mean()], abs=1e-5
    )
    recorded(folder, discs())


def with_reader(data: Data, **changed: Any) -> Data:
    return replace(data, reader=replace(data.reader, **changed))  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: with_reader(data, shift=0.05), "the case case0 has another image"),
        (lambda data: with_reader(data, name="other"), "name was discs and is other"),
        (lambda data: with_reader(data, classes=("a", "b")), "classes was"),
        (lambda data: with_reader(data, channels=3), "channels was 1 and is 3"),
        (
            lambda data: replace(data, split=Split(train=("case1",), val=(), test=("case0",))),
            "split_hash was",
        ),
    ],
)
def test_changed_data_is_refused(
    folder: RunFolder, discs: Callable[..., Data], change: Callable[[Data], Data], words: str
) -> None:
    recorded(folder, discs())
    before = folder.split_file.read_bytes(), folder.record_file.read_bytes()
    with pytest.raises(DataError, match=words):
        recorded(folder, change(discs()))
    assert (folder.split_file.read_bytes(), folder.record_file.read_bytes()) == before


def test_a_mask_in_another_case_is_noticed(discs: Callable[..., Data]) -> None:
    data = discs()
    samples = data.loaded("train", CPU)
    known = describe(data, samples)
    cases = data.reader.cases
    exchanged = tuple(Case(case.id, case.image, 7 - int(str(case.mask))) for case in cases)
    swapped = with_reader(data, cases=exchanged)
    found = describe(swapped, swapped.loaded("train", CPU))
    assert changes(known, known) == []
    assert len(changes(known, found)) == len(samples)


def test_changed_unlabelled_images_are_refused(
    folder: RunFolder, discs: Callable[..., Data]
) -> None:
    for shift in (0.0, 1e-4, 0.05):
        data = replace(discs(train=6, shift=shift), settings=DataSettings(unlabelled_images=2))
        found = data.unlabelled(CPU)
        assert found is not None and set(found.images) == set(data.put_aside)
        if shift < 0.01:
            record_data(folder, discs(train=6), unlabelled=found)
        else:
            with pytest.raises(DataError, match="has another image"):
                record_data(folder, discs(train=6), unlabelled=found)


def test_rounding_of_another_machine_is_no_change(discs: Callable[..., Data]) -> None:
    data, nearly = discs(), discs(shift=1e-4)
    known = describe(data, data.loaded("train", CPU))
    assert changes(known, describe(nearly, nearly.loaded("train", CPU))) == []


def test_damaged_files_are_found_before_training(discs: Callable[..., Data]) -> None:
    class Damaged(type(discs().reader)):  # type: ignore[misc]
        def read_image(self, case: Case) -> np.ndarray:
            if case.id == "case3":
                raise DataError("case3 is damaged.")
            return super().read_image(case)

    data = discs()
    broken = replace(data, reader=Damaged(data.reader.cases))
    broken.samples("train", CPU)
    with pytest.raises(DataError, match="case3 is damaged"):
        broken.loaded("train", CPU)
    assert len(broken.loaded("val", CPU)) == 2


def test_segmenters_depend_on_specification_and_seed_alone() -> None:
    def weights(spec: str, seed: int) -> torch.Tensor:
        network = new_segmenter(spec, 1, 2, seed)
        return torch.cat([each.detach().flatten() for each in network.parameters()])

    first = weights("unet?width=2&depth=1", 3)
    torch.randn(5)
    assert torch.equal(weights("unet?width=2&depth=1", 3), first)
    assert not torch.equal(weights("unet?width=2&depth=1", 4), first)


def test_a_rehearsal_leaves_no_trace_and_speaks(discs: Callable[..., Data]) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    batch = discs().loaded("train", CPU).batch(["case0"])
    rehearse([lambda each: network(each.images)], [network], batch)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)

    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(1))
    with pytest.raises(UsageError, match="do not fit 1 image.* of 32x32.*--batch-size"):
        rehearse([lambda each: pooled(each.images)], [pooled], batch)


def test_unlabelled_images_that_the_run_is_judged_by_are_refused(tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        for number in range(4):
            picture = np.full((32, 32), (number % 2) if name == "masks" else 40 * number, np.uint8)
            Image.fromarray(picture).save(tmp_path / name / f"{number}.png")
    settings = DataSettings(
        dataset="folder",
        data_root=tmp_path,
        image_size="32",
        train_images=2,
        val_images=1,
        unlabelled=tmp_path / "images",
    )
    data = open_data(settings)
    with pytest.raises(DataError, match="validation or test image"):
        data.unlabelled(CPU)
    for case in (*data.split.val, *data.split.test):
        (tmp_path / "images" / f"{case}.png").rename(tmp_path / f"{case}.png")
    assert len(data.unlabelled(CPU).images) == 2


def test_what_is_cached_is_what_is_read(tmp_path: Path) -> None:
    plain = open_data(PHANTOM)
    settings = msgspec.structs.replace(PHANTOM, cache=tmp_path / "cache")
    expected = plain.loaded("train", CPU).batch(plain.split.train)
    for _ in range(2):
        found = open_data(settings).loaded("train", CPU).batch(plain.split.train)
        assert torch.equal(found.images, expected.images)
        assert torch.equal(found.labels, expected.labels)
    entries = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len(entries) == 3
    open_data(settings).samples("val", CPU).load()
    assert len([path for path in (tmp_path / "cache").rglob("*") if path.is_file()]) == 4


def test_a_divided_group_is_worth_a_note(discs: Callable[..., Data]) -> None:
    data = discs()
    assert data.notes == ()
    cases = tuple(replace(case, group="g") for case in data.reader.cases)
    (note,) = with_reader(data, cases=cases).notes
    assert note.startswith("The split divides 1 of 1 groups")


@dataclass(frozen=True)
class UpperHalf(DelegatingReader):
    """A field of view: the upper half of every image."""

    def read_field_of_view(self, case: Case) -> np.ndarray:
        view = np.zeros((32, 32), dtype=bool)
        view[:16] = True
        return view


def test_outside_the_field_of_view_is_learnt_and_not_scored(
    discs: Callable[..., Data], tmp_path: Path
) -> None:
    whole = discs()
    settings = DataSettings(cache=tmp_path)
    data = replace(whole, reader=UpperHalf(whole.reader), settings=settings)
    for subset in ("train", "val"):
        ids = data.split.subset(subset)
        expected = whole.loaded(subset, CPU).batch(ids).labels
        found = data.loaded(subset, CPU).batch(ids).labels
        assert torch.equal(found[:, :16], expected[:, :16])
        if subset == "train":
            assert torch.equal(found[:, 16:], expected[:, 16:])
        else:
            assert (found[:, 16:] == UNKNOWN).all()
