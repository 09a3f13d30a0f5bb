"""Small pictures whose colours are given by code points: eight patches in AVIF, HEIC and PNG."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pillow_heif
from PIL import Image

PATCHES = np.array(
    [[230, 40, 30], [30, 200, 60], [20, 60, 220], [128, 128, 128], [250, 240, 230], [10, 20, 15], [200, 150, 120], [90, 160, 200]], np.uint8
)

SIDE = 16


def patches() -> Image.Image:
    """The patches side by side, RGB of 128 x 16."""
    return Image.fromarray(np.repeat(np.repeat(PATCHES[None], SIDE, 0), SIDE, 1))


def avif(primaries: int, transfer: int, profile: bytes | None = None) -> bytes:
    """The patches as AVIF with these code points; a `profile` stands beside them."""
    out = io.BytesIO()
    patches().save(out, "AVIF", quality=100, subsampling="4:4:4", **({"icc_profile": profile} if profile else {}))
    data = bytearray(out.getvalue())
    at = data.find(b"colrnclx")
    assert at > 0
    data[at + 8 : at + 12] = struct.pack(">HH", primaries, transfer)
    return bytes(data)


def heic(primaries: int, transfer: int) -> bytes:
    """The patches as HEIC with these code points."""
    out = io.BytesIO()
    pillow_heif.from_pillow(patches()).save(
        out, quality=100, chroma=444, color_primaries=primaries, transfer_characteristics=transfer, full_range_flag=1
    )
    return out.getvalue()


def png(primaries: int, transfer: int, profile: bytes | None = None) -> bytes:
    """The patches as PNG with a chunk cICP; a `profile` stands beside it."""
    out = io.BytesIO()
    patches().save(out, "PNG", **({"icc_profile": profile} if profile else {}))
    data = out.getvalue()
    body = b"cICP" + bytes([primaries, transfer, 0, 1])
    end_of_header = 33
    return data[:end_of_header] + struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body)) + data[end_of_header:]
