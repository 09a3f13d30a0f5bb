"""The container: exact bytes out, every field checked on the way in, every prefix a Container or one typed error."""

from __future__ import annotations

import struct
import zlib

import pytest

from sdz.runtime.errors import CorruptFileError, LimitError, NotAnSdzError, SdzError, UnsupportedVersionError
from sdz.runtime.format.container import Chunk, Container, Header, latent_span, parse, serialize, varint

HEADER = Header(width=512, height=300, step_index=48, pack_id=bytes.fromhex("a1b2c3"))
HEAD = bytes.fromhex("53445a 02 a1b2c3 30 ff03 ab02")
ALONE = bytes.fromhex("53445a 02 a1b2c3 b0 ff03 ab02")


def chunk_bytes(tag: bytes, payload: bytes, head: bytes = HEAD) -> bytes:
    """A chunk laid out by hand, so that the tests do not lean on the code they test."""
    assert len(payload) < 128
    return tag + bytes([len(payload)]) + struct.pack("<I", zlib.crc32(head + tag + payload)) + payload


FILE = HEAD + chunk_bytes(b"T", b"a cat") + chunk_bytes(b"L", b"\x01\x02\x03\x04") + chunk_bytes(b"E", b"II*\0")


def test_serialize_writes_exactly_these_bytes() -> None:
    crc = zlib.crc32(ALONE + b"\x01\x02\x03\x04") & 0xFFFF
    assert serialize(HEADER, [Chunk(b"L", b"\x01\x02\x03\x04")]) == ALONE + b"\x04" + struct.pack("<H", crc) + b"\x01\x02\x03\x04"
    assert serialize(HEADER, [Chunk(b"T", b"a cat"), Chunk(b"L", b"\x01\x02\x03\x04"), Chunk(b"E", b"II*\0")]) == FILE
    assert serialize(Header(1, 1, 0, bytes(3), grey=True), []) == bytes.fromhex("53445a 12 000000 00 00 00")
    assert serialize(Header(1, 1, 0, bytes(3), tilt=3), []) == bytes.fromhex("53445a 62 000000 00 00 00")
    assert serialize(Header(1, 1, 0, bytes(3), grey=True, tilt=-3), []) == bytes.fromhex("53445a b2 000000 00 00 00")
    assert serialize(Header(1, 1, 0, bytes(3), realism=0), []) == bytes.fromhex("53445a 0a 000000 00 00 00 00")
    assert serialize(Header(1, 1, 0, bytes(3), grey=True, tilt=-1, realism=15), []) == bytes.fromhex("53445a fa 000000 00 0f 00 00")
    assert serialize(Header(16384, 129, 80, b"\xff" * 3), []) == bytes.fromhex("53445a 02 ffffff 50 ff7f 8001")


@pytest.mark.parametrize(
    ("value", "coded"),
    [(0, "00"), (127, "7f"), (128, "8001"), (16383, "ff7f"), (16384, "808001"), (2**32 - 1, "ffffffff0f")],
)
def test_varint_is_the_shortest_form(value: int, coded: str) -> None:
    assert varint(value) == bytes.fromhex(coded)


def test_parse_finds_every_field_and_chunk() -> None:
    container = parse(FILE)
    assert container == Container(
        HEADER,
        (
            Chunk(b"T", b"a cat", True, 12, 18, 5),
            Chunk(b"L", b"\x01\x02\x03\x04", True, 23, 29, 4),
            Chunk(b"E", b"II*\0", True, 33, 39, 4),
        ),
        12,
    )
    assert latent_span(FILE) == (29, 33)
    assert latent_span(HEAD) == (12, 12)


def test_a_photos_file_has_sixteen_bytes_of_framing() -> None:
    payload = bytes(range(256)) * 8
    data = serialize(HEADER, [Chunk(b"L", payload)])
    assert len(data) - len(payload) == 16
    assert parse(data) == Container(HEADER, (Chunk(b"L", payload, True, 12, 16, 2048),), 12)


def test_the_only_chunk_cut_anywhere_is_a_prefix() -> None:
    data = serialize(HEADER, [Chunk(b"L", b"\x01\x02\x03\x04")])
    for end in range(12, len(data)):
        found = parse(data[:end]).find(b"L")
        assert (None if found is None else found.payload) == (None if end == 12 else b"\x01\x02\x03\x04"[: max(0, end - 15)])
        assert latent_span(data[:end]) == (min(end, max(15, end)) if end < 15 else 15, end)


@pytest.mark.parametrize("tilt", range(-3, 4))
def test_every_tilt_comes_back(tilt: int) -> None:
    header = Header(9, 9, 40, bytes(3), grey=tilt % 2 == 0, tilt=tilt)
    assert parse(serialize(header, [])).header == header


@pytest.mark.parametrize("realism", range(17))
def test_every_realism_comes_back(realism: int) -> None:
    header = Header(512, 300, 48, bytes(3), realism=realism)
    data = serialize(header, [Chunk(b"L", b"\x01\x02\x03\x04")])
    assert parse(data).header == header
    assert len(data) == 19 + (realism < 16)


def test_unknown_chunks_are_kept_but_not_known() -> None:
    container = parse(HEAD + chunk_bytes(b"x", b"??") + chunk_bytes(b"x", b"!") + chunk_bytes(b"L", b"\x07"))
    assert [chunk.tag for chunk in container.chunks] == [b"x", b"x", b"L"]
    found = container.find(b"L")
    assert found is not None and found.payload == b"\x07"


def test_a_cut_file_keeps_what_is_whole_and_the_latents_as_a_prefix() -> None:
    for end in range(len(HEAD), len(FILE)):
        container = parse(FILE[:end])
        latents, alt, exif = (container.find(tag) for tag in (b"L", b"T", b"E"))
        assert exif is None
        assert (None if alt is None else alt.payload) == (b"a cat" if end >= 23 else None)
        assert (None if latents is None else latents.payload) == (None if end <= 23 else b"\x01\x02\x03\x04"[: max(0, end - 29)])
        assert latents is None or latents.complete == (end >= 33)
        start = 29 if end > 29 else end
        assert latent_span(FILE[:end]) == (start, min(end, 33))


@pytest.mark.parametrize("end", range(12))
def test_a_header_cut_anywhere_names_the_field(end: int) -> None:
    if end < 3:
        with pytest.raises(NotAnSdzError) as foreign:
            parse(HEAD[:end])
        assert foreign.value.head == HEAD[:end]
        return
    with pytest.raises(CorruptFileError) as cut:
        parse(HEAD[:end])
    expected = {3: (3, "version"), 7: (7, "step index"), 8: (8, "width"), 9: (8, "width")}
    assert (cut.value.offset, cut.value.field) == expected.get(end, (4, "pack id") if end < 8 else (10, "height"))


@pytest.mark.parametrize(
    ("data", "offset", "field"),
    [
        (HEAD[:3] + b"\x82" + HEAD[4:], 3, "tilt"),
        (HEAD[:3] + b"\x0a" + HEAD[4:8], 8, "realism"),
        (HEAD[:3] + b"\x0a" + HEAD[4:8] + b"\x10" + HEAD[8:], 8, "realism"),
        (HEAD[:3] + b"\x0a" + HEAD[4:8] + b"\x09", 9, "width"),
        (HEAD[:7] + b"\x51" + HEAD[8:], 7, "step index"),
        (HEAD[:7] + b"\xd1" + HEAD[8:], 7, "step index"),
        (HEAD[:8] + b"\x81\x00" + b"\x01", 8, "width"),
        (HEAD[:8] + b"\xff\xff\xff\xff\x1f" + b"\x01", 8, "width"),
        (HEAD[:8] + b"\x80\x80\x80\x80\x80\x01" + b"\x01", 8, "width"),
        (HEAD[:10] + b"\x80\x80\x00", 10, "height"),
        (HEAD + b"L\x84\x00", 13, "chunk length"),
        (HEAD + b"L\x80\x80\x80\x80\x10", 13, "chunk length"),
        (HEAD + b"L\x01\x00\x00\x00\x00\x07", 14, "chunk crc"),
        (HEAD + b"x\x01\x00\x00\x00\x00\x07", 14, "chunk crc"),
        (ALONE + b"\x84\x00", 12, "chunk length"),
        (ALONE + b"\x01\x00\x00\x07", 13, "chunk crc"),
        (serialize(HEADER, [Chunk(b"L", b"\x07")]) + b"T", 16, "chunk tag"),
        (FILE + chunk_bytes(b"L", b""), 43, "chunk tag"),
        (FILE + b"T", 43, "chunk tag"),
        (HEAD + chunk_bytes(b"T", b"ab\xff"), 20, "alternative text"),
    ],
)
def test_a_broken_field_is_named_with_its_offset(data: bytes, offset: int, field: str) -> None:
    with pytest.raises(CorruptFileError) as caught:
        parse(data)
    assert (caught.value.offset, caught.value.field) == (offset, field)
    assert caught.value.code == "CorruptFileError"
    assert f"(field '{field}' at byte {offset})" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "offset", "field"),
    [
        (HEAD[:8] + varint(16384) + b"\0", 8, "width"),
        (HEAD[:8] + b"\0" + varint(69999), 9, "height"),
        (HEAD[:8] + b"\0" + varint(2**32 - 1), 9, "height"),
        (HEAD + b"T" + varint(4097), 13, "chunk length"),
        (HEAD + b"E" + varint(65537), 13, "chunk length"),
        (HEAD + 65 * chunk_bytes(b"x", b""), 12 + 64 * 6, "chunk tag"),
    ],
)
def test_a_number_over_its_limit_is_refused_before_anything_is_read(data: bytes, offset: int, field: str) -> None:
    with pytest.raises(LimitError) as caught:
        parse(data)
    assert (caught.value.offset, caught.value.field) == (offset, field)


def test_foreign_files_and_other_versions() -> None:
    with pytest.raises(NotAnSdzError, match=r"begins with b'\\x89PN'"):
        parse(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(NotAnSdzError, match="is empty"):
        parse(b"")
    with pytest.raises(UnsupportedVersionError) as caught:
        parse(b"SDZ\x03")
    assert caught.value.version == 3
    with pytest.raises(UnsupportedVersionError) as caught:
        parse(bytes.fromhex("53445a 01 a1b2c3d4 00 30 09 ff03 ab02"))
    assert caught.value.version == 1


def test_every_flipped_bit_gives_a_container_or_one_typed_error() -> None:
    for i in range(len(FILE)):
        for bit in range(8):
            data = bytearray(FILE)
            data[i] ^= 1 << bit
            try:
                container = parse(bytes(data))
            except SdzError:
                continue
            # what no CRC covers, because the chunk now runs beyond the end, shows as a cut
            assert not container.chunks[-1].complete, (i, bit)


def test_a_length_beyond_the_file_is_a_cut_not_an_allocation() -> None:
    container = parse(HEAD + b"L" + varint(2**32 - 1) + b"\0\0\0\0" + b"\x05")
    assert container.chunks == (Chunk(b"L", b"\x05", False, 12, 22, 2**32 - 1),)
