import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion

from nas.data.synthesis.observers import second_observer


def test_the_edge_moves_and_nothing_else() -> None:
    drawn = np.zeros((80, 80), dtype=bool)
    drawn[20:60, 25:50] = True
    second = second_observer(np.random.default_rng(0), drawn)
    assert (second != drawn).any()
    assert second[binary_erosion(drawn, iterations=5)].all()
    assert not second[~binary_dilation(drawn, iterations=5)].any()
    assert (second & ~drawn).any() and (drawn & ~second).any()


def test_nothing_and_everything_stay() -> None:
    for value in (False, True):
        drawn = np.full((9, 9), value)
        second = second_observer(np.random.default_rng(0), drawn)
        np.testing.assert_array_equal(second, drawn)
        assert second is not drawn
