"""Time and memory of the way from image files to batches, and its share of a training step.

    python tools/measure_pipeline.py
    python tools/measure_pipeline.py --quick

The files are synthetic 8-bit PNGs in a temporary folder. Every line of the first table is measured
in a process of its own: "held" is memory that only this process has (RssAnon), "peak" the largest
resident memory until then (VmHWM), which with a cache includes pages of its files that the system
takes back when it needs them. The second table is a retraining of unet?width=16 without
discriminator on phantom images: the smallest step that the loader can stand beside.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image

from nas.additions import Augmented, Curriculum
from nas.data import batches as batches_module
from nas.data.augmentation.pipeline import Augmentation
from nas.data.batches import Batch, Batches, Samples
from nas.data.cache import Cache
from nas.data.readers import open_reader
from nas.devices import resolve_device, set_threads
from nas.settings import (
    AdversarySettings,
    AugmentationSettings,
    DataSettings,
    RetrainSettings,
    RunSettings,
    TrainingSettings,
)

BATCH_SIZE = 4
NOTHING = AugmentationSettings()
AUGMENTATIONS = {
    "none": NOTHING,
    "flips, rotation, elastic": AugmentationSettings(
        flips=("horizontal", "vertical"), rotation=15.0, elastic=1.0
    ),
}
STARTS = {
    "in memory, one thread": "memory",
    "in memory": "memory",
    "writing the cache": "cache",
    "from the cache": "cache",
}
"""How the images are brought in; the third and the fourth share a cache."""


class Workload(NamedTuple):
    """How much is measured.

    Attributes:
        images: files.
        side: of each, in pixels.
        sides: of the images in training steps.
        steps: that are timed, behind two that are not.
    """

    images: int
    side: int
    sides: tuple[int, ...]
    steps: int


FULL = Workload(1000, 512, (128, 256), 10)
QUICK = Workload(10, 64, (64,), 2)


def main() -> None:
    """Measure and print both tables, or one line of the first in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few small images")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    parser.add_argument("--threads", type=int, default=1, help="of torch; 0 leaves it to torch")
    parser.add_argument("--start", choices=list(STARTS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    workload = QUICK if options.quick else FULL
    set_threads(options.threads)
    if options.start:
        print(json.dumps(measure_start(options.start, options.folder, workload, options.device)))
        return
    print(f"command: {shlex.join(['python', *sys.argv])}")
    print(f"cores: {os.cpu_count()}, load: {os.getloadavg()[0]:.1f}, threads: {options.threads}\n")
    print_starts(workload)
    print_shares(workload, options.device)


def print_starts(workload: Workload) -> None:
    """Table of the ways to bring the images in."""
    print(f"{workload.images} images of {workload.side}x{workload.side}, batches of {BATCH_SIZE}\n")
    print("| start | load (s) | held (MB) | peak (MB) | epoch (s) | augmented (s) | peak (MB) |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        write_images(Path(scratch), workload)
        for start in STARTS:
            command = [sys.executable, *sys.argv, "--start", start, "--folder", scratch]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            numbers = [f"{number:.4g}" for number in json.loads(told.splitlines()[-1])]
            print(f"| {start} | {' | '.join(numbers)} |", flush=True)


def measure_start(start: str, folder: Path, workload: Workload, device: str) -> list[float]:
    """The numbers of one line, in the order of the table."""
    settings = DataSettings(
        dataset="folder", data_root=folder, class_names=("background", "object")
    )
    reader = open_reader(settings)
    cache = Cache(folder / "cache", reader, settings) if STARTS[start] == "cache" else None
    size = (workload.side, workload.side)
    ids = [case.id for case in reader.cases]
    samples = Samples(reader, ids, size, resolve_device(device), cache=cache)
    threads = 1 if "one thread" in start else batches_module.THREADS
    with patch.object(batches_module, "THREADS", threads):
        loading = seconds_of(samples.load)
    numbers = [loading, megabytes("RssAnon"), megabytes("VmHWM")]
    numbers += [epoch_seconds(samples, each) for each in AUGMENTATIONS.values()]
    return [*numbers, megabytes("VmHWM")]


def epoch_seconds(samples: Samples, settings: AugmentationSettings) -> float:
    """Seconds for all batches of one epoch."""
    additions = [Augmented(Augmentation(settings), Curriculum(0.0, begun=True), 0)]
    batches = Batches(samples, BATCH_SIZE, 0, additions=additions if settings != NOTHING else ())
    return seconds_of(lambda: [len(batches.batch(0, step).ids) for step in range(len(batches))])


def print_shares(workload: Workload, device: str) -> None:
    """Table of what the loader takes of a training step."""
    print(f"\nunet?width=16, batches of {BATCH_SIZE}, medians of {workload.steps} steps\n")
    print("| image | augmentation | step (ms) | loader (ms) | share |")
    print("|---|---|---|---|---|")
    for side in workload.sides:
        for name, augmentation in AUGMENTATIONS.items():
            step, loader = step_milliseconds(side, augmentation, workload.steps, device)
            share = f"{loader / step:.1%}"
            print(f"| {side} | {name} | {step:.4g} | {loader:.3g} | {share} |", flush=True)


def step_milliseconds(
    side: int, augmentation: AugmentationSettings, steps: int, device: str
) -> tuple[float, float]:
    """Medians of a whole step, and of the part in which its batch is made."""
    from nas.preparation import open_data
    from nas.retrain import RetrainStage
    from nas.runs import RunFolder

    settings = RetrainSettings(
        backbone="unet?width=16",
        adversary=AdversarySettings(discriminator="none"),
        data=DataSettings(image_size=str(side), train_images=4 * BATCH_SIZE),
        training=TrainingSettings(batch_size=BATCH_SIZE),
        augmentation=augmentation,
        run=RunSettings(device=device),
    )
    with tempfile.TemporaryDirectory() as scratch:
        stage = RetrainStage(settings, RunFolder(Path(scratch)), open_data(settings.data))
        with timed_batches() as loader:
            whole = [
                seconds_of(lambda step=step: stage.step(*divmod(step, stage.steps)))  # type: ignore[misc]
                for step in range(steps + 2)
            ]
    return 1000 * statistics.median(whole[2:]), 1000 * statistics.median(loader[2:])


@contextmanager
def timed_batches() -> Iterator[list[float]]:
    """The seconds of every batch that is made meanwhile."""
    seconds: list[float] = []
    make = Batches.batch

    def timed(batches: Batches, epoch: int, step: int) -> Batch:
        made: list[Batch] = []
        seconds.append(seconds_of(lambda: made.append(make(batches, epoch, step))))
        return made[0]

    with patch.object(Batches, "batch", timed):
        yield seconds


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds until something is done, by the GPU too where there is one."""
    synchronise()
    started = time.perf_counter()
    work()
    synchronise()
    return time.perf_counter() - started


def synchronise() -> None:
    """Wait for a GPU that is in use."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def megabytes(name: str) -> float:
    """A number of /proc/self/status, such as VmHWM."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def write_images(folder: Path, workload: Workload) -> None:
    """Images with smooth shapes and some noise, and masks of what is bright."""
    generator = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    side = workload.side
    for number in range(workload.images):
        coarse = generator.integers(0, 256, (8, 8), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
        noise = generator.integers(-6, 7, (side, side))
        image = np.clip(smooth + noise, 0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
        mask = (smooth > 127).astype(np.uint8)
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")


if __name__ == "__main__":
    main()
