"""The search: alpha and the weights trained in turn (Dong et al. 2019, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec
from torch import Tensor

from nas.additions import Curriculum, curriculum_begins
from nas.bilevel import Group, Hypergradient
from nas.budget.limits import limits_of
from nas.budget.pick_record import tell_delay, write_record
from nas.budget.settling import settle
from nas.captured import check_capture, updates_of, when_captured
from nas.criteria import wants_triplets
from nas.data.batches import Batch
from nas.data.splits import divided_groups, halve
from nas.data.unlabelled import halves
from nas.deviations import label_run, tell
from nas.devices import resolve_device, seed_noise, set_threads
from nas.diagnostics import compare_products, update_beside
from nas.errors import UsageError
from nas.games.adversarial import AdversarialSegmentation, Pressure
from nas.games.table import check_game
from nas.health import examine
from nas.health_record import HealthRecord, examined_batches, is_examined
from nas.illustration import Pace, draw_architecture_over_epochs, draw_curves, draw_search
from nas.kernels import check_kernels, kernels_ahead, path_taken, take_kernels, wait_for
from nas.networks import PATCH_NETWORKS
from nas.phases import new_phase, plan
from nas.preparation import (
    Data,
    check_unlabelled,
    note_batch_statistics,
    open_data,
    record_data,
    record_machine,
    rehearse,
)
from nas.products import exact, finite_difference
from nas.ranks import agreed
from nas.rates import RateSchedule, check_rates
from nas.relations import Moment, Relations, plays_with_unlabelled
from nas.runs import RunFolder, now, unwritable, versions, without_none
from nas.scored_epochs import epochs_between, is_scored
from nas.scoring import validate
from nas.settings import ArchitectureSettings, SearchSettings
from nas.supernets import (
    SEARCHED_SEGMENTER,
    check_spaces,
    cool,
    searched_networks,
    temperature_of,
)
from nas.tracking import Tracker
from nas.training import Training, as_numbers
from nas.training_batches import (
    check_augmentation,
    check_parts,
    held_out_batches,
    training_batches,
)
from search_spaces import genotypes
from search_spaces.description import Provenance, Role
from search_spaces.kernels.background import Compilation

NEGLIGIBLE_SHARE = 1e-3


def run_search(
    settings: SearchSettings,
    folder: RunFolder,
    resume: bool,
    given: Collection[str] = (),
    say: Callable[[str], None] = print,
    kernels: Compilation | None = None,
) -> None:
    """Search in a run's folder, from the beginning or from its last checkpoint.

    Args:
        settings: of the search.
        folder: of the run.
        resume: whether it goes on from the last checkpoint.
        given: names of settings that a budget may not change; those that differ from their
            defaults are never changed.
        say: tells the user how a budget is met, what deviates from the published mathematics, and
            what computes the cells.
        kernels: what compiles them already; by default that begins now, if it has to.

    Raises:
        DataError, UsageError, RunError, TrainingError, Interrupted: see `nas.errors`.
    """
    check_settings(settings)
    set_threads(settings.run.threads)
    take_kernels(settings.run.kernels)
    kernels = kernels or kernels_ahead(settings)
    if settings.budget.budget:
        wait_for(kernels, say)
    settings, record = settle(settings, folder, resume, given, check_settings, say)
    tell(settings, say)
    data = open_data(settings.data, folder if resume else None)
    path = _path_told(settings, say) if settings.space.space == "cell" else None
    if settings.run.capture:
        say(when_captured(resolve_device(settings.run.device)))
    wait_for(kernels, say)
    stage = SearchStage(settings, folder, data)
    if not resume:
        folder.begin(stage.kind, settings)
        if record is not None:
            write_record(folder, record)
    with folder.locked():
        record_data(folder, data, stage.samples, unlabelled=stage.unlabelled)
        record_machine(folder, stage.samples.device)
        label_run(folder, settings)
        if path:
            folder.record(kernels=path)
        training = Training(stage, folder, settings.run.checkpoint_minutes, settings.run.tracker)
        if resume:
            training.resume()
        training.run()
        draw_curves(folder)
        draw_architecture_over_epochs(folder)
        folder.record(
            finished=now(), seconds=training.position.seconds, health=stage.health.summary()
        )


def _path_told(settings: SearchSettings, say: Callable[[str], None]) -> str:
    """What computes the relaxed cells, which is loaded to find out."""
    path = path_taken(settings)
    say(f"{path[0].upper()}{path[1:]}.")
    return path


def check_settings(settings: SearchSettings) -> None:
    """Refuse settings under which alpha could never move, that say nothing, or contradict others.

    Raises:
        UsageError: with what contradicts what.
    """
    limits_of(settings.budget)
    architecture = settings.architecture
    searched = searched_networks(settings)
    if settings.backbone.startswith("search:") and "segmenter" not in searched:
        raise UsageError(
            f"--backbone {settings.backbone} names no search space of segmenters: "
            f"{SEARCHED_SEGMENTER} was expected."
        )
    if settings.backbone.partition("?")[0] in PATCH_NETWORKS:
        raise UsageError(
            f"--backbone {settings.backbone} is trained on patches, by nas-retrain: search with a "
            "segmenter of whole images."
        )
    if not searched:
        raise UsageError(
            "--space none leaves nothing to search with a fixed --backbone: choose --space cell or "
            f"flexvgg, or --backbone {SEARCHED_SEGMENTER}."
        )
    if architecture.schedule == "decoupled" and len(searched) < 2:
        raise UsageError(
            "--schedule decoupled orders the search of two networks, and only one is searched: "
            f"leave it out, or search both (--backbone {SEARCHED_SEGMENTER} --space cell)."
        )
    _check_game(settings)
    _check_objective(architecture)
    _check_products(architecture)
    if architecture.warmup_epochs >= settings.training.epochs:
        raise UsageError(
            f"--warmup-epochs {architecture.warmup_epochs} leaves none of the "
            f"{settings.training.epochs} epochs to search in: lower it or raise --epochs."
        )
    check_spaces(settings)
    check_parts(settings.training.batch_size)
    check_capture(settings.run)
    check_kernels(settings)
    if settings.run.capture and settings.cell.relaxation == "single-path":
        raise UsageError(
            "--capture replays the operations of one step, and --relaxation single-path goes "
            "through others in each: leave one of them out."
        )


def _check_game(settings: SearchSettings) -> None:
    if settings.game.game == "nelson-as-coded":
        raise UsageError(
            "--game nelson-as-coded is a retraining for comparison: search with truth-prediction "
            "or annotated-unannotated."
        )
    if settings.space.space != "none":
        check_game(settings.game, settings.training.epochs)
        _check_stages(settings)
    check_rates(settings.training)
    check_augmentation(settings.augmentation)


def _check_stages(settings: SearchSettings) -> None:
    game, warmup = settings.game, settings.architecture.warmup_epochs
    staged = game.unlabelled_weight > 0 and game.unlabelled_order == "stages"
    if staged and game.unlabelled_start <= warmup + 1:
        raise UsageError(
            f"--unlabelled-order stages freezes the discriminator from epoch "
            f"{game.unlabelled_start} on, and --warmup-epochs {warmup} lets alpha rest until then: "
            "nothing would be searched."
        )


def _check_objective(architecture: ArchitectureSettings) -> None:
    through_segmenter = architecture.product_for in ("both", "segmenter")
    if architecture.objective == "segmenter" and (
        architecture.order == "first" or not through_segmenter
    ):
        raise UsageError(
            "--objective segmenter reaches alpha only through the segmenter's unrolled step: it "
            "needs --order second and --product-for segmenter or both."
        )


def _check_products(architecture: ArchitectureSettings) -> None:
    """Refuse settings of second-order terms where none are computed."""
    names: Sequence[str] = ()
    if architecture.order == "first":
        names = ("product", "product_for", "radius", "unrolled_rate")
        why = "says how the second-order terms are computed, and --order first computes none"
    elif architecture.product_for == "none":
        names = ("product", "radius")
        why = "says how second-order terms are computed, and --product-for none computes none"
    default = ArchitectureSettings()
    for name in names:
        if getattr(architecture, name) != getattr(default, name):
            raise UsageError(f"--{name.replace('_', '-')} {why}: leave one of them out.")


class SearchStage:
    """One search, as a stage of training."""

    kind = "search"

    def __init__(self, settings: SearchSettings, folder: RunFolder, data: Data) -> None:
        self.settings = settings
        self.folder = folder
        self.data = data
        self._plan = plan(settings)
        self.epochs = settings.training.epochs * len(self._plan)
        self._device = resolve_device(settings.run.device)
        self.samples = data.loaded("train", self._device)
        self.unlabelled = None
        if settings.space.space != "none":
            found = data.unlabelled(self._device)
            check_unlabelled(settings.data, settings.game, found)
            self.unlabelled = found if plays_with_unlabelled(settings.game) else None
        weights_unlabelled, architecture_unlabelled = halves(
            self.unlabelled, settings.data.split_seed
        )
        self.weights_half, self.architecture_half = halve(
            data.labelled, settings.data.split_seed, data.groups
        )
        self._relations = Relations(settings.training.adversarial_weight, settings.game)
        self._curriculum = Curriculum(settings.augmentation.curriculum_iou)
        self.weight_batches = training_batches(
            settings,
            self.samples,
            self.weights_half,
            "weight batches",
            len(data.classes),
            weights_unlabelled,
            self._curriculum,
            wants_triplets(settings.loss, pretraining=False),
        )
        self.architecture_batches = held_out_batches(
            settings,
            self.samples,
            self.architecture_half,
            "architecture batches",
            architecture_unlabelled,
        )
        self.health = HealthRecord()
        self.pace = Pace()
        self.steps = len(self.weight_batches)
        self.genotypes: dict[Role, genotypes.Genotype] = {}
        self._diagnosis: dict[str, float] = {}
        self._second_order_shares: dict[str, float] = {}
        self._enter_phase(0)
        seed_noise(settings.run.seed)

    def _enter_phase(self, number: int) -> None:
        self._phase_number = number
        self.phase = new_phase(
            self._plan[number], self.settings, self.data, self.samples, self.genotypes
        )
        self.game, self.engine = self.phase.game, self.phase.engine
        optimizers = [player.optimizer for player in self.engine.players]
        epochs = self.settings.training.epochs
        self._schedule = RateSchedule(self.settings.training, optimizers, epochs)
        passes: list[Callable[[Batch], object]] = [self.game.segmenter_loss]
        if isinstance(self.game, AdversarialSegmentation):
            passes = [self.game.verdicts]
        rehearse(passes, self.engine.modules, self._smallest_batch())
        self._updates = updates_of(self.engine, self.settings.run, self._device, self._pressure)
        self.genotypes |= self.phase.genotypes()
        self._stable_epochs = 0

    def step(self, epoch: int, step: int) -> dict[str, float]:
        """Move the alphas (after the warm-up), then the weights of the networks."""
        phase, within = divmod(epoch, self.settings.training.epochs)
        if phase != self._phase_number:
            self._enter_phase(phase)
        train = self.weight_batches.batch(epoch, step)
        moment = self._moment(within)
        losses: dict[str, Tensor] = {}
        self._diagnosis = {}
        if within >= self.settings.architecture.warmup_epochs:
            losses |= self._architecture_step(epoch * self.steps + step, train, moment)
        of_weights = self._updates.update_weights(train, moment.order)
        losses |= {f"{name}_loss": loss for name, loss in of_weights.items()}
        return self._diagnosis | as_numbers(losses)

    def _pressure(self) -> Pressure | None:
        return self.game.pressure if isinstance(self.game, AdversarialSegmentation) else None

    def _moment(self, within: int) -> Moment:
        """What an epoch of the phase, counted from 0, asks of both players, who are told."""
        if not isinstance(self.game, AdversarialSegmentation):
            return Moment(Pressure(0.0), 0)
        for supernet in self.phase.supernets.values():
            cool(supernet, self.settings.cell, within, self.settings.training.epochs)
        moment = self._relations.at(within + 1)
        self.game.enter(moment.pressure, learns=moment.discriminator_steps > 0)
        return moment

    def _architecture_step(self, count: int, train: Batch, moment: Moment) -> dict[str, Tensor]:
        """Move the alpha of each network that trains at present; its loss, by name."""
        place = divmod(count, len(self.architecture_batches))
        validation = self.architecture_batches.batch(*place)
        losses: dict[str, Tensor] = {}
        for group in self.engine.groups:
            if group.name in moment.order:
                terms = self._update_architecture(group, count, train, validation)
                losses[f"{group.name}_architecture_loss"] = terms.objective
        return losses

    def _update_architecture(
        self, group: Group[Batch], count: int, train: Batch, validation: Batch
    ) -> Hypergradient:
        """One step of an alpha; now and then both products are compared in it."""
        every = self.settings.architecture.diagnose_every
        if not every or count % every:
            return self._updates.update_architecture(group, train, validation)
        exactly = self.settings.architecture.product == "exact"
        other = finite_difference(self.settings.architecture.radius) if exactly else exact()
        own, beside = update_beside(self.engine, group, train, validation, other)
        found = compare_products(beside, own) if exactly else compare_products(own, beside)
        if "second_order_share" in found:
            self._second_order_shares[group.name] = found["second_order_share"]
        self._diagnosis |= {f"{group.name}_{name}": value for name, value in found.items()}
        return own

    def finish_epoch(self, epoch: int, tracker: Tracker) -> dict[str, float]:
        """Derive and save the genotypes, score the segmenter on the architecture half, draw."""
        previous = dict(self.genotypes)
        self.genotypes |= self.phase.genotypes()
        self._save_genotypes(epoch + 1)
        within = epoch - self._phase_number * self.settings.training.epochs
        warm = within >= self.settings.architecture.warmup_epochs
        searched = warm and all(role in self._moment(within).order for role in self.phase.supernets)
        same = searched and all(
            genotypes.same_architecture(previous[role], self.genotypes[role]) for role in previous
        )
        self._stable_epochs = self._stable_epochs + 1 if same else 0

        if epoch == 0:
            for sentence in self.data.notes:
                tracker.note(sentence)
            self._note_divided_groups(tracker)
            note_batch_statistics(self.settings.run, self.engine.modules, tracker)
        self._judge_second_order(tracker)
        tell_delay(self.folder, tracker)
        draw_search(self, epoch, tracker)
        numbers = self._rates(within) | self._scores(within)
        later = self.settings.augmentation.curriculum
        if self._curriculum.after_epoch(numbers.get("foreground_iou")) and later:
            tracker.note(curriculum_begins(epoch, self._curriculum, later))
        self._schedule.after_epoch(numbers.get(self.settings.training.monitor))
        numbers |= self._examine(epoch, within, tracker)
        return {**numbers, "stable_epochs": self._stable_epochs}

    def _scores(self, within: int) -> dict[str, float]:
        """Those of the segmenter on the architecture half, after the epochs that have them."""
        every = epochs_between(self.settings)
        due = is_scored(within, self.settings.training.epochs, every)
        if not due and self.stop_reason() is None:
            return {}
        scores = validate(
            self.game.segmenter,
            self.game.criterion,
            self.samples,
            self.data.classes,
            self.architecture_half,
        )
        return agreed(scores)

    def _rates(self, within: int) -> dict[str, float]:
        """The learning rates of the weights and the adversarial weight of the epoch."""
        rates = {
            f"{player.name}_lr": player.optimizer.param_groups[0]["lr"]
            for player in self.engine.players
        }
        if not isinstance(self.game, AdversarialSegmentation):
            return rates
        rates["adversarial_weight"] = self._moment(within).pressure.adversarial
        temperatures = {
            f"{role}_temperature": temperature
            for role, supernet in self.phase.supernets.items()
            if (temperature := temperature_of(supernet)) is not None
        }
        return rates | temperatures

    def _examine(self, epoch: int, within: int, tracker: Tracker) -> dict[str, float]:
        """The discriminator's health on the architecture half, told where it is out of band."""
        is_last = epoch + 1 == self.epochs or self.stop_reason() is not None
        every = self.settings.architecture.examine_every
        due = within == 0 or is_last or is_examined(epoch, self.steps, every)
        if not (due and self._moment(within).is_judged):
            return {}
        assert isinstance(self.game, AdversarialSegmentation)
        health = examine(self.game, examined_batches(self.architecture_batches, 0))
        self.health.take(health, epoch, tracker)
        return health.numbers()

    def _note_divided_groups(self, tracker: Tracker) -> None:
        halves = self.weights_half, self.architecture_half
        divided = divided_groups(halves, self.data.groups)
        if divided:
            tracker.note(
                f"{', '.join(divided)}: images of these groups are in both halves of the training "
                "images, since whole groups would leave one of them too small. The architecture "
                "is then judged on patients or animals that the weights have seen."
            )

    def _judge_second_order(self, tracker: Tracker) -> None:
        shares, self._second_order_shares = self._second_order_shares, {}
        for name, share in shares.items():
            if share < NEGLIGIBLE_SHARE:
                tracker.note(
                    f"The second-order terms are less than {100 * NEGLIGIBLE_SHARE:g} % of the "
                    f"gradient of the {name}'s alpha, at several times the cost of the rest: "
                    "--order first would search much faster with nearly the same gradient, a "
                    "larger --unrolled-rate would give them weight."
                )

    def _save_genotypes(self, epoch: int) -> None:
        if not self.folder.is_written:
            return
        for role in self.phase.supernets:
            genotype = msgspec.structs.replace(
                self.genotypes[role], provenance=self._provenance(epoch)
            )
            path = self.folder.genotypes / role / f"epoch_{epoch:04d}.json"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                genotypes.write(genotype, path)
            except OSError as error:
                raise unwritable(path, error) from error

    def stop_reason(self) -> str | None:
        """The genotypes have been stable for as long as the settings ask for."""
        wanted = self.settings.architecture.stable_epochs
        last_phase = self._phase_number == len(self._plan) - 1
        if wanted and last_phase and self._stable_epochs >= wanted:
            return f"The genotype has not changed for {self._stable_epochs} epochs."
        return None

    def state(self) -> dict[str, Any]:
        """The phase, its networks and optimisers, the genotypes, how long they have been stable."""
        return {
            "phase": self._phase_number,
            **self.phase.state(),
            "genotypes": {
                role: msgspec.json.encode(genotype).decode()
                for role, genotype in self.genotypes.items()
            },
            "stable_epochs": self._stable_epochs,
            "schedule": self._schedule.state(),
            "curriculum": self._curriculum.state(),
            "health": self.health.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` was taken from."""
        found = {
            role: msgspec.json.decode(text, type=genotypes.Genotype)
            for role, text in state["genotypes"].items()
        }
        self.genotypes |= found
        if state["phase"] != self._phase_number:
            self._enter_phase(state["phase"])
        self.phase.restore(state)
        self.genotypes |= found
        self._stable_epochs = state["stable_epochs"]
        self._schedule.restore(state["schedule"])
        self._curriculum.restore(state["curriculum"])
        self.health.restore(state["health"])

    def _smallest_batch(self) -> Batch:
        halves = (self.weight_batches, self.architecture_batches)
        half = min(halves, key=lambda each: each.smallest)
        return half.batch(0, len(half) - 1)

    def _provenance(self, epoch: int) -> Provenance:
        return Provenance(
            dataset=self.data.reader.name,
            backbone=self.settings.backbone,
            seed=self.settings.run.seed,
            split_hash=self.data.split.hash,
            epoch=epoch,
            settings=without_none(msgspec.to_builtins(self.settings, enc_hook=str)),
            versions=versions(),
            created=self.folder.read_record()["created"],
        )
