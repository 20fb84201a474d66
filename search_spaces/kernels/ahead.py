"""Compiles kernels before they are called, in processes beside the one that will call them.

    python -m search_spaces.kernels.ahead 0 2

compiles the first half of them: what a search needs, in single precision.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import partial

from search_spaces.kernels import depthwise, norms, pools, products, shared


def tasks() -> list[Callable[[], None]]:
    """What compiles some kernels each; together, all."""
    forms = [partial(depthwise.compile_for, form) for form in depthwise.FORMS]
    return [*forms, *(each.compile_all for each in (norms, pools, products, shared))]


def main() -> None:
    """Do the tasks of one of several processes, which ends before it would have to tidy up."""
    gc.disable()
    place, processes = (int(word) for word in sys.argv[1:])
    for task in tasks()[place::processes]:
        task()


if __name__ == "__main__":
    main()
