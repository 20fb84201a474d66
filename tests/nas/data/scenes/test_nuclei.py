import numpy as np

from nas.data.scenes.nuclei import draw


def test_nuclei_are_bright_on_black_and_differ_in_brightness() -> None:
    scene = draw(np.random.default_rng(0), (256, 256))
    assert scene.instances is not None
    assert scene.image[scene.labels == 0].mean() < 0.1
    levels = [scene.image[scene.instances == n].mean() for n in range(1, scene.instances.max() + 1)]
    assert len(levels) >= 10 and min(levels) > 0.15 and max(levels) > 1.5 * min(levels)
