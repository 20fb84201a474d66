"""One reader per layout of data."""
