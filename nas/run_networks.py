"""The networks of a run, ready for use: trained by a retraining, or derived by a search."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

import search_spaces
from nas.devices import seeded
from nas.errors import RunError
from nas.evaluate import load_segmenter
from nas.networks import build_discriminator, read_genotype
from nas.own_genotypes import named_networks, with_own_genotypes
from nas.retrain import resolve_adversary
from nas.runs import RunFolder
from nas.settings import RetrainSettings, SearchSettings
from search_spaces import genotypes
from search_spaces.description import Role


@dataclass(frozen=True)
class RunNetwork:
    """A network of a run, ready for use.

    Attributes:
        role: which of the two networks it is.
        network: in evaluation mode, on the CPU: float (N, in_channels, H, W) to logits.
        in_channels: channels of its input. A discriminator that sees the image gets the channels
            of the map first.
        description: what is to be said of it in its file, by keyword.
    """

    role: Role
    network: nn.Module
    in_channels: int
    description: Mapping[str, str]


def networks_of_retraining(folder: RunFolder) -> dict[Role, RunNetwork]:
    """The trained networks of a retraining.

    The segmenter is the one that was kept for use, the discriminator (where there is one) that of
    the last checkpoint, so that the two need not be of the same epoch.

    Raises:
        RunError: a checkpoint is missing or damaged, or does not fit the settings.
    """
    settings = folder.read_settings(RetrainSettings)
    channels, classes = _channels_and_classes(folder)
    trained = load_segmenter(settings, folder, channels, len(classes), "cpu")
    described = _describe_trained("segmenter", settings, folder, trained.epoch)
    found: dict[Role, RunNetwork] = {
        "segmenter": RunNetwork("segmenter", trained.network, channels, described)
    }
    adversary = resolve_adversary(with_own_genotypes(settings, folder).adversary)
    if adversary is not None:
        in_channels = len(classes) + channels * adversary.sees_image
        state = folder.load_checkpoint("last", "retrain")
        network = _trained_discriminator(adversary.specification, in_channels, state, folder)
        epoch = state["position"]["epoch"]
        described = _describe_trained("discriminator", settings, folder, epoch)
        described["input"] = _input(adversary.sees_image)
        found["discriminator"] = RunNetwork("discriminator", network, in_channels, described)
    return found


def networks_of_search(folder: RunFolder, files: Mapping[Role, Path]) -> dict[Role, RunNetwork]:
    """The networks that a search derived, with fresh weights of the run's seed.

    They are those that a retraining with that seed starts from. The weights of the search do not
    fit them: a relaxed network has its norm layers elsewhere and without scales.

    Args:
        folder: of the search.
        files: the genotype of each network.

    Raises:
        RunError: a genotype cannot be read, or does not say how many channels its input has.
    """
    seed = folder.read_settings(SearchSettings).run.seed
    return {role: _derived(role, path, folder, seed) for role, path in files.items()}


def _derived(role: Role, path: Path, folder: RunFolder, seed: int) -> RunNetwork:
    genotype = read_genotype(path)
    in_channels = genotype.network.in_channels
    if in_channels is None:
        raise RunError(
            f"The genotype {path} does not say how many channels the input has, so its network "
            "cannot be built: add in_channels to its network."
        )
    with seeded(seed, role):
        network = search_spaces.build(genotype).eval()
    described = _describe(role, folder) | {
        "weights": f"fresh, of the seed {seed}",
        "genotype": _genotype_text(genotype),
    }
    if role == "discriminator":
        described["input"] = _input(getattr(genotype.network, "sees_image", False))
    return RunNetwork(role, network, in_channels, described)


def _input(sees_image: bool) -> str:
    return "map+image" if sees_image else "map"


def _trained_discriminator(
    specification: str, in_channels: int, state: dict[str, Any], folder: RunFolder
) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        network = build_discriminator(specification, in_channels)
    try:
        network.load_state_dict(state["stage"]["discriminator"])
    except (RuntimeError, KeyError, TypeError) as error:
        raise RunError(
            f"{folder.checkpoint('last')} does not hold the weights of the discriminator that the "
            "run's settings name."
        ) from error
    return network.eval()


def _channels_and_classes(folder: RunFolder) -> tuple[int, list[str]]:
    trained_on = folder.read_record().get("data")
    if not trained_on:
        raise RunError(f"{folder.record_file} does not say what data the run was trained on.")
    return trained_on["channels"], trained_on["classes"]


def _describe(role: Role, folder: RunFolder) -> dict[str, str]:
    _, classes = _channels_and_classes(folder)
    return {"role": role, "classes": json.dumps(classes, ensure_ascii=False)}


def _describe_trained(
    role: Role, settings: RetrainSettings, folder: RunFolder, epoch: int
) -> dict[str, str]:
    name, mark, options = named_networks(settings)[role].partition("?")
    described = _describe(role, folder) | {
        "network": f"{Path(name).name}{mark}{options}",
        "weights": f"trained, epoch {epoch}",
        "image_size": settings.data.image_size,
    }
    own = folder.own_genotype(role)
    return described | ({"genotype": _genotype_text(read_genotype(own))} if own.exists() else {})


def _genotype_text(genotype: genotypes.Genotype) -> str:
    """The content of the genotype's file without where it comes from, on one line."""
    bare = msgspec.structs.replace(genotype, provenance=None)
    header = {"format": genotypes.FORMAT, "version": genotypes.VERSION}
    return json.dumps({**header, **msgspec.to_builtins(bare)}, ensure_ascii=False)
