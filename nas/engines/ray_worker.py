"""What runs on a node of a Ray cluster, in an actor of its own for each job."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nas.engines import Job, Outcome
from nas.engines.parcels import pack, relocate, unpack
from nas.engines.worker import Worker, enter, placed
from nas.errors import RunError
from nas.version import __version__

ORIGIN_FILE = ".origin"
"""Has a word in it by which a node knows that it sees the same folder."""


class Order(NamedTuple):
    """A job for a node.

    Attributes:
        job: as the engine was given it.
        word: in the file `ORIGIN_FILE` of the job's folder.
        shared: whether folders are shared; None to look for the word.
        inputs: the paths of what travels with the job.
        python, folder, version: interpreter, folder and version of who gives the job.
    """

    job: Job
    word: str
    shared: bool | None
    inputs: tuple[Path, ...]
    python: str
    folder: str
    version: str


class Done(NamedTuple):
    """What a node has to say of a job.

    Attributes:
        outcome: how it ended.
        archive: its folder; None where that is shared.
    """

    outcome: Outcome
    archive: bytes | None


class RayWorker:
    """Runs one job; `stop` is called while `run` runs."""

    def __init__(self, threads: int, patience: float) -> None:
        self.worker = Worker(threads, patience)

    def ready(self) -> bool:
        """Whether this worker has a place."""
        return True

    def stop(self) -> None:
        """Ask the job to save and leave."""
        self.worker.stop()

    def run(self, order: Order, folder: Sequence[Any], inputs: Sequence[Any]) -> Done:
        """Run the job in its folder where that is shared, else in a copy that goes home.

        Args:
            order: the job.
            folder: a reference to the archive of its folder.
            inputs: references to the archives of what travels with it.

        Raises:
            RunError: another version is installed here.
        """
        if order.version != __version__:
            raise RunError(
                f"The node has discriminator-nas {__version__}, and {order.version} was expected: "
                "install the same on all nodes."
            )
        enter(order.folder)
        if self._sees_folder(order):
            job = placed(order.job, order.job.folder, order.python, sys.executable)
            return Done(self.worker.run(job), None)
        return self._run_away(order, folder, inputs)

    def _sees_folder(self, order: Order) -> bool:
        if order.shared is not None:
            return order.shared
        try:
            return (order.job.folder / ORIGIN_FILE).read_text() == order.word
        except OSError:
            return False

    def _run_away(self, order: Order, folder: Sequence[Any], inputs: Sequence[Any]) -> Done:
        import ray

        scratch = Path(tempfile.mkdtemp(prefix="nas-job-"))
        try:
            here = scratch / "run" / order.job.folder.name
            unpack(ray.get(folder[0]), here)
            places = {str(order.job.folder): str(here)}
            for number, (path, reference) in enumerate(zip(order.inputs, inputs, strict=True)):
                places[str(path)] = str(received(ray.get(reference), path, scratch / str(number)))
            relocate(here, places)
            job = placed(order.job, here, order.python, sys.executable)
            outcome = self.worker.run(job)
            relocate(here, {place: path for path, place in places.items()})
            return Done(outcome, pack(here))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def received(content: bytes, path: Path, folder: Path) -> Path:
    """Unpack what travelled with a job; its place here.

    Args:
        content: archive of a file or a folder.
        path: where it was.
        folder: a new one of this machine.
    """
    place = folder / path.name
    unpack(content, place)
    return place / path.name if [*place.iterdir()] == [place / path.name] else place
