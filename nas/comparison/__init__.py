"""Comparisons of methods over backbones, data sets and seeds."""
