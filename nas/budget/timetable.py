"""What a search consists of, epoch by epoch: steps of some kinds, and ends of epochs and run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from nas.illustration import is_drawn
from nas.phases import plan
from nas.scored_epochs import epochs_between, is_scored
from nas.settings import SearchSettings

RESTING, STEP, DIAGNOSED = "step of the warm-up", "step", "diagnosed step"
END, END_WITH_PICTURES = "end of an epoch", "end of an epoch with pictures"
LAST = "end of the run"
ENDS = {END, END_WITH_PICTURES, LAST}
"""Names of the parts; those of steps with their phase where there are several."""


@dataclass(frozen=True)
class Timetable:
    """The parts of a search; steps of one name take equally long.

    Attributes:
        epochs: of a phase.
        phases: of the search.
        steps: of an epoch.
        warmup: first epochs of each phase, in which alpha rests.
        diagnose_every: steps between two diagnoses; 0 for none.
        complete_from: first epoch of a phase (from 0) in which the whole game is played. Earlier
            ones may be cheaper, and count as if they were not.
        validate_every: epochs between two validations. Ends of epochs without one count as if they
            had it, where one of their name has.
    """

    epochs: int
    phases: int
    steps: int
    warmup: int
    diagnose_every: int
    complete_from: int = 0
    validate_every: int = 1

    @classmethod
    def of(cls, settings: SearchSettings, steps: int) -> Timetable:
        """That of a search with so many steps per epoch."""
        game, architecture = settings.game, settings.architecture
        begins = [game.adversarial_start]
        if game.unlabelled_weight and game.unlabelled_order == "mixed":
            begins.append(game.unlabelled_start)
        return cls(
            epochs=settings.training.epochs,
            phases=len(plan(settings)),
            steps=steps,
            warmup=architecture.warmup_epochs,
            diagnose_every=architecture.diagnose_every,
            complete_from=max(begins) - 1,
            validate_every=epochs_between(settings),
        )

    def contents(self) -> list[Counter[str]]:
        """How often every epoch has each part, by its name."""
        return [self._content(epoch) for epoch in range(self.phases * self.epochs)]

    def places(self) -> dict[str, tuple[int, int]]:
        """Epoch and step (from 0) of one step of each kind, in a complete game if there is one."""
        found: dict[str, tuple[int, int]] = {}
        for epoch in range(self.phases * self.epochs):
            for name in self._content(epoch).keys() - ENDS:
                if name not in found or found[name][0] % self.epochs < self.complete_from:
                    found[name] = epoch, self._first_step(epoch, name)
        return found

    def ends(self) -> dict[str, int]:
        """Of each end an epoch (from 0) that has it, by name; that of the run comes last.

        It is the last one with a validation, or else the last one.
        """

        def is_validated(epoch: int) -> bool:
            return is_scored(epoch % self.epochs, self.epochs, self.validate_every)

        found = {
            name: epoch
            for epoch in sorted(range(self.phases * self.epochs), key=is_validated)
            for name in self._content(epoch).keys() & ENDS
        }
        return dict(sorted(found.items(), key=lambda item: item[0] == LAST))

    def _content(self, epoch: int) -> Counter[str]:
        phase, within = divmod(epoch, self.epochs)
        where = f" of phase {phase + 1}" if self.phases > 1 else ""
        if within < self.warmup:
            steps = {f"{RESTING}{where}": self.steps}
        else:
            diagnosed = len(self._diagnosed(epoch))
            steps = {f"{STEP}{where}": self.steps - diagnosed, f"{DIAGNOSED}{where}": diagnosed}
        drawn = is_drawn(epoch, self.phases * self.epochs)
        is_last = epoch == self.phases * self.epochs - 1
        return +Counter({**steps, END_WITH_PICTURES if drawn else END: 1, LAST: int(is_last)})

    def _diagnosed(self, epoch: int) -> range:
        """The steps of an epoch in which both products are compared."""
        if not self.diagnose_every or epoch % self.epochs < self.warmup:
            return range(0)
        return range(-epoch * self.steps % self.diagnose_every, self.steps, self.diagnose_every)

    def _first_step(self, epoch: int, name: str) -> int:
        """The first step of a kind in an epoch that has such steps."""
        diagnosed = self._diagnosed(epoch)
        if name.startswith(DIAGNOSED):
            return diagnosed[0]
        return next(step for step in range(self.steps) if step not in diagnosed)


def is_rare(name: str) -> bool:
    """Whether a run has few of a kind of step, as it is usually set."""
    return name.startswith(DIAGNOSED)


def steps_of(content: Counter[str]) -> Counter[str]:
    """What of an epoch's parts are steps."""
    return Counter({name: each for name, each in content.items() if name not in ENDS})
