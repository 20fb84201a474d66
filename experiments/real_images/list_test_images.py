"""Print where the first test images of a retraining are, each ended by a zero byte, for xargs -0.

python experiments/real_images/list_test_images.py RUN
"""

from __future__ import annotations

import sys
from pathlib import Path

from nas.preparation import open_data
from nas.runs import RunFolder
from nas.settings import RetrainSettings

COUNT = 4


def first_test_images(run: Path) -> list[str]:
    """Paths of the images of the first test cases."""
    folder = RunFolder.open(run, "retrain")
    data = open_data(folder.read_settings(RetrainSettings).data, folder)
    wanted = data.split.test[:COUNT]
    return [str(case.image) for case in data.reader.cases if case.id in wanted]


if __name__ == "__main__":
    print(*first_test_images(Path(sys.argv[1])), sep="\0", end="\0")
