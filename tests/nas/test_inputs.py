"""What a run reads besides its folder: files with their options cut off, and data apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.inputs import inputs_of
from nas.settings import AdversarySettings, DataSettings, RetrainSettings, SearchSettings

DATA = DataSettings(
    data_root=Path("/d/images"),
    groups=Path("/d/groups.csv"),
    split=Path("/s.json"),
    unlabelled=Path("/d/more"),
)
LISTS = (Path("/d/groups.csv"), Path("/s.json"))
IMAGES = (Path("/d/images"), Path("/d/more"))


@pytest.mark.parametrize(
    ("backbone", "adversary", "networks"),
    [
        ("unet", {}, ()),
        ("unet?width=4", {"discriminator": "none"}, ()),
        ("unet", {"discriminator": "/g/cells.json?width=4"}, ("/g/cells.json",)),
        ("/g/s.json?width=2", {"genotype": Path("/g/d.json")}, ("/g/s.json", "/g/d.json")),
    ],
)
def test_a_retraining(backbone: str, adversary: dict[str, object], networks: tuple[str]) -> None:
    settings = RetrainSettings(
        backbone=backbone, adversary=AdversarySettings(**adversary), data=DATA
    )
    assert inputs_of(settings) == ((*map(Path, networks), *LISTS), IMAGES)


def test_a_search() -> None:
    assert inputs_of(SearchSettings(backbone="unet", data=DATA)) == (LISTS, IMAGES)
    assert inputs_of(SearchSettings(backbone="/g/s.json")) == ((Path("/g/s.json"),), ())
