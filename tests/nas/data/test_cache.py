"""What comes out of a cache is what was decoded, and nothing wrong is ever found in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import cache as cache_module
from nas.data.batches import Samples
from nas.data.cache import DESCRIPTION, Cache
from nas.data.cases import Case, Slice
from nas.data.decoded import Decoded
from nas.data.preprocessing import preprocessed
from nas.data.readers import open_reader
from nas.data.synthesis.table import LAYOUTS, synthesize
from nas.errors import RunError
from nas.settings import DataSettings

Make = Callable[..., DataSettings]
SIZE = (40, 48)
ROOT = Path(__file__).parents[3]


def samples(
    settings: DataSettings, folder: Path | None, size: tuple[int, int] = SIZE
) -> tuple[Samples, Cache | None]:
    reader = preprocessed(open_reader(settings), settings)
    cache = None if folder is None else Cache(folder, reader, settings)
    found = Samples(reader, [case.id for case in reader.cases], size, cache=cache)
    found.load()
    return found, cache


def counts(settings: DataSettings, folder: Path, size: tuple[int, int] = SIZE) -> tuple[int, ...]:
    """Entries found, built and damaged."""
    _, cache = samples(settings, folder, size)
    assert cache is not None
    return tuple(cache.counts[name] for name in ("found", "built", "damaged"))


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("size", [SIZE, (33, 21)])
@pytest.mark.parametrize("options", [{}, {"white": 200.0}, {"image_channels": 3}])
def test_with_and_without_a_cache_all_is_the_same_bit_for_bit(
    make_folder: Make, tmp_path: Path, size: tuple[int, int], options: dict[str, object]
) -> None:
    settings = make_folder(5, **options)
    plain, _ = samples(settings, None, size)
    built, _ = samples(settings, tmp_path / "cache", size)
    found, cache = samples(settings, tmp_path / "cache", size)
    assert cache is not None and cache.counts == {"found": 5, "built": 0, "damaged": 0}
    expected = plain.batch(plain.ids)
    for other in (built.batch(plain.ids), found.batch(plain.ids)):
        assert torch.equal(other.images, expected.images)
        assert torch.equal(other.labels, expected.labels)
    assert expected.images.dtype == torch.float32 and expected.labels.dtype == torch.int64


def test_images_are_decoded_once_for_two_runs(make_folder: Make, tmp_path: Path) -> None:
    settings = make_folder(4)
    samples(settings, tmp_path / "cache")
    with patch("nas.data.layouts.layout.open_image") as opened:
        samples(settings, tmp_path / "cache")
    opened.assert_not_called()


def test_stored_8_bit_values_take_one_byte_and_others_four(
    make_folder: Make, tmp_path: Path
) -> None:
    pixels = SIZE[0] * SIZE[1]
    for name, options, byte in (("a", {}, 1), ("b", {"white": 200.0}, 4)):
        samples(make_folder(2, **options), tmp_path / name)
        lengths = {path.stat().st_size for path in entries(tmp_path / name)}
        assert lengths == {DESCRIPTION + byte * pixels + pixels}


@pytest.mark.parametrize(
    "change",
    [
        {"white": 200.0},
        {"image_channels": 3},
        {"value_map": "0:0,1:1,2:1"},
        {"class_names": ("a", "b", "c")},
        {"clahe_clip": 0.02, "clahe_tiles": 4},
        {"clahe_clip": 0.02, "clahe_tiles": 5},
    ],
)
def test_other_settings_do_not_find_the_entries(
    make_folder: Make, tmp_path: Path, change: dict[str, object]
) -> None:
    folder = tmp_path / "cache"
    samples(make_folder(2), folder)
    samples(make_folder(2, clahe_clip=0.01, clahe_tiles=4), folder)
    assert counts(make_folder(2, **change), folder) == (0, 2, 0)
    assert counts(make_folder(2), folder) == (2, 0, 0)


def test_every_setting_of_the_data_is_either_in_the_name_or_without_effect(
    make_folder: Make, tmp_path: Path
) -> None:
    """A new setting is in the name of the entries unless somebody says that it need not be."""
    settings = make_folder(1)
    reader = open_reader(settings)
    (case,) = reader.cases

    def name(**options: object) -> Path:
        changed = DataSettings(**{"dataset": "folder", **options})  # type: ignore[arg-type]
        return Cache(tmp_path, reader, changed)._path(case, SIZE)

    same = [field for field in DataSettings.__struct_fields__ if name(**{field: "x"}) == name()]
    assert sorted(same) == sorted(
        ["data_root", "groups", "split", "fold", "train_images", "val_images", "split_seed"]
        + ["unlabelled", "unlabelled_images", "cache", "standardise"]
    )


def test_other_sizes_do_not_find_the_entries(make_folder: Make, tmp_path: Path) -> None:
    settings = make_folder(2)
    samples(settings, tmp_path / "cache")
    assert counts(settings, tmp_path / "cache", (SIZE[1], SIZE[0])) == (0, 2, 0)


@pytest.mark.parametrize("part", ["images", "masks"])
def test_a_changed_file_is_decoded_anew_even_with_its_old_date_and_size(
    make_folder: Make, tmp_path: Path, part: str
) -> None:
    settings = make_folder(3)
    samples(settings, tmp_path / "cache")
    path = tmp_path / part / "case2.png"
    before = path.stat()
    pixels = np.asarray(Image.open(path)).copy()
    pixels[3, 4] = (pixels[3, 4] + 1) % 3
    Image.fromarray(pixels).save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    found, cache = samples(settings, tmp_path / "cache")
    assert cache is not None and cache.counts == {"found": 2, "built": 1, "damaged": 0}
    batch = found.batch(["case2"])
    stored = batch.labels[0] if part == "masks" else (batch.images[0, 0] * 255).round()
    assert torch.equal(stored.to(torch.uint8), torch.from_numpy(pixels))


def test_files_that_were_only_moved_are_found(make_folder: Make, tmp_path: Path) -> None:
    settings = make_folder(3)
    samples(settings, tmp_path / "cache")
    (tmp_path / "elsewhere").mkdir()
    for name in ("images", "masks"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    moved = DataSettings(dataset="folder", data_root=tmp_path / "elsewhere")
    assert counts(moved, tmp_path / "cache") == (3, 0, 0)


def damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    path.unlink()
    if kind == "truncated":
        path.write_bytes(content[:-1])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "longer":
        path.write_bytes(content + b"\0")
    elif kind == "header":
        path.write_bytes(content[: DESCRIPTION - 7])
    else:
        content[{"image": DESCRIPTION + 77, "mask": -5, "shape": 12}[kind]] ^= 4
        path.write_bytes(content)


@pytest.mark.parametrize(
    "kind", ["truncated", "empty", "longer", "header", "image", "mask", "shape"]
)
def test_a_damaged_entry_is_noticed_and_rebuilt(
    make_folder: Make, tmp_path: Path, kind: str
) -> None:
    settings = make_folder(3)
    plain, _ = samples(settings, tmp_path / "cache")
    path = entries(tmp_path / "cache")[1]
    good = path.read_bytes()
    damage(path, kind)
    found, cache = samples(settings, tmp_path / "cache")
    assert cache is not None and cache.counts == {"found": 2, "built": 1, "damaged": 1}
    assert torch.equal(found.batch(found.ids).images, plain.batch(plain.ids).images)
    assert path.read_bytes() == good
    assert counts(settings, tmp_path / "cache") == (3, 0, 0)


def test_only_finished_files_are_left_in_the_folder(make_folder: Make, tmp_path: Path) -> None:
    samples(make_folder(3), tmp_path / "cache")
    assert all(path.suffix == ".case" for path in entries(tmp_path / "cache"))
    assert len(entries(tmp_path / "cache")) == 3


def test_runs_that_start_at_once_do_not_disturb_each_other(
    make_folder: Make, tmp_path: Path
) -> None:
    make_folder(12)
    script = (
        "import sys, torch, zlib; from pathlib import Path; from nas.data.batches import Samples;"
        "from nas.data.cache import Cache; from nas.data.readers import open_reader;"
        "from nas.settings import DataSettings;"
        "s = DataSettings(dataset='folder', data_root=Path(sys.argv[1])); r = open_reader(s);"
        "c = Cache(Path(sys.argv[1]) / 'cache', r, s);"
        "x = Samples(r, [k.id for k in r.cases], (64, 80), cache=c); x.load();"
        "b = x.batch(x.ids);"
        "print(zlib.crc32(b.images.numpy().tobytes() + b.labels.numpy().tobytes()),"
        " c.counts['damaged'])"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    told = {run.communicate(timeout=120)[0] for run in runs}
    assert all(run.returncode == 0 for run in runs)
    assert len(told) == 1 and told.pop().endswith(" 0\n")
    assert len(entries(tmp_path / "cache")) == 12


def test_a_writer_that_is_overtaken_does_no_harm(make_folder: Make, tmp_path: Path) -> None:
    settings = make_folder(1)
    reader = open_reader(settings)
    (case,) = reader.cases
    decoded = Decoded(torch.rand(1, 3, 4), torch.zeros(3, 4, dtype=torch.uint8))
    first, second = (Cache(tmp_path / "cache", reader, settings) for _ in range(2))
    kept = [first.fetch(case, (3, 4), lambda: second.fetch(case, (3, 4), lambda: decoded))]
    kept.append(second.fetch(case, (3, 4), lambda: decoded))
    assert all(torch.equal(each.pixels, decoded.pixels) for each in kept)
    assert len(entries(tmp_path / "cache")) == 1


def test_what_is_mapped_can_be_changed_in_memory_without_harm_to_the_file(
    make_folder: Make, tmp_path: Path
) -> None:
    settings = make_folder(1)
    reader = open_reader(settings)
    cache = Cache(tmp_path / "cache", reader, settings)
    decoded = Decoded(torch.rand(1, 3, 4), torch.zeros(3, 4, dtype=torch.uint8))
    cache.fetch(reader.cases[0], (3, 4), lambda: decoded).pixels.zero_()
    again = cache.fetch(reader.cases[0], (3, 4), lambda: decoded)
    assert torch.equal(again.pixels, decoded.pixels) and again.pixels.any()


def test_what_is_mapped_outlives_the_folder(make_folder: Make, tmp_path: Path) -> None:
    found, _ = samples(make_folder(2), tmp_path / "cache")
    expected = found.batch(found.ids).images
    for path in entries(tmp_path / "cache"):
        path.unlink()
    assert torch.equal(found.batch(found.ids).images, expected)


def test_a_folder_that_cannot_be_written_is_told(make_folder: Make, tmp_path: Path) -> None:
    settings = make_folder(1)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"--cache .*file cannot be written .*leave --cache out"):
        samples(settings, tmp_path / "file")


def test_a_full_disk_is_told_and_leaves_nothing(make_folder: Make, tmp_path: Path) -> None:
    settings = make_folder(1)
    with (
        patch("os.fsync", side_effect=OSError(28, "No space left on device")),
        pytest.raises(RunError, match="No space left on device"),
    ):
        samples(settings, tmp_path / "cache")
    assert not entries(tmp_path / "cache")


def test_slices_of_a_volume_differ_and_its_file_is_hashed_once(tmp_path: Path) -> None:
    volume, mask = tmp_path / "v.nii", tmp_path / "m.nii"
    volume.write_bytes(b"volume" * 1000)
    mask.write_bytes(b"mask" * 1000)
    reader = open_reader(DataSettings(image_size="32"))
    cache = Cache(tmp_path / "cache", reader, DataSettings())
    cases = [Case("v", Slice(volume, number), Slice(mask, number)) for number in range(5)]
    with patch("hashlib.file_digest", wraps=cache_module.hashlib.file_digest) as read:
        names = {cache._path(case, SIZE) for case in cases}
        names.add(cache._path(replace(cases[0], mask=Slice(mask, 1)), SIZE))
        names.add(cache._path(replace(cases[0], image=(Slice(volume, 0),)), SIZE))
        names.add(cache._path(replace(cases[0], id="w"), SIZE))
    assert len(names) == 8 and read.call_count == 2


def test_masks_in_another_order_are_another_entry(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text(path.name)
    cache = Cache(tmp_path, open_reader(DataSettings()), DataSettings())
    orders = (tuple(paths[1:]), tuple(paths[:0:-1]))
    assert len({cache._path(Case("x", paths[0], order), SIZE) for order in orders}) == 2


def test_generated_cases_are_kept_by_their_number_and_size(tmp_path: Path) -> None:
    for size in ("32", "48"):
        settings = DataSettings(image_size=size)
        reader = open_reader(settings)
        ids = [case.id for case in reader.cases[:3]]
        expected = Samples(reader, ids, (32, 32)).batch(ids)
        for found, built in ((0, 3), (3, 0)):
            cache = Cache(tmp_path, reader, settings)
            batch = Samples(reader, ids, (32, 32), cache=cache).batch(ids)
            assert (cache.counts["found"], cache.counts["built"]) == (found, built)
            assert torch.equal(batch.images, expected.images)


def test_another_version_decodes_anew(make_folder: Make, tmp_path: Path) -> None:
    settings = make_folder(1)
    samples(settings, tmp_path / "cache")
    for name, value in (("FORMAT", -1), ("__version__", "0"), ("DECODERS", ("torch",))):
        with patch.object(cache_module, name, value):
            assert counts(settings, tmp_path / "cache") == (0, 1, 0), name


def test_what_a_reader_knows_of_its_values_is_in_the_name(
    make_folder: Make, tmp_path: Path
) -> None:
    """A layout may take the meaning of values from a file of its own, not from the settings."""
    settings = make_folder(1)
    reader = open_reader(settings)
    others = [reader, replace(reader, value_map={0: 0, 1: 1, 2: 1}), replace(reader, channels=3)]  # type: ignore[type-var]
    names = {Cache(tmp_path, each, settings)._path(reader.cases[0], SIZE) for each in others}
    assert len(names) == 3


@dataclass(frozen=True)
class _Knowing:
    """A reader's fields of every kind."""

    values: object
    folder: Path = Path("a")
    found: object = field(default=None, repr=False)
    notes: tuple[str, ...] = ()


def test_fields_of_a_reader_count_by_their_content() -> None:
    # 0 and 8 are kept in the order in which a small set was given them.
    same = [
        _Knowing({1: (2, None), 3: frozenset([0, 8])}),
        _Knowing({3: frozenset([8, 0]), 1: [2, None]}, Path("b"), object(), ("a note",)),
    ]
    others = [
        _Knowing({1: (2, None), 3: frozenset([0, 9])}),
        _Knowing({1: (None, 2), 3: frozenset([0, 8])}),
        _Knowing({1: (2, None), 4: frozenset([0, 8])}),
        _Knowing(_Knowing({1: (2, None), 3: frozenset([0, 8])})),
    ]
    texts = [json.dumps(cache_module._traits(each)) for each in (*same, *others)]
    assert texts[0] == texts[1] and len(set(texts)) == 5


def test_a_field_of_unknown_meaning_is_not_passed_over() -> None:
    with pytest.raises(TypeError, match="a reader's field of the type object"):
        cache_module._traits(_Knowing(object()))


@pytest.mark.parametrize("layout", sorted(LAYOUTS.keys() - {"jsrt"}))
def test_every_layout_comes_out_as_it_goes_in(tmp_path: Path, layout: str) -> None:
    volumes = layout in ("msd", "nnunet_volumes")
    synthesize(layout, tmp_path / "data", 4, 0, None if volumes else (64, 64))
    dataset = layout.removesuffix("_without_test_labels").removesuffix("_volumes")
    settings = DataSettings(dataset=dataset, data_root=tmp_path / "data")
    reader = open_reader(settings)
    ids = [case.id for case in reader.cases][:3]
    expected = Samples(reader, ids, (48, 56)).batch(ids)
    for name in ("built", "found"):
        cache = Cache(tmp_path / "cache", reader, settings)
        batch = Samples(reader, ids, (48, 56), cache=cache).batch(ids)
        assert cache.counts[name] == len(ids)
        assert torch.equal(batch.images, expected.images)
        assert torch.equal(batch.labels, expected.labels)


def test_names_are_the_same_in_every_process(make_folder: Make, tmp_path: Path) -> None:
    settings = make_folder(1, clahe_clip=0.02)
    reader = preprocessed(open_reader(settings), settings)
    here = Cache(tmp_path / "cache", reader, settings)._path(reader.cases[0], SIZE)
    script = (
        "import sys, json; from pathlib import Path; from nas.data.cache import Cache;"
        "from nas.data.preprocessing import preprocessed;"
        "from nas.data.readers import open_reader; from nas.settings import DataSettings;"
        "s = DataSettings(dataset='folder', data_root=Path(sys.argv[1]), clahe_clip=0.02);"
        "r = preprocessed(open_reader(s), s);"
        "c = Cache(Path(sys.argv[1]) / 'cache', r, s);"
        "print(json.dumps(str(c._path(r.cases[0], (40, 48)))))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, str(tmp_path)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert json.loads(told.stdout) == str(here)


def test_a_missing_file_is_told_by_its_reader(make_folder: Make, tmp_path: Path) -> None:
    from nas.errors import DataError

    settings = make_folder(2)
    reader = open_reader(settings)
    (tmp_path / "images" / "case2.png").unlink()
    cache = Cache(tmp_path / "cache", reader, settings)
    with pytest.raises(DataError, match=r"case2\.png does not exist"):
        Samples(reader, ["case1", "case2"], SIZE, cache=cache).load()
