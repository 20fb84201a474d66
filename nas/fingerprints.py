"""A short name for the weights of a network, by which two runs can be seen to start equal."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def state_hash(network: nn.Module) -> str:
    """SHA-256 of all parameters and buffers: names, kinds, shapes and bits, in their order."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
