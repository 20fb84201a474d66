import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion, label

from nas.data.cases import Case
from nas.data.layouts.phantom import draw_image, draw_mask, hospital_of
from nas.data.radiograph.film import HOSPITALS
from nas.data.readers import open_reader
from nas.errors import UsageError
from nas.settings import DataSettings

SIZE = (96, 96)
HEART, LEFT, RIGHT = 1, 2, 3


@pytest.fixture(scope="module")
def pictures() -> list[tuple[np.ndarray, np.ndarray]]:
    """The first 24 cases, images and masks."""
    return [(draw_image(0, n, SIZE), draw_mask(0, n, SIZE)) for n in range(24)]


def test_the_set_has_the_size_of_the_published_one() -> None:
    reader = open_reader(DataSettings(image_size="64"))
    assert len({case.id for case in reader.cases}) == 259
    assert reader.classes == ("background", "heart", "left lung", "right lung")
    image, mask = reader.read_image(reader.cases[3]), reader.read_mask(reader.cases[3])
    assert image.shape == (1, 64, 64)
    assert image.dtype == np.float32
    assert mask.shape == (64, 64)
    assert mask.dtype == np.uint8


def test_three_channels_are_equal() -> None:
    reader = open_reader(DataSettings(image_size="64x48", image_channels=3))
    image = reader.read_image(reader.cases[0])
    assert image.shape == (3, 64, 48)
    assert (image[0] == image[2]).all()


def test_values_use_the_range(pictures: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for image, mask in pictures:
        assert 0 <= image.min() < 0.3
        assert 0.7 < image.max() <= 1
        assert set(np.unique(mask)) == {0, HEART, LEFT, RIGHT}


def test_a_case_is_the_same_whenever_it_is_drawn() -> None:
    first = draw_image(0, 5, SIZE)
    draw_image(0, 6, SIZE)
    np.random.seed(3)
    assert (draw_image(0, 5, SIZE) == first).all()
    assert not (draw_image(0, 6, SIZE) == first).all()
    assert not (draw_image(1, 5, SIZE) == first).all()


def test_a_case_is_the_same_patient_at_every_size() -> None:
    for number in range(6):
        large = draw_mask(0, number, (192, 192))
        centres = draw_mask(0, number, (64, 64))
        assert (large[1::3, 1::3] == centres).mean() > 0.999
        image = draw_image(0, number, (192, 192)).reshape(64, 3, 64, 3).mean(axis=(1, 3))
        small = draw_image(0, number, (64, 64))
        assert np.corrcoef(image.ravel(), small.ravel())[0, 1] > 0.93


def test_wide_and_tall_films_show_the_same_middle() -> None:
    square = draw_mask(0, 2, (80, 80))
    assert (draw_mask(0, 2, (80, 120))[:, 20:100] == square).all()
    assert (draw_mask(0, 2, (100, 80))[10:90] == square).all()
    assert draw_image(0, 2, (65, 97)).shape == (65, 97)


def test_the_right_lung_is_on_the_left_of_the_film(
    pictures: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    for _, mask in pictures:
        columns = {k: np.nonzero(mask == k)[1].mean() for k in (HEART, LEFT, RIGHT)}
        assert columns[RIGHT] < columns[HEART] < columns[LEFT]


def test_organs_are_where_and_as_large_as_they_should_be(
    pictures: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    for _, mask in pictures:
        rows = {k: np.nonzero(mask == k)[0].mean() for k in (HEART, LEFT, RIGHT)}
        assert rows[HEART] > rows[RIGHT]
        share = np.bincount(mask.ravel(), minlength=4) / mask.size
        assert 0.02 < share[HEART] < 0.25
        assert 0.03 < share[LEFT] < 0.3
        assert 0.03 < share[RIGHT] < 0.3
        assert label(mask == HEART)[1] == 1
        assert label(mask == RIGHT)[1] == 1


def test_hearts_lean_to_the_left_of_the_patient() -> None:
    leans = []
    for number in range(12):
        columns = np.nonzero(draw_mask(0, number, SIZE) == HEART)[1]
        both = np.nonzero(draw_mask(0, number, SIZE) >= LEFT)[1]
        leans.append(columns.mean() - (both.min() + both.max()) / 2)
    assert np.mean(leans) > 2


def test_labels_and_film_show_the_same_patient(
    pictures: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    """Just inside the outer edge of the lungs the film is darker than just outside."""
    steps = []
    for image, mask in pictures:
        chest = mask > 0
        inside = chest & ~binary_erosion(chest, iterations=3)
        outside = binary_dilation(chest, iterations=3) & ~chest
        rows = np.zeros(SIZE, dtype=bool)
        top = np.nonzero(chest.any(axis=1))[0][0]
        rows[top : top + 30] = True
        steps.append(image[outside & rows].mean() - image[inside & rows].mean())
    assert np.mean(np.asarray(steps) > 0.05) > 0.85
    assert np.mean(steps) > 0.15


def test_patients_differ(pictures: list[tuple[np.ndarray, np.ndarray]]) -> None:
    lungs = np.stack([mask >= LEFT for _, mask in pictures])
    both = (lungs[:, None] & lungs[None]).sum(axis=(2, 3))
    either = (lungs[:, None] | lungs[None]).sum(axis=(2, 3))
    overlap = (both / either)[np.triu_indices(len(lungs), 1)]
    assert 0.3 < overlap.mean() < 0.85


def test_hospitals_differ_and_all_take_part() -> None:
    names = [hospital_of(0, n).name for n in range(259)]
    counts = {hospital.name: names.count(hospital.name) / 259 for hospital in HOSPITALS}
    for hospital in HOSPITALS:
        assert counts[hospital.name] == pytest.approx(hospital.share, abs=0.07)
    reader = open_reader(DataSettings(image_size="64"))
    assert [case.id.rsplit("-", 1)[1] for case in reader.cases] == names


def test_each_case_can_be_split_by_itself() -> None:
    reader = open_reader(DataSettings(image_size="64"))
    assert {case.group for case in reader.cases} == {None}
    assert isinstance(reader.cases[0], Case)


def test_options_without_meaning_are_refused() -> None:
    for options in ({"white": 255.0}, {"value_map": "0:0,1:1"}, {"class_names": ("a", "b")}):
        with pytest.raises(UsageError, match="means nothing with --dataset phantom"):
            open_reader(DataSettings(**options))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="image size"):
        open_reader(DataSettings(image_size="big"))
