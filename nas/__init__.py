"""Differentiable architecture search of discriminators for adversarial image segmentation."""

from nas.version import __version__

__all__ = ["__version__"]
