"""What is written to a run's folder is whole, comes back, and never runs code."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import random
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from nas import runs
from nas.data.splits import Split, save_split
from nas.errors import RunError, UsageError
from nas.runs import RunFolder, atomic_write, load_checkpoint, new_run_path, read_settings
from nas.settings import (
    AdversarySettings,
    ArchitectureSettings,
    CellSettings,
    DataSettings,
    RetrainSettings,
    RunSettings,
    SearchSettings,
    TrainingSettings,
)

STATE = {"weights": torch.arange(1000.0), "epoch": 3, "names": ["a", "b"]}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.begin("search", SearchSettings())
    return folder


class Disk:
    """A disk that is full: the named call of os fails with ENOSPC."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
        def fail(*arguments: object, **keywords: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, call, fail)


def leftovers(path: Path) -> list[Path]:
    return list(path.glob("**/.*.unfinished"))


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    Disk(monkeypatch, call)
    refusal = pytest.raises(RunError, match=r"Cannot write .*file: No space left.*untouched\.")
    with refusal, atomic_write(path) as stream:
        stream.write(b"new")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_write_that_is_given_up_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as stream:
        stream.write(b"new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_reader_sees_the_old_content_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    with atomic_write(path) as stream:
        stream.write(b"new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("place", ["/proc/nowhere/run", "file/run"])
def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="Cannot write"):
        RunFolder(tmp_path / place).begin("search", SearchSettings())
    assert (tmp_path / "file").read_text() == "mine"


FULL_DISK = """
import resource, signal, sys, torch
from pathlib import Path
from nas.errors import RunError
from nas.runs import RunFolder
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
folder = RunFolder(Path(sys.argv[1]))
try:
    folder.save_checkpoint("last", "search", {"weights": torch.zeros(100_000)})
except RunError as error:
    print(error)
"""


def test_a_disk_that_fills_up_keeps_the_checkpoint_before(folder: RunFolder) -> None:
    folder.save_checkpoint("last", "search", STATE)
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(folder.path)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f"Cannot write {folder.checkpoint('last')}: File too large")
    assert torch.equal(folder.load_checkpoint("last", "search")["weights"], STATE["weights"])
    assert not leftovers(folder.path)


@pytest.mark.parametrize(
    "settings",
    [
        SearchSettings(),
        RetrainSettings(),
        SearchSettings(
            backbone="unet?width=4",
            data=DataSettings(
                dataset="folder",
                data_root=Path("/some where/é"),
                class_names=("a", 'b"'),
                white=4095.0,
                train_images=3,
                split=Path("split.json"),
            ),
            cell=CellSettings(operations=("none", "skip_connect"), layout="RN"),
            architecture=ArchitectureSettings(unrolled_rate=1e-7, radius=3.0),
            run=RunSettings(seed=7, checkpoint_minutes=0.5),
        ),
        RetrainSettings(
            adversary=AdversarySettings(genotype=Path("g.json"), discriminator_input="map+image"),
            training=TrainingSettings(optimizer="sgd", segmenter_lr=1e-30),
        ),
    ],
)
def test_settings_come_back_from_toml(tmp_path: Path, settings: Any) -> None:
    folder = RunFolder(tmp_path)
    folder.write_settings(settings)
    assert folder.read_settings(type(settings)) == settings
    tomllib.loads(folder.settings_file.read_text())


@hypothesis_settings(max_examples=30, deadline=None)
@given(
    rate=st.floats(min_value=1e-300, allow_nan=False),
    names=st.lists(st.text(st.characters(codec="utf-8")), max_size=3),
    seed=st.integers(0, 2**62),
)
def test_any_value_comes_back_from_toml(
    tmp_path_factory: pytest.TempPathFactory, rate: float, names: list[str], seed: int
) -> None:
    settings = SearchSettings(
        data=DataSettings(class_names=tuple(names)),
        training=TrainingSettings(segmenter_lr=rate),
        run=RunSettings(seed=seed),
    )
    folder = RunFolder(tmp_path_factory.mktemp("settings"))
    folder.write_settings(settings)
    assert folder.read_settings(SearchSettings) == settings


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[training]\nepoch = 3", "epoch"),
        ("[training]\nepochs = 0", "training.epochs"),
        ("[training]\nepochs = 'x'", "int"),
        ("epochs = ", "not a TOML file"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words) as refused:
        read_settings(path, SearchSettings)
    assert str(path) in str(refused.value)
    with pytest.raises(RunError, match=words):
        RunFolder(tmp_path).read_settings(SearchSettings)


def test_a_new_run_never_writes_over_another(folder: RunFolder) -> None:
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    with pytest.raises(RunError, match="already holds a run.*--resume"):
        folder.begin("search", SearchSettings(backbone="other"))
    assert {path: path.read_bytes() for path in folder.path.iterdir()} == before


def test_a_run_killed_while_it_began_can_begin_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path / "run")
    with monkeypatch.context() as patch, pytest.raises(RunError):
        patch.setattr(RunFolder, "write_settings", lambda *_: (_ for _ in ()).throw(RunError("x")))
        folder.begin("search", SearchSettings())
    folder.begin("search", SearchSettings())
    assert RunFolder.open(folder.path, "search") == folder


def test_a_run_records_what_made_it(folder: RunFolder) -> None:
    record = folder.read_record()
    assert record["kind"] == "search"
    assert record["versions"]["torch"] == torch.__version__.split("+")[0] or (
        record["versions"]["torch"] == torch.__version__
    )
    folder.record(finished="now")
    assert folder.read_record() == {**record, "finished": "now"}


@pytest.mark.parametrize("content", ["", "[]", "3", "{", '{"a": NaN}', "\xff"])
def test_a_damaged_record_is_said(folder: RunFolder, content: str) -> None:
    folder.record_file.write_text(content, encoding="latin-1")
    with pytest.raises(RunError, match=r"run\.json cannot be read"):
        RunFolder.open(folder.path, "search")


def test_a_folder_of_another_kind_or_none_is_refused(folder: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds a run of nas-search; one of nas-retrain"):
        RunFolder.open(folder.path, "retrain")
    with pytest.raises(RunError, match="is not a run's folder"):
        RunFolder.open(tmp_path, "search")


def test_metrics_come_back_and_a_cut_line_is_left_out(folder: RunFolder) -> None:
    assert folder.read_metrics() == []
    records = [{"epoch": 1, "loss": 0.1}, {"epoch": 2, "loss": None}]
    for record in records:
        folder.append_metrics(record)
    with folder.metrics_file.open("a") as stream:
        stream.write('{"epoch": 3, "lo')
    assert folder.read_metrics() == records
    folder.forget_metrics_from(2)
    assert folder.metrics_file.read_text() == json.dumps(records[0]) + "\n"


@pytest.mark.parametrize("line", ["garbage", "[1]", "3", "\xff"])
def test_damaged_metrics_are_said(folder: RunFolder, line: str) -> None:
    folder.metrics_file.write_text(line + "\n", encoding="latin-1")
    with pytest.raises(RunError, match=r"metrics\.jsonl cannot be read"):
        folder.read_metrics()


def test_metrics_that_cannot_be_written_are_said(folder: RunFolder) -> None:
    folder.metrics_file.mkdir()
    with pytest.raises(RunError, match="Cannot write"):
        folder.append_metrics({"epoch": 1})


def test_a_checkpoint_comes_back(folder: RunFolder) -> None:
    folder.save_checkpoint("last", "search", STATE)
    state = folder.load_checkpoint("last", "search")
    assert torch.equal(state.pop("weights"), STATE["weights"])
    assert state == {"epoch": 3, "names": ["a", "b"]}


def test_a_checkpoint_of_another_kind_is_refused(folder: RunFolder) -> None:
    folder.save_checkpoint("last", "search", STATE)
    with pytest.raises(RunError, match="of kind search, version 1; retrain, version 1"):
        folder.load_checkpoint("last", "retrain")


def test_a_missing_checkpoint_is_said(folder: RunFolder) -> None:
    with pytest.raises(RunError, match="does not exist"):
        folder.load_checkpoint("last", "search")


HEADER = {"format": runs.CHECKPOINT_FORMAT, "version": 1, "kind": "search"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"weights": torch.zeros(3)}, "not a checkpoint of this toolkit"),
        ([1, 2], "not a checkpoint of this toolkit"),
        ({**HEADER, "version": 2, "state": {}}, "version 2"),
        ({**HEADER, "state": 3}, "was expected"),
        (HEADER, "was expected"),
    ],
)
def test_foreign_checkpoints_are_refused(tmp_path: Path, content: Any, words: str) -> None:
    path = tmp_path / "last.pt"
    torch.save(content, path)
    with pytest.raises(RunError, match=words):
        load_checkpoint(path, "search")


class Bomb:
    """Unpickled carelessly, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("as_zip", [True, False])
def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path, as_zip: bool) -> None:
    proof, path = tmp_path / "proof", tmp_path / "last.pt"
    content = {**HEADER, "state": {"weights": Bomb(proof)}}
    if as_zip:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(RunError, match="damaged or is no checkpoint"):
        load_checkpoint(path, "search")
    assert not proof.exists()
    if as_zip:
        torch.load(path, weights_only=False)
        assert proof.exists(), "the bomb itself must work for the test to mean anything"


def test_a_damaged_checkpoint_is_refused_or_unharmed(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({**HEADER, "state": STATE}, buffer)
    whole, rng = buffer.getvalue(), random.Random(0)
    path = tmp_path / "last.pt"
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            state = load_checkpoint(path, "search")
        except RunError:
            refused += 1
        else:
            assert torch.equal(state["weights"], STATE["weights"])
            assert state["names"] == STATE["names"]
            assert state["epoch"] == 3
    assert refused > 200
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(RunError):
            load_checkpoint(path, "search")


def test_one_process_at_a_time_trains_in_a_folder(folder: RunFolder) -> None:
    code = (
        "import sys; from pathlib import Path; from nas.runs import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).locked(): print('in', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(folder.path)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"in\n"
    with pytest.raises(RunError, match="Another process is training"), folder.locked():
        pass
    other.kill()
    other.communicate()
    with folder.locked():
        pass


@pytest.mark.parametrize(
    "name",
    [
        "checkpoints/.last.pt.abc.unfinished",
        ".split.json.abc.unfinished",
        "genotypes/.epoch_0001.json.123.unfinished",
        "genotypes/discriminator/.epoch_0001.json.123.unfinished",
    ],
)
def test_what_a_killed_process_left_half_written_is_removed(folder: RunFolder, name: str) -> None:
    half = folder.path / name
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_bytes(b"half")
    kept = half.parent / ".mine"
    kept.write_bytes(b"mine")
    with folder.locked():
        assert not half.exists()
        assert kept.exists()


def test_a_split_is_written_under_a_name_that_is_removed(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr("os.replace", lambda source, target: written.append(str(source)))
    save_split(Split(train=("a",), val=(), test=()), folder.split_file)
    assert len(written) == 1
    assert written[0].endswith(".unfinished")


def test_genotypes_are_in_the_order_of_their_epochs(folder: RunFolder) -> None:
    (folder.genotypes / "segmenter").mkdir(parents=True)
    names = ["epoch_0001.json", "epoch_0010.json", "epoch_9999.json", "epoch_10000.json"]
    for name in reversed(names):
        (folder.genotypes / "segmenter" / name).write_text("")
    assert [path.name for path in folder.genotype_files("segmenter")] == names
    assert folder.genotype_files("discriminator") == []


@pytest.mark.parametrize(
    ("backbone", "name"),
    [
        ("unet?width=4", "unet"),
        ("/some/where/s.json?normalisation=none", "s.json"),
        ("search:concatenation_fcn", "search-concatenation_fcn"),
        ("python:my.module:factory", "python-my.module-factory"),
    ],
)
def test_the_default_folder_is_named_after_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = new_run_path("search", "folder", backbone)
    assert path.parent == Path("runs")
    assert path.name.endswith(f"-search-folder-{name}")


def test_the_default_folder_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = new_run_path("search", "folder", "unet?width=4")
    first.mkdir(parents=True)
    second = new_run_path("search", "folder", "unet?width=4")
    assert first.name.endswith("search-folder-unet")
    assert second != first
    assert not second.exists()


def test_without_none_keeps_everything_else() -> None:
    tree = {"a": None, "b": {"c": None, "d": 0, "e": False}, "f": "", "g": [None]}
    assert runs.without_none(tree) == {"b": {"d": 0, "e": False}, "f": "", "g": [None]}


def test_settings_are_structs_that_refuse_unknown_fields() -> None:
    for kind in (SearchSettings, RetrainSettings):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"unknown": 1}, kind)
