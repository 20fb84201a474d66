"""Generators of images from noise by name.

A new one is a file in this folder and a line in this table: its name, its constructor as
"module:constructor" and one line for the help. The constructor takes
``(noise: int, channels: int)``. It returns a module from float (N, noise) to patches
(N, channels, 64, 64) in [0, 1].
"""

GENERATORS: dict[str, tuple[str, str]] = {
    "deconvolution": (
        "nas.generators.deconvolution:Deconvolution",
        "transposed convolutions (Lahiri et al. 2017)",
    ),
}
