"""Retraining: a segmenter against a fixed discriminator, or none, on all training images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from nas.adversarial import AdversarialSegmentation, Segmentation
from nas.bilevel import Bilevel, Player, UnrolledStep
from nas.data.batches import Batch, Batches
from nas.devices import (
    autocast,
    derived_seed,
    resolve_device,
    seed_noise,
    seeded,
    set_threads,
)
from nas.errors import UsageError
from nas.illustration import draw_curves, draw_retraining
from nas.networks import build_discriminator, find_genotype
from nas.optimizers import weight_optimizer
from nas.own_genotypes import keep_genotypes, named_networks, with_own_genotypes
from nas.preparation import Data, new_segmenter, open_data, record_data, rehearse
from nas.runs import RunFolder, now
from nas.scoring import discriminator_accuracy, score_segmenter
from nas.settings import AdversarySettings, RetrainSettings
from nas.tracking import Tracker
from nas.training import Training
from search_spaces.cell_genotype import CellGenotype
from search_spaces.parametric_genotypes import FlexVGGGenotype

STANDING_STILL = UnrolledStep(rate=0.0)


@dataclass(frozen=True)
class Adversary:
    """The discriminator to train against.

    Attributes:
        specification: its name with options, or its genotype's file.
        sees_image: whether it is given the image beside the map.
    """

    specification: str
    sees_image: bool


def resolve_adversary(settings: AdversarySettings) -> Adversary | None:
    """What the settings name; None for the discriminator ``none``.

    Raises:
        UsageError: nothing was named, or two different things.
        RunError: the genotype cannot be read.
    """
    if settings.genotype is not None and settings.discriminator is not None:
        raise UsageError("Give --genotype or --discriminator, not both: they name the same thing.")
    named = settings.discriminator or (settings.genotype and str(settings.genotype))
    if not named:
        raise UsageError(
            "Say what to train against: --genotype FILE, --discriminator resnet10, or "
            "--discriminator none for the segmenter alone."
        )
    if named == "none":
        if settings.discriminator_input is not None:
            raise UsageError("--discriminator none sees nothing: leave out --discriminator-input.")
        return None
    genotype = find_genotype(named)
    sees_image = (
        isinstance(genotype, CellGenotype | FlexVGGGenotype) and genotype.network.sees_image
    )
    if settings.discriminator_input is not None:
        sees_image = settings.discriminator_input == "map+image"
    return Adversary(named, sees_image)


def run_retraining(settings: RetrainSettings, folder: RunFolder, resume: bool) -> None:
    """Retrain in a run's folder, from the beginning or from its last checkpoint.

    Raises:
        DataError, UsageError, RunError, TrainingError, Interrupted: see `nas.errors`.
    """
    set_threads(settings.run.threads)
    data = open_data(settings.data, folder if resume else None)
    stage = RetrainStage(settings, folder, data)
    if not resume:
        folder.begin(stage.kind, settings)
    with folder.locked():
        record_data(folder, data, stage.train_samples, stage.val_samples)
        folder.record(device=str(stage.train_samples.device), threads=torch.get_num_threads())
        keep_genotypes(stage.settings, folder)
        training = Training(stage, folder, settings.run.checkpoint_minutes)
        if resume:
            training.resume()
        training.run()
        draw_curves(folder)
        folder.record(finished=now(), seconds=training.position.seconds)


class RetrainStage:
    """One retraining, as a stage of training.

    Where the split has validation images, the segmenter kept for use is the one of the epoch with
    the best mean IoU on them; otherwise that of the last epoch.
    """

    kind = "retrain"

    def __init__(self, settings: RetrainSettings, folder: RunFolder, data: Data) -> None:
        self.settings = settings = with_own_genotypes(settings, folder)
        self.folder = folder
        self.data = data
        self.adversary = resolve_adversary(settings.adversary)
        self.epochs = settings.training.epochs
        device = resolve_device(settings.run.device)
        self.train_samples = data.loaded("train", device)
        self.val_samples = data.loaded("val", device)
        seed = derived_seed(settings.run.seed, "weight batches")
        self._batches = Batches(self.train_samples, settings.training.batch_size, seed)
        self.steps = len(self._batches)
        self.game = new_game(settings, self.adversary, data, device)
        self.engine = new_engine(settings, self.game, device)
        rehearse(
            self.engine.players[0].loss, self.engine.modules, self._batches.batch(0, self.steps - 1)
        )
        self._best = -1.0
        seed_noise(settings.run.seed)

    def step(self, epoch: int, step: int) -> dict[str, float]:
        """One step of the segmenter, then one of the discriminator."""
        losses = self.engine.update_weights(self._batches.batch(epoch, step))
        return {f"{name}_loss": loss.item() for name, loss in losses.items()}

    def finish_epoch(self, epoch: int, tracker: Tracker) -> dict[str, float]:
        """Score on the validation images, keep the segmenter if it is the best so far, draw."""
        numbers: dict[str, float] = {}
        validated = len(self.val_samples) > 0
        if isinstance(self.game, AdversarialSegmentation):
            numbers |= discriminator_accuracy(
                self.game,
                self.train_samples,
                self.data.split.train,
                self.settings.training.batch_size,
            )
        if validated:
            scores = score_segmenter(self.game.segmenter, self.val_samples, self.data.classes)
            numbers["mean_iou"] = scores.pooled.iou.mean or 0.0
        if not validated or numbers["mean_iou"] > self._best:
            self._best = numbers.get("mean_iou", self._best)
            self._keep_segmenter(epoch)
        if epoch == 0:
            self._warn_of_another_split(tracker)
        draw_retraining(self, epoch, tracker)
        return numbers

    def _warn_of_another_split(self, tracker: Tracker) -> None:
        for role, specification in named_networks(self.settings).items():
            genotype = find_genotype(specification)
            provenance = genotype.provenance if genotype is not None else None
            if provenance and provenance.split_hash not in (None, self.data.split.hash):
                tracker.note(
                    f"The genotype of the {role} was searched on another split: test images of "
                    "this run may have had a part in its search, and scores on them may be too "
                    "good. Use the search's own split.json by --split for a clean comparison."
                )

    def _keep_segmenter(self, epoch: int) -> None:
        state = {"weights": self.game.segmenter.state_dict(), "epoch": epoch + 1}
        self.folder.save_checkpoint("segmenter", "segmenter", state)

    def stop_reason(self) -> str | None:
        """Nothing ends a retraining early."""
        return None

    def state(self) -> dict[str, Any]:
        """Networks, optimisers and the best validation score."""
        networks = {"segmenter": self.game.segmenter.state_dict()}
        if isinstance(self.game, AdversarialSegmentation):
            networks["discriminator"] = self.game.discriminator.state_dict()
        optimizers = {each.name: each.optimizer.state_dict() for each in self.engine.players}
        return {**networks, "optimizers": optimizers, "best": self._best}

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` was taken from."""
        self.game.segmenter.load_state_dict(state["segmenter"])
        if isinstance(self.game, AdversarialSegmentation):
            self.game.discriminator.load_state_dict(state["discriminator"])
        for player in self.engine.players:
            player.optimizer.load_state_dict(state["optimizers"][player.name])
        self._best = state["best"]


def new_game(
    settings: RetrainSettings, adversary: Adversary | None, data: Data, device: torch.device
) -> Segmentation | AdversarialSegmentation:
    """The segmenter, and the discriminator if there is one, freshly initialised from the seed."""
    channels, classes = data.reader.channels, len(data.classes)
    segmenter = new_segmenter(settings.backbone, channels, classes, settings.run.seed).to(device)
    if adversary is None:
        return Segmentation(segmenter)
    with seeded(settings.run.seed, "discriminator"):
        discriminator = build_discriminator(
            adversary.specification, classes + channels * adversary.sees_image
        )
    return AdversarialSegmentation(
        segmenter,
        discriminator.to(device),
        classes,
        settings.training.adversarial_weight,
        adversary.sees_image,
    )


def new_engine(
    settings: RetrainSettings, game: Segmentation, device: torch.device
) -> Bilevel[Batch]:
    """The game without an upper level: one player, or two."""
    training = settings.training

    def player(name: str, module: torch.nn.Module, loss: Any, rate: float) -> Player[Batch]:
        weights = list(module.parameters())
        optimizer = weight_optimizer(training, weights, rate)
        return Player(name, weights, loss, optimizer, STANDING_STILL, None, training.clip_norm)

    modules = [game.segmenter]
    if isinstance(game, AdversarialSegmentation):
        modules.append(game.discriminator)
        players = [
            player("segmenter", game.segmenter, game.segmenter_loss, training.segmenter_lr),
            player(
                "discriminator",
                game.discriminator,
                game.discriminator_loss,
                training.discriminator_lr,
            ),
        ]
    else:
        players = [
            player("segmenter", game.segmenter, game.segmentation_loss, training.segmenter_lr)
        ]
    return Bilevel(players, [], modules, autocast(settings.run.precision, device))
