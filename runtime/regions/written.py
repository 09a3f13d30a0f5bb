"""Regions as people write them, on a command line and beside a photo: `X,Y,W,H[:+N]`. Importing this loads nothing."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from ..errors import EncodeInputError
from ..options import DEFAULT_OCTAVES, MAX_OCTAVES

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, width and height, in pixels."""

FORM: Final = "X,Y,W,H[:+N]"

_REGION: Final = re.compile(r"(\d{1,9}),(\d{1,9}),(\d{1,9}),(\d{1,9})(?::([+-]?\d{1,9}))?")


def region_of(text: str) -> tuple[Box, int]:
    """The box and octaves of `X,Y,W,H[:+N]`. Raises EncodeInputError."""
    found = _REGION.fullmatch(text)
    if found is None:
        raise EncodeInputError(f"'{text}' is not X,Y,W,H or X,Y,W,H:+N")
    x, y, width, height = (int(number) for number in found.groups()[:4])
    octaves = DEFAULT_OCTAVES if found[5] is None else int(found[5])
    if abs(octaves) > MAX_OCTAVES:
        raise EncodeInputError(f"{octaves} octaves are too many, at most {MAX_OCTAVES} are possible")
    return (x, y, width, height), octaves


def regions_of(text: str) -> tuple[tuple[Box, int], ...]:
    """Those of several, with blanks between them. Raises EncodeInputError."""
    return tuple(region_of(part) for part in text.split())
