"""Initial weights for networks of convolutions and ReLU."""

import math

from torch import nn


def he_initialise(network: nn.Module) -> None:
    """Draw every convolution's weights from a normal of std sqrt(2 / N), and set biases to 0.

    N is the number of inputs that one output pixel sums over (He et al. 2015, Eq. 10; the rule
    that Ronneberger et al. 2015, section 3, prescribe). In a transposed convolution whose stride
    is its kernel size, that is its number of input channels. Draws from torch's global generator.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            kernel = math.prod(module.kernel_size)
            inputs = module.in_channels * kernel / module.groups
            if isinstance(module, nn.ConvTranspose2d):
                inputs /= math.prod(module.stride)
            nn.init.normal_(module.weight, std=math.sqrt(2 / inputs))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
