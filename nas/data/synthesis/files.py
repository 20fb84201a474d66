"""Writing of pictures, volumes and texts into the folders of a layout."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nas.errors import UsageError


def generator(seed: int, *case: int) -> np.random.Generator:
    """The random generator of a case; whatever other cases draw does not change it."""
    return np.random.default_rng([seed, *case])


def require_cases(cases: int, least: int, most: int) -> None:
    """Refuse numbers of cases that a layout cannot have.

    Raises:
        ValueError: there are fewer than ``least`` or more than ``most``.
    """
    if not least <= cases <= most:
        raise ValueError(f"{cases} cases were asked for; it holds {least} to {most}.")


def require_size(size: tuple[int, int], least: int) -> None:
    """Refuse pictures on which nothing could be seen.

    Raises:
        ValueError: a side is shorter than ``least`` pixels.
    """
    if min(size) < least:
        raise ValueError(f"a size of {size[0]}x{size[1]} was asked for; sides have {least} px up.")


def require_empty(root: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        UsageError: the folder is not empty, or is a file.
    """
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root} is a file; name a folder that is empty or not there yet.")
    if root.is_dir() and any(root.iterdir()):
        raise UsageError(f"{root} is not empty; name a folder that is empty or not there yet.")


def bytes_of(image: np.ndarray) -> np.ndarray:
    """An image in [0, 1] as uint8, 0 to 255."""
    return np.round(np.clip(image, 0.0, 1.0) * 255).astype(np.uint8)


def save_picture(path: Path, pixels: np.ndarray, **options: Any) -> None:
    """Write a picture in the format of its name.

    Args:
        path: of the file; its folder is made.
        pixels: (H, W) bool (1 bit), uint8 or uint16 (grey), or (H, W, 3) or (H, W, 4) uint8.
        options: of the format, as Pillow names them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def save_gif(path: Path, mask: np.ndarray) -> None:
    """Write a mask as a GIF whose indices and greys are both 0 and 255.

    Args:
        path: of the file; its folder is made.
        mask: (H, W) bool.
    """
    save_picture(path, mask.astype(np.uint8) * 255, optimize=False)


def save_text(path: Path, lines: Iterable[str]) -> None:
    """Write lines, each ended by a newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8"))


def save_json(path: Path, content: Any) -> None:
    """Write JSON, indented."""
    save_text(path, [json.dumps(content, indent=4)])


def save_volume(path: Path, voxels: np.ndarray, spacing: tuple[float, float, float]) -> None:
    """Write a NIfTI volume whose axes point to right, anterior and superior.

    Args:
        path: of the file, ending in .nii.gz; its folder is made.
        voxels: (X, Y, Z) of a type that NIfTI knows.
        spacing: of the voxels, in mm.

    Raises:
        UsageError: the optional extra "medical" is not installed.
    """
    try:
        import nibabel
    except ImportError:
        raise UsageError(
            "NIfTI volumes need nibabel: run pip install 'discriminator-nas[medical]'."
        ) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [
        -(length - 1) * step / 2 for length, step in zip(voxels.shape, spacing, strict=True)
    ]
    volume = nibabel.Nifti1Image(voxels, affine)
    volume.header.set_xyzt_units("mm")
    nibabel.save(volume, path)
