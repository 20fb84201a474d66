from collections.abc import Callable
from pathlib import Path

import pytest

from nas.data.readers import open_reader
from nas.errors import DataError, UsageError
from nas.settings import DataSettings

Make = Callable[..., DataSettings]


def test_classes_are_those_of_the_chest(make_folder: Make) -> None:
    reader = open_reader(make_folder(4, values=(0, 1, 2, 3), dataset="cxseg"))
    assert reader.name == "cxseg"
    assert reader.classes == ("background", "heart", "left lung", "right lung")
    assert "the right lung is on the image's left" in reader.notes[0]


def test_nothing_found_is_answered_with_the_layout_and_the_phantom(tmp_path: Path) -> None:
    for root in (None, tmp_path, tmp_path / "none"):
        with pytest.raises(DataError) as caught:
            open_reader(DataSettings(dataset="cxseg", data_root=root))
        message = str(caught.value)
        where = "--dataset cxseg needs --data-root DIR" if root is None else str(root)
        assert where in message
        assert "images/*.png and masks/*.png" in message
        assert "1 heart, 2 left lung, 3 right lung" in message
        assert "--dataset phantom runs now" in message


def test_unknown_values_are_refused(make_folder: Make) -> None:
    reader = open_reader(make_folder(2, values=(0, 4), dataset="cxseg"))
    with pytest.raises(DataError, match="values 4"):
        reader.read_mask(reader.cases[0])


def test_other_class_names_are_refused(make_folder: Make) -> None:
    with pytest.raises(UsageError, match="--class-names means nothing with --dataset cxseg"):
        open_reader(make_folder(2, dataset="cxseg", class_names=("background", "lung")))


def test_the_folder_may_lie_below_the_root(make_folder: Make) -> None:
    settings = make_folder(4, values=(0, 1, 2, 3), dataset="cxseg")
    root = settings.data_root
    assert root is not None
    for name in ("images", "masks"):
        (root / "CX-SEG").mkdir(exist_ok=True)
        (root / name).rename(root / "CX-SEG" / name)
    reader = open_reader(settings)
    assert [case.id for case in reader.cases] == ["case1", "case2", "case3", "case4"]
