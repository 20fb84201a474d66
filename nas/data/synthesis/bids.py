"""BIDS as axondeepseg uses it: microscopy of nerves with labels of axons and myelin.

Read in axondeepseg/data_axondeepseg_sem (its newest state): dataset_description.json,
participants.tsv and .json, samples.tsv and .json; sub-rat1/micr/sub-rat1_sample-data1_SEM.png
with a sidecar of the same name and .json (PixelSize and PixelSizeUnits); where a subject has
several samples, one sidecar sub-rat3_SEM.json serves them all. Labels are in
derivatives/labels/sub-rat1/micr/ as sub-rat1_sample-data1_SEM_seg-axonmyelin-manual.png (0
background, 127 myelin, 255 axon), and _seg-axon-manual.png and _seg-myelin-manual.png (0 and
255). All are 8-bit grey and of several sizes; one subject's image and axonmyelin label have an
alpha channel beside. Earlier states name the folder microscopy and PixelSize a single number.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from nas.data.scenes import axons
from nas.data.scenes.scene import Scene
from nas.data.synthesis.files import (
    bytes_of,
    generator,
    require_cases,
    require_size,
    save_json,
    save_picture,
    save_text,
)

SIZE = (756, 764)
AXON, MYELIN = 255, 127
PIXEL = 0.13
"""Side of a pixel, in micrometres."""
WITH_ALPHA = 2
"""The subject whose files have an alpha channel."""
SEVERAL = 3
"""The subject with several samples."""


def write(root: Path, cases: int, seed: int, size: tuple[int, int] = SIZE) -> None:
    """Write samples of rats; the third rat has up to three of them, the others one each.

    Args:
        root: folder to write into.
        cases: samples, 1 or more; the real set has 10 of 8 rats.
        seed: of what is drawn.
        size: height and width of the largest picture.

    Raises:
        ValueError: there are too few cases, or the size is too small.
    """
    require_cases(cases, 1, 9999)
    require_size(size, 64)
    samples = []
    for number in range(1, cases + 1):
        rat = _rat(number)
        subject, sample = f"sub-rat{rat}", f"sample-data{number}"
        samples.append((sample, subject))
        rng = generator(seed, number)
        height, width = (round(side * rng.uniform(0.85, 1.0)) for side in size)
        picture = axons.draw(rng, (height, width))
        name = f"{subject}_{sample}_SEM"
        folder = root / subject / "micr"
        alpha = rat == WITH_ALPHA
        _save(folder / f"{name}.png", bytes_of(picture.image), alpha)
        sidecar = f"{subject}_SEM" if rat == SEVERAL else name
        save_json(folder / f"{sidecar}.json", _sidecar())
        _save_labels(root / "derivatives" / "labels" / subject / "micr", name, picture, alpha)
    _describe(root, samples)


def _rat(number: int) -> int:
    """Samples 3, 4 and 5 are of rat 3."""
    return number if number <= SEVERAL else max(SEVERAL, number - 2)


def _save(path: Path, pixels: np.ndarray, alpha: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    if alpha:
        picture.putalpha(255)
    picture.save(path)


def _save_labels(folder: Path, name: str, picture: Scene, alpha: bool) -> None:
    both = np.select([picture.labels == 1, picture.labels == 2], [AXON, MYELIN], 0)
    _save(folder / f"{name}_seg-axonmyelin-manual.png", both.astype(np.uint8), alpha)
    for label, part in ((1, "axon"), (2, "myelin")):
        mask = (picture.labels == label).astype(np.uint8) * 255
        save_picture(folder / f"{name}_seg-{part}-manual.png", mask)


def _sidecar() -> dict[str, object]:
    return {
        "PixelSize": [PIXEL, PIXEL],
        "PixelSizeUnits": "um",
        "BodyPart": "CSPINE",
        "SampleEnvironment": "ex vivo",
    }


def _describe(root: Path, samples: list[tuple[str, str]]) -> None:
    subjects = dict.fromkeys(subject for _, subject in samples)
    save_text(
        root / "samples.tsv",
        [
            "sample_id\tparticipant_id\tsample_type",
            *(f"{sample}\t{subject}\ttissue" for sample, subject in samples),
        ],
    )
    save_text(
        root / "participants.tsv",
        ["participant_id\tspecies", *(f"{subject}\trattus norvegicus" for subject in subjects)],
    )
    save_json(root / "samples.json", {"sample_id": {"Description": "Unique sample ID"}})
    save_json(
        root / "participants.json", {"participant_id": {"Description": "Unique participant ID"}}
    )
    save_json(
        root / "dataset_description.json",
        {"Name": "generated nerve fibres", "BIDSVersion": "1.7.0", "License": "MIT"},
    )
    save_json(
        root / "derivatives" / "labels" / "dataset_description.json",
        {
            "Name": "generated nerve fibres, labels",
            "BIDSVersion": "1.7.0",
            "PipelineDescription": {"Name": "Axon and myelin labels"},
            "GeneratedBy": [{"Name": "Axon and myelin labels"}],
        },
    )
