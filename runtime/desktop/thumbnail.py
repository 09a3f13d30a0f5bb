"""Thumbnails for file managers: a small PNG from the first latents of an .sdz, without a neural network."""

from __future__ import annotations

import io
from typing import Final

from ..errors import DesktopError

LATENT_BYTES: Final = 131_072
"""Bytes of latents that a thumbnail is made of: about a second of entropy decoding, and more than 1,024 pixels can show."""

SIZES: Final = (16, 2048)
"""Smallest and largest side in pixels."""


def thumbnail(data: bytes, size: int) -> bytes:
    """A PNG of at most `size` pixels a side from the bytes of an .sdz: the linear stage of its first latents.

    Raises DesktopError for a size outside SIZES, and what `runtime.decode.decode` raises.
    """
    if not SIZES[0] <= size <= SIZES[1]:
        raise DesktopError(f"a thumbnail of {size} pixels: choose {SIZES[0]} to {SIZES[1]}")
    from PIL import Image

    from ..decode import decode, reduction_to
    from ..format.container import latent_span, parse
    from ..pack import find_pack

    header = parse(data).header
    factor = reduction_to(find_pack(header.pack_id).patch, (max(header.width, header.height), size))
    picture = decode(data, stage="linear", reduce=factor, max_bytes=latent_span(data)[0] + LATENT_BYTES).to_pil()
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
