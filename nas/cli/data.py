"""nas-data: look at data, divide, convert and generate it, before anything trains on it."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

from nas.cli.common import main as run_command
from nas.errors import UsageError
from nas.version import __version__

COMMAND = "nas-data"
ACTIONS = {
    "check": "decode every file as training would, and say all that is wrong",
    "summary": "a page with pictures, overlays and histograms",
    "split": "draw folds or a split, by group and stratified, and save them",
    "convert": "write the data as paired folders or as nnU-Net raw",
    "synthesize": "write generated data in the official form of a layout",
}
"""Each is a module data_NAME with a function ``run`` that takes the arguments."""

HELP = f"""usage: {COMMAND} ACTION [options]

Look at data, divide, convert and generate it.

actions:
{{actions}}

{COMMAND} ACTION --help tells the options of an action. All but synthesize take the options of the
data, such as --dataset and --data-root, and --config FILE, a TOML file with a [data] table."""


def data() -> None:
    """Hand the arguments on to the action that they name."""
    given = sys.argv[1:]
    place = place_of_action(given)
    if "--version" in given:
        print(f"{COMMAND} {__version__}")
    elif place is not None:
        action = given[place]
        import_module(f"nas.cli.data_{action}").run([*given[:place], *given[place + 1 :]])
    elif {"-h", "--help"} & set(given):
        width = max(map(len, ACTIONS)) + 2
        lines = (f"  {name:{width}}{line}" for name, line in ACTIONS.items())
        print(HELP.format(actions="\n".join(lines)))
    else:
        raise UsageError(_no_action(given))


def place_of_action(given: Sequence[str]) -> int | None:
    """Where among the arguments an action stands; the value of an option is none.

    Args:
        given: all arguments of the command; options may come before the action.
    """
    for place, argument in enumerate(given):
        if argument in ACTIONS and not _is_value(given, place):
            return place
    return None


def _is_value(given: Sequence[str], place: int) -> bool:
    """Whether an argument stands directly behind an option that wants a value."""
    before = given[place - 1] if place else ""
    return before.startswith("-") and "=" not in before and before not in ("-h", "--help")


def _no_action(given: Sequence[str]) -> str:
    known = ", ".join(ACTIONS)
    for place, argument in enumerate(given):
        if not argument.startswith("-") and not _is_value(given, place):
            guesses = difflib.get_close_matches(argument, ACTIONS, n=1)
            hint = f" Did you mean {guesses[0]}?" if guesses else ""
            return f"There is no action {argument!r}.{hint} The actions are {known}."
    return f"An action is missing: write one of {known} behind {COMMAND}."


def main() -> None:
    """Entry point."""
    run_command(COMMAND, data)


if __name__ == "__main__":
    main()
