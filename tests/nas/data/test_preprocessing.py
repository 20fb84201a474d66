from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from skimage.exposure import equalize_adapthist

from nas.data.preprocessing import preprocess_image, preprocessed
from nas.data.readers import open_reader
from nas.errors import UsageError
from nas.settings import DataSettings

MakeFolder = Callable[..., DataSettings]
SavePicture = Callable[[Path, np.ndarray], Path]


@pytest.fixture
def colour_folder(tmp_path: Path, rng: np.random.Generator, save_picture: SavePicture) -> Path:
    for name in ("a", "b"):
        colours = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
        save_picture(tmp_path / "images" / f"{name}.png", colours)
        mask = rng.integers(0, 2, (40, 48), dtype=np.uint8)
        save_picture(tmp_path / "masks" / f"{name}.png", mask)
    return tmp_path


def colour_settings(root: Path, **options: object) -> DataSettings:
    return DataSettings(dataset="folder", data_root=root, **options)  # type: ignore[arg-type]


def test_nothing_set_is_the_reader_itself(make_folder: MakeFolder) -> None:
    settings = make_folder(clahe_tiles=4)
    reader = open_reader(settings)
    assert preprocessed(reader, settings) is reader


@pytest.mark.parametrize(("channel", "index"), [("red", 0), ("green", 1), ("blue", 2)])
def test_one_channel_alone(colour_folder: Path, channel: str, index: int) -> None:
    settings = colour_settings(colour_folder, image_channel=channel)
    stored = open_reader(settings)
    reader = preprocessed(stored, settings)
    assert reader.channels == 1 and stored.channels == 3
    for case in reader.cases:
        image = reader.read_image(case)
        assert image.shape == (1, 40, 48) and image.dtype == np.float32
        np.testing.assert_array_equal(image[0], stored.read_image(case)[index])


def test_everything_else_is_as_the_reader_has_it(colour_folder: Path) -> None:
    (colour_folder / "train.txt").write_text("a\n", encoding="utf-8")
    settings = colour_settings(colour_folder, clahe_clip=0.01, class_names=("nothing", "vessel"))
    stored = open_reader(settings)
    reader = preprocessed(stored, settings)
    for name in ("name", "channels", "cases", "lists", "problems", "classes"):
        assert getattr(reader, name) == getattr(stored, name)
    assert reader.lists is not None and reader.channels == 3
    case = reader.cases[1]
    assert reader.describe(case) == "8-bit RGB"
    np.testing.assert_array_equal(reader.read_mask(case), stored.read_mask(case))


def test_equalisation_channel_by_channel(colour_folder: Path) -> None:
    settings = colour_settings(colour_folder, clahe_clip=0.03, clahe_tiles=4)
    stored = open_reader(settings)
    image = preprocessed(stored, settings).read_image(stored.cases[0])
    for mine, channel in zip(image, stored.read_image(stored.cases[0]), strict=True):
        theirs = equalize_adapthist(channel, kernel_size=(10, 12), clip_limit=0.03)
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    assert image.dtype == np.float32 and image.min() >= 0 and image.max() <= 1


def test_one_channel_and_equalisation_together(rng: np.random.Generator) -> None:
    image = rng.random((3, 32, 32), dtype=np.float32)
    both = preprocess_image(image, DataSettings(image_channel="green", clahe_clip=0.02))
    expected = equalize_adapthist(image[1], kernel_size=4, clip_limit=0.02)
    np.testing.assert_allclose(both, expected[None], atol=1e-6)


def test_equalisation_raises_the_contrast_of_a_dim_corner() -> None:
    rows, columns = np.mgrid[:64, :64] / 63
    image = (0.4 + 0.02 * np.sin(20 * rows) * np.cos(20 * columns)).astype(np.float32)
    image[:, 48:] += 0.5
    equalised = preprocess_image(image[None], DataSettings(clahe_clip=0.05, clahe_tiles=4))[0]
    assert equalised[:32, :32].std() > 3 * image[:32, :32].std()


def test_sides_that_are_no_multiple_of_the_tiles_get_no_more_tiles() -> None:
    image = np.random.default_rng(2).random((1, 21, 13), dtype=np.float32)
    equalised = preprocess_image(image, DataSettings(clahe_clip=0.02, clahe_tiles=4))
    expected = equalize_adapthist(image[0], kernel_size=(6, 4), clip_limit=0.02)
    np.testing.assert_allclose(equalised[0], expected, atol=1e-6)


@pytest.mark.parametrize("grey", [0.0, 0.3, 1.0])
def test_constant_grey_stays_as_it_is(grey: float) -> None:
    image = np.full((1, 16, 16), grey, dtype=np.float32)
    np.testing.assert_array_equal(preprocess_image(image, DataSettings(clahe_clip=0.01)), image)


def test_a_narrow_image_with_a_width_like_channels() -> None:
    image = np.random.default_rng(2).random((1, 40, 3), dtype=np.float32)
    equalised = preprocess_image(image, DataSettings(clahe_clip=0.01, clahe_tiles=2))
    assert equalised.shape == (1, 40, 3) and np.isfinite(equalised).all()


def test_the_stored_image_is_left_alone(rng: np.random.Generator) -> None:
    image = rng.random((3, 16, 16), dtype=np.float32)
    before = image.copy()
    preprocess_image(image, DataSettings(image_channel="red", clahe_clip=0.01))
    preprocess_image(image, DataSettings(image_channel="red"))[:] = 0
    np.testing.assert_array_equal(image, before)


def test_grey_images_have_no_such_channel(make_folder: MakeFolder) -> None:
    for channels in (None, 3):
        settings = make_folder(image_channel="green", image_channels=channels)
        with pytest.raises(UsageError, match="images of folder are grey"):
            preprocessed(open_reader(settings), settings)
    phantom = DataSettings(dataset="phantom", image_channel="green", image_channels=3)
    with pytest.raises(UsageError, match="images of phantom are grey"):
        preprocessed(open_reader(phantom), phantom)
    with pytest.raises(UsageError, match=r"1 channel\(s\)"):
        preprocess_image(np.zeros((1, 8, 8), dtype=np.float32), phantom)


def test_one_channel_of_images_read_as_grey_is_a_contradiction(colour_folder: Path) -> None:
    settings = colour_settings(colour_folder, image_channel="green", image_channels=1)
    with pytest.raises(UsageError, match="--image-channels 1 reads them as grey"):
        preprocessed(open_reader(settings), settings)


def test_clip_above_one_and_too_many_tiles_are_refused(make_folder: MakeFolder) -> None:
    settings = make_folder(clahe_clip=1.5)
    with pytest.raises(UsageError, match="--clahe-clip 1.5 is no share"):
        preprocessed(open_reader(settings), settings)
    settings = make_folder(clahe_clip=0.01, clahe_tiles=41)
    reader = preprocessed(open_reader(settings), settings)
    with pytest.raises(UsageError, match="--clahe-tiles 41 is more than an image of 40x48"):
        reader.read_image(reader.cases[0])
