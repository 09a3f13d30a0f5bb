"""Prefixes of an .sdz, each a coarser picture of the same size in pixels: `?bytes=N` asks for one, `?bytes=latents` for all before a
lossless tail, `Save-Data: on` for half the latents.

A prefix is a representation with its own length and ETag. An N inside the header is refused, because nothing can be decoded from that; an N
beyond the end means the whole file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal

from starlette.datastructures import Headers, QueryParams

from ..runtime.errors import SdzError
from ..runtime.format.container import LATENTS, LOSSLESS, survey
from .errors import RequestError

PARAMETER: Final = "bytes"

WITHOUT_TAIL: Final = "latents"
"""In place of a number: the whole picture that the latents give, and no lossless tail."""

Length = int | Literal["latents"]

LEAST_LATENTS: Final = 1_000
"""Bytes of latents below which there is nothing worth saving: a packet holds as many."""

_COUNT = re.compile(r"[0-9]{1,15}")


def prefix_length(query: QueryParams, size: int) -> Length | None:
    """The N of `?bytes=N` for a file of `size` bytes, or WITHOUT_TAIL; None for the whole file. RequestError 422 where N is neither."""
    values = query.getlist(PARAMETER)
    if not values:
        return None
    if values == [WITHOUT_TAIL]:
        return WITHOUT_TAIL
    if len(values) > 1 or not _COUNT.fullmatch(values[0]):
        raise RequestError(422, "PrefixError", f"'{PARAMETER}' must be one whole number of bytes, in decimal digits, or '{WITHOUT_TAIL}'")
    count = int(values[0])
    return None if count >= size else count


def saves_data(headers: Headers) -> bool:
    """Whether the client asks for less: the request header `Save-Data: on` (WICG, "Save Data API")."""
    return headers.get("save-data", "").partition(";")[0].strip().lower() == "on"


def saved_length(path: str, size: int) -> int:
    """How many of the first `size` bytes of a file a client gets that saves data: all before the latents, and half of these, but at least
    LEAST_LATENTS; all of a file that is no .sdz or has no latents. Reads the disk; raises OSError."""
    with Path(path).open("rb") as file:
        try:
            latents = survey(file).find(LATENTS)
        except SdzError:
            return size
    if latents is None or latents.length is None:
        return size
    return min(size, latents.start + max(LEAST_LATENTS, latents.length // 2))


def picture_length(path: str, size: int) -> int:
    """How many of the first `size` bytes of a file stand before its lossless tail: all where it has none, or is no .sdz. Reads the disk;
    raises OSError."""
    with Path(path).open("rb") as file:
        try:
            tail = next((chunk for chunk in survey(file).chunks if chunk.tag == LOSSLESS), None)
        except SdzError:
            return size
    return size if tail is None else min(size, tail.offset)
