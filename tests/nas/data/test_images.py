import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.images import open_image, open_mask, read_header
from nas.errors import DataError

GREY8 = np.asarray([[0, 51], [102, 255]], dtype=np.uint8)
GREY16 = np.asarray([[0, 13107], [4095, 65535]], dtype=np.uint16)
COLOURS = np.asarray([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [10, 20, 30]]], dtype=np.uint8)

Save = Callable[[Path, np.ndarray], Path]


def _png16(path: Path, pixels: np.ndarray) -> Path:
    """Write 16-bit RGB, which Pillow cannot, by the PNG specification."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "gif"])
def test_8_bit_grey_is_divided_by_255(tmp_path: Path, save_picture: Save, suffix: str) -> None:
    image = open_image(save_picture(tmp_path / f"a.{suffix}", GREY8))
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, [[[0, 0.2], [0.4, 1]]], atol=1e-6)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_keeps_its_depth(tmp_path: Path, save_picture: Save, suffix: str) -> None:
    path = save_picture(tmp_path / f"a.{suffix}", GREY16)
    np.testing.assert_allclose(open_image(path), [[[0, 0.2], [4095 / 65535, 1]]], atol=1e-6)
    np.testing.assert_allclose(open_image(path, white=4095), [[[0, 1], [1, 1]]], atol=1e-6)
    assert str(read_header(path)) == "16-bit grey"


def test_16_bit_colour_is_right_to_8_bits(tmp_path: Path) -> None:
    pixels = (np.arange(24).reshape(2, 4, 3) * 2777).astype(np.uint16)
    path = _png16(tmp_path / "a.png", pixels)
    expected = np.moveaxis(pixels / 65535, -1, 0)
    np.testing.assert_allclose(open_image(path), expected, atol=1 / 255)
    assert str(read_header(path)) == "16-bit RGB"


def test_colour_comes_channels_first_and_without_alpha(tmp_path: Path, save_picture: Save) -> None:
    alpha = np.full((2, 2, 1), 7, dtype=np.uint8)
    expected = np.stack([COLOURS[..., k] for k in range(3)]) / 255
    for pixels in (COLOURS, np.concatenate([COLOURS, alpha], axis=-1)):
        path = save_picture(tmp_path / "a.png", pixels)
        np.testing.assert_allclose(open_image(path), expected, atol=1e-6)


def test_colour_as_grey_is_luma_and_grey_as_colour_is_repeated(
    tmp_path: Path, save_picture: Save
) -> None:
    colour = save_picture(tmp_path / "a.png", COLOURS)
    luma = [[0.299, 0.587], [0.114, (2.99 + 11.74 + 3.42) / 255]]
    np.testing.assert_allclose(open_image(colour, channels=1), [luma], atol=1e-5)
    grey = save_picture(tmp_path / "b.png", GREY8)
    np.testing.assert_allclose(open_image(grey, channels=3), np.stack([GREY8 / 255] * 3), atol=1e-6)


def test_palette_image_shows_its_colours(tmp_path: Path) -> None:
    picture = Image.fromarray(np.asarray([[0, 1]], dtype=np.uint8))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.save(tmp_path / "a.png")
    np.testing.assert_allclose(open_image(tmp_path / "a.png"), [[[1, 0]], [[0, 0]], [[0, 1]]])


def test_alpha_of_grey_is_dropped(tmp_path: Path) -> None:
    picture = Image.fromarray(GREY8)
    picture.putalpha(Image.new("L", (2, 2), 9))
    picture.save(tmp_path / "a.png")
    np.testing.assert_allclose(open_image(tmp_path / "a.png")[0], GREY8 / 255, atol=1e-6)
    assert open_mask(tmp_path / "a.png").tolist() == GREY8.tolist()


def test_floating_point_image_needs_its_white(tmp_path: Path, save_picture: Save) -> None:
    path = save_picture(tmp_path / "a.tif", np.asarray([[0, 5], [np.nan, 20]], dtype=np.float32))
    with pytest.raises(DataError, match=r"a\.tif.*--white"):
        open_image(path)
    np.testing.assert_allclose(open_image(path, white=10), [[[0, 0.5], [0, 1]]])


def test_palette_mask_is_read_by_index_not_by_colour(tmp_path: Path) -> None:
    indices = np.asarray([[0, 1], [2, 1]], dtype=np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette([0, 0, 0, 255, 255, 0, 255, 255, 0])
    picture.save(tmp_path / "m.png")
    assert open_mask(tmp_path / "m.png").tolist() == indices.tolist()


def test_mask_of_1_and_of_16_bits(tmp_path: Path, save_picture: Save) -> None:
    one = np.asarray([[True, False]])
    assert open_mask(save_picture(tmp_path / "m.png", one)).tolist() == [[1, 0]]
    wide = np.asarray([[0, 300]], dtype=np.uint16)
    assert open_mask(save_picture(tmp_path / "w.png", wide)).tolist() == [[0, 300]]


def test_colour_mask_is_refused_unless_its_channels_agree(
    tmp_path: Path, save_picture: Save
) -> None:
    grey = save_picture(tmp_path / "grey.png", np.stack([GREY8] * 3, axis=-1))
    assert open_mask(grey).tolist() == GREY8.tolist()
    with pytest.raises(DataError, match=r"colour\.png is a colour picture.*palette PNG"):
        open_mask(save_picture(tmp_path / "colour.png", COLOURS))


def test_floating_point_mask_is_refused(tmp_path: Path, save_picture: Save) -> None:
    with pytest.raises(DataError, match="integers"):
        open_mask(save_picture(tmp_path / "m.tif", np.ones((2, 2), dtype=np.float32)))


def test_truncated_image_names_its_file(
    tmp_path: Path, save_picture: Save, rng: np.random.Generator
) -> None:
    path = save_picture(tmp_path / "a.png", rng.integers(0, 256, (64, 64), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(DataError, match=r"a\.png is damaged"):
        open_image(path)
    with pytest.raises(DataError, match=r"a\.png is damaged"):
        open_mask(path)


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.png does not exist"):
        open_image(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DataError, match=r"text\.png is not an image"):
        open_image(tmp_path / "text.png")


def test_several_pictures_in_one_file_are_refused(tmp_path: Path) -> None:
    pages = [Image.fromarray(GREY8), Image.fromarray(255 - GREY8)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match="holds 2 pictures"):
        open_image(tmp_path / "a.tif")
