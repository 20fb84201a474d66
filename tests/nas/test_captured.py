"""Replayed updates are the engine's, and are taken where they can be."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, call, patch

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from nas.bilevel import Bilevel, Group, Player, UnrolledStep
from nas.captured import KINDS, Captured, CudaGraphs, Recorder, check_capture
from nas.cues import new_cue
from nas.data.batches import Batch
from nas.devices import threads_shared
from nas.errors import UsageError
from nas.games.adversarial import Pressure
from nas.games.truth_prediction import TruthAgainstPrediction
from nas.optimizers import architecture_optimizer, weight_optimizer
from nas.preparation import Data
from nas.products import Product, exact, finite_difference
from nas.replay.recordings import Recordings
from nas.retrain import check_settings as check_retraining
from nas.runs import RunFolder
from nas.search import SearchStage
from nas.segmenters.unet import UNet
from nas.settings import (
    ArchitectureSettings,
    CellSettings,
    GameSettings,
    RetrainSettings,
    RunSettings,
    SearchSettings,
    TrainingSettings,
)
from search_spaces.cell import CellSupernet
from search_spaces.description import Normalisation

CLASSES, SIZE, RATE = 3, 16, 0.01  # whose nearest float32 is another number
WARM_UP = 3


class Counted(Recordings):
    """Recordings that are counted."""

    patience = WARM_UP
    taken = 0
    at_rest = False

    def rest(self) -> None:
        self.at_rest = True
        super().rest()

    def record(self, work: Callable[[], Any]) -> Any:
        self.taken += 1
        result, replay = super().record(work)

        def counted() -> None:
            self.at_rest = False
            replay()

        return result, counted


def draw_batch(seed: int, images: int = 2) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(images, 1, SIZE, SIZE, generator=generator)
    labels = torch.randint(0, CLASSES, (images, SIZE, SIZE), generator=generator)
    return Batch(pixels, labels, tuple(str(number) for number in range(images)))


def new_engine(
    optimizer: str = "adam",
    cue: str = "probabilities",
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    normalisation: Normalisation = "batch",
    product: Callable[[], Product] = finite_difference,
    dropout: float = 0.0,
) -> Bilevel[Batch]:
    """The same search for each call, with batch norm and capturable optimisers."""
    torch.manual_seed(5)
    supernet = CellSupernet(
        CLASSES,
        channels=2,
        layout="R",
        nodes=1,
        normalisation=normalisation,
        operations=("none", "skip_connect", "max_pool_3x3", "sep_conv_3x3"),
    )
    segmenter: nn.Module = UNet(1, CLASSES, width=2, depth=1, normalisation=normalisation)
    segmenter = nn.Sequential(segmenter, nn.Dropout2d(dropout)) if dropout else segmenter
    segmenter, supernet = segmenter.to(device, dtype), supernet.to(device, dtype)
    game = TruthAgainstPrediction(
        segmenter, supernet, CLASSES, Pressure(0.5), cue=new_cue(cue, 0.1)
    )
    training = TrainingSettings(optimizer=optimizer)  # type: ignore[arg-type]

    def player(name: str, weights: list[nn.Parameter], loss: Any, shows: Any) -> Player[Batch]:
        own = weight_optimizer(training, weights, RATE, capturable=True)
        unrolled = UnrolledStep(None, 0.9 if optimizer == "sgd" else 0.0)
        return Player(name, weights, loss, own, unrolled, product(), 0.5, shows)

    alphas = supernet.alphas()
    step = architecture_optimizer(ArchitectureSettings(architecture_lr=RATE), alphas, True)
    group = Group("discriminator", alphas, game.discriminator_objective, step)
    players = [
        player("segmenter", list(segmenter.parameters()), game.segmenter_loss, game.shown),
        player("discriminator", supernet.weights(), game.discriminator_loss, None),
    ]
    return Bilevel(players, [group], [segmenter, supernet])


def state(engine: Bilevel[Batch]) -> dict[str, Tensor]:
    networks = {
        f"{number}.{name}": value
        for number, network in enumerate(engine.modules)
        for name, value in network.state_dict().items()
    }
    moments = {
        f"{name}.{number}.{key}": value
        for name, own in engine.state().items()
        for number, held in own["state"].items()
        for key, value in held.items()
    }
    return networks | moments


def updated(
    eager: Bilevel[Batch], engine: Bilevel[Batch], recorder: Recorder, device: str = "cpu"
) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """What updates as ever and captured ones make of equal engines, step by step.

    New batches in every step, and other learning rates behind the capture.
    """
    captured, dtype = Captured(engine, recorder), engine.groups[0].alphas[0].dtype
    for step in range(WARM_UP + 4):
        if step == WARM_UP + 2:
            for each in (eager, engine):
                for own in each.optimizers().values():
                    own.param_groups[0]["lr"] = RATE / 4
        found = []
        for updates, its in ((eager, eager), (captured, engine)):
            train, validation = (
                batch._replace(
                    images=batch.images.to(device, dtype), labels=batch.labels.to(device)
                )
                for batch in (draw_batch(10 + step), draw_batch(50 + step))
            )
            torch.manual_seed(step)
            terms = updates.update_architecture(its.groups[0], train, validation)
            told = {f"alpha {place}": part for place, part in enumerate(terms.total())}
            told |= {"objective": terms.objective, **updates.update_weights(train)}
            found.append({name: value.clone() for name, value in told.items()} | state(its))
        yield found[0], found[1]


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adam"},
        {"optimizer": "sgd"},
        {"normalisation": "group"},
        {"normalisation": "group", "product": exact},
        {"normalisation": "instance", "cue": "smoothed"},
        {"cue": "noised"},
        {"dropout": 0.3},
        {"dropout": 0.3, "product": exact},
    ],
)
def test_replayed_updates_are_the_engines_bit_for_bit(options: dict[str, Any]) -> None:
    engine, recordings = new_engine(**options), Counted()
    for truth, found in updated(new_engine(**options), engine, recordings):
        assert found.keys() == truth.keys()
        for name, value in found.items():
            assert torch.equal(value, truth[name]), name
    assert recordings.taken == 2
    rates = [own.param_groups[0]["lr"] for own in engine.optimizers().values()]
    assert all(type(rate) is float and rate == RATE / 4 for rate in rates)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_replayed_graphs_are_the_engines_updates(
    optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float64, since kernels may add up in another order each time, but for the rates."""
    monkeypatch.setattr(f"{__name__}.RATE", 2**-7)
    graphs = CudaGraphs(torch.device("cuda"))
    engines = [new_engine(optimizer, device="cuda", dtype=torch.float64) for _ in range(2)]
    for truth, found in updated(*engines, graphs, "cuda"):
        for name, value in found.items():
            assert torch.allclose(value, truth[name], rtol=1e-6, atol=1e-9), name


class Counting:
    """Does all work at once and counts what it is asked for."""

    patience = WARM_UP
    is_exact = False
    draws = False

    def __init__(self) -> None:
        self.begun, self.warm, self.recorded, self.replayed = 0, 0, 0, 0

    def begin(self) -> None:
        self.begun += 1

    def rest(self) -> None:
        pass

    def warm_up(self, work: Callable[[], Any]) -> Any:
        self.warm += 1
        return work()

    def record(self, work: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        self.recorded += 1

        def replay() -> None:
            self.replayed += 1

        return work(), replay

    def counts(self) -> tuple[int, int, int]:
        return self.warm, self.recorded, self.replayed


class Exact(Counting):
    """Its replays do the work again."""

    is_exact = True

    def record(self, work: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        result, count = super().record(work)

        def replay() -> None:
            count()
            with torch.enable_grad():
                work()

        return result, replay


@contextmanager
def toy(
    loss: Callable[[Tensor], Tensor] | None = None, recorder: Callable[[], Counting] = Counting
) -> Iterator[Any]:
    """One weight, whose updates a counter stands behind."""
    network = nn.Linear(1, 1, bias=False)
    own = loss or (lambda batch: (network.weight * batch).sum())
    optimizer = weight_optimizer(TrainingSettings(), list(network.parameters()), RATE, True)
    player = Player("one", list(network.parameters()), own, optimizer, UnrolledStep(0.0))
    situation = {"pressure": 0.0}
    counting = recorder()
    engine: Bilevel[Any] = Bilevel([player], [], [network])
    captured = Captured(engine, counting, lambda: situation["pressure"])
    yield captured, counting, situation, network


def test_updates_are_captured_once_and_replayed() -> None:
    with toy() as (captured, counting, _, _):
        for step in range(WARM_UP + 3):
            captured.update_weights(torch.full((2,), float(step)))
        assert counting.counts() == (WARM_UP, 1, 2)


def test_the_first_exact_replay_is_compared_with_an_update_as_before_the_recording() -> None:
    with toy(recorder=Exact) as (captured, counting, _, _):
        for _ in range(WARM_UP + 3):
            captured.update_weights(torch.ones(2))
        assert counting.counts() == (WARM_UP + 1, 1, 2)


def test_other_shapes_and_orders_have_graphs_of_their_own() -> None:
    with toy() as (captured, counting, _, _):
        for _ in range(WARM_UP + 2):
            captured.update_weights(torch.ones(2))
            captured.update_weights(torch.ones(3))
            captured.update_weights(torch.ones(2), ("one", "one"))
        assert counting.counts() == (3 * WARM_UP, 3, 3)


def test_another_situation_or_mode_is_captured_anew() -> None:
    with toy() as (captured, counting, situation, network):

        def updates() -> tuple[int, int, int]:
            for _ in range(WARM_UP + 2):
                captured.update_weights(torch.ones(2))
            return counting.counts()

        assert updates() == (WARM_UP, 1, 1)
        situation["pressure"] = 0.5
        assert updates() == (2 * WARM_UP, 2, 2)
        network.eval()
        assert updates() == (3 * WARM_UP, 3, 3)
        assert counting.begun == 3  # with memory of its own each time


def test_values_that_are_no_tensors_belong_to_the_graph() -> None:
    with toy(lambda batch: (batch["x"] * batch["factor"]).sum()) as (captured, counting, _, _):
        for factor in (1.0, 2.0):
            for name in "abcdef":
                captured.update_weights({"x": torch.ones(2), "factor": factor, "id": name})
        assert counting.recorded == 2


def test_batches_of_ever_other_shapes_are_refused() -> None:
    with toy() as (captured, _, _, _):
        for size in range(1, KINDS + 1):
            captured.update_weights(torch.ones(size))
        with pytest.raises(UsageError, match="same shapes"):
            captured.update_weights(torch.ones(KINDS + 1))


def test_random_numbers_are_refused_at_the_first_update_where_replays_draw_none() -> None:
    engine = new_engine(cue="noised")
    before = torch.get_rng_state()
    captured = Captured(engine, Counting())
    with pytest.raises(UsageError, match="draws some"):
        captured.update_weights(draw_batch(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_step_that_reads_values_is_refused() -> None:
    weight = nn.Parameter(torch.ones(()))
    optimizer = weight_optimizer(TrainingSettings(), [weight], RATE, True)
    player: Player[Tensor] = Player(
        "one", [weight], lambda batch: weight * batch.sum().item(), optimizer, UnrolledStep(0.0)
    )
    captured = Captured(Bilevel([player], []), Counted())
    for _ in range(WARM_UP):
        captured.update_weights(torch.ones(2))
    with pytest.raises(UsageError, match="--capture: .* reads values on the host"):
        captured.update_weights(torch.ones(2))
    assert optimizer.param_groups[0]["lr"] == RATE


@pytest.mark.parametrize("patience", [1, 2])
def test_a_value_that_is_read_past_torch_is_found_out(patience: int) -> None:
    """At the first replay, by the update itself, on other values than those that were recorded."""
    weight = nn.Parameter(torch.ones(2))
    optimizer = weight_optimizer(TrainingSettings(optimizer="sgd"), [weight], RATE, True)
    player: Player[Tensor] = Player(
        "one",
        [weight],
        lambda batch: (weight * float((batch * 1).numpy().sum())).sum(),
        optimizer,
        UnrolledStep(0.0),
    )
    recordings = Counted()
    recordings.patience = patience
    captured = Captured(Bilevel([player], []), recordings)
    for step in range(patience + 1):
        captured.update_weights(torch.full((2,), 1.0 + step))
    with pytest.raises(UsageError, match="--capture: .* makes other momentum_buffer"):
        captured.update_weights(torch.full((2,), -5.0))


def test_an_update_moves_what_is_said_to_move_and_nothing_that_rests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, checked = new_engine(), []

    def check(
        replay: Callable[[], object],
        work: Callable[[], object],
        moving: dict[str, list[Tensor]],
        resting: dict[str, list[Tensor]],
    ) -> None:
        assert recordings.at_rest, "the arena would stand beside copies of the weights"
        before = {kind: [each.clone() for each in found] for kind, found in resting.items()}
        present = sum(map(len, [*moving.values(), *resting.values()]))
        assert present == len(state(engine))
        work()
        for kind, found in before.items():
            assert all(map(torch.equal, resting[kind], found))
        recordings.at_rest = False
        checked.append(sum(each.numel() for found in moving.values() for each in found))

    monkeypatch.setattr("nas.captured.check_replay", check)
    recordings = Counted()
    recordings.patience = 1
    captured = Captured(engine, recordings)
    for seed in range(3):
        recordings.at_rest = False
        captured.update_architecture(engine.groups[0], draw_batch(seed), draw_batch(9 + seed))
        captured.update_weights(draw_batch(seed))
    alphas = sum(alpha.numel() for alpha in engine.groups[0].alphas)
    own = sum(value.numel() for value in state(engine).values())
    moments_and_count = 2 * alphas + len(engine.groups[0].alphas)
    assert checked == [alphas + moments_and_count, own - alphas - moments_and_count]


def test_what_memory_is_missing_for_is_no_refusal() -> None:
    class Exhausted(Counting):
        patience = 0

        def record(self, work: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    weight = nn.Parameter(torch.ones(2))
    optimizer = weight_optimizer(TrainingSettings(), [weight], RATE, True)
    player: Player[Tensor] = Player(
        "one", [weight], lambda batch: (weight * batch).sum(), optimizer, UnrolledStep(0.0)
    )
    with pytest.raises(RuntimeError, match="can't allocate"):
        Captured(Bilevel([player], []), Exhausted()).update_weights(torch.ones(2))


def test_cuda_graphs_share_a_stream_and_memory() -> None:
    """The calls of torch.cuda, as its documentation asks for them."""

    def warns() -> bool:
        warnings.warn("This instance was constructed with capturable=True or", stacklevel=1)
        return True

    with patch("nas.captured.torch.cuda") as cuda:
        order = MagicMock()
        order.attach_mock(cuda, "cuda")
        graphs: Recorder = CudaGraphs(torch.device("cuda"))
        side, pool = cuda.Stream.return_value, cuda.graph_pool_handle.return_value
        here = cuda.current_stream.return_value
        with warnings.catch_warnings(action="error"):
            assert graphs.warm_up(lambda: order.work() and warns() and 1) == 1
        names = [name for name, *_ in order.mock_calls]
        waits = names.index("cuda.Stream().wait_stream"), names.index("work")
        assert waits[0] < waits[1] < names.index("cuda.current_stream().wait_stream")
        assert side.wait_stream.mock_calls == [call(here)]
        assert here.wait_stream.mock_calls == [call(side)]
        for _ in range(2):
            result, replay = graphs.record(lambda: 7)
            assert result == 7
        assert (
            cuda.graph.mock_calls.count(call(cuda.CUDAGraph.return_value, pool=pool, stream=side))
            == 2
        )
        assert cuda.CUDAGraph.return_value.replay.call_count == 2  # a capture does nothing itself
        replay()
        assert cuda.CUDAGraph.return_value.replay.call_count == 3
        cuda.graph_pool_handle.return_value = other = object()
        graphs.begin()
        graphs.record(lambda: 7)
        assert cuda.graph.call_args.kwargs["pool"] is other


def test_capture_needs_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    check_capture(RunSettings(device="cpu", capture=True))
    monkeypatch.setattr("nas.captured.count", lambda: 2)
    check_capture(RunSettings(device="cpu"))
    with pytest.raises(UsageError, match="one process"):
        check_capture(RunSettings(device="cpu", capture=True))


def test_streams_are_for_replays_on_a_cpu_and_have_a_thread_each(
    monkeypatch: pytest.MonkeyPatch, use_threads: Callable[[int], None]
) -> None:
    use_threads(2)
    check_capture(RunSettings(device="cpu", capture=True, streams=2))
    check_capture(RunSettings(device="cpu", streams=3))
    check_capture(RunSettings(device="cpu", threads=3, capture=True, streams=3))
    with pytest.raises(UsageError, match="--streams 3 have not a thread each, with 2 for all"):
        check_capture(RunSettings(device="cpu", capture=True, streams=3))
    with pytest.raises(UsageError, match="--streams 2 have not a thread each, with 1 for all"):
        check_capture(RunSettings(device="cpu", threads=1, capture=True, streams=2))
    monkeypatch.setattr("nas.captured.resolve_device", torch.device)
    check_capture(RunSettings(device="cuda", capture=True))
    with pytest.raises(UsageError, match="--streams 2 is for replays on a CPU"):
        check_capture(RunSettings(device="cuda", capture=True, streams=2))


def test_what_updates_result_in_outlasts_later_ones() -> None:
    """Their graphs share memory, and the search reads what it has been told behind the last one."""
    engine, recordings = new_engine(), Counted()
    captured = Captured(engine, recordings)
    told, copies = [], []
    for step in range(WARM_UP + 3):
        terms = captured.update_architecture(
            engine.groups[0], draw_batch(10 + step), draw_batch(50 + step)
        )
        told += [
            terms.objective,
            *terms.total(),
            *captured.update_weights(draw_batch(step)).values(),
        ]
        copies += [each.clone() for each in told[len(copies) :]]
    assert all(map(torch.equal, told, copies))
    ours = {each.untyped_storage().data_ptr() for each in told}
    kept = [leaf for kind in captured._kinds.values() for leaf in tree_leaves(kind.result)]
    assert len(kept) > 3
    assert not ours & {leaf.untyped_storage().data_ptr() for leaf in kept}


def test_recordings_go_with_the_updates_that_they_stand_for() -> None:
    """At once: their memory is wanted for the next ones."""
    with toy() as (captured, *_):
        captured.update_weights(torch.ones(2))
        gone = weakref.ref(captured)
    gc.disable()
    try:
        del captured
        assert gone() is None
    finally:
        gc.enable()


def test_losses_that_are_no_numbers_are_no_refusal() -> None:
    with toy(recorder=Exact) as (captured, _, _, network):
        for _ in range(WARM_UP + 2):
            captured.update_weights(torch.full((2,), torch.nan))
        assert network.weight.isnan().all()


def test_noise_is_looked_for_in_each_situation() -> None:
    draws = [False]

    def loss(batch: Tensor) -> Tensor:
        return (batch * (torch.rand(2) if draws[0] else 1.0)).sum() + weight.sum()

    weight = nn.Parameter(torch.ones(2))
    with toy(loss) as (captured, _, situation, _):
        captured.update_weights(torch.ones(2))
        draws[0], situation["pressure"] = True, 1.0
        with pytest.raises(UsageError, match="draws some"):
            captured.update_weights(torch.ones(2))


def test_gradients_that_pile_up_are_not_captured() -> None:
    settings = RetrainSettings(
        game=GameSettings(game="nelson-as-coded"), run=RunSettings(device="cpu", capture=True)
    )
    with pytest.raises(UsageError, match="--capture: --game nelson-as-coded"):
        check_retraining(settings)


def test_retraining_of_patches_is_not_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.retrain.check_capture", lambda settings: None)
    settings = RetrainSettings(backbone="patches:dc_net", run=RunSettings(capture=True))
    with pytest.raises(UsageError, match="trained on patches"):
        check_retraining(settings)


@pytest.mark.parametrize(
    ("images", "game", "epochs", "graphs"),
    [
        # weights alone before the game, alpha and weights within it, for batches of 2 and of 3
        (10, GameSettings(adversarial_start=3), 5, 2 + 2 * 2),
        # alpha and weights under the pressure of each epoch
        (12, GameSettings(adversarial_ramp=4), 2, 2 * 2),
    ],
)
def test_a_captured_search_takes_the_steps_of_a_search(
    images: int,
    game: GameSettings,
    epochs: int,
    graphs: int,
    tmp_path: Path,
    discs: Callable[..., Data],
    monkeypatch: pytest.MonkeyPatch,
    use_threads: Callable[[int], None],
) -> None:
    """With one update as a warm-up, replayed in two streams of one thread each."""
    use_threads(2)
    recordings = Counted(streams=2)
    recordings.patience = 1
    monkeypatch.setattr("nas.captured.Recordings", {2: recordings}.__getitem__)
    settings = SearchSettings(
        backbone="unet?width=2&depth=1",
        cell=CellSettings(layout="N", channels=2, nodes=1, operations=("none", "sep_conv_3x3")),
        training=TrainingSettings(segmenter_lr=RATE, discriminator_lr=RATE),
        architecture=ArchitectureSettings(architecture_lr=RATE, diagnose_every=0),
        game=game,
        run=RunSettings(device="cpu", capture=True, streams=2),
    )
    folder = RunFolder(tmp_path / "run")
    folder.begin("search", settings)
    captured = SearchStage(settings, folder, discs(train=images, val=0))
    with monkeypatch.context() as without:
        without.setattr("nas.search.updates_of", lambda engine, *rest: engine)
        eager = SearchStage(settings, folder, discs(train=images, val=0))
    for epoch in range(epochs):
        for step in range(eager.steps):
            found = captured.step(epoch, step)
            with threads_shared(2):
                assert eager.step(epoch, step) == found
    expected = state(eager.engine)
    for name, value in state(captured.engine).items():
        assert torch.equal(value, expected[name]), name
    assert recordings.taken == graphs


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_capturable_optimizer_takes_the_steps_of_the_usual_one(optimizer: str) -> None:
    """Along gradients that lie otherwise in memory than their weights, which it would misread."""
    slopes = [torch.rand(6, 4).t(), torch.rand(4, 3, 3, 3).to(memory_format=torch.channels_last)]
    found = []
    for capturable in (True, False):
        torch.manual_seed(2)
        weights = [nn.Parameter(torch.rand(4, 6)), nn.Parameter(torch.rand(4, 3, 3, 3))]

        def loss(batch: Tensor, weights: list[nn.Parameter] = weights) -> Tensor:
            parts = zip(weights, slopes, strict=True)
            return batch * torch.stack([(weight * slope).sum() for weight, slope in parts]).sum()

        training = TrainingSettings(optimizer=optimizer)  # type: ignore[arg-type]
        own = weight_optimizer(training, weights, 0.1, capturable)
        engine = Bilevel([Player("one", weights, loss, own, UnrolledStep(0.0))], [])
        for factor in (1.0, 3.0, -2.0):
            engine.update_weights(torch.tensor(factor))
        found.append(weights)
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
