"""Centres against their definition, pixel by pixel; patches against numpy's mirrored padding."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.data.cases import UNKNOWN
from nas.data.patches import (
    CENTRE,
    SIZE,
    CentresOfClass,
    PatchBatches,
    Patches,
    all_centres,
    draw_patches,
    extract_patches,
    mirrored,
    patch_centres,
)
from nas.errors import DataError

NAMES = ("background", "vessel", "lesion")


def blobs(seed: int, side: int = 24) -> np.ndarray:
    """Two rectangles of the classes 1 and 2, and a line of class 1, at random places."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((side, side), np.uint8)
    for index in (1, 2):
        row, column = rng.integers(0, side - 8, 2)
        mask[row : row + 5, column : column + 7] = index
    mask[rng.integers(0, side)] = 1
    return mask


@given(seed=st.integers(0, 99), dilation=st.integers(0, 6))
@settings(max_examples=15, deadline=None)
def test_background_is_further_than_the_dilation_from_any_foreground(
    seed: int, dilation: int
) -> None:
    mask = blobs(seed)
    foreground = np.argwhere(mask)
    expected = [
        (row, column)
        for row, column in itertools.product(range(24), range(24))
        if all((row - r) ** 2 + (column - c) ** 2 > dilation**2 for r, c in foreground)
    ]
    assert patch_centres(mask, 3, dilation)[0].tolist() == [list(place) for place in expected]


def test_the_dilation_is_a_disc() -> None:
    mask = np.zeros((7, 7), int)
    mask[3, 3] = 1
    inside = np.full((7, 7), True)
    inside[tuple(patch_centres(mask, 2, 2)[0].T)] = False
    picture = ["".join(".#"[int(value)] for value in row) for row in inside[1:6, 1:6]]
    assert picture == ["..#..", ".###.", "#####", ".###.", "..#.."]
    assert inside.sum() == 13


def along(centres: np.ndarray) -> dict[int, set[int]]:
    """The rows of the centres in each column of 10..29, away from the ends of bars."""
    return {column: set(centres[centres[:, 1] == column, 0].tolist()) for column in range(10, 30)}


def test_foreground_lies_on_the_axis_of_a_bar() -> None:
    mask = np.zeros((21, 40), int)
    mask[8:13, 5:35] = 1
    _, centres = patch_centres(mask, 2, 0)
    assert along(centres) == {column: {10} for column in range(10, 30)}
    assert len(centres) <= 30


def test_classes_that_touch_have_skeletons_of_their_own() -> None:
    mask = np.zeros((20, 40), int)
    mask[5:10, 5:35] = 1
    mask[10:15, 5:35] = 2
    _, upper, lower = patch_centres(mask, 3, 0)
    assert along(upper) == {column: {7} for column in range(10, 30)}
    assert along(lower) == {column: {12} for column in range(10, 30)}


def test_lines_of_one_pixel_are_their_own_skeleton() -> None:
    mask = np.zeros((9, 9), int)
    mask[4] = 1
    assert patch_centres(mask, 2, 0)[1].tolist() == [[4, column] for column in range(9)]


def test_without_foreground_all_is_background() -> None:
    background, vessel = patch_centres(np.zeros((4, 5), int), 2, 100)
    assert (len(background), len(vessel)) == (20, 0)


@pytest.mark.parametrize(("shape", "dilation"), [((4, 4, 1), 0), ((4, 4), -1)])
def test_refuses_what_is_no_mask(shape: tuple[int, ...], dilation: int) -> None:
    with pytest.raises(ValueError, match="dilation of 0 or more"):
        patch_centres(np.zeros(shape, int), 2, dilation)


def test_centres_of_all_masks_have_their_case_and_class() -> None:
    masks = [blobs(seed) for seed in range(3)]
    centres = all_centres(masks, NAMES, 2)
    for index, each in enumerate(centres):
        assert each.name == NAMES[index]
        for case, mask in enumerate(masks):
            own = each.places[each.places[:, 0] == case, 1:]
            assert own.tolist() == patch_centres(mask, 3, 2)[index].tolist()
            assert (mask[tuple(own.T)] == index).all()


def test_a_class_without_centres_is_named() -> None:
    vessels = (blobs(0) == 1).astype(np.uint8)
    with pytest.raises(DataError, match="class lesion"):
        all_centres([vessels], NAMES, 2)
    with pytest.raises(DataError, match=r"class background.*--patch-dilation \(50\)"):
        all_centres([vessels], NAMES[:2], 50)


def test_a_set_is_balanced_and_has_no_patch_twice() -> None:
    centres = all_centres([blobs(seed) for seed in range(4)], NAMES, 1)
    drawn = draw_patches(centres, 20, np.random.default_rng(0))
    assert Counter(drawn.classes.tolist()) == {0: 7, 1: 7, 2: 6}
    places = set(zip(*(part.tolist() for part in drawn[:3]), strict=True))
    assert len(places) == 20
    for case, row, column, index in zip(*(part.tolist() for part in drawn), strict=True):
        assert [case, row, column] in centres[index].places.tolist()


def test_a_class_of_few_centres_repeats_them_equally_often() -> None:
    few = CentresOfClass("few", np.array([[0, 1, 2], [0, 3, 4], [1, 5, 6]]))
    many = CentresOfClass("many", np.array([[0, row, 0] for row in range(50)]))
    drawn = draw_patches([few, many], 20, np.random.default_rng(0))
    times = Counter(drawn.rows[drawn.classes == 0].tolist())
    assert sorted(times.values()) == [3, 3, 4]
    assert len(set(drawn.rows[drawn.classes == 1].tolist())) == 10


def test_all_centres_are_equally_likely() -> None:
    places = np.array([[0, row, 0] for row in range(5)])
    rng = np.random.default_rng(0)
    times = Counter(
        row
        for _ in range(1000)
        for row in draw_patches([CentresOfClass("one", places)], 2, rng).rows.tolist()
    )
    assert all(320 < times[row] < 480 for row in range(5))


def test_the_draw_depends_on_the_generator_alone() -> None:
    centres = all_centres([blobs(seed) for seed in range(4)], NAMES, 1)
    first, again, other = (
        torch.stack(draw_patches(centres, 30, np.random.default_rng(seed))) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_refuses_fewer_patches_than_classes() -> None:
    centres = all_centres([blobs(0)], NAMES, 1)
    with pytest.raises(ValueError, match="2 patches cannot have 3 classes"):
        draw_patches(centres, 2, np.random.default_rng(0))


@given(height=st.integers(1, 90), width=st.integers(1, 90), data=st.data())
@settings(max_examples=20, deadline=None)
def test_patches_are_windows_of_the_mirrored_image(
    height: int, width: int, data: st.DataObject
) -> None:
    images = torch.rand(3, 2, height, width, generator=torch.Generator().manual_seed(0))
    case = data.draw(st.integers(0, 2))
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    (patch,) = extract_patches(images, *(torch.tensor([each]) for each in (case, row, column)))
    assert torch.equal(patch[:, CENTRE, CENTRE], images[case, :, row, column])
    padding = ((0, 0), (CENTRE, SIZE), (CENTRE, SIZE))
    padded = np.pad(images[case].numpy(), padding, mode="reflect")
    assert np.array_equal(patch.numpy(), padded[:, row : row + SIZE, column : column + SIZE])


def test_mirrored_indices() -> None:
    assert mirrored(torch.arange(-4, 8), 3).tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]
    assert mirrored(torch.arange(-2, 3), 1).tolist() == [0] * 5


def make_batches(seed: int = 3, count: int = 10) -> PatchBatches:
    """Every patch has one value of its own, which is its case."""
    images = torch.arange(count).float().view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    zeros = torch.zeros(count, dtype=torch.int64)
    patches = Patches(torch.arange(count), zeros, zeros, torch.arange(count) % 2)
    return PatchBatches(images, patches, 4, 5, seed)


def test_an_epoch_shows_every_patch_once_with_its_class() -> None:
    batches = make_batches()
    shown = [batches.batch(1, step) for step in range(len(batches))]
    assert [len(each.patches) for each in shown] == [4, 4, 2]
    values = torch.cat([each.patches[:, 0, 0, 0] for each in shown]).long()
    assert sorted(values.tolist()) == list(range(10))
    assert torch.equal(torch.cat([each.classes for each in shown]), values % 2)
    assert not torch.equal(batches.order(1), batches.order(2))


def test_batches_are_a_function_of_seed_epoch_and_step() -> None:
    first, second = make_batches(), make_batches()
    first.batch(0, 0)
    for one, other in zip(first.batch(2, 1), second.batch(2, 1), strict=True):
        assert torch.equal(one, other)
    noises = [
        make_batches(seed).batch(*at).noise for seed, *at in [(3, 0, 0), (3, 0, 1), (4, 0, 0)]
    ]
    noises.append(make_batches().batch(1, 0).noise)
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(noises, 2))
    assert noises[0].shape == (4, 5)


def test_the_noise_is_standard_normal() -> None:
    images, zeros = torch.zeros(1, 1, 4, 4), torch.zeros(200, dtype=torch.int64)
    noise = PatchBatches(images, Patches(zeros, zeros, zeros, zeros), 200, 300, 0).batch(0, 0).noise
    assert abs(noise.mean().item()) < 0.02
    assert abs(noise.std().item() - 1) < 0.02


def test_refuses_a_step_behind_the_epoch() -> None:
    with pytest.raises(IndexError, match="step 3 of an epoch of 3 steps"):
        make_batches().batch(0, 3)


def test_no_patch_is_centred_at_or_near_unknown_pixels() -> None:
    mask = np.zeros((20, 20), dtype=np.uint8)
    mask[10, :] = UNKNOWN
    background, *foreground = patch_centres(mask, 3, dilation=2)
    assert not sum(len(centres) for centres in foreground)
    assert set(background[:, 0].tolist()) == {*range(8), *range(13, 20)}
