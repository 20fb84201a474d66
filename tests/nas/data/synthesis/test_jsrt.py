from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.data.synthesis import jsrt

ORGANS = ("heart", "left lung", "right lung", "left clavicle", "right clavicle")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jsrt")
    jsrt.write(folder, 3, 0)
    return folder


def test_the_files(root: Path, tree: Callable[..., Any]) -> None:
    names = {"JPCLN001": 1, "JPCLN002": 2, "JPCNN001": 1}
    images = {f"All247images/{name}.IMG" for name in names}
    masks = {
        f"scratch/fold{1 if number % 2 else 2}/masks/{organ}/{name}.gif"
        for name, number in names.items()
        for organ in ORGANS
    }
    assert tree(root) == images | masks


def test_images_are_headerless_big_endian_12_bit(root: Path) -> None:
    for path in (root / "All247images").iterdir():
        assert path.stat().st_size == 8_388_608
        stored = np.fromfile(path, dtype=">u2").reshape(2048, 2048)
        assert stored.max() <= 4095
        assert np.fromfile(path, dtype="<u2").max() > 4095
        smooth = np.abs(np.diff(stored.astype(int), axis=1)).mean()
        assert smooth < 0.02 * 4095


def test_masks_are_gifs_of_half_the_side(root: Path, opened: Callable[..., Any]) -> None:
    for path in (root / "scratch").rglob("*.gif"):
        _, size, mask = opened(path, "GIF")
        assert size == (1024, 1024) and np.unique(mask).tolist() == [0, 255]


def test_image_and_mask_show_the_same_patient(root: Path, opened: Callable[..., Any]) -> None:
    """Lungs are dark on a film that shows bones bright, so they are stored high."""
    for name, fold in (("JPCLN001", 1), ("JPCLN002", 2), ("JPCNN001", 1)):
        stored = np.fromfile(root / "All247images" / f"{name}.IMG", dtype=">u2")
        half = stored.reshape(2048, 2048)[::2, ::2]
        masks = root / "scratch" / f"fold{fold}" / "masks"
        heart, left, right, left_clavicle, _ = (
            opened(masks / organ / f"{name}.gif", "GIF")[2] > 0 for organ in ORGANS
        )
        assert half[left | right].mean() > half[heart].mean() + 300
        assert not (left & right).any() and not (heart & left).any()
        columns = [np.nonzero(mask)[1].mean() for mask in (left, right)]
        assert columns[0] > columns[1]
        assert (left_clavicle & left).any() and not (left_clavicle & right).any()


@pytest.mark.parametrize(("cases", "nodules"), [(247, 154), (246, 153), (100, 62), (2, 1), (1, 1)])
def test_nodules_have_the_share_of_the_real_set(cases: int, nodules: int) -> None:
    names = [name for name, _ in jsrt._names(cases)]
    assert len(set(names)) == cases
    assert sum(name.startswith("JPCLN") for name in names) == nodules
    assert sum(name.startswith("JPCNN") for name in names) <= 93


def test_the_folds_have_124_and_123_images() -> None:
    odd = sum(number % 2 for _, number in jsrt._names(247))
    assert (odd, 247 - odd) == (124, 123)


def test_the_seed_decides(root: Path, tmp_path: Path) -> None:
    jsrt.write(tmp_path / "same", 1, 0)
    jsrt.write(tmp_path / "other", 1, 1)
    name = "All247images/JPCLN001.IMG"
    first, same, other = (
        (folder / name).read_bytes() for folder in (root, tmp_path / "same", tmp_path / "other")
    )
    assert first == same and first != other
