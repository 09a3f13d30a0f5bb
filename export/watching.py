"""Waiting until files change: by looking at them again and again, which every file system allows.

Takes files and folders, hands on one sign for each bout of changes, once it is over.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

SECONDS = 0.5
"""Between two looks; changes are over when nothing changed from one to the next."""

Sight = dict[str, tuple[int, int, int]]
"""Inode, time of the last change in nanoseconds and size of each file."""


def look(places: Iterable[Path], without: Path) -> Sight:
    """What stands at and below some places; hidden files and the folder `without` are passed over."""
    out: Sight = {}
    left_out = without.resolve()
    waiting = [str(place) for place in places]
    while waiting:
        place = waiting.pop()
        with suppress(OSError):
            if not Path(place).is_dir():
                found = Path(place).stat()
                out[place] = (found.st_ino, found.st_mtime_ns, found.st_size)
            elif Path(place).resolve() != left_out:
                waiting += [entry.path for entry in os.scandir(place) if not entry.name.startswith(".")]
    return out


def changes(see: Callable[[], Sight], before: Sight, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Yields whenever what `see` gives has become another than it was `before`, and then stayed so for a while; for ever."""
    while True:
        sleep(SECONDS)
        now = see()
        if now == before:
            continue
        while True:
            sleep(SECONDS)
            last, now = now, see()
            if now == last:
                break
        before = now
        yield
