"""FCN-32s (Long et al. 2015) on the VGG16 layers, for images of any size."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from nas.segmenters.blocks import Normalisation, convolution
from search_spaces.initialisation import he_initialise

VGG16_STAGES = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))
"""Channels of VGG16's convolutions in units of the first one's; each stage ends with a pooling."""

STRIDE = 2 ** len(VGG16_STAGES)


class FCN32s(nn.Module):
    """FCN-32s of Long et al. 2015, section 4: float (N, C, H, W) to logits (N, K, H, W).

    The thirteen 3x3 convolutions of VGG16 with five 2x2 poolings; VGG16's linear layers as
    convolutions, 7x7 and 1x1, with dropout; a 1x1 convolution that scores the classes; bilinear
    upsampling by 32. With 3 input channels and 1000 classes it has VGG16's 138,357,544 parameters.

    Unlike the published network, there are no ImageNet weights: convolutions start as in He et
    al. 2015, and so does the scoring layer, which was published with zeros. The 7x7 convolution
    pads itself by 3 instead of the image by 100 pixels. An image whose sides are no multiple of
    32 is pooled to the next larger size, and the upsampled scores are cropped.

    Args:
        in_channels: channels of the image.
        classes: number K of classes, background included.
        width: channels of the first convolution; all others scale with it (the 4096 channels of
            the former linear layers are 64 * width).
        dropout: share of the features that are zeroed after the 7x7 and the next convolution in
            training, in [0, 1). Draws from torch's global generator.
        normalisation: of the 3x3 convolutions before their ReLU; "none" is the published network.
            "instance" needs images larger than 16 pixels.

    Raises:
        ValueError: width is below 1, or dropout outside [0, 1).
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        width: int = 64,
        dropout: float = 0.5,
        normalisation: Normalisation = "none",
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, not {dropout}")
        layers: list[nn.Module] = []
        channels = in_channels
        for stage in VGG16_STAGES:
            for factor in stage:
                layers += convolution(channels, factor * width, normalisation)
                channels = factor * width
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Conv2d(channels, 64 * width, 7, padding=3),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Conv2d(64 * width, 64 * width, 1),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Conv2d(64 * width, classes, 1),
        )
        he_initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        scores = self.classifier(self.features(images))
        enlarged = functional.interpolate(
            scores, scale_factor=STRIDE, mode="bilinear", align_corners=False
        )
        return enlarged[..., :height, :width]
