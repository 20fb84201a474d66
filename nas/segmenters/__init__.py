"""Segmentation networks by name.

A new one is a file in this folder and a line in this table: its name, its constructor as
"module:constructor" and one line for the help. The constructor takes
``(in_channels: int, classes: int)``; its keyword-only parameters are the options that a user
may set (``unet?width=16``). It returns a module from float (N, in_channels, H, W) to logits
(N, classes, H, W).
"""

SEGMENTERS: dict[str, tuple[str, str]] = {
    "unet": ("nas.segmenters.unet:UNet", "U-Net (Ronneberger et al. 2015)"),
    "compressed_unet": (
        "nas.segmenters.compressed_unet:compressed_unet",
        "U-Net of three levels, whole or on tiles (Livne 2019)",
    ),
    "fcn32s": ("nas.segmenters.fcn:fcn32s", "FCN-32s on VGG16 (Long et al. 2015)"),
    "fcn16s": ("nas.segmenters.fcn:fcn16s", "FCN-16s on VGG16 (Long et al. 2015)"),
    "fcn8s": ("nas.segmenters.fcn:fcn8s", "FCN-8s on VGG16 (Long et al. 2015)"),
    "concatenation_fcn": (
        "nas.segmenters.concatenation_fcn:concatenation_fcn",
        "FCN with concatenated taps, by numbers (Nelson 2022)",
    ),
    "dan_sn": ("nas.segmenters.dan_sn:DanSN", "segmentation network of DAN (Zhang et al. 2017)"),
    "dcan": ("nas.segmenters.dcan:DCAN", "deep contour-aware network (Chen et al. 2016)"),
    "deeplabv3plus": (
        "nas.segmenters.deeplabv3plus:DeepLabV3Plus",
        "DeepLabv3+ on modified aligned Xception (Chen et al. 2018)",
    ),
}
