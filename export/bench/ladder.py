"""A ladder of one photo: 8 kB, 4 kB, 2 kB … 1 byte, 1 bit, all of them cuts of one file, as one picture.

Takes a photo, returns a JPEG. The rungs count bytes behind the header and the head of the latent chunk (some twenty bytes that say
what is being looked at), so that the last ones have something to count.
"""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ...runtime.decode import decode
from ...runtime.encode import encode
from ...runtime.format.container import LATENTS, parse
from ...runtime.session import Session

RUNGS = tuple(2**k for k in range(13, -1, -1))
"""Bytes of latents, 8 kB to one; the last rung, one bit, follows."""

COLUMNS = 4
TILE = 180
"""Pixels on a rung's longer side."""

GAP = 8
CAPTION = 24
INK, PAPER = "#1c1c1c", "#ffffff"
JPEG_QUALITY = 76


def rungs(image: Image.Image, session: Session) -> list[tuple[str, Image.Image]]:
    """Caption and picture of every rung that the photo's file is long enough for, the longest first."""
    data = encode(image, target_size=RUNGS[0] + 64, session=session)
    latents = parse(data).find(LATENTS)
    assert latents is not None
    cuts = [(_caption(n), data[: latents.start + n]) for n in RUNGS if n <= len(latents.payload)]
    # of the byte only the first bit is the file's: the other seven are zeros
    cuts.append(("1 bit", data[: latents.start] + bytes([data[latents.start] & 0x80])))
    return [(caption, decode(cut, session=session).to_pil().convert("RGB")) for caption, cut in cuts]


def ladder(image: Image.Image, session: Session) -> bytes:
    """The rungs beside the original as one JPEG file."""
    tiles = [("original", image.convert("RGB")), *rungs(image, session)]
    small = [(caption, ImageOps.contain(picture, (TILE, TILE), Image.Resampling.LANCZOS)) for caption, picture in tiles]
    width, height = max(p.width for _, p in small), max(p.height for _, p in small)
    rows = -(-len(small) // COLUMNS)
    sheet = Image.new("RGB", (GAP + COLUMNS * (width + GAP), GAP + rows * (height + CAPTION + GAP)), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for index, (caption, picture) in enumerate(small):
        left, top = GAP + index % COLUMNS * (width + GAP), GAP + index // COLUMNS * (height + CAPTION + GAP)
        sheet.paste(picture, (left, top))
        draw.text((left + picture.width / 2, top + height + CAPTION / 2), caption, INK, font, "mm")
    target = io.BytesIO()
    sheet.save(target, "JPEG", quality=JPEG_QUALITY, optimize=True, progressive=True)
    return target.getvalue()


def _caption(count: int) -> str:
    if count >= 1024:
        return f"{count // 1024} kB"
    return "1 byte" if count == 1 else f"{count} bytes"
