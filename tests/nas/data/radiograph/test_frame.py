import math

import numpy as np

from nas.data.radiograph.frame import Canvas, Frame, cloud, ramp


def _frame(**options: object) -> Frame:
    values = {"height": 64, "width": 96, "zoom": 1.0, "angle": 0.0, "shift": (0.0, 0.0)}
    return Frame(**{**values, **options})  # type: ignore[arg-type]


def test_film_coordinates_span_the_shorter_side() -> None:
    x, y = _frame().film()
    assert x.shape == y.shape == (64, 96)
    np.testing.assert_allclose([y[0, 0], y[-1, 0]], [-63 / 64, 63 / 64])
    np.testing.assert_allclose([x[0, 0], x[0, -1]], [-95 / 64, 95 / 64])


def test_a_quarter_turn_zoom_and_shift_by_hand() -> None:
    frame = _frame(zoom=2.0, angle=math.pi / 2, shift=(0.5, -0.25))
    ((x, y),) = frame.on_film([(0.1, 0.2)])
    np.testing.assert_allclose([x, y], [-2 * 0.2 + 0.5, 2 * 0.1 - 0.25], atol=1e-9)


def test_patient_coordinates_invert_the_way_to_the_film() -> None:
    frame = _frame(zoom=1.3, angle=0.2, shift=(0.1, -0.3))
    x, y = frame.patient()
    back = np.asarray(frame.on_film(zip(x.ravel().tolist(), y.ravel().tolist(), strict=True)))
    film = np.stack([axis.ravel() for axis in frame.film()], axis=1)
    np.testing.assert_allclose(back, film, atol=1e-5)


def test_drawn_things_lie_where_the_coordinates_say() -> None:
    for size in ((64, 96), (700, 600)):
        frame = _frame(height=size[0], width=size[1], zoom=1.2, angle=0.3, shift=(0.1, 0.05))
        canvas = Canvas(frame)
        canvas.disc((0.3, -0.2), 0.25, 1.0)
        ink = canvas.scaled()
        x, y = frame.patient()
        exact = np.hypot(x - 0.3, y + 0.2) < 0.25
        assert ink.shape == size
        assert ((ink > 0.5) == exact).mean() > 0.995


def test_lines_have_their_width() -> None:
    canvas = Canvas(_frame(height=256, width=256))
    canvas.line([(-2.0, 0.0), (2.0, 0.0)], 0.1, 1.0)
    assert abs(canvas.scaled()[:, 128].sum() - 0.1 * 128) < 1.5


def test_cloud_draws_the_same_at_every_size() -> None:
    first, second = np.random.default_rng(0), np.random.default_rng(0)
    small, large = cloud(first, 5, (40, 40), 2), cloud(second, 5, (200, 200), 2)
    assert first.random() == second.random()
    assert np.corrcoef(small.ravel(), large[2::5, 2::5].ravel())[0, 1] > 0.99
    assert 0.5 < large.std() < 1.5


def test_ramp_goes_from_0_to_1_around_0() -> None:
    values = ramp(np.asarray([-1.0, -0.1, 0.0, 0.1, 1.0]), 0.2)
    np.testing.assert_allclose(values, [0, 0, 0.5, 1, 1])
