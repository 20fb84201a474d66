"""A search leaves alone what it must, refuses what cannot be, and keeps what it found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
import torch

from nas.data.splits import Split
from nas.errors import DataError, UsageError
from nas.preparation import Data
from nas.runs import RunFolder
from nas.search import SearchStage, check_settings, new_game
from nas.settings import (
    ArchitectureSettings,
    RunSettings,
    SearchSettings,
    SpaceSettings,
    TrainingSettings,
)
from nas.tracking import Tracker
from search_spaces import genotypes
from search_spaces.derivation import derive

CPU = torch.device("cpu")


def settings(**changed: Any) -> SearchSettings:
    """A tiny search; ``architecture`` and ``training`` are dicts of what differs."""
    architecture = {"diagnose_every": 0, **changed.pop("architecture", {})}
    training = {"epochs": 4, **changed.pop("training", {})}
    space = {
        "layout": "NR",
        "channels": 2,
        "nodes": 2,
        "operations": ("none", "skip_connect", "max_pool_3x3", "sep_conv_3x3"),
        **changed.pop("space", {}),
    }
    return SearchSettings(
        backbone="unet?width=2&depth=1",
        space=SpaceSettings(**space),
        training=TrainingSettings(**training),
        architecture=ArchitectureSettings(**architecture),
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


def alphas(stage: SearchStage) -> list[torch.Tensor]:
    return snapshot(stage.supernet.alphas())


def test_alpha_rests_in_the_warm_up_and_moves_after(new_stage: Callable[..., SearchStage]) -> None:
    stage = new_stage(architecture={"warmup_epochs": 1})
    before = alphas(stage)
    for step in range(stage.steps):
        numbers = stage.step(0, step)
        assert set(numbers) == {"segmenter_loss", "discriminator_loss"}
    assert equal(alphas(stage), before)
    assert stage._optimizers()["architecture"].state == {}
    numbers = stage.step(1, 0)
    assert set(numbers) == {"segmenter_loss", "discriminator_loss", "architecture_loss"}
    assert not any(torch.equal(new, old) for new, old in zip(alphas(stage), before, strict=True))


def test_an_architecture_step_moves_alpha_alone(new_stage: Callable[..., SearchStage]) -> None:
    stage = new_stage()
    stage.step(0, 0)
    before, random = snapshot(stage.state()), torch.get_rng_state()
    stage._architecture_step(1, stage.weight_batches.batch(0, 1))
    after = stage.state()
    assert torch.equal(torch.get_rng_state(), random)
    for part in ("segmenter", "genotype", "stable_epochs"):
        assert equal(before[part], after[part]), part
    for name in ("segmenter", "discriminator"):
        assert equal(before["optimizers"][name], after["optimizers"][name])
    changed = {
        name
        for name, value in after["discriminator"].items()
        if not torch.equal(value, before["discriminator"][name])
    }
    own = {id(alpha) for alpha in stage.supernet.alphas()}
    expected = {name for name, each in stage.supernet.named_parameters() if id(each) in own}
    assert changed == expected
    assert len(expected) == 2


def test_a_weight_step_leaves_alpha_alone(new_stage: Callable[..., SearchStage]) -> None:
    stage = new_stage()
    before = alphas(stage)
    stage.engine.update_weights(stage.weight_batches.batch(0, 0))
    assert equal(alphas(stage), before)
    assert not stage._optimizers()["architecture"].state


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
    held = {id(each) for each in stage.supernet.state_dict(keep_vars=True).values()}
    assert {id(alpha) for alpha in stage.supernet.alphas()} <= held
    weights = [each for player in stage.engine.players for each in player.weights]
    (group,) = stage.engine.groups
    assert not {id(each) for each in weights} & {id(each) for each in group.alphas}
    networks = [*stage.game.segmenter.parameters(), *stage.supernet.parameters()]
    assert {id(each) for each in [*weights, *group.alphas]} == {id(each) for each in networks}


def test_a_genotype_file_says_where_it_comes_from(new_stage: Callable[..., SearchStage]) -> None:
    stage = new_stage(run={"seed": 5})
    stage.step(0, 0)
    with Tracker(stage.folder) as tracker:
        stage.finish_epoch(0, tracker)
    (path,) = stage.folder.genotype_files()
    assert path.name == "epoch_0001.json"
    genotype = genotypes.read(path)
    provenance = genotype.provenance
    assert provenance is not None
    assert (provenance.epoch, provenance.seed, provenance.dataset) == (1, 5, "discs")
    assert provenance.split_hash == stage.data.split.hash
    assert provenance.settings["space"]["layout"] == "NR"
    assert provenance.created == stage.folder.read_record()["created"]
    assert "torch" in provenance.versions
    assert genotype.relaxation is not None
    again = derive(genotype.relaxation, genotype.network, 2)
    assert genotypes.same_architecture(again, genotype)
    for kind, alpha in zip(("normal", "reduction"), stage.supernet.alphas(), strict=True):
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
        stage.supernet.alphas()[0].mul_(-1)
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
        had.append("second_order_share" in numbers)
        assert ("cosine_discriminator" in numbers) == had[-1]
    assert had == [True, False, False, True]
    assert equal(plain.state(), diagnosed.state())


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
        ({"space": {"operations": ()}}, "--operations"),
        ({"space": {"operations": ("none",)}}, "--operations"),
        ({"space": {"operations": ("conv_7x7", "none")}}, "conv_7x7"),
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
    space = {"layout": "RRRRR", "normalisation": normalisation}
    with pytest.raises(UsageError, match="less deep"):
        new_stage(space=space, training={"batch_size": 1})


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
        game = new_game(settings(**changed), data, CPU)
        return {
            "segmenter": game.segmenter.state_dict(),
            "discriminator": game.discriminator.state_dict(),
        }

    first, second, other = state(run={"seed": 1}), state(run={"seed": 1}), state(run={"seed": 2})
    assert equal(first, second)
    assert not equal(first["segmenter"], other["segmenter"])
    assert not equal(first["discriminator"], other["discriminator"])
    wider = state(run={"seed": 1}, space={"channels": 4})
    assert equal(first["segmenter"], wider["segmenter"])


def test_the_image_is_given_to_the_discriminator_when_asked(
    new_stage: Callable[..., SearchStage],
) -> None:
    stage = new_stage(space={"discriminator_input": "map+image"})
    assert stage.game.sees_image
    stage.step(0, 0)
    assert msgspec.structs.asdict(stage.genotype.network)["sees_image"] is True
