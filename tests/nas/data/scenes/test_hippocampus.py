import numpy as np
import pytest
from scipy.ndimage import label

from nas.data.scenes.hippocampus import SIZE, draw


@pytest.mark.parametrize("seed", range(5))
def test_the_head_is_in_front_of_the_tail(seed: int) -> None:
    volume = draw(np.random.default_rng(seed))
    assert volume.image.shape == volume.labels.shape == SIZE
    assert volume.image.dtype == np.float32 and volume.labels.dtype == np.uint8
    assert np.unique(volume.labels).tolist() == [0, 1, 2]
    anterior, posterior = (np.nonzero(volume.labels == k)[1] for k in (1, 2))
    assert anterior.min() > posterior.max()
    assert label(volume.labels > 0)[1] == 1
    assert 0.01 < (volume.labels > 0).mean() < 0.15


def test_it_lies_inside_of_the_volume() -> None:
    for seed in range(5):
        inside = draw(np.random.default_rng(seed)).labels > 0
        for axis in range(3):
            shown = np.moveaxis(inside, axis, 0)
            assert not shown[0].any() and not shown[-1].any()


def test_the_seed_and_the_size_decide() -> None:
    volumes = [draw(np.random.default_rng(seed), (30, 40, 20)) for seed in (1, 1, 2)]
    assert volumes[0].image.shape == (30, 40, 20)
    np.testing.assert_array_equal(volumes[0].image, volumes[1].image)
    assert (volumes[0].labels != volumes[2].labels).any()


def test_it_is_brighter_than_what_is_around() -> None:
    volume = draw(np.random.default_rng(0))
    assert volume.image[volume.labels > 0].mean() > volume.image[volume.labels == 0].mean() + 0.15
