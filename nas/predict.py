"""Masks for new images, by a retrained segmenter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

from nas import pictures
from nas.data.batches import resize_image
from nas.data.sizes import parse_size
from nas.data.unlabelled import read_file
from nas.errors import DataError, RunError
from nas.evaluate import TrainedSegmenter, load_segmenter
from nas.runs import RunFolder, unwritable
from nas.settings import RetrainSettings


def predict(
    folder: RunFolder,
    images: Sequence[Path],
    out: Path,
    overlays: bool,
    device: str,
    overwrite: bool = False,
) -> Iterator[Path]:
    """Write a mask for each image, of its own size; yields each mask's path when it is written.

    The network sees the image at the size it was trained at; its logits are brought to the image's
    size by bilinear interpolation before the class is chosen. A mask is a palette PNG whose
    indices are the classes, named like its image.

    Raises:
        DataError: an image is missing or damaged, or two pictures would share a name.
        RunError: the run is not usable, a mask cannot be written, or a file that stands where one
            is to be written may not be overwritten.
    """
    _refuse_shared_names(images, overlays)
    _refuse_losses(images, out, overlays, overwrite)
    settings = folder.read_settings(RetrainSettings)
    trained_on = folder.read_record().get("data")
    if not trained_on:
        raise RunError(f"{folder.record_file} does not say what data the run was trained on.")
    channels, classes = trained_on["channels"], len(trained_on["classes"])
    segmenter = load_segmenter(settings, folder, channels, classes, device)
    size = parse_size(settings.data.image_size)
    for path in images:
        image = read_file(path, channels, settings.data)
        mask = predict_mask(segmenter, image, size)
        written, *shown = _names(path, out, overlays)
        _write_mask(mask, classes, written)
        for overlay in shown:
            _write_overlay(image, mask, classes, overlay)
        yield written


@torch.no_grad()
def predict_mask(
    segmenter: TrainedSegmenter, image: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Classes (H, W) uint8 of an image (C, H, W) in [0, 1], seen by the network at ``size``."""
    pixels = resize_image(image, size)[None].to(segmenter.device)
    logits = segmenter.network(pixels)
    full = interpolate(logits, size=image.shape[1:], mode="bilinear", align_corners=False)
    return full.argmax(dim=1)[0].to(torch.uint8).cpu().numpy()


def _names(image: Path, out: Path, overlays: bool) -> list[Path]:
    names = [out / f"{image.stem}.png"]
    return [*names, out / f"{image.stem}_overlay.png"] if overlays else names


def _refuse_shared_names(images: Sequence[Path], overlays: bool) -> None:
    seen: dict[str, Path] = {}
    for path in images:
        for name in _names(path, Path(), overlays):
            if name.name in seen:
                raise DataError(
                    f"{seen[name.name]} and {path} would both be written as {name}: predict them "
                    "into different folders."
                )
            seen[name.name] = path


def _refuse_losses(images: Sequence[Path], out: Path, overlays: bool, overwrite: bool) -> None:
    own = {path.resolve() for path in images}
    for name in (name for path in images for name in _names(path, out, overlays)):
        if name.resolve() in own:
            raise RunError(f"{name} would overwrite an image: choose another folder by -o.")
        if name.exists() and not overwrite:
            raise RunError(
                f"{name} exists already: choose another folder by -o, or allow it to be replaced "
                "by --overwrite."
            )


def _write_mask(mask: np.ndarray, classes: int, path: Path) -> None:
    picture = Image.fromarray(mask, mode="P")
    picture.putpalette(pictures.class_colours(classes).ravel().tolist())
    try:
        picture.save(path)
    except OSError as error:
        raise unwritable(path, error) from error


def _write_overlay(image: np.ndarray, mask: np.ndarray, classes: int, path: Path) -> None:
    colours = pictures.class_colours(classes)
    shown = pictures.overlay(pictures.grey_or_colour(image), mask, colours)
    try:
        pictures.write_png(shown, path)
    except OSError as error:
        raise unwritable(path, error) from error
