import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.data.synthesis import glas

FOLDER = "Warwick QU Dataset (Released 2016_07_08)"
HEADER = b"name,patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)\n"


def test_the_files(tmp_path: Path, tree: Callable[..., Any], opened: Callable[..., Any]) -> None:
    glas.write(tmp_path, 7, 0)
    names = ["train_1", "train_2", "train_3", "testA_1", "testA_2", "testA_3", "testB_1"]
    expected = {f"{FOLDER}/{n}{suffix}.bmp" for n in names for suffix in ("", "_anno")}
    assert tree(tmp_path) == expected | {f"{FOLDER}/Grade.csv"}
    sizes = []
    for name in names:
        mode, size, _ = opened(tmp_path / FOLDER / f"{name}.bmp", "BMP")
        assert mode == "RGB"
        sizes.append(size)
        mode, size, objects = opened(tmp_path / FOLDER / f"{name}_anno.bmp", "BMP")
        assert mode == "L" and size == sizes[-1]
        assert np.unique(objects).tolist() == list(range(objects.max() + 1))
        assert objects.max() >= 3
    assert sizes.count((775, 522)) == 6 and (589, 453) in sizes


def test_grade_csv_keeps_the_blanks(tmp_path: Path) -> None:
    glas.write(tmp_path, 12, 0, (64, 64))
    path = tmp_path / FOLDER / "Grade.csv"
    assert path.read_bytes().startswith(HEADER)
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert len(rows) == 12
    for name, patient, grade, fine in rows:
        assert name and patient.isdecimal() and grade in (" benign", " malignant")
        assert fine[1:] in glas.GRADES[grade[1:]]


def test_a_patient_is_in_training_and_in_test(tmp_path: Path) -> None:
    glas.write(tmp_path, 40, 0, (64, 64))
    rows = (tmp_path / FOLDER / "Grade.csv").read_text().splitlines()[1:]
    parts: dict[str, set[str]] = {}
    for row in rows:
        name, patient = row.split(",")[:2]
        parts.setdefault(patient, set()).add(name.split("_")[0])
    assert len(parts) == 16
    assert any({"train", "testA"} <= found for found in parts.values())


def test_the_parts_and_grades_of_the_whole_set() -> None:
    names = glas._names(165)
    grades = {
        part: sum(glas._is_malignant(p, n) for p, n in names if p == part) for part in glas.PARTS
    }
    counts = {part: sum(p == part for p, _ in names) for part in glas.PARTS}
    assert counts == {"train": 85, "testA": 60, "testB": 20}
    assert grades == {"train": 48, "testA": 27, "testB": 16}


@pytest.mark.parametrize("cases", [3, 4, 5, 8, 20])
def test_every_part_has_a_picture(cases: int) -> None:
    names = glas._names(cases)
    assert len(names) == cases and {part for part, _ in names} == set(glas.PARTS)
