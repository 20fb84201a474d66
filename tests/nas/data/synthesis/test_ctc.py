from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.data.synthesis import ctc

SIZE = (96, 112)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ctc")
    ctc.write(folder, 13, 0, SIZE)
    return folder / ctc.FOLDER


def test_the_files(root: Path, tree: Callable[..., Any]) -> None:
    expected = set()
    for sequence, frames in (("01", 7), ("02", 6)):
        numbers = [f"{n:03d}" for n in range(frames)]
        expected |= {f"{sequence}/t{n}.tif" for n in numbers}
        expected |= {f"{sequence}_GT/TRA/man_track{n}.tif" for n in numbers}
        expected |= {f"{sequence}_ST/SEG/man_seg{n}.tif" for n in numbers}
        expected |= {f"{sequence}_GT/SEG/man_seg{n}.tif" for n in numbers[::3]}
        expected.add(f"{sequence}_GT/TRA/man_track.txt")
    assert tree(root) == expected


def test_depths_as_tifffile_reads_them(root: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    for path in root.rglob("*.tif"):
        pixels = tifffile.imread(path)
        assert pixels.shape == SIZE
        assert pixels.dtype == (np.uint8 if path.parent.name in ("01", "02") else np.uint16)


def _read(path: Path, opened: Callable[..., Any]) -> np.ndarray:
    mode, _, pixels = opened(path, "TIFF")
    assert mode == "I;16"
    return np.asarray(pixels)


def test_gold_is_sparse_and_exact(root: Path, opened: Callable[..., Any]) -> None:
    """Frame 0 has all cells of the tracks, frame 3 misses some and is empty where they are."""
    counts = []
    for frame in (0, 3):
        gold = _read(root / "01_GT" / "SEG" / f"man_seg00{frame}.tif", opened)
        track = _read(root / "01_GT" / "TRA" / f"man_track00{frame}.tif", opened)
        cells = [n for n in np.unique(track) if n]
        labelled = [n for n in cells if gold[track == n].all()]
        missed = [n for n in cells if not gold[track == n].any()]
        assert len(labelled) + len(missed) == len(cells) and labelled
        assert np.unique(gold).tolist() == list(range(len(labelled) + 1))
        counts.append(len(missed))
    assert counts[0] == 0 and counts[1] >= 1


def test_silver_has_all_cells_with_the_numbers_of_the_tracks(
    root: Path, opened: Callable[..., Any]
) -> None:
    for frame in range(7):
        silver = _read(root / "01_ST" / "SEG" / f"man_seg00{frame}.tif", opened)
        track = _read(root / "01_GT" / "TRA" / f"man_track00{frame}.tif", opened)
        assert set(np.unique(silver)) == set(np.unique(track))
        for cell in np.unique(track[track > 0]):
            assert (silver[track == cell] == cell).mean() > 0.8
            assert (silver == cell).sum() > (track == cell).sum()


def test_silver_differs_from_gold_at_the_edge(root: Path, opened: Callable[..., Any]) -> None:
    gold = _read(root / "01_GT" / "SEG" / "man_seg000.tif", opened) > 0
    silver = _read(root / "01_ST" / "SEG" / "man_seg000.tif", opened) > 0
    assert (gold != silver).any()
    assert (gold & silver).sum() / (gold | silver).sum() > 0.6


def test_tracks_tell_label_begin_end_parent(root: Path, opened: Callable[..., Any]) -> None:
    shown: dict[int, list[int]] = {}
    for frame in range(7):
        track = _read(root / "01_GT" / "TRA" / f"man_track00{frame}.tif", opened)
        for cell in np.unique(track[track > 0]).tolist():
            shown.setdefault(cell, []).append(frame)
    lines = (root / "01_GT" / "TRA" / "man_track.txt").read_text().splitlines()
    rows = [[int(number) for number in line.split(" ")] for line in lines]
    assert {row[0]: row[1:3] for row in rows} == {
        cell: [frames[0], frames[-1]] for cell, frames in shown.items()
    }
    assert {row[3] for row in rows} - {0} <= set(shown)
    assert sum(row[3] > 0 for row in rows) == 2
