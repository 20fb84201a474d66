"""Jobs through submitit, whose local executor stands for SLURM."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nas.engines import FOLDER, LOST, Job
from nas.engines.slurm import SlurmEngine, check_parameters, slurm_executor
from nas.errors import UsageError

slow = pytest.mark.slow
ROOT = Path(__file__).parents[3]
POLL = 0.05
NOTE = "open(sys.argv[1] + '/starts', 'a').write('x')\n"
SAVING = (
    "import signal\n"
    "def save(*_):\n"
    "    open(sys.argv[1] + '/saved', 'w'); sys.exit(143)\n"
    "signal.signal(signal.SIGTERM, save)\n"
    "open(sys.argv[1] + '/ready', 'w')\n"
    "for _ in range(600):\n"
    "    time.sleep(0.1)\n"
    "    if os.getppid() != parent: sys.exit(143)\n"
)


def job(root: Path, name: str, code: str) -> Job:
    begin = "import os, sys, time; parent = os.getppid()\n"
    command = (sys.executable, "-S", "-c", begin + code, FOLDER)
    return Job(name=name, command=command, folder=root / name)


def when(path: Path) -> None:
    until = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SlurmEngine]:
    """Makes an engine whose jobs run on this machine."""
    submitit = pytest.importorskip("submitit")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def make(**options: Any) -> SlurmEngine:
        executor = submitit.LocalExecutor(folder=tmp_path / ".slurm")
        executor.update_parameters(timeout_min=10, signal_delay_s=5)
        return SlurmEngine(
            executor, **{"slots": 2, "poll": POLL, "patience": 20.0, "grace": 0.5, **options}
        )

    return make


class Kept:
    """An executor that keeps what it has submitted."""

    def __init__(self, executor: Any) -> None:
        self.executor = executor
        self.submitted: list[Any] = []

    def submit(self, task: Any) -> Any:
        self.submitted.append(self.executor.submit(task))
        return self.submitted[-1]


@slow
def test_outcomes_are_those_of_one_machine(
    engine: Callable[..., SlurmEngine], tmp_path: Path
) -> None:
    once = f"{NOTE}if len(open(sys.argv[1] + '/starts').read()) < 2:\n    os.kill(os.getpid(), 9)"
    jobs = [
        job(tmp_path, "large", once),
        job(tmp_path, "sentence", "print('x'); sys.exit('nas-retrain: It is so.')"),
        job(tmp_path, "good", "print(os.environ['OMP_NUM_THREADS'])"),
    ]
    outcomes = list(engine(threads=3).run(jobs))
    assert len(outcomes) == 3
    found = {each.job.name: each for each in outcomes}
    assert found["good"].succeeded
    assert found["good"].job == jobs[2]
    assert (tmp_path / "good/log.txt").read_text() == "3\n"
    assert (found["sentence"].exit_code, found["sentence"].reason) == (1, "It is so.")
    assert (found["large"].succeeded, found["large"].retried) == (True, True)


@slow
def test_a_lost_node_is_made_good(engine: Callable[..., SlurmEngine], tmp_path: Path) -> None:
    """The process in which a job was started is killed without a word, once and for ever."""
    once = f"{NOTE}if len(open(sys.argv[1] + '/starts').read()) < 2:\n    os.kill(parent, 9)"
    jobs = [job(tmp_path, "once", once), job(tmp_path, "always", f"{NOTE}os.kill(parent, 9)")]
    outcomes = list(engine(losses=2).run(jobs))
    assert len(outcomes) == 2
    found = {each.job.name: each for each in outcomes}
    assert (found["once"].succeeded, found["once"].retried) == (True, True)
    assert (found["always"].exit_code, found["always"].retried) == (LOST, True)
    assert "lost 3 times" in str(found["always"].reason)
    assert (tmp_path / "always/starts").read_text() == "xxx"


@slow
def test_what_has_to_make_room_saves_and_goes_on(
    engine: Callable[..., SlurmEngine], tmp_path: Path
) -> None:
    """Submitit's own signal before a time limit: the job saves, and is queued again by itself."""
    code = f"{NOTE}if os.path.exists(sys.argv[1] + '/saved'):\n    sys.exit(0)\n{SAVING}"
    made = engine()
    made.executor = Kept(made.executor)

    def interrupt() -> None:
        when(tmp_path / "j/ready")
        (submitted,) = made.executor.submitted
        children = Path(f"/proc/{submitted.job_id}/task/{submitted.job_id}/children").read_text()
        os.kill(int(children.split()[0]), signal.SIGUSR2)

    thread = threading.Thread(target=interrupt)
    thread.start()
    (outcome,) = made.run([job(tmp_path, "j", code)])
    thread.join()
    assert outcome.succeeded, outcome
    assert (tmp_path / "j/starts").read_text() == "xx"
    assert len(made.executor.submitted) == 1


@slow
def test_closing_asks_to_save_and_waits(engine: Callable[..., SlurmEngine], tmp_path: Path) -> None:
    jobs = [job(tmp_path, "long", SAVING), job(tmp_path, "quick", "")]

    def one_after_the_other() -> Iterator[Job]:
        yield jobs[0]
        when(tmp_path / "long/ready")
        yield jobs[1]

    with contextlib.closing(engine().run(one_after_the_other())) as outcomes:
        assert next(outcomes).job.name == "quick"
    assert (tmp_path / "long/saved").exists()
    assert not (tmp_path / "long/.stop").exists()


def test_what_still_waits_in_the_queue_is_taken_back(tmp_path: Path) -> None:
    class Waiting:
        state = "PENDING"
        cancelled = False

        def done(self) -> bool:
            return self.cancelled

        def cancel(self) -> None:
            self.cancelled = True

    class Queue:
        def __init__(self) -> None:
            self.jobs: list[Waiting] = []

        def submit(self, task: object) -> Waiting:
            self.jobs.append(Waiting())
            if len(self.jobs) == 3:
                raise KeyboardInterrupt
            return self.jobs[-1]

    queue = Queue()
    engine = SlurmEngine(queue, slots=5, poll=0.01, patience=10)
    with pytest.raises(KeyboardInterrupt):
        list(engine.run([job(tmp_path, f"j{number}", "") for number in range(3)]))
    assert [each.cancelled for each in queue.jobs] == [True, True, False]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"time": "60", "partiton": "gpu"}, "did you mean 'partition'"),
        ({"time": "60", "cpus_per_task": "2"}, "set by run.threads"),
        ({"partition": "gpu"}, "time=MINUTES"),
    ],
)
def test_parameters_are_checked(parameters: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_parameters(parameters, ("time", "partition", "cpus_per_task"))


def test_without_slurm_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="needs sbatch"):
        slurm_executor(tmp_path, {"time": "60"}, 1, 0)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UsageError, match=r"discriminator-nas\[cluster\]"):
        slurm_executor(tmp_path, {"time": "60"}, 1, 0)


def test_what_is_submitted_says_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for sbatch keeps the script that SLURM would get."""
    pytest.importorskip("submitit")
    for name, text in {"sbatch": 'cp "$1" "$KEPT"; echo Submitted batch job 7', "srun": ""}.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("KEPT", str(tmp_path / "kept"))
    parameters = {"time": "240", "partition": "gpu", "mem": "16GB"}
    executor = slurm_executor(tmp_path / "s", parameters, 3, 1)
    executor.submit(print)
    script = (tmp_path / "kept").read_text()
    for line in (
        *("--time=240", "--partition=gpu", "--mem=16GB", "--cpus-per-task=3"),
        *("--gpus-per-node=1", "--nodes=1", "--signal=USR2@150", "--job-name=nas-cell"),
    ):
        assert f"#SBATCH {line}\n" in script, (line, script)
