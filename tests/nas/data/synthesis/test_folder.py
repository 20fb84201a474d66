import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.data.synthesis.folder import write


def test_the_files(tmp_path: Path, tree: Callable[..., Any], opened: Callable[..., Any]) -> None:
    write(tmp_path, 3, 0, (64, 80))
    names = [f"cells_{n:04d}.png" for n in (1, 2, 3)]
    pictures = {f"{folder}/{name}" for folder in ("images", "masks", "instances") for name in names}
    assert tree(tmp_path) == pictures | {"groups.csv", "train.txt", "val.txt", "test.txt"}
    for name in names:
        mode, size, _ = opened(tmp_path / "images" / name, "PNG")
        assert (mode, size) == ("L", (80, 64))
        mode, size, mask = opened(tmp_path / "masks" / name, "PNG")
        assert (mode, size, np.unique(mask).tolist()) == ("L", (80, 64), [0, 1])
        mode, _, objects = opened(tmp_path / "instances" / name, "PNG")
        assert mode == "I;16"
        np.testing.assert_array_equal(objects > 0, mask > 0)


@pytest.mark.parametrize("cases", [3, 5, 6, 7, 12])
def test_the_lists_name_every_case_once_and_divide_no_group(cases: int, tmp_path: Path) -> None:
    write(tmp_path, cases, 0, (32, 32))
    with (tmp_path / "groups.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    group = {row["file"]: row["group"] for row in rows}
    lists = {s: (tmp_path / f"{s}.txt").read_text().split() for s in ("train", "val", "test")}
    named = [name for names in lists.values() for name in names]
    assert sorted(named) == sorted(group) and len(named) == cases
    assert all(lists.values()) and len(lists["train"]) >= len(lists["test"])
    groups = [{group[name] for name in names} for names in lists.values()]
    assert sum(len(g) for g in groups) == len(set().union(*groups))
