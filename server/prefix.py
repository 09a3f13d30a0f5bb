"""`?bytes=N`: the first N bytes of an .sdz, which are a coarser picture of the same size in pixels.

A prefix is a representation with its own length and ETag. An N inside the header is refused, because nothing can be decoded from that; an N
beyond the end means the whole file.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.datastructures import QueryParams

from ..runtime.errors import SdzError
from ..runtime.format.container import parse
from .errors import RequestError

PARAMETER: Final = "bytes"

_COUNT = re.compile(r"[0-9]{1,15}")


def prefix_length(query: QueryParams, size: int) -> int | None:
    """The N of `?bytes=N` for a file of `size` bytes; None for the whole file. RequestError 422 where N is not a whole number."""
    values = query.getlist(PARAMETER)
    if not values:
        return None
    if len(values) > 1 or not _COUNT.fullmatch(values[0]):
        raise RequestError(422, "PrefixError", f"'{PARAMETER}' must be one whole number of bytes, in decimal digits")
    count = int(values[0])
    return None if count >= size else count


def check_prefix(data: bytes) -> None:
    """Raises RequestError 422 unless `data` is a prefix that a decoder can read."""
    try:
        parse(data)
    except SdzError as error:
        raise RequestError(422, error.code, str(error)) from error
