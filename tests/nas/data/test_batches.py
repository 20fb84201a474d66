from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nas.data.batches import (
    Batches,
    Samples,
    in_order,
    resize_image,
    resize_mask,
    resize_numbers,
)
from nas.data.readers import open_reader
from nas.errors import DataError
from nas.settings import DataSettings

Make = Callable[..., DataSettings]


class _Numbers:
    """A reader whose image number n is filled with n / 100 and whose mask is n % 3."""

    name = "numbers"
    channels = 1
    lists = None
    problems = ()
    classes = ("background", "one", "two")

    def __init__(self, count: int) -> None:
        from nas.data.cases import Case

        self.cases = tuple(Case(f"c{n}", n, n) for n in range(count))
        self.reads = 0

    def read_image(self, case: object) -> np.ndarray:
        self.reads += 1
        return np.full((1, 4, 5), case.image / 100, dtype=np.float32)  # type: ignore[attr-defined]

    def read_mask(self, case: object) -> np.ndarray:
        return np.full((4, 5), case.mask % 3, dtype=np.uint8)  # type: ignore[attr-defined]

    def read_instances(self, case: object) -> None:
        return None

    def describe(self, case: object) -> str:
        return "numbers"


def _samples(count: int) -> Samples:
    reader = _Numbers(count)
    return Samples(reader, [case.id for case in reader.cases], (4, 5))


def test_a_batch_holds_what_its_ids_say() -> None:
    batch = _samples(9).batch(["c7", "c2"])
    assert batch.images.shape == (2, 1, 4, 5)
    assert batch.images.dtype == torch.float32
    assert batch.labels.dtype == torch.int64
    assert batch.ids == ("c7", "c2")
    np.testing.assert_allclose(batch.images[:, 0, 0, 0], [0.07, 0.02], atol=1e-6)
    assert batch.labels[:, 3, 4].tolist() == [1, 2]


@given(count=st.integers(1, 30), size=st.integers(1, 8), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_an_epoch_shows_every_case_once_and_ends_with_no_lonely_image(
    count: int, size: int, seed: int
) -> None:
    batches = Batches(_samples(count), size, seed)
    shown = [batches.batch(3, step).ids for step in range(len(batches))]
    assert sorted(case for ids in shown for case in ids) == sorted(f"c{n}" for n in range(count))
    lengths = [len(ids) for ids in shown]
    assert all(length == size for length in lengths[:-1])
    assert lengths[-1] <= size + 1
    if size > 1 and count > 1:
        assert lengths[-1] > 1


@pytest.mark.parametrize(
    ("count", "size", "lengths"),
    [(10, 4, [4, 4, 2]), (9, 4, [4, 5]), (3, 1, [1, 1, 1]), (1, 4, [1]), (5, 8, [5]), (4, 4, [4])],
)
def test_lengths_of_batches(count: int, size: int, lengths: list[int]) -> None:
    batches = Batches(_samples(count), size, 0)
    assert [len(batches.batch(0, step).ids) for step in range(len(batches))] == lengths


def test_a_batch_depends_on_seed_epoch_and_step_only() -> None:
    first, second = Batches(_samples(20), 4, 7), Batches(_samples(20), 4, 7)
    for step in range(5):
        first.batch(0, step)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert second.batch(2, 3).ids == first.batch(2, 3).ids
    assert torch.equal(state, torch.get_rng_state())


def test_epochs_and_seeds_are_shuffled_differently() -> None:
    samples = _samples(20)
    orders = {Batches(samples, 4, seed).order(epoch) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


def test_a_part_of_the_samples_can_be_shown() -> None:
    batches = Batches(_samples(20), 4, 0, ids=["c3", "c5", "c8"])
    assert sorted(batches.batch(0, 0).ids) == ["c3", "c5", "c8"]


def test_steps_outside_the_epoch() -> None:
    with pytest.raises(IndexError):
        Batches(_samples(8), 4, 0).batch(0, 2)
    with pytest.raises(IndexError):
        Batches(_samples(8), 4, 0).batch(0, -1)


def test_batches_of_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="1 or more"):
        Batches(_samples(0), 4, 0)
    with pytest.raises(DataError, match="1 or more"):
        Batches(_samples(4), 0, 0)


def test_evaluation_is_in_order_and_complete() -> None:
    shown = [batch.ids for batch in in_order(_samples(5), 2)]
    assert shown == [("c0", "c1"), ("c2", "c3"), ("c4",)]
    assert [batch.ids for batch in in_order(_samples(5), 2, ids=["c4", "c1"])] == [("c4", "c1")]


def test_cases_are_decoded_once_and_when_wanted() -> None:
    reader = _Numbers(6)
    told: list[tuple[int, int]] = []
    samples = Samples(
        reader,
        [c.id for c in reader.cases],
        (4, 5),
        progress=lambda done, total: told.append((done, total)),
    )
    assert reader.reads == 0
    samples.batch(["c1", "c1", "c2"])
    assert reader.reads == 2
    samples.load()
    samples.load()
    assert reader.reads == 6
    assert told == [(n, 6) for n in range(1, 7)]


def test_unknown_ids_are_refused() -> None:
    with pytest.raises(DataError, match="no case c9"):
        Samples(_Numbers(3), ["c1", "c9"], (4, 5))


def test_shrinking_an_image_is_antialiased_as_in_pillow(rng: np.random.Generator) -> None:
    image = rng.random((1, 60, 90)).astype(np.float32)
    expected = Image.fromarray(image[0]).resize((31, 20), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(resize_image(image, (20, 31))[0], np.asarray(expected), atol=1e-4)


def test_masks_take_the_value_at_the_centre(rng: np.random.Generator) -> None:
    mask = rng.integers(0, 5, (6, 9)).astype(np.uint8)
    assert (resize_mask(mask, (12, 27)).numpy() == mask.repeat(2, 0).repeat(3, 1)).all()
    assert (resize_mask(mask, (2, 3)).numpy() == mask[1::3, 1::3]).all()
    assert resize_mask(mask, (6, 9)).dtype == torch.uint8


@given(height=st.integers(32, 70), width=st.integers(32, 70))
@settings(max_examples=20, deadline=None)
def test_resizing_invents_no_class(height: int, width: int) -> None:
    mask = np.kron(np.asarray([[0, 3], [3, 0]]), np.ones((25, 31))).astype(np.uint8)
    resized = resize_mask(mask, (height, width))
    assert resized.shape == (height, width)
    assert set(resized.unique().tolist()) == {0, 3}


def test_numbers_of_objects_are_resized_like_masks(rng: np.random.Generator) -> None:
    numbers = rng.integers(0, 2**31 - 1, (13, 9), dtype=np.int32)
    found = resize_numbers(numbers, (7, 20))
    assert found.dtype == np.int32
    order = np.arange(117, dtype=np.uint8).reshape(13, 9)
    assert np.array_equal(found, numbers.ravel()[resize_mask(order, (7, 20)).numpy()])


def test_objects_come_at_the_size_of_the_samples(
    make_folder: Make, rng: np.random.Generator
) -> None:
    settings = make_folder(2, values=(0, 1))
    assert settings.data_root is not None
    mask = np.asarray(Image.open(settings.data_root / "masks" / "case1.png"))
    numbers = np.where(mask > 0, rng.integers(1, 60_000, mask.shape), 0).astype(np.uint16)
    (settings.data_root / "instances").mkdir()
    Image.fromarray(numbers).save(settings.data_root / "instances" / "case1.png")
    Image.fromarray(numbers * 0).save(settings.data_root / "instances" / "case2.png")
    samples = Samples(open_reader(settings), ["case1"], (20, 24))
    assert np.array_equal(samples.instances("case1"), resize_numbers(numbers, (20, 24)))
    assert _samples(2).instances("c0") is None


def test_image_and_mask_stay_aligned() -> None:
    square = np.zeros((50, 80), dtype=np.float32)
    square[10:30, 20:60] = 1
    image = resize_image(square[None], (75, 64))[0]
    mask = resize_mask(square.astype(np.uint8), (75, 64))
    assert ((image > 0.5) == mask.bool()).float().mean() > 0.99


def test_a_folder_at_odd_size(make_folder: Make) -> None:
    options = make_folder(5)
    reader = open_reader(options)
    batch = Batches(Samples(reader, [c.id for c in reader.cases], (33, 47)), 5, 0).batch(0, 0)
    assert batch.images.shape == (5, 1, 33, 47)
    assert batch.labels.shape == (5, 33, 47)
    assert 0 <= batch.images.min() < batch.images.max() <= 1


def test_damage_behind_the_header_is_told_when_it_is_read(
    make_folder: Make, tmp_path: Path
) -> None:
    options = make_folder(3)
    path = tmp_path / "images" / "case2.png"
    path.write_bytes(path.read_bytes()[:-900])
    reader = open_reader(options)
    with pytest.raises(DataError, match=r"case2\.png is damaged"):
        Samples(reader, ["case1", "case2"], (32, 32)).load()


class _Slow(_Numbers):
    """Later images are read faster; those of some numbers cannot be read at all."""

    def __init__(self, count: int, damaged: tuple[int, ...] = ()) -> None:
        super().__init__(count)
        self.damaged = damaged
        self.threads: set[int] = set()

    def read_image(self, case: object) -> np.ndarray:
        number: int = case.image  # type: ignore[attr-defined]
        self.threads.add(threading.get_ident())
        time.sleep(0.002 * (len(self.cases) - number))
        if number in self.damaged:
            raise DataError(f"image {number} is damaged")
        return super().read_image(case)


def test_decoding_in_threads_keeps_cases_with_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    reader = _Slow(20)
    told: list[tuple[int, int, int]] = []
    samples = Samples(
        reader,
        [case.id for case in reader.cases],
        (4, 5),
        progress=lambda done, total: told.append((done, total, threading.get_ident())),
    )
    samples.load()
    assert len(reader.threads) > 1 and reader.reads == 20
    assert told == [(n, 20, threading.get_ident()) for n in range(1, 21)]
    np.testing.assert_allclose(
        samples.batch(samples.ids).images[:, 0, 0, 0], np.arange(20) / 100, atol=1e-6
    )


def test_of_several_damaged_files_the_first_in_order_is_told_and_reading_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    before = threading.active_count()
    for _ in range(3):
        reader = _Slow(60, damaged=(3, 4, 5))
        samples = Samples(reader, [case.id for case in reader.cases], (4, 5))
        with pytest.raises(DataError, match="image 3 is damaged"):
            samples.load()
        assert reader.reads < 30
        assert threading.active_count() == before


def test_what_the_progress_raises_ends_the_reading_at_once() -> None:
    def progress(done: int, total: int) -> None:
        if done == 2:
            raise RuntimeError("the terminal is gone")

    reader, before = _Slow(60), threading.active_count()
    samples = Samples(reader, [case.id for case in reader.cases], (4, 5), progress=progress)
    with pytest.raises(RuntimeError, match="the terminal is gone"):
        samples.load()
    assert reader.reads < 30 and threading.active_count() == before


def test_classes_that_a_reader_has_to_look_for_are_looked_for_once() -> None:
    class Looking(_Slow):
        looked = 0

        @property
        def classes(self) -> tuple[str, ...]:
            assert threading.current_thread() is threading.main_thread() and not self.reads
            self.looked += 1
            return ("background", "object")

    reader = Looking(5)
    Samples(reader, [case.id for case in reader.cases], (4, 5)).load()
    assert reader.looked == 1


def test_an_interruption_ends_the_reading_at_once_and_leaves_no_thread(tmp_path: Path) -> None:
    script = tmp_path / "load.py"
    script.write_text(
        "import signal, threading, time\n"
        "import numpy as np\n"
        "from nas.data.batches import Samples\n"
        "from nas.data.cases import Case\n"
        "class Reader:\n"
        "    classes = ('background', 'object')\n"
        "    cases = tuple(Case(str(n), n, n) for n in range(1000))\n"
        "    def read_image(self, case):\n"
        "        print('reading', flush=True)\n"
        "        time.sleep(0.1)\n"
        "        return np.zeros((1, 4, 4), np.float32)\n"
        "    def read_mask(self, case):\n"
        "        return np.zeros((4, 4), np.uint8)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try:\n"
        "    Samples(Reader(), [case.id for case in Reader.cases], (4, 4)).load()\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', threading.active_count(), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(10)] == ["reading\n"] * 10
        process.send_signal(signal.SIGINT)
        told = process.stdout.read().splitlines()
        process.wait(timeout=60)
        assert told[-1] == "interrupted 1" and len(told) < 500 and process.returncode == 0


def test_images_of_8_bits_are_held_in_one_byte_and_shown_as_they_are_read(
    make_folder: Make,
) -> None:
    reader = open_reader(make_folder(3))
    samples = Samples(reader, ["case1"], (40, 48))
    assert torch.equal(
        samples.batch(["case1"]).images[0], torch.from_numpy(reader.read_image(reader.cases[0]))
    )
    assert samples._decoded["case1"].pixels.dtype == torch.uint8
