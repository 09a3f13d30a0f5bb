"""Adds the lossless tail to a file that holds a photo's latents."""

from __future__ import annotations

from ..decode import open_latents
from ..format.container import EXIF, LOSSLESS, Chunk, serialize
from ..pack import Pack
from ..photo import PreparedPhoto
from .tail import encode_tail


def with_tail(data: bytes, photo: PreparedPhoto, pack: Pack) -> bytes:
    """The file `data`, which was encoded of `photo` with `pack`, and behind its latents the photo's exact pixels."""
    opened = open_latents(data, pack=pack)
    pixels = photo.rgb[:, :, :1] if photo.grey else photo.rgb
    tail = Chunk(LOSSLESS, encode_tail(pixels, opened.paint("linear")))
    chunks = opened.container.chunks
    before = [chunk for chunk in chunks if chunk.tag != EXIF]
    return serialize(opened.header, [*before, tail, *chunks[len(before) :]])
