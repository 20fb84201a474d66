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


def test_nothing_found_is_answered_with_the_layout_and_the_phantom(tmp_path: Path) -> None:
    for root in (None, tmp_path, tmp_path / "none"):
        with pytest.raises(DataError) as caught:
            open_reader(DataSettings(dataset="cxseg", data_root=root))
        message = str(caught.value)
        where = "--dataset cxseg needs --data-root DIR" if root is None else str(root)
        assert where in message
        assert "DIR/images/*.png" in message
        assert "DIR/masks" in message
        assert "1 heart, 2 left lung, 3 right lung" in message
        assert "--dataset phantom runs now" in message


def test_unknown_values_are_refused(make_folder: Make) -> None:
    reader = open_reader(make_folder(2, values=(0, 4), dataset="cxseg"))
    with pytest.raises(DataError, match="values 4"):
        reader.read_mask(reader.cases[0])


def test_other_class_names_are_refused(make_folder: Make) -> None:
    with pytest.raises(UsageError, match="--class-names means nothing with --dataset cxseg"):
        open_reader(make_folder(2, dataset="cxseg", class_names=("background", "lung")))
