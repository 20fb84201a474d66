"""How another command reads the same data."""

from __future__ import annotations

from pathlib import Path

from nas.cli.common import parse
from nas.cli.data_check import Options
from nas.cli.data_options import DIVISION, words
from nas.settings import DataSettings


def again(arguments: list[str]) -> DataSettings:
    return parse(Options, "nas-data check", arguments).data


def test_the_words_give_the_same_settings() -> None:
    data = DataSettings(
        dataset="folder",
        data_root=Path("a b"),
        class_names=("ground", "cell"),
        window=(-160.0, 240.0),
        image_channels=3,
    )
    assert again(words(data)) == data
    assert words(DataSettings()) == []


def test_the_division_is_left_out() -> None:
    data = DataSettings(train_images=3, val_images=1, split_seed=4, fold=0, split=Path("s.json"))
    assert words(data) == []
    assert set(DIVISION) <= set(DataSettings.__struct_fields__)


def test_a_file_is_named_with_what_was_typed_besides(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[data]\ndataset = "folder"\ndata_root = "d"\nwhite = 4095\n[training]\n')
    data = again(["--config", str(config), "--data-root", "e"])
    found = words(data, config)
    assert found == ["--config", str(config), "--data-root", "e"]
    assert again(found) == data


def test_a_file_that_counts_images_is_not_named(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[data]\ndataset = "folder"\ndata_root = "d"\ntrain_images = 3\n')
    data = again(["--config", str(config)])
    assert words(data, config) == ["--dataset", "folder", "--data-root", "d"]
