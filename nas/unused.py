"""Settings that say nothing under other settings.

A recipe may hold tables for several spaces and methods; what a command is told in words must count.
So these are refused where they stand on the command line, and passed over in a file.
"""

from __future__ import annotations

from nas.own_genotypes import named_networks
from nas.settings import (
    CellSettings,
    ConcatenationFCNSettings,
    FlexVGGSettings,
    RetrainSettings,
    SearchSettings,
)
from nas.supernets import SEARCHED_SEGMENTER


def unused_in_search(settings: SearchSettings) -> dict[str, str]:
    """The settings of a search without effect, by name, and why."""
    space = settings.space.space
    unused: dict[str, str] = {}
    if space == "none":
        names = ("normalisation", "discriminator_input", "objective")
        why = "is about the discriminator, and --space none has none"
        unused |= dict.fromkeys((*names, "discriminator_lr", "adversarial_weight"), why)
    if space != "cell":
        why = f"is about --space cell, and the space is {space}"
        unused |= dict.fromkeys(CellSettings.__struct_fields__, why)
    if space != "flexvgg":
        why = f"is about --space flexvgg, and the space is {space}"
        unused |= dict.fromkeys(FlexVGGSettings.__struct_fields__, why)
    if settings.backbone != SEARCHED_SEGMENTER:
        why = f"is about --backbone {SEARCHED_SEGMENTER}, and the backbone is {settings.backbone}"
        unused |= dict.fromkeys(ConcatenationFCNSettings.__struct_fields__, why)
    return unused


def unused_in_retraining(settings: RetrainSettings) -> dict[str, str]:
    """The settings of a retraining without effect, by name, and why."""
    if named_networks(settings)["discriminator"] != "none":
        return {}
    why = "is about the discriminator, and --discriminator none has none"
    return dict.fromkeys(("discriminator_lr", "adversarial_weight"), why)
