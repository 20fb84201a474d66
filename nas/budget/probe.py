"""Asks a process of its own what settings of a search take on this machine.

So nothing of the search itself is touched, and the peak of the memory is that of these settings.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from nas import errors, ranks
from nas.budget.limits import Measured, Unmeasured
from nas.budget.probe_messages import Answer, Refusal, Request, encoded
from nas.devices import resolve_device
from nas.errors import RunError
from nas.settings import SearchSettings

PROGRAM = "from nas.budget.rehearsal import answer; answer()"

KILLED = -9
"""What a process returns that the system has ended, for want of memory."""


def probe(settings: SearchSettings, seconds: float) -> Measured | Unmeasured:
    """What a search takes, measured within so many seconds, or half of them if that is enough.

    Of several processes each measures its part of a batch, at the same time and without the
    exchange of gradients.

    Raises:
        DataError, UsageError, RunError: the search could not begin.
        RunError: the process has failed.
    """
    if seconds <= 0:
        return Unmeasured("the time of the probe was over")
    device = str(resolve_device(settings.run.device))
    run = msgspec.structs.replace(settings.run, device=device)
    settings = msgspec.structs.replace(settings, run=run)
    part = -(-settings.training.batch_size // ranks.count())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        request = Request(settings, part, folder, time.time(), seconds / 2, seconds)
        try:
            ended = subprocess.run(
                [sys.executable, "-c", PROGRAM],
                input=encoded(request),
                capture_output=True,
                timeout=seconds,
                env=_environment(scratch),
            )
        except subprocess.TimeoutExpired:
            return Unmeasured(f"not measured within {seconds:.0f} s")
    return _understood(ended)


def _environment(scratch: str) -> dict[str, str]:
    """Of this process, with its modules, but without what makes it one of several.

    What libraries leave in the folder of temporary files is left in ``scratch``.
    """
    alone = {name: value for name, value in os.environ.items() if name not in ranks.MARKS}
    modules = (os.path.abspath(place) for place in sys.path)
    return {**alone, "PYTHONPATH": os.pathsep.join(modules), "TMPDIR": scratch}


def _understood(ended: subprocess.CompletedProcess[bytes]) -> Measured | Unmeasured:
    if ended.returncode == KILLED:
        return Unmeasured("memory ran out")
    if ended.returncode:
        lines = ended.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise RunError(
            f"The probe for --budget has failed ({lines[-1].rstrip('.')}): start the search "
            "without --budget to see where."
        )
    answer = msgspec.msgpack.decode(ended.stdout, type=Answer)
    if answer.refusal is not None:
        raise _error(answer.refusal)
    found = answer.measured or answer.unmeasured
    assert found is not None
    return found


def _error(refusal: Refusal) -> errors.UserError:
    kind: type[errors.UserError] = getattr(errors, refusal.error)
    return kind(refusal.sentence)
