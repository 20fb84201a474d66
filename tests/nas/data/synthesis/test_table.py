import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from nas.data.synthesis.table import LAYOUTS, synthesize, writer
from nas.errors import UsageError

VOLUMES = ("msd", "nnunet_volumes")
SMALL = {"jsrt": (3, None), "nnunet_volumes": (3, None), "msd": (3, None)}


def _write(layout: str, root: Path, seed: int) -> dict[str, str]:
    """Hashes of the files that a layout has, by path."""
    if layout in VOLUMES and importlib.util.find_spec("nibabel") is None:
        pytest.skip("nibabel is not installed")
    cases, size = SMALL.get(layout, (4, (72, 90)))
    synthesize(layout, root, cases, seed, size)
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "jsrt"])
def test_the_seed_decides_every_file(layout: str, tmp_path: Path) -> None:
    first, again, other = (_write(layout, tmp_path / str(n), n // 2) for n in (0, 1, 2))
    assert first and first == again
    differ = {name for name in first if first[name] != other.get(name)}
    pictures = {
        name for name in first if name.endswith((".png", ".bmp", ".tif", ".jpg", ".nii.gz"))
    }
    assert len(differ & pictures) > 0.4 * len(pictures)


def test_every_layout_has_a_writer_and_a_line() -> None:
    for layout, (_, line) in LAYOUTS.items():
        assert callable(writer(layout)) and line and len(line) < 80


def test_unknown_layouts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean glas?"):
        synthesize("glass", tmp_path, 3, 0)


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UsageError, match="not empty"):
        synthesize("cxseg", tmp_path, 1, 0, (32, 32))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(UsageError, match="is a file"):
        synthesize("cxseg", tmp_path / "mine.txt", 1, 0, (32, 32))


@pytest.mark.parametrize("layout", ["jsrt", "msd", "nnunet_volumes"])
def test_layouts_of_one_size_refuse_another(layout: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one size"):
        synthesize(layout, tmp_path, 2, 0, (64, 64))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("cases", [0, -1, 10**6])
def test_numbers_of_cases_out_of_range_are_refused(layout: str, cases: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{cases} cases"):
        synthesize(layout, tmp_path, cases, 0)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("layout", [n for n in LAYOUTS if n not in SMALL])
def test_tiny_sizes_are_refused(layout: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="size of 8x200"):
        synthesize(layout, tmp_path, 6, 0, (8, 200))


def test_the_table_loads_no_library_that_takes_long() -> None:
    code = (
        "import sys, nas.data.synthesis.table as t\n"
        "[t.writer(n) for n in t.LAYOUTS]\n"
        "print([m for m in ('skimage', 'matplotlib', 'nibabel', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
