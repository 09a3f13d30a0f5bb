"""Palette latents: the method of 2022, for packs whose manifest says `quantizer` "palette" (FORMAT.md, "Palette").

M. Bühlmann, "Stable Diffusion based image compression" (2022): latents are scaled to 8 bit, reduced to a palette of up to 256 vectors of
C numbers with error diffusion (Floyd and Steinberg, "An adaptive algorithm for spatial greyscale", 1976), and deflated. Takes latents in
grey levels and gives the payload of the palette chunk; back, the core's picture, known to the last bit.
The scale is the header's step. Nothing here is embedded: a cut payload is of no use.
"""

from __future__ import annotations

import warnings
import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..core import Core, PaletteError
from ..errors import CorruptFileError, EncodeInputError, MissingExtraError
from ..pack import GRID
from .coder import exact_core
from .reconstruction import step_units

MAX_ENTRIES: Final = 256
"""An index is one byte: the published setting, 1,024 bytes of palette for four channels."""

LARGEST: Final = 127
"""The scale brings every latent's magnitude to at most this: 8 bits with their sign."""

SAMPLE: Final = 1 << 16
"""Positions that a palette is fitted to, drawn evenly from larger pictures: a square of 2,048 pixels at 1/8 has as many."""

ITERATIONS: Final = 20
"""Of k-means; twice as many changed the error by under 1 %."""

_FIELD: Final = "palette"


def encode_palette(palette: NDArray[np.int8], indices: NDArray[np.uint8]) -> bytes:
    """The payload of the palette chunk: `palette` int8 (n, C) with n from 1 to 256, `indices` uint8 (h, w) below n."""
    return zlib.compress(bytes([len(palette) - 1]) + palette.tobytes() + indices.tobytes(), 9)


def open_palette(core: Core, payload: bytes, channels: int, rows: int, columns: int, offset: int) -> int:
    """The core's picture of the chunk whose payload stands at `offset` in the file: (channels, rows, columns) known to the last bit.

    Raises CorruptFileError where the stream is not zlib's, does not hold exactly a palette and the indices, or names an entry that is
    not there.
    """
    most = 1 + MAX_ENTRIES * channels + rows * columns
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(payload, most + 1)
    except zlib.error as error:
        raise CorruptFileError(f"the zlib stream is broken ({error})", offset, _FIELD) from None
    problem = f"the zlib stream does not hold exactly a palette of {channels} channels and {rows} rows of {columns} indices"
    if not raw or not stream.eof or stream.unused_data:
        raise CorruptFileError(problem, offset, _FIELD)
    try:
        return core.palette(raw, channels, rows, columns)
    except PaletteError as error:
        if error.position is None:
            raise CorruptFileError(problem, offset, _FIELD) from None
        row, entries = error.position // columns, raw[0] + 1
        index = raw[1 + entries * channels + error.position]
        raise CorruptFileError(f"row {row} names entry {index} of {entries}", offset, _FIELD) from None


def scale_index(latents: NDArray[np.float32]) -> int:
    """The least step index at which latents in grey levels need 8 bits at most.

    Raises EncodeInputError for latents beyond LARGEST of the coarsest steps.
    """
    largest = float(np.abs(latents).max(initial=0.0))
    for index in range(limits.MAX_STEP_INDEX + 1):
        if largest <= (LARGEST + 0.5) * step_units(index) / GRID:
            return index
    raise EncodeInputError(f"a latent of {largest:.0f} grey levels does not fit 8 bits at the coarsest step")


def quantize_palette(
    latents: NDArray[np.float32], step_index: int, entries: int, dither: bool
) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
    """A palette int8 (n, C), n at most `entries` (1 to 256), and indices uint8 (h, w), of latents float32 (C, h, w) in grey levels.

    With `dither` each position's error is spread over its neighbours, which keeps texture and local means; without, every position takes
    the nearest entry, which keeps the squared error small. Raises MissingExtraError without scipy.
    """
    scaled = np.rint(latents.astype(np.float64) * GRID / step_units(step_index)).clip(-LARGEST, LARGEST)
    source = np.ascontiguousarray(scaled.transpose(1, 2, 0))
    palette = _fit(source.reshape(-1, source.shape[2]), entries)
    return palette, assign(source, palette, dither)


def _fit(vectors: NDArray[np.float64], entries: int) -> NDArray[np.int8]:
    """At most `entries` int8 vectors in rising order, for whole vectors (N, C): those that occur, or else the means of k-means."""
    different = np.unique(vectors, axis=0)
    if len(different) > entries:
        try:
            from scipy.cluster.vq import kmeans2
        except ImportError:
            raise MissingExtraError("encoding with a palette", "scipy", "train") from None
        sample = vectors[:: -(-len(vectors) // SAMPLE)]
        with warnings.catch_warnings():
            # an empty cluster keeps its mean, which some position may still be nearest to
            warnings.filterwarnings("ignore", message="One of the clusters is empty")
            means, _ = kmeans2(sample, entries, iter=ITERATIONS, minit="++", rng=np.random.default_rng(0))
        different = np.unique(np.rint(means), axis=0)
    return different.astype(np.int8)


def assign(source: NDArray[np.float64], palette: NDArray[np.int8], dither: bool) -> NDArray[np.uint8]:
    """Each position's entry, uint8 (h, w): of `palette` int8 (n, C) the nearest to `source` float64 (h, w, C), of equals the first;
    with `dither` to what is left of the errors before it as well."""
    with exact_core() as core:
        return core.assign(source, palette, dither)
