import numpy as np
import pytest

from nas.data.scenes.cells import draw, film

SIZE = (150, 180)


def test_a_film_of_one_frame_is_a_picture() -> None:
    picture = draw(np.random.default_rng(4), SIZE)
    only = film(np.random.default_rng(4), SIZE, 1)
    np.testing.assert_array_equal(picture.image, only.frames[0].image)
    assert all((t.begin, t.end, t.parent) == (0, 0, 0) for t in only.tracks)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tracks_say_which_frames_show_a_cell(seed: int) -> None:
    made = film(np.random.default_rng(seed), SIZE, 6)
    shown: dict[int, list[int]] = {}
    for number, frame in enumerate(made.frames):
        assert frame.instances is not None
        for label in np.unique(frame.instances[frame.instances > 0]).tolist():
            shown.setdefault(label, []).append(number)
    assert {t.label for t in made.tracks} == set(shown)
    for track in made.tracks:
        assert (track.begin, track.end) == (shown[track.label][0], shown[track.label][-1])


def test_one_cell_divides_in_two_at_the_middle() -> None:
    made = film(np.random.default_rng(0), SIZE, 6)
    daughters = [t for t in made.tracks if t.parent]
    assert len(daughters) == 2 and {t.begin for t in daughters} == {3}
    mother = next(t for t in made.tracks if t.label == daughters[0].parent)
    assert {t.parent for t in daughters} == {mother.label} and mother.end == 2


def test_cells_move_a_little() -> None:
    made = film(np.random.default_rng(1), SIZE, 2)
    first, second = (frame.instances for frame in made.frames)
    assert first is not None and second is not None
    same = next(t.label for t in made.tracks if t.begin == 0 and t.end == 1)
    a, b = first == same, second == same
    assert (a != b).any() and (a & b).sum() > 0.6 * a.sum()


def test_some_cells_touch() -> None:
    touching = 0
    for seed in range(6):
        instances = draw(np.random.default_rng(seed), SIZE).instances
        assert instances is not None
        left, right = instances[:, :-1], instances[:, 1:]
        touching += bool(((left != right) & (left > 0) & (right > 0)).any())
    assert touching >= 1
