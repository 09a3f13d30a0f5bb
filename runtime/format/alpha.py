"""The alpha chunk: one 8-bit channel <-> a zlib stream of rows filtered as in PNG. Lossless.

Takes and gives uint8 arrays (H, W), 0 transparent to 255 opaque. Per row one byte names the filter (0 none, 1 left, 2 above,
3 average, 4 Paeth; PNG specification, section 9), then come width bytes of differences modulo 256.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..errors import CorruptFileError

_FIELD: Final = "alpha"
_LAST_FILTER: Final = 4
_BAND: Final = 256
"""Rows filtered at a time, so that the trial filters of a large plane stay small in memory."""


def encode_alpha(alpha: NDArray[np.uint8]) -> bytes:
    """The payload of the alpha chunk for `alpha`, uint8 (H, W).

    Each row takes the filter with the least sum of absolute differences, PNG's usual heuristic; the whole plane goes unfiltered
    where that is smaller, as it is for masks of few levels.
    """
    height = len(alpha)
    bordered = np.pad(alpha, ((1, 0), (1, 0)))
    filtered = b"".join(_filter_band(bordered[y : y + _BAND + 1]) for y in range(0, height, _BAND))
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
    bordered = np.zeros((height + 1, width + 1), np.uint8)
    _unfilter(rows, bordered)
    return bordered[1:, 1:]


def _filter_band(bordered: NDArray[np.uint8]) -> bytes:
    """Filtered rows, each after its filter's number, of a band that has the pixels above it and left of it as a border."""
    wide = bordered.astype(np.int16)
    here, left, above, corner = wide[1:, 1:], wide[1:, :-1], wide[:-1, 1:], wide[:-1, :-1]
    to_left, to_above, to_corner = abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)
    paeth = np.where(to_above <= to_corner, above, corner)
    paeth = np.where((to_left <= to_above) & (to_left <= to_corner), left, paeth)
    predictions = (np.zeros_like(here), left, above, (left + above) >> 1, paeth)
    trials = np.stack([(here - prediction).astype(np.uint8) for prediction in predictions])
    best = abs(trials.view(np.int8).astype(np.int16)).sum(axis=2).argmin(axis=0)
    rows = np.column_stack([best.astype(np.uint8), trials[best, np.arange(len(best))]])
    return rows.tobytes()


@njit(cache=True, nogil=True)
def _unfilter(rows: Any, bordered: Any) -> None:
    """Undoes the filters of `rows` (H, W+1) into `bordered` (H+1, W+1), whose first row and column are zero."""
    for y in range(1, bordered.shape[0]):
        kind = rows[y - 1, 0]
        for x in range(1, bordered.shape[1]):
            left = np.int32(bordered[y, x - 1])
            above = np.int32(bordered[y - 1, x])
            corner = np.int32(bordered[y - 1, x - 1])
            prediction = np.int32(0)
            if kind == 1:
                prediction = left
            elif kind == 2:
                prediction = above
            elif kind == 3:
                prediction = (left + above) >> 1
            elif kind == 4:
                to_left, to_above, to_corner = abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)
                if to_left <= to_above and to_left <= to_corner:
                    prediction = left
                elif to_above <= to_corner:
                    prediction = above
                else:
                    prediction = corner
            bordered[y, x] = (rows[y - 1, x] + prediction) & 0xFF
