"""Equal weights have equal names, and nothing else has."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import nn

from nas.fingerprints import state_hash


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def test_the_hash_is_of_names_kinds_shapes_and_bits() -> None:
    layer = nn.Linear(2, 1, bias=False)
    text = b"weight torch.float32 (1, 2)\n" + layer.weight.detach().numpy().tobytes()
    assert state_hash(layer) == hashlib.sha256(text).hexdigest()
    assert state_hash(network()) == state_hash(network())


@pytest.mark.parametrize("place", ["0.weight", "0.bias", "1.running_mean", "1.num_batches_tracked"])
def test_one_number_changes_it(place: str) -> None:
    changed = network()
    changed.state_dict()[place].view(-1)[0] += 1
    assert state_hash(changed) != state_hash(network())
