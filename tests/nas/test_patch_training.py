"""Training on patches: equal starts, who moves whom, what is kept, and that a run comes back."""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import msgspec
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.data.batches import in_order
from nas.data.patches import PatchBatch
from nas.errors import DataError, Interrupted, UsageError
from nas.evaluate import load_segmenter
from nas.patch_training import PatchStage, check_patch_settings, taken_for_fake, validate
from nas.preparation import Data
from nas.retrain import run_retraining
from nas.runs import RunFolder
from nas.scoring import validate as validate_others
from nas.segmenters.sliding import SlidingClassifier
from nas.settings import (
    AdversarySettings,
    AugmentationSettings,
    DataSettings,
    GameSettings,
    LossSettings,
    PatchSettings,
    RetrainSettings,
    RunSettings,
    TrainingSettings,
)
from nas.standardised import Standardised
from nas.tracking import Tracker

BACKBONE = "patches:dc_net?width=2&stride=8"
NewStage = Callable[..., PatchStage]


def make_settings(
    generator: Literal["none", "deconvolution"] = "deconvolution",
    patches: int = 20,
    dilation: int = 3,
    seed: int = 0,
    **others: Any,
) -> RetrainSettings:
    training = {"epochs": 2, "batch_size": 8, **others.pop("training", {})}
    return RetrainSettings(
        **{
            "backbone": BACKBONE,
            "adversary": AdversarySettings(discriminator="none"),
            "training": TrainingSettings(**training),
            "patches": PatchSettings(
                patches=patches, patch_dilation=dilation, generator=generator, noise=6
            ),
            "run": RunSettings(seed=seed, device="cpu", threads=1),
            **others,
        }
    )


@pytest.fixture
def new_stage(tmp_path: Path, discs: Callable[..., Data]) -> NewStage:
    def make(images: Data | None = None, **options: Any) -> PatchStage:
        return PatchStage(make_settings(**options), RunFolder(tmp_path / "run"), images or discs())

    return make


def flat(module: nn.Module | None) -> Tensor:
    assert module is not None
    return torch.cat([each.detach().flatten() for each in module.parameters()]).clone()


def finish(stage: PatchStage, epoch: int, **found: float) -> dict[str, float]:
    """End an epoch; with ``found``, the validation images say that."""
    with (
        patch("nas.patch_training.validate", return_value=found) if found else nullcontext(),
        patch.object(PatchStage, "_draw"),
        Tracker(stage.folder, say=lambda line: None) as tracker,
    ):
        return stage.finish_epoch(epoch, tracker)


def kept_epoch(stage: PatchStage) -> int:
    return int(stage.folder.load_checkpoint("segmenter", "segmenter")["epoch"])


def test_with_and_without_a_generator_all_starts_equal(new_stage: NewStage) -> None:
    first, second = new_stage(generator="none"), new_stage()
    assert first.game.generator is None
    assert torch.equal(flat(first.game.segmenter), flat(second.game.segmenter))
    for one, other in zip(first._batches.batch(1, 2), second._batches.batch(1, 2), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(flat(first.game.segmenter), flat(new_stage(seed=1).game.segmenter))


def test_an_epoch_shows_each_patch_once(new_stage: NewStage) -> None:
    assert new_stage().steps == 3
    assert new_stage(patches=24).steps == 3
    assert new_stage(patches=25).steps == 4


def test_the_simple_network_minimises_its_classification_loss_alone(new_stage: NewStage) -> None:
    stage = new_stage(generator="none")
    batch = stage._batches.batch(0, 0)
    logits = stage.game.logits(batch.patches)
    numbers = stage.step(0, 0)
    expected = functional.cross_entropy(logits[:, :2], batch.classes).item()
    right = (logits[:, :2].argmax(1) == batch.classes).float().mean().item()
    assert numbers == pytest.approx(
        {"segmenter_loss": expected, "classification_loss": expected, "patch_accuracy": right}
    )
    assert "generator" not in stage.state()


def test_losses_of_a_step(new_stage: NewStage) -> None:
    stage = new_stage()
    batch = stage._batches.batch(0, 0)
    generated = stage.game.generate(batch.noise)
    with torch.no_grad():
        fake = stage.game.logits(generated)
    numbers = stage.step(0, 0)
    p_fake = fake.softmax(1)[:, -1]
    assert numbers["unmasking_loss"] == pytest.approx(-p_fake.log().mean().item())
    total = numbers["classification_loss"] + numbers["unmasking_loss"]
    assert numbers["segmenter_loss"] == pytest.approx(total)
    with torch.no_grad():
        moved = stage.game.logits(generated).softmax(1)[:, -1]
    assert numbers["generator_loss"] == pytest.approx(-(1 - moved).log().mean().item())


def test_annotated_patches_may_be_asked_to_be_taken_for_real(new_stage: NewStage) -> None:
    """Salimans et al. 2016: -log(1 - p(fake)) of annotated patches; without it, they need not."""
    game = new_stage().game
    batch = PatchBatch(torch.zeros(2, 1, 64, 64), torch.tensor([0, 1]), torch.zeros(2, 6))
    real = torch.tensor([[0.0, 1.0, 3.0], [0.0, 1.0, -2.0]])
    fake = torch.tensor([[0.0, 1.0, 3.0], [0.0, 1.0, 3.0]])
    found = []
    for weight in (0.0, 0.5):
        game.realness_weight = weight
        with patch.object(game, "logits", side_effect=[real, fake]):
            found.append(game.network_loss(batch))
    p_fake = real.softmax(1)[:, -1]
    expected = -0.5 * (1 - p_fake).log().mean()
    assert torch.allclose(found[1] - found[0], expected)


def test_the_weight_of_realness_is_that_of_the_settings(
    tmp_path: Path, discs: Callable[..., Data]
) -> None:
    patches = PatchSettings(patches=20, noise=6, realness_weight=0.25)
    settings = msgspec.structs.replace(make_settings(), patches=patches)
    stage = PatchStage(settings, RunFolder(tmp_path / "run"), discs())
    assert stage.game.realness_weight == 0.25


def test_shares_are_of_the_right_patches(new_stage: NewStage) -> None:
    game = new_stage().game
    batch = PatchBatch(torch.zeros(4, 1, 64, 64), torch.tensor([0, 1, 1, 1]), torch.zeros(4, 6))
    real = torch.tensor([[0.0, 1.0, 3.0], [0.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 1.0, 0.5]])
    fake = torch.tensor([[0.0, 1.0, 3.0], [0.0, 1.0, 3.0], [1.0, 2.0, 5.0], [0.0, 1.0, 0.5]])
    with patch.object(game, "logits", side_effect=[real, fake]):
        game.network_loss(batch)
    assert game.observed["patch_accuracy"].item() == 0.75
    assert game.observed["real_taken_for_fake"].item() == 0.25
    assert game.observed["unmasked"].item() == 0.75


def test_a_step_is_one_of_adam_for_each_side(new_stage: NewStage) -> None:
    """Both move by their own rate, the generator against the network that has just moved."""
    training = {"segmenter_lr": 1e-3, "discriminator_lr": 2e-2, "clip_norm": 0.0}
    stage, other = new_stage(training=training), new_stage(training=training)
    stage.step(0, 0)
    batch, game = other._batches.batch(0, 0), other.game
    assert game.generator is not None
    for network, loss, rate in (
        (game.segmenter, game.network_loss, 1e-3),
        (game.generator, game.generator_loss, 2e-2),
    ):
        optimizer = torch.optim.Adam(network.parameters(), rate)
        loss(batch).backward()
        optimizer.step()
        for each in (game.segmenter, game.generator):
            each.zero_grad()
    torch.testing.assert_close(flat(stage.game.segmenter), flat(game.segmenter))
    torch.testing.assert_close(flat(stage.game.generator), flat(game.generator))


def test_neither_side_reaches_the_weights_of_the_other(new_stage: NewStage) -> None:
    game = new_stage().game
    batch = new_stage()._batches.batch(0, 0)
    assert game.generator is not None
    game.network_loss(batch).backward()
    assert all(each.grad is None for each in game.generator.parameters())
    assert all(each.grad is not None for each in game.segmenter.parameters())


def test_the_generator_is_as_wide_as_the_network(new_stage: NewStage) -> None:
    game = new_stage(backbone="patches:dc_net?width=3").game
    widths = [each.out_channels for each in _layers(game.generator)]
    assert widths == [24, 12, 6, 3, 1]


def _layers(network: nn.Module | None) -> list[nn.ConvTranspose2d]:
    assert network is not None
    return [each for each in network.modules() if isinstance(each, nn.ConvTranspose2d)]


def test_state_comes_back_and_the_rest_is_the_same(new_stage: NewStage) -> None:
    training = {"lr_schedule": "decay", "lr_every": 2, "early_stopping": 5}
    first, second = new_stage(training=training), new_stage(training=training)
    first.step(0, 0)
    finish(first, 0, mean_iou=0.3)
    first.step(1, 0)
    second.restore(copy.deepcopy(first.state()))
    assert (second._best, second._stopping.best) == (0.3, 0.3)
    assert first.step(1, 1) == second.step(1, 1)
    for epoch, rate in ((1, 1e-4), (2, 0.8e-4)):
        numbers = [finish(stage, epoch, mean_iou=0.2) for stage in (first, second)]
        assert numbers[0] == numbers[1]
        assert numbers[0]["segmenter_lr"] == pytest.approx(rate)
        assert numbers[0]["generator_lr"] == pytest.approx(rate)
    assert first.step(3, 0) == second.step(3, 0)
    for name in ("segmenter", "generator"):
        assert torch.equal(*(flat(getattr(stage.game, name)) for stage in (first, second)))


def test_an_interrupted_run_ends_bit_for_bit_as_if_nothing_happened(
    tmp_path: Path, discs: Callable[..., Data]
) -> None:
    settings = make_settings()
    whole, stopped = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "stopped")
    step = PatchStage.step

    def interrupted(stage: PatchStage, epoch: int, number: int) -> dict[str, float]:
        if (epoch, number) == (1, 1):
            os.kill(os.getpid(), signal.SIGTERM)
        return step(stage, epoch, number)

    with patch("nas.retrain.open_data", return_value=discs()):
        run_retraining(settings, whole, resume=False)
        with patch.object(PatchStage, "step", interrupted), pytest.raises(Interrupted):
            run_retraining(settings, stopped, resume=False)
        run_retraining(settings, stopped, resume=True)
    for name, kind in (("last", "retrain"), ("segmenter", "segmenter")):
        states = [flat_tree(folder.load_checkpoint(name, kind)) for folder in (whole, stopped)]
        assert states[0] == states[1]
    records = [folder.read_metrics() for folder in (whole, stopped)]
    for record in [*records[0], *records[1]]:
        del record["seconds"]
    assert records[0] == records[1]
    assert len(records[0]) == 2


def flat_tree(tree: Any, place: str = "") -> dict[str, Any]:
    """The leaves of a checkpoint by their place, tensors as bytes; times left out."""
    if isinstance(tree, dict):
        parts = [flat_tree(each, f"{place}.{key}") for key, each in tree.items()]
    elif isinstance(tree, (list, tuple)):
        parts = [flat_tree(each, f"{place}[{index}]") for index, each in enumerate(tree)]
    else:
        leaf = tree.numpy().tobytes() if isinstance(tree, Tensor) else tree
        return {} if place.endswith("seconds") else {place: leaf}
    return {name: leaf for part in parts for name, leaf in part.items()}


def test_the_best_epoch_on_the_validation_images_is_kept(new_stage: NewStage) -> None:
    stage, kept = new_stage(), []
    for epoch, value in enumerate([0.0, 0.3, 0.2, 0.3, 0.4]):
        finish(stage, epoch, mean_iou=value)
        kept.append(kept_epoch(stage))
    assert kept == [1, 2, 2, 2, 5]


def test_without_validation_images_the_last_epoch_is_kept(
    new_stage: NewStage, discs: Callable[..., Data]
) -> None:
    stage = new_stage(discs(val=0))
    for epoch in range(2):
        assert "mean_iou" not in finish(stage, epoch)
        assert kept_epoch(stage) == epoch + 1


def test_early_stopping_watches_the_validation_images(new_stage: NewStage) -> None:
    stage = new_stage(training={"early_stopping": 2})
    for epoch, value in enumerate([0.3, 0.2, 0.3]):
        assert stage.stop_reason() is None
        finish(stage, epoch, mean_iou=value)
    reason = stage.stop_reason()
    assert reason is not None
    assert "2 epochs" in reason


@pytest.mark.parametrize("standardise", ["none", "set"])
def test_the_kept_segmenter_is_loaded_as_any_other(
    new_stage: NewStage, standardise: Literal["none", "set"]
) -> None:
    stage = new_stage(data=DataSettings(standardise=standardise))
    for step in range(stage.steps):
        stage.step(0, step)
    finish(stage, 0)
    trained = load_segmenter(stage.settings, stage.folder, 1, 2, "cpu")
    images = next(in_order(stage.val_samples, 2)).images
    with torch.no_grad():
        assert torch.equal(trained.network(images), stage.game.segmenter(images))


def test_patches_are_standardised_as_the_image_is(new_stage: NewStage) -> None:
    stage = new_stage(data=DataSettings(standardise="set"), backbone="patches:dc_net?width=2")
    segmenter = stage.game.segmenter
    assert isinstance(segmenter, Standardised)
    assert segmenter.std.item() < 0.5
    batch = stage._batches.batch(0, 0)
    first = stage._batches.order(0)[0]
    case, row, column = (int(part[first]) for part in stage._batches._patches[:3])
    with torch.no_grad():
        whole = segmenter(stage.train_samples.batch([stage.train_samples.ids[case]]).images)
        alone = stage.game.logits(batch.patches)[0, :2]
    torch.testing.assert_close(whole[0, :, row, column], alone)


def test_validation_is_that_of_other_segmenters(new_stage: NewStage) -> None:
    stage = new_stage()
    segmenter = stage.game.segmenter
    assert isinstance(segmenter, SlidingClassifier)
    found = validate(segmenter, stage.val_samples, 2)

    def criterion(logits: Tensor, batch: Any) -> Tensor:
        return functional.cross_entropy(logits, batch.labels)

    expected = validate_others(segmenter, criterion, stage.val_samples, ("background", "disc"))
    assert {name: found[name] for name in ("mean_iou", "val_loss")} == pytest.approx(
        {name: expected[name] for name in ("mean_iou", "val_loss")}
    )
    assert segmenter.training


def test_pictures_of_cases_and_generated_patches(new_stage: NewStage) -> None:
    stage = new_stage()
    with Tracker(stage.folder, say=lambda line: None) as tracker:
        stage.finish_epoch(0, tracker)
    names = sorted(path.name for path in stage.folder.pictures.glob("*_0001.png"))
    assert names == ["cases_0001.png", "generated_0001.png"]


def test_patches_that_repeat_are_told(new_stage: NewStage) -> None:
    said: list[str] = []
    stage = new_stage(patches=6000)
    with patch.object(PatchStage, "_draw"), Tracker(stage.folder, say=said.append) as tracker:
        stage.finish_epoch(0, tracker)
    assert len(said) == 2
    assert f"{len(stage.centres[1].places)} places for patches of the class disc" in said[1]


def test_a_network_that_takes_everything_for_fake_is_told_of_once(new_stage: NewStage) -> None:
    said: list[str] = []
    stage = new_stage()
    segmenter = stage.game.segmenter
    with patch.object(PatchStage, "_draw"), Tracker(stage.folder, say=said.append) as tracker:
        for epoch, bias in enumerate([-50.0, 50.0, 50.0]):
            with torch.no_grad():
                segmenter.get_parameter("network.head.bias")[2] = bias
            stage.finish_epoch(epoch, tracker)
        again = new_stage()
        again.restore(stage.state())
        again.finish_epoch(3, tracker)
    told = [line for line in said if "for fake" in line]
    assert len(told) == 1
    assert told[0].startswith("Epoch 2: the network takes 100%")


def test_shares_of_patches_taken_for_fake() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 2.0], [0.0, 2.0, 1.0], [0.0, 0.0, 0.1]])
    assert taken_for_fake(logits).item() == 0.5


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"adversary": AdversarySettings(discriminator="resnet10")}, "--discriminator none"),
        ({"adversary": AdversarySettings(genotype=Path("g.json"))}, "--discriminator none"),
        ({"loss": LossSettings(pretrain_epochs=1)}, "--pretrain-epochs"),
        ({"loss": LossSettings(loss="dice")}, "--loss"),
        ({"game": GameSettings(adversarial_loss="hinge")}, "--adversarial-loss"),
        ({"augmentation": AugmentationSettings(flips=("vertical",))}, "--flips"),
    ],
)
def test_what_it_has_no_use_for_is_refused(options: dict[str, Any], word: str) -> None:
    check_patch_settings(make_settings())
    with pytest.raises(UsageError, match=word):
        check_patch_settings(make_settings(**options))


def test_too_few_patches_and_too_wide_a_dilation_are_refused(
    new_stage: NewStage,
) -> None:
    with pytest.raises(UsageError, match="--patches is too small"):
        new_stage(patches=1)
    with pytest.raises(DataError, match="class background"):
        new_stage(dilation=100)


def test_watching_validation_images_needs_some(
    new_stage: NewStage, discs: Callable[..., Data]
) -> None:
    with pytest.raises(UsageError, match="--val-images"):
        new_stage(discs(val=0), training={"early_stopping": 1})
