"""Several processes with a part of a batch each must do what one does with all of it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.devices import joined, resolve_device
from nas.errors import UsageError
from nas.gradients import alone
from nas.ranks import (
    MARKS,
    agreed,
    count,
    gathered,
    is_first,
    largest,
    number,
    of_first,
    refuse_differences,
    together,
)
from nas.retrain import check_settings
from nas.search import check_settings as check_search
from nas.settings import (
    AdversarySettings,
    GameSettings,
    RetrainSettings,
    SearchSettings,
    TrainingSettings,
)
from nas.unused import unused_in_search

sys.path.insert(0, str(Path(__file__).parent))

import processes  # noqa: E402
import steps  # noqa: E402

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """What steps.py finds, by the number of processes."""
    folder = tmp_path_factory.mktemp("steps")
    results = {}
    for many, names in ((2, list(steps.CASES)), (3, ["finite"])):
        path = folder / str(many)
        command = [str(HERE / "steps.py"), str(path), *names]
        ends = processes.finish(processes.start(command, many))
        assert [code for code, _, _ in ends] == [0] * many, ends
        results[many] = torch.load(path)
    return results


@pytest.mark.slow
@pytest.mark.parametrize(("many", "name"), [*((2, name) for name in steps.CASES), (3, "finite")])
def test_processes_take_the_steps_of_one(
    found: dict[int, dict[str, Any]], many: int, name: str
) -> None:
    expected = steps.run(*steps.CASES[name])
    assert expected.keys() == found[many][name].keys()
    assert any("indirect" in key for key in expected) == (name != "first order")
    for key, value in expected.items():
        torch.testing.assert_close(
            found[many][name][key], value, rtol=1e-10, atol=1e-10, msg=f"{key} differs"
        )


TALK = """
import json, sys, warnings
from nas.ranks import agreed, gathered, largest, number, of_first, summed, together

def talk():
    import torch
    print("aloud")
    print("aloud", file=sys.stderr)
    warnings.warn("aloud")
    tensors = torch.tensor([1.0, number()]), torch.tensor(number()), torch.ones(2, 1).double()
    found = [
        agreed({"path": number() + 5}),
        gathered(number()),
        largest(number(), 7 - number()),
        [tensor.tolist() for tensor in summed(tensors)],
        [of_first(tensors[0]).tolist(), tensors[0].tolist()],
    ]
    with open(f"{sys.argv[1]}{number()}", "w") as stream:
        json.dump(found, stream)

together(talk)()
"""


def test_what_processes_tell_each_other(tmp_path: Path) -> None:
    ends = processes.finish(processes.start(["-c", TALK, str(tmp_path / "found")], 3))
    assert [code for code, _, _ in ends] == [0, 0, 0], ends
    assert ends[0][1] == "aloud\n"
    assert ends[0][2].count("aloud") >= 2
    assert [words for _, *words in ends[1:]] == [["", ""]] * 2
    for rank in range(3):
        found = json.loads((tmp_path / f"found{rank}").read_text())
        assert found[:4] == [{"path": 5}, [0, 1, 2], [2, 7], [[3, 3], 3, [[3], [3]]]]
        assert found[4] == [[1, 0], [1, rank]]


def test_one_process_has_nothing_to_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor has a process whose environment is only half that of torchrun."""
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "2")
    assert (count(), number(), is_first()) == (1, 0, True)
    values = [torch.ones(2)]
    assert joined() is alone
    assert alone(values) is values
    assert largest(3, 1) == (3, 1)
    assert agreed(values) is values
    assert gathered(values) == [values]
    assert of_first(values[0]) is values[0]
    refuse_differences({"weights": values})
    done: list[int] = []
    together(lambda: done.append(1))()
    assert done == [1]
    assert not torch.distributed.is_initialized()


@pytest.fixture
def third_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a process that has not met the others."""
    for mark, value in zip(MARKS, ("2", "2", "4", "127.0.0.1", "1"), strict=True):
        monkeypatch.setenv(mark, value)
    assert os.environ["LOCAL_RANK"] == "2"


@pytest.mark.usefixtures("third_of_four")
def test_what_several_processes_cannot_do_is_refused() -> None:
    enough = TrainingSettings(batch_size=4)
    check_search(SearchSettings(training=enough))
    with pytest.raises(UsageError, match="4 processes share each batch, and --batch-size 3"):
        check_search(SearchSettings(training=TrainingSettings(batch_size=3)))
    with pytest.raises(UsageError, match="4 processes share"):
        check_settings(RetrainSettings(training=TrainingSettings(batch_size=3)))
    resnet = AdversarySettings(discriminator="resnet10")
    check_settings(RetrainSettings(training=enough, adversary=resnet))
    as_coded = TrainingSettings(batch_size=4, clip_norm=0)
    with pytest.raises(UsageError, match="--game nelson-as-coded trains in one process"):
        check_settings(
            RetrainSettings(
                training=as_coded, adversary=resnet, game=GameSettings(game="nelson-as-coded")
            )
        )
    nothing = AdversarySettings(discriminator="none")
    with pytest.raises(UsageError, match="--backbone patches:dc_net trains in one process"):
        check_settings(
            RetrainSettings(backbone="patches:dc_net", training=enough, adversary=nothing)
        )


@pytest.mark.usefixtures("third_of_four")
def test_each_process_has_its_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda", 2)
    assert taken == [2, 2]
    assert resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(UsageError, match="each of the 4 processes needs its own"):
        resolve_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match="There are 2 CUDA devices"):
        resolve_device("auto")


def test_batch_statistics_of_one_process_are_no_choice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "batch_statistics" in unused_in_search(SearchSettings())
    for mark in MARKS:
        monkeypatch.setenv(mark, "2")
    assert "batch_statistics" not in unused_in_search(SearchSettings())
