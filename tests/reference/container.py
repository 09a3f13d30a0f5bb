"""Header and chunks: FORMAT.md, "Header", "Chunks", "Truncation" and "Errors"."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

MAX_SIDE = 16_384
MAX_CHUNKS = 64
KNOWN_TAGS = b"LPATERX"
MOST_BYTES = {b"T": 4_096, b"E": 65_536}


class FormatError(Exception):
    """A file that is no image: the name of the error in FORMAT.md, and of a breach the offset and the field."""

    def __init__(self, name: str, offset: int | None = None, field: str | None = None) -> None:
        super().__init__(name, offset, field)
        self.name, self.offset, self.field = name, offset, field


class CutError(Exception):
    """The bytes end inside a varint."""


@dataclass
class Header:
    """The header's fields; `size` is its length in bytes."""

    pack_id: bytes
    grey: bool
    tilt: int
    realism: int
    step_index: int
    alone: bool
    width: int
    height: int
    size: int


@dataclass
class Chunk:
    """One chunk; its tag, or without one its length, stands at `offset`, its payload, or what there is of it, at `start`."""

    tag: bytes
    offset: int
    start: int
    payload: bytes
    complete: bool


def read_varint(data: bytes, offset: int, field: str) -> tuple[int, int]:
    """The value, and the offset behind it."""
    value = 0
    for i in range(5):
        if offset + i >= len(data):
            raise CutError
        byte = data[offset + i]
        value += (byte & 127) << (7 * i)
        if byte < 128:
            if (byte == 0 and i > 0) or value >= 2**32:
                break
            return value, offset + i + 1
    raise FormatError("CorruptFileError", offset, field)


def read_header(data: bytes) -> Header:
    """The header, its fields checked in their order."""
    if data[:3] != b"SDZ":
        raise FormatError("NotAnSdzError")
    if len(data) < 4:
        raise FormatError("CorruptFileError", 3, "version")
    if data[3] & 7 != 2:
        raise FormatError("UnsupportedVersionError")
    tilt = data[3] >> 5
    tilt -= 8 if tilt >= 4 else 0
    for wrong, offset, field in ((tilt == -4, 3, "tilt"), (len(data) < 7, 4, "pack id"), (len(data) < 8, 7, "step index")):
        if wrong:
            raise FormatError("CorruptFileError", offset, field)
    step_index, alone = data[7] & 127, data[7] >= 128
    if step_index > 80:
        raise FormatError("CorruptFileError", 7, "step index")
    realism = data[8:9] if data[3] & 8 else b"\x10"
    if not realism or (data[3] & 8 and realism[0] > 15):
        raise FormatError("CorruptFileError", 8, "realism")
    sides, offset = [], 9 if data[3] & 8 else 8
    for field in ("width", "height"):
        try:
            less_one, behind = read_varint(data, offset, field)
        except CutError:
            raise FormatError("CorruptFileError", offset, field) from None
        if less_one >= MAX_SIDE:
            raise FormatError("LimitError", offset, field)
        sides.append(less_one + 1)
        offset = behind
    return Header(data[4:7], bool(data[3] & 16), tilt, realism[0], step_index, alone, sides[0], sides[1], offset)


def read_chunk(data: bytes, offset: int, header: Header) -> Chunk:
    """The chunk whose tag, or of the only one whose length, stands at `offset`."""
    stored = b"" if header.alone else data[offset : offset + 1]
    tag, crc_bytes, behind = stored or b"L", 2 if header.alone else 4, offset + len(stored)
    try:
        length, at = read_varint(data, behind, "chunk length")
    except CutError:
        return Chunk(tag, offset, len(data), b"", False)
    if length > MOST_BYTES.get(tag, length):
        raise FormatError("LimitError", behind, "chunk length")
    start = min(at + crc_bytes, len(data))
    payload = data[start : start + length]
    if at + crc_bytes + length > len(data):
        return Chunk(tag, offset, start, payload, False)
    if zlib.crc32(data[: header.size] + stored + payload) % 256**crc_bytes != int.from_bytes(data[at:start], "little"):
        raise FormatError("CorruptFileError", at, "chunk crc")
    if tag == b"T":
        try:
            payload.decode("utf-8")
        except UnicodeDecodeError as error:
            raise FormatError("CorruptFileError", start + error.start, "alternative text") from None
    return Chunk(tag, offset, start, payload, True)


def read_container(data: bytes) -> tuple[Header, list[Chunk]]:
    """Everything but what the payloads mean."""
    header = read_header(data)
    chunks: list[Chunk] = []
    offset = header.size
    while offset < len(data):
        tag = data[offset]
        if len(chunks) == MAX_CHUNKS:
            raise FormatError("LimitError", offset, "chunk tag")
        if header.alone and chunks:
            raise FormatError("CorruptFileError", offset, "chunk tag")
        if not header.alone and tag in KNOWN_TAGS and any(chunk.tag[0] == tag for chunk in chunks):
            raise FormatError("CorruptFileError", offset, "chunk tag")
        chunk = read_chunk(data, offset, header)
        if chunk.tag == b"R" and payload_of(chunks, b"L"):
            raise FormatError("CorruptFileError", offset, "chunk tag")
        chunks.append(chunk)
        offset = chunk.start + len(chunk.payload)
    return header, chunks


def payload_of(chunks: list[Chunk], tag: bytes) -> tuple[bytes, int] | None:
    """Payload and its offset of the chunk of that tag, if it counts: whole, or for latents any part of it."""
    for chunk in chunks:
        if chunk.tag == tag and (chunk.complete or tag == b"L"):
            return chunk.payload, chunk.start
    return None


def inflate(payload: bytes, size: int, offset: int, field: str) -> bytes:
    """The bytes of one zlib stream that must fill the payload, at most `size` and one more of them."""
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(payload, size + 1)
    except zlib.error:
        raise FormatError("CorruptFileError", offset, field) from None
    if len(raw) > size or not stream.eof or stream.unused_data:
        raise FormatError("CorruptFileError", offset, field)
    return raw
