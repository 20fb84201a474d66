"""The engine that the options of nas-compare ask for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nas.comparison.recipe import Recipe
from nas.engines import Engine
from nas.errors import UsageError

if TYPE_CHECKING:
    from nas.cli.compare import Options

SUBMISSIONS = ".slurm"
"""Folder of submitit's files below that of the comparison."""


def make_engine(options: Options, recipe: Recipe, jobs: int, out: Path) -> Engine:
    """The engine.

    Args:
        options: of the command.
        recipe: of the comparison.
        jobs: that are left to run.
        out: folder of the comparison.

    Raises:
        UsageError: its library is missing, or what is asked for is not there.
    """
    if recipe.run.device == "cpu" and options.gpus_per_job:
        raise UsageError(
            f'--gpus-per-job {options.gpus_per_job:g} contradicts run.device = "cpu" of the '
            "recipe: leave one out."
        )
    if options.engine == "ray":
        return _ray(options, recipe)
    if options.engine == "slurm":
        return _slurm(options, recipe, out)
    return local_engine(recipe.run.device, recipe.run.threads, jobs, options.jobs)


def local_engine(device: str, threads: int, jobs: int, at_once: int) -> Engine:
    """As many processes as fit on this machine.

    Args:
        device: on which they compute, as in `nas.settings.RunSettings`.
        threads: of each; 0 divides the cores.
        jobs: in all.
        at_once: at the same time, at most; 0 for as many as fit.
    """
    import torch

    from nas.engines.local import LocalEngine, cores, share

    on_devices = device in ("auto", "cuda") and torch.cuda.is_available()
    devices = visible_devices(torch.cuda.device_count()) if on_devices else ()
    slots, shared = share(jobs, at_once, threads, cores(), devices)
    return LocalEngine(slots, shared, devices)


def visible_devices(count: int) -> tuple[str, ...]:
    """The names by which processes are given the CUDA devices that this one sees."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = named.split(",") if named else [str(number) for number in range(count)]
    return tuple(names[:count])


def _ray(options: Options, recipe: Recipe) -> Engine:
    from nas.engines.ray_cluster import RayEngine, connect, has_devices

    connect(options.address)
    wanted = recipe.run.device == "cuda" or (recipe.run.device == "auto" and has_devices())
    return RayEngine(
        at_once=options.jobs,
        threads=recipe.run.threads or 1,
        gpus=float(wanted) if options.gpus_per_job is None else options.gpus_per_job,
        send_data=options.send_data,
    )


def _slurm(options: Options, recipe: Recipe, out: Path) -> Engine:
    from nas.engines.slurm import AT_ONCE, SlurmEngine, slurm_executor

    gpus = options.gpus_per_job
    if gpus is None:
        gpus = float(recipe.run.device == "cuda")
    if gpus != int(gpus):
        raise UsageError(
            f"--gpus-per-job {gpus:g}: SLURM gives whole GPUs; parts of one go with --engine ray."
        )
    threads = recipe.run.threads or 1
    parameters = _pairs(options.slurm)
    executor = slurm_executor(out / SUBMISSIONS, parameters, threads, int(gpus))
    return SlurmEngine(executor, options.jobs or AT_ONCE, threads)


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    """Names and values from NAME=VALUE."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise UsageError(
                f"--slurm {text} cannot be read: NAME=VALUE was expected, such as partition=gpu."
            )
        pairs[name] = value
    return pairs
