"""What stands in for a photo's picture: first bytes and colours until it is decoded, an ordinary picture where nothing decodes it."""

from __future__ import annotations

import base64
import io

from PIL import Image

from ....runtime.format.container import ALPHA, LATENTS, REGIONS, Chunk, parse, serialize
from ....runtime.pictures.written import on_white
from ...metrics.pictures import avif_bytes

FALLBACK_QUALITY = {"avif": 50, "webp": 75, "jpeg": 80}
"""What visitors without JavaScript see: the formats' customary quality for the web, no more."""

FALLBACK_AVIF_SPEED = 6
"""Of libaom: a fifth of the time of the comparisons' speed 4, for files some 3 % larger."""


def head_of(data: bytes, size: int) -> bytes:
    """The first `size` bytes that a file would have without texts, and those of its map of regions more; none of a picture with
    transparency, whose alpha comes first, or of one without embedded latents."""
    container = parse(data)
    latents = container.find(LATENTS)
    if not size or latents is None or container.find(ALPHA) is not None:
        return b""
    regions = container.find(REGIONS)
    chunks = [Chunk(chunk.tag, chunk.payload) for chunk in (regions, latents) if chunk is not None]
    file = serialize(container.header, chunks)
    more = len(file) - len(serialize(container.header, chunks[-1:]))
    return file[: size + more]


def in_base64(data: bytes) -> str:
    """Bytes as an attribute of a page carries them."""
    return base64.b64encode(data).decode()


def placeholder_colors(picture: Image.Image) -> str:
    """The means of the upper, middle and lower third as CSS colours; none of a picture with transparency, which would show them."""
    if picture.mode in ("LA", "RGBA"):
        return ""
    small = picture.convert("RGB").resize((1, 3), Image.Resampling.BOX)
    return " ".join(f"#{bytes(small.getpixel((0, y))).hex()}" for y in range(3))  # type: ignore[arg-type] # three integers


def fallback_bytes(picture: Image.Image, kind: str) -> bytes:
    """The picture as `avif`, `webp` or `jpeg` for visitors without JavaScript; JPEG lays transparency on white."""
    target = io.BytesIO()
    quality = FALLBACK_QUALITY[kind]
    if kind == "avif":
        return avif_bytes(picture, quality, FALLBACK_AVIF_SPEED)
    if kind == "webp":
        picture.save(target, "WEBP", quality=quality, method=6)
    else:
        on_white(picture).save(target, "JPEG", quality=quality, optimize=True, progressive=True)
    return target.getvalue()
