"""Memory as the system's files say; the files here are written by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nas.memory import free_memory, give_back_freed, peak, resident

MEMINFO = "MemTotal:  24000 kB\nMemFree:  100 kB\nMemAvailable:    2000 kB\n"


@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [
        ("max", "500000", 2000 * 1024),
        ("1000000", "400000", 600000 + 50000),
        ("90000000", "400000", 2000 * 1024),
        ("1000000", "1900000", 1),
    ],
)
def test_the_tighter_limit_counts(limit: str, used: str, expected: int, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{used}\n")
    (tmp_path / "memory.stat").write_text("anon 7\nactive_file 9\ninactive_file 50000\n")
    assert free_memory(tmp_path / "meminfo", tmp_path) == expected


def test_where_the_system_does_not_say_nothing_is_known(tmp_path: Path) -> None:
    assert free_memory(tmp_path / "meminfo", tmp_path) is None


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux alone tells")
def test_a_process_with_a_hundred_megabytes_is_seen_to_have_them() -> None:
    code = "b = bytearray(10**8); b = b[:1]; print(flush=True); input()"
    command = [sys.executable, "-S", "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        highest, present = peak(process.pid), resident(process.pid)
        process.communicate(b"\n")
    assert highest is not None
    assert present is not None
    assert 10**8 < highest < 3 * 10**8
    assert present < 10**8
    assert resident(process.pid) is None


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
def test_freed_memory_goes_back_to_the_system() -> None:
    blocks = [b"x" * (100_000 + number) for number in range(1000)]
    last = b"x" * 100_000  # keeps the end of the heap in use
    before = resident()
    del blocks
    give_back_freed()
    after = resident()
    assert before is not None
    assert after is not None
    assert before - after > 50_000_000
    assert last is not None
