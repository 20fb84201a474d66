"""What holds for every scene."""

from collections.abc import Callable

import numpy as np
import pytest

from nas.data.scenes import axons, cells, chest, glands, nuclei, vessels
from nas.data.scenes.scene import Scene

Draw = Callable[[np.random.Generator, tuple[int, int]], Scene]
MODULES = [axons, cells, chest, glands, nuclei, vessels]
SCENES = [pytest.param(module.draw, module.CLASSES, id=module.__name__) for module in MODULES]
SIZE = (120, 150)


@pytest.mark.parametrize(("draw", "classes"), SCENES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_types_and_values(draw: Draw, classes: tuple[str, ...], seed: int) -> None:
    scene = draw(np.random.default_rng(seed), SIZE)
    assert scene.image.shape[:2] == SIZE == scene.labels.shape
    assert scene.image.shape[2:] in ((), (3,))
    assert scene.image.dtype == np.float32 and scene.labels.dtype == np.uint8
    assert scene.image.min() >= 0 and scene.image.max() <= 1
    assert sorted(np.unique(scene.labels)) == list(range(len(classes)))


@pytest.mark.parametrize(("draw", "classes"), SCENES)
def test_the_seed_decides(draw: Draw, classes: tuple[str, ...]) -> None:
    first, again, other = (draw(np.random.default_rng(seed), SIZE) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.image != other.image).any() and (first.labels != other.labels).any()


@pytest.mark.parametrize(("draw", "classes"), SCENES)
def test_classes_differ_in_brightness(draw: Draw, classes: tuple[str, ...]) -> None:
    """A network can learn them: each class has another mean than the background near it."""
    scene = draw(np.random.default_rng(1), SIZE)
    grey = scene.image.mean(axis=-1) if scene.image.ndim == 3 else scene.image
    counts = scene.field_of_view if scene.field_of_view is not None else np.ones(SIZE, bool)
    means = [grey[(scene.labels == k) & counts].mean() for k in range(len(classes))]
    spread = grey[(scene.labels == 0) & counts].std()
    assert all(abs(mean - means[0]) > 0.3 * spread for mean in means[1:])


@pytest.mark.parametrize("draw", [m.draw for m in (axons, cells, glands, nuclei)])
@pytest.mark.parametrize("seed", [0, 1])
def test_objects_are_the_foreground_and_hang_together(draw: Draw, seed: int) -> None:
    from scipy.ndimage import label

    scene = draw(np.random.default_rng(seed), SIZE)
    assert scene.instances is not None and scene.instances.dtype == np.int32
    np.testing.assert_array_equal(scene.instances > 0, scene.labels > 0)
    numbers = np.unique(scene.instances)
    assert numbers.tolist() == list(range(numbers.max() + 1)) and numbers.max() >= 3
    for number in numbers[1:]:
        sizes = np.bincount(label(scene.instances == number)[0].ravel())[1:]
        assert sizes.max() > 0.8 * sizes.sum()
