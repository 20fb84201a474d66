from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.synthesis.jsrt_mini import write


def test_the_files(tmp_path: Path, tree: Callable[..., Any], opened: Callable[..., Any]) -> None:
    write(tmp_path, 3, 0)
    parts = {1: "train", 2: "train", 3: "test"}
    assert tree(tmp_path) == {
        name
        for n, part in parts.items()
        for name in (
            f"segmentation/org_{part}/case00{n}.bmp",
            f"segmentation/label_{part}/case00{n}_label.png",
        )
    }
    for number, part in parts.items():
        folder = tmp_path / "segmentation"
        mode, size, image = opened(folder / f"org_{part}" / f"case00{number}.bmp", "BMP")
        assert (mode, size) == ("L", (256, 256))
        label = folder / f"label_{part}" / f"case00{number}_label.png"
        mode, size, values = opened(label, "PNG")
        assert (mode, size, np.unique(values).tolist()) == ("L", (256, 256), [0, 85, 170, 255])
        means = {int(v): image[values == v].mean() for v in np.unique(values)}
        assert means[0] < 20 < means[255] < means[85]


def test_a_fifth_is_for_test(tmp_path: Path, tree: Callable[..., Any]) -> None:
    write(tmp_path, 10, 0, (32, 32))
    assert sum("org_test" in name for name in tree(tmp_path)) == 2
