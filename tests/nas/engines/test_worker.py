"""One job on its node: it is stopped when asked, and waits for one of before."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from nas.engines import FOLDER, LOST, Job
from nas.engines.worker import LOCK_FILE, STOP_FILE, Worker, placed

FAST = 0.01
SAVING = (
    "import signal\n"
    "def save(*_):\n"
    "    open(sys.argv[1] + '/saved', 'w'); sys.exit(143)\n"
    "signal.signal(signal.SIGTERM, save)\n"
    "open(sys.argv[1] + '/ready', 'w')\n"
    "time.sleep(60)"
)


def job(root: Path, code: str) -> Job:
    return Job(
        name="j",
        command=(sys.executable, "-S", "-c", f"import os, sys, time\n{code}", FOLDER),
        folder=root / "j",
    )


def when(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(FAST)


def test_a_job_has_its_outcome_and_threads(tmp_path: Path) -> None:
    code = "print(os.environ['OMP_NUM_THREADS']); sys.exit('nas-x: So it is.')"
    outcome = Worker(threads=3, poll=FAST).run(job(tmp_path, code))
    assert (outcome.exit_code, outcome.reason) == (1, "So it is.")
    assert (tmp_path / "j/log.txt").read_text().startswith("3\n")


@pytest.mark.parametrize("how", ["call", "file"])
def test_a_job_that_is_stopped_saves(how: str, tmp_path: Path) -> None:
    worker = Worker(poll=FAST)

    def stop() -> None:
        when(tmp_path / "j/ready")
        worker.stop() if how == "call" else (tmp_path / "j" / STOP_FILE).touch()

    thread = threading.Thread(target=stop)
    thread.start()
    outcome = worker.run(job(tmp_path, SAVING))
    thread.join()
    assert outcome.exit_code == 143
    assert (tmp_path / "j/saved").exists()


def test_a_job_that_was_stopped_before_does_not_begin(tmp_path: Path) -> None:
    worker = Worker(poll=FAST)
    worker.stop()
    assert worker.run(job(tmp_path, SAVING)).exit_code == -15
    assert not (tmp_path / "j/log.txt").exists()


def test_a_job_that_does_not_save_in_time_is_killed(tmp_path: Path) -> None:
    code = SAVING.replace("signal.SIGTERM, save", "signal.SIGTERM, signal.SIG_IGN")
    worker = Worker(poll=FAST, patience=0.1)
    thread = threading.Thread(target=lambda: (when(tmp_path / "j/ready"), worker.stop()))
    thread.start()
    assert worker.run(job(tmp_path, code)).exit_code == -9
    thread.join()


def test_a_process_of_before_is_waited_for(tmp_path: Path) -> None:
    """Who started it is gone, as with a lost node; the process itself still holds the folder."""
    code = "time.sleep(0.5); open(sys.argv[1] + '/first', 'w').write(str(time.time()))"
    first = job(tmp_path, code)
    starter = (
        "import os, sys, threading, time; from pathlib import Path\n"
        "from nas.engines import Job; from nas.engines.worker import Worker\n"
        f"folder = Path({str(first.folder)!r})\n"
        f"job = Job(name='j', command={first.command!r}, folder=folder)\n"
        "worker = Worker()\n"
        "threading.Thread(target=worker.run, args=(job,), daemon=True).start()\n"
        "while worker._running is None: time.sleep(0.01)\n"
        "os._exit(0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    assert os.spawnve(os.P_WAIT, sys.executable, [sys.executable, "-c", starter], environment) == 0
    assert not (tmp_path / "j/first").exists()
    then = job(tmp_path, "open(sys.argv[1] + '/then', 'w').write(str(time.time()))")
    assert Worker(poll=FAST).run(then).succeeded
    assert float((tmp_path / "j/first").read_text()) < float((tmp_path / "j/then").read_text())


def test_one_that_stays_is_told(tmp_path: Path) -> None:
    (tmp_path / "j").mkdir()
    with (tmp_path / "j" / LOCK_FILE).open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        outcome = Worker(poll=FAST, patience=0.05).run(job(tmp_path, ""))
    assert outcome.exit_code == LOST
    assert "still works in" in str(outcome.reason)


def test_the_interpreter_is_that_of_the_node(tmp_path: Path) -> None:
    given = Job(name="j", command=("/a/python", "-m", "x", FOLDER), folder=Path("/home/j"))
    here = placed(given, tmp_path, "/a/python", "/b/python")
    assert here.command == ("/b/python", "-m", "x", FOLDER)
    assert here.folder == tmp_path
