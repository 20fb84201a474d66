import numpy as np
import pytest
from scipy.ndimage import label

from nas.data.scenes.vessels import draw


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_field_is_a_circle_of_the_share_of_drive(seed: int) -> None:
    scene = draw(np.random.default_rng(seed), (292, 282))
    field = scene.field_of_view
    assert field is not None and field.dtype == bool
    diameter = 282 * 540 / 565
    assert abs(field.any(axis=0).sum() - diameter) <= 2
    assert abs(field.any(axis=1).sum() - diameter) <= 2
    assert abs(field.sum() - np.pi * diameter**2 / 4) < 0.01 * field.sum()
    assert (scene.image[~field] == 0).all()
    assert not scene.labels[~field].any()


def test_vessels_are_thin_dark_and_mostly_one_tree() -> None:
    scene = draw(np.random.default_rng(0), (584, 565))
    assert scene.field_of_view is not None
    share = scene.labels[scene.field_of_view].mean()
    assert 0.05 < share < 0.2
    sizes = np.bincount(label(scene.labels, np.ones((3, 3)))[0].ravel())[1:]
    assert sizes.max() > 0.8 * sizes.sum()
    green = scene.image[..., 1]
    background = scene.field_of_view & (scene.labels == 0)
    assert green[scene.labels > 0].mean() < 0.85 * green[background].mean()
