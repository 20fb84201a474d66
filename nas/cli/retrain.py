"""nas-retrain: train a segmenter against a discriminator, or none."""

from __future__ import annotations

import shlex

from nas.cli.common import main as run_command
from nas.cli.common import parse_run, prepare_run_folder, refuse_unused, tell_health
from nas.ranks import together
from nas.runs import RunFolder, new_run_path
from nas.settings import RetrainSettings

COMMAND = "nas-retrain"


def retrain() -> None:
    """Retrain, and say what to do next."""
    settings = parse_run(RetrainSettings, COMMAND)
    suggestion = new_run_path("retrain", settings.data.dataset, settings.backbone)

    from nas.deviations import tell
    from nas.retrain import resolve_adversary, run_retraining
    from nas.trackers import tell_results
    from nas.unused import unused_in_retraining

    refuse_unused(unused_in_retraining(settings))
    if not settings.run.resume:
        resolve_adversary(settings.adversary)
    resume = settings.run.resume
    settings, folder = prepare_run_folder(settings, suggestion)
    tell(settings, print)
    run_retraining(settings, folder, resume)
    tell_health(folder)
    tell_results(folder)
    print(f"Done. The segmenter is {folder.checkpoint('segmenter')}")
    print(f"Next: nas-evaluate {shlex.quote(str(folder.path))}{_subset_to_score(folder)}")


def _subset_to_score(folder: RunFolder) -> str:
    """The option that names other images than those for test, where there are none."""
    from nas.data.splits import load_split

    split = load_split(folder.split_file)
    if split.test:
        return ""
    return f" --split {'val' if split.val else 'train'}"


def main() -> None:
    """Entry point."""
    run_command(COMMAND, together(retrain))


if __name__ == "__main__":
    main()
