from dataclasses import replace

import numpy as np
import pytest

from nas.data.radiograph.attenuation import attenuation
from nas.data.radiograph.chest import labels, sample_chest
from nas.data.radiograph.film import HOSPITALS, develop
from nas.data.radiograph.frame import Frame

FRAME = Frame(height=128, width=128, zoom=1.1, angle=0.0, shift=(0.0, 0.0))
CLEAN = replace(
    HOSPITALS[0],
    exposure=(0.0, 0.0),
    contrast=(3.0, 0.0),
    scatter=0.0,
    blur=0.0,
    grain=0.0,
    edges=0.0,
    uneven=0.0,
    shutters=0.0,
    marker=(9.0, 9.0),
)


@pytest.fixture
def dense() -> np.ndarray:
    return np.linspace(0, 2, 128 * 128, dtype=np.float32).reshape(128, 128)


def test_shares_of_the_hospitals_add_up() -> None:
    assert sum(hospital.share for hospital in HOSPITALS) == pytest.approx(1.0)
    assert len({hospital.name for hospital in HOSPITALS}) == len(HOSPITALS)


def test_clean_film_is_a_rising_curve_from_black_to_white(dense: np.ndarray) -> None:
    film = develop(dense, FRAME, CLEAN, np.random.default_rng(0))
    assert film[0, 0] == pytest.approx(0, abs=1e-6)
    assert film[-1, -1] == pytest.approx(1, abs=1e-6)
    assert (np.diff(film.ravel()) >= 0).all()


def test_exposure_darkens_and_contrast_steepens(dense: np.ndarray) -> None:
    def film(**options: tuple[float, float]) -> np.ndarray:
        return develop(dense, FRAME, replace(CLEAN, **options), np.random.default_rng(0))

    plain = film()
    assert film(exposure=(-0.3, 0.0)).mean() < plain.mean() < film(exposure=(0.3, 0.0)).mean()
    steep = film(contrast=(5.0, 0.0)).ravel()
    assert np.diff(steep)[8000:8400].mean() > np.diff(plain.ravel())[8000:8400].mean()


def test_scatter_and_blur_soften_and_edge_enhancement_sharpens() -> None:
    step = np.where(np.arange(128) < 64, 0.5, 1.5)[None] * np.ones((128, 1))

    def contrast(**options: float) -> float:
        film = develop(step, FRAME, replace(CLEAN, **options), np.random.default_rng(0))
        return float(film[64, 66] - film[64, 61])

    assert contrast(scatter=0.8) < contrast()
    assert contrast(blur=0.05) < contrast()
    assert contrast(edges=1.0, blur=0.05) > contrast(blur=0.05)


def test_noise_grows_with_what_lies_before_the_film() -> None:
    dense = np.full((128, 128), 0.8)
    dense[64:] = 1.2
    grainy = replace(CLEAN, grain=0.05)
    film = develop(dense, FRAME, grainy, np.random.default_rng(0))
    rough = film - develop(dense, FRAME, CLEAN, np.random.default_rng(0))
    slope = [y * (1 - y) for y in (1 / (1 + np.exp(0.66)), 1 / (1 + np.exp(-0.54)))]
    assert rough[64:].std() / slope[1] > 1.1 * rough[:64].std() / slope[0] > 0


def test_shutters_blacken_the_border() -> None:
    bright = np.full((128, 128), 1.8)
    film = develop(bright, FRAME, replace(CLEAN, shutters=1.0), np.random.default_rng(3))
    border = np.concatenate([film[0], film[-1], film[:, 0], film[:, -1]])
    assert border.mean() < 0.7 * film[64, 64]
    assert film[64, 64] > 0.8


def test_the_letter_says_the_side_on_which_it_stands() -> None:
    dark = np.zeros((256, 256))
    frame = replace(FRAME, height=256, width=256)
    corner = {}
    for x, column in ((0.7, 217), (-0.7, 38)):
        marked = replace(CLEAN, marker=(x, -0.7))
        ink = develop(dark, frame, marked, np.random.default_rng(0)) > 0.3
        rows, columns = np.nonzero(ink)
        assert abs(columns.mean() - column) < 20
        letter = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        corner[x] = letter[: len(letter) // 2, letter.shape[1] // 2 :].mean()
    assert corner[0.7] < 0.1, "an L has no ink in its upper right quarter"
    assert corner[-0.7] > 0.3, "an R has"


def test_the_heart_stands_out_from_the_lung_behind_it() -> None:
    chest = sample_chest(np.random.default_rng(2), supine=False)
    without = replace(chest, heart=replace(chest.heart, x=9.0))
    x, y = FRAME.patient()
    behind = (labels(without, x, y) >= 2) & (chest.heart.relative_radius(x, y) < 0.7)
    gained = [
        attenuation(patient, FRAME, np.random.default_rng(2), devices=False)[behind].mean()
        for patient in (chest, without)
    ]
    assert gained[0] > gained[1] + 0.3


def test_rays_lose_least_in_air_less_in_lungs_and_most_in_the_abdomen() -> None:
    sums = np.zeros(3)
    for seed in range(6):
        chest = sample_chest(np.random.default_rng(seed), supine=False)
        dense = attenuation(chest, FRAME, np.random.default_rng(seed), devices=False)
        mask = labels(chest, *FRAME.patient())
        assert dense.min() >= 0
        assert dense[:4, :4].mean() < 0.1
        lungs = dense[mask >= 2].mean()
        sums += [lungs, dense[mask == 1].mean(), dense[-8:, 40:88].mean()]
    lungs, heart, abdomen = sums / 6
    assert lungs < heart - 0.3
    assert heart < abdomen + 0.3
    assert lungs < 1.2 < abdomen


def test_devices_only_add() -> None:
    chest = sample_chest(np.random.default_rng(1), supine=False)
    without = attenuation(chest, FRAME, np.random.default_rng(5), devices=False)
    added = attenuation(chest, FRAME, np.random.default_rng(5), devices=True) - without
    assert added.min() > -1e-6
    assert 0 < (added > 0.1).mean() < 0.1
