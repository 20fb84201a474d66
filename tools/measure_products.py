"""How far the finite-difference product can be trusted, by the normalisation of the discriminator.

For each normalisation and seed a search is run for some steps on real images, and on fresh batches
the published finite difference is compared with the exact product: cosine and ratio of norms for
each player, at several radii. Also the share of the exact second-order term in the hypergradient,
how well the discriminator tells truth from prediction by then, and the time of a step. The figures
of a seed are medians over its batches; the table has median, smallest and largest over the seeds.

    python tools/measure_products.py --data-root DIR --out experiments/products
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from nas.cli.common import checked
from nas.games.adversarial import AdversarialSegmentation
from nas.gradients import cosine, norm
from nas.health import examine
from nas.health_record import examined_batches
from nas.preparation import open_data
from nas.products import exact, finite_difference
from nas.runs import RunFolder
from nas.search import SearchStage
from nas.settings import (
    CellSettings,
    DataSettings,
    RunSettings,
    SearchSettings,
    SpaceSettings,
    TrainingSettings,
)
from search_spaces.description import Normalisation

NORMALISATIONS: tuple[Normalisation, ...] = ("batch", "instance", "group", "spectral", "none")
Results = dict[Normalisation, list[dict[str, float]]]
"""The figures of each normalisation, seed by seed."""
PLAYERS = ("segmenter", "discriminator")
RADII = (1e-1, 1e-2, 1e-3)


def main() -> None:
    """Measure and write products.json and a Markdown table."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    results: Results = {name: [] for name in arguments.normalisations}
    for seed in arguments.seeds:
        for normalisation, found in results.items():
            found.append(measure(normalisation, seed, arguments))
            (arguments.out / "products.json").write_text(json.dumps(results, indent=2))
            print(normalisation, seed, json.dumps(found[-1]), flush=True)
    (arguments.out / "products.md").write_text(table(results))
    print(table(results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("experiments/products"))
    parser.add_argument("--image-size", default="64")
    parser.add_argument("--backbone", default="unet?width=16")
    parser.add_argument("--layout", default="NRN")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batches", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--normalisations", nargs="+", default=list(NORMALISATIONS))
    return parser.parse_args()


def measure(
    normalisation: Normalisation, seed: int, arguments: argparse.Namespace
) -> dict[str, float]:
    """All figures of one normalisation at one seed of weights, order of images and split."""
    settings = checked(
        SearchSettings(
            backbone=arguments.backbone,
            data=DataSettings(
                dataset="folder",
                data_root=arguments.data_root,
                image_size=arguments.image_size,
                split_seed=seed,
            ),
            space=SpaceSettings(normalisation=normalisation),
            cell=CellSettings(layout=arguments.layout, channels=arguments.channels),
            training=TrainingSettings(
                segmenter_lr=arguments.rate, discriminator_lr=arguments.rate, batch_size=4
            ),
            run=RunSettings(device="cpu", seed=seed),
        )
    )
    folder = RunFolder(arguments.out / "scratch")
    data = open_data(settings.data)
    stage = SearchStage(settings, folder, data)
    for step in range(arguments.steps):
        stage.engine.update_weights(stage.weight_batches.batch(*divmod(step, stage.steps)))
    assert isinstance(stage.game, AdversarialSegmentation)
    examined = examined_batches(stage.architecture_batches, 0)
    health = examine(stage.game, examined).numbers()
    accuracy = {name: health[name] for name in ("real_accuracy", "fake_accuracy")}
    samples = [compare(stage, count) for count in range(arguments.batches)]
    merged = {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}
    return {**accuracy, **merged}


def compare(stage: SearchStage, count: int) -> dict[str, float]:
    """Exact product against finite differences on one pair of batches."""
    (group,) = stage.engine.groups
    train = stage.weight_batches.batch(1000, count)
    validation = stage.architecture_batches.batch(1000, count)
    started = time.perf_counter()
    truth = stage.engine.with_product(exact()).hypergradient(group, train, validation)
    figures = {
        "exact_seconds": time.perf_counter() - started,
        "second_order_share": float(truth.second_order_share()),
    }
    for radius in RADII:
        started = time.perf_counter()
        rule = finite_difference(radius)
        found = stage.engine.with_product(rule).hypergradient(group, train, validation)
        figures[f"seconds r={radius:g}"] = time.perf_counter() - started
        for name, term in truth.indirect.items():
            approximation = found.indirect[name]
            figures[f"cosine {name} r={radius:g}"] = float(cosine(approximation, term))
            figures[f"ratio {name} r={radius:g}"] = float(norm(approximation) / norm(term))
    return figures


def table(results: Results) -> str:
    """Markdown with a row per normalisation: median [smallest, largest] over the seeds."""
    columns = [
        *(f"cosine {name} r={radius:g}" for name in PLAYERS for radius in RADII),
        "second_order_share",
        "real_accuracy",
        "fake_accuracy",
        "seconds r=0.01",
        "exact_seconds",
    ]
    lines = [
        "| normalisation | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name, seeds in results.items():
        cells = (over_seeds([figures[column] for figures in seeds]) for column in columns)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def over_seeds(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2g} [{min(values):.2g}, {max(values):.2g}]"


if __name__ == "__main__":
    main()
