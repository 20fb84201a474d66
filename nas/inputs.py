"""What a run reads besides its own folder, so that it can travel to another machine."""

from __future__ import annotations

from pathlib import Path

from nas.networks import is_genotype
from nas.settings import RetrainSettings, SearchSettings


def inputs_of(
    settings: RetrainSettings | SearchSettings,
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Files that a run reads: small ones, and data.

    Args:
        settings: of the run, with absolute paths.
    """
    named = [settings.backbone]
    genotypes = []
    if isinstance(settings, RetrainSettings):
        adversary = settings.adversary
        named.append(adversary.discriminator or "")
        genotypes = [adversary.genotype] if adversary.genotype is not None else []
    names = (each.partition("?")[0] for each in named)
    data = settings.data
    small = [path for path in (data.groups, data.split) if path is not None]
    large = [path for path in (data.data_root, data.unlabelled) if path is not None]
    return (*map(Path, filter(is_genotype, names)), *genotypes, *small), tuple(large)
