"""Settings that say nothing under other settings.

A recipe may hold tables for several spaces and methods; what a command is told in words must count.
So these are refused where they stand on the command line, and passed over in a file.
"""

from __future__ import annotations

from collections.abc import Iterable

from nas.networks import PATCH_NETWORKS
from nas.own_genotypes import named_networks
from nas.ranks import count
from nas.scored_epochs import epochs_between
from nas.settings import (
    AugmentationSettings,
    CellSettings,
    ConcatenationFCNSettings,
    DataSettings,
    FlexVGGSettings,
    GameSettings,
    LossSettings,
    PatchSettings,
    RetrainSettings,
    RunSettings,
    SearchSettings,
    TrainingSettings,
)
from nas.supernets import SEARCHED_SEGMENTER


def unused_in_search(settings: SearchSettings) -> dict[str, str]:
    """The settings of a search without effect, by name, and why."""
    space = settings.space.space
    unused = _unused_in_training(settings.training, settings.loss, settings.augmentation)
    why = "is about a retraining: a search neither pretrains nor stops early"
    unused |= dict.fromkeys(("pretrain_epochs", "pretrain_loss", "early_stopping"), why)
    if settings.training.lr_schedule != "plateau":
        unused["monitor"] = "is watched by --lr-schedule plateau alone"
    if epochs_between(settings) != settings.architecture.validate_every:
        why = "leaves epochs out, and --lr-schedule plateau and --curriculum look at every one"
        unused["validate_every"] = why
    if space == "none":
        why = "is about the discriminator, and --space none has none"
        names = ("normalisation", "discriminator_input", "objective", "examine_every")
        unused |= dict.fromkeys(names, why)
        unused |= _without_discriminator(why)
    else:
        unused |= _unused_in_game(settings.game)
    if space != "cell":
        why = f"is about --space cell, and the space is {space}"
        unused |= dict.fromkeys((*CellSettings.__struct_fields__, "verdict", "kernels"), why)
    elif settings.cell.relaxation != "single-path":
        unused["temperature"] = "is about --relaxation single-path, and operations are mixed"
    if space != "flexvgg":
        why = f"is about --space flexvgg, and the space is {space}"
        unused |= dict.fromkeys(FlexVGGSettings.__struct_fields__, why)
    if settings.backbone != SEARCHED_SEGMENTER:
        why = f"is about --backbone {SEARCHED_SEGMENTER}, and the backbone is {settings.backbone}"
        unused |= dict.fromkeys(ConcatenationFCNSettings.__struct_fields__, why)
    return unused | _unused_in_run(settings.run) | _unused_in_data(settings.data)


def unused_in_retraining(settings: RetrainSettings) -> dict[str, str]:
    """The settings of a retraining without effect, by name, and why."""
    unused = _unused_in_training(settings.training, settings.loss, settings.augmentation)
    unused |= _unused_in_run(settings.run)
    if settings.backbone.partition("?")[0] in PATCH_NETWORKS:
        return unused | _unused_on_patches(settings)
    why = f"is about --backbone {', '.join(PATCH_NETWORKS)}; the backbone is {settings.backbone}"
    unused |= dict.fromkeys(PatchSettings.__struct_fields__, why)
    if named_networks(settings)["discriminator"] == "none":
        why = "is about the discriminator, and --discriminator none has none"
        unused |= {"discriminator_input": why, **_without_discriminator(why)}
    else:
        unused |= _unused_in_game(settings.game)
    if not settings.loss.pretrain_epochs:
        unused["pretrain_loss"] = "is about --pretrain-epochs, and there are none"
    return unused | _unused_monitor(settings.training) | _unused_in_data(settings.data)


def _unused_on_patches(settings: RetrainSettings) -> dict[str, str]:
    why = f"is about segmenters of whole images, and --backbone is {settings.backbone}"
    unused = _without_discriminator(why) | {"discriminator_input": why}
    del unused["discriminator_lr"]
    if settings.patches.generator == "none":
        why = "is about the generator, and --generator none has none"
        unused |= dict.fromkeys(("noise", "realness_weight", "discriminator_lr"), why)
    return unused | _unused_monitor(settings.training) | _unused_in_data(settings.data)


def _unused_monitor(training: TrainingSettings) -> dict[str, str]:
    if training.lr_schedule == "plateau" or training.early_stopping:
        return {}
    return {"monitor": "is watched by --lr-schedule plateau and --early-stopping alone"}


def _without_discriminator(why: str) -> dict[str, str]:
    names = (*GameSettings.__struct_fields__, "discriminator_lr", "adversarial_weight")
    return dict.fromkeys((*names, "unlabelled"), why)


def _unused_in_data(data: DataSettings) -> dict[str, str]:
    if data.clahe_clip:
        return {}
    return {"clahe_tiles": "is about --clahe-clip, and that equalises nothing"}


def _unused_in_run(run: RunSettings) -> dict[str, str]:
    return {} if run.capture else {"streams": "is about replays, and there are none but --capture"}


def _unused_in_game(game: GameSettings) -> dict[str, str]:
    unused: dict[str, str] = {}
    if game.cue in ("probabilities", "straight-through"):
        unused["cue_strength"] = f"is about smoothed and noised truths, and --cue is {game.cue}"
    if game.game != "truth-prediction":
        unused["unlabelled_weight"] = f"is about truth-prediction, and --game is {game.game}"
    if not game.unlabelled_weight:
        why = "is about --unlabelled-weight, which is 0"
        unused |= dict.fromkeys(("unlabelled_start", "unlabelled_order"), why)
    return unused


def _unused_in_training(
    training: TrainingSettings, loss: LossSettings, augmentation: AugmentationSettings
) -> dict[str, str]:
    other = {"adam": "sgd_momentum", "sgd": "adam_beta1"}[training.optimizer]
    unused = {other: f"is not about --optimizer {training.optimizer}"}
    unused |= _unused_in_schedule(training.lr_schedule)
    if count() == 1:
        unused["batch_statistics"] = "is about several processes, and there is one"
    triplets = loss.triplet_weight or (loss.pretrain_epochs and loss.pretrain_loss == "triplet")
    if not triplets:
        why = "is about triplets, and neither --triplet-weight nor a pretraining asks for them"
        unused |= dict.fromkeys(("triplets", "triplet_margin", "triplet_positives"), why)
    if not loss.border_weight:
        unused["border_sigma"] = "is about --border-weight, which is 0"
    pretrained = loss.pretrain_epochs and loss.pretrain_loss == "cross_entropy"
    if loss.loss == "dice" and not pretrained:
        why = "weighs the pixels of cross-entropy, and --loss is dice"
        unused |= dict.fromkeys(("class_weights", "border_weight"), why)
    if not augmentation.elastic:
        why = "is about --elastic, which is 0"
        unused |= dict.fromkeys(("elastic_alpha", "elastic_sigma"), why)
    if not augmentation.curriculum:
        unused["curriculum_iou"] = "is about --curriculum, and nothing is kept for later"
    return unused


def _unused_in_schedule(schedule: str) -> dict[str, str]:
    about: dict[str, Iterable[str]] = {
        "lr_factor": ("plateau", "decay"),
        "lr_patience": ("plateau",),
        "lr_every": ("decay",),
        "lr_min": ("plateau", "cosine"),
    }
    return {
        name: f"is about --lr-schedule {' and '.join(schedules)}, and that is {schedule}"
        for name, schedules in about.items()
        if schedule not in schedules
    }
