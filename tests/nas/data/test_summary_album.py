from collections.abc import Mapping
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from nas.data.cases import UNKNOWN, Case
from nas.data.findings import Seen
from nas.data.summary_album import LEVELS, SIDE, Album, extremes, spread
from nas.page_pictures import FILL
from nas.pictures import UNKNOWN_COLOUR, class_colours


def seen(
    name: str,
    image: np.ndarray,
    mask: np.ndarray | None = None,
    instances: np.ndarray | None = None,
) -> Seen:
    return Seen(Case(name, 0, 0), image.astype(np.float32), mask, instances, None)


def decoded(png: bytes | None, mode: str) -> np.ndarray:
    assert png is not None
    return np.asarray(Image.open(BytesIO(png)).convert(mode))


def album_of(*cases: Seen) -> Album:
    album = Album()
    for case in cases:
        album.add(case)
    return album


def test_pictures_keep_their_proportions_and_colours() -> None:
    red = np.stack([np.full((300, 600), level) for level in (1.0, 0.2, 0.0)])
    tile = album_of(seen("a", red)).tiles["a"]
    assert (tile.height, tile.width, tile.mask, tile.foreground) == (300, 600, None, None)
    picture = decoded(tile.image, "RGB")
    assert picture.shape == (SIDE // 2, SIDE, 3)
    assert (picture == (255, 51, 0)).all()
    grey = album_of(seen("a", np.full((2, 40, 40), 0.4))).tiles["a"].image
    assert Image.open(BytesIO(grey)).mode == "L"
    assert (decoded(grey, "L") == 102).all()


def test_the_layer_has_the_colours_of_the_classes_where_the_mask_has_them() -> None:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[10:50, 20:90], mask[100:140, 20:90], mask[150:160] = 1, 3, UNKNOWN
    tile = album_of(seen("a", np.zeros((1, SIDE, SIDE)), mask)).tiles["a"]
    layer = decoded(tile.mask, "RGBA")
    colours = class_colours(4)
    assert (layer[..., 3] == 0).sum() == (mask == 0).sum()
    assert layer[30, 50].tolist() == [*colours[1], FILL]
    assert layer[10, 50].tolist() == [*colours[1], 255]
    assert layer[120, 50].tolist() == [*colours[3], FILL]
    assert layer[155, 50].tolist() == [*UNKNOWN_COLOUR, FILL]
    assert (layer[150:160, :, 3] == FILL).all()
    assert tile.foreground == pytest.approx(2 * 40 * 70 / SIDE**2)


def test_touching_objects_are_told_apart_by_a_contour() -> None:
    mask = np.ones((SIDE, SIDE), np.uint8)
    objects = np.ones((SIDE, SIDE), np.int32)
    objects[:, SIDE // 2 :] = 900
    image = np.zeros((1, SIDE, SIDE))
    plain = album_of(seen("a", image, mask)).tiles["a"]
    assert (decoded(plain.mask, "RGBA")[..., 3] == FILL).all()
    divided = album_of(seen("a", image, mask, objects))
    opaque = decoded(divided.tiles["a"].mask, "RGBA")[..., 3] == 255
    assert np.flatnonzero(opaque.any(axis=0)).tolist() == [SIDE // 2 - 1, SIDE // 2]
    assert divided.tiles["a"].objects == 2
    assert divided.object_sizes["a"].tolist() == [SIDE**2 // 2] * 2


def test_a_small_mask_is_enlarged_like_its_image() -> None:
    mask = np.array([[0, 1], [2, 0]], np.uint8)
    layer = decoded(album_of(seen("a", np.zeros((1, 2, 2)), mask)).tiles["a"].mask, "RGBA")
    half = SIDE // 2
    assert layer.shape == (SIDE, SIDE, 4)
    assert (layer[:half, :half, 3] == 0).all()
    assert (layer[:half, half:, :3] == class_colours(3)[1]).all()
    assert (layer[half:, :half, :3] == class_colours(3)[2]).all()


def test_a_pixel_of_the_layer_has_the_class_at_its_centre() -> None:
    mask = np.zeros((3 * SIDE, 3 * SIDE), np.uint8)
    mask[1::3, 1::3] = 1
    layer = decoded(album_of(seen("a", np.zeros((1, *mask.shape)), mask)).tiles["a"].mask, "RGBA")
    assert (layer[..., 3] == FILL).all()


def test_a_mask_of_another_size_is_not_laid_over() -> None:
    other = np.ones((3, 3), np.uint8)
    album = album_of(seen("a", np.zeros((1, 4, 4)), other, other.astype(np.int32)))
    assert album.tiles["a"].mask is None
    assert album.shares == {}
    assert album.object_sizes == {}
    assert album_of(Seen(Case("a", 0, 0), None, other, None, None)).tiles == {}


def test_intensities_are_counted_by_channel() -> None:
    first = np.stack([np.zeros((2, 3)), np.full((2, 3), 0.5)])
    album = album_of(seen("a", first), seen("b", np.ones((2, 4, 4))))
    assert album.intensities is not None
    assert album.intensities.shape == (2, LEVELS)
    assert album.intensities[0, [0, -1]].tolist() == [6, 16]
    assert album.intensities[1, [LEVELS // 2, -1]].tolist() == [6, 16]
    assert album.intensities.sum() == 2 * (6 + 16)


def test_extremes_are_named() -> None:
    cases = []
    for name, count in (("a", 3), ("b", 9), ("c", 0), ("d", 1), ("e", 0), ("f", 0)):
        mask = (np.arange(16) < count).astype(np.uint8).reshape(4, 4)
        cases.append(seen(name, np.zeros((1, 4, 4)), mask))
    album = album_of(*cases)
    empty = ("c", "e", "f", "not decoded")
    assert extremes(album, empty, 9) == {
        "b": "largest foreground",
        "d": "smallest foreground",
        "c": "no foreground",
        "e": "no foreground",
    }
    assert list(extremes(album, empty, 2)) == ["b", "d"]
    assert extremes(album, empty, 0) == {}
    assert extremes(album_of(cases[0]), (), 5) == {"a": "largest foreground"}


@pytest.mark.parametrize(
    ("sizes", "count", "expected"),
    [
        ({"train": 60, "val": 20, "test": 20}, 10, {"train": 6, "val": 2, "test": 2}),
        ({"train": 100, "val": 0, "test": 1}, 5, {"train": 4, "test": 1}),
        ({"train": 2, "val": 1, "test": 1}, 9, {"train": 2, "val": 1, "test": 1}),
        ({"train": 9, "val": 3}, 1, {"train": 1}),
        ({"train": 9}, 0, {}),
    ],
)
def test_each_subset_has_its_part(
    sizes: Mapping[str, int], count: int, expected: Mapping[str, int]
) -> None:
    places = {name: [f"{name}{k}" for k in range(size)] for name, size in sizes.items()}
    chosen = spread(places, count)
    assert {name: len(ids) for name, ids in chosen.items()} == expected
    assert all(
        len(set(ids)) == len(ids) and set(ids) <= set(places[n]) for n, ids in chosen.items()
    )


def test_cases_are_taken_evenly_in_natural_order() -> None:
    ids = [f"case{number}" for number in range(1, 13)]
    assert spread({"train": ids[::-1]}, 3) == {"train": ["case3", "case7", "case11"]}
