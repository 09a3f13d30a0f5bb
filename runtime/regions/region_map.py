"""Maps of regions: floors of latent positions <-> the payload of chunk `R`, by the exact core; FORMAT.md ("Regions") specifies them."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core import RegionsError
from ..format.coder import exact_core
from ..format.quantizers import broken_map


@dataclass(frozen=True, eq=False)
class RegionMap:
    """What a file codes at each position: of channels planes from `floors` up, uint8 (h, w), of means those from `means` up, 0 to 15."""

    means: int
    floors: NDArray[np.uint8]

    @classmethod
    def read(cls, payload: bytes, rows: int, columns: int, offset: int) -> RegionMap:
        """The map of a chunk whose payload begins at `offset` of its file. Raises CorruptFileError."""
        with exact_core() as core:
            try:
                return cls(*core.floors(payload, rows, columns))
            except RegionsError:
                raise broken_map(offset) from None

    @functools.cached_property
    def payload(self) -> bytes:
        """The chunk's payload."""
        with exact_core() as core:
            return core.regions(self.means, self.floors)

    @property
    def below(self) -> NDArray[np.int32]:
        """How many bits of each position's latents are not coded, int32 (h, w)."""
        return self.floors.astype(np.int32)


def payload_of(regions: RegionMap | None) -> bytes | None:
    """What the coder takes of a file's map: its payload, None of a file without one."""
    return None if regions is None else regions.payload
