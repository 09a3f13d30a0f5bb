"""The container: header and chunks <-> bytes. Knows nothing of what the payloads mean.

An .sdz file is a header and then chunks until the file ends. All integers are little-endian.

    .- header ------------------------------------------------------------------.
    |  0..2   "SDZ"        magic                                                |
    |  3      version      bits 0..2: 2; bit 3: realism is there; bit 4: grey   |
    |                      (decode to one channel);                             |
    |                      bits 5..7: tilt, -3..3 in two's complement           |
    |  4..6   pack id      first 3 bytes of the SHA-256 of the pack's manifest  |
    |  7      step index   bits 0..6: 0..80, quantization step 2**(i/8) grey    |
    |                      levels; bit 7: the file has one chunk, of latents    |
    |  8      realism      0..15, sixteenths of the denoiser's moves that are   |
    |                      shown; not there where all of them are               |
    |   ..    width - 1    varint, below 16,384                                 |
    |   ..    height - 1   varint, below 16,384                                 |
    '---------------------------------------------------------------------------'
    .- chunk -------------------------------------------------------------------.
    |  tag    u8           'L' latents, 'P' palette latents, 'A' alpha,         |
    |                      'R' regions, 'T' alternative text, 'X' lossless tail, |
    |                      'E' EXIF; any other: skipped; left out where there   |
    |                      is one                                               |
    |  length varint       bytes of the payload                                 |
    |  crc    u32          CRC-32 (zlib's) of header, tag and payload; its low  |
    |                      16 bits, of header and payload, of the one chunk     |
    |  payload                                                                  |
    '---------------------------------------------------------------------------'

    varint: LEB128. 7 bits per byte, least significant group first, bit 7 set on all bytes but the last. At most 5 bytes, below
            2**32, and only the shortest form is valid.

A file may end anywhere after its header. Of a chunk that the end cuts, 'L' and 'X' count as prefixes of latents and lossless tail, with
their CRC unchecked; any other is ignored. A known tag twice, a 65th chunk, bytes behind the one
chunk, or a wrong CRC on any whole chunk, is an error.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import BinaryIO, Final, overload

from .. import limits
from ..errors import CorruptFileError, LimitError, NotAnSdzError, UnsupportedVersionError

MAGIC: Final = b"SDZ"
VERSION: Final = 2
VERSION_MASK: Final = 0b111
FLAG_REALISM: Final = 0b1000
FLAG_GREY: Final = 0b1_0000
TILT_SHIFT: Final = 5
PACK_ID_BYTES: Final = 3
FLAG_ALONE: Final = 0b1000_0000
CRC_BYTES: Final = 4
ALONE_CRC_BYTES: Final = 2

HEADER_BYTES: Final = 9 + 2 * limits.MAX_VARINT_BYTES
"""Length of the longest header."""

LATENTS: Final = b"L"
PALETTE_LATENTS: Final = b"P"
ALPHA: Final = b"A"
ALT_TEXT: Final = b"T"
LOSSLESS: Final = b"X"
EXIF: Final = b"E"
REGIONS: Final = b"R"
TAGS: Final = {
    LATENTS: "latents",
    PALETTE_LATENTS: "palette latents",
    ALPHA: "alpha",
    ALT_TEXT: "alternative text",
    LOSSLESS: "lossless tail",
    EXIF: "EXIF",
    REGIONS: "regions",
}

_CUT_ANYWHERE: Final = (LATENTS, LOSSLESS)

_MAX_PAYLOAD: Final = {ALT_TEXT: limits.MAX_ALT_BYTES, EXIF: limits.MAX_EXIF_BYTES}


@dataclass(frozen=True)
class Header:
    """The header's fields. `width` and `height` in pixels, 1..16,384; `pack_id` is 3 bytes; `tilt`, -3..3, says how much finer the steps
    become from one octave of frequency to the next (`runtime.format.planes.channel_steps`); `realism`, 0..16, how many sixteenths of the
    denoiser's moves the file is meant to be shown with."""

    width: int
    height: int
    step_index: int
    pack_id: bytes
    grey: bool = False
    tilt: int = 0
    realism: int = limits.FULL_STRENGTH


@dataclass(frozen=True)
class Chunk:
    """One chunk. Only `tag` and `payload` matter to `serialize`; `parse` fills in where it was found (the one chunk of a file that has
    no more stands without its tag: `offset` is then that of its length).

    `complete` is False for the one chunk that the end of the file may cut; `payload` is then what there is of it.
    `offset` is the position of the tag, `start` that of the payload, `length` the declared one (None when it was cut off too).
    """

    tag: bytes
    payload: bytes
    complete: bool = True
    offset: int = 0
    start: int = 0
    length: int | None = None


@dataclass(frozen=True)
class Container:
    """A parsed file: header, chunks in file order (unknown tags included), and the header's size in bytes."""

    header: Header
    chunks: tuple[Chunk, ...]
    header_bytes: int

    def find(self, tag: bytes) -> Chunk | None:
        """The chunk of that tag if the file has a usable one: whole, or for latents and lossless tail any part of it."""
        for chunk in self.chunks:
            if chunk.tag == tag and (chunk.complete or tag in _CUT_ANYWHERE):
                return chunk
        return None


class _FileBytes:
    """A seekable file as the bytes it holds, read where they are asked for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, key: int) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> bytes: ...
    def __getitem__(self, key: int | slice) -> int | bytes:
        if isinstance(key, int):
            return self[key : key + 1][0]
        start, stop, _ = key.indices(self._size)
        self._file.seek(start)
        return self._file.read(max(stop - start, 0))


class _CutError(Exception):
    """The bytes end inside a varint; whether that is an error depends on where it stands."""


def _varint(data: bytes | _FileBytes, offset: int, field: str) -> tuple[int, int]:
    """Reads a varint at `offset`: its value and the offset behind it."""
    value = 0
    for i in range(limits.MAX_VARINT_BYTES):
        if offset + i >= len(data):
            raise _CutError
        byte = data[offset + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            if byte == 0 and i > 0:
                raise CorruptFileError("a varint is longer than its value needs", offset, field)
            if value >= 1 << 32:
                break
            return value, offset + i + 1
    raise CorruptFileError("a varint exceeds 32 bits", offset, field)


def varint(value: int) -> bytes:
    """The shortest LEB128 form of `value`, 0..2**32-1."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_header(data: bytes) -> tuple[Header, int]:
    """The header of a file, from its first `HEADER_BYTES` bytes or more, and its size in bytes: nothing behind it is looked at.

    Raises what `parse` raises of a header.
    """
    return _read_header(data[:HEADER_BYTES])[:2]


def _read_header(data: bytes | _FileBytes) -> tuple[Header, int, bool]:
    if data[:3] != MAGIC:
        raise NotAnSdzError(data[:3])
    tilt = 0
    for field, offset, size in (("version", 3, 1), ("pack id", 4, PACK_ID_BYTES), ("step index", 7, 1)):
        if len(data) < offset + size:
            raise CorruptFileError(_header_cut(data), offset, field)
        if field == "version":
            if data[3] & VERSION_MASK != VERSION:
                raise UnsupportedVersionError(data[3] & VERSION_MASK)
            # three bits in two's complement
            tilt = (data[3] >> TILT_SHIFT ^ 4) - 4
            if abs(tilt) > limits.MAX_TILT:
                raise CorruptFileError(f"{tilt} is not in -{limits.MAX_TILT}..{limits.MAX_TILT}", 3, "tilt")
    grey, step_index, alone = bool(data[3] & FLAG_GREY), data[7] & ~FLAG_ALONE, bool(data[7] & FLAG_ALONE)
    if step_index > limits.MAX_STEP_INDEX:
        raise CorruptFileError(f"{step_index} is over {limits.MAX_STEP_INDEX}", 7, "step index")
    realism, offset = limits.FULL_STRENGTH, 8
    if data[3] & FLAG_REALISM:
        if len(data) == offset:
            raise CorruptFileError(_header_cut(data), offset, "realism")
        realism, offset = data[offset], offset + 1
        if realism >= limits.FULL_STRENGTH:
            raise CorruptFileError(f"{realism} is not below {limits.FULL_STRENGTH}", 8, "realism")
    sides = []
    for field in ("width", "height"):
        try:
            less_one, after = _varint(data, offset, field)
        except _CutError:
            raise CorruptFileError(_header_cut(data), offset, field) from None
        if less_one >= limits.MAX_SIDE:
            raise LimitError(f"{less_one + 1} pixels, at most {limits.MAX_SIDE} are allowed", offset, field)
        sides.append(less_one + 1)
        offset = after
    return Header(sides[0], sides[1], step_index, data[4:7], grey, tilt, realism), offset, alone


def _header_cut(data: bytes | _FileBytes) -> str:
    return f"the file ends at byte {len(data)}, inside the header"


def _read_chunk(
    data: bytes | _FileBytes, offset: int, seen: set[bytes], header_bytes: int, payloads: Collection[bytes] | None, alone: bool
) -> Chunk:
    """Reads the chunk whose tag, or where it stands `alone` whose length, stands at `offset`; its payload ends with the data when
    `complete` is False, and is left out where `payloads` lists the tags whose are wanted, without this one."""
    stored_tag = b"" if alone else data[offset : offset + 1]
    tag = stored_tag or LATENTS
    if tag in seen:
        raise CorruptFileError(f"a second {TAGS[tag]} chunk", offset, "chunk tag")
    length_offset = offset + len(stored_tag)
    try:
        length, crc_offset = _varint(data, length_offset, "chunk length")
    except _CutError:
        return Chunk(tag, b"", False, offset, len(data))
    if length > _MAX_PAYLOAD.get(tag, length):
        raise LimitError(f"{length} bytes of {TAGS[tag]}, at most {_MAX_PAYLOAD[tag]} are allowed", length_offset, "chunk length")
    start = crc_offset + (ALONE_CRC_BYTES if alone else CRC_BYTES)
    complete = start + length <= len(data)
    if payloads is not None and tag not in payloads:
        return Chunk(tag, b"", complete, offset, min(start, len(data)), length)
    payload = data[start : start + length]
    if not complete:
        return Chunk(tag, payload, False, offset, min(start, len(data)), length)
    stated, actual = data[crc_offset:start], _crc(data[:header_bytes], stored_tag, payload)[: start - crc_offset]
    if actual != stated:
        name, numbers = tag.decode("latin-1"), (actual[::-1].hex(), stated[::-1].hex())
        raise CorruptFileError(f"chunk {name!r} has CRC {numbers[0]}, stated is {numbers[1]}", crc_offset, "chunk crc")
    if tag == ALT_TEXT:
        try:
            payload.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CorruptFileError("the text is not UTF-8", start + error.start, "alternative text") from None
    return Chunk(tag, payload, True, offset, start, length)


def _crc(header: bytes, tag: bytes, payload: bytes) -> bytes:
    return zlib.crc32(payload, zlib.crc32(header + tag)).to_bytes(CRC_BYTES, "little")


def parse(data: bytes) -> Container:
    """Reads a whole .sdz file, or any prefix of one that holds its header. Allocates nothing that the data does not fill.

    Raises NotAnSdzError, UnsupportedVersionError, LimitError or CorruptFileError; the latter two with the field and its offset.
    """
    return _parse(data, None)


def survey(file: BinaryIO) -> Container:
    """What `parse` says of a seekable file, read no further than needed: the payloads of alternative text and EXIF only, and so only
    their CRCs checked. Raises what `parse` raises, and OSError."""
    return _parse(_FileBytes(file), (ALT_TEXT, EXIF))


def _parse(data: bytes | _FileBytes, payloads: Collection[bytes] | None) -> Container:
    header, offset, alone = _read_header(data)
    header_bytes = offset
    chunks: list[Chunk] = []
    seen: set[bytes] = set()
    while offset < len(data):
        if len(chunks) == limits.MAX_CHUNKS:
            raise LimitError(f"more than {limits.MAX_CHUNKS} chunks", offset, "chunk tag")
        if alone and chunks:
            raise CorruptFileError("bytes behind the only chunk", offset, "chunk tag")
        chunk = _read_chunk(data, offset, seen, header_bytes, payloads, alone)
        chunks.append(chunk)
        if chunk.tag == REGIONS and LATENTS in seen:
            raise CorruptFileError("the regions stand behind the latents", offset, "chunk tag")
        if chunk.tag in TAGS:
            seen.add(chunk.tag)
        offset = chunk.start + chunk.length if chunk.complete and chunk.length is not None else len(data)
    return Container(header, tuple(chunks), header_bytes)


def latent_span(data: bytes) -> tuple[int, int]:
    """Where the latents' payload lies in `data`, as (start, end); (len(data), len(data)) where there is none.

    Raises what `parse` raises.
    """
    chunk = parse(data).find(LATENTS)
    return (len(data), len(data)) if chunk is None else (chunk.start, chunk.start + len(chunk.payload))


def serialize(header: Header, chunks: Iterable[Chunk]) -> bytes:
    """The file's bytes: the header, then the chunks in the order given. The fields must be in their ranges."""
    chunks = list(chunks)
    alone = [chunk.tag for chunk in chunks] == [LATENTS]
    realism = b"" if header.realism == limits.FULL_STRENGTH else bytes((header.realism,))
    flags = (FLAG_GREY if header.grey else 0) | (FLAG_REALISM if realism else 0)
    version = VERSION | flags | (header.tilt << TILT_SHIFT & 0xFF)
    fixed = bytes((version,)) + header.pack_id + bytes((header.step_index | (FLAG_ALONE if alone else 0),)) + realism
    head = MAGIC + fixed + varint(header.width - 1) + varint(header.height - 1)
    out = [head]
    for chunk in chunks:
        tag = b"" if alone else chunk.tag
        crc = _crc(head, tag, chunk.payload)
        out += (tag, varint(len(chunk.payload)), crc[:ALONE_CRC_BYTES] if alone else crc, chunk.payload)
    return b"".join(out)
