"""Training of a network of patches, against a generator or alone (Ayush; Lahiri et al. 2017).

The network tells apart the K classes of patches of annotated images and, as class K + 1, the
patches that a generator makes of noise; the generator is trained to have its patches taken for any
of the K. As a segmenter, the network slides over the image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn

from nas import pictures
from nas.bilevel import Bilevel, Player, UnrolledStep
from nas.data.batches import Samples, in_order
from nas.data.patches import (
    CentresOfClass,
    PatchBatch,
    PatchBatches,
    Patches,
    all_centres,
    draw_patches,
    shares,
)
from nas.devices import autocast, derived_seed, resolve_device, seed_noise, seeded
from nas.errors import UsageError
from nas.generators.deconvolution import Deconvolution
from nas.health_record import HealthRecord
from nas.illustration import SHOWN_CASES, case_sheet, draw_curves, is_drawn
from nas.losses.class_adversarial import classification_loss, generator_loss, unmasking_loss
from nas.losses.pixel_weights import weighted_cross_entropy
from nas.metrics.semantic import confusion_matrices, iou, mean_defined
from nas.modes import modes_kept
from nas.optimizers import weight_optimizer
from nas.own_genotypes import named_networks
from nas.preparation import Data, new_segmenter, standardised
from nas.rates import EarlyStopping, RateSchedule
from nas.retrain import check_validation
from nas.runs import RunFolder
from nas.segmenters.sliding import SlidingClassifier
from nas.settings import AugmentationSettings, GameSettings, LossSettings, RetrainSettings
from nas.standardised import Standardised
from nas.tracking import Tracker
from nas.training import as_numbers

Loss: TypeAlias = Callable[[PatchBatch], Tensor]

SHOWN_PATCHES = 32
COLUMNS = 8

ALARMING_SHARE = 0.5
"""Of annotated patches, taken for fake, from which on the run says so."""


def check_patch_settings(settings: RetrainSettings) -> None:
    """Refuse settings that a training on patches has no use for.

    Raises:
        UsageError: names the option.
    """
    if named_networks(settings)["discriminator"] != "none":
        raise UsageError(
            f"--backbone {settings.backbone} is its own discriminator, and its adversary is "
            "--generator: give --discriminator none."
        )
    others: list[tuple[Any, Any]] = [
        (settings.loss, LossSettings()),
        (settings.game, GameSettings()),
        (settings.augmentation, AugmentationSettings()),
    ]
    for given, default in others:
        for name in given.__struct_fields__:
            if getattr(given, name) != getattr(default, name):
                raise UsageError(
                    f"--{name.replace('_', '-')} is about segmenters that are trained on whole "
                    f"images, and --backbone {settings.backbone} is trained on patches: leave it "
                    "out."
                )


class PatchGame:
    """The network of patches and the generator, if there is one, with their losses.

    Attributes:
        segmenter: the sliding network, perhaps behind a standardisation.
        generator: float (N, Z) noise to patches; None where there is none.
        realness_weight: of -log(1 - p(fake)) on annotated patches, >= 0; published: 0.
        observed: numbers that describe the last pass of `network_loss`.
    """

    def __init__(
        self, segmenter: nn.Module, generator: nn.Module | None, realness_weight: float = 0.0
    ) -> None:
        self.segmenter = segmenter
        self.generator = generator
        self.realness_weight = realness_weight
        self.observed: dict[str, Tensor] = {}

    def logits(self, patches: Tensor) -> Tensor:
        """(N, C, 64, 64) in [0, 1] to logits (N, K + 1), the last that of "fake"."""
        network = self.segmenter
        if isinstance(network, Standardised):
            patches = (patches - network.mean) / network.std
            network = network.network
        return cast(SlidingClassifier, network).patch_logits(patches)

    def generate(self, noise: Tensor) -> Tensor:
        """Patches (N, C, 64, 64) in [0, 1] of noise (N, Z)."""
        assert self.generator is not None
        patches: Tensor = self.generator(noise)
        return patches

    def network_loss(self, batch: PatchBatch) -> Tensor:
        """L_c on annotated patches, and L_adv on as many generated ones.

        With a `realness_weight`, annotated patches are also to be taken for real (Salimans et al.
        2016), which L_c leaves open.
        """
        real = self.logits(batch.patches)
        loss = classification = classification_loss(real, batch.classes)
        right = real[:, :-1].argmax(1) == batch.classes
        self.observed = {
            "classification_loss": classification.detach(),
            "patch_accuracy": right.float().mean(),
        }
        if self.generator is None:
            return loss
        with torch.no_grad():
            generated = self.generate(batch.noise)
        fake = self.logits(generated)
        unmasking = unmasking_loss(fake)
        self.observed |= {
            "unmasking_loss": unmasking.detach(),
            "unmasked": taken_for_fake(fake),
            "real_taken_for_fake": taken_for_fake(real),
        }
        if self.realness_weight:
            loss = loss + self.realness_weight * generator_loss(real)
        return loss + unmasking

    def generator_loss(self, batch: PatchBatch) -> Tensor:
        """L_G on patches of the noise that the network has just met."""
        return generator_loss(self.logits(self.generate(batch.noise)))


def taken_for_fake(logits: Tensor) -> Tensor:
    """Share of patches whose largest logit of (N, K + 1) is that of "fake"; a scalar."""
    return (logits.argmax(1) == logits.shape[1] - 1).float().mean()


class PatchStage:
    """One training of a network of patches, as a stage of training.

    An epoch shows every patch of the training set once. In each step the network moves, then the
    generator. The network kept for use is chosen as `nas.retrain.RetrainStage` chooses a segmenter,
    and kept in the same form.

    The generator is as wide as the network: its last hidden layer has as many channels as the
    network's first. The network's rate is ``segmenter_lr``, the generator's ``discriminator_lr``.
    """

    kind = "retrain"
    unlabelled = None

    def __init__(self, settings: RetrainSettings, folder: RunFolder, data: Data) -> None:
        check_patch_settings(settings)
        self.settings = settings
        self.folder = folder
        self.data = data
        self.epochs = settings.training.epochs
        device = resolve_device(settings.run.device)
        self.train_samples = data.loaded("train", device)
        self.val_samples = data.loaded("val", device)
        check_validation(settings, len(self.val_samples))
        self.centres = _centres(settings, data, self.train_samples)
        self._batches = PatchBatches(
            self.train_samples.batch(self.train_samples.ids).images,
            _draw(settings, self.centres),
            settings.training.batch_size,
            settings.patches.noise,
            derived_seed(settings.run.seed, "patch batches"),
        )
        self.steps = len(self._batches)
        self.game = _new_game(settings, data, self.train_samples, device)
        self.engine = new_engine(settings, self.game, device)
        optimizers = list(self.engine.optimizers().values())
        self._schedule = RateSchedule(settings.training, optimizers, self.epochs)
        self._stopping = EarlyStopping(settings.training.early_stopping, settings.training.monitor)
        self.health = HealthRecord()
        self._told_of_fakes = False
        self._best = -1.0
        seed_noise(settings.run.seed)

    def step(self, epoch: int, step: int) -> dict[str, float]:
        """One step of the network, then one of the generator."""
        losses = self.engine.update_weights(self._batches.batch(epoch, step))
        numbers = {f"{name}_loss": loss for name, loss in losses.items()}
        return as_numbers(numbers | self.game.observed)

    def finish_epoch(self, epoch: int, tracker: Tracker) -> dict[str, float]:
        """Score on the validation images, keep the best, move the learning rates, draw."""
        numbers = {
            f"{name}_lr": optimizer.param_groups[0]["lr"]
            for name, optimizer in self.engine.optimizers().items()
        }
        if len(self.val_samples):
            numbers |= validate(self.game.segmenter, self.val_samples, len(self.data.classes))
        if numbers.get("mean_iou", 0.0) > self._best or not len(self.val_samples):
            self._best = numbers.get("mean_iou", self._best)
            self._keep_segmenter(epoch)
        monitored = numbers.get(self.settings.training.monitor)
        self._stopping.after_epoch(monitored)
        self._schedule.after_epoch(monitored)
        if epoch == 0:
            for sentence in self.data.notes:
                tracker.note(sentence)
            self._tell_repetitions(tracker)
        self._tell_of_fakes(epoch, tracker)
        if is_drawn(epoch, self.epochs):
            self._draw(epoch, tracker)
        return numbers

    def _keep_segmenter(self, epoch: int) -> None:
        state = {"weights": self.game.segmenter.state_dict(), "epoch": epoch + 1}
        self.folder.save_checkpoint("segmenter", "segmenter", state)

    def _tell_repetitions(self, tracker: Tracker) -> None:
        wanted = shares(self.settings.patches.patches, len(self.centres))
        for each, count in zip(self.centres, wanted, strict=True):
            if count > len(each.places):
                tracker.note(
                    f"The training images have {len(each.places)} places for patches of the class "
                    f"{each.name}, and {count} of its patches are asked for: they repeat."
                )

    @torch.no_grad()
    def _tell_of_fakes(self, epoch: int, tracker: Tracker) -> None:
        """Tell, once in a run, that the network takes most annotated patches for fake."""
        if self.game.generator is None or self._told_of_fakes:
            return
        share = taken_for_fake(self.game.logits(self._batches.batch(epoch, 0).patches)).item()
        if share > ALARMING_SHARE:
            self._told_of_fakes = True
            tracker.note(
                f"Epoch {epoch + 1}: the network takes {share:.0%} of the annotated patches for "
                "fake, which the published losses do not forbid. The share of generated patches "
                "that it unmasks says nothing about them as long as real_taken_for_fake is high; "
                "the classes are told apart all the same. --realness-weight 1 forbids it."
            )

    def _draw(self, epoch: int, tracker: Tracker) -> None:
        samples = self.val_samples if len(self.val_samples) else self.train_samples
        ids = samples.ids[:SHOWN_CASES]
        shown = {"cases": case_sheet(self.game.segmenter, samples, self.data.classes, ids)}
        if self.game.generator is not None:
            shown["generated"] = self._generated_sheet()
        for name, picture in shown.items():
            tracker.picture(name, picture, epoch + 1, (epoch + 1) * self.steps)
        draw_curves(self.folder)

    @torch.no_grad()
    def _generated_sheet(self) -> pictures.Picture:
        """Patches of noise that is the same in every epoch, and above them some of the images."""
        seed = derived_seed(self.settings.run.seed, "generated sheet")
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(SHOWN_PATCHES, self.settings.patches.noise, generator=generator)
        generated = self.game.generate(noise.to(self.train_samples.device))
        blocks = {
            "patches of the training images": self._batches.batch(0, 0).patches[:SHOWN_PATCHES],
            "generated patches": generated,
        }
        return patch_sheet({title: block.cpu().numpy() for title, block in blocks.items()})

    def stop_reason(self) -> str | None:
        """The validation images have not improved for as long as the settings allow."""
        return self._stopping.stop_reason()

    def state(self) -> dict[str, Any]:
        """Networks, optimisers, schedule, and what the validation images have said so far."""
        networks = {"segmenter": self.game.segmenter.state_dict()}
        if self.game.generator is not None:
            networks["generator"] = self.game.generator.state_dict()
        return {
            **networks,
            "engine": self.engine.state(),
            "schedule": self._schedule.state(),
            "stopping": self._stopping.state(),
            "told_of_fakes": self._told_of_fakes,
            "best": self._best,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` was taken from."""
        self.game.segmenter.load_state_dict(state["segmenter"])
        if self.game.generator is not None:
            self.game.generator.load_state_dict(state["generator"])
        self._schedule.restore(state["schedule"])
        self.engine.restore(state["engine"])
        self._stopping.restore(state["stopping"])
        self._told_of_fakes = state["told_of_fakes"]
        self._best = state["best"]


def _centres(settings: RetrainSettings, data: Data, samples: Samples) -> list[CentresOfClass]:
    masks = (samples.batch([case]).labels[0].cpu().numpy() for case in samples.ids)
    return all_centres(masks, data.classes, settings.patches.patch_dilation)


def _draw(settings: RetrainSettings, centres: list[CentresOfClass]) -> Patches:
    generator = np.random.default_rng(derived_seed(settings.run.seed, "patches"))
    try:
        return draw_patches(centres, settings.patches.patches, generator)
    except ValueError as error:
        raise UsageError(f"--patches is too small: {error}.") from error


def _new_game(
    settings: RetrainSettings, data: Data, samples: Samples, device: torch.device
) -> PatchGame:
    """Networks freshly initialised from the seed; the one of patches alike with and without."""
    channels, classes = data.reader.channels, len(data.classes)
    segmenter = new_segmenter(settings.backbone, channels, classes, settings.run.seed)
    generator = None
    if settings.patches.generator == "deconvolution":
        with seeded(settings.run.seed, "generator"):
            width = _first_channels(segmenter)
            generator = Deconvolution(settings.patches.noise, channels, width=width).to(device)
    segmenter = standardised(segmenter, settings.data, samples).to(device)
    return PatchGame(segmenter, generator, settings.patches.realness_weight)


def _first_channels(network: nn.Module) -> int:
    return next(each for each in network.modules() if isinstance(each, nn.Conv2d)).out_channels


def new_engine(
    settings: RetrainSettings, game: PatchGame, device: torch.device
) -> Bilevel[PatchBatch]:
    """The game without an upper level: the network, and the generator if there is one."""
    training = settings.training

    def player(name: str, network: nn.Module, loss: Loss, rate: float) -> Player[PatchBatch]:
        weights = list(network.parameters())
        optimizer = weight_optimizer(training, weights, rate)
        standing_still = UnrolledStep(rate=0.0)
        clip_norm = training.clip_norm or None
        return Player(name, weights, loss, optimizer, standing_still, None, clip_norm)

    players = [player("segmenter", game.segmenter, game.network_loss, training.segmenter_lr)]
    modules = [game.segmenter]
    if game.generator is not None:
        rate = training.discriminator_lr
        players.append(player("generator", game.generator, game.generator_loss, rate))
        modules.append(game.generator)
    return Bilevel(players, [], modules, autocast(settings.run.precision, device))


@torch.no_grad()
def validate(segmenter: nn.Module, samples: Samples, classes: int) -> dict[str, float]:
    """Mean IoU of all pixels together, and mean cross-entropy over them, in one pass."""
    total, confusions = 0.0, []
    with modes_kept(segmenter):
        segmenter.eval()
        for batch in in_order(samples, 1):
            logits = segmenter(batch.images)
            total += weighted_cross_entropy(logits, batch.labels, None).item()
            found, truth = logits.argmax(1).cpu().numpy(), batch.labels.cpu().numpy()
            confusions.append(confusion_matrices(found, truth, classes))
    pooled = np.concatenate(confusions).sum(0)
    found = iou(pooled)
    return {
        "mean_iou": float(mean_defined(found)),
        "foreground_iou": float(np.nan_to_num(mean_defined(found[1:]))),
        "val_loss": total / len(samples),
    }


def patch_sheet(blocks: dict[str, np.ndarray]) -> pictures.Picture:
    """Patches in rows of eight, under the title of each block.

    Args:
        blocks: title and (N, C, 64, 64) patches in [0, 1] of each.
    """
    parts = []
    for title, patches in blocks.items():
        shown = [pictures.grey_or_colour(patch) for patch in patches]
        rows = [shown[start : start + COLUMNS] for start in range(0, len(shown), COLUMNS)]
        grid = pictures.stack([pictures.beside(row, gap=2) for row in rows], gap=2)
        parts += [pictures.text_line(title, grid.shape[1]), grid]
    return pictures.stack(parts)
