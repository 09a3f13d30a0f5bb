"""`?bytes=N`: the first N bytes of an .sdz, which are a coarser picture of the same size in pixels.

A prefix is a representation of its own: it has its own length and an ETag of the file's family. N that ends within the header is
refused, because nothing can be decoded from that; N beyond the end means the whole file.
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
    """The N of `?bytes=N` for a file of `size` bytes; None where the whole file is meant. RequestError 422 where it is no count."""
    values = query.getlist(PARAMETER)
    if not values:
        return None
    if len(values) > 1 or not _COUNT.fullmatch(values[0]):
        raise RequestError(422, "PrefixError", f"'{PARAMETER}' must be one whole number of bytes, in decimal digits")
    count = int(values[0])
    return None if count >= size else count


def check_prefix(data: bytes) -> None:
    """RequestError 422 unless `data` is a prefix that a decoder can read."""
    try:
        parse(data)
    except SdzError as error:
        raise RequestError(422, error.code, str(error)) from error
