"""A search leaves alone what it must, refuses what cannot be, and keeps what it found."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
import torch

from nas.data.batches import Batches
from nas.data.splits import Split
from nas.errors import DataError, Interrupted, UsageError
from nas.phases import new_phase, plan
from nas.preparation import Data
from nas.products import exact, finite_difference
from nas.runs import RunFolder
from nas.search import SearchStage, check_settings, run_search
from nas.settings import (
    ArchitectureSettings,
    AugmentationSettings,
    BudgetSettings,
    CellSettings,
    ConcatenationFCNSettings,
    DataSettings,
    FlexVGGSettings,
    GameSettings,
    RunSettings,
    SearchSettings,
    SpaceSettings,
    TrainingSettings,
)
from nas.supernets import SEARCHED_SEGMENTER
from nas.tracking import Tracker
from search_spaces import genotypes
from search_spaces.derivation import derive
from search_spaces.path_sampling import PathSampler
from search_spaces.supernet import Supernet

CPU = torch.device("cpu")
LOSS = "discriminator_architecture_loss"
TINY_CELLS = {
    "layout": "NR",
    "channels": 2,
    "nodes": 2,
    "operations": ("none", "skip_connect", "max_pool_3x3", "sep_conv_3x3"),
}
TINY_FLEXVGG = {
    "flexvgg_channels": (8,),
    "flexvgg_blocks": (1, 2),
    "flexvgg_depth": (1,),
    "flexvgg_features": (16, 32),
    "flexvgg_linear_depth": (0, 1),
}
TINY_FCN = {
    "fcn_channels": (8, 16),
    "fcn_blocks": (1, 2),
    "fcn_depth": (1,),
    "fcn_taps": (1,),
    "fcn_max_channels": 16,
}


def settings(**changed: Any) -> SearchSettings:
    """A tiny search; the tables of the settings are dicts of what differs."""
    architecture = {"diagnose_every": 0, **changed.pop("architecture", {})}
    training = {"epochs": 4, **changed.pop("training", {})}
    space = SpaceSettings(**changed.pop("space", {}))
    cell = TINY_CELLS if space.space == "cell" else {}
    flexvgg = TINY_FLEXVGG if space.space == "flexvgg" else {}
    backbone = changed.pop("backbone", "unet?width=2&depth=1")
    fcn = TINY_FCN if backbone == SEARCHED_SEGMENTER else {}
    return SearchSettings(
        backbone=backbone,
        space=space,
        cell=CellSettings(**{**cell, **changed.pop("cell", {})}),
        flexvgg=FlexVGGSettings(**{**flexvgg, **changed.pop("flexvgg", {})}),
        concatenation_fcn=ConcatenationFCNSettings(**{**fcn, **changed.pop("fcn", {})}),
        training=TrainingSettings(**training),
        architecture=ArchitectureSettings(**architecture),
        game=GameSettings(**changed.pop("game", {})),
        augmentation=AugmentationSettings(**changed.pop("augmentation", {})),
        run=RunSettings(device="cpu", threads=1, **changed.pop("run", {})),
        **changed,
    )


@pytest.fixture
def new_stage(tmp_path: Path, discs: Callable[..., Data]) -> Callable[..., SearchStage]:
    def make(data: Data | None = None, **changed: Any) -> SearchStage:
        folder = RunFolder(tmp_path / "run")
        chosen = settings(**changed)
        if not folder.settings_file.exists():
            folder.begin("search", chosen)
        return SearchStage(chosen, folder, data or discs(train=7, val=0))

    return make


def test_a_budget_that_is_not_understood_is_refused() -> None:
    with pytest.raises(UsageError, match="--budget 90: '90' is neither a time nor a memory"):
        check_settings(settings(budget=BudgetSettings(budget=("90",))))


def snapshot(tree: Any) -> Any:
    """A copy that later steps do not reach."""
    if isinstance(tree, torch.Tensor):
        return tree.clone()
    if isinstance(tree, dict):
        return {key: snapshot(value) for key, value in tree.items()}
    return [snapshot(value) for value in tree] if isinstance(tree, list | tuple) else tree


def equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return bool(first == second)


def supernet(stage: SearchStage) -> Supernet:
    return stage.phase.supernets["discriminator"]


def alphas(stage: SearchStage) -> list[torch.Tensor]:
    return snapshot(supernet(stage).alphas())


def test_alpha_rests_in_the_warm_up_and_moves_after(new_stage: Callable[..., SearchStage]) -> None:
    stage = new_stage(architecture={"warmup_epochs": 1})
    before = alphas(stage)
    for step in range(stage.steps):
        numbers = stage.step(0, step)
        assert set(numbers) == {"segmenter_loss", "discriminator_loss"}
    assert equal(alphas(stage), before)
    assert stage.engine.optimizers()["discriminator_architecture"].state == {}
    numbers = stage.step(1, 0)
    assert set(numbers) == {"segmenter_loss", "discriminator_loss", LOSS}
    assert not any(torch.equal(new, old) for new, old in zip(alphas(stage), before, strict=True))


def test_an_architecture_step_moves_alpha_alone(new_stage: Callable[..., SearchStage]) -> None:
    stage = new_stage()
    stage.step(0, 0)
    before, random = snapshot(stage.state()), torch.get_rng_state()
    stage._architecture_step(1, stage.weight_batches.batch(0, 1), stage._moment(0))
    after = stage.state()
    assert torch.equal(torch.get_rng_state(), random)
    for part in ("genotypes", "stable_epochs", "phase"):
        assert equal(before[part], after[part]), part
    assert equal(before["networks"]["segmenter"], after["networks"]["segmenter"])
    for name in ("segmenter", "discriminator"):
        assert equal(before["engine"][name], after["engine"][name])
    changed = {
        name
        for name, value in after["networks"]["discriminator"].items()
        if not torch.equal(value, before["networks"]["discriminator"][name])
    }
    own = {id(alpha) for alpha in supernet(stage).alphas()}
    expected = {name for name, each in supernet(stage).named_parameters() if id(each) in own}
    assert changed == expected
    assert len(expected) == 2


def test_a_weight_step_leaves_alpha_alone(new_stage: Callable[..., SearchStage]) -> None:
    stage = new_stage()
    before = alphas(stage)
    stage.engine.update_weights(stage.weight_batches.batch(0, 0))
    assert equal(alphas(stage), before)
    assert not stage.engine.optimizers()["discriminator_architecture"].state


def test_halves_are_disjoint_and_make_up_the_training_images(
    new_stage: Callable[..., SearchStage],
) -> None:
    stage = new_stage()
    weights, architecture = set(stage.weights_half), set(stage.architecture_half)
    assert not weights & architecture
    assert weights | architecture == set(stage.data.split.train)
    assert (len(weights), len(architecture)) == (4, 3)
    batches = [stage.weight_batches.batch(0, step) for step in range(stage.steps)]
    assert {name for batch in batches for name in batch.ids} == weights


@pytest.mark.parametrize(("group", "noted"), [("one animal", True), (None, False)])
def test_a_group_in_both_halves_is_noted(
    new_stage: Callable[..., SearchStage],
    discs: Callable[..., Data],
    group: str | None,
    noted: bool,
) -> None:
    data = discs(train=4)
    cases = tuple(replace(case, group=group) for case in data.reader.cases)
    data = Data(replace(data.reader, cases=cases), data.split, data.size)
    stage = new_stage(data)
    run_epochs(stage, 1)
    path = stage.folder.path / "notes.txt"
    assert (path.exists() and "one animal: images" in path.read_text()) == noted


def test_every_architecture_image_has_its_turn(new_stage: Callable[..., SearchStage]) -> None:
    """Seven images: two weight steps in an epoch, one architecture batch (3 joined) in a round."""
    stage = new_stage(training={"batch_size": 1})
    seen: list[str] = []
    batch_of = stage.architecture_batches.batch

    def watch(epoch: int, step: int) -> Any:
        batch = batch_of(epoch, step)
        seen.extend(batch.ids)
        return batch

    stage.architecture_batches.batch = watch  # type: ignore[method-assign]
    for epoch in range(3):
        for step in range(stage.steps):
            stage.step(epoch, step)
    assert len(seen) == 12
    assert [sorted(seen[start : start + 3]) for start in range(0, 12, 3)] == [
        sorted(stage.architecture_half)
    ] * 4


def test_state_comes_back_and_the_rest_is_the_same(new_stage: Callable[..., SearchStage]) -> None:
    first = new_stage(training={"optimizer": "sgd", "segmenter_lr": 0.01})
    first.step(0, 0)
    state, random = snapshot(first.state()), torch.get_rng_state()
    expected = [first.step(0, 1), first.step(1, 0)]

    second = new_stage(training={"optimizer": "sgd", "segmenter_lr": 0.01})
    second.restore(snapshot(state))
    assert equal(second.state(), state)
    torch.set_rng_state(random)
    assert [second.step(0, 1), second.step(1, 0)] == expected
    assert equal(second.state(), first.state())


def test_state_holds_every_tensor_of_the_search(new_stage: Callable[..., SearchStage]) -> None:
    stage = new_stage()
    held = {id(each) for each in supernet(stage).state_dict(keep_vars=True).values()}
    assert {id(alpha) for alpha in supernet(stage).alphas()} <= held
    weights = [each for player in stage.engine.players for each in player.weights]
    (group,) = stage.engine.groups
    assert not {id(each) for each in weights} & {id(each) for each in group.alphas}
    networks = [*stage.game.segmenter.parameters(), *supernet(stage).parameters()]
    assert {id(each) for each in [*weights, *group.alphas]} == {id(each) for each in networks}


def test_a_genotype_file_says_where_it_comes_from(new_stage: Callable[..., SearchStage]) -> None:
    stage = new_stage(run={"seed": 5})
    stage.step(0, 0)
    with Tracker(stage.folder) as tracker:
        stage.finish_epoch(0, tracker)
    (path,) = stage.folder.genotype_files("discriminator")
    assert path.name == "epoch_0001.json"
    genotype = genotypes.read(path)
    provenance = genotype.provenance
    assert provenance is not None
    assert (provenance.epoch, provenance.seed, provenance.dataset) == (1, 5, "discs")
    assert provenance.split_hash == stage.data.split.hash
    assert provenance.settings["cell"]["layout"] == "NR"
    assert provenance.created == stage.folder.read_record()["created"]
    assert "torch" in provenance.versions
    assert genotype.relaxation is not None
    again = derive(genotype.relaxation, genotype.network, 2)
    assert genotypes.same_architecture(again, genotype)
    for kind, alpha in zip(("normal", "reduction"), supernet(stage).alphas(), strict=True):
        rows = torch.tensor(getattr(genotype.relaxation, kind))
        assert torch.allclose(rows, alpha.detach().to(rows.dtype))


def run_epochs(stage: SearchStage, count: int) -> list[str | None]:
    reasons = []
    with patch("nas.search.draw_search"), Tracker(stage.folder) as tracker:
        for epoch in range(count):
            stage.finish_epoch(epoch, tracker)
            reasons.append(stage.stop_reason())
    return reasons


def test_it_stops_when_the_genotype_has_been_stable(new_stage: Callable[..., SearchStage]) -> None:
    stage = new_stage(architecture={"stable_epochs": 2})
    first, second, *_ = run_epochs(stage, 2)
    assert first is None
    assert second is not None
    assert "2 epochs" in second


def test_a_change_of_the_genotype_counts_from_zero(new_stage: Callable[..., SearchStage]) -> None:
    stage = new_stage(architecture={"stable_epochs": 2})
    assert run_epochs(stage, 1) == [None]
    with torch.no_grad():
        supernet(stage).alphas()[0].mul_(-1)
    assert run_epochs(stage, 2) == [None, None]


def test_epochs_without_alpha_do_not_count_as_stable(
    new_stage: Callable[..., SearchStage],
) -> None:
    stage = new_stage(architecture={"stable_epochs": 1, "warmup_epochs": 2})
    reasons = run_epochs(stage, 3)
    assert reasons[:2] == [None, None]
    assert reasons[2] is not None


def test_stability_is_off_by_default(new_stage: Callable[..., SearchStage]) -> None:
    assert run_epochs(new_stage(), 3) == [None] * 3


def test_diagnosis_comes_every_so_many_steps_and_leaves_no_trace(
    new_stage: Callable[..., SearchStage],
) -> None:
    plain, diagnosed = new_stage(), new_stage(architecture={"diagnose_every": 3})
    had = []
    for epoch, step in ((0, 0), (0, 1), (1, 0), (1, 1)):
        plain.step(epoch, step)
        numbers = diagnosed.step(epoch, step)
        had.append("discriminator_second_order_share" in numbers)
        assert ("discriminator_cosine_discriminator" in numbers) == had[-1]
    assert had == [True, False, False, True]
    assert equal(plain.state(), diagnosed.state())


def test_the_first_epoch_and_the_last_are_examined_and_few_between(
    new_stage: Callable[..., SearchStage],
) -> None:
    stage = new_stage(training={"epochs": 40}, architecture={"examine_every": 50})
    assert stage.steps == 2
    with Tracker(stage.folder, say=lambda line: None) as tracker:
        stage.step(0, 0)
        had = [
            epoch
            for epoch in (0, 1, 23, 24, 25, 39)
            if "real_accuracy" in stage.finish_epoch(epoch, tracker)
        ]
    assert had == [0, 24, 39]
    assert stage.health.summary() is not None and " 3 " in stage.health.summary()


def test_scores_come_every_so_many_epochs_and_change_nothing_else(
    new_stage: Callable[..., SearchStage],
) -> None:
    """The state of a search that is scored after every epoch is the same, every bit."""

    def run(stage: SearchStage) -> list[int]:
        had = []
        with (
            patch("nas.search.draw_search"),
            Tracker(stage.folder, say=lambda line: None) as tracker,
        ):
            for epoch in range(6):
                for step in range(stage.steps):
                    stage.step(epoch, step)
                numbers = stage.finish_epoch(epoch, tracker)
                scores = {"mean_iou", "foreground_iou", "val_loss"} & numbers.keys()
                assert len(scores) in (0, 3)
                had += [epoch + 1] if scores else []
        return had

    seldom, often = (
        new_stage(training={"epochs": 6}, architecture={"validate_every": every})
        for every in (3, 1)
    )
    assert run(seldom) == [1, 3, 6]
    assert run(often) == [1, 2, 3, 4, 5, 6]
    assert equal(seldom.state(), often.state())


def test_a_search_that_stops_early_ends_with_a_score(
    new_stage: Callable[..., SearchStage],
) -> None:
    stage = new_stage(
        training={"epochs": 40}, architecture={"validate_every": 40, "stable_epochs": 3}
    )
    had = []
    with (
        patch("nas.search.draw_search"),
        Tracker(stage.folder, say=lambda line: None) as tracker,
    ):
        while stage.stop_reason() is None:
            had.append("mean_iou" in stage.finish_epoch(len(had), tracker))
    assert had == [True, False, True]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"architecture": {"objective": "segmenter", "order": "first"}}, "--order second"),
        ({"architecture": {"objective": "segmenter", "product_for": "none"}}, "--product-for"),
        ({"architecture": {"order": "first", "product": "exact"}}, "--product"),
        ({"architecture": {"order": "first", "unrolled_rate": 0.1}}, "--unrolled-rate"),
        (
            {"architecture": {"objective": "segmenter", "product_for": "discriminator"}},
            "--product-for",
        ),
        ({"architecture": {"warmup_epochs": 4}}, "--warmup-epochs 4"),
        ({"architecture": {"warmup_epochs": 9}}, "--warmup-epochs 9"),
        ({"cell": {"operations": ()}}, "--operations"),
        ({"cell": {"operations": ("none",)}}, "--operations"),
        ({"cell": {"operations": ("conv_7x7", "none")}}, "conv_7x7"),
    ],
)
def test_settings_that_cannot_search_are_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        check_settings(settings(**changed))
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"architecture": {"warmup_epochs": 3}},
        {"architecture": {"objective": "segmenter", "product_for": "segmenter"}},
        {"architecture": {"order": "first"}},
    ],
)
def test_settings_that_can_are_not(changed: dict[str, Any]) -> None:
    check_settings(settings(**changed))


@pytest.mark.parametrize("normalisation", ["batch", "instance"])
def test_networks_too_deep_for_the_images_are_refused(
    new_stage: Callable[..., SearchStage], normalisation: str
) -> None:
    with pytest.raises(UsageError, match="less deep"):
        new_stage(
            space={"normalisation": normalisation},
            cell={"layout": "RRRRR"},
            training={"batch_size": 1},
        )


def test_one_training_image_is_too_few(
    new_stage: Callable[..., SearchStage], discs: Callable[..., Data]
) -> None:
    data = discs()
    data = Data(data.reader, Split(train=("case0",), val=(), test=("case1",)), data.size)
    with pytest.raises(DataError, match="2 training images"):
        new_stage(data)


def test_networks_start_from_the_seed_alone(discs: Callable[..., Data]) -> None:
    data = discs()

    def state(**changed: Any) -> dict[str, Any]:
        torch.randn(3)
        phase = new_phase(
            ("discriminator",), settings(**changed), data, data.samples("train", CPU), {}
        )
        return phase.state()["networks"]

    first, second, other = state(run={"seed": 1}), state(run={"seed": 1}), state(run={"seed": 2})
    assert equal(first, second)
    assert not equal(first["segmenter"], other["segmenter"])
    assert not equal(first["discriminator"], other["discriminator"])
    wider = state(run={"seed": 1}, cell={"channels": 4})
    assert equal(first["segmenter"], wider["segmenter"])


def test_the_image_is_given_to_the_discriminator_when_asked(
    new_stage: Callable[..., SearchStage],
) -> None:
    stage = new_stage(space={"discriminator_input": "map+image"})
    assert stage.game.sees_image
    stage.step(0, 0)
    assert msgspec.structs.asdict(stage.genotypes["discriminator"].network)["sees_image"] is True


SEGMENTER_ALONE = {"backbone": SEARCHED_SEGMENTER, "space": {"space": "none"}}
JOINT = {"backbone": SEARCHED_SEGMENTER, "space": {"space": "flexvgg"}}
DECOUPLED = {**JOINT, "architecture": {"schedule": "decoupled"}, "training": {"epochs": 2}}


@pytest.mark.parametrize(
    ("changed", "phases"),
    [
        ({}, (("discriminator",),)),
        ({"space": {"space": "flexvgg"}}, (("discriminator",),)),
        (SEGMENTER_ALONE, (("segmenter",),)),
        (JOINT, (("segmenter", "discriminator"),)),
        (DECOUPLED, (("segmenter",), ("discriminator",))),
    ],
)
def test_what_is_searched_when(
    changed: dict[str, Any], phases: tuple[tuple[str, ...], ...]
) -> None:
    assert plan(settings(**changed)) == phases


def test_a_segmenter_alone_has_no_adversary(new_stage: Callable[..., SearchStage]) -> None:
    stage = new_stage(**SEGMENTER_ALONE)
    assert set(stage.step(0, 0)) == {"segmenter_loss", "segmenter_architecture_loss"}
    with Tracker(stage.folder) as tracker:
        numbers = stage.finish_epoch(0, tracker)
    assert "real_accuracy" not in numbers
    (path,) = stage.folder.genotype_files("segmenter")
    genotype = genotypes.read(path)
    assert genotype.space == "concatenation_fcn"
    assert (genotype.network.in_channels, genotype.network.outputs) == (1, 2)
    assert stage.folder.genotype_files("discriminator") == []


def test_a_segmenter_is_searched_by_its_validation_loss(
    new_stage: Callable[..., SearchStage],
) -> None:
    """The objective is the mean cross-entropy on the architecture half at the unrolled weights."""
    stage = new_stage(**SEGMENTER_ALONE, architecture={"order": "first"})
    validation = stage.architecture_batches.batch(0, 0)
    logits = stage.game.segmenter(validation.images).double().log_softmax(dim=1)
    expected = -logits.gather(1, validation.labels[:, None]).mean()
    numbers = stage._architecture_step(0, stage.weight_batches.batch(0, 0), stage._moment(0))
    assert numbers["segmenter_architecture_loss"] == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("space", ["cell", "flexvgg"])
def test_both_alphas_move_in_a_joint_search(
    new_stage: Callable[..., SearchStage], space: str
) -> None:
    stage = new_stage(backbone=SEARCHED_SEGMENTER, space={"space": space})
    before = {role: snapshot(each.alphas()) for role, each in stage.phase.supernets.items()}
    assert set(before) == {"segmenter", "discriminator"}
    numbers = stage.step(0, 0)
    assert {"segmenter_architecture_loss", "discriminator_architecture_loss"} <= set(numbers)
    for role, each in stage.phase.supernets.items():
        searched = [old for old in before[role] if old.numel() > 1]
        moved = [
            not torch.equal(new, old)
            for new, old in zip(each.alphas(), before[role], strict=True)
            if old.numel() > 1
        ]
        assert searched
        assert all(moved), role


def test_no_player_owns_an_alpha_in_a_joint_search(new_stage: Callable[..., SearchStage]) -> None:
    stage = new_stage(**JOINT)
    weights = {id(each) for player in stage.engine.players for each in player.weights}
    alphas_of = {group.name: {id(each) for each in group.alphas} for group in stage.engine.groups}
    assert not weights & (alphas_of["segmenter"] | alphas_of["discriminator"])
    assert not alphas_of["segmenter"] & alphas_of["discriminator"]
    networks = [stage.game.segmenter, stage.phase.supernets["discriminator"]]
    everything = {id(each) for network in networks for each in network.parameters()}
    assert weights | alphas_of["segmenter"] | alphas_of["discriminator"] == everything


def test_a_decoupled_search_derives_the_segmenter_and_starts_anew(
    new_stage: Callable[..., SearchStage],
) -> None:
    stage = new_stage(**DECOUPLED)
    assert stage.epochs == 4
    with patch("nas.search.draw_search"), Tracker(stage.folder) as tracker:
        for epoch in range(2):
            numbers = stage.step(epoch, 0)
            assert "discriminator_loss" not in numbers
            stage.finish_epoch(epoch, tracker)
        found = stage.genotypes["segmenter"]
        trained = snapshot(stage.game.segmenter.state_dict())
        numbers = stage.step(2, 0)
        assert "segmenter_architecture_loss" not in numbers
        assert "discriminator_architecture_loss" in numbers
        stage.finish_epoch(2, tracker)
    assert stage.genotypes["segmenter"] == found
    assert type(stage.game.segmenter).__name__ == "ConcatenationFCNNetwork"
    assert set(trained) != set(stage.game.segmenter.state_dict())
    epochs = {
        role: [path.stem for path in stage.folder.genotype_files(role)]
        for role in ("segmenter", "discriminator")
    }
    assert epochs == {
        "segmenter": ["epoch_0001", "epoch_0002"],
        "discriminator": ["epoch_0003"],
    }


def test_a_stable_segmenter_does_not_end_a_decoupled_search(
    new_stage: Callable[..., SearchStage],
) -> None:
    changed = {**DECOUPLED, "architecture": {"schedule": "decoupled", "stable_epochs": 1}}
    stage = new_stage(**changed)
    assert run_epochs(stage, 2) == [None, None]
    stage.step(2, 0)
    assert stage._stable_epochs == 0


@pytest.mark.parametrize("place", [(1, 0), (2, 0), (2, 1)])
def test_a_decoupled_search_comes_back_in_either_phase(
    new_stage: Callable[..., SearchStage], place: tuple[int, int]
) -> None:
    order = [(epoch, step) for epoch in range(4) for step in range(2)]
    first = new_stage(**DECOUPLED)
    assert first.steps == 2

    def run(stage: SearchStage, places: list[tuple[int, int]]) -> list[dict[str, float]]:
        numbers = []
        for epoch, step in places:
            numbers.append(stage.step(epoch, step))
            if step == 1:
                stage.genotypes |= stage.phase.genotypes()
        return numbers

    split = order.index(place)
    run(first, order[:split])
    state, random = snapshot(first.state()), torch.get_rng_state()
    expected = run(first, order[split:])
    second = new_stage(**DECOUPLED)
    second.restore(snapshot(state))
    assert equal(second.state(), state)
    torch.set_rng_state(random)
    assert run(second, order[split:]) == expected
    assert equal(second.state(), first.state())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"backbone": "search:unet"}, "search:concatenation_fcn"),
        ({"space": {"space": "none"}}, "nothing to search"),
        ({"architecture": {"schedule": "decoupled"}}, "--schedule decoupled"),
        ({**JOINT, "fcn": {"fcn_blocks": (1, 2), "fcn_taps": (2,)}}, "--fcn-..."),
        (
            {**JOINT, "flexvgg": {"flexvgg_features": (12,), "flexvgg_linear_depth": (3,)}},
            "flexvgg",
        ),
        ({**JOINT, "space": {"space": "flexvgg", "normalisation": "spectral"}}, "spectral"),
    ],
)
def test_spaces_that_hold_impossible_networks_are_refused(
    changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        check_settings(settings(**changed))
    assert str(refused.value).endswith(".")


def test_a_conditioned_discriminator_of_pixels_with_hinge_loss_and_unlabelled_images(
    new_stage: Callable[..., SearchStage], discs: Callable[..., Data]
) -> None:
    """What a retraining can play, a search can: these are settings, not another search."""
    data = replace(discs(train=10), settings=DataSettings(unlabelled_images=2))
    stage = new_stage(
        data=data,
        space={"discriminator_input": "map+image", "verdict": "pixel"},
        game={"adversarial_loss": "hinge", "unlabelled_weight": 0.5, "cue": "straight-through"},
        augmentation={"flips": ("horizontal",)},
    )
    before = alphas(stage)
    batch = stage.weight_batches.batch(0, 0)
    assert batch.unlabelled is not None
    real, _ = stage.game.verdicts(batch)
    assert real.shape == (2, 1, 32, 32)
    stage.step(0, 0)
    assert not any(torch.equal(new, old) for new, old in zip(alphas(stage), before, strict=True))
    genotype = stage.phase.genotypes()["discriminator"]
    assert genotype.network.ends == "pixel_discriminator"
    assert genotype.network.sees_image


def test_alpha_rests_until_the_adversarial_training_begins(
    new_stage: Callable[..., SearchStage],
) -> None:
    stage = new_stage(game={"adversarial_start": 2})
    before = alphas(stage)
    assert set(stage.step(0, 0)) == {"segmenter_loss"}
    assert equal(alphas(stage), before)
    assert LOSS in stage.step(1, 0)


def test_the_unrolled_step_follows_the_schedule(new_stage: Callable[..., SearchStage]) -> None:
    stage = new_stage(training={"lr_schedule": "decay", "lr_every": 1, "lr_factor": 0.5})
    player = stage.engine.players[0]
    rate = player.unrolled.present_rate(player.optimizer)
    stage.step(0, 0)
    stage._schedule.after_epoch(0.0)
    assert player.unrolled.present_rate(player.optimizer) == pytest.approx(rate / 2)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"game": {"game": "nelson-as-coded"}}, "retraining for comparison"),
        ({"backbone": "patches:dc_net?width=4"}, "trained on patches"),
        ({"game": {"adversarial_start": 9}}, "--adversarial-start 9"),
        ({"training": {"lr_schedule": "table"}}, "--lr-table"),
        ({"augmentation": {"curriculum": ("elastic",)}}, "--elastic"),
        (
            {
                "game": {
                    "unlabelled_weight": 0.1,
                    "unlabelled_start": 3,
                    "unlabelled_order": "stages",
                },
                "architecture": {"warmup_epochs": 2},
            },
            "nothing would be searched",
        ),
    ],
)
def test_games_that_no_search_can_play_are_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_settings(settings(**changed))


def test_schedule_curriculum_and_health_come_back(new_stage: Callable[..., SearchStage]) -> None:
    options = {
        "training": {"lr_schedule": "plateau", "lr_patience": 1},
        "augmentation": {"elastic": 1.0, "curriculum": ("elastic",), "curriculum_iou": 0.0},
    }
    better = {"mean_iou": 0.5, "foreground_iou": 0.5, "val_loss": 0.5}
    first, second = new_stage(**options), new_stage(**options)
    fresh = snapshot(second.state())
    first.step(0, 0)
    with (
        patch("nas.search.draw_search"),
        patch("nas.search.validate", return_value=better),
        Tracker(first.folder, say=lambda line: None) as tracker,
    ):
        numbers = first.finish_epoch(0, tracker)
    assert numbers["segmenter_lr"] == pytest.approx(1e-4)
    assert numbers["adversarial_weight"] == pytest.approx(0.01)
    assert "curriculum" in (first.folder.path / "notes.txt").read_text()
    state = snapshot(first.state())
    second.restore(snapshot(state))
    restored = second.state()
    for part in ("schedule", "curriculum", "health"):
        assert not equal(state[part], fresh[part]), part
        assert equal(state[part], restored[part]), part


@pytest.mark.parametrize(
    ("monitor", "values", "lowered"),
    [
        ("mean_iou", [0.1, 0.2, 0.3], False),
        ("val_loss", [0.1, 0.2, 0.3], True),
        ("val_loss", [0.3, 0.2, 0.1], False),
    ],
)
def test_a_plateau_watches_what_it_is_told_to(
    new_stage: Callable[..., SearchStage], monitor: str, values: list[float], lowered: bool
) -> None:
    stage = new_stage(
        training={"lr_schedule": "plateau", "lr_patience": 0, "monitor": monitor},
    )
    with (
        patch("nas.search.draw_search"),
        patch("nas.search.validate") as validated,
        Tracker(stage.folder, say=lambda line: None) as tracker,
    ):
        for epoch, value in enumerate(values):
            other = {"mean_iou": 0.0, "foreground_iou": 0.0, "val_loss": 0.0}
            validated.return_value = {**other, monitor: value}
            stage.finish_epoch(epoch, tracker)
    rate = stage.engine.players[0].optimizer.param_groups[0]["lr"]
    assert (rate < 1e-4) == lowered


def test_both_halves_have_unlabelled_images_of_their_own(
    new_stage: Callable[..., SearchStage], discs: Callable[..., Data]
) -> None:
    data = replace(discs(train=10), settings=DataSettings(unlabelled_images=4))
    stage = new_stage(data=data, game={"unlabelled_weight": 0.5})

    def shown(batches: Batches) -> set[float]:
        places = [(epoch, step) for epoch in range(6) for step in range(len(batches))]
        found = [batches.batch(*place).unlabelled for place in places]
        return {round(image.mean().item(), 6) for images in found for image in images}

    weights, architecture = shown(stage.weight_batches), shown(stage.architecture_batches)
    assert len(weights) == len(architecture) == 2
    assert not weights & architecture


def test_the_temperature_of_single_paths_follows_the_epochs(
    new_stage: Callable[..., SearchStage],
) -> None:
    stage = new_stage(cell={"relaxation": "single-path", "temperature": (8.0, 2.0)})
    found = []
    for epoch in range(4):
        stage.step(epoch, 0)
        sampler = supernet(stage).sampler
        assert isinstance(sampler, PathSampler)
        found.append(sampler.temperature)
        assert stage._rates(epoch)["discriminator_temperature"] == found[-1]
    assert found == pytest.approx([8, 6, 4, 2])
    assert "discriminator_temperature" not in new_stage()._rates(0)


def test_the_noise_of_a_finite_difference_is_one_path(
    new_stage: Callable[..., SearchStage],
) -> None:
    """At a tiny radius it is the exact product but for rounding; two paths would be far apart."""
    stage = new_stage(
        cell={"relaxation": "single-path"},
        training={"segmenter_lr": 0.1, "discriminator_lr": 0.1, "adversarial_weight": 1.0},
    )
    stage.game.segmenter.double()
    stage.game.discriminator.double()
    (group,) = stage.engine.groups
    train, validation = (
        batches.batch(0, 0) for batches in (stage.weight_batches, stage.architecture_batches)
    )
    train, validation = (b._replace(images=b.images.double()) for b in (train, validation))
    found = []
    for product in (exact(), finite_difference(1e-7)):
        engine = stage.engine.with_product(product)
        torch.manual_seed(2)
        found.append(engine.hypergradient(group, train, validation))
    for name, term in found[0].indirect.items():
        for one, other in zip(term, found[1].indirect[name], strict=True):
            assert (one - other).norm() <= 0.05 * one.norm()
    assert any(float(part.norm()) > 0 for term in found[0].indirect.values() for part in term)


@pytest.mark.parametrize("cell", [{"relaxation": "single-path"}, {"partial_channels": 2}])
def test_a_resumed_search_ends_bit_for_bit_as_if_nothing_happened(
    tmp_path: Path, discs: Callable[..., Data], cell: dict[str, Any]
) -> None:
    chosen = settings(training={"epochs": 3}, cell={"channels": 4, **cell})
    whole, stopped = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "stopped")
    step = SearchStage.step

    def interrupted(stage: SearchStage, epoch: int, number: int) -> dict[str, float]:
        if (epoch, number) == (1, 1):
            os.kill(os.getpid(), signal.SIGTERM)
        return step(stage, epoch, number)

    with (
        patch("nas.search.open_data", return_value=discs(train=7, val=0)),
        patch("nas.search.draw_search"),
        patch("nas.search.draw_architecture_over_epochs"),
    ):
        run_search(chosen, whole, resume=False)
        with patch.object(SearchStage, "step", interrupted), pytest.raises(Interrupted):
            run_search(chosen, stopped, resume=False)
        run_search(chosen, stopped, resume=True)
    networks = [
        folder.load_checkpoint("last", "search")["stage"]["networks"] for folder in (whole, stopped)
    ]
    assert equal(*networks)
    assert genotypes.read(whole.genotype_files("discriminator")[-1]).relaxation is not None


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ({"partial_channels": 2, "relaxation": "single-path", "channels": 8}, "mixes none"),
        ({"partial_channels": 4, "channels": 6}, "--channels that it divides"),
        ({"partial_channels": 4, "channels": 4}, "such as 8, 16; they are 4"),
        ({"temperature": (0.1, 10.0)}, "rises from the first epoch"),
    ],
)
def test_relaxations_that_cannot_be_are_refused(cell: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_settings(settings(cell=cell))


def test_a_search_refuses_kernels_that_there_are_not() -> None:
    with pytest.raises(UsageError, match="--kernels compiled cannot be: .*--precision fp32"):
        check_settings(
            settings(cell={"channels": 16}, run={"kernels": "compiled", "precision": "bf16"})
        )


def test_what_computes_the_cells_is_told_and_kept(
    tmp_path: Path, discs: Callable[..., Data]
) -> None:
    folder, told = RunFolder(tmp_path / "run"), list[str]()
    chosen = settings(training={"epochs": 1})
    chosen = msgspec.structs.replace(
        chosen, run=msgspec.structs.replace(chosen.run, kernels="torch", capture=True)
    )
    with (
        patch("nas.search.open_data", return_value=discs(train=7, val=0)),
        patch("nas.search.draw_search"),
        patch("nas.search.draw_architecture_over_epochs"),
        patch("search_spaces.kernel_choice._POLICY"),
    ):
        run_search(chosen, folder, resume=False, say=told.append)
    assert "Relaxed cell: plain PyTorch, as was asked for." in told
    assert folder.read_record()["kernels"] == "relaxed cell: plain PyTorch, as was asked for"
    (captured,) = (line for line in told if "captured" in line)
    assert "10 of each kind are taken as ever" in captured
