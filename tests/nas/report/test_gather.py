import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.errors import RunError
from nas.report.gather import number_of, open_run, read_evaluation


def test_a_run_says_what_its_files_say(
    make_run: Callable[..., Path], scores: dict[str, Any]
) -> None:
    run = open_run(make_run(records=[{"epoch": 1}, {"epoch": 2}], scores=scores))
    assert (run.kind, run.epochs, run.planned_epochs, run.is_finished) == ("retrain", 2, 2, True)
    assert run.classes == ("background", "cell")
    assert run.setting("run", "seed") == 3
    assert run.setting("loss", "loss") is None
    assert run.split is not None and run.split["test"] == ["<c>"]
    (evaluation,) = run.evaluations
    assert (evaluation.subset, evaluation.at, evaluation.title) == (
        *("test", "network"),
        "test images",
    )
    assert [number_of(row, "mean_iou") for row in evaluation.cases] == [0.7, 0.5, None]


def test_what_a_killed_run_lacks_is_empty(make_run: Callable[..., Path]) -> None:
    path = make_run("search", finished=False)
    (path / "split.json").unlink()
    (path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epo')
    run = open_run(path)
    assert (run.is_finished, run.epochs, run.split) == (False, 1, None)
    assert (run.evaluations, run.notes, run.searched(), run.own_genotypes()) == ([], [], {}, {})
    assert run.last_picture("cases") is None


def test_test_images_come_first_and_the_stored_size_after(
    make_run: Callable[..., Path], scores: dict[str, Any]
) -> None:
    path = make_run(scores=scores)
    for name in ("train", "val_stored", "test_stored"):
        (path / "evaluation" / name).mkdir()
        (path / "evaluation" / name / "scores.json").write_text(json.dumps(scores))
    found = open_run(path).evaluations
    assert [each.name for each in found] == ["test", "test_stored", "val_stored", "train"]
    assert (found[1].title, found[2].subset) == ("test images at stored size", "val")


def test_the_latest_picture_is_found(make_run: Callable[..., Path]) -> None:
    path = make_run()
    (path / "pictures").mkdir()
    for name in ("cases_0002.png", "cases_0010.png", "cases_0001.png", "curves.png"):
        (path / "pictures" / name).touch()
    found = open_run(path).last_picture("cases")
    assert found is not None and found.name == "cases_0010.png"


@pytest.mark.parametrize("name", ["run.json", "split.json", "settings.toml"])
def test_damaged_files_are_named(make_run: Callable[..., Path], name: str) -> None:
    path = make_run()
    (path / name).write_text("[[")
    with pytest.raises(RunError, match=name):
        run = open_run(path)
        assert run.split or run.settings
        assert run.settings


def test_what_is_no_run_or_evaluation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run's folder"):
        open_run(tmp_path)
    with pytest.raises(RunError, match=r"no scores\.json"):
        read_evaluation(tmp_path)


def test_a_table_without_numbers_is_an_error() -> None:
    with pytest.raises(RunError, match="mean_iou"):
        number_of({"mean_iou": "much"}, "mean_iou")
