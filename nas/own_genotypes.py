"""A retraining's own copies of the genotypes it was started with, so that it can always go on."""

from __future__ import annotations

import msgspec

from nas.networks import find_genotype
from nas.runs import RunFolder, unwritable
from nas.settings import RetrainSettings
from search_spaces import genotypes
from search_spaces.description import Role


def named_networks(settings: RetrainSettings) -> dict[Role, str]:
    """The specifications that the settings give of both networks; "none" of a discriminator."""
    adversary = settings.adversary
    named = adversary.discriminator or (adversary.genotype and str(adversary.genotype))
    return {"segmenter": settings.backbone, "discriminator": named or "none"}


def keep_genotypes(settings: RetrainSettings, folder: RunFolder) -> None:
    """Copy the genotypes that the settings name into the run's folder.

    Raises:
        RunError: a genotype cannot be read, or the copy cannot be written.
    """
    if not folder.is_written:
        return
    for role, specification in named_networks(settings).items():
        genotype = find_genotype(specification)
        if genotype is None:
            continue
        path = folder.own_genotype(role)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            genotypes.write(genotype, path)
        except OSError as error:
            raise unwritable(path, error) from error


def with_own_genotypes(settings: RetrainSettings, folder: RunFolder) -> RetrainSettings:
    """The settings with the run's own copies of genotypes, once there is a run that has them."""
    if not folder.settings_file.exists():
        return settings
    named = named_networks(settings)
    if folder.own_genotype("segmenter").exists():
        backbone = _moved(named["segmenter"], folder, "segmenter")
        settings = msgspec.structs.replace(settings, backbone=backbone)
    if folder.own_genotype("discriminator").exists():
        own = _moved(named["discriminator"], folder, "discriminator")
        adversary = msgspec.structs.replace(settings.adversary, genotype=None, discriminator=own)
        settings = msgspec.structs.replace(settings, adversary=adversary)
    return settings


def _moved(specification: str, folder: RunFolder, role: Role) -> str:
    """The specification with the copy in place of the original, its options kept."""
    _, mark, options = specification.partition("?")
    return f"{folder.own_genotype(role)}{mark}{options}"
