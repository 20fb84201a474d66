"""Hand-made discriminators by name.

A new one is a file in this folder and a line in this table: its name, its constructor as
"module:constructor" and one line for the help. The constructor takes ``(in_channels: int)``;
its keyword-only parameters are the options that a user may set (``resnet10?width=32``). It
returns a module from float (N, in_channels, H, W) to logits: (N, 1), a verdict on the image, or
(N, 1, h, w), on patches or pixels.
"""

DISCRIMINATORS: dict[str, tuple[str, str]] = {
    "resnet10": ("nas.discriminators.resnet:resnet10", "ResNet with 4 basic residual blocks"),
    "resnet18": ("nas.discriminators.resnet:resnet18", "ResNet-18 (He et al. 2016)"),
    "resnet50": ("nas.discriminators.resnet:resnet50", "ResNet-50 (He et al. 2016)"),
    "vgg16": ("nas.discriminators.vgg:VGG16", "VGG16 (Simonyan and Zisserman 2015)"),
    "dan_en": (
        "nas.discriminators.dan_en:DANEvaluationNetwork",
        "evaluation network of DAN (Zhang et al. 2017)",
    ),
    "flexvgg": ("nas.discriminators.flexvgg:flexvgg", "VGG by numbers (Nelson 2022)"),
    "patchgan": ("nas.discriminators.patchgan:PatchGAN", "verdicts on patches (Isola et al. 2017)"),
    "fcn": ("nas.discriminators.fcn:FCN", "encoder and decoder, a verdict per pixel (Lalwani)"),
    "dc_net": (
        "nas.discriminators.dc_net:DCNet",
        "K classes and fake on 64x64 patches (Lahiri et al. 2017)",
    ),
}
