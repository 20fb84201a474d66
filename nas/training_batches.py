"""The batches that a search or a retraining sees, as its settings describe them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from nas.additions import (
    Augmented,
    Curriculum,
    WithBorderWeights,
    WithClassWeights,
    WithTriplets,
)
from nas.data.augmentation.pipeline import Augmentation
from nas.data.batches import Addition, Batches, Samples, Shuffled
from nas.data.parts import part_of
from nas.data.unlabelled import Unlabelled, WithUnlabelled
from nas.devices import derived_seed
from nas.errors import UsageError
from nas.ranks import count, number
from nas.settings import AugmentationSettings, Deformation, RetrainSettings, SearchSettings


def check_augmentation(settings: AugmentationSettings) -> None:
    """Refuse a curriculum of augmentations that are not configured, and an inverted range.

    Raises:
        UsageError: with what contradicts what.
    """
    configured: dict[Deformation, bool] = {
        "flips": bool(settings.flips),
        "rotation": settings.rotation > 0,
        "quarters": settings.quarters > 0,
        "elastic": settings.elastic > 0,
    }
    for name in settings.curriculum:
        if not configured[name]:
            raise UsageError(f"--curriculum keeps {name} for later, but --{name} asks for none.")
    least, largest = settings.elastic_alpha
    if least > largest:
        raise UsageError(f"--elastic-alpha {least:g} {largest:g}: the least strength comes first.")


def check_parts(batch_size: int) -> None:
    """Refuse more processes than a batch has images.

    Raises:
        UsageError: names both.
    """
    if count() > batch_size:
        raise UsageError(
            f"{count()} processes share each batch, and --batch-size {batch_size} leaves some of "
            "them without an image: raise it, or start fewer processes."
        )


def training_batches(
    settings: SearchSettings | RetrainSettings,
    samples: Samples,
    ids: Sequence[str],
    purpose: str,
    classes: int,
    unlabelled: Unlabelled | None,
    curriculum: Curriculum,
    triplets: bool,
) -> Batches:
    """Shuffled batches of some of the samples with everything that the settings add to them.

    Args:
        settings: of the run.
        samples: the labelled images.
        ids: those of them that are shown.
        purpose: of the batches, which tells their random numbers from those of others.
        classes: K, background included.
        unlabelled: images without truth, if there are any.
        curriculum: says whether augmentations that are kept for later have begun.
        triplets: whether the loss looks at triplets.

    Raises:
        DataError: there are no images.
    """
    size = settings.training.batch_size
    seed = derived_seed(settings.run.seed, purpose)
    additions: list[Addition] = []
    if settings.loss.border_weight:
        additions.append(WithBorderWeights(settings.loss, samples.instances))
    additions += _unlabelled(unlabelled, size, seed, ids)
    augmentation = Augmentation(settings.augmentation)
    if not augmentation.is_identity:
        own_seed = derived_seed(seed, "augmentation")
        additions.append(Augmented(augmentation, curriculum, own_seed))
    if settings.loss.class_weights == "frequency":
        additions.append(WithClassWeights(classes))
    if triplets:
        additions.append(WithTriplets(settings.loss, derived_seed(seed, "triplets")))
    return _batches(settings, samples, seed, ids, additions)


def held_out_batches(
    settings: SearchSettings,
    samples: Samples,
    ids: Sequence[str],
    purpose: str,
    unlabelled: Unlabelled | None,
) -> Batches:
    """Shuffled batches that a search judges architectures by: as stored, with unlabelled images.

    Args:
        settings: of the search.
        samples: the labelled images.
        ids: those of them that are held out.
        purpose: of the batches.
        unlabelled: images without truth, if there are any.

    Raises:
        DataError: there are no images.
    """
    size = settings.training.batch_size
    seed = derived_seed(settings.run.seed, purpose)
    additions = _unlabelled(unlabelled, size, seed, ids)
    return _batches(settings, samples, seed, ids, additions)


def _batches(
    settings: SearchSettings | RetrainSettings,
    samples: Samples,
    seed: int,
    ids: Sequence[str],
    additions: Sequence[Addition],
) -> Batches:
    """Of several processes each sees its part of the batches."""
    part = partial(part_of, number=number(), count=count()) if count() > 1 else None
    batches = Batches(samples, settings.training.batch_size, seed, ids, additions, part)
    smallest = min(
        [batches.smallest]
        + [each.smallest for each in additions if isinstance(each, WithUnlabelled)]
    )
    if settings.run.batch_statistics == "synchronised" and smallest < count():
        raise UsageError(
            f"--batch-statistics synchronised needs an image for each of the {count()} processes "
            f"in every batch, and one batch of an epoch has {smallest}: choose another "
            "--batch-size, or fewer processes."
        )
    return batches


def _unlabelled(
    unlabelled: Unlabelled | None, size: int, seed: int, ids: Sequence[str]
) -> list[Addition]:
    if unlabelled is None or not ids:
        return []
    steps = len(Shuffled(ids, size, seed))
    return [WithUnlabelled(unlabelled, size, derived_seed(seed, "unlabelled"), steps)]
