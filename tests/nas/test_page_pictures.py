from base64 import b64decode
from io import BytesIO

import numpy as np
from PIL import Image

from nas.page_pictures import FILL, data_uri, mask_layer, photograph_uri, png, small_picture


def content(uri: str) -> tuple[str, Image.Image]:
    kind, _, text = uri.removeprefix("data:").partition(";base64,")
    return kind, Image.open(BytesIO(b64decode(text)))


def test_the_smaller_file_is_taken() -> None:
    flat = Image.new("L", (200, 100), 7)
    kind, read = content(photograph_uri(flat))
    assert (kind, read.format, read.size) == ("image/png", "PNG", (200, 100))
    assert (np.asarray(read) == 7).all()
    noise = np.random.default_rng(0).integers(0, 256, (100, 200), dtype=np.uint8)
    kind, read = content(photograph_uri(Image.fromarray(noise)))
    assert (kind, read.format, read.size) == ("image/jpeg", "JPEG", (200, 100))


def test_a_picture_has_the_side_and_no_more_channels_than_it_needs() -> None:
    grey = small_picture(np.full((1, 40, 20), 0.5), 10)
    assert (grey.size, grey.mode, grey.getpixel((0, 0))) == ((5, 10), "L", 128)
    red = small_picture(np.stack([np.ones((4, 4)), np.zeros((4, 4)), np.zeros((4, 4))]), 4)
    assert (red.mode, red.getpixel((1, 1))) == ("RGB", (255, 0, 0))
    first_of_two = small_picture(np.stack([np.ones((4, 4)), np.zeros((4, 4))]), 4)
    assert first_of_two.getpixel((1, 1)) == 255


def test_a_layer_takes_other_colours() -> None:
    mask = np.zeros((5, 5), dtype=np.int64)
    mask[1:4, 1:4] = 1
    layer = Image.open(BytesIO(mask_layer(mask, 5, colours=((0, 0, 0), (1, 2, 3)))))
    pixels = np.asarray(layer.convert("RGBA"))
    assert pixels[2, 2].tolist() == [1, 2, 3, FILL]
    assert pixels[1, 2].tolist() == [1, 2, 3, 255]
    assert pixels[0, 0, 3] == 0


def test_a_file_is_its_own_address() -> None:
    kind, read = content(data_uri(png(Image.new("L", (3, 2), 9))))
    assert kind == "image/png"
    assert np.asarray(read).tolist() == [[9] * 3] * 2
