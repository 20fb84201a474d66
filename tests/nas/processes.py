"""Processes that train together, started as torchrun starts them but without its monitor."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(arguments: list[str], count: int = 2) -> list[subprocess.Popen[str]]:
    """`python ARGUMENTS`, once for each rank; with one rank this is not what torchrun does at all
    but a process alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        subprocess.Popen(
            [sys.executable, *arguments],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
                **marks(rank, count, port),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def marks(rank: int, count: int, port: int) -> dict[str, str]:
    """What torchrun tells a process."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def finish(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each; none of them outlives this."""
    ends = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=600)
            ends.append((process.returncode, out, err))
    finally:
        for process in processes:
            process.kill()
    return ends
