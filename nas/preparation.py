"""What every stage starts from: device, data, split and segmenter, by settings and seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from nas.batch_statistics import has_batch_norm, synchronise
from nas.data.batches import Batch, Samples
from nas.data.cache import Cache
from nas.data.cases import Reader, Subset
from nas.data.preprocessing import preprocessed
from nas.data.readers import open_reader
from nas.data.sizes import parse_size
from nas.data.splits import Split, divided_by, load_split, make_split, save_split
from nas.data.unlabelled import (
    Unlabelled,
    files_of,
    put_aside,
    read_file,
    refuse_held_out,
)
from nas.devices import seeded
from nas.errors import DataError, UsageError
from nas.ground_truth import ScoredReader
from nas.networks import build_segmenter
from nas.ranks import count
from nas.relations import plays_with_unlabelled
from nas.runs import RunFolder
from nas.settings import DataSettings, GameSettings, RunSettings
from nas.standardised import Standardised, channel_statistics
from nas.traceless import without_trace
from nas.tracking import Tracker, reading_progress

SAME_MEAN = 5e-3
"""Difference of two means of one image up to which it counts as the same on another machine."""


@dataclass(frozen=True)
class Data:
    """The data of a run.

    Attributes:
        reader: of its cases.
        split: which of them are for what.
        size: (height, width) in pixels at which the networks see them.
        settings: by which it was opened.
    """

    reader: Reader
    split: Split
    size: tuple[int, int]
    settings: DataSettings = DataSettings()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, background first."""
        return self.reader.classes

    @property
    def groups(self) -> dict[str, str | None]:
        """Group of each case."""
        return {case.id: case.group for case in self.reader.cases}

    @property
    def notes(self) -> tuple[str, ...]:
        """What a run should say of its data before anything else."""
        return divided_by(self.split, self.reader.cases)

    @property
    def put_aside(self) -> tuple[str, ...]:
        """The training images whose masks are not used."""
        return put_aside(self.split.train, self.settings)

    @property
    def labelled(self) -> tuple[str, ...]:
        """The training images with their masks."""
        without = set(self.put_aside)
        return tuple(case for case in self.split.train if case not in without)

    def samples(self, subset: Subset, device: torch.device) -> Samples:
        """The cases of a subset, to be kept on a device."""
        return self._samples(subset, self.split.subset(subset), device)

    def loaded(self, subset: Subset, device: torch.device) -> Samples:
        """As `samples`, with every file decoded now: a damaged one is found before training.

        Of the training images, those whose masks are put aside are left out.

        Raises:
            DataError: a file cannot be read.
        """
        ids = self.labelled if subset == "train" else self.split.subset(subset)
        with reading_progress(f"reading {subset} images") as progress:
            samples = self._samples(subset, ids, device, progress)
            samples.load()
        return samples

    def _samples(
        self,
        subset: Subset,
        ids: Sequence[str],
        device: torch.device,
        progress: Callable[[int, int], None] | None = None,
    ) -> Samples:
        """Only the images that a training is judged by have a field of view outside of which
        nothing counts: what is there is to be learnt all the same."""
        reader = self.reader if subset == "train" else ScoredReader(self.reader)
        folder = self.settings.cache
        cache = None if folder is None else Cache(folder, reader, self.settings)
        return Samples(reader, ids, self.size, device, progress, cache)

    def unlabelled(self, device: torch.device) -> Unlabelled | None:
        """The images without masks, decoded; None where there are none.

        Raises:
            DataError: a file cannot be read.
        """
        cases = {case.id: case for case in self.reader.cases}
        aside = set(self.put_aside)
        folder = self.settings.unlabelled
        files = {str(path): path for path in files_of(folder)} if folder else {}
        refuse_held_out(files.values(), self.split, self.reader.cases)

        def read(name: str) -> np.ndarray:
            if name in aside:
                return self.reader.read_image(cases[name])
            return read_file(files[name], self.reader.channels, self.settings)

        names = [*self.put_aside, *files]
        return Unlabelled.read(names, read, self.size, device) if names else None


def open_data(settings: DataSettings, folder: RunFolder | None = None) -> Data:
    """Open the data; the split is the folder's own where it has one.

    Raises:
        DataError: the data is missing, damaged, or too small for the split.
        UsageError: the settings contradict each other.
    """
    size = parse_size(settings.image_size)
    reader = preprocessed(open_reader(settings), settings)
    if folder is not None and folder.split_file.exists():
        return Data(reader, load_split(folder.split_file), size, settings)
    return Data(reader, make_split(reader, settings), size, settings)


def record_data(
    folder: RunFolder, data: Data, *samples: Samples, unlabelled: Unlabelled | None = None
) -> None:
    """Write the split and what the data is into a new run's folder; a resumed run compares them.

    Of the images and masks only their means are compared, to within `SAME_MEAN`.

    Args:
        folder: of the run.
        data: the data of the run.
        samples: the cases that it trains or validates on.
        unlabelled: the images without masks that it trains on.

    Raises:
        DataError: the data is not what the run began with.
        RunError: the folder cannot be written.
    """
    if not folder.is_written:
        return
    found = describe(data, *samples)
    if unlabelled is not None:
        found["means"] |= {name: [_mean(image)] for name, image in unlabelled.images.items()}
    known = folder.read_record().get("data")
    if known is None:
        save_split(data.split, folder.split_file)
        folder.record(data=found)
        return
    for change in changes(known, found):
        raise DataError(
            f"The data is not what the run in {folder.path} began with: {change}. Bring the data "
            "back as it was, or start a new run in another --run-dir."
        )


def record_machine(folder: RunFolder, device: torch.device) -> None:
    """Write what a run computes on into its folder.

    Raises:
        RunError: the folder cannot be written.
    """
    folder.record(device=str(device), threads=torch.get_num_threads(), processes=count())


def note_batch_statistics(
    settings: RunSettings, networks: Iterable[nn.Module], tracker: Tracker
) -> None:
    """Say where several processes compute something else than one would."""
    apart = settings.batch_statistics == "rank" and any(map(has_batch_norm, networks))
    if count() > 1 and apart:
        tracker.note(
            f"A deviation: each of the {count()} processes normalises by the batch statistics of "
            "its own images, which are not those of the joined batch. --batch-statistics "
            "synchronised takes those of all."
        )


def take_batch_statistics(network: nn.Module, settings: RunSettings) -> None:
    """Let a network take the batch statistics that the settings ask of several processes."""
    if count() > 1 and settings.batch_statistics == "synchronised":
        synchronise(network)


def describe(data: Data, *samples: Samples) -> dict[str, Any]:
    """What a run keeps of its data: names, numbers, and two means for each case in ``samples``."""
    split = data.split
    batches = [each.batch([case]) for each in samples for case in each.ids]
    return {
        "name": data.reader.name,
        "classes": list(data.classes),
        "channels": data.reader.channels,
        "images": {
            **{name: len(split.subset(name)) for name in ("train", "val", "test")},
            "labelled": len(data.labelled),
        },
        "split_hash": split.hash,
        "means": {batch.ids[0]: [_mean(batch.images), _mean(batch.labels)] for batch in batches},
    }


def changes(known: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """In words, how the data found differs from what a run keeps of its data."""
    told = [
        f"{name} was {known[name]} and is {found[name]}"
        for name in ("name", "classes", "channels", "split_hash")
        if known[name] != found[name]
    ]
    for case, means in found["means"].items():
        before = known["means"].get(case)
        if (
            before is None
            or max(abs(a - b) for a, b in zip(before, means, strict=True)) > SAME_MEAN
        ):
            told.append(f"the case {case} has another image or mask")
    return told


def rehearse(
    losses: Sequence[Callable[[Batch], object]], modules: Sequence[nn.Module], batch: Batch
) -> None:
    """Pass a batch through the networks; nothing of them changes.

    Args:
        losses: pass the batch through the networks.
        modules: the networks.
        batch: one of the smallest of the training.

    Raises:
        UsageError: there is nothing left of the images in the depth of a network.
    """
    try:
        with torch.no_grad(), without_trace(modules):
            for loss in losses:
                loss(batch)
    except ValueError as error:
        height, width = batch.images.shape[2:]
        raise UsageError(
            f"The networks do not fit {len(batch.ids)} image(s) of {height}x{width} in a step "
            f"({str(error).rstrip('.')}): raise --image-size or --batch-size, or choose networks "
            "that are less deep."
        ) from error


def check_unlabelled(data: DataSettings, game: GameSettings, unlabelled: Unlabelled | None) -> None:
    """Refuse a game that needs images without masks where there are none, and images without use.

    Raises:
        UsageError: with what is missing, or of no use.
    """
    used = plays_with_unlabelled(game)
    if used and unlabelled is None:
        option = "--unlabelled-weight" if game.unlabelled_weight else f"--game {game.game}"
        raise UsageError(
            f"{option} needs images without masks: name their folder by --unlabelled, or put masks "
            "of training images aside by --unlabelled-images."
        )
    if data.unlabelled is not None and not used:
        raise UsageError(
            "--unlabelled names images that nothing would use: give --unlabelled-weight too, or "
            "--game annotated-unannotated."
        )


def _mean(values: torch.Tensor) -> float:
    return round(values.double().mean().item(), 6)


def new_segmenter(backbone: str, channels: int, classes: int, seed: int) -> nn.Module:
    """A segmenter whose initial weights depend on its specification and the seed alone."""
    with seeded(seed, "segmenter"):
        return build_segmenter(backbone, channels, classes)


def standardised(segmenter: nn.Module, settings: DataSettings, samples: Samples) -> nn.Module:
    """The segmenter behind the standardisation that the settings ask for.

    Args:
        segmenter: images (N, C, H, W) to logits.
        settings: of the data.
        samples: the labelled training images, whose mean and standard deviation are taken.

    Raises:
        DataError: a channel has the same value everywhere.
    """
    if settings.standardise == "none":
        return segmenter
    try:
        images = (samples.batch([case]).images[0] for case in samples.ids)
        return Standardised(segmenter, *channel_statistics(images))
    except ValueError as error:
        raise DataError(f"--standardise set: {error}.") from error
