"""How a pack's files carry the latents: one record for each kind of quantizer, and the one place that tells the kinds apart.

Takes a parsed file and its pack; gives what the file tells of the latents, and the latents themselves. Everything behind it, up to the
pixels, is the same for all kinds. The encoder's side is `encode.WRITERS`; FORMAT.md has a section for each kind ("Planes", "Indices",
"Palette").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptFileError
from ..pack import INDICES, PALETTE, PLANES, Pack
from .container import LATENTS, PALETTE_LATENTS, Container, Header
from .indices import KnownIndices, decode_indices, dequantize_indices, known_bits
from .indices import spent_bytes as spent_on_levels
from .planes import BANDS, decode_planes
from .planes import spent_bytes as spent_on_planes
from .reconstruction import Known, Latents, dequantize


@dataclass(frozen=True)
class Spent:
    """Bytes of a latents' payload, whole or cut: `by_plane` int64 (planes, bands), the least significant plane first; they add up to the
    payload. `bands` names the columns."""

    bands: list[str]
    by_plane: NDArray[np.int64]


@dataclass(frozen=True)
class Quantizer:
    """One kind. What `read` gives is what a file tells of the latents (h, w positions), and the first argument of those after it.

    `tag`: the chunk of the latents. `embedded`: whether every prefix of its payload decodes; of another kind a file is whole or nothing.
    `read(container, pack)` raises CorruptFileError. `begun(known, pack)`: the channels that are not all zeros, and the first.
    `precision(known, steps, pack)`: the sum of all latents' precision codes, and the number of latents. `latents(known, rows, columns,
    steps, pack, channels)`: those of some positions, of all channels or of those named. `steps`, int32 (C,), are the channels' step
    indices. `spent(payload, header, pack)`: what its bytes went into; None where no part of them has a purpose of its own.
    """

    tag: bytes
    embedded: bool
    read: Callable[[Container, Pack], Known | KnownIndices]
    begun: Callable[[Any, Pack], NDArray[np.intp]]
    precision: Callable[[Any, NDArray[np.int32], Pack], tuple[int, int]]
    latents: Callable[[Any, slice, slice, NDArray[np.int32], Pack, NDArray[np.intp] | None], Latents]
    spent: Callable[[bytes, Header, Pack], Spent] | None


def quantizer_of(pack: Pack) -> Quantizer:
    """The record of the pack's kind."""
    return QUANTIZERS[pack.quantizer]


def read_latents(container: Container, pack: Pack) -> Known | KnownIndices:
    """What a file tells of its latents: of one without the chunk, or with a cut one, what is there of it. Raises CorruptFileError."""
    if container.header.tilt and pack.octaves is None:
        raise CorruptFileError(f"{container.header.tilt}, but the file's pack allows 0 only", 8, "tilt")
    return quantizer_of(pack).read(container, pack)


def positions(header: Header, pack: Pack) -> tuple[int, int]:
    """Rows and columns of latent positions of a picture."""
    return -(-header.height // pack.patch), -(-header.width // pack.patch)


def _payload(container: Container, tag: bytes) -> bytes:
    chunk = container.find(tag)
    return b"" if chunk is None else chunk.payload


def _read_planes(container: Container, pack: Pack) -> Known:
    header = container.header
    rows, columns = positions(header, pack)
    payload = _payload(container, LATENTS)
    return decode_planes(payload, pack.channels, rows, columns, header.planes, header.step_index, pack.coder)


def _read_palette(container: Container, pack: Pack) -> Known:
    from .palette import decode_palette, unknown_latents

    header = container.header
    rows, columns = positions(header, pack)
    chunk = container.find(PALETTE_LATENTS)
    if chunk is None:
        return unknown_latents(pack.channels, rows, columns, header.planes)
    return decode_palette(chunk.payload, pack.channels, rows, columns, chunk.start)


def _read_indices(container: Container, pack: Pack) -> KnownIndices:
    header = container.header
    for value, offset, field in ((header.step_index, 9, "step index"), (header.planes, 10, "planes")):
        if value:
            raise CorruptFileError(f"{value}, of a pack with a codebook it must be 0", offset, field)
    return decode_indices(_payload(container, LATENTS), *positions(header, pack), pack.indices)


def _begun_channels(known: Known, pack: Pack) -> NDArray[np.intp]:
    begun = np.asarray(known.magnitude.reshape(len(known.magnitude), -1).any(axis=1))
    begun[0] = True
    return np.flatnonzero(begun)


def _all_channels(known: KnownIndices, pack: Pack) -> NDArray[np.intp]:
    return np.arange(pack.channels)


def _plane_precision(known: Known, steps: NDArray[np.int32], pack: Pack) -> tuple[int, int]:
    count = known.plane.size
    return 8 * int(known.plane.sum(dtype=np.int64)) + int(steps.sum()) * (count // len(steps)), count


def _index_precision(known: KnownIndices, steps: NDArray[np.int32], pack: Pack) -> tuple[int, int]:
    codes = pack.indices.precision[known_bits(known.node, pack.indices)]
    return pack.channels * int(codes.sum(dtype=np.int64)), pack.channels * known.node.size


def _integer_latents(
    known: Known, rows: slice, columns: slice, steps: NDArray[np.int32], pack: Pack, channels: NDArray[np.intp] | None
) -> Latents:
    magnitude, negative, plane = (a[:, rows, columns] for a in (known.magnitude, known.negative, known.plane))
    if channels is not None and len(channels) < len(magnitude):
        magnitude, negative, plane, steps = magnitude[channels], negative[channels], plane[channels], steps[channels]
    part = Known(np.ascontiguousarray(magnitude), np.ascontiguousarray(negative), np.ascontiguousarray(plane), known.complete)
    return dequantize(part, steps, pack.reconstruction, pack.l1_limit)


def _codebook_latents(
    known: KnownIndices, rows: slice, columns: slice, steps: NDArray[np.int32], pack: Pack, channels: NDArray[np.intp] | None
) -> Latents:
    # `channels` leaves out those that are all zeros: here none are
    return dequantize_indices(known.node[rows, columns], pack.indices, pack.l1_limit)


def _spent_on_planes(payload: bytes, header: Header, pack: Pack) -> Spent:
    rows, columns = positions(header, pack)
    spent = spent_on_planes(payload, pack.channels, rows, columns, header.planes, header.step_index, pack.coder)
    starts = [start for start in BANDS if start < pack.channels]
    names = [f"{start}-{end - 1}" for start, end in zip(starts, [*starts[1:], pack.channels], strict=True)]
    return Spent(names, np.add.reduceat(spent, starts, axis=1))


def _spent_on_indices(payload: bytes, header: Header, pack: Pack) -> Spent:
    # an index's first bit is its most significant one
    levels = spent_on_levels(payload, *positions(header, pack), pack.indices)
    return Spent(["indices"], levels[::-1, None])


_INTEGERS: Final[dict[str, Any]] = {"begun": _begun_channels, "precision": _plane_precision, "latents": _integer_latents}

QUANTIZERS: Final[dict[str, Quantizer]] = {
    PLANES: Quantizer(tag=LATENTS, embedded=True, read=_read_planes, spent=_spent_on_planes, **_INTEGERS),
    PALETTE: Quantizer(tag=PALETTE_LATENTS, embedded=False, read=_read_palette, spent=None, **_INTEGERS),
    INDICES: Quantizer(
        tag=LATENTS,
        embedded=True,
        read=_read_indices,
        begun=_all_channels,
        precision=_index_precision,
        latents=_codebook_latents,
        spent=_spent_on_indices,
    ),
}
"""By the name that manifests have for the kind (`pack.QUANTIZERS`)."""
