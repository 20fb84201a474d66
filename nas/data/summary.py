"""A page that shows what data look like: what the check found, pictures, histograms."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.data.check import Report, examine
from nas.data.near_duplicates import groups_table
from nas.data.splits import SUBSETS, Split
from nas.data.summary_album import Album, extremes, spread
from nas.data.summary_charts import curves, histogram, histogram_of_magnitudes
from nas.data.summary_page import Contents, Shown, page
from nas.errors import DataError
from nas.pictures import class_colours
from nas.runs import atomic_write
from nas.settings import DataSettings

GROUPS_SHOWN = 12
CASES_SHOWN = 4
"""Groups of nearly the same images, and cases of each, that the page shows."""
CHANNELS = {1: ("currentColor",), 3: ("#d22", "#292", "#24d")}
OTHER_CHANNELS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#0072b2", "#cc79a7")
INK = "#0072b2"


def summarise(
    settings: DataSettings,
    out: Path,
    pictures: int = 24,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Check the data as `nas.data.check` does, and write a page about it.

    The page is one file of HTML that needs no network: verdict, table, problems and notes, class
    shares of each subset, pictures with the masks over them, and histograms. Each image is decoded
    once.

    Args:
        settings: the data.
        out: file to write; one that is there is replaced.
        pictures: cases to show, extremes among them; images that are nearly the same come on top.
        progress: called with (cases decoded, cases in all) after each case.

    Raises:
        UsageError: the settings are wrong, whatever the data.
        DataError: there is nothing to read.
        RunError: the page cannot be written.
    """
    album = Album()
    examined = examine(settings, progress, album.add)
    report = examined.report
    if not report.cases:
        raise DataError(report.problems[0] if report.problems else "There are no cases.")
    near = report.near_duplicates
    place = {} if examined.split is None else _places(examined.split)
    special = extremes(album, report.without_foreground, pictures // 2)
    contents = Contents(
        report=report,
        place=str(settings.data_root or ""),
        extremes=[Shown(album.tiles[id], place.get(id, ""), what) for id, what in special.items()],
        subsets=_subsets(album, place, special, pictures - len(special)),
        near=_near(report, album, place),
        more_near=max(0, len(near) - GROUPS_SHOWN),
        groups=groups_table(examined.cases, near) if near else "",
        charts=_charts(album, report),
    )
    with atomic_write(out) as stream:
        stream.write(page(contents).encode("utf-8"))
    return out


def _places(split: Split) -> dict[str, str]:
    return {id: subset for subset in SUBSETS for id in split.subset(subset)}


def _subsets(
    album: Album, place: Mapping[str, str], special: Collection[str], count: int
) -> dict[str, list[Shown]]:
    """Cases that are not special, by subset; of "" where there is no split."""
    ids: dict[str, list[str]] = {subset: [] for subset in (*SUBSETS, "")}
    for id in album.tiles:
        if id not in special:
            ids[place.get(id, "")].append(id)
    chosen = spread(ids, count)
    return {subset: [Shown(album.tiles[id]) for id in each] for subset, each in chosen.items()}


def _near(report: Report, album: Album, place: Mapping[str, str]) -> list[list[Shown]]:
    """Groups of nearly the same images, those that the split divides first."""

    def divided(group: tuple[str, ...]) -> bool:
        return len({place.get(id) for id in group}) > 1

    groups = sorted(report.near_duplicates, key=lambda group: not divided(group))
    return [
        [Shown(album.tiles[id], place.get(id, "")) for id in group[:CASES_SHOWN]]
        for group in groups[:GROUPS_SHOWN]
    ]


def _charts(album: Album, report: Report) -> list[str]:
    charts = []
    if album.intensities is not None:
        charts.append(_intensity_chart(album.intensities))
    if len(report.sizes) > 1:
        sides = [max(tile.height, tile.width) for tile in album.tiles.values()]
        charts.append(histogram("Images by their longer side", sides, "px", INK))
    colours = class_colours(max(len(report.classes), 1)).tolist()
    for place, name in enumerate(report.classes[1:], start=1):
        shares = [100 * float(each[place]) for each in album.shares.values()]
        if shares:
            colour = f"rgb({','.join(map(str, colours[place]))})"
            charts.append(histogram(f"Masks by their share of {name}", shares, "%", colour))
    counts = [len(sizes) for sizes in album.object_sizes.values()]
    if any(counts):
        sizes = np.concatenate([*album.object_sizes.values()])
        charts.append(histogram("Images by their number of objects", counts, "", INK))
        charts.append(histogram_of_magnitudes("Objects by their size", sizes, "px", INK))
    return charts


def _intensity_chart(intensities: NDArray[np.int64]) -> str:
    shares = intensities / intensities.sum(axis=1, keepdims=True)
    colours = CHANNELS.get(len(shares), OTHER_CHANNELS)
    lines = {colours[place % len(colours)]: each.tolist() for place, each in enumerate(shares)}
    return curves("Pixels by their intensity", lines, ("0", "0.5", "1"))
