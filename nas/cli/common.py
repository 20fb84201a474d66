"""What all commands share: reading settings and options, errors, exit codes."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec
import tyro

from nas.anchoring import absolute, anchored_data, anchored_network
from nas.errors import RunError, TrainingError, UsageError, UserError, is_out_of_memory
from nas.ranks import agreed, is_first
from nas.runs import RunFolder, WatchedFolder, read_toml, to_settings
from nas.settings import RetrainSettings, RunSettings, SearchSettings
from nas.version import __version__

Settings = TypeVar("Settings", bound=msgspec.Struct)

EXIT_CODES = """exit codes: 0 done; 2 options or settings; 3 data; 4 run folder, checkpoint or
genotype; 5 training failed, or out of memory; 130 or 143 stopped by Ctrl-C or SIGTERM, saved"""

OUT_OF_MEMORY = (
    "Out of memory: lower --batch-size, --image-size or the width of the networks{more}. What was "
    "saved before is untouched."
)
MORE_MEMORY = {
    "nas-search": ", give --recompute-cells, or leave out the exact products of the diagnosis by "
    "--diagnose-every 0"
}
"""What else a command can do with less memory."""

NO_SETTINGS = ("variants", "grid", "ranges", "sweep")
"""Tables of a recipe that say what to do with its settings."""

_MARKERS = (
    tyro.conf.OmitArgPrefixes,
    tyro.conf.OmitSubcommandPrefixes,
    tyro.conf.FlagCreatePairsOff,
)
SHARED_TABLES = set(SearchSettings.__struct_fields__) | set(RetrainSettings.__struct_fields__)
NOT_KEPT = {"run_dir": None, "resume": False, "config": None, "variant": ()}
"""Settings of a command that are none of the run, with the values in their place."""
CHANGEABLE_ON_RESUME = (
    *NOT_KEPT,
    "budget",
    "cache",
    "device",
    "threads",
    "streams",
    "kernels",
    "checkpoint_minutes",
    "tracker",
)


def parse(kind: type[Settings], command: str, arguments: Sequence[str] | None = None) -> Settings:
    """The settings of a command: from the file --config where given, then from the options.

    Raises:
        UsageError: the file cannot be read, or a value is out of its range.
    """
    given = _arguments(arguments)
    return checked(_parse(kind, command, given, _default(kind, given)))


def parse_options(
    kind: type[Settings], command: str, arguments: Sequence[str] | None = None
) -> Settings:
    """The options of a command that takes no settings file by --config.

    Raises:
        UsageError: a value is out of its range.
    """
    return checked(_parse(kind, command, _arguments(arguments), None))


def _default(kind: type[Settings], given: Sequence[str]) -> Settings | None:
    """The settings of the file that the arguments name, with the variants that they name."""
    config, variants = _value_of("--config", given), _values_of("--variant", given)
    if config is not None:
        return _configured(kind, Path(config), variants)
    if variants:
        raise UsageError("--variant names tables of a --config FILE, and no file is given.")
    return None


def parse_run(
    kind: type[Settings], command: str, arguments: Sequence[str] | None = None
) -> Settings:
    """As `parse`, but with --resume the settings are those that the run in --run-dir began with.

    Raises:
        UsageError: as `parse`, or --resume comes without --run-dir.
        RunError: there is nothing to resume, or options differ from the settings of the run.
    """
    given = _arguments(arguments)
    if "--resume" in given and not {"-h", "--help"} & set(given):
        return _resumed(kind, command, given)
    return anchored(parse(kind, command, given))


def _configured(kind: type[Settings], path: Path, variants: Sequence[str]) -> Settings:
    """Settings from a file; what is required and not in it stays open for the command line.

    One file may serve several commands: tables that only another command has are passed over.
    """
    return settings_of(kind, with_variants(read_toml(path), variants, path), path)


def settings_of(kind: type[Settings], tables: Mapping[str, Any], path: Path) -> Settings:
    """The settings of a command in the tables of a file; what is required and missing stays open.

    Raises:
        UsageError: a name or value is not expected.
    """
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    unknown = set(tables) - set(fields) - SHARED_TABLES
    if unknown:
        raise UsageError(
            f"{path}: {', '.join(sorted(unknown))} is neither a setting nor a table; expected "
            f"{', '.join(sorted(set(fields) | SHARED_TABLES))}."
        )
    for option in ("resume", "config", "variant"):
        if isinstance(tables.get("run"), dict) and tables["run"].get(option):
            raise UsageError(f"{path}: run.{option} belongs on the command line, as --{option}.")
    values = {}
    for name, field in fields.items():
        if name in tables:
            wrapped = msgspec.defstruct("Wrapped", [(name, field.type)], forbid_unknown_fields=True)
            values[name] = getattr(to_settings({name: tables[name]}, wrapped, path), name)
        elif field.required:
            values[name] = tyro.MISSING
    return kind(**values)


def with_variants(
    tables: Mapping[str, Any], names: Sequence[str], path: Path, kept: Collection[str] = ()
) -> dict[str, Any]:
    """The tables of a settings file with those of its variants laid over them, one by one.

    Args:
        tables: of the file; `NO_SETTINGS` are left out.
        names: of the variants.
        path: of the file.
        kept: those of `NO_SETTINGS` that are not left out.

    Raises:
        UsageError: the file has no variant of a name.
    """
    left_out = {name for name in NO_SETTINGS if name not in kept}
    settings = {name: table for name, table in tables.items() if name not in left_out}
    variants = tables.get("variants", {})
    if not isinstance(variants, dict) or not all(isinstance(v, dict) for v in variants.values()):
        raise UsageError(f"{path}: variants must be tables, [variants.NAME].")
    for name in names:
        if name not in variants:
            raise UsageError(
                f"{path} has no variant {name!r}; it has {', '.join(variants) or 'none'}."
            )
        settings = laid_over(settings, variants[name])
    return {name: table for name, table in settings.items() if name not in left_out}


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables, values of the second in place of those of the first."""
    merged = dict(below)
    for name, value in above.items():
        if isinstance(value, dict) and name in merged:
            value = laid_over(_table(name, merged[name]), value)
        merged[name] = value
    return merged


def _table(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"A variant has a table {name}, and below it {name} is {value!r}.")
    return value


def _resumed(kind: type[Settings], command: str, given: Sequence[str]) -> Settings:
    path = _value_of("--run-dir", given)
    if path is None:
        raise UsageError("--resume needs --run-dir DIR, the folder of the run to go on with.")
    folder = RunFolder.open(Path(path), command.removeprefix("nas-"))
    started = folder.read_settings(kind)
    default = _default(kind, given) or started
    wanted = anchored(checked(_parse(kind, command, given, default)))
    for name, (before, now) in _differences(started, wanted).items():
        raise RunError(
            f"{path} was started with {name} = {before}, and --resume cannot change that to "
            f"{now}. Leave the option out, or start a new run in another --run-dir."
        )
    return wanted


def anchored(settings: Any) -> Any:
    """The settings with absolute paths, so that a run can be used from any folder."""
    changed: dict[str, Any] = {
        "backbone": anchored_network(settings.backbone),
        "data": anchored_data(settings.data),
    }
    if isinstance(settings, RetrainSettings):
        adversary = settings.adversary
        named, genotype = adversary.discriminator, adversary.genotype
        changed["adversary"] = msgspec.structs.replace(
            adversary,
            discriminator=None if named is None else anchored_network(named),
            genotype=None if genotype is None else absolute(genotype),
        )
    return msgspec.structs.replace(settings, **changed)


def named_by_options(
    kind: type[Settings],
    command: str,
    tables: Mapping[str, Any],
    path: Path,
    arguments: Sequence[str],
) -> dict[str, Any]:
    """The settings that options of a command name, as tables of a settings file; paths absolute.

    Args:
        kind: of the settings.
        command: whose options they are.
        tables: of the file over which the options are laid.
        path: of the file.
        arguments: the options.

    Raises:
        UsageError: as `parse`.
    """
    given = _arguments(arguments)
    settings = anchored(checked(_parse(kind, command, given, settings_of(kind, tables, path))))
    names = {each.partition("=")[0][2:].replace("-", "_") for each in given if each[:2] == "--"}
    return _only(msgspec.to_builtins(settings, enc_hook=str), names)


def _only(tables: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Of nested tables the values with these names."""
    below = {name: _only(each, names) for name, each in tables.items() if isinstance(each, dict)}
    values = {name: each for name, each in tables.items() if name in names and name not in below}
    return values | {name: table for name, table in below.items() if table}


def _differences(started: Any, wanted: Any) -> dict[str, tuple[Any, Any]]:
    differences: dict[str, tuple[Any, Any]] = {}
    for name in started.__struct_fields__:
        before, now = getattr(started, name), getattr(wanted, name)
        if isinstance(before, msgspec.Struct):
            differences |= _differences(before, now)
        elif before != now and name not in CHANGEABLE_ON_RESUME:
            differences[name] = (before, now)
    return differences


def checked(settings: Settings) -> Settings:
    """The settings, with every range checked.

    Raises:
        UsageError: a value is out of its range.
    """
    plain = msgspec.to_builtins(settings, enc_hook=str)
    try:
        msgspec.convert(plain, type(settings), dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$.")
        option = place.rstrip("`").split(".")[-1].replace("_", "-")
        raise UsageError(f"--{option}: {reason[0].lower()}{reason[1:]}; see --help.") from error
    return settings


def given_settings(arguments: Sequence[str] | None = None) -> frozenset[str]:
    """Names of the settings that stand on the command line or in the file --config.

    Args:
        arguments: of the command, by default those of the process.

    Raises:
        UsageError: the file cannot be read.
    """
    given = _arguments(arguments)
    options = {each.partition("=")[0] for each in given if each.startswith("--")}
    typed = {option.removeprefix("--").replace("-", "_") for option in options}
    config = _value_of("--config", given)
    if config is None:
        return frozenset(typed)
    path = Path(config)
    tables = with_variants(read_toml(path), _values_of("--variant", given), path)
    written = {name for table in tables.values() if isinstance(table, dict) for name in table}
    return frozenset(typed | written)


def refuse_unused(unused: Mapping[str, str], arguments: Sequence[str] | None = None) -> None:
    """Refuse options on the command line that have no effect under the others.

    Args:
        unused: why a setting has no effect, by its name.
        arguments: of the command, by default those of the process.

    Raises:
        UsageError: names the option.
    """
    typed = {argument.partition("=")[0] for argument in _arguments(arguments)}
    for name, why in unused.items():
        option = f"--{name.replace('_', '-')}"
        if option in typed:
            raise UsageError(f"{option} {why}: leave one of them out.")


def prepare_run_folder(settings: Any, suggestion: Path) -> tuple[Any, RunFolder]:
    """The folder to run in, and the settings to keep in it: those that do not name the folder.

    Several processes run in one folder, which the first of them writes.

    Raises:
        RunError: a new run was asked for, and the folder holds one.
    """
    run: RunSettings = settings.run
    path = agreed(run.run_dir or suggestion)
    folder = RunFolder(path) if is_first() else WatchedFolder(path)
    if is_first() and not run.resume:
        folder.refuse_run()
    kept = msgspec.structs.replace(run, **NOT_KEPT)
    return msgspec.structs.replace(settings, run=kept), folder


def tell_health(folder: RunFolder) -> None:
    """Print how the discriminator of a run has fared, where there was one."""
    summary = folder.read_record().get("health")
    if summary:
        print(summary)


def main(command: str, action: Callable[[], None]) -> NoReturn:
    """Run a command; errors of the user become one sentence on stderr and an exit code."""
    try:
        action()
    except UserError as error:
        fail(command, str(error), error.exit_code)
    except KeyboardInterrupt:
        fail(command, "Stopped at once; what was saved before is untouched.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        sentence = OUT_OF_MEMORY.format(more=MORE_MEMORY.get(command, ""))
        fail(command, sentence, TrainingError.exit_code)
    sys.exit(0)


def fail(command: str, sentence: str, code: int) -> NoReturn:
    """Say what went wrong and leave."""
    print(f"{command}: {sentence}", file=sys.stderr)
    sys.exit(code)


def _parse(
    kind: type[Settings], command: str, given: Sequence[str], default: Settings | None
) -> Settings:
    if "--version" in given:
        print(f"{command} {__version__}")
        sys.exit(0)
    description = f"{(kind.__doc__ or '').strip()}\n\n{' '.join(EXIT_CODES.split())}"
    start: dict[str, Any] = {} if default is None else {"default": default}
    return tyro.cli(
        kind, prog=command, description=description, args=given, config=_MARKERS, **start
    )


def _arguments(arguments: Sequence[str] | None) -> list[str]:
    """The arguments; underscores in the names of options are hyphens, as tyro has it."""
    given = sys.argv[1:] if arguments is None else arguments
    return [_hyphenated(each) if each.startswith("--") else each for each in given]


def _hyphenated(argument: str) -> str:
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value


def _value_of(option: str, given: Sequence[str]) -> str | None:
    for place, argument in enumerate(given):
        if argument == option and place + 1 < len(given):
            return given[place + 1]
        if argument.startswith(f"{option}="):
            return argument.removeprefix(f"{option}=")
    return None


def _values_of(option: str, given: Sequence[str]) -> tuple[str, ...]:
    """The values behind an option that takes several."""
    values: list[str] = []
    taking = False
    for argument in given:
        if argument.startswith("--"):
            name, equals, value = argument.partition("=")
            taking = name == option
            values += [value] if taking and equals else []
        elif taking:
            values.append(argument)
    return tuple(values)


def check_writable(path: Path) -> None:
    """Make sure that an output file or folder can be made before any work is done.

    Raises:
        RunError: it cannot.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return
    except OSError as error:
        raise RunError(
            f"Cannot write into {path}: {error.strerror or error}. Choose a folder that you may "
            "write to."
        ) from error
