import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.layouts.greys import open_binary, open_greys
from nas.errors import DataError

HALF = np.array([[0, 255, 255], [0, 0, 255]], dtype=np.uint8)


def _palette(indices: np.ndarray, colours: list[tuple[int, int, int]]) -> Image.Image:
    picture = Image.fromarray(indices, mode="P")
    picture.putpalette([part for colour in colours for part in colour])
    return picture


def _chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def test_every_kind_of_file_is_read_as_it_looks(tmp_path: Path) -> None:
    white = HALF > 0
    pictures = {
        "grey.png": Image.fromarray(HALF),
        "grey.gif": Image.fromarray(HALF),
        "bits.png": Image.fromarray(white),
        "rgb.png": Image.fromarray(np.stack([HALF] * 3, axis=-1)),
        "rgba.png": Image.fromarray(np.stack([HALF] * 3 + [255 - HALF], axis=-1)),
        "palette.png": _palette(white.astype(np.uint8), [(0, 0, 0), (255, 255, 255)]),
        "palette.gif": _palette(white.astype(np.uint8), [(0, 0, 0), (255, 255, 255)]),
        "turned.png": _palette((~white).astype(np.uint8), [(255, 255, 255), (0, 0, 0)]),
        "turned.gif": _palette((~white).astype(np.uint8), [(255, 255, 255), (0, 0, 0)]),
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / name)
        found = open_binary(tmp_path / name)
        assert found.dtype == bool
        assert (found == white).all(), name


def test_two_bits_are_spread_over_the_greys(tmp_path: Path) -> None:
    """One row of the four values of 2 bits, written by hand: 0b00011011 = 27."""
    header = struct.pack(">IIBBBBB", 4, 1, 2, 0, 0, 0, 0)
    content = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes([0, 27])))
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content + _chunk(b"IEND", b""))
    assert open_greys(path, (0, 85, 170, 255)).tolist() == [[0, 85, 170, 255]]


@pytest.mark.parametrize(
    ("pixels", "values"),
    [
        (np.array([[0, 1]], np.uint8), "0, 1"),
        (np.array([[0, 7, 9, 255]], np.uint8), "0, 7, 9, 255"),
        (np.array([[0, 65535]], np.uint16), "0, 65535"),
        (np.array([[[255, 0, 0], [0, 0, 0]]], np.uint8), "0, 76"),
    ],
)
def test_other_values_are_refused_with_the_values(
    tmp_path: Path, pixels: np.ndarray, values: str
) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=rf"a\.png holds the values {values}; expected 0, 255"):
        open_binary(tmp_path / "a.png")


def test_damaged_missing_and_moving_pictures(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.png does not exist"):
        open_binary(tmp_path / "none.png")
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "a.bmp")
    (tmp_path / "a.bmp").write_bytes((tmp_path / "a.bmp").read_bytes()[:2000])
    with pytest.raises(DataError, match=r"a\.bmp is damaged"):
        open_binary(tmp_path / "a.bmp")
    frames = [Image.fromarray(HALF), Image.fromarray(255 - HALF)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="holds 2 pictures"):
        open_binary(tmp_path / "a.gif")
