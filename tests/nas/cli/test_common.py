"""What all commands share: help without heavy imports, settings files, errors, exit codes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.cli import common
from nas.cli.common import fail, main, parse, parse_run
from nas.errors import DataError, RunError, UsageError
from nas.runs import RunFolder
from nas.settings import RetrainSettings, SearchSettings

COMMANDS = (
    *("search", "derive", "retrain", "evaluate", "predict", "render", "data", "list"),
    *("compare", "report", "sweep"),
)
OF_RECIPES = ("compare", "sweep")
HEAVY = {"torch", "numpy", "scipy", "skimage", "matplotlib", "PIL", "networkx", "tensorboard"} | {
    *("optuna", "ray", "numba", "jinja2")
}
IMPORTS = """
import importlib, sys
sys.argv = sys.argv[1:]
try:
    importlib.import_module("nas.cli." + sys.argv[0]).main()
except SystemExit as leaving:
    assert leaving.code == 0, leaving.code
print("\\nmodules:", *sys.modules)
"""


def imports(name: str, *arguments: object) -> tuple[str, set[str]]:
    """What a command prints, and the packages that it imports."""
    words = [name, *map(str, arguments)]
    run = subprocess.run([sys.executable, "-c", IMPORTS, *words], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    printed, _, modules = run.stdout.rpartition("modules:")
    return printed, {module.partition(".")[0] for module in modules.split()}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_imports_nothing_heavy(name: str) -> None:
    printed, modules = imports(name, "--help")
    assert f"nas-{name}" in printed
    assert ("recipe" if name in OF_RECIPES else "--config") in printed.lower()
    assert not modules & HEAVY


@pytest.mark.parametrize("name", ["search", "retrain"])
def test_help_names_every_setting_with_its_default(name: str) -> None:
    printed, _ = imports(name, "--help")
    text = " ".join(printed.replace("│", " ").split())
    for option in ("--image-size", "--epochs", "--seed", "--device", "--run-dir", "--resume"):
        assert option in text
    for default in ("(default: 512)", "(default: 0.0001)", "(default: auto)", "(default: phantom)"):
        assert default in text


def test_deriving_and_drawing_do_without_torch(finished: Path, tmp_path: Path) -> None:
    derived = imports("derive", finished / "search", "-o", tmp_path / "g.json")
    drawn = imports("render", tmp_path / "g.json", "-o", tmp_path / "cells.dot")
    assert "torch" not in derived[1]
    assert "torch" not in drawn[1]
    assert not derived[1] & HEAVY


def test_the_version_is_told() -> None:
    assert imports("search", "--version")[0].startswith("nas-search 0.")


def search(*arguments: object) -> SearchSettings:
    return parse_run(SearchSettings, "nas-search", [str(each) for each in arguments])


CONFIG = """
backbone = "unet?width=8"
[training]
epochs = 7
segmenter_lr = 0.01
[cell]
operations = ["none", "skip_connect"]
[adversary]
discriminator = "resnet10"
"""


def test_options_override_the_file_and_the_file_the_defaults(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(CONFIG)
    for form in (["--config", config], [f"--config={config}"]):
        settings = search(*form, "--epochs", 9)
        assert settings.backbone == "unet?width=8"
        assert settings.training.epochs == 9
        assert settings.training.segmenter_lr == 0.01
        assert settings.training.discriminator_lr == SearchSettings().training.discriminator_lr
        assert settings.cell.operations == ("none", "skip_connect")
        assert settings.run.config == config


def test_one_file_serves_several_commands(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(CONFIG)
    settings = parse(RetrainSettings, "nas-retrain", ["--config", str(config)])
    assert settings.adversary.discriminator == "resnet10"
    assert settings.training.epochs == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[trainings]\nepochs = 3", "trainings is neither a setting nor a table"),
        ("[training]\nepoch = 3", "unknown field `epoch`"),
        ("[training]\nepochs = 'x'", "Expected `int`"),
        ("[training]\nepochs = 0", ">= 1"),
        ("[adversary]\nwhatever = 0\n[training]\nepochs = -1", ">= 1"),
        ("training = 3", "Expected `object`"),
        ("epochs = [", "not a TOML file"),
        ("[run]\nresume = true", "run.resume belongs on the command line"),
        ("[run]\nconfig = 'x.toml'", "run.config belongs on the command line"),
    ],
)
def test_a_wrong_settings_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    config = tmp_path / "c.toml"
    config.write_text(text)
    with pytest.raises(UsageError) as refused:
        search("--config", config)
    assert words in str(refused.value)
    assert str(config) in str(refused.value)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize("name", ["missing.toml", ".", "binary.toml"])
def test_a_settings_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "binary.toml").write_bytes(bytes(range(256)))
    with pytest.raises(UsageError):
        search("--config", tmp_path / name)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--epochs", 0),
        ("--segmenter-lr", 0),
        ("--segmenter-lr", "nan"),
        ("--seed", -1),
        ("--layout", "NXN"),
        ("--layout", ""),
        ("--threads", -1),
        ("--checkpoint-minutes", -0.1),
        ("--warmup-epochs", -1),
    ],
)
def test_a_value_out_of_range_names_its_option(arguments: tuple[object, ...]) -> None:
    with pytest.raises(UsageError, match=str(arguments[0])):
        search(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [("--epochs", "x"), ("--epoch", 3), ("--precision", "fp8"), ("stray",), ("--run-dir",)],
)
def test_what_is_no_option_leaves_with_2(
    arguments: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        search(*arguments)
    assert left.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A run begun with some settings, the images named relative to this folder."""
    settings = search(
        *("--dataset", "folder", "--data-root", "data", "--epochs", 5, "--seed", 3),
        *("--run-dir", tmp_path / "run"),
    )
    settings, folder = common.prepare_run_folder(settings, tmp_path / "suggested")
    folder.begin("search", settings)
    return folder.path


def test_a_run_goes_on_with_its_own_settings(begun: Path) -> None:
    for form in (["--run-dir", begun], [f"--run-dir={begun}"], ["--run_dir", begun]):
        settings = search(*form, "--resume")
        assert settings.training.epochs == 5
        assert settings.run.seed == 3
        assert settings.run.run_dir == begun
        assert settings.run.resume


def test_what_the_machine_decides_may_change_on_resuming(begun: Path) -> None:
    settings = search(
        *("--run-dir", begun, "--resume", "--threads", 3, "--device", "cpu"),
        *("--checkpoint-minutes", 2),
    )
    run = settings.run
    assert (run.threads, run.device, run.checkpoint_minutes) == (3, "cpu", 2.0)


def test_repeating_the_options_of_the_start_is_no_change(begun: Path) -> None:
    search("--run-dir", begun, "--resume", "--epochs", 5, "--data-root", "data")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("--epochs", 6), "epochs = 5"),
        (("--seed", 4), "seed = 3"),
        (("--data-root", "elsewhere"), "data_root"),
        (("--precision", "bf16"), "precision"),
        (("--backbone", "fcn32s"), "backbone"),
    ],
)
def test_other_settings_are_refused_on_resuming(
    begun: Path, arguments: tuple[object, ...], name: str
) -> None:
    with pytest.raises(RunError, match=name):
        search("--run-dir", begun, "--resume", *arguments)


def test_a_settings_file_counts_on_resuming(begun: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text((begun / "settings.toml").read_text())
    search("--config", config, "--run-dir", begun, "--resume")
    config.write_text(config.read_text().replace("epochs = 5", "epochs = 6"))
    with pytest.raises(RunError, match="epochs = 5"):
        search("--config", config, "--run-dir", begun, "--resume")
    search("--config", config, "--run-dir", begun, "--resume", "--epochs", 5)


def test_the_settings_of_a_run_make_a_new_one(begun: Path, tmp_path: Path) -> None:
    settings = search("--config", begun / "settings.toml")
    assert settings.training.epochs == 5
    assert settings.run.run_dir is None
    assert not settings.run.resume


def test_paths_in_a_run_are_absolute(begun: Path, tmp_path: Path) -> None:
    kept = RunFolder(begun).read_settings(SearchSettings)
    assert kept.data.data_root == tmp_path / "data"


def retrain(*arguments: object) -> RetrainSettings:
    return parse_run(RetrainSettings, "nas-retrain", [str(each) for each in arguments])


def test_the_files_of_genotypes_are_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert search("--backbone", "a/s.json?width=../8").backbone == f"{tmp_path}/a/s.json?width=../8"
    settings = retrain("--genotype", "g.json", "--backbone", "../s.json")
    assert settings.adversary.genotype == tmp_path / "g.json"
    assert settings.adversary.discriminator is None
    assert settings.backbone == f"{tmp_path.parent}/s.json"
    named = retrain("--discriminator", "d.json?channels=8").adversary.discriminator
    assert named == f"{tmp_path}/d.json?channels=8"


@pytest.mark.parametrize("name", ["none", "resnet10?width=8", "python:a.b:C?file=x.json"])
def test_other_names_stay_as_they_are(name: str) -> None:
    settings = retrain("--discriminator", name, "--backbone", "unet?width=4")
    assert settings.adversary.discriminator == name
    assert settings.backbone == "unet?width=4"


def test_resuming_needs_a_folder_with_a_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs --run-dir"):
        search("--resume")
    with pytest.raises(RunError, match="not a run's folder"):
        search("--resume", "--run-dir", tmp_path / "nothing")


def test_a_folder_with_a_run_is_never_taken_for_a_new_one(begun: Path) -> None:
    before = {path: path.read_bytes() for path in begun.iterdir()}
    settings = search("--run-dir", begun)
    with pytest.raises(RunError, match="already holds a run"):
        common.prepare_run_folder(settings, begun)
    assert {path: path.read_bytes() for path in begun.iterdir()} == before


def leave(action: Callable[[], Any]) -> Any:
    with pytest.raises(SystemExit) as left:
        main("nas-x", action)
    return left.value.code


def raising(error: BaseException) -> Callable[[], Any]:
    def action() -> None:
        raise error

    return action


def test_done_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(lambda: None) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UsageError("Wrong."), 2, "Wrong."),
        (DataError("Broken."), 3, "Broken."),
        (RunError("Damaged."), 4, "Damaged."),
        (KeyboardInterrupt(), 130, "untouched"),
        (MemoryError(), 5, "Out of memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 5, "Out of memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes"),
            5,
            "Out of memory",
        ),
    ],
)
def test_errors_become_one_sentence_and_a_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, words: str
) -> None:
    assert leave(raising(error)) == code
    err = capsys.readouterr().err
    assert err.startswith("nas-x: ")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("option", ["--recompute-cells", "--diagnose-every 0"])
def test_out_of_memory_names_what_the_search_alone_has(
    capsys: pytest.CaptureFixture[str], option: str
) -> None:
    said = []
    for command in ("nas-search", "nas-retrain"):
        with pytest.raises(SystemExit):
            main(command, raising(MemoryError()))
        said.append(capsys.readouterr().err)
    assert option in said[0]
    assert option not in said[1]
    assert all("untouched." in each and "{" not in each for each in said)


def test_a_mistake_of_the_program_is_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        main("nas-x", raising(RuntimeError("a bug")))


def test_failing_speaks_on_stderr_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        fail("nas-x", "No.", 7)
    assert left.value.code == 7
    assert capsys.readouterr() == ("", "nas-x: No.\n")


def test_a_reader_that_leaves_is_no_error() -> None:
    code = "import sys; from nas.cli.common import main\nmain('nas-x', lambda: print('x' * 10**6))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    assert process.wait(60) == 0
    assert err == b""


def test_a_folder_is_checked_before_the_work(tmp_path: Path) -> None:
    common.check_writable(tmp_path / "new" / "deep")
    assert (tmp_path / "new" / "deep").is_dir()
    assert not list((tmp_path / "new" / "deep").iterdir())
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "deep", Path("/proc/nowhere")):
        with pytest.raises(RunError, match="Cannot write into"):
            common.check_writable(path)


RECIPE = """
backbone = "unet"
[training]
epochs = 7
batch_size = 3
[variants.small]
backbone = "unet?width=2"
[variants.small.training]
epochs = 1
[variants.long.training]
epochs = 99
[grid]
"training.epochs" = [1, 2]
"""


@pytest.mark.parametrize(
    ("variants", "backbone", "epochs"),
    [
        ((), "unet", 7),
        (("small",), "unet?width=2", 1),
        (("long",), "unet", 99),
        (("small", "long"), "unet?width=2", 99),
        (("long", "small"), "unet?width=2", 1),
    ],
)
def test_variants_are_laid_over_the_file_in_their_order(
    tmp_path: Path, variants: tuple[str, ...], backbone: str, epochs: int
) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    named = ("--variant", *variants) if variants else ()
    found = parse(RetrainSettings, "nas-retrain", ["--config", str(path), *named])
    assert (found.backbone, found.training.epochs) == (backbone, epochs)
    assert found.training.batch_size == 3
    over = ["--config", str(path), *named, "--epochs", "5"]
    assert parse(RetrainSettings, "nas-retrain", over).training.epochs == 5


def test_a_variant_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    with pytest.raises(UsageError, match="no variant 'tiny'; it has small, long"):
        parse(RetrainSettings, "nas-retrain", ["--config", str(path), "--variant", "tiny"])
    with pytest.raises(UsageError, match="no file is given"):
        parse(RetrainSettings, "nas-retrain", ["--variant", "small"])


def test_a_run_keeps_what_its_variant_said_and_not_the_variant(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    arguments = ["--config", str(path), "--variant", "small", "--run-dir", str(tmp_path / "run")]
    settings = parse_run(RetrainSettings, "nas-retrain", arguments)
    kept, _ = common.prepare_run_folder(settings, tmp_path / "other")
    assert kept.training.epochs == 1
    assert kept.run.variant == () and kept.run.config is None


@pytest.mark.parametrize("text", ["variants = 3", "[variants]\nsmoke = 3"])
def test_variants_that_are_no_tables_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match="variants must be tables"):
        parse(RetrainSettings, "nas-retrain", ["--config", str(path), "--variant", "smoke"])


def test_a_value_in_place_of_a_table_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("data = 3\n[variants.a.data]\ndataset = 'phantom'")
    with pytest.raises(UsageError):
        parse(RetrainSettings, "nas-retrain", ["--config", str(path), "--variant", "a"])
