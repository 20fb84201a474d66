from dataclasses import replace

import numpy as np
import pytest

from nas.data.radiograph.chest import Chest, Heart, labels, sample_chest


@pytest.fixture(params=range(8))
def chest(request: pytest.FixtureRequest) -> Chest:
    return sample_chest(np.random.default_rng(request.param), supine=request.param % 2 == 0)


def _grid(count: int = 301) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.linspace(-1.2, 1.2, count), np.linspace(-1.2, 1.2, count))
    return x, y


def test_the_heart_without_waves_is_a_superellipse() -> None:
    heart = Heart(x=0.1, y=0.2, long=0.4, short=0.3, tilt=np.pi / 2, waves=())
    on_axes = heart.relative_radius(np.asarray([0.1, 0.1 - 0.3]), np.asarray([0.2 + 0.4, 0.2]))
    np.testing.assert_allclose(on_axes, 1.0)
    np.testing.assert_allclose(heart.relative_radius(np.asarray(0.1), np.asarray(0.4)), 0.5)


def test_the_outline_is_where_the_radius_is_1(chest: Chest) -> None:
    np.testing.assert_allclose(chest.heart.relative_radius(*chest.heart.outline()), 1.0, atol=1e-6)


def test_lungs_end_at_apex_diaphragm_and_chest_wall(chest: Chest) -> None:
    x, y = _grid()
    for side in (0, 1):
        lung, u = chest.lungs[side], chest.across(side, x, y)
        inside = lung.margin(u, y) > 0
        assert inside.any()
        assert y[inside].min() >= lung.apex
        assert (y < lung.floor(u))[inside].all()
        assert (u > lung.inner_edge(y))[inside].all()
        assert (u < lung.outer_edge(y))[inside].all()
        lateral = y[inside & (u > lung.width - 0.1)].max()
        middle = y[inside & (abs(u - lung.dome_u) < 0.05)].max()
        assert lateral > middle


def test_sides_mirror_each_other(chest: Chest) -> None:
    x, y = _grid(21)
    np.testing.assert_allclose(chest.across(0, x, y), -chest.across(1, x, y))
    assert chest.across(1, np.asarray(0.9), np.asarray(0.0)) > 0


def test_the_heart_lies_over_the_lungs(chest: Chest) -> None:
    x, y = _grid()
    mask = labels(chest, x, y)
    assert ((mask == 1) == (chest.heart.relative_radius(x, y) < 1)).all()
    far = replace(chest, heart=replace(chest.heart, x=9.0))
    alone = labels(far, x, y)
    assert (alone[mask == 2] == 2).all()
    assert (alone[mask == 3] == 3).all()
    assert ((alone != mask) <= (mask == 1)).all()
    assert not (alone == 1).any()


def test_hearts_have_a_plausible_cardiothoracic_ratio() -> None:
    ratios = []
    for seed in range(60):
        chest = sample_chest(np.random.default_rng(seed), supine=False)
        x, _ = chest.heart.outline()
        ratios.append((x.max() - x.min()) / sum(lung.width for lung in chest.lungs))
    assert 0.42 < np.mean(ratios) < 0.50
    assert 0.34 < min(ratios) < max(ratios) < 0.60


def test_supine_patients_have_wider_hearts_and_higher_diaphragms() -> None:
    wide, dome = [], []
    for seed in range(60):
        upright, supine = (
            sample_chest(np.random.default_rng(seed), supine=lying) for lying in (False, True)
        )
        wide.append(np.ptp(supine.heart.outline()[0]) - np.ptp(upright.heart.outline()[0]))
        dome.append(supine.lungs[0].dome - upright.lungs[0].dome)
    assert np.mean(wide) > 0
    assert np.mean(dome) < 0


def test_ribs_run_outwards_and_sink_to_the_front(chest: Chest) -> None:
    for rib in chest.ribs:
        u, y = rib.curve(0.1, 3.0)
        assert u.max() == pytest.approx(rib.reach, rel=1e-2)
        assert (np.diff(y) > 0).all()
    levels = [rib.level for rib in chest.ribs]
    assert levels == sorted(levels)
