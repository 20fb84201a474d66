"""What a GPU would launch a kernel for."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import torch

SPECIFICATION = importlib.util.spec_from_file_location(
    "launches", Path(__file__).parents[2] / "tools/launches.py"
)
assert SPECIFICATION is not None and SPECIFICATION.loader is not None
launches = importlib.util.module_from_spec(SPECIFICATION)
sys.modules["launches"] = launches
SPECIFICATION.loader.exec_module(launches)


def test_launches_are_operations_that_compute() -> None:
    x = torch.rand(4, 6)
    with launches.Launches() as none:
        x.view(2, 12)[0].unsqueeze(1).expand(12, 3).transpose(0, 1)
        torch.empty_like(x)
        x.reshape(24).detach()
    assert none.counts.total() == 0
    with launches.Launches() as some:
        y = (x + 1).mul_(2)
        torch.mm(x, y.t(), out=torch.empty(4, 4))
        torch._foreach_mul_([x, y], 2.0)
        x.t().contiguous()
    assert some.counts == {
        "aten::add.Tensor": 1,
        "aten::mul_.Tensor": 1,
        "aten::mm.out": 1,
        "aten::_foreach_mul_.Scalar": 1,
        "aten::clone": 1,
    }
