"""What a page is made of: sections, and in them blocks that one template knows how to write.

All strings are plain text, which the template escapes; only `nas.report.charts.Svg` is markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

from nas.report.charts import Chart

Look: TypeAlias = Literal["plain", "verdict", "missing", "warning"]


@dataclass(frozen=True)
class Text:
    """Sentences: as a paragraph each, the verdict, what is missing, or what should worry."""

    kind: ClassVar[str] = "text"
    sentences: Sequence[str]
    look: Look = "plain"


@dataclass(frozen=True)
class Card:
    """A figure that a reader looks for first: what it is, the number, and a word on it."""

    name: str
    value: str
    remark: str = ""


@dataclass(frozen=True)
class Cards:
    """Cards side by side."""

    kind: ClassVar[str] = "cards"
    cards: Sequence[Card]


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row is its heading.

    Attributes:
        head: headings of the columns.
        rows: cells of each row, as many as headings.
        caption: below it.
        numbers: whether all columns but the first are numbers.
        marked: which rows stand out.
    """

    kind: ClassVar[str] = "table"
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    numbers: bool = True
    marked: Sequence[int] = ()


@dataclass(frozen=True)
class Charts:
    """Charts side by side; ``small`` ones where there are many alike."""

    kind: ClassVar[str] = "charts"
    charts: Sequence[Chart]
    small: bool = False
    legend: Sequence[tuple[str, str, str]] = ()
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture by its data: URI; ``minimum`` pixels wide, and scrolled where there is less."""

    kind: ClassVar[str] = "picture"
    uri: str
    alt: str
    caption: str = ""
    minimum: int = 0


@dataclass(frozen=True)
class Layer:
    """What lies over the image of a case: a mask by its data: URI; None for the image alone."""

    title: str
    uri: str | None
    remark: str = ""


@dataclass(frozen=True)
class CaseFigure:
    """A case to look at.

    Attributes:
        id: of the case.
        place: ``best``, ``median`` or ``worst``.
        remark: its scores in words.
        image: data: URI.
        height, width: of the picture, in pixels.
        layers: side by side.
    """

    id: str
    place: str
    remark: str
    image: str
    height: int
    width: int
    layers: Sequence[Layer]


@dataclass(frozen=True)
class Viewer:
    """Cases to step through, with a slider for the opacity of the masks.

    Attributes:
        name: unique on the page, a word.
        cases: one or more.
        legend: (name, colour) of the classes, the background left out.
    """

    kind: ClassVar[str] = "viewer"
    name: str
    cases: Sequence[CaseFigure]
    legend: Sequence[tuple[str, str]]
    caption: str = ""


@dataclass(frozen=True)
class Commands:
    """Commands with what each does, one line of a shell each."""

    kind: ClassVar[str] = "commands"
    commands: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Listing:
    """A long text that is folded away behind its title."""

    kind: ClassVar[str] = "listing"
    title: str
    text: str


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    kind: ClassVar[str] = "heading"
    text: str


Block: TypeAlias = Text | Cards | Table | Charts | Picture | Viewer | Commands | Listing | Heading


@dataclass(frozen=True)
class Section:
    """A part of a page; ``id`` is where the page's menu leads."""

    id: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """A whole page.

    Attributes:
        title: of the page.
        subtitle: one line below it.
        badges: (word, whether it is as it should be).
        sections: those without a block are left out.
    """

    title: str
    subtitle: str
    badges: Sequence[tuple[str, bool]] = ()
    sections: Sequence[Section] = field(default_factory=tuple)
