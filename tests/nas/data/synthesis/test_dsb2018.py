import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.synthesis.dsb2018 import write


def test_the_files(tmp_path: Path, tree: Callable[..., Any], opened: Callable[..., Any]) -> None:
    write(tmp_path, 3, 0)
    folders = sorted((tmp_path / "stage1_train").iterdir())
    assert len(folders) == 3 and not (tmp_path / "stage1_test").exists()
    sizes = []
    for folder in folders:
        assert re.fullmatch("[0-9a-f]{64}", folder.name)
        names = tree(folder)
        assert f"images/{folder.name}.png" in names
        masks = names - {f"images/{folder.name}.png"}
        assert len(masks) >= 5
        assert all(re.fullmatch(r"masks/[0-9a-f]{64}\.png", name) for name in masks)
        mode, size, image = opened(folder / "images" / f"{folder.name}.png", "PNG")
        assert mode == "RGBA" and (image[..., 3] == 255).all()
        assert (image[..., :3] == image[..., :1]).all()
        sizes.append(size)
        covered = np.zeros(image.shape[:2], dtype=int)
        for name in masks:
            mode, mask_size, mask = opened(folder / name, "PNG")
            assert (mode, mask_size) == ("L", size) and np.unique(mask).tolist() == [0, 255]
            covered += mask > 0
        assert covered.max() == 1
        assert image[..., 0][covered > 0].mean() > 2 * image[..., 0][covered == 0].mean()
    assert sorted(sizes) == [(256, 256), (256, 256), (320, 256)]


def test_one_of_eleven_is_for_test_and_has_no_masks(
    tmp_path: Path, tree: Callable[..., Any]
) -> None:
    write(tmp_path, 22, 0, (32, 32))
    assert len(list((tmp_path / "stage1_train").iterdir())) == 20
    test = tree(tmp_path / "stage1_test")
    assert len(test) == 2 and all("/images/" in name for name in test)
