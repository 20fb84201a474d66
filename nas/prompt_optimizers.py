"""SGD and Adam of torch, without its compiler.

The methods of torch's optimisers are decorated such that their first use imports torch._dynamo,
which takes nearly as long as all of torch. There they mark where a compiled graph ends; nothing is
compiled through them here, so the methods are taken as they are below their decorators.
"""

from __future__ import annotations

from inspect import unwrap

import torch
from torch import optim
from torch.optim import Optimizer


class _Prompt(Optimizer):
    """What all optimisers do between their steps."""

    add_param_group = unwrap(Optimizer.add_param_group)
    zero_grad = unwrap(Optimizer.zero_grad)
    state_dict = unwrap(Optimizer.state_dict)
    load_state_dict = unwrap(Optimizer.load_state_dict)


class SGD(_Prompt, optim.SGD):
    """`torch.optim.SGD`."""

    step = torch.no_grad()(unwrap(optim.SGD.step))


class Adam(_Prompt, optim.Adam):
    """`torch.optim.Adam`."""

    step = torch.no_grad()(unwrap(optim.Adam.step))
