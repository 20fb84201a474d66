"""A Markdown table of evaluated retrainings: a row per pair of networks and game, over seeds.

    python tools/tabulate_runs.py OUT/seed*/none OUT/seed*/resnet10 OUT/seed*/genotype

Given are the pooled mean IoU on the test images (all classes, and without the background) and the
mean IoU over images, each as mean and range over the runs, and the minutes that training took.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from nas.metrics.semantic import Scores
from nas.own_genotypes import named_networks
from nas.runs import RunFolder
from nas.settings import RetrainSettings

COLUMNS = (
    "segmenter",
    "discriminator",
    "game",
    "runs",
    "mIoU pooled",
    "mIoU foreground",
    "mIoU per image",
    "minutes",
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    print(table([RunFolder.open(path, "retrain") for path in parser.parse_args().runs]))


def table(folders: Sequence[RunFolder]) -> str:
    """Markdown, a row per pair of networks and game in the order in which they come."""
    rows: dict[tuple[str, str, str], list[tuple[float, float, float, float]]] = defaultdict(list)
    for folder in folders:
        rows[method(folder)].append(figures(folder))
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    for names, values in rows.items():
        *shares, minutes = zip(*values, strict=True)
        cells = [in_percent(share) for share in shares]
        lines.append(
            f"| {' | '.join(names)} | {len(values)} | {' | '.join(cells)} | "
            f"{statistics.mean(minutes):.1f} |"
        )
    return "\n".join(lines)


def method(folder: RunFolder) -> tuple[str, str, str]:
    """Segmenter and discriminator of a run, and their game; a genotype's file goes by its name."""
    settings = folder.read_settings(RetrainSettings)
    named = named_networks(settings)
    game = "" if named["discriminator"] == "none" else settings.game.game
    return short_name(named["segmenter"]), short_name(named["discriminator"]), game


def short_name(specification: str) -> str:
    """``runs/mine/s.json`` becomes ``s.json``; a name with options stays as it is."""
    name, mark, options = specification.partition("?")
    return f"{Path(name).name}{mark}{options}"


def figures(folder: RunFolder) -> tuple[float, float, float, float]:
    """Pooled mean IoU, the same without background, mean IoU per image, minutes."""
    path = folder.path / "evaluation" / "test" / "scores.json"
    scores = msgspec.json.decode(path.read_bytes(), type=Scores)
    pooled, per_image = scores.pooled.iou, scores.per_image.iou
    assert pooled.mean is not None
    assert pooled.mean_foreground is not None
    assert per_image.mean is not None
    minutes = folder.read_record()["seconds"] / 60
    return pooled.mean, pooled.mean_foreground, per_image.mean, minutes


def in_percent(shares: Sequence[float]) -> str:
    """Mean, and the range in brackets, in percent."""
    low, middle, high = (100 * f(shares) for f in (min, statistics.mean, max))
    return f"{middle:.1f} [{low:.1f}, {high:.1f}]"


if __name__ == "__main__":
    main()
