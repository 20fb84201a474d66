from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.synthesis.cxseg import write


def test_the_files(tmp_path: Path, tree: Callable[..., Any], opened: Callable[..., Any]) -> None:
    write(tmp_path, 2, 0, (96, 80))
    assert tree(tmp_path) == {f"{f}/000{n}.png" for f in ("images", "masks") for n in (1, 2)}
    for number in (1, 2):
        mode, size, _ = opened(tmp_path / "images" / f"000{number}.png", "PNG")
        assert (mode, size) == ("L", (80, 96))
        mode, size, mask = opened(tmp_path / "masks" / f"000{number}.png", "PNG")
        assert (mode, size, np.unique(mask).tolist()) == ("L", (80, 96), [0, 1, 2, 3])
        left, right = (np.nonzero(mask == k)[1].mean() for k in (2, 3))
        assert left > right
