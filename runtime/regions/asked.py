"""What a caller asked for of regions, brought to one map of a photo."""

from __future__ import annotations

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
    """`regions`, `protect` and `worst` of `encode`."""

    regions: RegionsInput | None
    protect: Sequence[Subject]
    worst: float | None

    def octaves(self, rgb: NDArray[np.uint8], pack: Pack, plain: Callable[[], bytes]) -> OctaveMap | None:
        """The map of a photo uint8 (H, W, 3), where several ask for a block the most octaves; None where nothing was asked, or found.

        `plain` writes the file without regions, which is decoded where the worst blocks are wanted. Raises EncodeInputError for
        what does not fit the photo or the pack.
        """
        if self.regions is None and not self.protect and self.worst is None:
            return None
        if pack.quantizer != PLANES:
            raise EncodeInputError(f"pack {pack.name} has no regions: its latents are not sent in planes")
        height, width = rgb.shape[:2]
        overlap = 0 if pack.lapping is None else len(pack.lapping)
        maps = []
        if self.regions is not None:
            maps.append(octave_map(self.regions, height, width, pack.patch, overlap))
        if self.protect:
            maps.append(boxes_map(find(self.protect, rgb), height, width, pack.patch, overlap))
        if self.worst is not None:
            from ..decode import decode

            shown = np.asarray(decode(plain(), pack=pack).to_pil().convert("RGB"))
            maps.append(worst_map(rgb, shown, self.worst, pack.patch))
        octaves = maps[0]
        for other in maps[1:]:
            octaves = np.where(other == 0, octaves, np.where(octaves == 0, other, np.maximum(octaves, other)))
        return octaves.astype(np.int8) if octaves.any() else None
