"""The payload of the lossless tail <-> the photo's own pixels, uint8 (H, W, 1 or 3), over the linear stage's pixels of the same file.

How many rows a band has, and then bands from the top, each its length (u32) and the coder's bytes. A payload that is cut gives the bands
that are whole (FORMAT.md, "Lossless").
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptFileError
from ..format.container import LOSSLESS, Chunk, Container
from ..format.quantizers import quantizer_of
from ..pack import Pack
from .coder import BandError, PixelCoder

LENGTH_BYTES: Final = 4
BAND_PIXELS: Final = 1 << 15
"""Pixels of a band at most, but for one of a single row: a tenth of a second of work, and a coder's ends cost next to nothing."""

LARGEST_BAND: Final = 14
_FIELD: Final = "lossless tail"


def tail_of(container: Container, pack: Pack) -> Chunk | None:
    """The file's lossless tail, whole or cut; None without one, and where the whole latents that it builds on do not stand before it."""
    chunk, latents = container.find(LOSSLESS), container.find(quantizer_of(pack).tag)
    if chunk is None or latents is None or not latents.complete or latents.offset > chunk.offset:
        return None
    return chunk


def encode_tail(pixels: NDArray[np.uint8], base: NDArray[np.uint8]) -> bytes:
    """The payload for `pixels` over `base`, both (H, W, 1 or 3)."""
    band_size = min(LARGEST_BAND, max(0, (BAND_PIXELS // pixels.shape[1]).bit_length() - 1))
    coder = PixelCoder(pixels.shape, band_size)
    out = bytearray([band_size])
    while (band := coder.band()) is not None:
        payload = coder.encode(pixels[band.source], base[band.base])
        out += struct.pack("<I", len(payload)) + payload
    return bytes(out)


def band_ends(payload: bytes, height: int, planes: int) -> Iterator[tuple[int, int]]:
    """Of each band of a whole payload of a photo of so many rows and planes, how many rows are there with it, and where it ends; decodes
    nothing."""
    # the last plane's rows are coded so many steps after the first's
    late = planes - 1
    steps, done, at = height + late, 0, 1
    while done < steps:
        done = min(steps, done + (1 << payload[0]))
        done = steps if steps - done <= late else done
        at += LENGTH_BYTES + int.from_bytes(payload[at : at + LENGTH_BYTES], "little")
        yield done - late, at


def tail_bands(
    chunk: Chunk, shape: tuple[int, int, int], base: Callable[[slice], NDArray[np.uint8]]
) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
    """The rows that the chunk brings of a photo of that `shape`, (H, W, n), band by band from the top: which ones, and (rows, W, n) of
    them; all, or fewer where the chunk is cut. `base` gives rows of the base.

    Raises CorruptFileError for a size of bands that there is not, a band that ends too early, and bytes behind the last one.
    """
    payload, at = chunk.payload, 1
    if not payload and not chunk.complete:
        return
    if not payload or payload[0] > LARGEST_BAND:
        raise CorruptFileError("the size of its bands is missing or over 2**14 rows", chunk.start, _FIELD)
    coder = PixelCoder(shape, payload[0])
    while (band := coder.band()) is not None:
        start = at + LENGTH_BYTES
        end = start + int.from_bytes(payload[at:start], "little")
        if start > len(payload) or end > len(payload):
            if chunk.complete:
                raise CorruptFileError("the chunk ends within a band", chunk.start + at, _FIELD)
            return
        try:
            pixels = coder.decode(payload[start:end], base(band.base), band)
        except BandError:
            raise CorruptFileError("a band ends before its pixels do", chunk.start + start, _FIELD) from None
        yield band.pixels, pixels
        at = end
    if at < len(payload):
        raise CorruptFileError(f"{len(payload) - at} bytes behind the last band", chunk.start + at, _FIELD)
