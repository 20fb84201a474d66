"""Jobs end as they do by themselves; memory, stops and devices are seen to."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.engines import FOLDER, Job
from nas.engines.local import LocalEngine, reason, share

FAST = 0.01


def job(root: Path, name: str, code: str) -> Job:
    return Job(
        name=name,
        command=(sys.executable, "-S", "-c", f"import os, sys, time\n{code}", FOLDER),
        folder=root / name,
    )


def test_each_job_has_one_outcome_and_its_folder(tmp_path: Path) -> None:
    jobs = [job(tmp_path, f"j{n}", f"open(sys.argv[1] + '/{n}', 'w')") for n in range(5)]
    outcomes = list(LocalEngine(slots=2, poll=FAST).run(jobs))
    assert sorted(each.job.name for each in outcomes) == [f"j{n}" for n in range(5)]
    assert all(each.succeeded and each.reason is None for each in outcomes)
    assert all((tmp_path / f"j{n}" / str(n)).exists() for n in range(5))


def test_failures_are_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    jobs = [
        job(tmp_path, "sentence", "print('x'); sys.exit('nas-retrain: It is so.')"),
        job(tmp_path, "traceback", "raise KeyError('gone')"),
        job(tmp_path, "silent", "sys.exit(3)"),
        job(tmp_path, "signal", "os.kill(os.getpid(), 15)"),
        job(tmp_path, "good", ""),
    ]
    found = {each.job.name: each for each in LocalEngine(slots=3, poll=FAST).run(jobs)}
    assert found["sentence"].reason == "It is so."
    assert found["sentence"].exit_code == 1
    assert found["traceback"].reason == "KeyError: 'gone'"
    assert "exit code 3" in (found["silent"].reason or "")
    assert found["signal"].reason == "It was killed by signal 15 (SIGTERM)."
    assert found["good"].succeeded


def test_the_reason_is_of_this_try_alone(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("nas-search: Of before.\n")
    start = log.stat().st_size
    assert "exit code 2" in reason(2, log, start)
    log.write_text(log.read_text() + "epoch 1: fine\nnas-search: Of now.\n\n")
    assert reason(2, log, start) == "Of now."


def test_what_was_printed_before_is_no_reason(tmp_path: Path) -> None:
    (tmp_path / "j").mkdir()
    (tmp_path / "j/log.txt").write_text("nas-search: Of before.\n")
    (outcome,) = LocalEngine(slots=1, poll=FAST).run([job(tmp_path, "j", "sys.exit(3)")])
    assert "printed nothing" in str(outcome.reason)


@pytest.mark.parametrize(
    "failing", ["os.kill(os.getpid(), 9)", "sys.exit('nas-retrain: Out of memory: lower it.')"]
)
@pytest.mark.parametrize("recovers", [True, False])
def test_what_memory_ran_out_for_is_tried_once_more_alone(
    failing: str, recovers: bool, tmp_path: Path
) -> None:
    """Each notes when it ran; the second try must begin after all others have ended."""
    note = "open(sys.argv[1] + '/times', 'a').write(f'{time.time()}\\n')\n"
    condition = "if len(open(sys.argv[1] + '/times').readlines()) < 2:\n    " if recovers else ""
    jobs = [
        job(tmp_path, "large", f"{note}{condition}{failing}"),
        job(tmp_path, "other", f"time.sleep(0.3)\n{note}"),
    ]
    found = {each.job.name: each for each in LocalEngine(slots=2, poll=FAST).run(jobs)}
    tries = [float(line) for line in (tmp_path / "large/times").read_text().split()]
    (other,) = (float(line) for line in (tmp_path / "other/times").read_text().split())
    assert tries[0] < other < tries[1]
    assert len(tries) == 2
    assert found["large"].retried
    assert found["large"].succeeded is recovers
    assert not found["other"].retried


def test_jobs_wait_for_memory_but_one_always_runs(tmp_path: Path) -> None:
    """With no memory to spare, jobs run one after the other although there are three slots."""
    code = (
        "names = os.listdir(sys.argv[1] + '/../running')\n"
        "path = sys.argv[1] + '/../running/' + os.path.basename(sys.argv[1])\n"
        "open(path, 'w'); time.sleep(0.1); os.remove(path)\n"
        "open(sys.argv[1] + '/alone', 'w').write(str(len(names)))"
    )
    (tmp_path / "running").mkdir()
    jobs = [job(tmp_path, f"j{n}", code) for n in range(3)]
    engine = LocalEngine(slots=3, poll=FAST, free=lambda: 10, largest=11)
    assert len(list(engine.run(jobs))) == 3
    assert [(tmp_path / f"j{n}/alone").read_text() for n in range(3)] == ["0", "0", "0"]


@pytest.mark.parametrize(("free", "expected"), [(300, True), (299, False), (None, True)])
def test_what_runs_may_still_grow(
    free: int | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 180 each, one has 60 and one all: 120 more are the first one's, 180 a new one's."""
    sizes = {1: 60, 2: 180}
    monkeypatch.setattr("nas.engines.local.resident", sizes.get)
    engine = LocalEngine(slots=3, free=lambda: free, largest=180)
    for pid in sizes:
        running = type("R", (), {"process": type("P", (), {"pid": pid})()})()
        engine._running.append(running)
    assert engine._fits() is expected


def test_closing_asks_to_save_and_waits(tmp_path: Path) -> None:
    code = (
        "import signal\n"
        "def save(*_):\n"
        "    time.sleep(0.2); open(sys.argv[1] + '/saved', 'w'); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "open(sys.argv[1] + '/ready', 'w')\n"
        "time.sleep(60)"
    )
    jobs = [job(tmp_path, "quick", "time.sleep(0.01)"), job(tmp_path, "long", code)]

    def when_ready() -> Iterator[Job]:
        yield jobs[1]
        while not (tmp_path / "long/ready").exists():
            time.sleep(FAST)
        yield jobs[0]
        raise AssertionError("a third job was asked for")

    with contextlib.closing(LocalEngine(slots=2, poll=FAST).run(when_ready())) as outcomes:
        assert next(outcomes).job.name == "quick"
    assert (tmp_path / "long/saved").exists()


def test_a_process_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    code = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open(sys.argv[1] + '/ready', 'w').write(str(os.getpid())); time.sleep(60)"
    )
    engine = LocalEngine(slots=2, poll=FAST, patience=0.1)
    stubborn = job(tmp_path, "stubborn", code)

    def when_ready() -> Iterator[Job]:
        yield stubborn
        while not (tmp_path / "stubborn/ready").read_text():
            time.sleep(FAST)
        yield job(tmp_path, "quick", "")

    (tmp_path / "stubborn").mkdir()
    (tmp_path / "stubborn/ready").write_text("")
    with contextlib.closing(engine.run(when_ready())) as outcomes:
        next(outcomes)
        (running,) = engine._running
    assert running.process.returncode == -9


def test_each_process_has_a_device_of_its_own_and_its_threads(tmp_path: Path) -> None:
    code = (
        "told = [os.environ[n] for n in ('CUDA_VISIBLE_DEVICES', 'OMP_NUM_THREADS')]\n"
        "open(sys.argv[1] + '/told', 'w').write(' '.join(told)); time.sleep(0.3)"
    )
    jobs = [job(tmp_path, f"j{n}", code) for n in range(2)]
    engine = LocalEngine(slots=8, threads=3, devices=("4", "6"), poll=FAST)
    assert engine.slots == 2
    assert len(list(engine.run(jobs))) == 2
    assert {(tmp_path / f"j{n}/told").read_text() for n in range(2)} == {"4 3", "6 3"}


@pytest.mark.parametrize(
    ("jobs", "at_once", "threads", "cores", "devices", "expected"),
    [
        (100, 0, 0, 8, (), (8, 1)),
        (3, 0, 0, 8, (), (3, 2)),
        (100, 2, 0, 8, (), (2, 4)),
        (100, 0, 4, 8, (), (2, 4)),
        (1, 0, 0, 8, (), (1, 8)),
        (100, 0, 16, 8, (), (1, 16)),
        (100, 0, 0, 8, ("0", "1"), (2, 4)),
        (100, 4, 0, 8, ("0", "1"), (2, 4)),
        (100, 16, 0, 8, (), (16, 1)),
    ],
)
def test_cores_are_divided(
    jobs: int,
    at_once: int,
    threads: int,
    cores: int,
    devices: tuple[str, ...],
    expected: tuple[int, int],
) -> None:
    assert share(jobs, at_once, threads, cores, devices) == expected


def test_an_engine_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="run nothing"):
        LocalEngine(slots=0)
