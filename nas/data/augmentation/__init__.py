"""Random changes of an image together with its mask and its pixel weights."""
