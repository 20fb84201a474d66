import numpy as np
import pytest

from nas.data.scenes import chest


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_patients_left_lung_is_on_the_images_right(seed: int) -> None:
    labels = chest.draw(np.random.default_rng(seed), (128, 128)).labels
    left, right = (np.nonzero(labels == k)[1].mean() for k in (2, 3))
    assert chest.CLASSES[2:] == ("left lung", "right lung")
    assert left > right


def test_large_pictures_are_enlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chest, "LARGEST", 64)
    scene = chest.draw(np.random.default_rng(0), (192, 128))
    assert scene.image.shape == scene.labels.shape == (192, 128)
    np.testing.assert_array_equal(scene.labels[::3, ::3], scene.labels[1::3, 1::3])
    assert sorted(np.unique(scene.labels)) == [0, 1, 2, 3]
