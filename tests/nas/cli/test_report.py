"""nas-report on real run folders: a search, a retraining, an evaluation, a killed run."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from nas.cli.common import parse_run
from nas.runs import RunFolder
from nas.settings import RetrainSettings, SearchSettings

Command = Callable[..., Any]
HOSTILE = "<img src=x onerror=document.title='taken'>&"


@pytest.fixture(scope="module")
def evaluated(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the retraining, evaluated by the command, with a hostile name among its images."""
    from nas.evaluate import evaluate

    root = tmp_path_factory.mktemp("evaluated")
    data = Path(shutil.copytree(finished / "data", root / "data"))
    path = Path(shutil.copytree(finished / "retrain", root / "retrain"))
    split = json.loads((path / "split.json").read_text())
    for folder in ("images", "masks"):
        (data / folder / f"{split['test'][0]}.png").rename(data / folder / f"{HOSTILE}.png")
    split["test"][0] = HOSTILE
    (path / "split.json").write_text(json.dumps(split))
    settings = (path / "settings.toml").read_text()
    (path / "settings.toml").write_text(settings.replace(str(finished / "data"), str(data)))
    evaluate(RunFolder(path), "test", "cpu", curves=True)
    return path


def report(command: Command, path: Path, *options: object) -> str:
    result = command("report", path, *options)
    assert result.code == 0, result
    out = path / "report.html"
    assert f"Written: {out} (0." in result.out
    return out.read_text()


def commands_of(page: str) -> Iterator[list[str]]:
    for part in page.split('<pre class="command" tabindex="0">')[1:]:
        yield shlex.split(unescape(part.partition("</pre>")[0]))


def test_an_evaluated_run(command: Command, evaluated: Path) -> None:
    page = report(command, evaluated)
    scores = json.loads((evaluated / "evaluation/test/scores.json").read_text())
    mean = f"{100 * scores['pooled']['iou']['mean']:.1f}"
    assert f"<b>{mean} %</b>" in page
    assert page.count('<article class="case">') == 2
    assert "score otherwise" not in page
    assert HOSTILE not in page
    assert HOSTILE in unescape(page)
    for title in ("Learning curves", "The genotype", "Cost", "Split", "To repeat it"):
        assert f"<h2>{title}</h2>" in page
    assert 'class="missing"' not in page


def test_predictions_are_those_that_were_scored(command: Command, evaluated: Path) -> None:
    from nas.report.cases import look, open_bench
    from nas.report.gather import open_run

    run = open_run(evaluated)
    bench = open_bench(run, run.evaluations[0])
    for row in run.evaluations[0].cases:
        seen = look(bench, row["case"])
        mask = np.asarray(Image.open(evaluated.parent / f"data/masks/{row['case']}.png"))
        assert seen.truth.shape == (32, 32)
        assert abs(seen.truth.mean() - mask.mean()) < 0.02
        both = [
            ((seen.truth == k) & (seen.prediction == k)).sum()
            / ((seen.truth == k) | (seen.prediction == k)).sum()
            for k in (0, 1)
        ]
        assert seen.mean_iou == pytest.approx(np.mean(both))
        assert seen.mean_iou == pytest.approx(float(row["mean_iou"]), abs=1e-5)


def test_the_folder_of_an_evaluation_is_a_page_of_its_run(
    command: Command, evaluated: Path
) -> None:
    folder = evaluated / "evaluation/test"
    assert "<h1>retrain</h1>" in report(command, folder)
    (folder / "report.html").unlink()


def test_images_that_have_gone_are_said_to_have_gone(
    command: Command, evaluated: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(evaluated, tmp_path / "moved"))
    settings = (path / "settings.toml").read_text()
    (path / "settings.toml").write_text(settings.replace("data_root", "data_root = '/gone'\n#"))
    page = report(command, path)
    assert "The images cannot be shown one by one:" in page
    assert "<article" not in page
    assert 'alt="Images, truths and predictions: test images"' in page


def test_changed_images_are_told(command: Command, evaluated: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(evaluated, tmp_path / "changed"))
    table = path / "evaluation/test/cases.csv"
    head, first, *rest = table.read_text().splitlines()
    place = head.split(",").index("mean_iou")
    cells = first.split(",")
    cells[place] = "0.999"
    table.write_text("\n".join([head, ",".join(cells), *rest]))
    page = unescape(report(command, path))
    assert "1 of the cases below score otherwise" in page
    assert "was 99.9 % and is" in page


def test_a_retraining_that_nobody_has_evaluated(command: Command, copied: Callable) -> None:
    page = report(command, copied("retrain"))
    assert "This run has not been evaluated" in page
    assert "not evaluated</span>" in page
    assert "<article" not in page


def test_a_search(command: Command, copied: Callable[[str], Path]) -> None:
    page = report(command, copied("search"))
    assert "A search is not evaluated" in page
    assert page.count("Softmax of alpha on each edge") == 2
    assert "discriminator, after epoch 2" in page
    assert "data:image/svg+xml;base64," in page


def test_a_killed_run(command: Command, copied: Callable[[str], Path]) -> None:
    path = copied("search")
    record = json.loads((path / "run.json").read_text())
    del record["finished"], record["seconds"]
    (path / "run.json").write_text(json.dumps(record))
    page = unescape(report(command, path))
    assert "No end of this run is recorded: 2 of 2 epochs are recorded." in page
    assert ["nas-search", "--run-dir", str(path), "--resume"] in list(commands_of(page))
    for gone in ("metrics.jsonl", "genotypes", "pictures", "split.json"):
        target = path / gone
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    page = unescape(report(command, path))
    for sentence in (
        "No epoch is recorded yet",
        "No genotype is recorded yet",
        "The run has drawn no images yet.",
        "There is no split.json",
    ):
        assert sentence in page


@pytest.mark.parametrize(
    "name, settings", [("search", SearchSettings), ("retrain", RetrainSettings)]
)
def test_its_command_repeats_the_run(
    command: Command, copied: Callable[[str], Path], name: str, settings: type[Any]
) -> None:
    path = copied(name)
    (again,) = [each for each in commands_of(report(command, path)) if f"{path}-again" in each]
    assert again[0] == f"nas-{name}"
    repeated = parse_run(settings, again[0], again[1:])
    before = RunFolder(path).read_settings(settings)
    assert repeated.run.run_dir == Path(f"{path}-again")
    if name == "retrain":
        own = path / "checkpoints/discriminator.json"
        assert repeated.adversary.genotype == own
        kept = msgspec.structs.replace(repeated.adversary, genotype=before.adversary.genotype)
        repeated = msgspec.structs.replace(repeated, adversary=kept)
    run = msgspec.structs.replace(repeated.run, run_dir=None, config=None)
    assert msgspec.structs.replace(repeated, run=run) == before


def test_the_number_of_cases_is_chosen(command: Command, evaluated: Path) -> None:
    assert report(command, evaluated, "--cases", 1).count("<article") == 1
    assert "No cases were asked for." in report(command, evaluated, "--cases", 0)


def test_the_page_goes_where_it_is_told(
    command: Command, copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    path = copied("retrain")
    result = command("report", path, "-o", "new/page.html", "--open")
    assert result.code == 0, result
    assert opened == [Path("new/page.html").resolve().as_uri()]
    assert not (path / "report.html").exists()
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    assert "No browser was found" in command("report", path, "-o", "b.html", "--open").out


def test_mistakes_are_one_sentence(command: Command, copied: Callable[[str], Path]) -> None:
    command("report", "nowhere").refused(4, "nowhere")
    Path("empty").mkdir()
    command("report", "empty").refused(4, "empty holds nothing to report on")
    path = copied("retrain")
    command("report", path, "-o", "page.pdf").refused(2, "page.pdf does not")
    Path("file").touch()
    command("report", path, "-o", "file/page.html").refused(4, "Cannot write file/page.html")
    (path / "checkpoints/discriminator.json").write_text("{}")
    command("report", path).refused(4, "discriminator.json cannot be read")


def test_without_jinja_it_is_said_what_to_install(
    command: Command, copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    command("report", copied("retrain")).refused(2, "pip install 'discriminator-nas[report]'")


@pytest.fixture
def comparison(evaluated: Path, finished: Path, tmp_path: Path) -> Path:
    """A comparison of two trainings, of which one searched: both are the evaluated run."""
    from nas.comparison.record import SeedScore, encode, read

    example = read(Path(__file__).parents[1] / "comparison/example.json")
    root = tmp_path / "comparison"
    table = example.tables[0]
    kept = [row for row in table.rows if row.label in ("none", "search")]
    names = {row.label: row.seeds[0].cells[0] for row in kept}
    for name in names.values():
        shutil.copytree(evaluated, root / "cells" / name)
    search = f"cells/{names['search']}/search"
    shutil.copytree(finished / "search", root / search)
    with (evaluated / "evaluation/test/cases.csv").open() as stream:
        cases = {row["case"]: float(row["mean_iou"]) for row in csv.DictReader(stream)}
    rows = [
        msgspec.structs.replace(
            row,
            seeds=(SeedScore(seed=0, score=0.5, cells=(names[row.label],)),),
            case_scores=tuple(cases.values()),
        )
        for row in kept
    ]
    table = msgspec.structs.replace(
        table, rows=tuple(rows), cases=tuple(cases), groups=(None,) * len(cases)
    )
    cells = tuple(
        msgspec.structs.replace(each, search=search if each.method == "search" else None)
        for each in example.cells
        if each.name in names.values()
    )
    found = msgspec.structs.replace(example, tables=(table,), cells=cells)
    (root / "comparison.json").write_bytes(encode(found))
    return root


def test_a_comparison_with_its_trainings(command: Command, comparison: Path) -> None:
    page = report(command, comparison)
    assert page.count('<article class="case">') == 2
    case = unescape(page).partition('<article class="case">')[2].partition("</article>")[0]
    titles = [each.partition("</figcaption>")[0] for each in case.split("<figcaption>")[1:]]
    assert [each.partition(" ")[0] for each in titles] == ["image", "truth", "none", "search"]
    assert titles[2].partition(" ")[2] == titles[3].partition(" ")[2] != ""
    assert page.count("Softmax of alpha on each edge") == 2
    assert "data:image/svg+xml;base64," in page
    assert "Mean IoU on the validation images" in page
    assert "Real taken for real" in page
    assert f"nas-report {comparison}" in page
    assert "score otherwise" not in page


def test_a_training_whose_images_have_gone_is_left_out_with_a_sentence(
    command: Command, comparison: Path
) -> None:
    (settings,) = comparison.glob("cells/*/*/seed0/none/settings.toml")
    settings.write_text(settings.read_text().replace("data_root", "data_root = '/gone'\n#"))
    page = unescape(report(command, comparison))
    assert "none cannot show its predictions:" in page
    case = page.partition('<article class="case">')[2].partition("</article>")[0]
    assert case.count("<figcaption>") == 3


def test_real_pages_in_a_browser(
    command: Command, evaluated: Path, finished: Path, comparison: Path, browser: Any
) -> None:
    complaints: list[str] = []
    for path in (evaluated, comparison, finished / "search"):
        out = Path("page.html").resolve()
        assert command("report", path, "-o", out).code == 0
        for width in (390, 1280):
            context = browser.new_context(viewport={"width": width, "height": 800}, offline=True)
            opened = context.new_page()
            opened.on("pageerror", lambda error: complaints.append(str(error)))
            opened.on("console", lambda message: complaints.append(message.text))
            opened.on("request", lambda each: complaints.append(each.url))
            opened.goto(out.as_uri())
            assert opened.evaluate("document.documentElement.scrollWidth") <= width
            assert "taken" not in opened.title()
            broken = "[...document.images].filter(each => !each.naturalWidth).length"
            assert opened.evaluate(broken) == 0
            if opened.locator(".viewer").count():
                opened.get_by_label("next image").first.click()
                assert opened.locator(".position").first.inner_text() == "2 of 2"
            context.close()
    assert [each for each in complaints if not each.startswith(("file:", "data:"))] == []
