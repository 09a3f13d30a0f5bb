"""The shared vectors: files every implementation must read alike, or refuse alike, and beside each a JSON of what it must give.

`python tests/vectors/make.py` (in the repository's root) writes them again; `tests/format/test_vectors.py` holds the Python runtime to what
is committed, and the committed to what this writes. A change in any file is a change of the format: do not make one lightly.

`pack/` holds the numbers that the valid files are made with: coder tables, linear table and pack.json; no networks. `palette/` holds files
of the same pack with the quantizer "palette", valid ones and invalid ones, whose JSON is that of the two kinds below.

valid/NAME.json
  header   width, height, stepIndex, packId (hex), grey, tilt, realism (sixteenths), and bytes: the header's size
  chunks   of each: tag, offset, start, bytes, complete
  alt      the alternative text or null
  alpha    SHA-256 of the plane's H * W bytes, or null
  known    complete; SHA-256 of magnitude (int32), negative (one byte each), plane (one byte each), one after the other, all (C, h, w)
  latents  SHA-256 of values, levels, precision, half width (int32), one after the other
  linear   SHA-256 of the linear stage's pixels (H, W, n): n = 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA
invalid/NAME.json
  error    the error's name; offset and field where the error has them

Hashed integers are little-endian.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent.parent))

from sdz.runtime.decode import decode, open_latents  # noqa: E402
from sdz.runtime.errors import SdzError  # noqa: E402
from sdz.runtime.format.alpha import encode_alpha  # noqa: E402
from sdz.runtime.format.coder_tables import (  # noqa: E402
    A_PLANE,
    CROSS_TERMS,
    ENERGY_LEVELS,
    FILLS,
    LEVELS,
    MEANS_LIMIT,
    PREDICTION_TERMS,
    CoderTables,
    TableLayout,
)
from sdz.runtime.format.container import Chunk, Header, latent_span, parse, serialize  # noqa: E402
from sdz.runtime.format.palette import encode_palette  # noqa: E402
from sdz.runtime.format.planes import encode_planes  # noqa: E402
from sdz.runtime.regions.region_map import RegionMap  # noqa: E402

CHANNELS = 60
"""Beyond 54, where the contexts' last band of channels begins."""

PATCH = 16

PARAMETERS = {"channels": CHANNELS, "reconstruction": 7, "l1_limit": 1 << 17, "linear_shift": 14}


class Numbers:
    """A linear congruential generator (Numerical Recipes' constants): the same numbers everywhere, for ever."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def below(self, bound: int) -> int:
        self.state = (1664525 * self.state + 1013904223) & 0xFFFFFFFF
        return (self.state >> 8) % bound

    def array(self, shape: tuple[int, ...], low: int, high: int, kind: type[np.generic]) -> NDArray[Any]:
        """Whole numbers low..high."""
        count = int(np.prod(shape))
        return np.array([low + self.below(high - low + 1) for _ in range(count)]).reshape(shape).astype(kind)


def make_tables() -> CoderTables:
    """Arbitrary coder tables that bring every field into play."""
    # a mean without curves among them, and channels of any kind
    return arbitrary_tables(Numbers(1), TableLayout(CHANNELS, MEANS_LIMIT), [[3, 4, 10, 11], [20, 7, 0, 0], [5, 59, 9, 3]])


def near_and_far(numbers: Numbers, count: int) -> NDArray[np.int16]:
    """An order of passes (count, 2): near ones stand before far ones, by every distance that is allowed."""
    ahead = np.stack([np.arange(count) % A_PLANE, np.zeros(count)], 1)
    return (numbers.array((count, 1), -12, 12, np.int64) + ahead).astype(np.int16)


def arbitrary_tables(numbers: Numbers, layout: TableLayout, fill: list[list[int]]) -> CoderTables:
    """Coder tables of that layout, but for the upper functions' arrays, drawn from `numbers`."""
    channels = layout.channels
    return CoderTables(
        means=MEANS_LIMIT,
        order=near_and_far(numbers, channels),
        energy_space=numbers.array((channels, 6), 0, 40, np.uint8),
        energy_cross_channel=numbers.array((channels, CROSS_TERMS), 0, channels - 1, np.uint8),
        energy_cross=numbers.array((channels, CROSS_TERMS), 0, 20, np.uint8),
        prediction_channel=numbers.array((channels, PREDICTION_TERMS), 0, channels - 1, np.uint8),
        prediction_dy=numbers.array((channels, PREDICTION_TERMS), -2, 2, np.int8),
        prediction_dx=numbers.array((channels, PREDICTION_TERMS), -2, 2, np.int8),
        prediction=numbers.array((channels, PREDICTION_TERMS), -90, 90, np.int16),
        energy_thresholds=np.sort(numbers.array((ENERGY_LEVELS - 1,), 1, 2000, np.uint16)),
        # some levels change places with their neighbours
        mean_order=(8 * np.arange(LEVELS) + numbers.array((MEANS_LIMIT, LEVELS), -6, 6, np.int64)).astype(np.int16),
        mean_fill=np.array(fill, np.uint8).reshape(MEANS_LIMIT, FILLS),
        probability=numbers.array((layout.states,), 2000, 63000, np.uint16),
        count=numbers.array((layout.states,), 0, 60, np.uint8),
        weights=numbers.array((layout.weights,), -4000, 12000, np.int32),
        mix_rate=3,
        count_limit=127,
    )


def make_pack() -> dict[str, bytes]:
    linear = Numbers(2).array((CHANNELS, 3 * PATCH * PATCH), -400, 400, np.int16)
    parameters = json.dumps(PARAMETERS, sort_keys=True, separators=(",", ":")) + "\n"
    octaves = json.dumps(Numbers(3).array((CHANNELS,), -64, 64, np.int32).tolist()) + "\n"
    tables = {"coder.bin": make_tables().to_bytes(), "linear.bin": linear.astype("<i2").tobytes(), "octaves.json": octaves.encode()}
    return tables | {"pack.json": parameters.encode()}


def load_pack(files: dict[str, bytes], quantizer: str = "planes") -> Any:
    """The vectors' pack as `decode` wants it, for the linear stage."""
    return SimpleNamespace(
        quantizer=quantizer,
        patch=PATCH,
        lapping=None,
        octaves=np.array(json.loads(files["octaves.json"]), np.int32) if quantizer == "planes" else None,
        id=hashlib.sha256(files["pack.json"]).digest()[:3],
        coder=CoderTables.from_bytes(files["coder.bin"]),
        linear_bytes=files["linear.bin"],
        linear=np.frombuffer(files["linear.bin"], "<i2").reshape(CHANNELS, -1).astype(np.int16),
        **json.loads(files["pack.json"]),
    )


def make_latents(width: int, height: int, bits: int, seed: int) -> NDArray[np.int32]:
    """Latents whose magnitudes fall with the channel, with smooth parts and noise; the largest has `bits` bits."""
    numbers = Numbers(seed)
    rows, columns = -(-height // PATCH), -(-width // PATCH)
    q = np.zeros((CHANNELS, rows, columns), np.int32)
    for channel in range(CHANNELS):
        # a pyramid's coefficients may have two bits more than the mean
        top = max(0, min(13, bits) if channel < MEANS_LIMIT else bits - channel // 5)
        for y in range(rows):
            for x in range(columns):
                noise = numbers.below(1 << top) >> numbers.below(top + 1)
                wave = ((y + x + channel) % 7) << top >> 4
                q[channel, y, x] = min(noise + wave, (1 << top) - 1) * (1 if numbers.below(3) else -1)
    if bits:
        q[MEANS_LIMIT, 0, 0] = (1 << bits) - 1
    return q


def make_valid(pack: Any) -> dict[str, bytes]:
    def header(width: int, height: int, step: int, grey: bool = False, tilt: int = 0, realism: int = 16) -> Header:
        return Header(width, height, step, pack.id, grey, tilt, realism)

    def picture(width: int, height: int, step: int, bits: int, **side: Any) -> bytes:
        payload = encode_planes(make_latents(width, height, bits, width * 7 + height), step, pack.coder)
        if "keep" in side:
            payload = payload[: side["keep"]]
        chunks = [*side.get("before", ()), Chunk(b"L", payload), *side.get("after", ())]
        return serialize(header(width, height, step, side.get("grey", False), side.get("tilt", 0), side.get("realism", 16)), chunks)

    alpha = np.array([[min(255, x * y) for x in range(37)] for y in range(21)], np.uint8)
    side = {
        "before": (Chunk(b"T", "Füße im Gras 🌱".encode()), Chunk(b"A", encode_alpha(alpha))),
        "after": (Chunk(b"E", b"II*\0\x08\0\0\0\0\0"),),
    }
    full = picture(37, 21, 40, 7, **side)
    start, end = latent_span(full)
    plain = picture(61, 35, 32, 8)
    # the file that FORMAT.md takes apart
    few = np.zeros((CHANNELS, 1, 2), np.int32)
    few[0], few[1], few[3] = [[5, -3]], [[0, 2]], [[-1, 0]]
    example = serialize(header(20, 9, 40), [Chunk(b"T", b"hi"), Chunk(b"L", encode_planes(few, 40, pack.coder))])
    # a mean of which the coarse levels are worth a plane each, so that every level is known down to another one
    slope = np.zeros((CHANNELS, 9, 13), np.int32)
    slope[0] = (np.arange(13) * 37 + np.arange(9)[:, None] * 23 - 300) // 2
    slope[1] = (np.arange(13) - 6) ** 2 * 3
    smooth = serialize(header(200, 140, 44), [Chunk(b"L", encode_planes(slope, 44, pack.coder))])
    # a region two octaves finer, one that is coarser, and means that begin at plane 2
    floors = np.full((3, 4), 2, np.uint8)
    floors[0, 1:3], floors[2, 0] = 0, 5
    regions = RegionMap(2, floors)
    below = np.where(np.arange(CHANNELS)[:, None, None] < MEANS_LIMIT, 0, regions.below)
    mapped = encode_planes(make_latents(61, 35, 9, 11) >> below << below, 24, pack.coder, regions=regions.payload)
    region = serialize(header(61, 35, 24), [Chunk(b"R", regions.payload), Chunk(b"L", mapped)])
    flat = RegionMap(0, np.full((3, 4), 15, np.uint8))
    unknown = (Chunk(b"x", b"skip me"), Chunk(b"x", b"and me"), Chunk(b"\0", b""))
    return (
        {
            "header-only": serialize(header(20, 10, 48), []),
            "no-planes": picture(20, 10, 48, 0),
            "empty-latents": serialize(header(20, 10, 48), [Chunk(b"L", b"")]),
            "one-pixel": picture(1, 1, 24, 5),
            "plain": plain,
            "wide": picture(16384, 1, 56, 3),
            "tall": picture(1, 16384, 56, 3),
            "finest-step": picture(33, 17, 0, 12),
            "coarsest-step": picture(33, 17, 80, 3),
            "fifteen-planes": picture(17, 16, 0, 15),
            "l1-guard": picture(16, 32, 80, 11),
            "grey": picture(40, 40, 44, 6, grey=True),
            "everything": full,
            "example": example,
            "smooth": smooth,
            "one-row": picture(16 * 11, 3, 40, 7),
            "one-column": picture(5, 16 * 7, 40, 7),
            "only-chunk-cut-in-length": serialize(header(20, 10, 48), [Chunk(b"L", bytes(200))])[:11],
            "only-chunk-cut-in-crc": serialize(header(20, 10, 48), [Chunk(b"L", bytes(200))])[:13],
            "only-chunk-beyond-the-end": serialize(header(20, 10, 48), [Chunk(b"L", bytes(3))])[:10] + b"\xff\xff\xff\xff\x0f" + bytes(5),
            **{f"tilt-{tilt}": picture(33, 17, 40, 6, tilt=tilt) for tilt in (-3, -2, -1, 1, 2, 3)},
            "tilt-grey": picture(33, 17, 40, 6, tilt=-3, grey=True),
            **{f"realism-{realism}": picture(33, 17, 40, 6, realism=realism) for realism in (0, 9, 15)},
            "realism-of-all-sides": picture(300, 200, 48, 4, grey=True, tilt=-1, realism=5, before=side["before"][:1]),
            "tilt-below-the-finest-step": picture(33, 17, 2, 12, tilt=3),
            "tilt-beyond-the-coarsest-step": picture(33, 17, 79, 3, tilt=-3),
            "tilt-cut": picture(61, 35, 32, 8, keep=300, tilt=2),
            "regions": region,
            "regions-cut": region[: parse(region).chunks[0].start + 2],
            "regions-without-latents": region[: parse(region).chunks[1].offset],
            "regions-of-nothing": serialize(
                header(61, 35, 24),
                [Chunk(b"R", flat.payload), Chunk(b"L", encode_planes(make_latents(61, 35, 0, 1), 24, pack.coder, regions=flat.payload))],
            ),
            "regions-beyond-the-coarsest-step": serialize(
                header(61, 35, 72),
                [
                    Chunk(b"R", regions.payload),
                    Chunk(b"L", encode_planes(make_latents(61, 35, 3, 2) >> below << below, 72, pack.coder, regions=regions.payload)),
                ],
            ),
            "grey-alpha": picture(37, 21, 40, 7, grey=True, before=side["before"][1:]),
            "unknown-chunks": picture(18, 18, 44, 6, before=unknown, after=unknown),
            "64-chunks": serialize(header(20, 10, 48), [Chunk(b"x", b"")] * 63 + [Chunk(b"L", b"")]),
            "cut-by-writer": picture(61, 35, 32, 8, keep=300),
            "cut-in-alt": full[:20],
            "cut-in-alpha": full[: parse(full).chunks[1].start + 10],
            "cut-in-latents-head": full[: start - 3],
            "cut-before-latents": full[:start],
            "cut-in-latents": full[: start + 77],
            "cut-in-exif": full[: end + 9],
            "length-beyond-the-end": serialize(header(20, 10, 48), []) + b"L\xff\xff\xff\xff\x0f" + bytes(4) + b"\x5a\xa5\x3c",
        }
        | {f"regions-cut-{n}": region[: latent_span(region)[0] + n] for n in (0, 7, 50, 120, 200, 300, 420)}
        | {f"smooth-cut-{n}": smooth[: latent_span(smooth)[0] + n] for n in range(4, 40, 3)}
        | {f"plain-cut-{n}": plain[: latent_span(plain)[0] + n] for n in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377)}
    )


def make_invalid(pack: Any) -> dict[str, bytes]:
    lone = serialize(Header(20, 10, 48, pack.id), [Chunk(b"L", b"\x12\x34\x56")])
    head = serialize(Header(20, 10, 48, pack.id), [])

    def chunk(tag: bytes, payload: bytes, crc: int = 0) -> bytes:
        return tag + bytes([len(payload)]) + struct.pack("<I", zlib.crc32(head + tag + payload) ^ crc) + payload

    def alpha(rows: bytes) -> bytes:
        return head + chunk(b"A", zlib.compress(rows))

    good = head + chunk(b"L", b"\x12\x34\x56")
    regions = RegionMap(1, np.array([[1, 0]], np.uint8)).payload
    rows = bytes(10 * 21)
    return {
        "empty": b"",
        "one-byte": b"S",
        "two-bytes": b"SD",
        "magic-lower-case": b"sdz" + good[3:],
        "png": b"\x89PNG\r\n\x1a\n" + bytes(20),
        "version-0": good[:3] + b"\0" + good[4:],
        "version-1": good[:3] + b"\x01" + good[4:],
        "version-1-alone": good[:3] + b"\x01",
        "version-3": good[:3] + b"\x03" + good[4:],
        **{f"header-cut-at-{n}": good[:n] for n in range(3, 10)},
        "tilt-minus-4": good[:3] + b"\x82" + good[4:],
        "tilt-minus-4-alone": good[:3] + b"\x82",
        "realism-16": b"SDZ\x0a" + good[4:8] + b"\x10" + good[8:],
        "realism-255": b"SDZ\x0a" + good[4:8] + b"\xff" + good[8:],
        "realism-cut": b"SDZ\x0a" + good[4:8],
        "realism-behind-another-version": b"SDZ\x0b" + good[4:8] + b"\x10" + good[8:],
        "step-index-81": good[:7] + b"\x51" + good[8:],
        "step-index-127": good[:7] + b"\xff" + good[8:],
        "width-16385": good[:8] + b"\x80\x80\x01" + good[9:],
        "height-70000": good[:9] + b"\xef\xa2\x04" + good[10:],
        "width-4294967296": good[:8] + b"\xff\xff\xff\xff\x0f" + good[9:],
        "width-over-32-bits": good[:8] + b"\xff\xff\xff\xff\x1f" + good[9:],
        "width-six-bytes": good[:8] + b"\x80\x80\x80\x80\x80\x01" + good[9:],
        "width-not-shortest": good[:8] + b"\x93\x00" + good[9:],
        "height-not-shortest": good[:9] + b"\x89\x80\x00" + good[10:],
        "width-cut": good[:8] + b"\x93",
        "length-not-shortest": head + b"L\x83\x00" + good[12:],
        "length-over-32-bits": head + b"L\x80\x80\x80\x80\x10" + good[12:],
        "length-six-bytes": head + b"L\x80\x80\x80\x80\x80\x01" + good[12:],
        "crc-of-latents": good[:-1] + b"\x57",
        "crc-covers-the-header": good[:7] + b"\x31" + good[8:],
        "crc-covers-the-tag": head + b"K" + good[11:],
        "only-chunk-crc-of-latents": lone[:-1] + b"\x57",
        "only-chunk-crc-covers-the-header": lone[:7] + b"\xb1" + lone[8:],
        "only-chunk-length-not-shortest": lone[:10] + b"\x83\x00" + lone[11:],
        "only-chunk-with-a-byte-behind": lone + b"\0",
        "only-chunk-with-a-chunk-behind": lone + chunk(b"T", b"hi"),
        "crc-of-an-unknown-chunk": head + chunk(b"x", b"skip me", crc=1) + good[10:],
        "second-latents": good + chunk(b"L", b""),
        "second-latents-cut": good + b"L",
        "65-chunks": head + chunk(b"x", b"") * 65,
        "65-chunks-cut": head + chunk(b"x", b"") * 64 + b"x",
        "second-alt": head + chunk(b"T", b"a") + chunk(b"T", b"b"),
        "alt-over-4096-bytes": head + b"T\x81\x20" + bytes(4),
        "exif-over-65536-bytes": head + b"E\x81\x80\x04" + bytes(4),
        "alt-is-not-utf-8": head + chunk(b"T", b"caf\xe9 "),
        "alt-has-a-surrogate": head + chunk(b"T", b"\xed\xa0\x80"),
        "alpha-is-not-zlib": head + chunk(b"A", b"alpha"),
        "alpha-is-empty": head + chunk(b"A", b""),
        "alpha-too-short": alpha(rows[:-1]),
        "alpha-too-long": alpha(rows + b"\0"),
        "alpha-bomb": alpha(bytes(80_000)),
        "alpha-cut-stream": head + chunk(b"A", zlib.compress(rows)[:-2]),
        "alpha-trailing-bytes": head + chunk(b"A", zlib.compress(rows) + b"\0"),
        "alpha-wrong-adler": head + chunk(b"A", zlib.compress(rows)[:-1] + b"\x7f"),
        "regions-empty": head + chunk(b"R", b""),
        "regions-too-short": head + chunk(b"R", regions[:-1]),
        "regions-too-long": head + chunk(b"R", regions + bytes(8)),
        "regions-behind-latents": good + chunk(b"R", regions),
        "regions-behind-latents-cut": good + chunk(b"R", regions)[:3],
        "second-regions": head + chunk(b"R", regions) * 2,
        "alpha-filter-5": alpha(b"\x05" + rows[1:]),
    }


def make_palette(pack: Any) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Valid and invalid files with a palette: of 20 x 10 pixels, two positions."""
    numbers = Numbers(5)
    palette = numbers.array((3, CHANNELS), -128, 127, np.int8)
    palette[0, :2] = (-128, 127)
    raw = bytes([2]) + palette.tobytes() + bytes([2, 0])
    many = numbers.array((256, CHANNELS), -20, 20, np.int8)

    def file(payload: bytes, width: int = 20, height: int = 10, step: int = 20, grey: bool = False, tilt: int = 0) -> bytes:
        return serialize(Header(width, height, step, pack.id, grey, tilt), [Chunk(b"P", payload)])

    def wrong(raw: bytes) -> bytes:
        return file(zlib.compress(raw))

    good = file(encode_palette(palette, np.array([[2, 0]], np.uint8)))
    planes = encode_planes(make_latents(20, 10, 5, 1), 20, pack.coder)
    full = file(encode_palette(many, numbers.array((9, 7), 0, 255, np.uint8)), 112, 140, 24)
    valid = {
        "good": good,
        "one-entry": file(encode_palette(palette[:1], np.zeros((1, 2), np.uint8))),
        "256-entries": full,
        "grey": file(encode_palette(palette, np.ones((1, 2), np.uint8)), grey=True),
        "stored": file(zlib.compress(raw, 0)),
        "l1-guard": file(encode_palette(palette, np.zeros((1, 2), np.uint8)), step=80),
        "cut": full[:-9],
        "missing": good[:10],
        "bit-planes-are-not-for-it": serialize(Header(20, 10, 20, pack.id), [Chunk(b"L", planes)]),
    }
    invalid = {
        "is-empty": file(b""),
        "is-not-zlib": file(b"palette"),
        "holds-nothing": wrong(b""),
        "too-short": wrong(raw[:-1]),
        "too-long": wrong(raw + b"\0"),
        "bomb": wrong(bytes(80_000)),
        "cut-stream": file(zlib.compress(raw)[:-2]),
        "trailing-bytes": file(zlib.compress(raw) + b"\0"),
        "wrong-adler": file(zlib.compress(raw)[:-1] + bytes([zlib.compress(raw)[-1] ^ 1])),
        "tilt-without-octaves": file(good[-1:], tilt=2),
        "entry-not-there": wrong(raw[:-1] + b"\3"),
        "second-palette": good + good[10:],
    }
    return valid, invalid


def digest(*arrays: NDArray[Any]) -> str:
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


def expect_valid(data: bytes, pack: Any) -> dict[str, Any]:
    """What the runtime makes of a file, as its JSON has it."""
    container = parse(data)
    header = container.header
    picture = open_latents(data, pack=pack).picture
    known, latents = picture.known(), picture.latents()
    whole = (latents.values, latents.levels, latents.precision, latents.half_width)
    image = decode(data, stage="linear", pack=pack)
    channels = image.pixels.shape[2]
    return {
        "header": {
            "width": header.width,
            "height": header.height,
            "stepIndex": header.step_index,
            "packId": header.pack_id.hex(),
            "grey": header.grey,
            "tilt": header.tilt,
            "realism": header.realism,
            "bytes": container.header_bytes,
        },
        "chunks": [
            {"tag": c.tag.decode("latin-1"), "offset": c.offset, "start": c.start, "bytes": len(c.payload), "complete": c.complete}
            for c in container.chunks
        ],
        "alt": image.alt,
        "alpha": digest(image.pixels[:, :, -1]) if channels in (2, 4) else None,
        "known": {
            "complete": known.complete,
            "sha256": digest(known.magnitude.astype("<i4"), known.negative.astype(np.uint8), known.plane),
        },
        "latents": digest(*(a.astype("<i4") for a in whole)),
        "linear": digest(image.pixels),
    }


def expect_invalid(data: bytes, pack: Any) -> dict[str, Any]:
    """The error that the runtime raises for a file, as its JSON has it."""
    try:
        decode(data, stage="linear", pack=pack)
    except SdzError as error:
        place = {"offset": error.offset, "field": error.field} if hasattr(error, "offset") else {}
        return {"error": error.code, **place}
    raise AssertionError("an invalid vector was accepted")


def make() -> dict[str, bytes]:
    """Every file below this folder but this one, by its path."""
    pack_files = make_pack()
    pack = load_pack(pack_files)
    files = {f"pack/{name}": data for name, data in pack_files.items()}
    for kind, vectors, expect in (("valid", make_valid(pack), expect_valid), ("invalid", make_invalid(pack), expect_invalid)):
        for name, data in vectors.items():
            files[f"{kind}/{name}.sdz"] = data
            files[f"{kind}/{name}.json"] = (json.dumps(expect(data, pack), indent=1, ensure_ascii=False) + "\n").encode()
    palette = load_pack(pack_files, "palette")
    for vectors, expect in zip(make_palette(palette), (expect_valid, expect_invalid), strict=True):
        for name, data in vectors.items():
            files[f"palette/{name}.sdz"] = data
            files[f"palette/{name}.json"] = (json.dumps(expect(data, palette), indent=1, ensure_ascii=False) + "\n").encode()
    return files


def write(folder: Path, files: dict[str, bytes], kinds: tuple[str, ...] = (".",)) -> None:
    """Writes files by their paths below `folder`, and takes away those below its `kinds` that are no longer made."""
    for path in [path for kind in kinds for path in (folder / kind).rglob("*") if path.is_file()]:
        if path.relative_to(folder).as_posix() not in files:
            path.unlink()
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    print(f"{len(files)} files in {folder}")


if __name__ == "__main__":
    write(FOLDER, make(), ("pack", "valid", "invalid", "palette"))
