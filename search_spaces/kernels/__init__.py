"""Kernels for a CPU, compiled by numba: functions of numpy arrays."""

LANES = 16
"""Channels of a node have to be a multiple of this: so many are computed at once."""
