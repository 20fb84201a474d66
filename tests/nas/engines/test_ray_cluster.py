"""A real Ray cluster of two nodes with a core each, one of which is killed while it works."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.comparison.analysis import analyse
from nas.comparison.cells import cells_of
from nas.comparison.recipe import Recipe, read_recipe
from nas.comparison.running import Progress, run
from nas.engines import FOLDER, LOST, Engine, Job, Outcome
from nas.engines.local import LocalEngine
from nas.engines.ray_cluster import RayEngine, connect, room
from nas.errors import UsageError
from nas.preparation import open_data
from nas.runs import RunFolder
from nas.settings import DataSettings

slow = pytest.mark.slow
ROOT = Path(__file__).parents[3]
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
}
STEPS = """
import os, sys, time
folder, parent = sys.argv[1], os.getppid()
with open(sys.argv[2], "a") as stream:
    stream.write(folder + "\\n")
for step in range(STEPS):
    if os.path.exists(f"{folder}/step{step}"):
        continue
    time.sleep(0.1)
    if os.getppid() != parent:
        sys.exit(143)
    open(f"{folder}/step{step}", "w").write(str(os.getpid()))
"""
"""Goes on where it was, leaves when who started it is gone, and notes every start."""


def test_an_address_where_nobody_answers_is_refused_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        with pytest.raises(UsageError, match="no Ray cluster at .* Connection refused"):
            connect(address)


class Nodes:
    """The cluster: a head that stays, and a node that may be killed."""

    def __init__(self, temporary: str) -> None:
        from ray.cluster_utils import Cluster

        arguments = {**NODE, "temp_dir": temporary}
        self.cluster = Cluster(initialize_head=True, head_node_args=arguments)
        self.arguments = arguments
        self.second: Any = None
        self.whole()

    def whole(self) -> None:
        """See that the second node is there."""
        if self.second is None:
            self.second = self.cluster.add_node(**self.arguments)
            self.cluster.wait_for_nodes(timeout=120)

    def kill(self) -> None:
        """The second node goes without a word."""
        self.cluster.remove_node(self.second, allow_graceful=False)
        self.second = None

    def kill_in_the_middle_of_a_cell(self) -> None:
        """Kill the second node when the cell that it runs has trained for an epoch."""
        raylet = self.second.all_processes["raylet"][0].process.pid
        until = time.monotonic() + 600
        while not any((folder / "metrics.jsonl").exists() for folder in training_below(raylet)):
            assert time.monotonic() < until
            time.sleep(0.02)
        self.kill()


def training_below(raylet: int) -> Iterator[Path]:
    """The folders of the runs of cells that a node's workers have started."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"nas.cli.compare_cell" in words and parent(parent(int(process.name))) == raylet:
                folder = Path(words[words.index(b"nas.cli.compare_cell") + 1].decode())
                yield from (folder, folder / "search")


def parent(process: int) -> int:
    """Who started a process."""
    (line,) = re.findall(r"PPid:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    return int(line)


@pytest.fixture(scope="module")
def started() -> Iterator[Nodes]:
    import ray

    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("RAY_TMPDIR", folder)
        (Path(folder) / "ray").mkdir()  # where a cluster notes its address, and makes no folder
        nodes = Nodes(folder)
        try:
            connect(nodes.cluster.address)
            yield nodes
        finally:
            ray.shutdown()
            nodes.cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def nodes(started: Nodes) -> Nodes:
    import ray

    started.whole()
    until = time.monotonic() + 120
    while room(ray.nodes(), 1, 0) != 2:
        assert time.monotonic() < until
        time.sleep(0.1)
    return started


def job(root: Path, name: str, code: str, *arguments: str, **more: Any) -> Job:
    command = (sys.executable, "-S", "-c", f"import os, sys, time\n{code}", FOLDER, *arguments)
    return Job(name=name, command=command, folder=root / name, **more)


def steps(root: Path, name: str, count: int) -> Job:
    return job(root, name, STEPS.replace("STEPS", str(count)), str(root / "starts"))


def when(path: Path) -> None:
    until = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.02)


def by_name(outcomes: Iterator[Outcome]) -> dict[str, Outcome]:
    """Each job has one outcome."""
    listed = list(outcomes)
    found = {each.job.name: each for each in listed}
    assert len(found) == len(listed)
    return found


@slow
@pytest.mark.parametrize("shared", [None, False])
def test_outcomes_are_those_of_one_machine(
    shared: bool | None, nodes: Nodes, tmp_path: Path
) -> None:
    """Where folders are shared, nodes notice it by themselves."""
    jobs = [
        job(tmp_path, "good", "open(sys.argv[1] + '/where', 'w').write(sys.argv[1])"),
        job(tmp_path, "sentence", "print('x'); sys.exit('nas-retrain: It is so.')"),
        job(tmp_path, "silent", "sys.exit(3)"),
    ]
    found = by_name(RayEngine(shared=shared).run(jobs))
    assert found["good"].succeeded
    assert found["good"].job == jobs[0]
    assert (found["sentence"].exit_code, found["sentence"].reason) == (1, "It is so.")
    assert found["silent"].exit_code == 3
    assert not any(each.retried for each in found.values())
    assert (tmp_path / "sentence/log.txt").read_text() == "x\nnas-retrain: It is so.\n"
    where = (tmp_path / "good/where").read_text()
    assert (where == str(tmp_path / "good")) is (shared is None)
    assert Path(where).exists() is (shared is None)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["good", "sentence", "silent"]
    assert not (tmp_path / "good/.origin").exists()


@slow
def test_inputs_travel_and_paths_come_home(nodes: Nodes, tmp_path: Path) -> None:
    """The job tells which files it opened; they are not those of here, and afterwards they are."""
    (tmp_path / "genotype.json").write_text("cells")
    (tmp_path / "images/deep").mkdir(parents=True)
    (tmp_path / "images/deep/one.png").write_bytes(b"pixels")
    paths = {"genotype": str(tmp_path / "genotype.json"), "data": str(tmp_path / "images")}
    code = (
        "import json\n"
        "paths = json.load(open(sys.argv[1] + '/cell.json'))\n"
        "text = open(paths['genotype']).read() + open(paths['data'] + '/deep/one.png').read()\n"
        "told = {'text': text, 'own': sys.argv[1] + '/x', **paths}\n"
        "json.dump(told, open(sys.argv[1] + '/told.json', 'w'))\n"
        "open(sys.argv[1] + '/raw', 'w').write(' '.join(paths.values()))"
    )
    given = {
        "inputs": (Path(paths["genotype"]),),
        "data": (Path(paths["data"]),),
    }
    for name, sends in (("sent", True), ("left", False)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cell.json").write_text(json.dumps(paths))
        engine = RayEngine(shared=False, send_data=sends)
        (outcome,) = engine.run([job(tmp_path, name, code, **given)])
        assert outcome.succeeded, outcome
        told = json.loads((tmp_path / name / "told.json").read_text())
        own = str(tmp_path / name / "x")
        assert told == {"text": "cellspixels", "own": own, **paths}
        genotype, data = (tmp_path / name / "raw").read_text().split()
        assert genotype != paths["genotype"]
        assert (data != paths["data"]) is sends
        assert not Path(genotype).exists()


@slow
@pytest.mark.parametrize("shared", [True, False])
def test_a_node_is_killed_and_nothing_is_lost(shared: bool, nodes: Nodes, tmp_path: Path) -> None:
    """Shared, the job of the lost node goes on; not shared, it begins anew. Both end whole."""
    jobs = [steps(tmp_path, f"j{number}", 30) for number in range(4)]
    engine = RayEngine(shared=shared)
    killed: list[int] = []

    def kill() -> None:
        starts = tmp_path / "starts"
        until = time.monotonic() + 120
        while not starts.exists() or len(starts.read_text().splitlines()) < 2:
            assert time.monotonic() < until
            time.sleep(0.02)
        time.sleep(0.7)
        killed.append(len(starts.read_text().splitlines()))
        nodes.kill()

    thread = threading.Thread(target=kill)
    thread.start()
    found = by_name(engine.run(jobs))
    thread.join()
    assert killed == [2]
    assert sorted(found) == ["j0", "j1", "j2", "j3"]
    assert all(each.succeeded for each in found.values()), found
    (again,) = [name for name, each in found.items() if each.retried]
    assert len((tmp_path / "starts").read_text().splitlines()) == 5
    for name in found:
        done = [(tmp_path / name / f"step{step}").read_text() for step in range(30)]
        processes = len(set(done))
        assert processes == (2 if shared and name == again else 1), (name, done)


@slow
@pytest.mark.parametrize("shared", [True, False])
def test_closing_has_jobs_save_and_their_folders_come_home(
    shared: bool, nodes: Nodes, tmp_path: Path
) -> None:
    code = (
        "import signal\n"
        "def save(*_):\n"
        "    open(sys.argv[1] + '/saved', 'w'); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "open(sys.argv[2], 'w'); time.sleep(120)"
    )
    jobs = [job(tmp_path, f"long{n}", code, str(tmp_path / f"ready{n}")) for n in range(3)]

    def one_too_many() -> Iterator[Job]:
        yield job(tmp_path, "quick", "")
        yield from jobs

    engine = RayEngine(shared=shared, at_once=3)
    with contextlib.closing(engine.run(one_too_many())) as outcomes:
        assert next(outcomes).job.name == "quick"
        when(tmp_path / "ready0")
    assert (tmp_path / "long0/saved").exists()
    assert not (tmp_path / "long2/saved").exists()
    (outcome,) = RayEngine().run([job(tmp_path, "after", "")])
    assert outcome.succeeded


class Asked(BaseException):
    """Raised by a signal's handler, as nas-compare does."""


@slow
def test_what_a_handler_raises_stops_the_jobs_and_is_heard(nodes: Nodes, tmp_path: Path) -> None:
    def leave(*_: object) -> None:
        raise Asked

    def ask() -> None:
        when(tmp_path / "j/step1")
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, leave)
    try:
        threading.Thread(target=ask).start()
        with pytest.raises(Asked):
            list(RayEngine(shared=True).run([steps(tmp_path, "j", 600)]))
    finally:
        signal.signal(signal.SIGUSR1, before)
    count = len(list((tmp_path / "j").iterdir()))
    time.sleep(0.5)
    assert len(list((tmp_path / "j").iterdir())) == count < 600


@slow
def test_memory_and_broken_jobs(nodes: Nodes, tmp_path: Path) -> None:
    """Killed once: tried again, alone. A worker that dies every time is given up."""
    once = (
        "path = sys.argv[1] + '/tried'\n"
        "if os.path.exists(path): sys.exit(0)\n"
        "open(path, 'w'); os.kill(os.getpid(), 9)"
    )
    fatal = "open(sys.argv[2], 'a').write('x'); os.kill(os.getppid(), 9)"
    jobs = [
        job(tmp_path, "large", once),
        job(tmp_path, "fatal", fatal, str(tmp_path / "tries")),
        job(tmp_path, "good", ""),
    ]
    found = by_name(RayEngine(losses=2, shared=False).run(jobs))
    assert (found["large"].succeeded, found["large"].retried) == (True, True)
    assert found["fatal"].exit_code == LOST
    assert "lost 3 times" in str(found["fatal"].reason)
    assert (tmp_path / "tries").read_text() == "xxx"
    assert found["good"].succeeded


@slow
def test_another_version_on_a_node_is_told(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.engines.ray_cluster.__version__", "0.0.1")
    (outcome,) = RayEngine().run([job(tmp_path, "j", "")])
    assert not outcome.succeeded
    assert "0.0.1 was expected" in str(outcome.reason)


def comparison(root: Path) -> tuple[Recipe, Path]:
    """A recipe of two cells, whose split is a file that they read."""
    cases = [case.id for case in open_data(DataSettings(image_size="32")).reader.cases]
    subsets = {"train": cases[:4], "val": cases[4:6], "test": cases[6:9]}
    split = root / "split.json"
    split.write_text(json.dumps(subsets))
    tables = {
        "methods": ["none", "search"],
        "backbones": ["unet?width=2&depth=1"],
        "seeds": [0],
        "budget": {"epochs": 2, "search_epochs": 6},
        "datasets": {
            "phantom": {"dataset": "phantom", "image_size": "32", "split": str(split)},
        },
        "cell": {
            "channels": 2,
            "nodes": 1,
            "layout": "NR",
            "operations": ["skip_connect", "none"],
        },
        "training": {"batch_size": 2, "segmenter_lr": 1e-2},
        "run": {"threads": 1, "device": "cpu"},
    }
    return read_recipe(tables, (), root / "recipe.toml"), split


def compare(recipe: Recipe, out: Path, engine: Engine) -> list[Progress]:
    """Run all cells; none fails."""
    cells = cells_of(recipe)
    ended: list[Progress] = []
    run(recipe, cells, cells, out, engine, ended.append)
    assert [each.outcome.exit_code for each in ended] == [0, 0], ended
    return ended


def bits(state: Any) -> Any:
    """A checkpoint's tensors as bytes."""
    if isinstance(state, dict):
        return {name: bits(value) for name, value in state.items()}
    return state.numpy().tobytes() if isinstance(state, torch.Tensor) else None


@pytest.fixture(scope="module")
def of_one_machine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    """The two cells by the engine local."""
    root = tmp_path_factory.mktemp("local")
    recipe, _ = comparison(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        compare(recipe, root / "out", LocalEngine(slots=1))
    return recipe, root / "out"


@slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("how", ["sent", "shared, a node lost"])
def test_results_are_those_of_one_machine_bit_for_bit(
    how: str, nodes: Nodes, of_one_machine: tuple[Recipe, Path], tmp_path: Path
) -> None:
    recipe, expected = of_one_machine
    out = tmp_path / "out"
    engine = RayEngine(shared=how != "sent")
    if how != "sent":
        threading.Thread(target=nodes.kill_in_the_middle_of_a_cell, daemon=True).start()
    ended = compare(recipe, out, engine)
    assert [each.outcome.retried for each in ended].count(True) == (how != "sent")
    for cell in cells_of(recipe):
        one, other = cell.folder(expected), cell.folder(out)
        for subset in ("val", "test"):
            name = f"evaluation/{subset}/confusions.json"
            assert (one / name).read_bytes() == (other / name).read_bytes()
        weights = [
            RunFolder(folder).load_checkpoint("segmenter", "segmenter") for folder in (one, other)
        ]
        assert bits(weights[0]) == bits(weights[1])
        texts = [(folder / "settings.toml").read_text() for folder in (one, other)]
        assert texts[0] == texts[1].replace(str(out), str(expected))
    found_cells = "cells/phantom/unet-width-2-depth-1/seed0/search/genotype.json"
    genotypes = [json.loads((folder / found_cells).read_text()) for folder in (expected, out)]
    for genotype in genotypes:
        del genotype["provenance"]["created"]
    assert genotypes[0] == genotypes[1]
    found = analyse(recipe, "r", out, ""), analyse(recipe, "r", expected, "")
    assert [cell.score for cell in found[0].cells] == [cell.score for cell in found[1].cells]


def test_room_is_that_of_living_nodes() -> None:
    """By hand: 8 and 3 cores in pairs; 2 and 1 GPUs in thirds and whole; one node is dead."""
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}},
        {"Alive": True, "Resources": {"CPU": 3.0, "GPU": 1.0}},
        {"Alive": False, "Resources": {"CPU": 64.0}},
        {"Alive": True, "Resources": {}},
    ]
    assert room(nodes, 2, 0) == 4 + 1
    assert room(nodes, 1, 0) == 8 + 3
    assert room(nodes, 1, 1 / 3) == 6 + 3
    assert room(nodes, 1, 0.4) == 4 + 2
    assert room(nodes, 1, 1) == 2 + 1
    assert room(nodes, 1, 2) == 1
    assert room(nodes, 2, 0.25) == 4 + 1
    assert room(nodes, 16, 0) == 0
