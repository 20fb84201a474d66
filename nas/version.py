"""The version of the distribution; imports nothing, so that packaging can read it."""

__version__ = "0.1.0"
