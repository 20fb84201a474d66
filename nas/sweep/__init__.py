"""Sweeps: runs of one recipe over a space of settings, by grid, at random, or by TPE."""
