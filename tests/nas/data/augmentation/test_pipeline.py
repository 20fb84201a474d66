from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from nas.data.augmentation import pipeline
from nas.data.augmentation.pipeline import Augmentation
from nas.data.augmentation.stack import Stack
from nas.data.augmentation.warp import pixel_grid
from nas.data.cases import UNKNOWN
from nas.data.images import open_image, open_mask
from nas.settings import AugmentationSettings

MakeStack = Callable[..., Stack]
REAL = Path(__file__).parents[5] / "shared/data/axon_myelin_sem"
ALONE: dict[str, dict[str, object]] = {
    "flips": {"flips": ("horizontal", "vertical")},
    "rotation": {"rotation": 180.0},
    "quarters": {"quarters": 0.5},
    "elastic": {"elastic": 0.5, "elastic_alpha": (20.0, 60.0)},
}
EVERYTHING = {name: value for options in ALONE.values() for name, value in options.items()}


def augmentation(**options: object) -> Augmentation:
    return Augmentation(AugmentationSettings(**options))  # type: ignore[arg-type]


def equal(one: Stack, other: Stack) -> bool:
    return all(
        (a is None and b is None) or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(one, other, strict=True)
    )


def repeated(stack: Stack, count: int) -> Stack:
    """The first image, many times."""
    return stack.mapped(lambda part: part[:1].repeat(count, *[1] * (part.ndim - 1)))


def image_of(stack: Stack, index: int) -> Stack:
    return stack.mapped(lambda part: part[index : index + 1])


@pytest.mark.parametrize("name", ALONE)
def test_is_identity_only_where_nothing_is_configured(name: str) -> None:
    assert augmentation().is_identity
    assert augmentation(elastic_alpha=(1.0, 2.0), curriculum=(name,)).is_identity
    assert not augmentation(**ALONE[name]).is_identity


def test_nothing_configured_changes_nothing(make_stack: MakeStack) -> None:
    stack = make_stack(count=20)
    assert equal(augmentation()(stack, range(20), begun=True), stack)


@pytest.mark.parametrize("name", ALONE)
def test_each_alone_changes_the_image(make_stack: MakeStack, name: str) -> None:
    stack = repeated(make_stack(), 400)
    found = augmentation(**ALONE[name])(stack, range(400), begun=True)
    changed = (found.images != stack.images).flatten(1).any(dim=1).float().mean().item()
    share = {"flips": 0.75, "rotation": 1.0, "quarters": 0.5, "elastic": 0.5}[name]
    assert changed == pytest.approx(share, abs=0.1 if share < 1 else 0)


@settings(max_examples=25, deadline=None)
@given(
    seeds=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=3),
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    labels=st.lists(st.integers(0, 255), min_size=1, max_size=4, unique=True),
    begun=st.booleans(),
)
def test_labels_values_and_shapes_stay_what_they_are(
    seeds: list[int], height: int, width: int, labels: list[int], begun: bool
) -> None:
    count = len(seeds)
    drawn = torch.tensor(labels)[torch.randint(len(labels), (count, height, width))]
    images = torch.rand(count, 3, height, width).round()
    stack = Stack(images, drawn, torch.rand(count, height, width))
    kept = stack.mapped(torch.clone)
    augment = augmentation(**{**EVERYTHING, "elastic": 1.0}, curriculum=("flips", "quarters"))
    found = augment(stack, seeds, begun)
    assert found.labels is not None and found.weights is not None
    for mine, stored in zip(found.labels, drawn, strict=True):
        assert set(mine.unique().tolist()) <= set(stored.unique().tolist())
    assert found.images.min() >= 0 and found.images.max() <= 1
    assert found.weights.min() >= 0 and found.weights.max() <= 1.001
    assert found.images.shape == stack.images.shape and found.size == (height, width)
    assert (found.images.dtype, found.labels.dtype) == (torch.float32, torch.int64)
    assert equal(kept, stack)
    assert equal(found, augment(stack, seeds, begun))


def test_unknown_pixels_stay_unknown_and_no_others_become_so(make_stack: MakeStack) -> None:
    stack = make_stack(30, 30, labels=(0, 1, 2), count=8)
    assert stack.labels is not None
    labels = stack.labels.clone()
    labels[:, 8:20, 5:25] = UNKNOWN
    stack = Stack((labels == UNKNOWN)[:, None].float(), labels)
    found = augmentation(**{**EVERYTHING, "elastic": 1.0})(stack, range(8), begun=True)
    assert found.labels is not None
    assert set(found.labels.unique().tolist()) == {0, 1, 2, UNKNOWN}
    certain = (found.images[:, 0] < 0.25) | (found.images[:, 0] > 0.75)
    assert certain.float().mean() > 0.9
    assert torch.equal((found.labels == UNKNOWN)[certain], (found.images[:, 0] > 0.5)[certain])


def test_seeds_give_different_results_and_nothing_global_is_touched(
    make_stack: MakeStack,
) -> None:
    stack, augment = repeated(make_stack(), 12), augmentation(**EVERYTHING)
    state = torch.get_rng_state()
    images = augment(stack, range(12), begun=True).images
    assert torch.equal(state, torch.get_rng_state())
    assert not any(torch.equal(a, b) for a, b in combinations(images, 2))


@pytest.mark.parametrize("options", [*ALONE.values(), EVERYTHING])
def test_an_image_does_not_depend_on_those_beside_it(
    make_stack: MakeStack, options: dict[str, object]
) -> None:
    stack, augment = make_stack(30, 44, count=6), augmentation(**options)
    seeds = [5, 900, -3, 2**62, 8, 77]
    together = augment(stack, seeds, begun=True)
    for index, seed in enumerate(seeds):
        alone = augment(image_of(stack, index), [seed], begun=True)
        mine = image_of(together, index)
        torch.testing.assert_close(alone.images, mine.images, atol=1e-4, rtol=0)
        assert alone.labels is not None and mine.labels is not None
        assert (alone.labels != mine.labels).float().mean() < 0.002


@pytest.mark.parametrize("later", ALONE)
def test_what_is_kept_for_later_does_not_change_the_others(
    make_stack: MakeStack, later: str
) -> None:
    stack, seeds = repeated(make_stack(), 30), range(30)
    others = {
        name: value
        for other, options in ALONE.items()
        if other != later
        for name, value in options.items()
    }
    kept = augmentation(**EVERYTHING, curriculum=(later,))
    before = kept(stack, seeds, begun=False)
    assert equal(before, augmentation(**others)(stack, seeds, begun=True))
    after = kept(stack, seeds, begun=True)
    assert equal(after, augmentation(**EVERYTHING)(stack, seeds, begun=False))
    assert sum(not equal(image_of(before, i), image_of(after, i)) for i in seeds) >= 8


def points_of(stack: Stack, seeds: Sequence[int], **options: object) -> np.ndarray:
    """Where the single resampling takes its pixels from, as complex numbers row + i column."""
    stack = repeated(stack, len(seeds))
    with patch.object(pipeline, "warp", wraps=pipeline.warp) as counted:
        augmentation(**options)(stack, seeds, begun=True)
    assert counted.call_count == 1
    points = counted.call_args.args[1].double().numpy()
    assert len(points) == len(seeds)
    return points[:, 0] + 1j * points[:, 1]


def test_rotation_and_field_are_one_resampling(make_stack: MakeStack) -> None:
    stack = make_stack(30, 44)
    field = {"elastic": 1.0, "elastic_alpha": (20.0, 20.0), "elastic_sigma": 0.01}
    (grid,) = points_of(stack, [3], rotation=1e-9)
    displacement = points_of(stack, [3], **field)[0] - grid
    assert 19.9 < np.abs(displacement.real).max() <= 20.001
    (turned,) = points_of(stack, [3], rotation=180.0)
    middle = 14.5 + 21.5j
    turn = (turned[0, 0] - middle) / (grid[0, 0] - middle)
    assert abs(turn) == pytest.approx(1) and abs(turn - 1) > 0.1
    (both,) = points_of(stack, [3], rotation=180.0, **field)
    np.testing.assert_allclose(both, middle + turn * (grid + displacement - middle), atol=1e-4)


def test_result_is_the_stack_at_those_points(make_stack: MakeStack) -> None:
    stack, seeds = repeated(make_stack(30, 44), 3), [3, 4, 9]
    options = {**ALONE["rotation"], **ALONE["elastic"], "elastic": 1.0}
    found = augmentation(**options)(stack, seeds, begun=True)
    for points, images in zip(points_of(stack, seeds, **options), found.images, strict=True):
        for mine, stored in zip(images, stack.images[0], strict=True):
            places = np.stack((points.real, points.imag))
            theirs = map_coordinates(stored.numpy(), places, order=1, mode="reflect")
            np.testing.assert_allclose(mine.numpy(), theirs, atol=1e-3)


def test_images_that_are_not_deformed_are_left_exactly_as_they_are(make_stack: MakeStack) -> None:
    stack = make_stack(13, 18, count=60)
    found = augmentation(**ALONE["elastic"])(stack, range(60), begun=True)
    same = [equal(image_of(found, i), image_of(stack, i)) for i in range(60)]
    assert 15 < sum(same) < 45


def test_whether_one_is_applied_says_nothing_of_another(make_stack: MakeStack) -> None:
    stack, seeds = make_stack(6, 6), range(400)
    options = {"rotation": 20.0, "elastic": 0.5, "elastic_alpha": (9.0, 9.0), "elastic_sigma": 0.01}
    points = points_of(stack, seeds, **options)
    deformed = np.abs(np.diff(points, n=2)).max(axis=(1, 2)) > 1e-3
    arms = points_of(stack, seeds, rotation=20.0)[:, 3, 5]
    left = (arms - points_of(stack, [0], rotation=1e-9)[0, 3, 5]).real > 0
    for one in (deformed, ~deformed):
        for other in (left, ~left):
            assert (one & other).mean() == pytest.approx(0.25, abs=0.087)


def test_exact_changes_are_never_interpolated(make_stack: MakeStack) -> None:
    stack = make_stack(13, 18, channels=1, count=30)
    assert stack.labels is not None
    stack = stack._replace(images=stack.labels[:, None].float() / 2)
    augment = augmentation(**ALONE["flips"], **ALONE["quarters"])
    with patch.object(pipeline, "warp") as resampled:
        found = augment(stack, range(30), begun=True)
    resampled.assert_not_called()
    assert found.labels is not None
    assert torch.equal(found.images[:, 0] * 2, found.labels.float())


def test_image_mask_and_weights_move_together() -> None:
    rows, columns = pixel_grid(60, 60)
    disc = ((rows - 25).square() + (columns - 33).square() < 250).float()[None]
    stack = repeated(Stack(disc[None], disc.long(), disc), 25)
    found = augmentation(**EVERYTHING)(stack, range(25), begun=True)
    assert found.weights is not None and found.labels is not None
    # A label is 1 pixel exact; the image half way between two labels is not far from it.
    apart = (found.images[:, 0] > 0.5) != (found.labels == 1)
    assert apart.float().mean(dim=(1, 2)).max() < 0.02
    torch.testing.assert_close(found.images[:, 0], found.weights, atol=1e-6, rtol=0)


def test_images_without_labels_are_changed_as_those_with(make_stack: MakeStack) -> None:
    stack, augment = make_stack(count=9), augmentation(**EVERYTHING)
    alone = augment(Stack(stack.images), range(9), begun=True)
    assert alone.labels is None and alone.weights is None
    assert torch.equal(alone.images, augment(stack, range(9), begun=True).images)


def test_rotation_keeps_to_its_range(make_stack: MakeStack) -> None:
    arms = points_of(make_stack(41, 41), range(200), rotation=20.0)[:, 20, 40] - (20 + 20j)
    angles = np.degrees(np.arctan2(arms.real, arms.imag))
    assert -20.001 <= min(angles) < -18 and 18 < max(angles) <= 20.001
    assert abs(np.mean(angles)) < 4 * 20 / 3**0.5 / 200**0.5


def test_parts_that_do_not_fit_are_refused() -> None:
    wrong = Stack(torch.rand(1, 1, 4, 4), torch.zeros(1, 4, 5).long())
    with pytest.raises(ValueError, match="expected images"):
        augmentation()(wrong, [0], begun=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_the_same_changes_on_a_gpu(make_stack: MakeStack) -> None:
    stack, augment = make_stack(64, 80, count=8), augmentation(**EVERYTHING)
    here = augment(stack, range(8), begun=True)
    there = augment(stack.mapped(torch.Tensor.cuda), range(8), begun=True)
    assert there.images.is_cuda and there.labels is not None and here.labels is not None
    torch.testing.assert_close(there.images.cpu(), here.images, atol=1e-3, rtol=0)
    assert (there.labels.cpu() != here.labels).float().mean() < 0.002


@pytest.mark.skipif(not REAL.is_dir(), reason="the real images are not here")
def test_real_image_and_mask_stay_aligned() -> None:
    """The mean of the image in each class hardly changes, since pixels keep their labels."""
    file = sorted((REAL / "images").iterdir())[0]
    image = torch.from_numpy(open_image(file))[:, :256, :320]
    labels = torch.from_numpy(open_mask(REAL / "masks" / f"{file.stem}.png"))[:256, :320]
    values = labels.unique().tolist()

    def means(image: torch.Tensor, labels: torch.Tensor) -> list[float]:
        return [image[0][labels == value].mean().item() for value in values]

    stack = repeated(Stack(image[None], labels[None]), 5)
    augment = augmentation(rotation=15.0, flips=("horizontal",), elastic=1.0)
    found = augment(stack, range(5), begun=True)
    assert found.labels is not None
    for index in range(5):
        assert set(found.labels[index].unique().tolist()) <= set(values)
        np.testing.assert_allclose(
            means(found.images[index], found.labels[index]), means(image, labels), atol=0.05
        )
