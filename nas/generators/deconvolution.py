"""The generator of patches by transposed convolutions (Ayush; Lahiri et al. 2017)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from search_spaces.initialisation import he_initialise


class Deconvolution(nn.Module):
    """Generator of Lahiri et al. 2017: float (N, noise) to patches (N, channels, 64, 64) in [0, 1].

    A transposed 4x4 convolution makes the noise 4x4 pixels; four of stride 2 double that to 64x64.
    Instance norm and ReLU follow each but the last, which a sigmoid follows, as images are in
    [0, 1]. Noise of 300 numbers, instance norm and ReLU are published; kernels, channels (8, 4, 2
    and 1 times those of the last hidden layer) and the number of layers are not, and follow Radford
    et al. 2016.

    Args:
        noise: numbers that it starts from, standard normal.
        channels: of the patches.
        width: channels of the last hidden layer.

    Raises:
        ValueError: an argument is below 1.
    """

    def __init__(self, noise: int, channels: int, *, width: int = 64) -> None:
        super().__init__()
        if min(noise, channels, width) < 1:
            raise ValueError(
                f"noise, channels and width must be at least 1, not {noise}, {channels} and {width}"
            )
        widths = [8 * width, 4 * width, 2 * width, width]
        layers = _layer(noise, widths[0], stride=1, padding=0)
        for before, after in pairwise(widths):
            layers += _layer(before, after, stride=2, padding=1)
        last = nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1)
        self.layers = nn.Sequential(*layers, last, nn.Sigmoid())
        he_initialise(self)

    def forward(self, noise: Tensor) -> Tensor:
        patches: Tensor = self.layers(noise[:, :, None, None])
        return patches


def _layer(in_channels: int, out_channels: int, stride: int, padding: int) -> list[nn.Module]:
    return [
        nn.ConvTranspose2d(in_channels, out_channels, 4, stride, padding, bias=False),
        nn.InstanceNorm2d(out_channels, affine=True),
        nn.ReLU(inplace=True),
    ]
