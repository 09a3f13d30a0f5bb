"""How a pack's files carry the latents: one record for each kind of quantizer, and the one place that tells the kinds apart.

Takes a parsed file and its pack; opens in the core what the file tells of the latents. Everything behind it (`picture`) is the same for
all kinds. The encoder's side is `encode.WRITERS`; FORMAT.md has a section for each kind ("Planes", "Indices", "Palette").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..core import Core, RegionsError
from ..errors import CorruptFileError
from ..pack import INDICES, PALETTE, PLANES, Pack
from .container import LATENTS, PALETTE_LATENTS, REGIONS, Chunk, Container, Header
from .indices import spent_bytes as spent_on_levels
from .planes import BANDS
from .planes import spent_bytes as spent_on_planes

Positions = tuple[int, int]
"""Rows and columns."""


@dataclass(frozen=True)
class Spent:
    """Bytes of a latents' payload, whole or cut: `by_plane` int64 (planes, bands), the least significant plane first; they add up to the
    payload. `bands` names the columns."""

    bands: list[str]
    by_plane: NDArray[np.int64]


@dataclass(frozen=True)
class Quantizer:
    """One kind.

    `tag`: the chunk of the latents. `embedded`: whether every prefix of its payload decodes; of another kind a file is whole or nothing.
    `open(core, container, pack)`: the core's picture of a file; raises CorruptFileError. `spent(container, pack)`: what the
    bytes of its latents went into; None where no part of them has a purpose of its own.
    """

    tag: bytes
    embedded: bool
    open: Callable[[Core, Container, Pack], int]
    spent: Callable[[Container, Pack], Spent] | None


def quantizer_of(pack: Pack) -> Quantizer:
    """The record of the pack's kind."""
    return QUANTIZERS[pack.quantizer]


def positions(header: Header, pack: Pack) -> Positions:
    """Rows and columns of latent positions of a picture."""
    return -(-header.height // pack.patch), -(-header.width // pack.patch)


def _payload(container: Container) -> bytes:
    chunk = container.find(LATENTS)
    return b"" if chunk is None else chunk.payload


def _open_planes(core: Core, container: Container, pack: Pack) -> int:
    header = container.header
    tables = core.tables(pack.coder.stored)
    regions = container.find(REGIONS)
    try:
        return core.decode(tables, _payload(container), *positions(header, pack), header.step_index, header.tilt, _map(regions))
    except RegionsError:
        assert regions is not None
        raise broken_map(regions.start) from None


def _map(regions: Chunk | None) -> bytes | None:
    return None if regions is None else regions.payload


def broken_map(offset: int) -> CorruptFileError:
    """The error of a map of regions, whose payload begins at `offset`, that is none."""
    return CorruptFileError("the map ends too early or too late", offset, "regions")


def _open_palette(core: Core, container: Container, pack: Pack) -> int:
    from .palette import open_palette

    header = container.header
    chunk = container.find(PALETTE_LATENTS)
    if chunk is None:
        return core.palette(None, pack.channels, *positions(header, pack))
    return open_palette(core, chunk.payload, pack.channels, *positions(header, pack), chunk.start)


def _open_indices(core: Core, container: Container, pack: Pack) -> int:
    header = container.header
    if header.step_index:
        raise CorruptFileError(f"{header.step_index}, of a pack with a codebook it must be 0", 7, "step index")
    return core.decode(core.tables(pack.indices.stored), _payload(container), *positions(header, pack))


def _spent_on_planes(container: Container, pack: Pack) -> Spent:
    header, regions = container.header, _map(container.find(REGIONS))
    spent = spent_on_planes(_payload(container), *positions(header, pack), header.step_index, pack.coder, header.tilt, regions)
    starts = [start for start in BANDS if start < pack.channels]
    names = [f"{start}-{end - 1}" for start, end in zip(starts, [*starts[1:], pack.channels], strict=True)]
    if spent.shape[1] > pack.channels:
        starts, names = [*starts, pack.channels], [*names, "upper"]
    return Spent(names, np.add.reduceat(spent.sum(axis=2), starts, axis=1))


def _spent_on_indices(container: Container, pack: Pack) -> Spent:
    # an index's first bit is its most significant one
    levels = spent_on_levels(_payload(container), *positions(container.header, pack), pack.indices)
    return Spent(["indices"], levels[::-1, None])


QUANTIZERS: Final[dict[str, Quantizer]] = {
    PLANES: Quantizer(tag=LATENTS, embedded=True, open=_open_planes, spent=_spent_on_planes),
    PALETTE: Quantizer(tag=PALETTE_LATENTS, embedded=False, open=_open_palette, spent=None),
    INDICES: Quantizer(tag=LATENTS, embedded=True, open=_open_indices, spent=_spent_on_indices),
}
"""By the name that manifests have for the kind (`pack.QUANTIZERS`)."""
