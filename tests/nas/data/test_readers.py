import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from nas.data.readers import READERS, open_reader, survey
from nas.errors import DataError, UsageError
from nas.settings import DataSettings


def test_unknown_layout_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="Did you mean phantom"):
        open_reader(DataSettings(dataset="fantom"))


@pytest.mark.parametrize("name", sorted(READERS))
def test_every_layout_of_the_table_opens_or_explains(name: str) -> None:
    try:
        assert open_reader(DataSettings(dataset=name)).name == name
    except Exception as error:
        assert "--data-root" in str(error)


def test_the_table_is_free_of_heavy_imports() -> None:
    code = (
        "import sys, nas.data.readers; "
        "print([m for m in ('torch', 'numpy', 'scipy', 'PIL') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


@pytest.mark.parametrize("name", sorted(set(READERS) - {"phantom"}))
def test_a_folder_that_may_not_be_read_is_told_in_a_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*arguments: object, **options: object) -> NoReturn:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    for method in ("iterdir", "glob", "rglob"):
        monkeypatch.setattr(Path, method, forbidden)
    monkeypatch.setattr("os.walk", forbidden)
    monkeypatch.setattr("os.scandir", forbidden)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError) as caught:
        survey(DataSettings(dataset=name, data_root=tmp_path))
    assert "cannot be read (Permission denied)" in str(caught.value)
