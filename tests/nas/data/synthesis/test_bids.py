import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.synthesis.bids import write

SAMPLES = {1: 1, 2: 2, 3: 3, 4: 3, 5: 3, 6: 4}
"""Rat of each sample."""


def test_the_files(tmp_path: Path, tree: Callable[..., Any]) -> None:
    write(tmp_path, 6, 0, (64, 80))
    about = {"dataset_description.json", "derivatives/labels/dataset_description.json"}
    about |= {f"{kind}.{end}" for kind in ("participants", "samples") for end in ("tsv", "json")}
    pictures, sidecars, labels = set(), set(), set()
    for sample, rat in SAMPLES.items():
        name = f"sub-rat{rat}_sample-data{sample}_SEM"
        pictures.add(f"sub-rat{rat}/micr/{name}.png")
        sidecars.add(f"sub-rat{rat}/micr/{'sub-rat3_SEM' if rat == 3 else name}.json")
        labels |= {
            f"derivatives/labels/sub-rat{rat}/micr/{name}_seg-{kind}-manual.png"
            for kind in ("axon", "myelin", "axonmyelin")
        }
    assert tree(tmp_path) == about | pictures | sidecars | labels
    for name in sidecars:
        content = json.loads((tmp_path / name).read_text())
        assert content["PixelSize"] == [0.13, 0.13] and content["PixelSizeUnits"] == "um"


def test_the_tables(tmp_path: Path) -> None:
    write(tmp_path, 6, 0, (64, 80))
    with (tmp_path / "samples.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    found = {row["sample_id"]: row["participant_id"] for row in rows}
    assert found == {f"sample-data{s}": f"sub-rat{r}" for s, r in SAMPLES.items()}
    with (tmp_path / "participants.tsv").open(newline="") as file:
        people = [row["participant_id"] for row in csv.DictReader(file, delimiter="\t")]
    assert people == ["sub-rat1", "sub-rat2", "sub-rat3", "sub-rat4"]
    assert json.loads((tmp_path / "dataset_description.json").read_text())["BIDSVersion"]


def test_labels_are_0_127_255_and_their_parts(tmp_path: Path, opened: Callable[..., Any]) -> None:
    write(tmp_path, 3, 0, (64, 80))
    sizes = set()
    for rat in (1, 2, 3):
        name = f"sub-rat{rat}_sample-data{rat}_SEM"
        alpha = rat == 2
        mode, size, image = opened(tmp_path / f"sub-rat{rat}" / "micr" / f"{name}.png", "PNG")
        assert mode == ("LA" if alpha else "L")
        sizes.add(size)
        folder = tmp_path / "derivatives" / "labels" / f"sub-rat{rat}" / "micr"
        mode, label_size, both = opened(folder / f"{name}_seg-axonmyelin-manual.png", "PNG")
        assert mode == ("LA" if alpha else "L") and label_size == size
        if alpha:
            assert (both[..., 1] == 255).all()
            both, image = both[..., 0], image[..., 0]
        assert np.unique(both).tolist() == [0, 127, 255]
        for part, value in (("axon", 255), ("myelin", 127)):
            mode, _, mask = opened(folder / f"{name}_seg-{part}-manual.png", "PNG")
            assert mode == "L"
            np.testing.assert_array_equal(mask, (both == value) * 255)
        assert image[both == 127].mean() < image[both == 0].mean() < image[both == 255].mean()
    assert len(sizes) == 3
