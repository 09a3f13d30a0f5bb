"""What a caller asked for of regions, brought to one map of a photo."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import EncodeInputError
from ..options import Subject
from ..pack import PLANES, Pack
from .detectors import find
from .maps import OctaveMap, RegionsInput, boxes_map, octave_map, worst_map


@dataclass(frozen=True)
class Asked:
    """`regions`, `protect` and `worst` of `encode`, for a photo uint8 (H, W, 3) and a pack."""

    rgb: NDArray[np.uint8]
    pack: Pack
    regions: RegionsInput | None
    protect: Sequence[Subject]
    worst: float | None

    def octaves(self, plain: Callable[[], NDArray[np.uint8]]) -> OctaveMap | None:
        """The map, where several ask for a block the most octaves; None where nothing was asked, or found.

        `plain` gives what the file without regions shows, uint8 (H, W, 3), and is asked where the worst blocks are wanted. Raises
        EncodeInputError for what does not fit the photo or the pack.
        """
        if self.regions is None and not self.protect and self.worst is None:
            return None
        maps = list(self._of_photo)
        if self.worst is not None:
            maps.append(worst_map(self.rgb, plain(), self.worst, self.pack.patch))
        octaves = maps[0]
        for other in maps[1:]:
            octaves = np.where(other == 0, octaves, np.where(octaves == 0, other, np.maximum(octaves, other)))
        return octaves.astype(np.int8) if octaves.any() else None

    @functools.cached_property
    def _of_photo(self) -> list[OctaveMap]:
        """The maps that are the same whichever tuning the file gets: of regions, and of what detectors find."""
        pack, (height, width) = self.pack, self.rgb.shape[:2]
        if pack.quantizer != PLANES:
            raise EncodeInputError(f"pack {pack.name} has no regions: its latents are not sent in planes")
        overlap = 0 if pack.lapping is None else len(pack.lapping)
        maps = []
        if self.regions is not None:
            maps.append(octave_map(self.regions, height, width, pack.patch, overlap))
        if self.protect:
            maps.append(boxes_map(find(self.protect, self.rgb), height, width, pack.patch, overlap))
        return maps
