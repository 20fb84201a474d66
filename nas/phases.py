"""The phases of a search: which networks are searched at the same time, and against what.

A search of one network has one phase. Two networks are searched in one phase together, or in two:
the segmenter alone, then the discriminator against the derived segmenter with fresh weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

import search_spaces
from nas.bilevel import Bilevel, Group, Player
from nas.data.batches import Batch, Samples
from nas.devices import autocast, joined, placed, seeded
from nas.games.adversarial import AdversarialSegmentation
from nas.games.segmentation import Segmentation
from nas.games.table import new_game
from nas.optimizers import architecture_optimizer, unrolled_step, weight_optimizer
from nas.preparation import Data, new_segmenter, standardised, take_batch_statistics
from nas.products import Product, exact, finite_difference
from nas.settings import ArchitectureSettings, SearchSettings
from nas.supernets import SEARCHED_SEGMENTER, new_supernet, searched_networks, sees_image
from search_spaces.description import Role
from search_spaces.genotypes import Genotype
from search_spaces.supernet import Supernet


def plan(settings: SearchSettings) -> tuple[tuple[Role, ...], ...]:
    """The networks searched in each phase."""
    searched = searched_networks(settings)
    if settings.architecture.schedule == "decoupled":
        return tuple((role,) for role in searched)
    return (searched,)


@dataclass(frozen=True)
class Phase:
    """Networks in training, some of them relaxed.

    Attributes:
        game: the networks and their losses.
        engine: their bilevel problem; its groups are named after the networks searched.
        supernets: the relaxed networks.
    """

    game: Segmentation
    engine: Bilevel[Batch]
    supernets: Mapping[Role, Supernet]

    def genotypes(self) -> dict[Role, Genotype]:
        """What the architecture parameters stand for at present."""
        return {role: supernet.genotype() for role, supernet in self.supernets.items()}

    def state(self) -> dict[str, Any]:
        """Networks (alphas included) and optimisers."""
        return {
            "networks": {name: each.state_dict() for name, each in self._networks().items()},
            "engine": self.engine.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` was taken from."""
        for name, network in self._networks().items():
            network.load_state_dict(state["networks"][name])
        self.engine.restore(state["engine"])

    def _networks(self) -> dict[str, nn.Module]:
        networks = {"segmenter": self.game.segmenter}
        if isinstance(self.game, AdversarialSegmentation):
            networks["discriminator"] = self.game.discriminator
        return networks


def new_phase(
    roles: Sequence[Role],
    settings: SearchSettings,
    data: Data,
    samples: Samples,
    found: Mapping[Role, Genotype],
) -> Phase:
    """A phase with freshly initialised networks.

    Args:
        roles: the networks searched in it.
        settings: of the search.
        data: of the search.
        samples: its labelled images, on the device to compute on.
        found: genotypes that earlier phases have derived.

    Raises:
        UsageError: a network cannot be built.
    """
    channels, classes, device = data.reader.channels, len(data.classes), samples.device
    supernets = {role: new_supernet(role, settings, channels, classes).to(device) for role in roles}
    segmenter = supernets.get("segmenter") or _segmenter(settings, channels, classes, found)
    for network in (segmenter, *supernets.values()):
        take_batch_statistics(network, settings.run)
    game = new_game(
        placed(standardised(segmenter, settings.data, samples), device),
        supernets.get("discriminator"),
        classes,
        sees_image(settings.space),
        settings.training.adversarial_weight,
        settings.game,
        settings.loss,
    )
    return Phase(game, _engine(game, supernets, settings, device), supernets)


def _segmenter(
    settings: SearchSettings, channels: int, classes: int, found: Mapping[Role, Genotype]
) -> nn.Module:
    if settings.backbone != SEARCHED_SEGMENTER:
        return new_segmenter(settings.backbone, channels, classes, settings.run.seed)
    with seeded(settings.run.seed, "derived segmenter"):
        return search_spaces.build(found["segmenter"])


def _engine(
    game: Segmentation,
    supernets: Mapping[Role, Supernet],
    settings: SearchSettings,
    device: torch.device,
) -> Bilevel[Batch]:
    rates = settings.training
    weights = _weights("segmenter", game.segmenter, supernets)
    segmenter = _player("segmenter", weights, game.segmenter_loss, rates.segmenter_lr, settings)
    players = [replace(segmenter, shows=game.shown)]
    modules = [game.segmenter]
    if isinstance(game, AdversarialSegmentation):
        weights = _weights("discriminator", game.discriminator, supernets)
        own = game.discriminator_loss
        players.append(_player("discriminator", weights, own, rates.discriminator_lr, settings))
        modules.append(game.discriminator)
    groups = [
        _group(role, supernet.alphas(), game, settings) for role, supernet in supernets.items()
    ]
    context = autocast(settings.run.precision, device)
    return Bilevel(players, groups, modules, context, joined())


def _weights(
    role: Role, network: nn.Module, supernets: Mapping[Role, Supernet]
) -> list[nn.Parameter]:
    """What a player trains: of a relaxed network all but alpha."""
    return supernets[role].weights() if role in supernets else list(network.parameters())


def _group(
    role: Role, alphas: list[nn.Parameter], game: Segmentation, settings: SearchSettings
) -> Group[Batch]:
    """The alpha of a network, and what it minimises on the architecture half."""
    optimizer = architecture_optimizer(settings.architecture, alphas, settings.run.capture)
    own_loss = role == "discriminator" and settings.architecture.objective == "discriminator"
    if own_loss and isinstance(game, AdversarialSegmentation):
        return Group(role, alphas, game.discriminator_objective, optimizer)
    return Group(role, alphas, game.segmentation_loss, optimizer, depends_on=("segmenter",))


def _player(
    role: Role,
    weights: list[nn.Parameter],
    loss: Callable[[Batch], Tensor],
    rate: float,
    settings: SearchSettings,
) -> Player[Batch]:
    architecture = settings.architecture
    unrolled = 0.0 if architecture.order == "first" else architecture.unrolled_rate
    kept = architecture.product_for in ("both", role)
    return Player(
        role,
        weights,
        loss,
        weight_optimizer(settings.training, weights, rate, settings.run.capture),
        unrolled_step(settings.training, unrolled),
        _product(architecture) if kept else None,
        settings.training.clip_norm or None,
    )


def _product(settings: ArchitectureSettings) -> Product:
    return exact() if settings.product == "exact" else finite_difference(settings.radius)
