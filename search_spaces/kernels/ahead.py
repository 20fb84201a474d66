"""Compiles kernels before they are called, in processes beside the one that will call them.

    python -m search_spaces.kernels.ahead 0 2

compiles the first half of them: what a search needs, in single precision.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

from search_spaces.kernels import mixtures, norms, pools, separable, shared


def tasks() -> list[Callable[[], None]]:
    """What compiles some kernels each; together, all.

    Neighbours are made of the same parts. Two processes that take a half each are done after
    about the same time, as is each of more.
    """
    return [
        separable.compile_forward,
        separable.compile_input_gradient,
        separable.compile_weight_gradients,
        norms.compile_all,
        mixtures.compile_all,
        shared.compile_all,
        pools.compile_all,
    ]


def main() -> None:
    """Do the tasks of one of several processes, which ends before it would have to tidy up."""
    gc.disable()
    place, processes = (int(word) for word in sys.argv[1:])
    every = tasks()
    first, last = (len(every) * each // processes for each in (place, place + 1))
    for task in every[first:last]:
        task()


if __name__ == "__main__":
    main()
