import json
from pathlib import Path
from typing import Any

import pytest

from nas.data.cases import UNKNOWN
from nas.data.layouts.dataset_json import (
    channel_names,
    classes_of,
    find_dataset,
    read_dataset_json,
    say_count,
)
from nas.errors import DataError

PATH = Path("dataset.json")


def test_names_to_numbers() -> None:
    labels = {"gland": 1, "background": 0, "stroma": 2}
    names, stored = classes_of(PATH, {"labels": labels})
    assert names == ("background", "gland", "stroma")
    assert stored == {0: 0, 1: 1, 2: 2}


def test_numbers_to_names() -> None:
    names, stored = classes_of(PATH, {"labels": {"0": "background", "2": "b", "1": "a"}})
    assert names == ("background", "a", "b")
    assert stored == {0: 0, 1: 1, 2: 2}


def test_ignore_is_unknown_and_no_class() -> None:
    names, stored = classes_of(PATH, {"labels": {"background": 0, "ignore": 2, "a": 1}})
    assert names == ("background", "a")
    assert stored == {0: 0, 1: 1, 2: UNKNOWN}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"background": 0, "whole": [1, 2], "core": 2}, r"regions that overlap \(whole\)"),
        ({"background": 0, "a": 2}, "numbers its labels 0, 2; expected 0"),
        ({"a": 1, "b": 2}, "numbers its labels 1, 2; expected 0"),
        ({"background": 0, "a": 1, "b": 1}, "numbers its labels 0, 1, 1"),
        ({"background": 0}, "names 1 labels"),
        ({"background": 0, "ignore": 1}, "names 1 labels"),
        ({"background": 0, "a": 1, "ignore": 3}, "ignore the value 3; it must be the highest, 2"),
        ({"0": "background", "1": "a", "2": "a"}, "two labels one name"),
        ({"background": 0, "a": 1.5}, "has the labels"),
        ({}, "names no labels"),
        (None, "names no labels"),
    ],
)
def test_labels_that_are_not_read(labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=rf"^dataset\.json .*{message}"):
        classes_of(PATH, {"labels": labels})


def test_channels_in_order() -> None:
    content = {"channel_names": {"1": "ADC", "0": "T2"}}
    assert channel_names(PATH, content) == ("T2", "ADC")
    assert channel_names(PATH, {"modality": {"0": "MRI"}}) == ("MRI",)
    with pytest.raises(DataError, match="names no channels"):
        channel_names(PATH, {})
    with pytest.raises(DataError, match="numbers its channels 1, 2"):
        channel_names(PATH, {"modality": {"1": "a", "2": "b"}})


def test_a_file_that_is_no_object(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    with pytest.raises(DataError, match=r"dataset\.json cannot be read"):
        read_dataset_json(path)
    path.write_text("{")
    with pytest.raises(DataError, match=r"dataset\.json cannot be read"):
        read_dataset_json(path)
    path.write_text("[1]")
    with pytest.raises(DataError, match="no JSON object"):
        read_dataset_json(path)


def test_the_folder_is_the_root_or_the_only_one_in_it(tmp_path: Path) -> None:
    pattern = r"Dataset\d{3}_.+"
    with pytest.raises(DataError, match=r"holds no data set of X: expected\."):
        find_dataset(tmp_path, pattern, "X", "expected")
    first = tmp_path / "Dataset001_A"
    first.mkdir()
    with pytest.raises(DataError, match=r"Dataset001_A holds no dataset\.json"):
        find_dataset(tmp_path, pattern, "X", "expected")
    (first / "dataset.json").write_text(json.dumps({}))
    assert find_dataset(tmp_path, pattern, "X", "expected") == first
    assert find_dataset(first, pattern, "X", "expected") == first
    (tmp_path / "Dataset010_B").mkdir()
    with pytest.raises(DataError, match=r"2 data sets of X \(Dataset001_A, Dataset010_B\)"):
        find_dataset(tmp_path, pattern, "X", "expected")
    (first / "dataset.json").unlink()
    (first / "imagesTr").mkdir()
    with pytest.raises(DataError, match=r"holds imagesTr, but no dataset\.json"):
        find_dataset(first, pattern, "X", "expected")


def test_archives_are_named(tmp_path: Path) -> None:
    (tmp_path / "Task04_Hippocampus.tar").write_bytes(b"")
    with pytest.raises(DataError, match=r"Task04_Hippocampus\.tar.*unpack"):
        find_dataset(tmp_path, r"Task\d{2}_.+", "X", "expected")


def test_counts_that_disagree_are_said() -> None:
    assert say_count(PATH, {"numTraining": 3}, 3) == []
    assert say_count(PATH, {}, 3) == []
    assert "numTraining is 4; there are 3" in say_count(PATH, {"numTraining": 4}, 3)[0]
