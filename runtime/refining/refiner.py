"""Encoder effort: latents are moved until what the decoder makes of their integers is nearer to the photo.

Takes latents and the photo, returns integers. A decoder does not care how its integers were found, so all of this is the encoder's own.
Each round quantizes the latents, decodes and differentiates (the pack's graph "refine") and moves every latent a part of the way to where
a Newton step from its integer leads: damped, because all latents move at once, and held within about a step, because curvature is known
by channel and by block (`sensitivity`) only. The best round by likeness and bytes is kept; the first of them is the plain quantizer's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ..decode import denoiser_applies
from ..errors import EncodeInputError
from ..format.coder import decoded
from ..format.planes import encode_planes
from ..format.reconstruction import Latents, channel_steps
from ..options import DEFAULT_EFFORT, DEFAULT_EFFORT_PIXELS, MAX_EFFORT
from ..pack import GRID, Pack
from ..quantize import Tuning
from ..regions.region_map import RegionMap, payload_of

if TYPE_CHECKING:
    from ..session import Session

ROUNDS: Final = (0, 2, 3, 4, 6, 8, 12, 20, 40, 80)
"""Rounds of each effort: most is gained in the first two. One costs about 0.5 seconds of a core for 512 x 512 pixels, and a look at what
the last one made 0.3."""

DAMPING: Final = 0.16
"""The part of the way that a latent goes in the first round; it falls to zero over the rounds, and to half wherever a round makes the
picture worse, which then starts again from the best one. A third more is worse by SSIMULACRA2."""

REACH: Final = 2.0
"""The longest Newton step, in units of what lies between an integer and where the next one is rounded up from."""

RATE_SLOPE: Final = 0.6
"""What a per cent of bytes is worth in per cent of the measures' geometric mean: at 0.1 to 0.3 bits per pixel they fall about so fast."""

TILE: Final = 48
"""Latent positions on a side up to which a picture is refined in one piece: 0.6 megapixels, some 400 MB; with the margins
of tiles among others 0.8 and up to 800."""

MARGIN: Final = 4
"""Positions around a tile that are decoded with it."""


def rounds_of(effort: int | None, pack: Pack, pixels: int) -> int:
    """The rounds of an effort, 0 to MAX_EFFORT, for a picture of so many pixels; None is the default: DEFAULT_EFFORT, but 0
    for a pack that has not the graph and over DEFAULT_EFFORT_PIXELS. Raises EncodeInputError outside, and where over 0 is asked of such a
    pack."""
    if effort is None:
        effort = 0 if pack.refine is None or pixels > DEFAULT_EFFORT_PIXELS else DEFAULT_EFFORT
    if not 0 <= effort <= MAX_EFFORT:
        raise EncodeInputError(f"effort is {effort}, it must be a whole number from 0 to {MAX_EFFORT}")
    if effort and pack.refine is None:
        raise EncodeInputError(f"effort is {effort}, but pack {pack.name} has no graph for it: encode with effort 0")
    return ROUNDS[effort]


@dataclass(frozen=True)
class Refiner:
    """What refining one photo needs: `rgb` uint8 (H, W, 3), the tuning that it is quantized by, and how much squared errors count in each
    block, float32 (h, w), None for the same everywhere."""

    rgb: NDArray[np.uint8]
    session: Session
    rounds: int
    tuning: Tuning
    seen: NDArray[np.float32] | None

    def __call__(
        self,
        latents: NDArray[np.float32],
        step_index: int,
        tilt: int,
        realism: float,
        quantize: Callable[[NDArray[np.float32]], NDArray[np.int32]],
        regions: RegionMap | None = None,
    ) -> bytes:
        """The payload of the best integers for `latents` float32 (C, h, w), grey levels, in a file of that step index, tilt, realism
        (0 to 1) and map.

        `quantize` makes integers int32 (C, h, w) of latents.
        """
        steps = channel_steps(step_index, tilt, self.session.pack.octaves, len(latents))
        pixels = self._padded()
        moved, base, aim, best, least, damping = latents, latents, latents, None, math.inf, DAMPING
        coder = self.session.pack.coder
        map_bytes = payload_of(regions)
        for i in range(self.rounds + 1):
            payload = encode_planes(quantize(moved), step_index, coder, tilt, map_bytes)
            known, codes = self._known(payload, latents.shape[1:], step_index, steps, map_bytes)
            likeness, moves = self._measure(known, codes, pixels, realism, moves=i < self.rounds)
            cost = likeness + RATE_SLOPE * math.log(max(len(payload), 1))
            # as good is good enough to go on from: small moves leave all integers as they are
            if best is None or cost <= least:
                best, least = payload, cost
                if moves is not None:
                    reach = REACH * (1.0 - self.tuning.rounding) * np.exp2(known.precision / 8)
                    base, aim = moved, (known.values / GRID + np.clip(moves, -reach, reach)).astype(np.float32)
            else:
                damping /= 2.0
            part = np.float32(damping * (1.0 - i / (self.rounds + 1)))
            moved = ((1 - part) * base + part * aim).astype(np.float32)
        assert best is not None
        return best

    def _known(
        self, payload: bytes, sides: tuple[int, ...], step_index: int, steps: NDArray[np.int32], map_bytes: bytes | None = None
    ) -> tuple[Latents, int]:
        """What a decoder makes of a payload, and the sum of the latents' precision codes."""
        pack, (rows, columns) = self.session.pack, sides
        with decoded(pack.coder_bytes, payload, rows, columns, step_index, regions=map_bytes) as (core, picture):
            core.quantization(picture, steps, pack.reconstruction, pack.l1_limit)
            return Latents(*core.latents(picture, pack.channels, 0, 0, rows, columns)), core.facts(picture).codes

    def _padded(self) -> NDArray[np.uint8]:
        """The photo up to whole patches, edges repeated."""
        patch = self.session.pack.patch
        height, width = self.rgb.shape[:2]
        return np.pad(self.rgb, ((0, -height % patch), (0, -width % patch), (0, 0)), mode="edge")

    def _measure(
        self, known: Latents, codes: int, pixels: NDArray[np.uint8], realism: float, *, moves: bool
    ) -> tuple[float, NDArray[np.float32] | None]:
        """The sum of the measures' logarithms, a mean over tiles by area, and where `moves` are wanted each latent's Newton step, float32
        (C, h, w), grey levels."""
        pack = self.session.pack
        realism = realism if denoiser_applies(pack, codes, known.values.size) else 0.0
        found = np.empty(known.values.shape, np.float32) if moves else None
        total = 0.0
        for inner, outer in _tiles(*known.values.shape[1:]):
            rows, columns = outer
            part = Latents(*(m[:, rows, columns] for m in (known.values, known.levels, known.precision, known.half_width)))
            shown = pixels[rows.start * pack.patch : rows.stop * pack.patch, columns.start * pack.patch : columns.stop * pack.patch]
            likeness, steps = self.session.refine(part, shown, realism, self.tuning.shares, moves=moves)
            if found is not None and steps is not None:
                down, across = (slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))
                found[:, inner[0], inner[1]] = steps[:, down, across]
            total += likeness * (inner[0].stop - inner[0].start) * (inner[1].stop - inner[1].start)
        if found is not None and self.seen is not None:
            found /= self.seen
        return total / known.values[0].size, found


def _tiles(rows: int, columns: int) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Tiles of at most TILE positions a side, and the same with their margins."""
    for row in _spans(rows):
        for column in _spans(columns):
            yield (row[0], column[0]), (row[1], column[1])


def _spans(length: int) -> list[tuple[slice, slice]]:
    count = -(-length // TILE)
    ends = [length * i // count for i in range(count + 1)]
    return [(slice(a, b), slice(max(0, a - MARGIN), min(length, b + MARGIN))) for a, b in pairwise(ends)]
