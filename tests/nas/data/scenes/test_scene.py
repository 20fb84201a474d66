import numpy as np
import pytest

from nas.data.scenes.scene import clipped, clouds, enlarge


@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
def test_clouds_have_mean_0_and_deviation_1(scale: float) -> None:
    noise = clouds(np.random.default_rng(0), (64, 48), scale)
    assert noise.dtype == np.float32 and noise.shape == (64, 48)
    assert abs(float(noise.mean())) < 1e-3 and abs(float(noise.std()) - 1) < 1e-3


def test_wider_clouds_are_smoother() -> None:
    def step(scale: float) -> float:
        return float(np.abs(np.diff(clouds(np.random.default_rng(0), (64, 64), scale))).mean())

    assert step(0.0) > 2 * step(2.0) > 2 * step(6.0)


def test_clipped() -> None:
    assert clipped(np.array([-1.0, 0.25, 7.0])).tolist() == [0.0, 0.25, 1.0]


def test_labels_are_repeated_and_images_interpolated() -> None:
    labels = np.array([[0, 3], [1, 2]], dtype=np.uint8)
    np.testing.assert_array_equal(enlarge(labels, (4, 6)), labels.repeat(2, 0).repeat(3, 1))
    image = enlarge(np.array([[0.0, 1.0]], dtype=np.float32), (1, 8))
    assert image.dtype == np.float32
    assert len(np.unique(image)) > 2 and (np.diff(image[0]) >= 0).all()
