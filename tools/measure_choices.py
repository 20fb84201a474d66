"""What each choice of cheaper mathematics saves in a search step, and does to alpha's gradient.

    python tools/measure_choices.py --data-root DIR --out experiments/choices/group.md
    python tools/measure_choices.py --normalisation batch --choices joint
    python tools/measure_choices.py --quick

Each choice alone is compared with the default step: published order, products and passes. Times are
medians of steps that all sides take in turn, in one process; the peak of the memory is that of
two steps in a fresh process each. The gradient is alpha's hypergradient, in float64, on the same
weights (after some steps of training by the default) and the same batches; the reference is the
default's. A cosine of 1 and a norm of 1 say that a choice changes nothing. bf16 has float32 weights
and its own precision, with the default in float32 beside it.

Two choices have no gradient that could be compared number by number. Of single paths the mean over
many draws is compared, and the spread of one draw is told. Partial channels are another network:
for several seeds both networks start from fresh weights with the same alpha, and the means over
seeds are compared; beside it stands the default against itself, with one half of the seeds against
the other. Alpha starts nearly uniform, where its gradient is that of the probabilities, centred in
each row and divided by their number, so that rows of both can be compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch
from machine_rates import seconds
from torch import Tensor

from nas.budget.memory import peak_bytes, present_bytes
from nas.cli.common import checked
from nas.data.batches import Batch
from nas.deviations import deviations
from nas.devices import resolve_device
from nas.games.adversarial import AdversarialSegmentation
from nas.gradients import Gradient, add, cosine, norm, scale
from nas.preparation import Data, open_data
from nas.runs import RunFolder
from nas.search import SearchStage
from nas.settings import (
    ArchitectureSettings,
    CellSettings,
    DataSettings,
    GameSettings,
    RunSettings,
    SearchSettings,
    SpaceSettings,
    TrainingSettings,
)
from nas.supernets import cool

DEFAULT = "default"
CHOICES: dict[str, dict[str, dict[str, Any]]] = {
    DEFAULT: {},
    "first-order": {"architecture": {"order": "first"}},
    "phi-product": {"architecture": {"product_for": "discriminator"}},
    "exact": {"architecture": {"product": "exact"}},
    "partial-channels": {"cell": {"partial_channels": 4}},
    "single-path": {"cell": {"relaxation": "single-path"}},
    "bf16": {"run": {"precision": "bf16"}},
    "recompute": {"cell": {"recompute_cells": True}},
    "joint": {"game": {"passes": "joint"}},
}
"""What differs from the default in the tables of the settings."""

Pair = tuple[Batch, Batch]
"""A batch of the weights' half, and one of alpha's."""


@dataclass
class Row:
    """The figures of a choice; those of the gradient by the data that it was taken on."""

    name: str
    option: str
    time: float = float("nan")
    memory: float = float("nan")
    effects: dict[str, str] = field(default_factory=dict)


def settings_of(name: str, arguments: argparse.Namespace, seed: int = 0) -> SearchSettings:
    """The settings of a search that makes a choice."""
    data = DataSettings(image_size=str(arguments.px), train_images=2 * arguments.batch)
    if arguments.data_root is not None:
        data = DataSettings(
            dataset="folder", data_root=arguments.data_root, image_size=str(arguments.px)
        )
    base = SearchSettings(
        backbone=arguments.backbone,
        data=data,
        space=SpaceSettings(normalisation=arguments.normalisation),
        cell=CellSettings(channels=arguments.channels, layout=arguments.layout),
        training=TrainingSettings(batch_size=arguments.batch),
        game=GameSettings(),
        architecture=ArchitectureSettings(),
        run=RunSettings(device=arguments.device, seed=seed),
    )
    changed = {
        table: msgspec.structs.replace(getattr(base, table), **values)
        for table, values in CHOICES[name].items()
    }
    return checked(msgspec.structs.replace(base, **changed))


def new_stage(name: str, arguments: argparse.Namespace, data: Data, seed: int = 0) -> SearchStage:
    """A search that makes a choice, at its first step."""
    settings = settings_of(name, arguments, seed)
    stage = SearchStage(settings, RunFolder(Path(tempfile.gettempdir()) / "none"), data)
    for supernet in stage.phase.supernets.values():
        cool(supernet, settings.cell, 0, settings.training.epochs)
    return stage


def draw_pairs(stage: SearchStage, noise: bool) -> Iterator[Pair]:
    """Batches of a search without end, of its images or of noise in their place."""
    count = 0
    while True:
        pair = (
            stage.weight_batches.batch(*divmod(count, len(stage.weight_batches))),
            stage.architecture_batches.batch(*divmod(count, len(stage.architecture_batches))),
        )
        classes = len(stage.data.classes)
        yield (noisy(pair[0], classes), noisy(pair[1], classes)) if noise else pair
        count += 1


def noisy(batch: Batch, classes: int) -> Batch:
    """Uniform noise, with labels in squares of 8 pixels."""
    count, height, width = batch.labels.shape
    coarse = torch.randint(0, classes, (count, height // 8 + 1, width // 8 + 1))
    labels = coarse.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, :height, :width]
    return batch._replace(
        images=torch.rand_like(batch.images), labels=labels.to(batch.labels.device)
    )


def step_of(stage: SearchStage, pair: Pair) -> Callable[[], object]:
    """What takes a step of alpha and one of the weights."""
    (group,) = stage.engine.groups

    def step() -> None:
        stage.engine.update_architecture(group, *pair)
        stage.engine.update_weights(pair[0])

    return step


def gradient_of(stage: SearchStage, pair: Pair) -> Gradient:
    """Alpha's hypergradient, of probabilities alone, in the type of the weights."""
    (group,) = stage.engine.groups
    kind = next(stage.game.segmenter.parameters()).dtype
    train, validation = (each._replace(images=each.images.to(kind)) for each in pair)
    slopes = stage.engine.hypergradient(group, train, validation).total()
    return [slope.double() for slope in slopes if slope.dim() == 2]


def take_weights(stage: SearchStage, state: Mapping[str, Any], double: bool) -> None:
    """Give a search the weights of another, in float64 or as they are."""
    game = judged(stage)
    game.segmenter.load_state_dict(state["segmenter"])
    game.discriminator.load_state_dict(state["discriminator"])
    if double:
        game.segmenter.double()
        game.discriminator.double()


def judged(stage: SearchStage) -> AdversarialSegmentation:
    """The game of a search of a discriminator."""
    assert isinstance(stage.game, AdversarialSegmentation)
    return stage.game


def weights_of(stage: SearchStage) -> dict[str, Any]:
    """A copy of the weights of both networks."""
    game = judged(stage)
    networks = {"segmenter": game.segmenter, "discriminator": game.discriminator}
    return {
        name: {key: value.clone() for key, value in network.state_dict().items()}
        for name, network in networks.items()
    }


def compared(found: Gradient, reference: Gradient) -> str:
    """Cosine and relative norm."""
    return f"{float(cosine(found, reference)):.4f}, {float(norm(found) / norm(reference)):.3g}"


def mean_of(gradients: Sequence[Gradient]) -> Gradient:
    """The mean, tensor by tensor."""
    return scale(add(*gradients), 1 / len(gradients))


def measure_effects(
    rows: Mapping[str, Row], arguments: argparse.Namespace, data: Data, noise: bool
) -> None:
    """Fill in what each choice does to alpha's gradient on images, or on noise."""
    title = "noise" if noise else "images"
    torch.manual_seed(1)
    trained = new_stage(DEFAULT, arguments, data)
    pairs = draw_pairs(trained, noise)
    for _ in range(arguments.train_steps):
        trained.engine.update_weights(next(pairs)[0])
    state, pair = weights_of(trained), next(pairs)
    take_weights(trained, state, double=True)
    reference = gradient_of(trained, pair)
    for name, row in rows.items():
        if name == "partial-channels":
            row.effects[title] = effect_of_another_network(name, arguments, data, noise)
            continue
        stage = new_stage(name, arguments, data)
        take_weights(stage, state, double=name not in ("bf16", DEFAULT))
        if name == "single-path":
            row.effects[title] = effect_of_samples(stage, pair, reference, arguments.samples)
        else:
            row.effects[title] = compared(gradient_of(stage, pair), reference)
        print(f"{title}: {name}: {row.effects[title]}", file=sys.stderr, flush=True)


def effect_of_samples(stage: SearchStage, pair: Pair, reference: Gradient, count: int) -> str:
    """The mean over draws against the reference; of one draw, mean and deviation over draws."""
    samples = []
    for seed in range(count):
        torch.manual_seed(seed)
        samples.append(gradient_of(stage, pair))
    cosines = [float(cosine(each, reference)) for each in samples]
    norms = [float(norm(each) / norm(reference)) for each in samples]
    return (
        f"mean of {count}: {compared(mean_of(samples), reference)}; one: "
        f"{statistics.mean(cosines):.2f} ± {statistics.pstdev(cosines):.2f}, "
        f"{statistics.mean(norms):.3g} ± {statistics.pstdev(norms):.2g}"
    )


def effect_of_another_network(
    name: str, arguments: argparse.Namespace, data: Data, noise: bool
) -> str:
    """Means over seeds of both networks with one alpha; the default's halves beside them."""
    found: dict[str, list[Gradient]] = {DEFAULT: [], name: []}
    alphas: list[Tensor] = []
    for seed in range(arguments.seeds):
        for side, gradients in found.items():
            stage = new_stage(side, arguments, data, seed)
            supernet = stage.phase.supernets["discriminator"]
            own = [alpha for alpha in supernet.alphas() if alpha.dim() == 2]
            alphas = alphas or [alpha.detach().clone() for alpha in own]
            with torch.no_grad():
                for alpha, value in zip(own, alphas, strict=True):
                    alpha.copy_(value)
            torch.manual_seed(seed)
            pair = next(draw_pairs(stage, noise))
            take_weights(stage, weights_of(stage), double=True)
            gradients.append(gradient_of(stage, pair))
    ordinary = found[DEFAULT]
    control = compared(mean_of(ordinary[::2]), mean_of(ordinary[1::2]))
    return (
        f"means of {arguments.seeds} seeds: {compared(mean_of(found[name]), mean_of(ordinary))} "
        f"(default, halves of the seeds: {control})"
    )


def measure_times(rows: Mapping[str, Row], arguments: argparse.Namespace, data: Data) -> None:
    """Fill in the ratios of medians to the default step, all sides taking steps in turn."""
    device = resolve_device(arguments.device)
    takers, taken = {}, {name: [] for name in rows}  # type: dict[str, Any], dict[str, list[float]]
    for name in rows:
        stage = new_stage(name, arguments, data)
        takers[name] = step_of(stage, next(draw_pairs(stage, noise=False)))
        takers[name]()
    for _ in range(arguments.steps):
        for name, step in takers.items():
            taken[name].append(seconds(step, device))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    for name, row in rows.items():
        row.time = medians[name] / medians[DEFAULT]
    print(f"default step: {medians[DEFAULT]:.3g} s", file=sys.stderr)


def measure_memory(rows: Mapping[str, Row], words: Sequence[str]) -> None:
    """Fill in the ratios of peaks to the default's, each measured in a process of its own."""
    peaks = {}
    for name in rows:
        command = [sys.executable, __file__, *words, "--child", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[name] = float(json.loads(done.stdout.splitlines()[-1]))
    for name, row in rows.items():
        row.memory = peaks[name] / peaks[DEFAULT]
    print(f"default peak: {peaks[DEFAULT]:.0f} MB", file=sys.stderr)


def run_child(arguments: argparse.Namespace) -> None:
    """Print what two steps add to the memory of this process, or of the GPU, in MB."""
    device = resolve_device(arguments.device)
    data = open_data(settings_of(DEFAULT, arguments).data)
    before = 0 if device.type == "cuda" else present_bytes(device)
    stage = new_stage(arguments.child, arguments, data)
    step = step_of(stage, next(draw_pairs(stage, noise=False)))
    for _ in range(2):
        step()
    print((peak_bytes(device) - before) / 2**20)


def markdown(rows: Sequence[Row], titles: Sequence[str], head: str) -> str:
    """The table."""
    columns = ["choice", "option", "time", "memory", *(f"alpha's gradient, {t}" for t in titles)]
    lines = [head, "", "| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for row in rows:
        effects = [row.effects[title] for title in titles]
        figures = [row.name, row.option, f"{row.time:.2f}", f"{row.memory:.2f}", *effects]
        lines.append("| " + " | ".join(figures) + " |")
    return "\n".join(lines) + "\n"


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-root", type=Path, help="folder of images and masks")
    parser.add_argument("--px", type=int, default=64)
    parser.add_argument("--backbone", default="unet?width=16")
    parser.add_argument("--channels", type=int, default=16, help="C of the first cell")
    parser.add_argument("--layout", default="NRNRNRN")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--normalisation", default="group")
    parser.add_argument("--choices", nargs="+", choices=list(CHOICES), default=list(CHOICES))
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each side")
    parser.add_argument("--train-steps", type=int, default=20, help="of the weights, before")
    parser.add_argument("--samples", type=int, default=64, help="draws of a path")
    parser.add_argument("--seeds", type=int, default=8, help="of networks with partial channels")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true", help="tiny networks, in seconds")
    parser.add_argument("--out", type=Path, help="Markdown")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.quick:
        arguments.px, arguments.backbone = 32, "unet?width=4&depth=2"
        arguments.channels, arguments.layout, arguments.steps = 8, "R", 1
        arguments.train_steps, arguments.samples, arguments.seeds = 2, 3, 2
    arguments.choices = list(dict.fromkeys([DEFAULT, *arguments.choices]))
    return arguments


def main() -> None:
    """Measure, and print the table."""
    words = sys.argv[1:]
    arguments = parse(words)
    torch.set_num_threads(arguments.threads)
    if arguments.child:
        run_child(arguments)
        return
    data = open_data(settings_of(DEFAULT, arguments).data)
    rows = {
        name: Row(name, told.option if told else "(in float32)")
        for name in arguments.choices
        for told in [next(iter(deviations(settings_of(name, arguments))), None)]
    }
    titles = ["noise"] if arguments.data_root is None else ["images", "noise"]
    for title in titles:
        measure_effects(rows, arguments, data, title == "noise")
    measure_times(rows, arguments, data)
    measure_memory(rows, words)
    head = (
        f"`{' '.join(sys.argv)}`: torch {torch.__version__}, {resolve_device(arguments.device)}, "
        f"{arguments.threads} thread(s). Time and peak memory of a step as ratios to the default; "
        "cosine and norm of alpha's gradient relative to the default's in float64."
    )
    table = markdown(list(rows.values()), titles, head)
    print(table)
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(table)


if __name__ == "__main__":
    main()
