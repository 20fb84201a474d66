"""VGG16 (Simonyan and Zisserman 2015) as a discriminator of any input size."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from nas.discriminators.blocks import convolution, draw_weights
from search_spaces.description import Normalisation
from search_spaces.normalisation import linear

STAGES = (2, 2, 3, 3, 3)
"""Convolutions in each stage; each stage ends with a pooling."""


class VGG16(nn.Module):
    """Configuration D of Simonyan and Zisserman 2015, Table 1: float (N, C, H, W) to (N, outputs).

    Thirteen 3x3 convolutions in five stages, of 1, 2, 4, 8 and 8 times the channels of the first,
    each stage with a 2x2 max pooling at its end; average pooling to a fixed size; three linear
    layers, with ReLU and dropout behind the first two. At 3 channels and 1000 outputs there are
    138,357,544 parameters.

    The published network has no average pooling and knows images of 224x224 pixels only, where
    pooling to 7x7 changes nothing. Three quarters of the parameters are in the first linear layer
    behind those 7x7 positions: ``pooled=1,1`` leaves 33.6 of 134 million.

    Args:
        in_channels: channels of the input.
        outputs: logits for each image.
        width: channels of the first convolution; all others scale with it (the 4096 features of
            the linear layers are 64 * width).
        pooled: height and width of the features that the first linear layer sees.
        dropout: share of the features that are zeroed in training behind the first and the second
            linear layer, in [0, 1). As published two passes on the same images then differ (torch's
            global generator is drawn from); 0 gives verdicts without noise.
        normalisation: of the convolutions, "none" as published; "spectral" of the linear layers
            as well.

    Raises:
        ValueError: width or a side of pooled is below 1, or dropout outside [0, 1).
    """

    def __init__(
        self,
        in_channels: int,
        outputs: int = 1,
        *,
        width: int = 64,
        pooled: tuple[int, int] = (7, 7),
        dropout: float = 0.5,
        normalisation: Normalisation = "none",
    ) -> None:
        super().__init__()
        if min(width, *pooled) < 1:
            raise ValueError(f"width and pooled must be at least 1, not {width} and {pooled}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, not {dropout}")
        layers: list[nn.Module] = []
        channels = in_channels
        for stage, count in enumerate(STAGES):
            for _ in range(count):
                out_channels = width * min(2**stage, 8)
                layers += convolution(normalisation, channels, out_channels)
                channels = out_channels
            layers.append(nn.MaxPool2d(2))
        hidden = 64 * width
        self.pooled = pooled
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            linear(normalisation, channels * pooled[0] * pooled[1], hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            linear(normalisation, hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            linear(normalisation, hidden, outputs),
        )
        draw_weights(self, normalisation)

    def forward(self, maps: Tensor) -> Tensor:
        features = functional.adaptive_avg_pool2d(self.features(maps), self.pooled)
        return self.classifier(features.flatten(1))
