from __future__ import annotations

from collections.abc import Callable
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
from nas.data.augmentation.sample import Sample
from nas.data.augmentation.warp import pixel_grid
from nas.data.images import open_image, open_mask
from nas.settings import AugmentationSettings

MakeSample = Callable[..., Sample]
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


def equal(one: Sample, other: Sample) -> bool:
    return all(
        (a is None and b is None) or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("name", ALONE)
def test_is_identity_only_where_nothing_is_configured(name: str) -> None:
    assert augmentation().is_identity
    assert augmentation(elastic_alpha=(1.0, 2.0), curriculum=(name,)).is_identity
    assert not augmentation(**ALONE[name]).is_identity


def test_nothing_configured_changes_nothing(make_sample: MakeSample) -> None:
    sample = make_sample()
    for seed in range(20):
        assert equal(augmentation()(sample, seed, begun=True), sample)


@pytest.mark.parametrize("name", ALONE)
def test_each_alone_changes_the_image(make_sample: MakeSample, name: str) -> None:
    sample = make_sample()
    changed = [
        not equal(augmentation(**ALONE[name])(sample, seed, begun=True), sample)
        for seed in range(400)
    ]
    share = {"flips": 0.75, "rotation": 1.0, "quarters": 0.5, "elastic": 0.5}[name]
    assert np.mean(changed) == pytest.approx(share, abs=0.1 if share < 1 else 0)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**63 - 1),
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    labels=st.lists(st.integers(0, 255), min_size=1, max_size=4, unique=True),
    begun=st.booleans(),
)
def test_labels_values_and_shapes_stay_what_they_are(
    seed: int, height: int, width: int, labels: list[int], begun: bool
) -> None:
    drawn = torch.tensor(labels)[torch.randint(len(labels), (height, width))]
    sample = Sample(torch.rand(3, height, width).round(), drawn, torch.rand(height, width))
    kept = Sample(sample.image.clone(), drawn.clone(), torch.rand(0))
    augment = augmentation(**{**EVERYTHING, "elastic": 1.0}, curriculum=("flips", "quarters"))
    found = augment(sample, seed, begun)
    assert set(found.labels.unique().tolist()) <= set(drawn.unique().tolist())
    assert found.image.min() >= 0 and found.image.max() <= 1
    assert found.weights is not None and found.weights.min() >= 0 and found.weights.max() <= 1.001
    assert found.image.shape == sample.image.shape and found.size == (height, width)
    assert (found.image.dtype, found.labels.dtype) == (torch.float32, torch.int64)
    assert torch.equal(kept.image, sample.image) and torch.equal(kept.labels, sample.labels)
    assert equal(found, augment(sample, seed, begun))


def test_seeds_give_different_results_and_nothing_global_is_touched(
    make_sample: MakeSample,
) -> None:
    sample, augment = make_sample(), augmentation(**EVERYTHING)
    state = torch.get_rng_state()
    images = [augment(sample, seed, begun=True).image for seed in range(12)]
    assert torch.equal(state, torch.get_rng_state())
    assert not any(torch.equal(a, b) for a, b in combinations(images, 2))


@pytest.mark.parametrize("later", ALONE)
def test_what_is_kept_for_later_does_not_change_the_others(
    make_sample: MakeSample, later: str
) -> None:
    sample = make_sample()
    others = {
        name: value
        for other, options in ALONE.items()
        if other != later
        for name, value in options.items()
    }
    kept = augmentation(**EVERYTHING, curriculum=(later,))
    differ = 0
    for seed in range(30):
        before = kept(sample, seed, begun=False)
        assert equal(before, augmentation(**others)(sample, seed, begun=True))
        after = kept(sample, seed, begun=True)
        assert equal(after, augmentation(**EVERYTHING)(sample, seed, begun=False))
        differ += not equal(before, after)
    assert differ >= 8


def points_of(sample: Sample, seed: int, **options: object) -> np.ndarray:
    """Where the single resampling takes its pixels from, as complex numbers row + i column."""
    with patch.object(pipeline, "warp", wraps=pipeline.warp) as counted:
        augmentation(**options)(sample, seed, begun=True)
    assert counted.call_count == 1
    rows, columns = counted.call_args.args[1].double().numpy()
    return rows + 1j * columns


def test_rotation_and_field_are_one_resampling(make_sample: MakeSample) -> None:
    sample = make_sample(30, 44)
    field = {"elastic": 1.0, "elastic_alpha": (20.0, 20.0), "elastic_sigma": 0.01}
    grid = points_of(sample, 3, rotation=1e-9)
    displacement = points_of(sample, 3, **field) - grid
    assert 19.9 < np.abs(displacement.real).max() <= 20.001
    turned = points_of(sample, 3, rotation=180.0)
    middle = 14.5 + 21.5j
    turn = (turned[0, 0] - middle) / (grid[0, 0] - middle)
    assert abs(turn) == pytest.approx(1) and abs(turn - 1) > 0.1
    both = points_of(sample, 3, rotation=180.0, **field)
    np.testing.assert_allclose(both, middle + turn * (grid + displacement - middle), atol=1e-4)


def test_result_is_the_sample_at_those_points(make_sample: MakeSample) -> None:
    sample = make_sample(30, 44)
    options = {**ALONE["rotation"], **ALONE["elastic"], "elastic": 1.0}
    found = augmentation(**options)(sample, 3, begun=True)
    points = points_of(sample, 3, **options)
    for mine, stored in zip(found.image, sample.image, strict=True):
        places = np.stack((points.real, points.imag))
        theirs = map_coordinates(stored.numpy(), places, order=1, mode="reflect")
        np.testing.assert_allclose(mine.numpy(), theirs, atol=1e-3)


def test_whether_one_is_applied_says_nothing_of_another(make_sample: MakeSample) -> None:
    sample = make_sample(6, 6)
    options = {"rotation": 20.0, "elastic": 0.5, "elastic_alpha": (9.0, 9.0), "elastic_sigma": 0.01}
    seen = []
    for seed in range(400):
        points = points_of(sample, seed, **options)
        deformed = np.abs(np.diff(points, n=2)).max() > 1e-3
        angle = (
            points_of(sample, seed, rotation=20.0)[3, 5] - points_of(sample, 0, rotation=1e-9)[3, 5]
        )
        seen.append((deformed, angle.real > 0))
    for pair in ((True, True), (True, False), (False, True), (False, False)):
        assert seen.count(pair) / len(seen) == pytest.approx(0.25, abs=0.087)


def test_exact_changes_are_never_interpolated(make_sample: MakeSample) -> None:
    sample = make_sample(13, 18, channels=1)
    sample = sample._replace(image=sample.labels[None].float() / 2)
    augment = augmentation(**ALONE["flips"], **ALONE["quarters"])
    with patch.object(pipeline, "warp") as resampled:
        for seed in range(30):
            found = augment(sample, seed, begun=True)
            assert torch.equal(found.image[0] * 2, found.labels.float())
    resampled.assert_not_called()


def test_image_mask_and_weights_move_together(make_sample: MakeSample) -> None:
    rows, columns = pixel_grid(60, 60)
    disc = ((rows - 25).square() + (columns - 33).square() < 250).float()
    sample = Sample(disc[None], disc.long(), disc)
    augment = augmentation(**EVERYTHING)
    for seed in range(25):
        found = augment(sample, seed, begun=True)
        assert found.weights is not None
        # A label is 1 pixel exact; the image half way between two labels is not far from it.
        apart = (found.image[0] > 0.5) != (found.labels == 1)
        assert apart.float().mean() < 0.02
        torch.testing.assert_close(found.image[0], found.weights, atol=1e-6, rtol=0)


def test_rotation_keeps_to_its_range(make_sample: MakeSample) -> None:
    sample = make_sample(41, 41)
    arms = [points_of(sample, seed, rotation=20.0)[20, 40] - (20 + 20j) for seed in range(200)]
    angles = [np.degrees(np.arctan2(arm.real, arm.imag)) for arm in arms]
    assert -20.001 <= min(angles) < -18 and 18 < max(angles) <= 20.001
    assert abs(np.mean(angles)) < 4 * 20 / 3**0.5 / 200**0.5


def test_parts_that_do_not_fit_are_refused() -> None:
    wrong = Sample(torch.rand(1, 4, 4), torch.zeros(4, 5).long(), None)
    with pytest.raises(ValueError, match="expected an image"):
        augmentation()(wrong, 0, begun=True)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real images are not here")
def test_real_image_and_mask_stay_aligned() -> None:
    """The mean of the image in each class hardly changes, since pixels keep their labels."""
    file = sorted((REAL / "images").iterdir())[0]
    image = torch.from_numpy(open_image(file))[:, :256, :320]
    labels = torch.from_numpy(open_mask(REAL / "masks" / f"{file.stem}.png"))[:256, :320]
    values = labels.unique()

    def means(sample: Sample) -> torch.Tensor:
        return torch.stack([sample.image[0][sample.labels == value].mean() for value in values])

    sample = Sample(image, labels, None)
    augment = augmentation(rotation=15.0, flips=("horizontal",), elastic=1.0)
    for seed in range(5):
        found = augment(sample, seed, begun=True)
        assert set(found.labels.unique().tolist()) <= set(values.tolist())
        np.testing.assert_allclose(means(found).numpy(), means(sample).numpy(), atol=0.05)
