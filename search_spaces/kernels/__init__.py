"""Kernels for a CPU, compiled by numba: functions of numpy arrays."""
