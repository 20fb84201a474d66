"""nas-list, as it runs from the shell."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.cli import list as command_list
from nas.cli.list import short
from nas.data.readers import READERS
from nas.discriminators import DISCRIMINATORS
from nas.networks import PATCH_NETWORKS
from nas.segmenters import SEGMENTERS
from search_spaces import SPACES, genotypes
from search_spaces.parametric_genotypes import FlexVGG, FlexVGGGenotype

SMALL = ("--image-size", "64")


def line_of(printed: str, name: str) -> list[str]:
    """The words of the one line that begins with a name."""
    (line,) = (line.split() for line in printed.splitlines() if line.split()[:1] == [name])
    return line


def test_everything_has_a_line(command: Callable[..., Any]) -> None:
    result = command("list", *SMALL)
    assert result.code == 0, result
    tables = result.out.split("\n\n")
    segmenters = {**SEGMENTERS, **PATCH_NETWORKS}
    for table, names in zip(tables, (segmenters, DISCRIMINATORS, SPACES, READERS), strict=False):
        assert all(len(line_of(table, name)) > 1 for name in names)
        assert len(table.splitlines()) == len(names) + 2
    assert line_of(result.out, "resnet18")[1] == "11,180,161"
    assert "64x64 pixels and 1 channel(s), 4 classes" in result.out
    assert "--backbone" in result.out
    assert "--dataset" in result.out


def test_only_those_that_are_named(command: Callable[..., Any]) -> None:
    """With 3 channels instead of 1, with 5 classes instead of 4, and with the image beside them."""
    names = ("unet?width=2&depth=1", "resnet10?width=8")
    before = command("list", *names, *SMALL)
    assert before.code == 0, before
    assert "resnet18" not in before.out
    assert "phantom" not in before.out
    options = ("--image-channels", 3, "--classes", 5, "--discriminator-input", "map+image")
    after = command("list", *names, *SMALL, *options)
    unet, resnet = (
        parameters_of(after.out, name) - parameters_of(before.out, name) for name in names
    )
    assert unet == 2 * 9 * 2 + 2 + 1
    assert resnet == 4 * 49 * 8


def parameters_of(printed: str, name: str) -> int:
    return int(line_of(printed, name)[1].replace(",", ""))


def test_programs_get_all_numbers(command: Callable[..., Any]) -> None:
    result = command("list", "--format", "json", "--image-size", "64x96")
    entries = json.loads(result.out)
    assert {entry["kind"] for entry in entries} == {
        "segmenter",
        "discriminator",
        "space",
        "data set",
    }
    (network,) = (entry for entry in entries if entry["name"] == "resnet18")
    assert network["parameters"] == 11180161
    assert isinstance(network["multiply_adds"], int)
    assert command("list", "resnet18", "--format", "json", *SMALL).out.startswith("[\n")


def test_lines_are_whole_where_no_terminal_is(command: Callable[..., Any], tmp_path: Path) -> None:
    """However long: here that of a genotype whose path has more than 80 characters."""
    path = tmp_path / f"{'long' * 20}.json"
    genotypes.write(FlexVGGGenotype(FlexVGG(channels=4, blocks=2)), path)
    words = line_of(command("list", path, *SMALL).out, str(path))
    assert " ".join(words[4:]) == "a genotype of the space flexvgg"


def test_a_terminal_gets_tables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    command_list.print_table("Networks", ["name", "parameters"], [["unet", "31,030,788"]])
    printed = capsys.readouterr().out
    assert "unet" in printed
    assert "│" in printed


def test_mistakes(command: Callable[..., Any]) -> None:
    command("list", "unnet").refused(2, "did you mean 'unet'?")
    command("list", "unet?widht=3").refused(2, "did you mean 'width'?")
    command("list", "no.json").refused(4, "no.json")
    command("list", "--classes", "0").refused(2, "--classes")
    command("list", "--image-size", "8").refused(2, "8")


def test_settings_from_a_file(command: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "list.toml").write_text('networks = ["resnet10"]\nclasses = 7\n')
    result = command("list", "--config", tmp_path / "list.toml", *SMALL)
    assert result.code == 0, result
    assert "7 classes" in result.out
    assert "resnet18" not in result.out


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "-"),
        (0, "0"),
        (999, "999"),
        (1000, "1 k"),
        (1_814_073_344, "1.814 G"),
        (15_470_264_320, "15.47 G"),
        (2 * 10**12, "2 T"),
    ],
)
def test_numbers_are_short(number: int | None, text: str) -> None:
    assert short(number) == text
