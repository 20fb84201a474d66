"""Published FlexVGGs and ConcatenationFCNs (Nelson 2022) by name."""

from __future__ import annotations

from search_spaces.parametric_genotypes import ConcatenationFCN, FlexVGG

CONCATENATION_FCN: dict[str, ConcatenationFCN] = {
    "003": ConcatenationFCN(channels=64, depth=1),
    "005": ConcatenationFCN(channels=16, depth=2),
    "early": ConcatenationFCN(channels=8, depth=2),
}
"""The two optimised networks of section 4.2.3, and the generator of its earlier adversarial
experiments; 519,744, 9,591,152 and 2,399,992 parameters at 3 channels and 2 classes."""

FLEXVGG: dict[str, FlexVGG] = {
    "optimised": FlexVGG(),
    "published": FlexVGG(pooled=(15, 22)),
}
"""The optimised network of section 4.3.2, for inputs of any size and as published: at 224x332
pixels nothing is pooled before the linear layers, and at 4 input channels there are 52,671,105
parameters."""
