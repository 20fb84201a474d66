"""What mining triplets and weighting borders cost, beside their direct definitions and a step.

In one run, in turn, on the same batches: one training step of ConcatenationFCN-003 (forward,
backward, Adam), the triplets of the batch and the border weights of its masks, each by `nas.losses`
and by the definition. The results are asserted to be equal. Published sizes: 224x332 pixels, four
images, 50 triplets of an image. On a GPU the batch is there too, and mining pays for
bringing the masks back.

By the definition, triplets come from a search in growing rings around each anchor (Nelson 2022,
Section 3.5), once with one look into the mask for each pixel of a ring, and once as in Nelson's
code, which compares each pixel with the list of all foreground pixels. Border weights come from one
distance transform of the whole image for each object.

Triplets are mined at every step; border weights are computed once for each image of a training.

    python tools/measure_losses.py --data-root DIR
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import nn
from torch.nn.functional import cross_entropy

from nas.data.batches import Batch, Samples
from nas.data.cases import Reader
from nas.data.readers import open_reader
from nas.devices import resolve_device
from nas.losses.border_weights import border_weights, objects
from nas.losses.triplets import mine_triplets
from nas.networks import build_segmenter
from nas.settings import DataSettings

SIZE = (224, 332)
IMAGES = 4
TRIPLETS = 50
W0, SIGMA = 10.0, 5.0
STEP = "training step"
MINING = ("triplets", "triplets, search per anchor", "triplets, search as coded")
BORDERS = ("border weights", "border weights, transform per object")

Place = tuple[int, int]
IsBackground = Callable[[Place], bool]
Result = TypeVar("Result")
Times = dict[str, list[float]]
"""Seconds of each thing that is measured, repeat by repeat."""


def main() -> None:
    """Measure in turn and print a table of medians."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    device = resolve_device(arguments.device)
    reader = open_reader(
        DataSettings(dataset="folder", data_root=arguments.data_root)
        if arguments.data_root
        else DataSettings()
    )
    batches = batches_of(reader, arguments.repeats + 1, device)
    network = build_segmenter("concatenation_fcn?preset=003", reader.channels, len(reader.classes))
    network.to(device)
    adam = torch.optim.Adam(network.parameters())
    measure(network, adam, batches[0])
    times = [measure(network, adam, batch) for batch in batches[1:]]
    print(table({name: [one[name] for one in times] for name in times[0]}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-root", type=Path, help="folder with images/ and masks/")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="of the training step: cpu, cuda, ...")
    return parser.parse_args()


def batches_of(reader: Reader, count: int, device: torch.device) -> list[Batch]:
    """So many batches of successive cases, from the start again where the cases end."""
    ids = [case.id for case in reader.cases]
    wanted = [ids[place % len(ids)] for place in range(count * IMAGES)]
    samples = Samples(reader, list(dict.fromkeys(wanted)), SIZE, device)
    bounds = range(0, len(wanted) + 1, IMAGES)
    return [samples.batch(wanted[start:stop]) for start, stop in pairwise(bounds)]


def measure(network: nn.Module, adam: torch.optim.Adam, batch: Batch) -> dict[str, float]:
    """Seconds of everything on one batch.

    Raises:
        AssertionError: a result differs from that of the definition.
    """
    masks = batch.labels.cpu().numpy()
    rng = np.random.default_rng(0)
    found: dict[str, float] = {}
    _, found[STEP] = timed(lambda: train(network, adam, batch))
    mined, found[MINING[0]] = timed(lambda: mine(batch, rng))
    _, found[MINING[1]] = timed(lambda: searched(masks, in_mask))
    _, found[MINING[2]] = timed(lambda: searched(masks, in_list))
    check_negatives(masks, mined)
    instances = [objects(mask) for mask in masks]
    weights, found[BORDERS[0]] = timed(
        lambda: [border_weights(one, W0, SIGMA) for one in instances]
    )
    expected, found[BORDERS[1]] = timed(lambda: [transform_per_object(one) for one in instances])
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-5)
    return found


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """What it returns, and the seconds that it took."""
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def train(network: nn.Module, adam: torch.optim.Adam, batch: Batch) -> None:
    """One step on the plain cross-entropy."""
    adam.zero_grad()
    cross_entropy(network(batch.images), batch.labels).backward()
    adam.step()
    if batch.images.is_cuda:
        torch.cuda.synchronize()


def mine(batch: Batch, rng: np.random.Generator) -> np.ndarray:
    """The triplets of a batch."""
    return mine_triplets(batch.labels.cpu().numpy(), TRIPLETS, rng, "random")


def in_mask(mask: np.ndarray) -> IsBackground:
    """Looks into the mask."""
    return lambda place: bool(mask[place] == 0)


def in_list(mask: np.ndarray) -> IsBackground:
    """Compares with every foreground pixel."""
    foreground = np.argwhere(mask)
    return lambda place: not (foreground == place).all(axis=1).any()


def searched(masks: np.ndarray, rule: Callable[[np.ndarray], IsBackground]) -> list[list[Place]]:
    """Anchor, positive and negative of each triplet of each image, searched anchor by anchor."""
    triplets = []
    for mask in masks:
        foreground = [(int(y), int(x)) for y, x in np.argwhere(mask)]
        if 2 <= len(foreground) < mask.size:
            for anchor in random.sample(foreground, min(TRIPLETS, len(foreground))):
                positive = random.choice(foreground)
                while positive == anchor:
                    positive = random.choice(foreground)
                negative = random.choice(nearest_background(mask, anchor, rule(mask)))
                triplets.append([anchor, positive, negative])
    return triplets


def nearest_background(mask: np.ndarray, anchor: Place, is_background: IsBackground) -> list[Place]:
    """The background pixels of the first ring around the anchor that has any."""
    for radius in range(1, max(mask.shape)):
        ring = [place for place in ring_around(anchor, radius, mask.shape) if is_background(place)]
        if ring:
            return ring
    raise ValueError("The mask has no background.")


def ring_around(anchor: Place, radius: int, shape: tuple[int, ...]) -> list[Place]:
    """The pixels within the image at this Chebyshev distance from the anchor."""
    top, bottom = anchor[0] - radius, anchor[0] + radius
    left, right = anchor[1] - radius, anchor[1] + radius
    across = [(y, x) for y in (top, bottom) for x in range(left, right + 1)]
    upright = [(y, x) for y in range(top + 1, bottom) for x in (left, right)]
    return [(y, x) for y, x in across + upright if 0 <= y < shape[0] and 0 <= x < shape[1]]


def check_negatives(masks: np.ndarray, mined: np.ndarray) -> None:
    """Assert that there are as many triplets as searched, each with a negative that is admitted."""
    images, rows, columns = np.unravel_index(mined, masks.shape)
    assert len(mined) == len(searched(masks, in_mask))
    for image, row, column in zip(images.tolist(), rows.tolist(), columns.tolist(), strict=True):
        mask = masks[image[0]]
        admitted = nearest_background(mask, (row[0], column[0]), in_mask(mask))
        assert image[0] == image[2] and (row[2], column[2]) in admitted


def transform_per_object(instances: np.ndarray) -> np.ndarray:
    """Border weights from the distances of all pixels to each object, sorted."""
    numbers = np.unique(instances[instances > 0])
    if len(numbers) < 2:
        return np.zeros(instances.shape)
    distances = np.sort([distance_transform_edt(instances != one) for one in numbers], axis=0)
    weights: np.ndarray = W0 * np.exp(-((distances[0] + distances[1]) ** 2) / (2 * SIGMA**2))
    return weights


def table(times: Times) -> str:
    """Markdown: the median milliseconds of a batch, their share of a step, and how many times those
    of the function in `nas.losses` they are."""
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    lines = [
        f"| batch of {IMAGES} images, {SIZE[0]}x{SIZE[1]} | ms | share of a step | times |",
        "|---|---|---|---|",
        f"| {STEP} | {1e3 * medians[STEP]:.1f} | | |",
    ]
    for names in (MINING, BORDERS):
        for name in names:
            share, ratio = medians[name] / medians[STEP], medians[name] / medians[names[0]]
            lines.append(f"| {name} | {1e3 * medians[name]:.1f} | {share:.2%} | {ratio:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
