"""Time and memory of single search steps, at any settings; by default at the published ones.

    python tools/measure_step.py --recompute-cells
    python tools/measure_step.py --image-size 128 --steps 5 --order first

All options of nas-search are taken; the images are the phantom's unless they say otherwise.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import torch

from nas.cli.common import parse
from nas.devices import resolve_device, set_threads
from nas.preparation import open_data
from nas.runs import RunFolder
from nas.search import SearchStage
from nas.settings import SearchSettings


def main() -> None:
    """Run the steps and print a line for each."""
    arguments = sys.argv[1:]
    steps = 1
    if "--steps" in arguments:
        place = arguments.index("--steps")
        steps = int(arguments[place + 1])
        del arguments[place : place + 2]
    settings = parse(SearchSettings, "measure_step.py", arguments)
    set_threads(settings.run.threads)
    with tempfile.TemporaryDirectory() as scratch:
        stage = SearchStage(settings, RunFolder(Path(scratch)), open_data(settings.data))
        for step in range(steps):
            started = time.perf_counter()
            numbers = stage.step(*divmod(step, stage.steps))
            seconds = time.perf_counter() - started
            print(
                f"step {step + 1}: {seconds:.2f} s, peak {peak_gigabytes(settings):.2f} GB", numbers
            )


def peak_gigabytes(settings: SearchSettings) -> float:
    """Largest memory so far: of the GPU where there is one, else of the process."""
    device = resolve_device(settings.run.device)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
