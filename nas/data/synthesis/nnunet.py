"""Raw data of nnU-Net, version 2.

DatasetNNN_Name/{imagesTr,labelsTr,imagesTs,labelsTs} and dataset.json with channel_names,
labels (name to number), numTraining and file_ending; images are CASE_0000.ext (one file per
channel; an RGB png is one file), labels CASE.ext. A label named ignore has the highest number.
Source: MIC-DKFZ/nnUNet, documentation/dataset_format.md and documentation/ignore_label.md; the
RGB rule from nnunetv2/imageio/natural_image_reader_writer.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas.data.scenes import glands, hippocampus
from nas.data.synthesis.files import (
    bytes_of,
    generator,
    require_cases,
    require_size,
    save_json,
    save_picture,
    save_volume,
)

FOLDER = "Dataset120_Glands"
SIZE = (256, 384)
VOLUMES = "Dataset204_Hippocampus"
SPACING = (1.0, 1.0, 1.0)
IGNORE = 3
"""Label of what nobody has said, in the volumes."""


def write(root: Path, cases: int, seed: int, size: tuple[int, int] = SIZE) -> None:
    """Write RGB png images of glands with 8-bit labels; the last quarter is for test.

    Args:
        root: folder to write into.
        cases: images, 2 or more.
        seed: of what is drawn.
        size: height and width.

    Raises:
        ValueError: there are too few cases, or the size is too small.
    """
    require_cases(cases, 2, 9999)
    require_size(size, 64)
    folder, test = root / FOLDER, max(1, cases // 4)
    for number in range(1, cases + 1):
        part = "Tr" if number <= cases - test else "Ts"
        name = f"glands_{number:03d}"
        picture = glands.draw(generator(seed, number), size)
        save_picture(folder / f"images{part}" / f"{name}_0000.png", bytes_of(picture.image))
        save_picture(folder / f"labels{part}" / f"{name}.png", picture.labels)
    save_json(
        folder / "dataset.json",
        {
            "channel_names": {"0": "R", "1": "G", "2": "B"},
            "labels": {"background": 0, "gland": 1},
            "numTraining": cases - test,
            "file_ending": ".png",
        },
    )


def write_volumes(root: Path, cases: int, seed: int) -> None:
    """Write NIfTI volumes of two channels; test volumes have no labels.

    Every third slice along the last axis is labelled in the second half of the training volumes,
    and all others there are `IGNORE`.

    Args:
        root: folder to write into.
        cases: volumes, 2 or more; the last quarter is for test.
        seed: of what is drawn.

    Raises:
        ValueError: there are too few cases.
        UsageError: the optional extra "medical" is not installed.
    """
    require_cases(cases, 2, 9999)
    folder, test = root / VOLUMES, max(1, cases // 4)
    for number in range(1, cases + 1):
        rng = generator(seed, number)
        part = "Tr" if number <= cases - test else "Ts"
        name = f"hippocampus_{number:03d}"
        size = tuple(int(side + rng.integers(-3, 4)) for side in hippocampus.SIZE)
        volume = hippocampus.draw(rng, (size[0], size[1], size[2]))
        for channel, image in enumerate((volume.image, 1.0 - 0.8 * volume.image)):
            path = folder / f"images{part}" / f"{name}_{channel:04d}.nii.gz"
            save_volume(path, (1000 * image).astype(np.float32), SPACING)
        if part == "Tr":
            sparse = number > (cases - test) // 2
            labels = _every_third(volume.labels) if sparse else volume.labels
            save_volume(folder / "labelsTr" / f"{name}.nii.gz", labels, SPACING)
    save_json(
        folder / "dataset.json",
        {
            "channel_names": {"0": "T1", "1": "T2"},
            "labels": {"background": 0, "Anterior": 1, "Posterior": 2, "ignore": IGNORE},
            "numTraining": cases - test,
            "file_ending": ".nii.gz",
        },
    )


def _every_third(labels: np.ndarray) -> np.ndarray:
    sparse = np.full_like(labels, IGNORE)
    sparse[..., ::3] = labels[..., ::3]
    return sparse
