"""nas-data: which action is meant, and what each of them imports before it works."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from nas.cli.data import ACTIONS, place_of_action

Command = Callable[..., Any]
HEAVY = {"torch", "numpy", "scipy", "skimage", "matplotlib", "PIL"}
IMPORTS = """
import sys
from nas.cli.data import main
try:
    main()
except SystemExit as leaving:
    assert leaving.code == 0, leaving.code
print("modules:", *sys.modules)
"""


@pytest.mark.parametrize("action", ["", *ACTIONS])
def test_help_is_that_of_the_action_and_imports_nothing_heavy(action: str) -> None:
    words = [sys.executable, "-c", IMPORTS, *action.split(), "--help"]
    run = subprocess.run(words, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    printed, _, modules = run.stdout.rpartition("modules:")
    assert f"usage: nas-data {action or 'ACTION'}" in printed
    assert not {module.partition(".")[0] for module in modules.split()} & HEAVY


def test_help_has_a_line_for_each_action(command: Command) -> None:
    lines = command("data", "--help").out.splitlines()
    for action, description in ACTIONS.items():
        assert [line for line in lines if line.split()[:1] == [action] and description in line]
        assert callable(import_module(f"nas.cli.data_{action}").run)
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["check"], 0),
        (["check", "--dataset", "folder"], 0),
        (["--dataset", "folder", "check"], 2),
        (["--dataset=folder", "check"], 1),
        (["--help", "check"], 1),
        (["-o", "split", "split", "--folds", "3"], 2),
        (["synthesize", "-o", "check"], 0),
        (["--class-names", "a", "b", "check"], 3),
        (["-o", "split"], None),
        (["--dataset", "folder"], None),
        ([], None),
    ],
)
def test_the_action_may_stand_anywhere(arguments: list[str], place: int | None) -> None:
    assert place_of_action(arguments) == place


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "An action is missing: write one of check, summary"),
        (("--dataset", "folder"), "An action is missing"),
        (("chek",), "There is no action 'chek'. Did you mean check?"),
        (("--dataset", "folder", "splitt"), "'splitt'. Did you mean split?"),
        (("xyz",), "There is no action 'xyz'. The actions are check,"),
    ],
)
def test_no_action(command: Command, arguments: tuple[str, ...], words: str) -> None:
    command("data", *arguments).refused(2, words)


def test_the_version(command: Command) -> None:
    for arguments in (("--version",), ("split", "--version")):
        result = command("data", *arguments)
        assert result.code == 0
        assert result.out.startswith("nas-data 0.")
