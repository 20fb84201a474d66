import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from nas.data.scenes.axons import draw


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_axon_is_inside_of_its_own_myelin(seed: int) -> None:
    scene = draw(np.random.default_rng(seed), (200, 240))
    assert scene.instances is not None
    for number in range(1, scene.instances.max() + 1):
        axon = (scene.instances == number) & (scene.labels == 1)
        around = binary_dilation(axon) & ~axon
        assert (scene.labels[around] == 2).all()
        assert (scene.instances[around] == number).all()
        assert ((scene.instances == number) & (scene.labels == 2)).any()


def test_axons_are_bright_and_myelin_is_dark() -> None:
    scene = draw(np.random.default_rng(0), (300, 300))
    means = [scene.image[scene.labels == k].mean() for k in range(3)]
    assert means[2] < means[0] < means[1]
