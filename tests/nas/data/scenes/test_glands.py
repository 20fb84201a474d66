import numpy as np

from nas.data.scenes.glands import BENIGN, MALIGNANT, draw


def _roughness(waviness: float) -> float:
    """Perimeter squared over area, averaged over the glands of a few pictures."""
    from skimage.measure import regionprops

    values = []
    for seed in range(4):
        scene = draw(np.random.default_rng(seed), (256, 384), waviness)
        values += [r.perimeter**2 / r.area for r in regionprops(scene.instances)]
    return float(np.mean(values))


def test_malignant_glands_are_less_round() -> None:
    assert _roughness(MALIGNANT) > 1.02 * _roughness(BENIGN)


def test_a_gland_is_a_dark_ring_around_a_bright_lumen() -> None:
    from scipy.ndimage import distance_transform_edt

    scene = draw(np.random.default_rng(0), (256, 384))
    depth = distance_transform_edt(scene.labels)
    grey = scene.image.mean(axis=-1)
    assert scene.image.shape == (256, 384, 3)
    stroma = grey[scene.labels == 0].mean()
    assert grey[(depth > 0) & (depth < 6)].mean() < stroma < grey[depth > 22].mean()
