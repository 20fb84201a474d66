"""Run folders written by hand, and a strict reader of pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

SCORES: dict[str, Any] = {
    "classes": ["background", "cell"],
    "images": 3,
    "epoch": 2,
    "ece": 0.05,
    "pooled": {
        "iou": {"per_class": [0.9, 0.5], "mean": 0.7, "mean_foreground": 0.5},
        "dice": {"per_class": [0.95, None], "mean": 0.8, "mean_foreground": 0.625},
        "precision": {"per_class": [0.9, 0.6], "mean": 0.75, "mean_foreground": 0.6},
        "recall": {"per_class": [0.9, 0.7], "mean": 0.8, "mean_foreground": 0.7},
        "pixel_accuracy": 0.91,
    },
    "per_image": {
        "iou": {"per_class": [0.9, 0.4], "mean": 0.65, "mean_foreground": 0.4},
        "dice": {"per_class": [0.9, 0.5], "mean": 0.7, "mean_foreground": 0.5},
    },
    "intervals": {
        "level": 0.95,
        "units": 3,
        "pooled": {
            "iou": {
                "per_class": [[0.85, 0.95], [0.4, 0.6]],
                "mean": [0.62, 0.78],
                "mean_foreground": [0.4, 0.6],
            }
        },
    },
}


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run's folder: ``make_run("retrain", finished=True, records=[...])``."""

    def make(
        kind: str = "retrain",
        *,
        finished: bool = True,
        records: list[dict[str, Any]] | None = None,
        scores: dict[str, Any] | None = None,
        settings: str = "[run]\nseed = 3\n[training]\nepochs = 2\n",
        name: str = "run",
    ) -> Path:
        path = tmp_path / name
        path.mkdir()
        record: dict[str, Any] = {
            "kind": kind,
            "command": "nas-retrain <as typed>",
            "versions": {"torch": "2.13.0"},
            "machine": {"cores": 2},
            "data": {"name": "folder", "classes": ["background", "cell"], "split_hash": "ab" * 32},
        }
        if finished:
            record |= {"finished": "2026-11-21", "seconds": 90.0, "health": "It was healthy."}
        (path / "run.json").write_text(json.dumps(record))
        (path / "settings.toml").write_text(f'backbone = "unet?width=8"\n{settings}')
        split = {"train": ["a", "b"], "val": [], "test": ["<c>"], "seed": 7}
        (path / "split.json").write_text(json.dumps(split))
        lines = "".join(json.dumps(each) + "\n" for each in records or [])
        (path / "metrics.jsonl").write_text(lines)
        if scores is not None:
            out = path / "evaluation" / "test"
            out.mkdir(parents=True)
            (out / "scores.json").write_text(json.dumps(scores))
            (out / "cases.csv").write_text("case,mean_iou\n<c>,0.7\nd,0.5\ne,\n")
        return path

    return make


@pytest.fixture
def scores() -> dict[str, Any]:
    """Content of a scores.json."""
    return json.loads(json.dumps(SCORES))


class Read(HTMLParser):
    """A page as a strict reader sees it.

    Attributes:
        text: all text outside of styles and scripts.
        references: values of attributes that a browser would load or follow.
        ids: of all elements.
        tags: names of all elements.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.references: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "xlink:href", "action", "data"):
                self.references.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name.startswith("on"):
                self.handlers.append(f"{tag} {name}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self._open):
            self.text += data


VOID = {"meta", "img", "input", "br", "link"}


@pytest.fixture
def read() -> Callable[[str], Read]:
    """Reads a page; tags that do not match are an error."""
    return Read
