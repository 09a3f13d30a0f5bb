"""Numbers of the linear stage, a small integer matrix, lapped over the borders of blocks. The core paints it (`picture`).

FORMAT.md ("Linear stage") is the specification.
"""

from __future__ import annotations

from typing import Final

LAP_PLACES: Final = 4
"""Binary places of the levels that a lapping filters."""

LAP_LIMIT: Final = 1 << 13
"""Where these levels, from mid-grey, are held before they are filtered: the networks' exact sums rest on it."""

LAP_SHIFT: Final = 8
"""Binary places of a lapping's entries."""

LAP_SUM: Final = 232
"""Most that a row's entries may sum to without their signs: LAP_LIMIT (1 + 2 · LAP_SUM / 2**8)**2 · 2**8 stays below 2**24, the exact
integers of float32."""


def reductions(patch: int) -> tuple[int, ...]:
    """What the linear stage of a pack with that patch divides the sides by where a small picture will do: 2, 4 ... up to the patch."""
    return tuple(1 << n for n in range(1, patch.bit_length()))
