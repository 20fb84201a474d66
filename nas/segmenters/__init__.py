"""Segmentation networks by name.

A new one is a file in this folder and a line in this table: its name, its constructor as
"module:constructor" and one line for the help. The constructor takes
``(in_channels: int, classes: int)``; its keyword-only parameters are the options that a user
may set (``unet?width=16``). It returns a module from float (N, in_channels, H, W) to logits
(N, classes, H, W).
"""

SEGMENTERS: dict[str, tuple[str, str]] = {
    "unet": ("nas.segmenters.unet:UNet", "U-Net (Ronneberger et al. 2015)"),
    "fcn32s": ("nas.segmenters.fcn32s:FCN32s", "FCN-32s on VGG16 (Long et al. 2015)"),
}
