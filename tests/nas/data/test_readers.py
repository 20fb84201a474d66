import subprocess
import sys

import pytest

from nas.data.readers import READERS, open_reader
from nas.errors import UsageError
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
