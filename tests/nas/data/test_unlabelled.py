"""Images without masks: which they are, how they are read, and when they are shown."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data.batches import Batch
from nas.data.unlabelled import (
    Unlabelled,
    WithUnlabelled,
    files_of,
    halves,
    put_aside,
    read_file,
)
from nas.errors import DataError
from nas.settings import DataSettings

TRAIN = tuple(f"case{number}" for number in range(10))
BATCH = Batch(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4, dtype=torch.int64), ("a", "b"))


def pool(count: int) -> Unlabelled:
    """Images of 4x4 pixels whose values are their numbers over 100."""
    return Unlabelled.read(
        [str(number) for number in range(count)],
        lambda name: np.full((1, 4, 4), int(name) / 100, dtype=np.float32),
        (4, 4),
        torch.device("cpu"),
    )


def test_so_many_masks_are_put_aside_whatever_the_order_of_the_cases() -> None:
    settings = DataSettings(unlabelled_images=4)
    chosen = put_aside(TRAIN, settings)
    assert len(set(chosen)) == 4
    assert set(put_aside(TRAIN[::-1], settings)) == set(chosen)
    other = put_aside(TRAIN, DataSettings(unlabelled_images=4, split_seed=1))
    assert set(other) != set(chosen)
    assert put_aside(TRAIN, DataSettings()) == ()


def test_some_masks_must_remain() -> None:
    with pytest.raises(DataError, match="--unlabelled-images 10"):
        put_aside(TRAIN, DataSettings(unlabelled_images=10))


def test_files_are_in_natural_order_and_others_are_left_out(tmp_path: Path) -> None:
    for name in ("x10.png", "x2.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in files_of(tmp_path)] == ["x2.png", "x10.png"]


def test_an_empty_or_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        files_of(tmp_path)
    with pytest.raises(DataError, match="no folder"):
        files_of(tmp_path / "none")


def test_files_are_read_like_the_images_of_the_data(tmp_path: Path) -> None:
    colours = np.zeros((4, 4, 3), dtype=np.uint8)
    colours[..., 1] = 51
    Image.fromarray(colours).save(tmp_path / "a.png")
    found = read_file(tmp_path / "a.png", 3, DataSettings())
    assert found.shape == (3, 4, 4)
    green = read_file(tmp_path / "a.png", 1, DataSettings(image_channel="green"))
    assert green.shape == (1, 4, 4)
    assert np.allclose(green, 0.2)
    assert np.allclose(read_file(tmp_path / "a.png", 1, DataSettings()), 0.2 * 0.587, atol=1e-6)


def test_every_image_is_shown_equally_often_over_the_epochs() -> None:
    addition = WithUnlabelled(pool(6), batch_size=2, seed=1, steps=5)
    seen: Counter[float] = Counter()
    for epoch in range(3):
        for step in range(5):
            shown = addition(BATCH, epoch, step).unlabelled
            assert shown is not None and shown.shape == (2, 1, 4, 4)
            seen.update(round(float(image.mean()), 2) for image in shown)
    assert set(seen.values()) == {5}
    assert len(seen) == 6


def test_the_same_step_shows_the_same_images_and_the_labelled_ones_stay() -> None:
    addition = WithUnlabelled(pool(6), 2, 1, 5)
    again = WithUnlabelled(pool(6), 2, 1, 5)
    for place in [(0, 3), (2, 1)]:
        one, two = addition(BATCH, *place), again(BATCH, *place)
        assert torch.equal(one.unlabelled, two.unlabelled)
        assert one.images is BATCH.images and one.labels is BATCH.labels
    orders = [addition(BATCH, 0, step).unlabelled for step in range(5)]
    assert len({tuple(images.flatten().tolist()) for images in orders}) > 1


def test_fewer_images_than_a_batch_are_all_shown() -> None:
    shown = WithUnlabelled(pool(1), 4, 1, 5)(BATCH, 0, 0).unlabelled
    assert shown is not None and len(shown) == 1


def test_a_search_has_other_unlabelled_images_for_the_weights_than_for_the_architecture() -> None:
    first, second = halves(pool(7), 0)
    assert first is not None and second is not None
    assert set(first.images) | set(second.images) == set(pool(7).images)
    assert set(first.images).isdisjoint(second.images)
    assert {len(first.images), len(second.images)} == {3, 4}
    again, _ = halves(pool(7), 0)
    other, _ = halves(pool(7), 1)
    assert set(again.images) == set(first.images) != set(other.images)
    assert halves(None, 0) == (None, None)
    with pytest.raises(DataError, match="one alone"):
        halves(pool(1), 0)
