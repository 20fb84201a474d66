from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import pytest

from nas.data.digests import Digests


def test_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(content)
    digests = Digests()
    expected = hashlib.sha256(content).hexdigest()
    assert digests.of(tmp_path / "a") == digests.of(tmp_path / "b") == expected
    (tmp_path / "b").write_bytes(content[:-1] + b"x")
    assert Digests().of(tmp_path / "b") != expected


def test_a_file_is_read_once_however_many_ask(tmp_path: Path) -> None:
    path = tmp_path / "volume"
    path.write_bytes(b"abc" * 100_000)
    digests = Digests()
    with (
        patch("hashlib.file_digest", wraps=hashlib.file_digest) as read,
        ThreadPoolExecutor(8) as pool,
    ):
        found = set(pool.map(digests.of, [path] * 40))
    assert read.call_count == 1 and len(found) == 1


def test_a_missing_file_is_an_error_each_time(tmp_path: Path) -> None:
    digests = Digests()
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            digests.of(tmp_path / "none")
