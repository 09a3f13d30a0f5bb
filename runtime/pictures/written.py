"""Pictures as files of Pillow's formats, and on white where a format has no transparency."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

UNREAD_ALPHA = ("BMP", "DIB")
"""Formats into which Pillow writes a fourth channel that readers, itself among them, do not take for alpha."""

FAST_PNG = 2
"""zlib's level for PNG: what networks paint comes out a twentieth smaller than at Pillow's 6, in a third of the time."""


def written(picture: Image.Image, format_name: str, **options: Any) -> tuple[bytes, bool]:
    """A picture as a file of one of Pillow's formats, and whether it was laid on white because that format has no such transparency.

    Raises OSError, ValueError and whatever else Pillow's plugins raise.
    """
    out = io.BytesIO()
    if format_name == "PNG":
        options = {"compress_level": FAST_PNG, **options}
    if format_name not in UNREAD_ALPHA or not picture.has_transparency_data:
        try:
            picture.save(out, format_name, **options)
            return out.getvalue(), False
        except OSError as error:
            # what each plugin says of a mode that it does not know
            if not picture.has_transparency_data or "cannot write mode" not in str(error):
                raise
    out = io.BytesIO()
    opaque = on_white(picture)
    (opaque.convert("L") if picture.mode == "LA" else opaque).save(out, format_name, **options)
    return out.getvalue(), True


def on_white(picture: Image.Image) -> Image.Image:
    """RGB, transparency laid on white as a page would show it."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    rgba = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
