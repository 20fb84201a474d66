"""Measures of a segmentation."""
