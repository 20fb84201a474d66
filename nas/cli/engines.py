"""Where the runs of nas-compare and nas-sweep run: the options, and the engine they ask for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from msgspec import Struct

from nas.engines import Engine
from nas.errors import UsageError
from nas.settings import Count, Rate, RunSettings

SUBMISSIONS = ".slurm"
"""Folder of submitit's files below that of the comparison or sweep."""


class EngineOptions(Struct, frozen=True, kw_only=True):
    """Where the runs run."""

    engine: Literal["local", "ray", "slurm"] = "local"
    """Where they run: on this machine, on a Ray cluster, or on a cluster with SLURM."""

    jobs: Count = 0
    """How many run at the same time. 0: as many as fit on the cores (by --threads in the recipe's
    [run]; local divides them, ray and slurm give one each) or the GPUs; with slurm 100 in the
    queue."""

    address: str | None = None
    """Of the Ray cluster: HOST:PORT, ray://HOST:PORT, or auto for the one that this machine is part
    of. By default this machine's own Ray."""

    gpus_per_job: Rate | None = None
    """GPUs of each, with ray also a part of one such as 0.25. By default 1 where run.device is
    cuda, or auto and a node of the Ray cluster has one; else none."""

    send_data: bool = False
    """Send data to the nodes of the Ray cluster that do not see this machine's files. Recipe,
    genotypes, splits and groups are always sent there, and run folders come back; without this,
    data has to be on the nodes by the same paths."""

    slurm: tuple[str, ...] = ()
    """Parameters of submitit for SLURM, NAME=VALUE ...: time=240 (minutes, needed; what takes
    longer saves and goes on), partition=gpu, account=NAME, mem=16GB, qos=NAME ..."""


ENGINES_OF = {
    "address": ("ray",),
    "gpus_per_job": ("ray", "slurm"),
    "send_data": ("ray",),
    "slurm": ("slurm",),
}
"""Options that not every engine has, with those that do."""


def refuse_unused_engine_options(options: EngineOptions) -> None:
    """Refuse options that the engine does not have.

    Raises:
        UsageError: which.
    """
    for name, engines in ENGINES_OF.items():
        if getattr(options, name) not in (None, False, ()) and options.engine not in engines:
            raise UsageError(
                f"--{name.replace('_', '-')} goes with --engine {' or '.join(engines)}, not with "
                f"--engine {options.engine}."
            )


def make_engine(options: EngineOptions, run: RunSettings, jobs: int, out: Path) -> Engine:
    """The engine.

    Args:
        options: of the command.
        run: device and threads of each job.
        jobs: that are left to run.
        out: folder of the comparison or sweep.

    Raises:
        UsageError: its library is missing, or what is asked for is not there.
    """
    if run.device == "cpu" and options.gpus_per_job:
        raise UsageError(
            f'--gpus-per-job {options.gpus_per_job:g} contradicts run.device = "cpu" of the '
            "recipe: leave one out."
        )
    if options.engine == "ray":
        return _ray(options, run)
    if options.engine == "slurm":
        return _slurm(options, run, out)
    return _local(options, run, jobs)


def _local(options: EngineOptions, run: RunSettings, jobs: int) -> Engine:
    """As many processes as fit on this machine."""
    import torch

    from nas.engines.local import LocalEngine, cores, share

    on_devices = run.device in ("auto", "cuda") and torch.cuda.is_available()
    devices = visible_devices(torch.cuda.device_count()) if on_devices else ()
    slots, threads = share(jobs, options.jobs, run.threads, cores(), devices)
    return LocalEngine(slots, threads, devices)


def visible_devices(count: int) -> tuple[str, ...]:
    """The names by which processes are given the CUDA devices that this one sees."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = named.split(",") if named else [str(number) for number in range(count)]
    return tuple(names[:count])


def _ray(options: EngineOptions, run: RunSettings) -> Engine:
    from nas.engines.ray_cluster import RayEngine, connect, has_devices

    connect(options.address)
    wanted = run.device == "cuda" or (run.device == "auto" and has_devices())
    return RayEngine(
        at_once=options.jobs,
        threads=run.threads or 1,
        gpus=float(wanted) if options.gpus_per_job is None else options.gpus_per_job,
        send_data=options.send_data,
    )


def _slurm(options: EngineOptions, run: RunSettings, out: Path) -> Engine:
    from nas.engines.slurm import AT_ONCE, SlurmEngine, slurm_executor

    gpus = options.gpus_per_job
    if gpus is None:
        gpus = float(run.device == "cuda")
    if gpus != int(gpus):
        raise UsageError(
            f"--gpus-per-job {gpus:g}: SLURM gives whole GPUs; parts of one go with --engine ray."
        )
    threads = run.threads or 1
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
