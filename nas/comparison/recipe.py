"""What a comparison compares, as its recipe says: methods, backbones, data sets, seeds, a budget.

A recipe is a TOML file. Beside the fields of `Recipe` it has the tables of a settings file, which
all cells share, and may have variants, as other recipes. Nothing here imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from nas.anchoring import DATA_PATHS, absolute, anchored_data, anchored_network
from nas.comparison.record import ScoreName
from nas.errors import UsageError
from nas.networks import is_genotype
from nas.runs import to_settings
from nas.settings import (
    AdversarySettings,
    ArchitectureSettings,
    AugmentationSettings,
    CellSettings,
    Count,
    DataSettings,
    FlexVGGSettings,
    GameSettings,
    LossSettings,
    Positive,
    Rate,
    RunSettings,
    SpaceSettings,
    TrainingSettings,
)
from nas.specifications import did_you_mean

MethodKind = Literal["none", "named", "genotype", "random", "search"]

RANDOM = re.compile(r"random:([1-9][0-9]*)")
Part = Annotated[float, Meta(gt=0, lt=1)]


class Method(NamedTuple):
    """A method as a recipe names it.

    Attributes:
        text: as it stands in the recipe.
        kind: what it is.
        draws: of ``random:N`` how many genotypes are drawn; 1 of others.
    """

    text: str
    kind: MethodKind
    draws: int = 1

    @property
    def needs_space(self) -> bool:
        """Whether its discriminator comes from a search space."""
        return self.kind in ("random", "search")


class Budget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long every cell may train: epochs, or one measure of compute.

    Attributes:
        epochs: of each retraining. A search comes on top, and in the cost.
        search_epochs: of each search; by default as many.
        process_seconds: of the CPU, over all threads, for a cell, its search included.
        flops: floating-point operations of products, convolutions and the like in a cell's steps,
            forward and backward, its search included.
        search_share: of process_seconds or flops that a search may take.
    """

    epochs: Positive | None = None
    search_epochs: Positive | None = None
    process_seconds: Rate | None = None
    flops: Rate | None = None
    search_share: Part = 0.5

    @property
    def is_compute(self) -> bool:
        """Whether epochs follow from a measure of compute."""
        return self.epochs is None


class Recipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A comparison.

    Attributes:
        methods: none, a discriminator by name with options or by the file of its genotype,
            random:N (N genotypes of the space), search (search, derive, retrain).
        backbones: specifications of segmenters.
        datasets: the data table of each data set, by a name for it.
        seeds: of the runs.
        budget: how long every cell may train.
        baseline: the method that the others are tested against; by default none, or the first.
        score: the primary score.
        smallest_difference: that would matter, in points (hundredths of the score): the verdict
            says how many seeds are needed to see it.
        adversary: what discriminators see.
        space, cell, flexvgg, architecture: of searched and random discriminators.
        training, loss, game, augmentation, run: as of any run.
    """

    methods: tuple[str, ...]
    backbones: tuple[str, ...]
    datasets: dict[str, DataSettings]
    seeds: tuple[Count, ...]
    budget: Budget
    baseline: str | None = None
    score: ScoreName = "mean_iou"
    smallest_difference: Rate = 1.0
    adversary: AdversarySettings = AdversarySettings()
    space: SpaceSettings = SpaceSettings()
    cell: CellSettings = CellSettings()
    flexvgg: FlexVGGSettings = FlexVGGSettings()
    training: TrainingSettings = TrainingSettings()
    loss: LossSettings = LossSettings()
    game: GameSettings = GameSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    architecture: ArchitectureSettings = ArchitectureSettings()
    run: RunSettings = RunSettings()

    def parsed_methods(self) -> tuple[Method, ...]:
        """The methods, in order."""
        return tuple(parse_method(text) for text in self.methods)

    def chosen_baseline(self) -> str:
        """The method that the others are tested against."""
        if self.baseline is not None:
            return self.baseline
        return "none" if "none" in self.methods else self.methods[0]


OWNED = {
    ("training", "epochs"): "how long cells train is set by [budget]",
    ("adversary", "discriminator"): "discriminators are named by methods",
    ("adversary", "genotype"): "discriminators are named by methods",
    ("run", "seed"): "seeds are set by seeds",
    ("run", "run_dir"): "each cell has its folder below --out",
    ("run", "resume"): "a comparison goes on by itself where it was",
    ("run", "config"): "a recipe names no further file",
    ("run", "variant"): "variants are named by --variant on the command line",
}
"""Settings of a run that a comparison gives its cells, and by what."""


def parse_method(text: str) -> Method:
    """A method from its text.

    Raises:
        UsageError: it begins like a method of ours and is none.
    """
    if text in ("none", "search"):
        return Method(text, "none" if text == "none" else "search")
    if text.partition(":")[0] == "random":
        found = RANDOM.fullmatch(text)
        if found is None:
            raise UsageError(
                f"The method {text!r} cannot be read: random:N was expected, N the number of "
                "genotypes to draw, such as random:10."
            )
        return Method(text, "random", int(found[1]))
    return Method(text, "genotype" if is_genotype(text.partition("?")[0]) else "named")


def read_recipe(tables: Mapping[str, Any], data: Sequence[str], path: Path) -> Recipe:
    """The recipe of a file's tables, checked as far as that needs no data and no network.

    Args:
        tables: of the file, variants already laid over them.
        data: further settings of data sets, NAME.SETTING=PATH, as the command line has them.
        path: of the file.

    Raises:
        UsageError: a name or value is not expected, or contradicts another; the message says where.
    """
    _refuse_owned(tables, path)
    _refuse_unknown(tables, path)
    recipe = to_settings(tables, Recipe, path)
    recipe = _anchored(with_data(recipe, data))
    check(recipe, path)
    return recipe


def _refuse_owned(tables: Mapping[str, Any], path: Path) -> None:
    for (table, name), why in OWNED.items():
        if isinstance(tables.get(table), dict) and name in tables[table]:
            raise UsageError(f"{path}: {table}.{name} has no place in a comparison: {why}.")


def _refuse_unknown(tables: Mapping[str, Any], path: Path) -> None:
    known = Recipe.__struct_fields__
    for name in tables:
        if name not in known:
            raise UsageError(
                f"{path}: a recipe of a comparison has no {name!r}{did_you_mean(name, known)}; it "
                f"has {', '.join(known)}."
            )


def with_data(recipe: Recipe, data: Sequence[str]) -> Recipe:
    """The recipe with paths of data sets set by NAME.SETTING=PATH.

    Raises:
        UsageError: the text is of another form, or there is no such data set or setting.
    """
    datasets = dict(recipe.datasets)
    for text in data:
        place, equals, value = text.partition("=")
        name, dot, setting = place.rpartition(".")
        if not (equals and dot and value):
            raise UsageError(
                f"--data {text} cannot be read: NAME.SETTING=PATH was expected, such as "
                f"{next(iter(datasets), 'mine')}.data_root=DIR."
            )
        if name not in datasets:
            raise UsageError(
                f"--data {text}: the recipe has no data set {name!r}{did_you_mean(name, datasets)}."
            )
        if setting not in DATA_PATHS:
            raise UsageError(
                f"--data {text} sets paths alone: {', '.join(DATA_PATHS)}; write {setting} into "
                f"[datasets.{name}] of the recipe."
            )
        datasets[name] = msgspec.structs.replace(datasets[name], **{setting: Path(value)})
    return msgspec.structs.replace(recipe, datasets=datasets)


def _anchored(recipe: Recipe) -> Recipe:
    return msgspec.structs.replace(
        recipe,
        methods=tuple(map(anchored_network, recipe.methods)),
        baseline=None if recipe.baseline is None else anchored_network(recipe.baseline),
        backbones=tuple(map(anchored_network, recipe.backbones)),
        datasets={name: anchored_data(data) for name, data in recipe.datasets.items()},
    )


def check(recipe: Recipe, path: Path) -> None:
    """Refuse what contradicts itself.

    Raises:
        UsageError: what, and what was expected.
    """
    for name in ("methods", "backbones", "datasets", "seeds"):
        _check_list(name, getattr(recipe, name), path)
    for name in recipe.datasets:
        if slug(name) != name:
            raise UsageError(
                f"{path}: the data set {name!r} names a folder: use letters, digits, '.', '_' and "
                f"'-', such as {slug(name)}."
            )
    methods = recipe.parsed_methods()
    _check_folders("methods", recipe.methods, path)
    _check_folders("backbones", recipe.backbones, path)
    baseline = recipe.chosen_baseline()
    if baseline not in recipe.methods:
        raise UsageError(
            f"{path}: the baseline {baseline!r} is none of the methods"
            f"{did_you_mean(baseline, recipe.methods)}; they are {', '.join(recipe.methods)}."
        )
    if recipe.space.space == "none" and any(method.needs_space for method in methods):
        raise UsageError(
            f'{path}: space.space = "none" leaves no space for random:N and search: choose cell or '
            "flexvgg."
        )
    for backbone in recipe.backbones:
        if backbone.startswith(("search:", "patches:")):
            raise UsageError(
                f"{path}: the backbone {backbone} cannot be compared: discriminators are compared "
                "on segmenters of whole images that are the same for all."
            )
    if recipe.run.device not in ("auto", "cpu", "cuda"):
        raise UsageError(
            f"{path}: run.device = {recipe.run.device!r} would put every cell on one device: use "
            "auto, cpu or cuda, each cell then has a device of its own."
        )
    several = [method.text for method in methods if method.kind == "random"]
    if len(several) > 1:
        raise UsageError(
            f"{path}: {' and '.join(several)} would draw the same genotypes: keep the larger one."
        )
    _check_budget(recipe, path)


def _check_list(name: str, values: Iterable[object], path: Path) -> None:
    listed = list(values)
    if not listed:
        raise UsageError(f"{path}: {name} is empty: name at least one.")
    twice = [value for place, value in enumerate(listed) if value in listed[:place]]
    if twice:
        raise UsageError(f"{path}: {name} has {twice[0]!r} twice: keep one.")


def _check_folders(name: str, specifications: Sequence[str], path: Path) -> None:
    folders: dict[str, str] = {}
    for text in specifications:
        folder = slug(text)
        if folder in folders:
            raise UsageError(
                f"{path}: {name} {folders[folder]!r} and {text!r} would share the folder {folder}: "
                "rename one."
            )
        folders[folder] = text


def _check_budget(recipe: Recipe, path: Path) -> None:
    budget = recipe.budget
    measures = {name: getattr(budget, name) for name in ("epochs", "process_seconds", "flops")}
    given = [name for name, value in measures.items() if value is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        raise UsageError(
            f"{path}: [budget] needs one of {', '.join(measures)}, and there is {found}."
        )
    if not budget.is_compute:
        return
    if budget.search_epochs is not None:
        raise UsageError(
            f"{path}: budget.search_epochs goes with budget.epochs; with {given[0]}, search_share "
            "says how much of it a search may take."
        )
    if recipe.loss.pretrain_epochs:
        raise UsageError(
            f"{path}: loss.pretrain_epochs is not counted in budget.{given[0]}: use budget.epochs."
        )


def slug(text: str) -> str:
    """A name for a folder: of a genotype's file the stem, else the text with hyphens."""
    name, mark, options = text.partition("?")
    if is_genotype(name):
        name = Path(name).stem
    return re.sub(r"[^A-Za-z0-9._]+", "-", f"{name}{mark}{options}").strip("-.")


def plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values, with every default."""
    values: dict[str, Any] = msgspec.to_builtins(recipe, enc_hook=str)
    return values


def default_out(path: Path) -> Path:
    """Where the comparison of a recipe is by default."""
    return Path("runs") / f"compare-{path.stem}"


def anchored_out(path: Path) -> Path:
    """The folder of a comparison, absolute."""
    return absolute(path)
