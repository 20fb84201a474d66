"""The search: alpha and the weights trained in turn (Dong et al. 2019, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nas.adversarial import AdversarialSegmentation
from nas.bilevel import Bilevel, Group, Player
from nas.data.batches import Batch, Batches
from nas.data.splits import halve
from nas.devices import (
    autocast,
    derived_seed,
    resolve_device,
    seed_noise,
    seeded,
    set_threads,
)
from nas.diagnostics import second_order_diagnosis
from nas.errors import UsageError
from nas.illustration import draw_architecture_over_epochs, draw_curves, draw_search
from nas.optimizers import architecture_optimizer, unrolled_step, weight_optimizer
from nas.preparation import Data, new_segmenter, open_data, record_data, rehearse
from nas.products import Product, exact, finite_difference
from nas.runs import RunFolder, now, unwritable, versions, without_none
from nas.scoring import discriminator_accuracy, score_segmenter
from nas.settings import ArchitectureSettings, SearchSettings
from nas.tracking import Tracker
from nas.training import Training
from search_spaces import cell_genotype, description, genotypes
from search_spaces.cell import CellSupernet
from search_spaces.derivation import derive

NEGLIGIBLE_SHARE = 1e-3


def run_search(settings: SearchSettings, folder: RunFolder, resume: bool) -> None:
    """Search in a run's folder, from the beginning or from its last checkpoint.

    Raises:
        DataError, UsageError, RunError, TrainingError, Interrupted: see `nas.errors`.
    """
    check_settings(settings)
    set_threads(settings.run.threads)
    data = open_data(settings.data, folder if resume else None)
    stage = SearchStage(settings, folder, data)
    if not resume:
        folder.begin(stage.kind, settings)
    with folder.locked():
        record_data(folder, data, stage.samples)
        folder.record(device=str(stage.samples.device), threads=torch.get_num_threads())
        training = Training(stage, folder, settings.run.checkpoint_minutes)
        if resume:
            training.resume()
        training.run()
        draw_curves(folder)
        draw_architecture_over_epochs(folder)
        folder.record(finished=now(), seconds=training.position.seconds)


def check_settings(settings: SearchSettings) -> None:
    """Refuse settings under which alpha could never move, or that cannot be built.

    Raises:
        UsageError: with what contradicts what.
    """
    architecture = settings.architecture
    through_segmenter = architecture.product_for in ("both", "segmenter")
    if architecture.objective == "segmenter" and (
        architecture.order == "first" or not through_segmenter
    ):
        raise UsageError(
            "--objective segmenter reaches alpha only through the segmenter's unrolled step: it "
            "needs --order second and --product-for segmenter or both."
        )
    default = ArchitectureSettings()
    for name in ("product", "product_for", "radius", "unrolled_rate"):
        if architecture.order == "first" and getattr(architecture, name) != getattr(default, name):
            raise UsageError(
                f"--{name.replace('_', '-')} says how the second-order terms are computed, and "
                "--order first computes none: leave one of them out."
            )
    if architecture.warmup_epochs >= settings.training.epochs:
        raise UsageError(
            f"--warmup-epochs {architecture.warmup_epochs} leaves none of the "
            f"{settings.training.epochs} epochs to search in: lower it or raise --epochs."
        )
    try:
        cell_genotype.check_operations(settings.space.operations)
    except description.GenotypeError as error:
        raise UsageError(f"--operations: {error}.") from error


class SearchStage:
    """One search, as a stage of training."""

    kind = "search"

    def __init__(self, settings: SearchSettings, folder: RunFolder, data: Data) -> None:
        self.settings = settings
        self.folder = folder
        self.data = data
        self.epochs = settings.training.epochs
        device = resolve_device(settings.run.device)
        self.samples = data.loaded("train", device)
        self.weights_half, self.architecture_half = halve(
            data.split.train, settings.data.split_seed, data.groups
        )
        self.weight_batches = self._shuffled(self.weights_half, "weight batches")
        self.architecture_batches = self._shuffled(self.architecture_half, "architecture batches")
        self.steps = len(self.weight_batches)

        self.game = new_game(settings, data, device)
        self.engine = new_engine(settings, self.game, device)
        rehearse(self.game.segmenter_loss, self.engine.modules, self._smallest_batch())
        self.genotype = self._derive()
        self._stable_epochs = 0
        self._second_order_share: float | None = None
        seed_noise(settings.run.seed)

    @property
    def supernet(self) -> CellSupernet:
        """The relaxed discriminator."""
        supernet = self.game.discriminator
        assert isinstance(supernet, CellSupernet)
        return supernet

    def step(self, epoch: int, step: int) -> dict[str, float]:
        """Move alpha (after the warm-up), then the weights of both networks."""
        train = self.weight_batches.batch(epoch, step)
        numbers: dict[str, float] = {}
        if epoch >= self.settings.architecture.warmup_epochs:
            numbers |= self._architecture_step(epoch * self.steps + step, train)
        losses = self.engine.update_weights(train)
        return numbers | {f"{name}_loss": loss.item() for name, loss in losses.items()}

    def _architecture_step(self, count: int, train: Batch) -> dict[str, float]:
        place = divmod(count, len(self.architecture_batches))
        validation = self.architecture_batches.batch(*place)
        (group,) = self.engine.groups
        numbers = self._diagnose(count, train, validation)
        terms = self.engine.update_architecture(group, train, validation)
        return numbers | {"architecture_loss": terms.objective.item()}

    def _diagnose(self, count: int, train: Batch, validation: Batch) -> dict[str, float]:
        every = self.settings.architecture.diagnose_every
        if not every or count % every:
            return {}
        (group,) = self.engine.groups
        radius = self.settings.architecture.radius
        numbers = second_order_diagnosis(self.engine, group, train, validation, radius)
        self._second_order_share = numbers.get("second_order_share")
        return numbers

    def finish_epoch(self, epoch: int, tracker: Tracker) -> dict[str, float]:
        """Derive and save the genotype, score the segmenter on the architecture half, draw."""
        previous = self.genotype
        self.genotype = self._derive()
        self._save_genotype(epoch + 1)
        searched = epoch >= self.settings.architecture.warmup_epochs
        same = searched and genotypes.same_architecture(previous, self.genotype)
        self._stable_epochs = self._stable_epochs + 1 if same else 0

        self._judge_second_order(tracker)
        draw_search(self, epoch, tracker)
        scores = score_segmenter(
            self.game.segmenter, self.samples, self.data.classes, self.architecture_half
        )
        accuracy = discriminator_accuracy(
            self.game, self.samples, self.architecture_half, self.settings.training.batch_size
        )
        return {
            "mean_iou": scores.pooled.iou.mean or 0.0,
            **accuracy,
            "stable_epochs": self._stable_epochs,
        }

    def _judge_second_order(self, tracker: Tracker) -> None:
        share, self._second_order_share = self._second_order_share, None
        if share is not None and share < NEGLIGIBLE_SHARE:
            tracker.note(
                f"The second-order terms are {100 * share:.2g} % of alpha's gradient, at several "
                "times the cost of the rest: --order first would search much faster with nearly "
                "the same gradient, a larger --unrolled-rate would give them weight."
            )

    def _save_genotype(self, epoch: int) -> None:
        path = self.folder.genotypes / f"epoch_{epoch:04d}.json"
        try:
            path.parent.mkdir(exist_ok=True)
            genotypes.write(
                msgspec.structs.replace(self.genotype, provenance=self._provenance(epoch)), path
            )
        except OSError as error:
            raise unwritable(path, error) from error

    def stop_reason(self) -> str | None:
        """The genotype has been stable for as long as the settings ask for."""
        wanted = self.settings.architecture.stable_epochs
        if wanted and self._stable_epochs >= wanted:
            return f"The genotype has not changed for {self._stable_epochs} epochs."
        return None

    def state(self) -> dict[str, Any]:
        """Networks (alpha included), optimisers, the genotype, for how long it has been stable."""
        return {
            "segmenter": self.game.segmenter.state_dict(),
            "discriminator": self.supernet.state_dict(),
            "optimizers": {name: each.state_dict() for name, each in self._optimizers().items()},
            "genotype": msgspec.json.encode(self.genotype).decode(),
            "stable_epochs": self._stable_epochs,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` was taken from."""
        self.game.segmenter.load_state_dict(state["segmenter"])
        self.supernet.load_state_dict(state["discriminator"])
        for name, optimizer in self._optimizers().items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.genotype = msgspec.json.decode(state["genotype"], type=genotypes.Genotype)
        self._stable_epochs = state["stable_epochs"]

    def _optimizers(self) -> dict[str, Optimizer]:
        players = {player.name: player.optimizer for player in self.engine.players}
        return players | {group.name: group.optimizer for group in self.engine.groups}

    def _shuffled(self, ids: tuple[str, ...], purpose: str) -> Batches:
        seed = derived_seed(self.settings.run.seed, purpose)
        return Batches(self.samples, self.settings.training.batch_size, seed, ids)

    def _smallest_batch(self) -> Batch:
        halves = (self.weight_batches, self.architecture_batches)
        return min(
            (half.batch(0, len(half) - 1) for half in halves), key=lambda each: len(each.ids)
        )

    def _derive(self) -> cell_genotype.CellGenotype:
        supernet = self.supernet
        edges_per_node = self.settings.space.edges_per_node
        return derive(supernet.relaxation(), supernet.network, edges_per_node)

    def _provenance(self, epoch: int) -> description.Provenance:
        return description.Provenance(
            dataset=self.data.reader.name,
            backbone=self.settings.backbone,
            seed=self.settings.run.seed,
            split_hash=self.data.split.hash,
            epoch=epoch,
            settings=without_none(msgspec.to_builtins(self.settings, enc_hook=str)),
            versions=versions(),
            created=self.folder.read_record()["created"],
        )


def new_game(settings: SearchSettings, data: Data, device: torch.device) -> AdversarialSegmentation:
    """The segmenter and the relaxed discriminator, freshly initialised from the seed."""
    space, channels, classes = settings.space, data.reader.channels, len(data.classes)
    sees_image = space.discriminator_input == "map+image"
    segmenter = new_segmenter(settings.backbone, channels, classes, settings.run.seed)
    with seeded(settings.run.seed, "discriminator"):
        supernet = CellSupernet(
            classes + channels * sees_image,
            channels=space.channels,
            layout=space.layout,
            nodes=space.nodes,
            operations=space.operations,
            normalisation=space.normalisation,
            stem_multiplier=space.stem_multiplier,
            sees_image=sees_image,
        )
    supernet.recompute = space.recompute_cells
    weight = settings.training.adversarial_weight
    return AdversarialSegmentation(
        segmenter.to(device), supernet.to(device), classes, weight, sees_image
    )


def new_engine(
    settings: SearchSettings, game: AdversarialSegmentation, device: torch.device
) -> Bilevel[Batch]:
    """The bilevel problem of a search: two players, one group."""
    training, architecture = settings.training, settings.architecture
    supernet = game.discriminator
    assert isinstance(supernet, CellSupernet)
    objective = {
        "discriminator": game.discriminator_objective,
        "segmenter": game.segmentation_loss,
    }[architecture.objective]
    group = Group(
        "architecture",
        supernet.alphas(),
        objective,
        architecture_optimizer(architecture, supernet.alphas()),
    )
    players = [
        _player(
            "segmenter",
            list(game.segmenter.parameters()),
            game.segmenter_loss,
            training.segmenter_lr,
            settings,
        ),
        _player(
            "discriminator",
            supernet.weights(),
            game.discriminator_loss,
            training.discriminator_lr,
            settings,
        ),
    ]
    return Bilevel(
        players=players,
        groups=[group],
        modules=[game.segmenter, supernet],
        autocast=autocast(settings.run.precision, device),
    )


def _player(
    name: str,
    weights: list[nn.Parameter],
    loss: Callable[[Batch], Tensor],
    rate: float,
    settings: SearchSettings,
) -> Player[Batch]:
    architecture = settings.architecture
    unrolled = 0.0 if architecture.order == "first" else architecture.unrolled_rate or rate
    kept = architecture.product_for in ("both", name)
    return Player(
        name,
        weights,
        loss,
        weight_optimizer(settings.training, weights, rate),
        unrolled_step(settings.training, unrolled),
        _product(architecture) if kept else None,
        settings.training.clip_norm,
    )


def _product(settings: ArchitectureSettings) -> Product:
    return exact() if settings.product == "exact" else finite_difference(settings.radius)
