"""The phases of a search: which networks are searched at the same time, and against what.

A search of one network has one phase. Two networks are searched in one phase together, or in two:
the segmenter alone, then the discriminator against the derived segmenter with fresh weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

import search_spaces
from nas.adversarial import AdversarialSegmentation, Segmentation
from nas.bilevel import Bilevel, Group, Player
from nas.data.batches import Batch
from nas.devices import autocast, seeded
from nas.optimizers import architecture_optimizer, unrolled_step, weight_optimizer
from nas.preparation import Data, new_segmenter
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
            "optimizers": {name: each.state_dict() for name, each in self.optimizers().items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` was taken from."""
        for name, network in self._networks().items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers().items():
            optimizer.load_state_dict(state["optimizers"][name])

    def optimizers(self) -> dict[str, Optimizer]:
        """Those of the weights by their network's name, those of alpha with ``_architecture``."""
        players = {player.name: player.optimizer for player in self.engine.players}
        groups = {f"{group.name}_architecture": group.optimizer for group in self.engine.groups}
        return players | groups

    def _networks(self) -> dict[str, nn.Module]:
        networks = {"segmenter": self.game.segmenter}
        if isinstance(self.game, AdversarialSegmentation):
            networks["discriminator"] = self.game.discriminator
        return networks


def new_phase(
    roles: Sequence[Role],
    settings: SearchSettings,
    data: Data,
    device: torch.device,
    found: Mapping[Role, Genotype],
) -> Phase:
    """A phase with freshly initialised networks.

    Args:
        roles: the networks searched in it.
        settings: of the search.
        data: of the search.
        device: to compute on.
        found: genotypes that earlier phases have derived.

    Raises:
        UsageError: a network cannot be built.
    """
    channels, classes = data.reader.channels, len(data.classes)
    supernets = {role: new_supernet(role, settings, channels, classes).to(device) for role in roles}
    segmenter = supernets.get("segmenter") or _segmenter(settings, channels, classes, found)
    discriminator = supernets.get("discriminator")
    game = _game(segmenter.to(device), discriminator, settings, classes)
    return Phase(game, _engine(game, supernets, settings, device), supernets)


def _segmenter(
    settings: SearchSettings, channels: int, classes: int, found: Mapping[Role, Genotype]
) -> nn.Module:
    if settings.backbone != SEARCHED_SEGMENTER:
        return new_segmenter(settings.backbone, channels, classes, settings.run.seed)
    with seeded(settings.run.seed, "derived segmenter"):
        return search_spaces.build(found["segmenter"])


def _game(
    segmenter: nn.Module, discriminator: nn.Module | None, settings: SearchSettings, classes: int
) -> Segmentation:
    if discriminator is None:
        return Segmentation(segmenter)
    weight = settings.training.adversarial_weight
    return AdversarialSegmentation(
        segmenter, discriminator, classes, weight, sees_image(settings.space)
    )


def _engine(
    game: Segmentation,
    supernets: Mapping[Role, Supernet],
    settings: SearchSettings,
    device: torch.device,
) -> Bilevel[Batch]:
    players, modules = [], [game.segmenter]
    rates = settings.training
    if isinstance(game, AdversarialSegmentation):
        modules.append(game.discriminator)
        players = [
            _player("segmenter", game.segmenter, game.segmenter_loss, rates.segmenter_lr, settings),
            _player(
                "discriminator",
                game.discriminator,
                game.discriminator_loss,
                rates.discriminator_lr,
                settings,
            ),
        ]
    else:
        loss = game.segmentation_loss
        players = [_player("segmenter", game.segmenter, loss, rates.segmenter_lr, settings)]
    groups = [
        _group(role, supernet.alphas(), _objective(role, game, settings.architecture), settings)
        for role, supernet in supernets.items()
    ]
    return Bilevel(players, groups, modules, autocast(settings.run.precision, device))


def _objective(
    role: Role, game: Segmentation, settings: ArchitectureSettings
) -> Callable[[Batch], Tensor]:
    """What the alpha of a network minimises on the architecture half."""
    own_loss = role == "discriminator" and settings.objective == "discriminator"
    if own_loss and isinstance(game, AdversarialSegmentation):
        return game.discriminator_objective
    return game.segmentation_loss


def _group(
    role: Role,
    alphas: list[nn.Parameter],
    objective: Callable[[Batch], Tensor],
    settings: SearchSettings,
) -> Group[Batch]:
    return Group(role, alphas, objective, architecture_optimizer(settings.architecture, alphas))


def _player(
    role: Role,
    network: nn.Module,
    loss: Callable[[Batch], Tensor],
    rate: float,
    settings: SearchSettings,
) -> Player[Batch]:
    architecture = settings.architecture
    weights = network.weights() if isinstance(network, Supernet) else list(network.parameters())
    unrolled = 0.0 if architecture.order == "first" else architecture.unrolled_rate or rate
    kept = architecture.product_for in ("both", role)
    return Player(
        role,
        weights,
        loss,
        weight_optimizer(settings.training, weights, rate),
        unrolled_step(settings.training, unrolled),
        _product(architecture) if kept else None,
        settings.training.clip_norm,
    )


def _product(settings: ArchitectureSettings) -> Product:
    return exact() if settings.product == "exact" else finite_difference(settings.radius)
