"""nas-predict: masks for new images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from msgspec import Struct

from nas.cli.common import check_writable, parse
from nas.cli.common import main as run_command
from nas.errors import UsageError
from nas.runs import RunFolder

COMMAND = "nas-predict"


class Options(Struct, frozen=True, kw_only=True):
    """Write masks for new images with the segmenter of a retraining.

    Each mask has the size of its image and is a palette PNG: its indices are the classes.
    """

    run: tyro.conf.Positional[Path]
    """Folder of the retraining."""

    images: tyro.conf.Positional[tuple[Path, ...]]
    """Images to segment."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("masks")
    """Folder for the masks."""

    overlays: bool = False
    """Also write each image with its mask drawn over it."""

    overwrite: bool = False
    """Replace masks and overlays that exist already."""

    device: str = "auto"
    """auto (CUDA if there is one), cpu, cuda, cuda:1, ..."""

    config: Path | None = None
    """TOML file with these options; those on the command line override it."""


def predict() -> None:
    """Predict, with progress."""
    options = parse(Options, COMMAND)
    if not options.images:
        raise UsageError("Name the images to segment: nas-predict RUN IMAGE... -o masks/.")
    folder = RunFolder.open(options.run, "retrain")
    check_writable(options.out)

    from rich.progress import track

    from nas.predict import predict as predict_images

    written = predict_images(
        folder, options.images, options.out, options.overlays, options.device, options.overwrite
    )
    for _ in track(written, "segmenting", total=len(options.images), transient=True):
        pass
    print(f"Done. Masks in {options.out}: {len(options.images)}")


def main() -> None:
    """Entry point."""
    run_command(COMMAND, predict)


if __name__ == "__main__":
    main()
