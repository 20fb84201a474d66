"""The page about data: one file of HTML that needs nothing else, pictures and charts inside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from nas.data.check import Report
from nas.data.summary_album import Tile
from nas.data.summary_charts import number
from nas.page_pictures import data_uri
from nas.pictures import UNKNOWN_COLOUR, class_colours

SUBSET_NAMES = {"train": "Training", "val": "Validation", "test": "Test", "": "Cases"}
STYLE = """
:root { color-scheme: light dark; --faint: #8886; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1200px; padding: 12px; }
h1 { font-size: 1.5em; margin: .3em 0; } h2 { font-size: 1.15em; margin: 1.6em 0 .4em; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
td, th { border-bottom: 1px solid var(--faint); padding: 3px 14px 3px 0; text-align: left;
  vertical-align: top; font-weight: normal; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.verdict { border-left: 6px solid; padding: .4em .8em; font-weight: 600; }
.ready { border-color: #009e73; } .not-ready { border-color: #d55e00; }
ul { padding-left: 1.2em; } li { overflow-wrap: anywhere; }
.grid { display: grid; gap: 10px; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); }
.near { border-bottom: 1px solid var(--faint); padding-bottom: 8px; margin-bottom: 8px; }
figure { margin: 0; max-width: 224px; }
.picture { position: relative; line-height: 0; }
.picture img { width: 100%; image-rendering: auto; }
.picture .mask { position: absolute; inset: 0; image-rendering: pixelated; }
#masks:not(:checked) ~ main .mask { visibility: hidden; }
figcaption { font-size: .82em; overflow-wrap: anywhere; } figcaption b { display: block; }
.tag { color: #d55e00; }
.bar { position: sticky; top: 0; z-index: 1; background: Canvas; padding: 6px 0; }
.swatch { display: inline-block; width: .9em; height: .9em; margin: 0 .3em 0 .9em;
  vertical-align: -.1em; }
.charts { display: grid; gap: 12px; grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); }
svg { width: 100%; } svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
svg .title { font-size: 12px; font-weight: 600; }
textarea { width: 100%; box-sizing: border-box; font-family: monospace; }
"""


@dataclass(frozen=True)
class Shown:
    """A case on the page, the subset it is in, and what is special about it."""

    tile: Tile
    subset: str = ""
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """All that stands on the page.

    Attributes:
        report: of the data.
        place: where the data lies, as the reader of the page knows it.
        extremes: cases with the most and the least foreground.
        subsets: cases of each subset; of "" where there is no split.
        near: groups of cases that are nearly the same, the first of them.
        more_near: how many further groups there are.
        groups: a CSV of groups that keeps what is nearly the same together; empty if nothing is.
        charts: ``<svg>`` elements.
    """

    report: Report
    place: str
    extremes: Sequence[Shown] = ()
    subsets: Mapping[str, Sequence[Shown]] = field(default_factory=dict)
    near: Sequence[Sequence[Shown]] = ()
    more_near: int = 0
    groups: str = ""
    charts: Sequence[str] = ()


def page(contents: Contents) -> str:
    """The whole page."""
    report = contents.report
    title = escape(f"{report.dataset}: {report.cases} cases")
    sections = [
        _verdict(report),
        _section("What was found", _table(report)),
        _section("Problems to mend", _list(report.problems)) if report.problems else "",
        _section("Worth knowing", _list(report.notes)) if report.notes else "",
        _section("Pixels per class", _shares(report)) if report.shares else "",
        _near(contents) if contents.near else "",
        _section("Extremes", _grid(contents.extremes)) if contents.extremes else "",
        *(
            _section(_subset_title(report, s), _grid(shown))
            for s, shown in contents.subsets.items()
        ),
        _section("Distributions", f'<div class="charts">{"".join(contents.charts)}</div>'),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body>"
        f"<h1>{title}</h1><p>{escape(contents.place)}</p>"
        '<input type="checkbox" id="masks" checked> <label for="masks">Show the masks</label>'
        f'<div class="bar">{_legend(report)}</div>'
        f"<main>{''.join(sections)}</main></body></html>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>\n"


def _verdict(report: Report) -> str:
    kind = "ready" if report.ok else "not-ready"
    return f'<p class="verdict {kind}">{escape(report.verdict)}</p>\n'


def _list(sentences: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in sentences)}</ul>"


def _legend(report: Report) -> str:
    colours = class_colours(max(len(report.classes), 1)).tolist()
    entries = list(zip(report.classes[1:], colours[1:], strict=True))
    if report.unknown:
        entries.append(("unknown", list(UNKNOWN_COLOUR)))
    return "".join(f"{_swatch(colour)}{escape(name)}" for name, colour in entries)


def _swatch(colour: Sequence[int]) -> str:
    return f'<span class="swatch" style="background:rgb({",".join(map(str, colour))})"></span>'


def rows_of(report: Report) -> list[tuple[str, str]]:
    """The report as lines of a table: what, and how much."""
    rows = [
        ("Cases", str(report.cases)),
        ("Sizes (height x width)", _counted(report.sizes)),
        ("Stored as", _counted(report.kinds)),
        ("Split", ", ".join(f"{count} {name}" for name, count in report.split.items()) or "none"),
        ("Groups", str(report.groups) if report.groups else "none given"),
        ("Masks without foreground", str(len(report.without_foreground))),
        ("Equal images", str(sum(map(len, report.duplicates)))),
        ("Images nearly the same", str(sum(map(len, report.near_duplicates)))),
    ]
    if report.objects is not None:
        objects = report.objects
        rows.append(
            (
                "Objects",
                f"{objects.count} in {objects.cases} cases; half of them have "
                f"{number(objects.median)} pixels or less, the smallest {objects.smallest}",
            )
        )
    if report.field_of_view is not None:
        rows.append(("Field of view", f"{100 * report.field_of_view:.1f} % of an image"))
    return rows


def _table(report: Report) -> str:
    lines = (f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows_of(report))
    return f"<table>{''.join(lines)}</table>"


def _counted(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{name}: {count}" for name, count in ordered[:6])
    return shown + (", ..." if len(ordered) > 6 else "") or "none"


def _shares(report: Report) -> str:
    columns = {"all": report.shares, **report.split_shares}
    head = "".join(f'<th class="number">{escape(name)}</th>' for name in columns)
    rows = [
        f"<tr><th>{escape(name)}</th>{''.join(_percent(s[place]) for s in columns.values())}</tr>"
        for place, name in enumerate(report.classes)
    ]
    if report.unknown:
        unknown = (_percent(max(0.0, 1 - sum(shares))) for shares in columns.values())
        rows.append(f"<tr><th>unknown</th>{''.join(unknown)}</tr>")
    return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def _percent(share: float) -> str:
    return f'<td class="number">{100 * share:.2f} %</td>'


def _subset_title(report: Report, subset: str) -> str:
    name = SUBSET_NAMES[subset]
    return f"{name} ({report.split[subset]} cases)" if subset in report.split else name


def _near(contents: Contents) -> str:
    groups = "".join(f'<div class="grid near">{_figures(group)}</div>' for group in contents.near)
    more = f"<p>{contents.more_near} more are not shown.</p>" if contents.more_near else ""
    help = (
        "<details><summary>A file for --groups that keeps them together</summary>"
        f'<textarea rows="12" readonly>{escape(contents.groups)}</textarea></details>'
    )
    return _section("Nearly the same", groups + more + help)


def _grid(shown: Sequence[Shown]) -> str:
    return f'<div class="grid">{_figures(shown)}</div>'


def _figures(shown: Sequence[Shown]) -> str:
    return "".join(_figure(each) for each in shown)


def _figure(shown: Shown) -> str:
    tile = shown.tile
    facts = [f"{tile.height}x{tile.width}"]
    if tile.foreground is not None:
        facts.append(f"foreground {100 * tile.foreground:.1f} %")
    if tile.objects is not None:
        facts.append(f"{tile.objects} objects")
    tags = ", ".join(each for each in (shown.subset, shown.remark) if each)
    name = escape(tile.id)
    mask = "" if tile.mask is None else f'<img class="mask" alt="" src="{data_uri(tile.mask)}">'
    return (
        f'<figure><div class="picture"><img alt="{name}" src="{data_uri(tile.image)}">{mask}</div>'
        f"<figcaption><b>{name}</b>{escape(', '.join(facts))}"
        f"{f' <span class=tag>{escape(tags)}</span>' if tags else ''}</figcaption></figure>"
    )
