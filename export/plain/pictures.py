"""Pictures of a site as `.sdz` files: which of them pay, and what they take.

Runs in worker processes. Takes a picture's file, hands on its `.sdz`, or the reason why it stays as it is.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from ...runtime.encode import encode
from ...runtime.errors import SdzError
from ...runtime.options import TuneChoice
from ...runtime.photo import open_image, read_photo
from ...runtime.pictures.kinds import kind_of_bytes
from ..site.photos import open_session

KINDS = ("JPEG", "PNG", "WebP", "AVIF")
"""Formats that photos come in."""

SMALLEST = 64
"""Pixels of the shorter side: below lie icons and buttons."""

PAYS = 0.75
"""Of the file's own bytes: a picture that spares less is not worth a reader's work."""


@dataclass(frozen=True)
class Wanted:
    """What is asked of a picture, as `encode` takes it."""

    quality: float | None
    tune: TuneChoice
    effort: int | None


@dataclass(frozen=True)
class Outcome:
    """A picture's `.sdz`, or why there is none; `own` are the bytes of its own file."""

    own: int
    data: bytes = b""
    reason: str | None = None


def convert(path: Path, pack: Path | None, wanted: Wanted) -> Outcome:
    """The picture at `path`. Raises OSError where it cannot be read, CorruptPackError for a bad pack."""
    data = path.read_bytes()
    session = open_session(pack)
    try:
        if kind_of_bytes(data) not in KINDS:
            return Outcome(len(data), reason="no photo's format")
        with open_image(io.BytesIO(data)) as image:
            if getattr(image, "n_frames", 1) > 1:
                return Outcome(len(data), reason="it moves")
            if min(image.size) < SMALLEST:
                return Outcome(len(data), reason=f"smaller than {SMALLEST} pixels")
        coded = encode(read_photo(data), quality=wanted.quality, tune=wanted.tune, effort=wanted.effort, session=session)
    except SdzError as error:
        return Outcome(len(data), reason=f"it cannot be read: {error}")
    if len(coded) > PAYS * len(data):
        return Outcome(len(data), reason="it would spare less than a quarter of its bytes")
    return Outcome(len(data), coded)
