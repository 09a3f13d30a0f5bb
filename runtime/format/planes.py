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
from .coder_tables import A_PLANE, PARTS, CoderTables
from .reconstruction import Known

MAGNITUDE_LIMIT = 4
"""Levels from here on count as one: `LEVEL_WEIGHT` has one entry each."""

LEVEL_WEIGHT = np.array([0, 3, 5, 7, 9], dtype=np.int32)
"""What a neighbour's level adds to the energy: twice its interval's middle, at most 9."""

BANDS = (0, 6, 24, 54)
"""First channels of the four bands that some contexts tell apart; a pack's channels stand coarse structure first."""

OUTPUT_SLACK = 4096
"""Bytes of room for the encoder beyond what its integers can cost."""


def pass_order(tables: CoderTables, planes: int) -> NDArray[np.int32]:
    """All passes as rows (plane, channel, part), first to last: by `A_PLANE * plane + order[channel, part]` downwards, then by channel;
    part 0 are the positions near what earlier planes have found, 1 the others."""
    plane, channel, part = (axis.ravel() for axis in np.indices((planes, tables.channels, PARTS)))
    priority = A_PLANE * plane + tables.order[channel, part]
    rank = np.lexsort((part, channel, -priority))
    return np.stack([plane, channel, part], axis=1)[rank].astype(np.int32)


def plane_count(latents: NDArray[np.int32]) -> int:
    """Planes that the largest magnitude of `latents` needs; raises EncodeInputError over `limits.MAX_PLANES`."""
    planes = int(np.abs(latents).max(initial=0)).bit_length()
    if planes > limits.MAX_PLANES:
        raise EncodeInputError(f"a latent needs {planes} bit-planes, the format has {limits.MAX_PLANES}: use a coarser step")
    return planes


def encode_planes(latents: NDArray[np.int32], step_index: int, tables: CoderTables) -> tuple[int, bytes]:
    """All planes of int32 latents (C, h, w): (number of planes, payload). Every prefix of the payload decodes."""
    planes = plane_count(latents)
    with exact_core() as core:
        return planes, code(core, opened(core, tables.stored), latents, planes, step_index)[0]


def last_chances(latents: NDArray[np.int32], step_index: int, tables: CoderTables) -> NDArray[np.uint16]:
    """Probability (of 65536) of a one that the coder gave to every latent's decision in the lowest plane, uint16 (C, h, w).

    For a latent below 2 that decision is its significance, for any other its last bit; 0 where nothing was asked because the
    whole channel is zero.
    """
    with exact_core() as core:
        chances = code(core, opened(core, tables.stored), latents, plane_count(latents), step_index, chances=True)[2]
    assert chances is not None
    return chances


def code(
    core: Core, handle: int, latents: NDArray[np.int32], planes: int, step_index: int, *, chances: bool = False, learn: bool = False
) -> tuple[bytes, NDArray[np.int32], NDArray[np.uint16] | None]:
    """The payload, the coder's byte behind each pass, and the chances, by tables opened in `core`, which `learn` changes."""
    passes = planes * len(latents) * PARTS
    # a decision costs at most 12 bits, and each plane of a latent has two; 8 bits in all are more than photos need
    most = latents.size * planes * 3 + 2 * passes + OUTPUT_SLACK
    enough = min(most, latents.size + OUTPUT_SLACK)

    def into(room: int) -> tuple[bytes, NDArray[np.int32], NDArray[np.uint16] | None]:
        return core.encode(handle, latents, planes, step_index, room=room, passes=passes, chances=chances, learn=learn)

    try:
        return into(enough)
    except CoreError:
        if not core.usable or enough == most:
            raise
        return into(most)


def decode_planes(payload: bytes, channels: int, rows: int, columns: int, planes: int, step_index: int, tables: CoderTables) -> Known:
    """What `payload`, whole or cut anywhere, determines of latents (channels, rows, columns)."""
    with decoded(tables.stored, payload, rows, columns, planes, step_index) as (core, picture):
        facts = core.facts(picture)
        values, plane = core.known(picture, facts)
    assert facts.channels == channels
    negative = values < 0
    return Known(np.abs(values, out=values), negative, plane, facts.complete)


def spent_bytes(
    payload: bytes, channels: int, rows: int, columns: int, planes: int, step_index: int, tables: CoderTables
) -> NDArray[np.int64]:
    """How many bytes of `payload`, whole or cut anywhere, each pass took: int64 (planes, channels, PARTS); the sum is the payload's
    length."""
    with decoded(tables.stored, payload, rows, columns, planes, step_index) as (core, picture):
        facts = core.facts(picture)
    taken = np.zeros((planes, channels, PARTS), dtype=np.int64)
    taken[tuple(facts.passes.T)] = spent(facts.ends, len(payload))
    return taken
