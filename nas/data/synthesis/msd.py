"""Medical Segmentation Decathlon, task 4, hippocampus (Antonelli et al. 2022).

Task04_Hippocampus/{imagesTr,labelsTr,imagesTs}/hippocampus_NNN.nii.gz (no channel number in the
name; no labels for test) and dataset.json: labels number to name, modality, training as pairs of
paths beginning with "./", test as paths, numTraining, numTest, and "relase" (so spelt). 260 and
130 volumes of about 35 x 51 x 35 voxels of 1 mm. dataset.json as public readers of the task quote
it. Assumed, without a source at hand: a file ._NAME beside each volume, as archives packed on a
Mac have and which is no volume, and the types of voxels (float32, labels uint8).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas.data.scenes import hippocampus
from nas.data.synthesis.files import generator, require_cases, save_json, save_volume

FOLDER = "Task04_Hippocampus"
SPACING = (1.0, 1.0, 1.0)
_RESOURCE_FORK = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(96)
"""What begins a file of the kind AppleDouble."""


def write(root: Path, cases: int, seed: int) -> None:
    """Write training volumes with labels, and a third of the cases without for test.

    Args:
        root: folder to write into.
        cases: volumes, 2 or more.
        seed: of what is drawn.

    Raises:
        ValueError: there are too few cases.
        UsageError: the optional extra "medical" is not installed.
    """
    require_cases(cases, 2, 999)
    folder, test = root / FOLDER, max(1, cases // 3)
    training, testing = [], []
    for number in range(1, cases + 1):
        rng = generator(seed, number)
        name = f"hippocampus_{number:03d}.nii.gz"
        size = tuple(int(side + rng.integers(-4, 5)) for side in hippocampus.SIZE)
        volume = hippocampus.draw(rng, (size[0], size[1], size[2]))
        image = np.round(rng.uniform(200, 1200) * volume.image).astype(np.float32)
        if number <= cases - test:
            _save(folder / "imagesTr" / name, image)
            _save(folder / "labelsTr" / name, volume.labels)
            training.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
        else:
            _save(folder / "imagesTs" / name, image)
            testing.append(f"./imagesTs/{name}")
    save_json(folder / "dataset.json", _description(training, testing))


def _save(path: Path, voxels: np.ndarray) -> None:
    save_volume(path, voxels, SPACING)
    path.with_name(f"._{path.name}").write_bytes(_RESOURCE_FORK)


def _description(training: list[dict[str, str]], testing: list[str]) -> dict[str, object]:
    return {
        "name": "Hippocampus",
        "description": "Left and right hippocampus segmentation",
        "reference": "generated",
        "licence": "none needed",
        "relase": "1.0 04/05/2018",
        "tensorImageSize": "3D",
        "modality": {"0": "MRI"},
        "labels": {str(k): name for k, name in enumerate(hippocampus.CLASSES)},
        "numTraining": len(training),
        "numTest": len(testing),
        "training": training,
        "test": testing,
    }
