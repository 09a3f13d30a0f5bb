"""Originals fit for publishing: the photo's own file, without what its camera and its owner wrote into it.

Takes a file's bytes, hands on bytes and a suffix. JPEG and PNG keep every bit of their pixels and their colour profile; other formats,
which not every browser shows, are written anew.
"""

from __future__ import annotations

import io
import struct

from PIL import ExifTags, Image

from ...runtime.photo import open_image
from ...runtime.pictures.kinds import kind_of_bytes

COMPARED_QUALITY = 95
"""JPEG quality, without chroma subsampling, of an original that is written anew: no visible loss, and every browser shows it."""

SHOWN = {"JPEG": ".jpg", "PNG": ".png", "WebP": ".webp", "AVIF": ".avif", "GIF": ".gif"}
"""Formats that browsers show."""

PNG_KEPT = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"sBIT", b"acTL", b"fcTL", b"fdAT"}
"""Chunks that the pixels and their colours need."""


def published(data: bytes, picture: Image.Image, keep_metadata: bool) -> tuple[bytes, str]:
    """The original as it is published, and its suffix; `picture` are its prepared pixels."""
    kind = kind_of_bytes(data)
    if keep_metadata and kind in SHOWN:
        return data, SHOWN[kind]
    try:
        if kind == "JPEG":
            return strip_jpeg(data), ".jpg"
        if kind == "PNG" and _orientation(data) == 1:
            return strip_png(data), ".png"
    except (struct.error, IndexError, ValueError):
        pass  # what Pillow mends silently is written anew
    return written_anew(picture)


def written_anew(picture: Image.Image) -> tuple[bytes, str]:
    """JPEG, or PNG where there is transparency."""
    target = io.BytesIO()
    if picture.has_transparency_data:
        picture.save(target, "PNG", optimize=True)
        return target.getvalue(), ".png"
    picture.save(target, "JPEG", quality=COMPARED_QUALITY, subsampling=0, optimize=True, progressive=True)
    return target.getvalue(), ".jpg"


def strip_jpeg(data: bytes) -> bytes:
    """A JPEG without its metadata and without further images behind the first (thumbnails, depth, gain maps); the same coefficients. Of
    EXIF only an orientation stays. Raises IndexError, ValueError or struct.error for a file that ends early."""
    out = bytearray(data[:2])
    orientation = _orientation(data)
    if orientation != 1:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        body = exif.tobytes()
        out += b"\xff\xe1" + struct.pack(">H", 2 + len(body)) + body
    at = 2
    while True:
        if data[at] != 0xFF:
            raise IndexError(at)
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xD9:
            return bytes(out + b"\xff\xd9")
        length = struct.unpack_from(">H", data, at + 2)[0]
        segment = data[at : at + 2 + length]
        application = 0xE0 <= marker <= 0xEF or marker == 0xFE
        if not application or _colour(marker, segment[4:]):
            out += segment
        at += 2 + length
        if marker == 0xDA:
            start = at
            while not (data[at] == 0xFF and data[at + 1] != 0 and not 0xD0 <= data[at + 1] <= 0xD7):
                # a needle is found faster than a byte is looked at
                at = data.index(b"\xff", at + 1) if data[at] != 0xFF else at + 2
            out += data[start:at]


def _colour(marker: int, body: bytes) -> bool:
    """Whether an application's segment says what the samples mean: JFIF's version, a profile, Adobe's transform."""
    return (
        (marker == 0xE0 and body.startswith(b"JFIF\0"))
        or (marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"))
        or (marker == 0xEE and body.startswith(b"Adobe"))
    )


def strip_png(data: bytes) -> bytes:
    """A PNG with `PNG_KEPT` only. Raises struct.error or IndexError for a file that ends early."""
    out = bytearray(data[:8])
    at = 8
    while True:
        length, tag = struct.unpack_from(">I4s", data, at)
        chunk = data[at : at + 12 + length]
        if len(chunk) < 12 + length:
            raise IndexError(at)
        if tag in PNG_KEPT:
            out += chunk
        if tag == b"IEND":
            return bytes(out)
        at += 12 + length


def _orientation(data: bytes) -> int:
    try:
        with open_image(io.BytesIO(data), large=True) as image:
            value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a damaged block makes Pillow raise anything; the pixels are good
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
