"""The size that a network sees, as it is written in the settings."""

from __future__ import annotations

import re

from nas.errors import UsageError

SMALLEST = 32


def parse_size(text: str) -> tuple[int, int]:
    """``"128"`` or ``"224x332"`` as (height, width) in pixels.

    Raises:
        UsageError: the text has another form, or a side is shorter than 32 pixels.
    """
    match = re.fullmatch(r"\s*(\d{1,6})(?:\s*[xX]\s*(\d{1,6}))?\s*", text)
    if match is None:
        raise UsageError(
            f"The image size {text!r} is not understood: give one side such as 128, "
            "or HEIGHTxWIDTH such as 224x332."
        )
    height = int(match[1])
    width = int(match[2]) if match[2] else height
    if min(height, width) < SMALLEST:
        raise UsageError(f"The image size {text!r} is too small: sides of {SMALLEST} or more work.")
    return height, width
