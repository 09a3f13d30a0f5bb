"""Header and chunks: FORMAT.md, "Header", "Chunks", "Truncation" and "Errors"."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

MAX_SIDE = 16_384
MAX_CHUNKS = 64
KNOWN_TAGS = b"LPATXE"
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
    step_index: int
    planes: int
    width: int
    height: int
    size: int


@dataclass
class Chunk:
    """One chunk; its tag stands at `offset`, its payload, or what there is of it, at `start`."""

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
    for offset, size, field in ((3, 1, "version"), (4, 4, "pack id"), (8, 1, "flags"), (9, 1, "step index"), (10, 1, "planes")):
        if len(data) < offset + size:
            raise FormatError("CorruptFileError", offset, field)
        if field == "version" and data[offset] != 1:
            raise FormatError("UnsupportedVersionError")
    flags, step_index, planes = data[8], data[9], data[10]
    tilt = flags >> 1 & 7
    tilt -= 8 if tilt >= 4 else 0
    for wrong, offset, field in (
        (flags >> 4, 8, "flags"),
        (tilt == -4, 8, "tilt"),
        (step_index > 80, 9, "step index"),
        (planes > 15, 10, "planes"),
    ):
        if wrong:
            raise FormatError("CorruptFileError", offset, field)
    sides, offset = [], 11
    for field in ("width", "height"):
        try:
            less_one, behind = read_varint(data, offset, field)
        except CutError:
            raise FormatError("CorruptFileError", offset, field) from None
        if less_one >= MAX_SIDE:
            raise FormatError("LimitError", offset, field)
        sides.append(less_one + 1)
        offset = behind
    return Header(data[4:8], bool(flags & 1), tilt, step_index, planes, sides[0], sides[1], offset)


def read_chunk(data: bytes, offset: int, header: Header) -> Chunk:
    """The chunk whose tag stands at `offset`."""
    tag = data[offset : offset + 1]
    try:
        length, at = read_varint(data, offset + 1, "chunk length")
    except CutError:
        return Chunk(tag, offset, len(data), b"", False)
    if length > MOST_BYTES.get(tag, length):
        raise FormatError("LimitError", offset + 1, "chunk length")
    start = min(at + 4, len(data))
    payload = data[start : start + length]
    if at + 4 + length > len(data):
        return Chunk(tag, offset, start, payload, False)
    if zlib.crc32(data[: header.size] + tag + payload) != int.from_bytes(data[at:start], "little"):
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
        if tag in KNOWN_TAGS and any(chunk.tag[0] == tag for chunk in chunks):
            raise FormatError("CorruptFileError", offset, "chunk tag")
        chunk = read_chunk(data, offset, header)
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
