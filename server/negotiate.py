"""Which form of a picture a client gets: takes its Accept header, returns media types in the order to try.

The same address serves the .sdz to clients that can decode it and a decoded picture to those that cannot:

- a client that names `image/x-sdz` (the element, the worker, the service worker) gets the .sdz;
- one that names other images only (every browser's <img>, and its address bar) gets one of `DECODED`;
- one that accepts anything (`*/*`, or no header: curl, wget, fetch) gets the .sdz file unchanged.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

SDZ: Final = "image/x-sdz"

DECODED: Final = ("image/webp", "image/avif", "image/jpeg")
"""What a picture can be decoded to; of equally acceptable types the first wins. WebP is much faster than AVIF and smaller than JPEG."""


def weights(header: str) -> dict[str, float]:
    """Quality by media range, 0..1, from an Accept or Accept-Encoding header (RFC 9110, 12.4.2); an invalid weight counts as 0."""
    out: dict[str, float] = {}
    for part in header.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        if not name:
            continue
        quality = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    quality = min(max(float(value), 0.0), 1.0)
                except ValueError:
                    quality = 0.0
        out[name] = quality
    return out


@lru_cache(64)
def acceptable(header: str) -> tuple[str, ...]:
    """`(SDZ,)`, or the types of `DECODED` that the client accepts, best first, or () where it accepts none."""
    accepted = weights(header)
    anything = accepted.get("*/*", 0.0)
    any_image = accepted.get("image/*", anything)
    decoded = {name: accepted.get(name, any_image) for name in DECODED}
    if accepted.get(SDZ, 0.0) > 0.0 and accepted[SDZ] >= max((accepted.get(name, 0.0) for name in DECODED), default=0.0):
        return (SDZ,)
    if any(name.startswith("image/") for name in accepted):
        # sorted is stable: equal weights stay in the order of DECODED
        return tuple(name for name in sorted(DECODED, key=lambda name: -decoded[name]) if decoded[name] > 0.0)
    if not accepted or max(anything, accepted.get("application/*", 0.0), accepted.get("application/octet-stream", 0.0)) > 0.0:
        return (SDZ,)
    return ()
