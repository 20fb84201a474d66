"""Masks of new images: sizes, names, and nothing of the user's is overwritten."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from nas.errors import DataError, RunError
from nas.evaluate import TrainedSegmenter
from nas.networks import build_segmenter
from nas.pictures import class_colours
from nas.predict import predict, predict_mask
from nas.runs import RunFolder
from nas.settings import DataSettings, RetrainSettings

BACKBONE = "unet?width=2&depth=1"


class Bright(nn.Module):
    """Class 1 where the image is brighter than a half; remembers the sizes that it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(tuple(images.shape))
        return torch.cat([0.5 - images[:, :1], images[:, :1] - 0.5], dim=1)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.begin("retrain", RetrainSettings(backbone=BACKBONE, data=DataSettings(image_size="32")))
    folder.record(data={"channels": 1, "classes": ["background", "a", "b"]})
    network = build_segmenter(BACKBONE, 1, 3)
    state = {"weights": network.state_dict(), "epoch": 1}
    folder.save_checkpoint("segmenter", "segmenter", state)
    return folder


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write(tmp_path / "one.png")


def write(path: Path, shape: tuple[int, ...] = (40, 56)) -> Path:
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def masks(run: RunFolder, images: Iterable[Path], out: Path, **options: bool) -> list[Path]:
    overlays = options.get("overlays", False)
    overwrite = options.get("overwrite", False)
    out.mkdir(exist_ok=True)
    return list(predict(run, list(images), out, overlays, "cpu", overwrite))


def test_a_mask_has_the_size_of_the_image_and_the_place_of_the_object() -> None:
    network = Bright()
    segmenter = TrainedSegmenter(network, 1, torch.device("cpu"))
    image = np.zeros((1, 90, 60), np.float32)
    image[:, :45, :30] = 1
    mask = predict_mask(segmenter, image, (32, 48))
    assert network.seen == [(1, 1, 32, 48)]
    assert mask.shape == (90, 60)
    assert mask.dtype == np.uint8
    assert (mask == (image[0] > 0.5)).mean() > 0.98
    assert mask[10, 10] == 1
    assert mask[80, 10] == mask[10, 50] == 0


def test_masks_are_palettes_whose_indices_are_classes(
    run: RunFolder, image: Path, tmp_path: Path
) -> None:
    (written,) = masks(run, [image], tmp_path / "masks")
    assert written == tmp_path / "masks" / "one.png"
    mask = Image.open(written)
    assert mask.mode == "P"
    assert mask.size == (56, 40)
    assert set(np.unique(np.asarray(mask))) <= {0, 1, 2}
    palette = np.array(mask.getpalette()).reshape(-1, 3)[:3]
    assert np.array_equal(palette, class_colours(3))


@pytest.mark.parametrize("shape", [(40, 40, 3), (40, 40, 4), (1, 1)])
def test_other_images_are_brought_to_what_the_network_knows(
    run: RunFolder, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    (written,) = masks(run, [write(tmp_path / "other.png", shape)], tmp_path / "masks")
    assert Image.open(written).size == (shape[1], shape[0])


def test_overlays_stand_beside_the_masks(run: RunFolder, image: Path, tmp_path: Path) -> None:
    masks(run, [image], tmp_path / "masks", overlays=True)
    names = sorted(path.name for path in (tmp_path / "masks").iterdir())
    assert names == ["one.png", "one_overlay.png"]
    overlay = Image.open(tmp_path / "masks" / "one_overlay.png")
    assert (overlay.mode, overlay.size) == ("RGB", (56, 40))


def test_an_image_is_never_overwritten(run: RunFolder, image: Path) -> None:
    before = image.read_bytes()
    with pytest.raises(RunError, match="would overwrite an image"):
        masks(run, [image], image.parent, overwrite=True)
    assert image.read_bytes() == before


def test_a_mask_that_exists_is_kept_unless_told(
    run: RunFolder, image: Path, tmp_path: Path
) -> None:
    truth = write(tmp_path / "masks" / "one.png")
    before = truth.read_bytes()
    with pytest.raises(RunError, match="exists already.*--overwrite"):
        masks(run, [write(tmp_path / "another.png"), image], truth.parent)
    assert truth.read_bytes() == before
    assert list(truth.parent.iterdir()) == [truth], "nothing is written before all is clear"
    masks(run, [image], truth.parent, overwrite=True)
    assert truth.read_bytes() != before


@pytest.mark.parametrize(
    ("names", "overlays"),
    [(("a/one.png", "b/one.tif"), False), (("a/one.png", "b/one_overlay.png"), True)],
)
def test_two_images_never_share_a_name(
    run: RunFolder, tmp_path: Path, names: tuple[str, str], overlays: bool
) -> None:
    images = [write(tmp_path / name) for name in names]
    with pytest.raises(DataError, match="both be written as"):
        masks(run, images, tmp_path / "masks", overlays=overlays)


def test_what_is_no_image_is_named(run: RunFolder, image: Path, tmp_path: Path) -> None:
    text, cut = tmp_path / "text.png", tmp_path / "cut.png"
    text.write_text("no image")
    cut.write_bytes(image.read_bytes()[:600])
    for path in (text, cut, tmp_path / "missing.png"):
        with pytest.raises(DataError, match=path.name):
            masks(run, [path], tmp_path / "masks")


def test_a_run_that_has_not_met_its_data_is_refused(run: RunFolder, image: Path) -> None:
    run.record(data=None)
    with pytest.raises(RunError, match="does not say what data"):
        masks(run, [image], image.parent / "masks")


def test_a_folder_that_is_gone_is_said(run: RunFolder, image: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="Cannot write"):
        list(predict(run, [image], tmp_path / "nowhere", False, "cpu"))
