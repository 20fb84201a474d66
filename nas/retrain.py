"""Retraining: a segmenter against a fixed discriminator, or none, on all training images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nas.additions import Curriculum, curriculum_begins
from nas.bilevel import Bilevel, Player, UnrolledStep
from nas.captured import check_capture, updates_of
from nas.criteria import pretraining_criterion, wants_triplets
from nas.data.batches import Batch, Samples
from nas.deviations import label_run
from nas.devices import (
    autocast,
    joined,
    placed,
    resolve_device,
    seed_noise,
    seeded,
    set_threads,
)
from nas.errors import UsageError
from nas.fingerprints import state_hash
from nas.games.adversarial import AdversarialSegmentation, Pressure
from nas.games.nelson_as_coded import NelsonAsCoded, UnclearedGradients
from nas.games.segmentation import Segmentation
from nas.games.table import check_game, new_game
from nas.health import examine
from nas.health_record import HealthRecord, examined_batches
from nas.illustration import Pace, draw_curves, draw_retraining
from nas.networks import PATCH_NETWORKS, build_discriminator, find_genotype
from nas.optimizers import weight_optimizer
from nas.own_genotypes import keep_genotypes, named_networks, with_own_genotypes
from nas.preparation import (
    Data,
    check_unlabelled,
    new_segmenter,
    note_batch_statistics,
    open_data,
    record_data,
    record_machine,
    rehearse,
    standardised,
    take_batch_statistics,
)
from nas.ranks import agreed, count
from nas.rates import EarlyStopping, RateSchedule, check_rates
from nas.relations import Moment, Relations, plays_with_unlabelled
from nas.runs import RunFolder, now
from nas.scoring import validate
from nas.settings import AdversarySettings, GameSettings, RetrainSettings
from nas.specifications import parse_specification
from nas.tracking import Tracker
from nas.training import Training, as_numbers
from nas.training_batches import check_augmentation, check_parts, training_batches
from search_spaces.cell_genotype import CellGenotype
from search_spaces.parametric_genotypes import FlexVGGGenotype

if TYPE_CHECKING:
    from nas.patch_training import PatchStage

AS_CODED = ("adversarial_loss", "cue", "discriminator_steps", "unlabelled_weight", "passes")
"""Settings of the game that have no place in Nelson's code."""

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
    check_settings(settings)
    if settings.run.kernels == "compiled":
        raise UsageError(
            "--kernels compiled is for the relaxed cells of a search; a retraining has none: "
            "leave the option out."
        )
    set_threads(settings.run.threads)
    data = open_data(settings.data, folder if resume else None)
    stage = _new_stage(settings, folder, data)
    if not resume:
        folder.begin(stage.kind, settings)
    with folder.locked():
        record_data(
            folder, data, stage.train_samples, stage.val_samples, unlabelled=stage.unlabelled
        )
        record_machine(folder, stage.train_samples.device)
        label_run(folder, settings)
        folder.record(initial_segmenter=state_hash(stage.game.segmenter))
        keep_genotypes(stage.settings, folder)
        training = Training(stage, folder, settings.run.checkpoint_minutes, settings.run.tracker)
        if resume:
            training.resume()
        training.run()
        draw_curves(folder)
        folder.record(
            finished=now(), seconds=training.position.seconds, health=stage.health.summary()
        )


def _new_stage(
    settings: RetrainSettings, folder: RunFolder, data: Data
) -> RetrainStage | PatchStage:
    if parse_specification(settings.backbone).name not in PATCH_NETWORKS:
        return RetrainStage(settings, folder, data)
    from nas.patch_training import PatchStage

    return PatchStage(settings, folder, data)


def check_settings(settings: RetrainSettings) -> None:
    """Refuse settings that contradict each other.

    Raises:
        UsageError: with what contradicts what.
    """
    training, game = settings.training, settings.game
    check_rates(training)
    check_augmentation(settings.augmentation)
    check_parts(training.batch_size)
    _refuse_one_process_alone(settings)
    _check_capture(settings)
    if named_networks(settings)["discriminator"] != "none":
        check_game(game, training.epochs)
    if game.game != "nelson-as-coded":
        return
    default = GameSettings(game="nelson-as-coded")
    others = [name for name in AS_CODED if getattr(game, name) != getattr(default, name)]
    options = [f"--{name.replace('_', '-')}" for name in others]
    options += ["--clip-norm"] if training.clip_norm else []
    loss = settings.loss
    options += ["--loss"] if loss.loss != "cross_entropy" else []
    options += ["--class-weights"] if loss.class_weights != "none" else []
    options += ["--border-weight"] if loss.border_weight else []
    options += ["--triplet-weight"] if loss.triplet_weight else []
    if options:
        raise UsageError(
            f"--game nelson-as-coded is as it was coded, with --clip-norm 0 and everything else of "
            f"the game and the loss by default: change {', '.join(options)}."
        )


def _refuse_one_process_alone(settings: RetrainSettings) -> None:
    """Refuse several processes where gradients are not sums over the images of a batch."""
    alone = {
        f"--backbone {settings.backbone}": parse_specification(settings.backbone).name
        in PATCH_NETWORKS,
        "--game nelson-as-coded": settings.game.game == "nelson-as-coded",
    }
    for option, wanted in alone.items():
        if wanted and count() > 1:
            raise UsageError(
                f"{option} trains in one process alone, and there are {count()}: start it without "
                "torchrun."
            )


def _check_capture(settings: RetrainSettings) -> None:
    """Refuse captures where there can be none, or where a step is not one of the engine."""
    check_capture(settings.run)
    if settings.run.capture and parse_specification(settings.backbone).name in PATCH_NETWORKS:
        raise UsageError(
            f"--capture is for segmenters of whole images, and --backbone {settings.backbone} is "
            "trained on patches: leave it out."
        )
    if settings.run.capture and settings.game.game == "nelson-as-coded":
        raise UsageError(
            "--capture: --game nelson-as-coded lets gradients pile up from step to step, which a "
            "replay does not: leave --capture out."
        )


class RetrainStage:
    """One retraining, as a stage of training: a pretraining where one is asked for, then the game.

    Where the split has validation images, the segmenter kept for use is the one of the epoch with
    the best mean IoU on them; otherwise that of the last epoch.
    """

    kind = "retrain"

    def __init__(self, settings: RetrainSettings, folder: RunFolder, data: Data) -> None:
        self.settings = settings = with_own_genotypes(settings, folder)
        self.folder = folder
        self.data = data
        self.adversary = resolve_adversary(settings.adversary)
        self.epochs = settings.loss.pretrain_epochs + settings.training.epochs
        device = resolve_device(settings.run.device)
        self.train_samples = data.loaded("train", device)
        self.val_samples = data.loaded("val", device)
        check_validation(settings, len(self.val_samples))
        self.unlabelled = None
        if self.adversary is not None:
            found = data.unlabelled(device)
            check_unlabelled(settings.data, settings.game, found)
            self.unlabelled = found if plays_with_unlabelled(settings.game) else None
        self._relations = Relations(settings.training.adversarial_weight, settings.game)
        self._curriculum = Curriculum(settings.augmentation.curriculum_iou)
        self._stopping = EarlyStopping(settings.training.early_stopping, settings.training.monitor)
        self.game = _new_game(settings, self.adversary, data, self.train_samples, device)
        self._enter(pretraining=settings.loss.pretrain_epochs > 0)
        self.steps = len(self._batches)
        losses = [player.loss for player in new_engine(settings, self.game, device).players]
        rehearse(losses, self.engine.modules, self._batches.batch(0, self.steps - 1))
        self._best = -1.0
        self.health = HealthRecord()
        self.pace = Pace()
        seed_noise(settings.run.seed)

    def _enter(self, pretraining: bool) -> None:
        """Build optimisers and schedules anew, for the pretraining or for the game."""
        settings, samples = self.settings, self.train_samples
        self._pretraining = pretraining
        make, epochs = new_engine, settings.training.epochs
        if pretraining:
            make, epochs = pretraining_engine, settings.loss.pretrain_epochs
        self.engine = make(settings, self.game, samples.device)
        self._updates = updates_of(self.engine, settings.run, samples.device, self._pressure)
        optimizers = list(self.engine.optimizers().values())
        self._schedule = RateSchedule(settings.training, optimizers, epochs)
        self._batches = training_batches(
            settings,
            samples,
            samples.ids,
            "weight batches",
            len(self.data.classes),
            self.unlabelled,
            self._curriculum,
            wants_triplets(settings.loss, pretraining),
        )

    def step(self, epoch: int, step: int) -> dict[str, float]:
        """One step of the segmenter, then those of the discriminator."""
        pretraining = epoch < self.settings.loss.pretrain_epochs
        if pretraining != self._pretraining:
            self._enter(pretraining)
        order = None if pretraining else self._moment(epoch).order
        losses = self._updates.update_weights(self._batches.batch(epoch, step), order)
        return as_numbers({f"{name}_loss": loss for name, loss in losses.items()})

    def _pressure(self) -> Pressure | None:
        return self.game.pressure if isinstance(self.game, AdversarialSegmentation) else None

    def _moment(self, epoch: int) -> Moment:
        """What an epoch of the game asks of both players, who are told."""
        if not isinstance(self.game, AdversarialSegmentation):
            return Moment(Pressure(0.0), 0)
        moment = self._relations.at(epoch + 1 - self.settings.loss.pretrain_epochs)
        self.game.enter(moment.pressure, learns=moment.discriminator_steps > 0)
        return moment

    def finish_epoch(self, epoch: int, tracker: Tracker) -> dict[str, float]:
        """Score on the validation images, examine the discriminator, keep the best, draw."""
        numbers = self._rates(epoch) | self._validate()
        if not self._pretraining:
            numbers |= self._examine(epoch, tracker)
            if numbers.get("mean_iou", 0.0) > self._best or not len(self.val_samples):
                self._best = numbers.get("mean_iou", self._best)
                self._keep_segmenter(epoch)
            self._stopping.after_epoch(numbers.get(self.settings.training.monitor))
        if self._curriculum.after_epoch(numbers.get("foreground_iou")):
            self._tell_curriculum(epoch, tracker)
        self._schedule.after_epoch(numbers.get(self.settings.training.monitor))
        if epoch == 0:
            for sentence in self.data.notes:
                tracker.note(sentence)
            self._warn_of_another_split(tracker)
            self._note_unused_images(tracker)
            note_batch_statistics(self.settings.run, self.engine.modules, tracker)
        draw_retraining(self, epoch, tracker)
        return numbers

    def _tell_curriculum(self, epoch: int, tracker: Tracker) -> None:
        later = self.settings.augmentation.curriculum
        if later:
            tracker.note(curriculum_begins(epoch, self._curriculum, later))

    def _rates(self, epoch: int) -> dict[str, float]:
        """The learning rates and the adversarial weight of the epoch."""
        rates = {
            f"{name}_lr": optimizer.param_groups[0]["lr"]
            for name, optimizer in self.engine.optimizers().items()
        }
        if self._pretraining or not isinstance(self.game, AdversarialSegmentation):
            return rates
        return {**rates, "adversarial_weight": self._moment(epoch).pressure.adversarial}

    def _validate(self) -> dict[str, float]:
        if not len(self.val_samples):
            return {}
        game = self.game
        scores = validate(game.segmenter, game.criterion, self.val_samples, self.data.classes)
        return agreed(scores)

    def _examine(self, epoch: int, tracker: Tracker) -> dict[str, float]:
        """The discriminator's health on some images of the epoch, told where it is out of band."""
        if not self._moment(epoch).is_judged:
            return {}
        assert isinstance(self.game, AdversarialSegmentation)
        health = examine(self.game, examined_batches(self._batches, epoch))
        self.health.take(health, epoch, tracker)
        return health.numbers()

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

    def _note_unused_images(self, tracker: Tracker) -> None:
        aside = len(self.data.put_aside)
        if aside and self.unlabelled is None:
            tracker.note(
                f"{aside} of the training images are not used at all: their masks are put aside by "
                "--unlabelled-images, and nothing here learns from images without masks."
            )

    def _keep_segmenter(self, epoch: int) -> None:
        state = {"weights": self.game.segmenter.state_dict(), "epoch": epoch + 1}
        self.folder.save_checkpoint("segmenter", "segmenter", state)

    def stop_reason(self) -> str | None:
        """The validation images have not improved for as long as the settings allow."""
        return self._stopping.stop_reason()

    def state(self) -> dict[str, Any]:
        """Networks, engine, schedule, and what the validation images have said so far."""
        networks = {"segmenter": self.game.segmenter.state_dict()}
        if isinstance(self.game, AdversarialSegmentation):
            networks["discriminator"] = self.game.discriminator.state_dict()
        return {
            **networks,
            "pretraining": self._pretraining,
            "engine": self.engine.state(),
            "schedule": self._schedule.state(),
            "curriculum": self._curriculum.state(),
            "stopping": self._stopping.state(),
            "health": self.health.state(),
            "best": self._best,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` was taken from."""
        self.game.segmenter.load_state_dict(state["segmenter"])
        if isinstance(self.game, AdversarialSegmentation):
            self.game.discriminator.load_state_dict(state["discriminator"])
        self._enter(state["pretraining"])
        self._schedule.restore(state["schedule"])
        self.engine.restore(state["engine"])
        self._curriculum.restore(state["curriculum"])
        self._stopping.restore(state["stopping"])
        self.health.restore(state["health"])
        self._best = state["best"]


def check_validation(settings: RetrainSettings, images: int) -> None:
    """Refuse settings that watch validation images where there are none.

    Args:
        settings: of the retraining.
        images: number of validation images.

    Raises:
        UsageError: names the option.
    """
    training = settings.training
    watching = {
        "--lr-schedule plateau": training.lr_schedule == "plateau",
        "--early-stopping": training.early_stopping > 0,
        "--curriculum": bool(settings.augmentation.curriculum),
    }
    for option, wanted in watching.items():
        if wanted and not images:
            raise UsageError(
                f"{option} watches validation images, and there are none: set --val-images."
            )


def _new_game(
    settings: RetrainSettings,
    adversary: Adversary | None,
    data: Data,
    samples: Samples,
    device: torch.device,
) -> Segmentation:
    """The segmenter, and the discriminator if there is one, freshly initialised from the seed."""
    channels, classes = data.reader.channels, len(data.classes)
    segmenter = new_segmenter(settings.backbone, channels, classes, settings.run.seed)
    take_batch_statistics(segmenter, settings.run)
    segmenter = placed(standardised(segmenter, settings.data, samples), device)
    discriminator = None
    if adversary is not None:
        with seeded(settings.run.seed, "discriminator"):
            in_channels = classes + channels * adversary.sees_image
            discriminator = build_discriminator(adversary.specification, in_channels).to(device)
        take_batch_statistics(discriminator, settings.run)
    sees_image = adversary is not None and adversary.sees_image
    return new_game(
        segmenter,
        discriminator,
        classes,
        sees_image,
        settings.training.adversarial_weight,
        settings.game,
        settings.loss,
    )


def new_engine(
    settings: RetrainSettings, game: Segmentation, device: torch.device
) -> Bilevel[Batch]:
    """The game without an upper level: one player, or two."""
    training = settings.training
    players = [_player(settings, "segmenter", game.segmenter, game.segmenter_loss)]
    modules = [game.segmenter]
    if isinstance(game, AdversarialSegmentation):
        loss, rate = game.discriminator_loss, training.discriminator_lr
        players.append(_player(settings, "discriminator", game.discriminator, loss, rate))
        modules.append(game.discriminator)
    kind = UnclearedGradients if isinstance(game, NelsonAsCoded) else Bilevel
    return kind(players, [], modules, autocast(settings.run.precision, device), joined())


def pretraining_engine(
    settings: RetrainSettings, game: Segmentation, device: torch.device
) -> Bilevel[Batch]:
    """The segmenter alone on the loss of the pretraining."""
    criterion = pretraining_criterion(settings.loss)

    def loss(batch: Batch) -> Tensor:
        return criterion(game.logits(batch), batch)

    player = _player(settings, "pretraining", game.segmenter, loss)
    context = autocast(settings.run.precision, device)
    return Bilevel([player], [], [game.segmenter], context, joined())


def _player(
    settings: RetrainSettings,
    name: str,
    network: nn.Module,
    loss: Callable[[Batch], Tensor],
    rate: float | None = None,
) -> Player[Batch]:
    training = settings.training
    weights = list(network.parameters())
    rate = rate or training.segmenter_lr
    optimizer = weight_optimizer(training, weights, rate, settings.run.capture)
    clip_norm = training.clip_norm or None
    return Player(name, weights, loss, optimizer, STANDING_STILL, None, clip_norm)
