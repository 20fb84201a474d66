"""Training and evaluation mode of modules."""

from __future__ import annotations

import pytest
from torch import nn

from nas.modes import modes_kept


def test_each_module_keeps_its_own_mode() -> None:
    network = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    network[1].eval()
    with pytest.raises(KeyError), modes_kept(network):
        network.eval()
        network[1][0].train()
        raise KeyError
    assert [each.training for each in network.modules()] == [True, True, False, False]
