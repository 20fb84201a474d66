"""The shapes of class maps with the softness of others: what tells softness from shape.

The shape of a map is the most probable class of each pixel. Its softness is how sure it is of them:
the probabilities of each pixel, sorted, without the classes that they belong to.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def with_softness_of(maps: Tensor, others: Tensor) -> Tensor:
    """The shapes of the maps with exactly the softness of other maps.

    Networks are unsure at borders. So the least sure pixels of the other map go where the border of
    the shape is nearest, the surest where it is farthest; the second probability of a pixel goes
    to the second nearest class, and so on. One-hot others harden the maps; soft others give one-hot
    maps blurred borders, or little certainty everywhere, as the others have.

    Args:
        maps: (N, K, H, W) distributions over the classes.
        others: (M, K, H, W) distributions over the classes; map n takes the softness of n mod M.

    Returns:
        (N, K, H, W), without gradient. The arrangement among equal pixels is that of their order.
    """
    with torch.no_grad():
        distances, classes = class_distances(maps).sort(dim=1, stable=True)
        softness = others.sort(dim=1, descending=True).values
        softness = softness[torch.arange(len(maps), device=others.device) % len(others)]
        pixels = softness.flatten(2)
        unsure_first = pixels[:, 0].argsort(dim=1, stable=True)[:, None].expand_as(pixels)
        border_first = distances[:, 1].flatten(1).argsort(dim=1, stable=True)[:, None]
        arranged = torch.empty_like(pixels)
        arranged.scatter_(2, border_first.expand_as(pixels), pixels.gather(2, unsure_first))
        return torch.empty_like(softness).scatter_(1, classes, arranged.view_as(softness))


def class_distances(maps: Tensor) -> Tensor:
    """Distance of each pixel to the nearest one of each class, 0 to its own, in pixels.

    Args:
        maps: (N, K, H, W); the class of a pixel is the most probable one.

    Returns:
        (N, K, H, W) float32, Euclidean, infinite to a class that the map does not have.
    """
    from scipy.ndimage import distance_transform_edt

    labels = maps.argmax(dim=1).cpu().numpy()
    distances = np.full(maps.shape, np.inf, dtype=np.float32)
    for image, shape in enumerate(labels):
        for present in np.unique(shape):
            distances[image, present] = distance_transform_edt(shape != present)
    return torch.from_numpy(distances).to(maps.device)
