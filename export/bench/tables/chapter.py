"""A part of the bench's report that stands by itself: measured of one photo at a time, and said of all of them together.

Takes photos and a pack, hands on JSON of each, which the bench keeps, and a section.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ....runtime.photo import PreparedPhoto
from ....runtime.session import Session
from ...metrics.kept import Kept
from ...site.assets import digest
from ..report import Section


@dataclass(frozen=True)
class Chapter:
    """`measure` gives a photo's figures as plain JSON values, `section` says them, with the photos' names. `recipe` gives everything but
    photo, pack and encoder that decides about the figures; `lacks` says why they cannot be had here, or None."""

    name: str
    recipe: Callable[[], tuple[Any, ...]]
    measure: Callable[[PreparedPhoto, Session], Any]
    section: Callable[[Sequence[str], Sequence[Any]], Section]
    lacks: Callable[[], str | None] = lambda: None

    def of(self, photo: PreparedPhoto, session: Session, kept: Kept) -> Any:
        """A photo's figures, taken from `kept` or measured and kept."""
        name = f"{self.name}-{session.pack.id.hex()}"
        key = digest(json.dumps([session.pack.encoder, *self.recipe()]).encode())[:16]
        known = kept.figures(name, key)
        if known is None:
            known = {"found": self.measure(photo, session)}
            kept.keep(name, key, known, {}, {})
        return known["found"]
