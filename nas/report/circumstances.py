"""Under which circumstances numbers came about: cost, settings, versions, machine, split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from nas.report.blocks import Block, Listing, Table, Text
from nas.report.gather import SUBSETS, Run
from nas.runs import without_none
from nas.settings import RetrainSettings, SearchSettings
from nas.tracking import duration

MOST_CASES = 400
"""Cases of a subset that are listed by name."""
HASH_SHOWN = 16


def cost_blocks(run: Run) -> list[Block]:
    """What a run took, as far as it recorded it."""
    seconds = run.record.get("seconds") or (run.records[-1].get("seconds") if run.records else None)
    rows = []
    if seconds is not None:
        rows.append(["training time", duration(float(seconds))])
        if run.epochs:
            rows.append(["per epoch", f"{float(seconds) / run.epochs:.2f} s"])
    rows += [[name, str(run.record[key])] for key, name in MACHINE.items() if key in run.record]
    memory = run.record.get("peak_memory")
    if memory:
        rows.append(["largest memory of the process", megabytes(memory)])
    if not rows:
        return [Text(["The run recorded no cost: it ended before its first epoch did."], "missing")]
    return [Table(["", ""], rows, numbers=False)]


MACHINE = {"device": "device", "threads": "CPU threads", "processes": "processes"}


def megabytes(count: float) -> str:
    """Bytes in words: 612 MB, 1.25 GB."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def settings_blocks(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[Block]:
    """Settings that are not the default as a table; all of them folded away."""
    usual = dict(flattened(defaults))
    resolved = list(flattened(settings))
    rows = [
        [name, value, usual.get(name, "")] for name, value in resolved if value != usual.get(name)
    ]
    everything = "\n".join(f"{name} = {value}" for name, value in resolved)
    return [
        Table(["setting", "value", "default"], rows, numbers=False),
        Listing(f"All {len(resolved)} settings", everything),
    ]


def defaults_of(kind: str) -> dict[str, Any]:
    """The default settings of a search or a retraining, as plain values."""
    settings = SearchSettings() if kind == "search" else RetrainSettings()
    plain: dict[str, Any] = without_none(msgspec.to_builtins(settings, enc_hook=str))
    return plain


def flattened(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted names and values in words, in their order."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield prefix + name, ", ".join(map(str, value)) or "none"
        else:
            yield prefix + name, str(value)


def version_block(versions: Mapping[str, Any], machine: Mapping[str, Any]) -> Block:
    """Versions of libraries, and the machine."""
    rows = [[str(name), str(value)] for name, value in {**versions, **machine}.items()]
    if not rows:
        return Text(["No versions were recorded."], "missing")
    return Table(["", ""], rows, numbers=False)


def split_blocks(run: Run) -> list[Block]:
    """Which case is in which subset."""
    if run.split is None:
        return [Text(["There is no split.json: the run ended before it was made."], "missing")]
    split = run.split
    data = run.record.get("data", {})
    rows = [[name, str(len(split.get(name, ())))] for name in SUBSETS]
    caption = f"Drawn with seed {split.get('seed')}"
    if digest := data.get("split_hash"):
        caption += f"; hash {digest[:HASH_SHOWN]}"
    if reason := split.get("divides_groups"):
        caption += f". It may divide groups: {reason}"
    table = Table(["subset", "images"], rows, f"{caption}.")
    return [table, *(_names(name, split.get(name, ())) for name in SUBSETS if split.get(name))]


def _names(subset: str, ids: Sequence[str]) -> Block:
    shown: Iterable[str] = ids[:MOST_CASES]
    more = f"\n... and {len(ids) - MOST_CASES} more" if len(ids) > MOST_CASES else ""
    return Listing(f"{len(ids)} {subset} images by name", "\n".join(shown) + more)
