"""Integer latents to embedded bit-planes and back, by the exact core: pass order, and what a prefix leaves known.

Takes signed integers (C, h, w) and gives bytes; back, it gives for every latent the known part of its magnitude,
its sign, and down to which plane it is known. Two passes send one plane of one channel over the whole picture, first near what earlier
planes have found, then elsewhere; they stand in the order of their measured rate-distortion slope (a table of the pack), so a cut
never favours one half of the picture. The model of each decision is in FORMAT.md ("Contexts").
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..core import Core
from ..errors import CoreError, EncodeInputError
from .coder import decoded, exact_core, opened, spent
from .coder_tables import MEANS, PARTS, UPPERS, CoderTables
from .reconstruction import Known

MAGNITUDE_LIMIT = 4
"""Levels from here on count as one: `LEVEL_WEIGHT` has one entry each."""

LEVEL_WEIGHT = np.array([0, 3, 5, 7, 9], dtype=np.int32)
"""What a neighbour's level adds to the energy: twice its interval's middle, at most 9."""

BANDS = (0, 6, 24, 54)
"""First channels of the four bands that some contexts tell apart; a pack's channels stand coarse structure first."""

OUTPUT_SLACK = 4096
"""Bytes of room for the encoder beyond what its integers can cost."""


def plane_count(latents: NDArray[np.int32]) -> int:
    """Planes that the largest magnitude of `latents` needs; raises EncodeInputError over `limits.MAX_PLANES`."""
    planes = int(np.abs(latents).max(initial=0)).bit_length()
    if planes > limits.MAX_PLANES:
        raise EncodeInputError(f"a latent needs {planes} bit-planes, the format has {limits.MAX_PLANES}: use a coarser step")
    return planes


def encode_planes(latents: NDArray[np.int32], step_index: int, tables: CoderTables, tilt: int = 0, regions: bytes | None = None) -> bytes:
    """The payload of all planes of int32 latents (C, h, w), but for those that a map of regions, of which `regions` is the payload, leaves
    out. Every prefix of it decodes. Raises EncodeInputError where a latent, or a coefficient of the means' pyramid, needs more than
    `limits.MAX_PLANES` planes."""
    with exact_core() as core:
        return code(core, opened(core, tables.stored), latents, step_index, tilt, regions)[0]


def last_chances(
    latents: NDArray[np.int32], step_index: int, tables: CoderTables, tilt: int = 0, regions: bytes | None = None
) -> NDArray[np.uint16]:
    """Probability (of 65536) of a one that the coder gave to every latent's decision in the lowest plane that is coded there, uint16
    (C, h, w).

    For a latent below 2 that decision is its significance, for any other its last bit; 0 where nothing was asked because the
    whole channel is zero, and for the means, whose decisions are not about single latents.
    """
    with exact_core() as core:
        chances = code(core, opened(core, tables.stored), latents, step_index, tilt, regions, chances=True)[1]
    assert chances is not None
    return chances


def code(
    core: Core,
    handle: int,
    latents: NDArray[np.int32],
    step_index: int,
    tilt: int = 0,
    regions: bytes | None = None,
    *,
    chances: bool = False,
    learn: bool = False,
) -> tuple[bytes, NDArray[np.uint16] | None]:
    """The payload and the chances, by tables opened in `core`, which `learn` changes."""
    planes = plane_count(latents)
    # a decision costs at most 12 bits, and each plane of a latent has two; 8 bits in all are more than photos need. A pyramid's
    # coefficients may have two planes more than its values
    most = latents.size * (planes + 2) * 3 + 2 * len(latents) * (planes + 2) * PARTS + OUTPUT_SLACK
    enough = min(most, latents.size + OUTPUT_SLACK)

    def into(room: int) -> tuple[bytes, NDArray[np.uint16] | None]:
        return core.encode(handle, latents, step_index, tilt, regions=regions, room=room, chances=chances, learn=learn)

    try:
        return into(enough)
    except CoreError:
        if not core.usable or enough == most:
            raise
        return into(most)


def decode_planes(
    payload: bytes,
    channels: int,
    rows: int,
    columns: int,
    step_index: int,
    tables: CoderTables,
    tilt: int = 0,
    regions: bytes | None = None,
) -> Known:
    """What `payload`, whole or cut anywhere, determines of latents (channels, rows, columns)."""
    with decoded(tables.stored, payload, rows, columns, step_index, tilt, regions) as (core, picture):
        facts = core.facts(picture)
        values, plane = core.known(picture, facts)
    assert facts.channels == channels
    negative = values < 0
    return Known(np.abs(values, out=values), negative, plane, facts.complete)


def spent_bytes(
    payload: bytes, rows: int, columns: int, step_index: int, tables: CoderTables, tilt: int = 0, regions: bytes | None = None
) -> NDArray[np.int64]:
    """How many bytes of `payload`, whole or cut anywhere, the passes of each plane of each channel took: int64 (planes, channels, PARTS),
    those of a mean under its first part, and those of groups of upper functions behind the channels, (planes, C + G, PARTS); the sum is the
    payload's length."""
    with decoded(tables.stored, payload, rows, columns, step_index, tilt, regions) as (core, picture):
        facts = core.facts(picture)
    groups = tables.groups if facts.upper else 0
    taken = np.zeros((max(1, facts.planes), facts.channels + groups, PARTS), dtype=np.int64)
    kind, plane, band, part = facts.passes.T
    place = np.select([kind == MEANS, kind == UPPERS], [band >> 4, facts.channels + band], band)
    np.add.at(taken, (plane, place, part), spent(facts.ends, len(payload)))
    if not len(plane):
        taken[0, 0, 0] = len(payload)
    return taken
