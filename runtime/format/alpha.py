"""The alpha chunk: one 8-bit channel <-> a zlib stream of rows filtered as in PNG. Lossless.

Takes and gives uint8 arrays (H, W), 0 transparent to 255 opaque. Per row one byte names the filter (0 none, 1 left, 2 above,
3 average, 4 Paeth; PNG specification, section 9), then come width bytes of differences modulo 256.
"""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptFileError
from .coder import exact_core

_FIELD: Final = "alpha"
_LAST_FILTER: Final = 4


def encode_alpha(alpha: NDArray[np.uint8]) -> bytes:
    """The payload of the alpha chunk for `alpha`, uint8 (H, W).

    Each row takes the filter with the least sum of absolute differences, PNG's usual heuristic; the whole plane goes unfiltered
    where that is smaller, as it is for masks of few levels.
    """
    with exact_core() as core:
        filtered = core.filter(alpha)
    plain = np.pad(alpha, ((0, 0), (1, 0))).tobytes()
    return min((zlib.compress(rows, 9) for rows in (filtered, plain)), key=len)


def decode_alpha(payload: bytes, height: int, width: int, offset: int) -> NDArray[np.uint8]:
    """The alpha plane, uint8 (H, W), of the chunk whose payload stands at `offset` in the file.

    Raises CorruptFileError where the stream is not zlib's, does not hold exactly the rows, or names an unknown filter.
    """
    size = height * (width + 1)
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(payload, size + 1)
    except zlib.error as error:
        raise CorruptFileError(f"the zlib stream is broken ({error})", offset, _FIELD) from None
    if len(raw) != size or not stream.eof or stream.unused_data:
        raise CorruptFileError(f"the zlib stream does not hold exactly {height} rows of {width + 1} bytes", offset, _FIELD)
    rows = np.frombuffer(raw, np.uint8).reshape(height, width + 1)
    wrong = rows[:, 0] > _LAST_FILTER
    if wrong.any():
        y = int(wrong.argmax())
        raise CorruptFileError(f"row {y} names filter {rows[y, 0]}, the last is {_LAST_FILTER}", offset, _FIELD)
    with exact_core() as core:
        return core.unfilter(raw, height, width)
