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
from search_spaces.kernels.depthwise import Form


def tasks() -> list[Callable[[], None]]:
    """What compiles some kernels each; together, all.

    Two processes that take every second one have equally much to do.
    """
    form = {each: partial(depthwise.compile_for, each) for each in depthwise.FORMS}
    return [
        norms.compile_all,
        pools.compile_all,
        form[Form(5, 1, 1)],
        shared.compile_all,
        form[Form(5, 1, 2)],
        form[Form(3, 1, 1)],
        form[Form(5, 2, 1)],
        form[Form(3, 1, 2)],
        products.compile_all,
        form[Form(3, 2, 1)],
    ]


def main() -> None:
    """Do the tasks of one of several processes, which ends before it would have to tidy up."""
    gc.disable()
    place, processes = (int(word) for word in sys.argv[1:])
    for task in tasks()[place::processes]:
        task()


if __name__ == "__main__":
    main()
