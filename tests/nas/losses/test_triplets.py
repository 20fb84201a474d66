"""Mining against a growing search around each anchor, the loss against torch and by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import triplet_margin_loss

from nas.data.cases import UNKNOWN
from nas.losses.triplets import Positives, mine_triplets, triplet_loss

Place = tuple[int, int]


def nearest_background(labels: np.ndarray, anchor: Place) -> set[Place]:
    """The background pixels of the first ring around the anchor that has any."""
    height, width = labels.shape
    for radius in range(1, max(height, width)):
        ring = {
            (y, x)
            for y in range(anchor[0] - radius, anchor[0] + radius + 1)
            for x in range(anchor[1] - radius, anchor[1] + radius + 1)
            if max(abs(y - anchor[0]), abs(x - anchor[1])) == radius
            if 0 <= y < height and 0 <= x < width and labels[y, x] == 0
        }
        if ring:
            return ring
    return set()


def boundary(labels: np.ndarray) -> set[Place]:
    """The foreground pixels with a background pixel among their eight neighbours."""
    padded = np.pad(labels, 1, constant_values=1)
    places = np.argwhere(labels).tolist()
    return {(y, x) for y, x in places if (padded[y : y + 3, x : x + 3] == 0).any()}


def unraveled(triplets: np.ndarray, shape: tuple[int, ...]) -> list[list[tuple[int, Place]]]:
    """Per triplet the image and the place of anchor, positive and negative."""
    image, row, column = (part.tolist() for part in np.unravel_index(triplets, shape))
    return [
        [(image[m][k], (row[m][k], column[m][k])) for k in range(3)] for m in range(len(triplets))
    ]


def random_masks(seed: int, density: float, size: tuple[int, int]) -> np.ndarray:
    """Three masks of blocks of up to three classes."""
    rng = np.random.default_rng(seed)
    blocks = (rng.random((3, *size)) < density) * rng.integers(1, 4, (3, *size))
    return blocks.repeat(2, axis=1).repeat(3, axis=2)


@given(
    seed=st.integers(0, 2**32 - 1),
    density=st.floats(0, 1),
    size=st.tuples(st.integers(1, 7), st.integers(1, 5)),
    count=st.integers(1, 60),
    positives=st.sampled_from(["random", "boundary"]),
)
@settings(max_examples=25, deadline=None)
def test_triplets_are_as_defined(
    seed: int, density: float, size: tuple[int, int], count: int, positives: Positives
) -> None:
    labels = random_masks(seed, density, size)
    triplets = mine_triplets(labels, count, np.random.default_rng(seed), positives)
    assert triplets.dtype == np.int64 and triplets.shape[1:] == (3,)
    number: Counter[int] = Counter()
    for (image, anchor), (positive_in, positive), (negative_in, negative) in unraveled(
        triplets, labels.shape
    ):
        mask = labels[image]
        assert image == positive_in == negative_in
        assert mask[anchor] and mask[positive] and anchor != positive
        assert positives == "random" or positive in boundary(mask)
        assert negative in nearest_background(mask, anchor)
        number[image] += 1
    assert len(np.unique(triplets[:, 0])) == len(triplets)
    for image, mask in enumerate(labels):
        foreground = np.count_nonzero(mask)
        usable = 2 <= foreground < mask.size
        assert number[image] == (min(count, foreground) if usable else 0)


MASK = np.array(
    [
        [0, 0, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 1, 1],
        [1, 0, 1, 1, 1, 1, 0],
    ]
)


def drawn(positives: Positives, repeats: int = 2000) -> list[list[tuple[int, Place]]]:
    """Triplets of every anchor of MASK, so many times."""
    masks = np.broadcast_to(MASK, (repeats, *MASK.shape))
    mined = mine_triplets(masks, MASK.size, np.random.default_rng(5), positives)
    return unraveled(mined, masks.shape)


def assert_uniform(found: Counter[Place], admitted: set[Place]) -> None:
    """All of the admitted places and no others, each as often within five standard deviations."""
    assert set(found) == admitted
    total, share = sum(found.values()), 1 / len(admitted)
    spread = 5 * (total * share * (1 - share)) ** 0.5
    assert all(abs(times - total * share) <= spread for times in found.values())


def test_every_admitted_negative_is_equally_likely() -> None:
    found: dict[Place, Counter[Place]] = {}
    for (_, anchor), _, (_, negative) in drawn("random"):
        found.setdefault(anchor, Counter())[negative] += 1
    assert max(len(nearest_background(MASK, anchor)) for anchor in found) >= 3
    for anchor, negatives in found.items():
        assert_uniform(negatives, nearest_background(MASK, anchor))


def test_every_pixel_of_a_whole_ring_is_equally_likely() -> None:
    """A lone anchor of radius 3 in a lake: its ring has 24 pixels, corners included."""
    mask = np.zeros((9, 9), dtype=np.int64)
    mask[2:7, 2:7] = 1
    masks = np.broadcast_to(mask, (4000, 9, 9))
    found: Counter[Place] = Counter()
    mined = mine_triplets(masks, 25, np.random.default_rng(1), "random")
    for (_, anchor), _, (_, negative) in unraveled(mined, masks.shape):
        if anchor == (4, 4):
            found[negative] += 1
    ring = nearest_background(mask, (4, 4))
    assert len(ring) == 24
    assert_uniform(found, ring)


@pytest.mark.parametrize("positives", ["random", "boundary"])
def test_every_admitted_positive_is_equally_likely(positives: Positives) -> None:
    pool = boundary(MASK) if positives == "boundary" else {(y, x) for y, x in np.argwhere(MASK)}
    found: dict[Place, Counter[Place]] = {}
    for (_, anchor), (_, positive), _ in drawn(positives):
        found.setdefault(anchor, Counter())[positive] += 1
    for anchor, chosen in found.items():
        assert_uniform(chosen, pool - {anchor})


def test_every_foreground_pixel_is_equally_likely_as_anchor() -> None:
    masks = np.broadcast_to(MASK, (6000, *MASK.shape))
    mined = mine_triplets(masks, 3, np.random.default_rng(2), "random")
    anchors = Counter(anchor for (_, anchor), _, _ in unraveled(mined, masks.shape))
    assert sum(anchors.values()) == 18000
    assert_uniform(anchors, {(y, x) for y, x in np.argwhere(MASK)})


def test_images_that_have_none() -> None:
    labels = np.zeros((4, 3, 3), dtype=np.uint8)
    labels[1] = 2
    labels[2, 1, 1] = 1
    labels[3, 0] = 1
    for positives in ("random", "boundary"):
        triplets = mine_triplets(labels, 50, np.random.default_rng(0), positives)
        assert sorted(triplets[:, 0]) == [27, 28, 29]
        assert mine_triplets(labels[:3], 5, np.random.default_rng(0), positives).shape == (0, 3)
    assert mine_triplets(labels[:0], 5, np.random.default_rng(0), "random").shape == (0, 3)


def test_a_sole_boundary_pixel_is_no_anchor() -> None:
    labels = np.array([[[0, 1, 1, 1]]])
    triplets = mine_triplets(labels, 9, np.random.default_rng(0), "boundary")
    assert sorted(triplets.tolist()) == [[2, 1, 0], [3, 1, 0]]


def test_the_choices_are_those_of_the_generator() -> None:
    labels = random_masks(3, 0.5, (6, 6))
    first, again, other = (
        mine_triplets(labels, 9, np.random.default_rng(seed), "random") for seed in (4, 4, 5)
    )
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize(
    ("labels", "count", "positives"),
    [
        (np.ones((3, 3), dtype=int), 1, "random"),
        (np.ones((1, 3, 3)), 1, "random"),
        (np.ones((1, 3, 3), dtype=int), 0, "random"),
        (np.ones((1, 3, 3), dtype=int), 1, "hard"),
    ],
)
def test_what_cannot_be_mined_is_refused(
    labels: np.ndarray, count: int, positives: Positives
) -> None:
    with pytest.raises(ValueError):
        mine_triplets(labels, count, np.random.default_rng(0), positives)


def test_loss_equals_torch() -> None:
    maps = torch.rand(2, 5, 6, dtype=torch.float64, requires_grad=True)
    triplets = torch.randint(60, (40, 3))
    anchor, positive, negative = maps.flatten()[triplets][..., None].unbind(dim=1)
    expected = triplet_margin_loss(anchor, positive, negative, margin=0.3, eps=0.0, reduction="sum")
    torch.testing.assert_close(triplet_loss(maps, triplets, 0.3), expected)


def test_loss_and_gradient_by_hand() -> None:
    """|0.9 - 0.8| - |0.9 - 0.7| + 0.2 = 0.1, |0.9 - 0.8| - |0.9 - 0.1| + 0.2 < 0, and
    |0.8 - 0.7| - |0.8 - 0.9| + 0.2 = 0.2."""
    maps = torch.tensor([[[0.9, 0.8]], [[0.7, 0.1]]], dtype=torch.float64, requires_grad=True)
    triplets = torch.tensor([[0, 1, 2], [0, 1, 3], [1, 2, 0]])
    loss = triplet_loss(maps, triplets, 0.2)
    assert float(loss.detach()) == pytest.approx(0.1 + 0.0 + 0.2)
    (gradient,) = torch.autograd.grad(loss, maps)
    first = torch.tensor([1.0 - 1.0, -1.0, 1.0, 0.0])
    third = torch.tensor([-1.0, 1.0 + 1.0, -1.0, 0.0])
    torch.testing.assert_close(gradient.flatten(), (first + third).double())


def test_loss_of_the_background_is_that_of_the_foreground() -> None:
    maps, triplets = torch.rand(2, 4, 4, dtype=torch.float64), torch.randint(32, (20, 3))
    torch.testing.assert_close(
        triplet_loss(1 - maps, triplets, 0.2), triplet_loss(maps, triplets, 0.2)
    )


def test_loss_without_triplets_is_zero_with_a_gradient_of_zero() -> None:
    maps = torch.rand(1, 3, 3, requires_grad=True)
    loss = triplet_loss(maps, torch.zeros(0, 3, dtype=torch.int64), 0.2)
    (gradient,) = torch.autograd.grad(loss, maps)
    assert float(loss.detach()) == 0.0 and not gradient.any()


@pytest.mark.parametrize("positives", ["random", "boundary"])
def test_unknown_pixels_are_in_no_triplet(positives: Positives) -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, (4, 9, 8))
    unknown = rng.random(labels.shape) < 0.3
    labels[unknown] = UNKNOWN
    mined = mine_triplets(labels, 20, rng, positives)
    flat = labels.ravel()
    assert len(mined) > 40
    assert (flat[mined[:, 0]] == 1).all()
    assert (flat[mined[:, 1]] == 1).all()
    assert (flat[mined[:, 2]] == 0).all()
    for anchor, positive, negative in mined.tolist():
        image, place = divmod(anchor, 72)
        near = nearest_background(labels[image], divmod(place, 8))
        assert divmod(negative % 72, 8) in near
        assert positive // 72 == image
        if positives == "boundary":
            assert divmod(positive % 72, 8) in boundary(labels[image])


def test_no_triplet_where_unknown_pixels_are_all_of_the_boundary() -> None:
    labels = np.full((1, 7, 7), UNKNOWN)
    labels[0, 0] = 0
    labels[0, 3:, 2:5] = 1
    assert not len(mine_triplets(labels, 5, np.random.default_rng(0), "boundary"))
    assert len(mine_triplets(labels, 5, np.random.default_rng(0), "random")) == 5
