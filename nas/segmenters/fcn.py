"""FCN-32s, FCN-16s and FCN-8s (Long et al. 2015) on the VGG16 layers, for images of any size."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from nas.segmenters.blocks import Normalisation, convolution
from search_spaces.initialisation import he_initialise

VGG16_STAGES = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))
"""Channels of VGG16's convolutions in units of the first one's; each stage ends with a pooling."""


def fcn32s(
    in_channels: int,
    classes: int,
    *,
    width: int = 64,
    dropout: float = 0.5,
    normalisation: Normalisation = "none",
) -> FCN:
    """Scores at a stride of 32, enlarged at once; 138,357,544 parameters at 3 and 1000 (VGG16)."""
    return FCN(in_channels, classes, 0, width, dropout, normalisation)


def fcn16s(
    in_channels: int,
    classes: int,
    *,
    width: int = 64,
    dropout: float = 0.5,
    normalisation: Normalisation = "none",
) -> FCN:
    """With scores of the fourth pooling's output, at a stride of 16."""
    return FCN(in_channels, classes, 1, width, dropout, normalisation)


def fcn8s(
    in_channels: int,
    classes: int,
    *,
    width: int = 64,
    dropout: float = 0.5,
    normalisation: Normalisation = "none",
) -> FCN:
    """With scores of the fourth and third pooling's outputs, down to a stride of 8."""
    return FCN(in_channels, classes, 2, width, dropout, normalisation)


class FCN(nn.Module):
    """The networks of Long et al. 2015, section 4: float (N, C, H, W) to logits (N, K, H, W).

    The thirteen 3x3 convolutions of VGG16 with five 2x2 poolings; VGG16's linear layers as
    convolutions, 7x7 and 1x1, with dropout; a 1x1 convolution that scores the classes. The scores
    are enlarged by 2 and added to the scores (by 1x1 convolutions) of earlier poolings, one after
    the other, and then enlarged to the size of the image, all bilinearly.

    Unlike the published networks, there are no ImageNet weights: convolutions start as in He et
    al. 2015, and so does the scoring layer, which was published with zeros, as the scoring layers
    of earlier poolings still are. The enlargements are not learnt. The 7x7 convolution pads itself
    by 3 instead of the image by 100 pixels. An image whose sides are no multiple of 32 is pooled to
    the next larger size, and enlarged scores are cropped.

    Args:
        in_channels: channels of the image.
        classes: number K of classes, background included.
        skips: how many earlier poolings are scored too, from the fourth backwards.
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
        skips: int,
        width: int,
        dropout: float,
        normalisation: Normalisation,
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, not {dropout}")
        self.stages = nn.ModuleList()
        channels = in_channels
        for stage in VGG16_STAGES:
            layers: list[nn.Module] = []
            for factor in stage:
                layers += convolution(channels, factor * width, normalisation)
                channels = factor * width
            self.stages.append(nn.Sequential(*layers, nn.MaxPool2d(2, ceil_mode=True)))
        self.classifier = nn.Sequential(
            nn.Conv2d(channels, 64 * width, 7, padding=3),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Conv2d(64 * width, 64 * width, 1),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Conv2d(64 * width, classes, 1),
        )
        earlier = [stage[-1] * width for stage in VGG16_STAGES[-2::-1]][:skips]
        scores = [nn.Conv2d(each, classes, 1) for each in earlier]
        self.skips = nn.ModuleList(scores)
        he_initialise(self)
        for skip in scores:
            nn.init.zeros_(skip.weight)

    def forward(self, images: Tensor) -> Tensor:
        pooled = [images]
        for stage in self.stages:
            pooled.append(stage(pooled[-1]))
        scores = self.classifier(pooled.pop())
        for skip in self.skips:
            earlier = skip(pooled.pop())
            scores = earlier + enlarge(scores, 2, earlier)
        stride = 2 ** (len(VGG16_STAGES) - len(self.skips))
        return enlarge(scores, stride, images)


def enlarge(scores: Tensor, factor: int, like: Tensor) -> Tensor:
    """Bilinearly enlarged scores, cropped to the height and width of another tensor."""
    height, width = like.shape[-2:]
    enlarged = functional.interpolate(
        scores, scale_factor=factor, mode="bilinear", align_corners=False
    )
    return enlarged[..., :height, :width]
