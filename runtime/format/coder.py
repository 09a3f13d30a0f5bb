"""Each thread's instance of the exact core, with the coder tables of the packs that it used last.

The arithmetic coder, its states and its contexts are the core's (`core/sdz_core.h`); FORMAT.md ("Coder") is the specification. Threads
share nothing. What of the coder's numbers the encoder's decisions and the learning of tables need stands here as well.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..core import Core

WEIGHT_ONE: Final = 1 << 14
"""A mixing weight of 1.0."""

COUNT_LIMIT: Final = 255
"""Counts of a state stop here; the adaptation rate is then 1 / 256.5."""

WINDOW_BYTES: Final = 4
"""The decoder reads this many bytes ahead of what the encoder had written at the same decision."""

KEPT_BYTES: Final = 48 << 20
"""An instance whose memory has grown beyond this is dropped after the call: WebAssembly's memory never shrinks."""

KEPT_TABLES: Final = 4
"""Packs whose coder tables stay opened."""


class _Held(threading.local):
    def __init__(self) -> None:
        self.core: Core | None = None
        self.tables: dict[bytes, int] = {}


_held = _Held()


@contextlib.contextmanager
def exact_core() -> Iterator[Core]:
    """This thread's instance. One that failed, or holds much memory, is replaced by a fresh one the next time."""
    core = _held.core
    if core is None:
        core = _held.core = Core()
        _held.tables = {}
    try:
        yield core
    finally:
        if not core.usable or core.reserved() > KEPT_BYTES:
            _held.core = None
            _held.tables = {}


def opened(core: Core, stored: bytes) -> int:
    """The handle of coder tables, as stored, in `exact_core`'s instance; opened once. Raises CorruptPackError."""
    handle = _held.tables.pop(stored, None)
    if handle is None:
        while len(_held.tables) >= KEPT_TABLES:
            core.free(_held.tables.pop(next(iter(_held.tables))))
        handle = core.tables(stored)
    # the one used last stands last
    _held.tables[stored] = handle
    return handle


@contextlib.contextmanager
def decoded(
    stored: bytes, payload: bytes, rows: int, columns: int, step_index: int = 0, tilt: int = 0, regions: bytes | None = None
) -> Iterator[tuple[Core, int]]:
    """An instance and the picture in it that `payload`, and the payload of a map, determine, given back afterwards."""
    with exact_core() as core:
        picture = core.decode(opened(core, stored), payload, rows, columns, step_index, tilt, regions)
        try:
            yield core, picture
        finally:
            if core.usable:
                core.free(picture)


def spent(ends: NDArray[np.int32], size: int) -> NDArray[np.int64]:
    """Bytes of a payload of `size` that each of the passes begun took, from the coder's byte behind each (`Facts.ends`), int64.

    A pass takes the bytes that it settles; a byte shared by several passes is the last one's, and so are the bytes behind it of the pass
    in which the payload ends.
    """
    reached = np.clip(ends.astype(np.int64) - WINDOW_BYTES, 0, size)
    reached[-1:] = size
    return np.diff(reached, prepend=0)
