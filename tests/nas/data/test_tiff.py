import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.images import open_image, open_mask, read_header
from nas.data.tiff import is_beyond_pillow
from nas.errors import DataError, UsageError

tifffile = pytest.importorskip("tifffile")

GREY16 = np.asarray([[0, 13107], [4095, 65535]], dtype=np.uint16)
COLOURS16 = (np.arange(12).reshape(2, 2, 3) * 5957).astype(np.uint16)


def _planes(path: Path) -> Path:
    planes = np.moveaxis(COLOURS16, -1, 0)
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate")
    return path


def test_pillow_reads_what_it_can(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY16)
    tifffile.imwrite(tmp_path / "b.tif", COLOURS16, photometric="rgb")
    Image.fromarray(GREY16).save(tmp_path / "c.tif", compression="tiff_lzw")
    for name in "abc":
        assert not is_beyond_pillow(tmp_path / f"{name}.tif")
    np.testing.assert_allclose(open_image(tmp_path / "a.tif")[0], GREY16 / 65535, atol=1e-6)
    np.testing.assert_allclose(open_image(tmp_path / "c.tif")[0], GREY16 / 65535, atol=1e-6)


def test_16_bit_colours_in_planes_keep_their_depth(tmp_path: Path) -> None:
    path = _planes(tmp_path / "a.tif")
    np.testing.assert_allclose(open_image(path), np.moveaxis(COLOURS16 / 65535, -1, 0), atol=1e-6)
    assert str(read_header(path)) == "16-bit RGB"


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_floating_point_of_16_and_64_bits(tmp_path: Path, kind: type[np.floating]) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.array([[0, 5], [2.5, 20]], dtype=kind))
    np.testing.assert_allclose(open_image(path, white=10), [[[0, 0.5], [0.25, 1]]])
    assert str(read_header(path)) == "float grey"
    with pytest.raises(DataError, match=r"a\.tif stores float grey.*--white"):
        open_image(path)
    with pytest.raises(DataError, match="integers"):
        open_mask(path)


def test_alpha_beside_16_bits_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    both = np.stack([GREY16, np.full_like(GREY16, 9)], axis=-1)
    tifffile.imwrite(path, both, photometric="minisblack", extrasamples=["unassalpha"])
    assert is_beyond_pillow(path)
    np.testing.assert_allclose(open_image(path)[0], GREY16 / 65535, atol=1e-6)
    assert open_mask(path).tolist() == GREY16.tolist()


def test_several_pages_and_channels_are_refused(tmp_path: Path) -> None:
    wide = np.zeros((2, 2), dtype=np.float64)
    tifffile.imwrite(tmp_path / "a.tif", np.stack([wide] * 3), photometric="minisblack")
    with pytest.raises(DataError, match=r"a\.tif holds 3 pictures"):
        open_image(tmp_path / "a.tif", white=1)
    five = np.zeros((2, 2, 5), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "b.tif", five, photometric="minisblack", planarconfig="contig")
    with pytest.raises(DataError, match=r"b\.tif has the shape 2x2x5"):
        open_image(tmp_path / "b.tif")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0 and nothing else")
    with pytest.raises(DataError, match=r"a\.tif is damaged"):
        open_image(tmp_path / "a.tif")
    (tmp_path / "b.tif").write_text("no picture")
    with pytest.raises(DataError, match=r"b\.tif is not an image"):
        open_image(tmp_path / "b.tif")


def test_without_tifffile_the_sentence_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _planes(tmp_path / "a.tif")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(UsageError, match=r"a\.tif .*pip install 'discriminator-nas\[medical\]'"):
        read_header(path)


def test_a_window_is_not_for_pictures(tmp_path: Path) -> None:
    Image.fromarray(GREY16).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match=r"--window is for NIfTI and DICOM, and .*a\.png"):
        open_image(tmp_path / "a.png", window=(0.0, 1.0))
