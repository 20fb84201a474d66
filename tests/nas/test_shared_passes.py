"""Shared passes and gradients that are not asked for: the same numbers from less work."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from nas.bilevel import Bilevel, Group, Hypergradient, Player, UnrolledStep
from nas.cues import CUES, new_cue
from nas.data.batches import Batch
from nas.data.cases import UNKNOWN
from nas.games.adversarial import AdversarialSegmentation, Pressure
from nas.games.annotated import AnnotatedAgainstUnannotated
from nas.games.truth_prediction import TruthAgainstPrediction
from nas.products import Product, exact, finite_difference

CLASSES = 3
GAMES: dict[str, type[AdversarialSegmentation]] = {
    "truth-prediction": TruthAgainstPrediction,
    "annotated-unannotated": AnnotatedAgainstUnannotated,
}
PRESSURES = {
    "adversarial": Pressure(0.7),
    "both": Pressure(0.7, 0.3),
    "none": Pressure(0.0),
    "unsupervised": Pressure(0.0, 0.3, supervised=False),
}


class Relaxed(nn.Module):
    """Two convolutions mixed by alpha, behind dropout and batch norm: all that passes may disturb.

    As a judge it answers with one logit for each image, as a segmenter with a map.
    """

    def __init__(self, in_channels: int, out_channels: int, judges: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, 5, 3, padding=1), nn.BatchNorm2d(5), nn.Dropout(0.3), nn.Tanh()
        )
        self.ways = nn.ModuleList(nn.Conv2d(5, out_channels, k, padding=k // 2) for k in (1, 3))
        self.alpha = nn.Parameter(torch.randn(2))
        self.judges = judges

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = sum(p * way(x) for p, way in zip(self.alpha.softmax(0), self.ways, strict=True))
        return y.square().mean(dim=(2, 3)) if self.judges else y

    def weights(self) -> list[nn.Parameter]:
        return [each for each in self.parameters() if each is not self.alpha]


@dataclasses.dataclass
class Setting:
    """A search in miniature, in float64."""

    game: AdversarialSegmentation
    engine: Bilevel[Batch]
    train: Batch
    validation: Batch

    def group(self, name: str) -> Group[Batch]:
        return next(group for group in self.engine.groups if group.name == name)

    def hypergradient(self, group: str) -> Hypergradient:
        return self.engine.hypergradient(self.group(group), self.train, self.validation)


def draw_batch(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images, unlabelled = torch.rand(2, 3, 1, 8, 7, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, CLASSES, (3, 8, 7), generator=generator)
    labels[0, :2] = UNKNOWN
    return Batch(images, labels, ("a", "b", "c"), unlabelled=unlabelled)


def setting(
    *,
    game: str = "truth-prediction",
    cue: str = "probabilities",
    pressure: str = "adversarial",
    objective: str = "discriminator",
    product: Product | None = None,
    product_for: Sequence[str] = ("segmenter", "discriminator"),
    momentum: float = 0.0,
    shared: bool = True,
) -> Setting:
    """The same networks, batches and noise for each call, with passes shared or not."""
    torch.manual_seed(4)
    segmenter, judge = Relaxed(1, CLASSES, False), Relaxed(CLASSES + 1, 1, True)
    strength = 0.3 if cue in ("smoothed", "noised") else 0.0
    played = GAMES[game](
        segmenter.double(),
        judge.double(),
        CLASSES,
        PRESSURES[pressure],
        sees_image=True,
        cue=new_cue(cue, strength),
    )

    def player(name: str, network: Relaxed, loss: Callable[[Batch], Tensor]) -> Player[Batch]:
        decay = 0.01 if momentum else 0.0
        optimizer = SGD(network.weights(), 0.3, momentum=momentum, weight_decay=decay)
        unrolled = UnrolledStep(0.3, momentum, decay)
        kept = product if name in product_for else None
        return Player(name, network.weights(), loss, optimizer, unrolled, kept)

    players = [
        player("segmenter", segmenter, played.segmenter_loss),
        player("discriminator", judge, played.discriminator_loss),
    ]
    on_own = played.discriminator_objective, None
    on_segmentation = played.segmentation_loss, ("segmenter",)
    of_judge = on_own if objective == "discriminator" else on_segmentation
    if shared:
        players[0] = dataclasses.replace(players[0], shows=played.shown)

    def group(name: str, network: Relaxed, judged: Any) -> Group[Batch]:
        depends_on = judged[1] if shared else None
        return Group(name, [network.alpha], judged[0], Adam([network.alpha]), depends_on)

    groups = [
        group("segmenter", segmenter, on_segmentation),
        group("discriminator", judge, of_judge),
    ]
    engine = Bilevel(players, groups, [segmenter, judge])
    return Setting(played, engine, draw_batch(1), draw_batch(2))


def assert_same(found: Hypergradient, truth: Hypergradient) -> None:
    """Bit for bit: no more than passes that would be repeated is left out."""
    assert torch.equal(found.objective, truth.objective)
    assert found.indirect.keys() == truth.indirect.keys()
    for mine, its in (
        (found.direct, truth.direct),
        *((found.indirect[name], truth.indirect[name]) for name in truth.indirect),
    ):
        assert all(torch.equal(a, b) for a, b in zip(mine, its, strict=True))


def cases() -> Iterator[dict[str, Any]]:
    rules = {"difference": finite_difference(), "exact": exact()}
    for game, cue, pressure in itertools.product(GAMES, CUES, PRESSURES):
        if game == "annotated-unannotated" and pressure in ("both", "unsupervised"):
            continue
        for name, rule in rules.items():
            yield pytest.param(
                {"game": game, "cue": cue, "pressure": pressure, "product": rule},
                id=f"{game}-{cue}-{pressure}-{name}",
            )


@pytest.mark.parametrize("options", list(cases()))
@pytest.mark.parametrize("objective", ["discriminator", "segmenter"])
@pytest.mark.parametrize("group", ["segmenter", "discriminator"])
def test_sharing_changes_no_bit(options: dict[str, Any], objective: str, group: str) -> None:
    found, truth = (
        setting(**options, objective=objective, shared=shared).hypergradient(group)
        for shared in (True, False)
    )
    assert_same(found, truth)


@pytest.mark.parametrize("product_for", [(), ("segmenter",), ("discriminator",)])
@pytest.mark.parametrize("group", ["segmenter", "discriminator"])
def test_sharing_changes_no_bit_where_products_are_left_out(
    product_for: Sequence[str], group: str
) -> None:
    found, truth = (
        setting(product=finite_difference(), product_for=product_for, shared=shared).hypergradient(
            group
        )
        for shared in (True, False)
    )
    assert_same(found, truth)


def test_the_terms_of_the_second_order_are_no_zeros() -> None:
    """Else the comparisons above would compare nothing."""
    terms = setting(product=finite_difference()).hypergradient("discriminator")
    assert set(terms.indirect) == {"segmenter", "discriminator"}
    assert all(float(part.abs().max()) > 1e-6 for (part,) in terms.indirect.values())


@pytest.mark.parametrize("game", GAMES)
def test_a_search_with_shared_passes_goes_the_same_way(game: str) -> None:
    """Weights, alphas, running statistics and optimisers after steps with two judge's moves."""
    states = []
    for shared in (True, False):
        here = setting(
            game=game, cue="noised", product=finite_difference(), momentum=0.9, shared=shared
        )
        for _ in range(3):
            for group in here.engine.groups:
                here.engine.update_architecture(group, here.train, here.validation)
            here.engine.update_weights(here.train, ["segmenter", "discriminator", "discriminator"])
        networks = (here.game.segmenter, here.game.discriminator)
        states.append([value for each in networks for value in each.state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


@contextmanager
def counted(*networks: nn.Module) -> Iterator[list[list[int]]]:
    """Forward passes of each network, and how many of them a gradient came back through."""
    counts = [[0, 0] for _ in networks]

    def hook(count: list[int]) -> Callable[..., None]:
        def count_passes(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            count[0] += 1
            if output.requires_grad:
                output.register_hook(lambda slope: count.__setitem__(1, count[1] + 1))

        return count_passes

    handles = [
        each.register_forward_hook(hook(count))
        for each, count in zip(networks, counts, strict=True)
    ]
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()


def test_passes_of_a_step() -> None:
    here = setting(product=finite_difference())
    with counted(here.game.segmenter, here.game.discriminator) as (segmenter, judge):
        here.hypergradient("discriminator")
        assert (segmenter, judge) == ([4, 2], [11, 11])
        here.engine.update_weights(here.train)
    assert (segmenter, judge) == ([6, 3], [14, 14])


def test_passes_of_a_step_where_nothing_is_shown() -> None:
    """Those of a search as it is written down, which the counts above are to be held against."""
    here = setting(product=finite_difference(), shared=False)
    with counted(here.game.segmenter, here.game.discriminator) as (segmenter, judge):
        here.hypergradient("discriminator")
        here.engine.update_weights(here.train)
    assert (segmenter, judge) == ([9, 3], [14, 14])


def test_the_judge_takes_no_virtual_step_for_an_objective_that_cannot_see_it() -> None:
    """theta' and J; the product of theta. Without `depends_on`, one and two passes more."""
    here = setting(product=finite_difference())
    with counted(here.game.segmenter, here.game.discriminator) as (segmenter, judge):
        here.hypergradient("segmenter")
    assert (segmenter, judge) == ([4, 4], [3, 3])
    other = setting(product=finite_difference(), shared=False)
    with counted(other.game.segmenter, other.game.discriminator) as (segmenter, judge):
        other.hypergradient("segmenter")
    assert (segmenter, judge) == ([5, 4], [5, 5])


def test_the_first_order_sends_no_gradient_through_the_segmenter() -> None:
    here = setting()
    players = [
        dataclasses.replace(each, unrolled=UnrolledStep(0.0)) for each in here.engine.players
    ]
    engine = dataclasses.replace(here.engine, players=players)
    with counted(here.game.segmenter, here.game.discriminator) as (segmenter, judge):
        engine.hypergradient(here.group("discriminator"), here.train, here.validation)
    assert (segmenter, judge) == ([1, 0], [2, 2])


class Asked(torch.autograd.Function):
    """The identity on a weight, which tells whether its gradient is computed."""

    calls: list[str] = []

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, name: str) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.name = name
        return x * weight

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        if ctx.needs_input_grad[1]:
            Asked.calls.append(ctx.name)
        return slope * weight, (slope * x).sum().reshape(1), None


class Scaled(nn.Module):
    """A network whose outputs are scaled by one more weight."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network, self.name = network, name
        self.scale = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        scaled: Tensor = Asked.apply(self.network(x), self.scale, self.name)
        return scaled


def test_only_what_is_asked_for_gets_a_gradient() -> None:
    """Of the judge: phi' and J of both maps, and its own step; never in a product or theta's."""
    here = setting(product=finite_difference())
    game, players = here.game, []
    game.segmenter = Scaled(game.segmenter, "segmenter")
    game.discriminator = Scaled(game.discriminator, "discriminator")
    for each, network in zip(
        here.engine.players, (game.segmenter, game.discriminator), strict=True
    ):
        weights = [*each.weights, network.scale]
        players.append(
            dataclasses.replace(each, weights=weights, optimizer=SGD(weights, each.unrolled.rate))
        )
    engine = dataclasses.replace(here.engine, players=players)
    Asked.calls = []
    engine.hypergradient(here.group("discriminator"), here.train, here.validation)
    assert sorted(Asked.calls) == ["discriminator"] * 4 + ["segmenter"] * 2
    Asked.calls = []
    engine.update_weights(here.train)
    assert sorted(Asked.calls) == ["discriminator"] * 2 + ["segmenter"]
    assert all(weight.requires_grad for player in players for weight in player.weights)


def test_alphas_of_another_group_are_not_asked_for() -> None:
    """The segmenter keeps no graph for its own alpha where that of the judge is to move."""
    here = setting(product=finite_difference())
    segmenter, other, mine = (
        here.game.segmenter,
        *(here.group(name).alphas[0] for name in ("segmenter", "discriminator")),
    )
    asked = []
    segmenter.register_forward_hook(
        lambda *_: asked.append((other.requires_grad, mine.requires_grad))
    )
    here.hypergradient("discriminator")
    assert asked == [(False, False), (False, True), (False, True), (False, True)]
    assert other.requires_grad and mine.requires_grad


def test_nothing_is_shown_where_nobody_looks() -> None:
    """Without pressure, the loss of the segmenter has no use for the unannotated images."""
    here = setting(game="annotated-unannotated", pressure="none", product=finite_difference())
    with counted(here.game.segmenter) as (segmenter,):
        here.hypergradient("segmenter")
    assert segmenter == [4, 4]


@pytest.mark.parametrize("name", GAMES)
def test_what_is_shown_is_what_the_losses_would_compute(name: str) -> None:
    here = setting(game=name)
    here.game.segmenter.eval()
    here.game.discriminator.eval()
    shown = here.game.shown(here.train)
    for loss in (
        here.game.segmenter_loss,
        here.game.discriminator_loss,
        here.game.discriminator_objective,
        here.game.segmentation_loss,
    ):
        truth = loss(here.train)
        with counted(here.game.segmenter) as (segmenter,):
            assert torch.equal(loss(shown), truth)
        assert segmenter == [0, 0]
