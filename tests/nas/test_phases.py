"""What the engine is told of the networks of a phase is so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from nas.gradients import slopes_if_any
from nas.phases import Phase, new_phase, plan
from nas.preparation import Data
from nas.settings import (
    ArchitectureSettings,
    CellSettings,
    ConcatenationFCNSettings,
    RunSettings,
    SearchSettings,
)
from nas.supernets import SEARCHED_SEGMENTER
from search_spaces.genotypes import Genotype

CELL = CellSettings(
    layout="R", channels=2, nodes=1, operations=("none", "skip_connect", "sep_conv_3x3")
)
FCN = ConcatenationFCNSettings(
    fcn_channels=(8, 16), fcn_blocks=(1, 2), fcn_depth=(1,), fcn_taps=(1,), fcn_max_channels=16
)


@pytest.fixture
def phase_of(discs: Callable[..., Data]) -> Callable[..., tuple[Phase, Any, Any]]:
    """A phase of a joint search, and two batches."""

    def make(objective: str = "discriminator") -> tuple[Phase, Any, Any]:
        settings = SearchSettings(
            backbone=SEARCHED_SEGMENTER,
            cell=CELL,
            concatenation_fcn=FCN,
            architecture=ArchitectureSettings(objective=objective),
            run=RunSettings(device="cpu"),
        )
        data = discs()
        samples = data.loaded("train", torch.device("cpu"))
        found: dict[Any, Genotype] = {}
        phase = new_phase(plan(settings)[0], settings, data, samples, found)
        ids = samples.ids
        return phase, samples.batch(ids[:2]), samples.batch(ids[2:])

    return make


@pytest.mark.parametrize("objective", ["discriminator", "segmenter"])
def test_an_objective_depends_on_the_players_it_is_said_to(
    phase_of: Callable[..., tuple[Phase, Any, Any]], objective: str
) -> None:
    phase, batch, _ = phase_of(objective)
    assert [group.name for group in phase.engine.groups] == ["segmenter", "discriminator"]
    for group in phase.engine.groups:
        for player in phase.engine.players:
            slopes = slopes_if_any(group.objective(batch), player.weights)
            assert group.sees(player) == any(slope is not None for slope in slopes)


def test_the_passes_of_a_joint_step(
    phase_of: Callable[..., tuple[Phase, Any, Any]],
) -> None:
    phase, train, validation = phase_of()
    counts = {"segmenter": 0, "discriminator": 0}

    def count(name: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            counts[name] += 1

        return hook

    phase.game.segmenter.register_forward_hook(count("segmenter"))
    phase.game.discriminator.register_forward_hook(count("discriminator"))  # type: ignore[attr-defined]
    for group, passes in zip(phase.engine.groups, ((4, 3), (4, 11)), strict=True):
        counts |= {"segmenter": 0, "discriminator": 0}
        phase.engine.hypergradient(group, train, validation)
        assert (counts["segmenter"], counts["discriminator"]) == passes
