"""nas-search: search a discriminator."""

from __future__ import annotations

import shlex

from nas.cli.common import (
    given_settings,
    parse_run,
    prepare_run_folder,
    refuse_unused,
    tell_health,
)
from nas.cli.common import main as run_command
from nas.kernels import kernels_ahead
from nas.ranks import together
from nas.runs import RunFolder, new_run_path
from nas.settings import SearchSettings

COMMAND = "nas-search"


def search() -> None:
    """Search, and say what to do next."""
    settings = parse_run(SearchSettings, COMMAND)
    kernels = kernels_ahead(settings)
    suggestion = new_run_path("search", settings.data.dataset, settings.backbone)

    from nas.search import check_settings, run_search
    from nas.trackers import tell_results
    from nas.unused import unused_in_search

    check_settings(settings)
    refuse_unused(unused_in_search(settings))
    resume = settings.run.resume
    settings, folder = prepare_run_folder(settings, suggestion)
    run_search(settings, folder, resume, given_settings(), kernels=kernels)
    tell_health(folder)
    tell_results(folder)
    say_next(folder)


def say_next(folder: RunFolder) -> None:
    """Where the results are, and the command that derives the genotype."""
    path = shlex.quote(str(folder.path))
    print(f"Done. Genotypes of every epoch: {folder.genotypes}")
    print(f"Next: nas-derive {path} -o {shlex.quote(str(folder.path / 'genotype.json'))}")


def main() -> None:
    """Entry point."""
    run_command(COMMAND, together(search))


if __name__ == "__main__":
    main()
