"""The shared vectors of packs that quantize to a codebook; `python tests/vectors/make_indices.py` writes them, as `make.py` the others.

`indices/pack/` holds the numbers that the valid files are made with; no networks. valid.json and invalid.json say by name what each
file must give: of an invalid one the error, of a valid one

  known    complete; SHA-256 of the entries (int32, (h, w), -1 where one is not wholly known) and of the nodes (int32, (h, w))
  latents  SHA-256 of values, levels, precision, half width (int32), one after the other
  linear   SHA-256 of the linear stage's pixels (H, W, n): n = 1 grey, 3 RGB
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from make import Numbers, digest, expect_invalid, write
from numpy.typing import NDArray

from sdz.runtime.decode import decode
from sdz.runtime.format.container import Chunk, Header, latent_span, parse, serialize
from sdz.runtime.format.indices import (
    IndexLayout,
    IndexTables,
    decode_index_latents,
    decode_indices,
    encode_indices,
    entries_of,
)

FOLDER = Path(__file__).resolve().parent / "indices"

ENTRIES, CHANNELS, PATCH = 37, 3, 8
"""No power of two: some entries end a level early."""

PARAMETERS = {"channels": CHANNELS, "l1_limit": 2400, "linear_shift": 14, "patch": PATCH, "quantizer": "indices"}


def make_tables() -> IndexTables:
    """Arbitrary tables that bring every field into play; neighbouring entries are alike."""
    numbers = Numbers(11)
    levels = (ENTRIES - 1).bit_length()
    layout = IndexLayout(levels)
    slope = np.linspace(-1000, 1000, ENTRIES).round().astype(np.int64)
    codebook = slope[:, None] // np.array([1, -2, 3]) + numbers.array((ENTRIES, CHANNELS), -200, 200, np.int64)
    # two alike, which no direction tells apart
    codebook[1] = codebook[0]
    return IndexTables(
        codebook=codebook.astype(np.int16),
        usage=numbers.array((ENTRIES,), 1, 400, np.uint16),
        precision=np.arange(levels, -1, -1).astype(np.uint8) * 9,
        half_width=np.array([900, 500, 300, 170, 90, 50, 30], np.uint16),
        pull=numbers.array((levels, 8), -200, 700, np.int16),
        probability=numbers.array((layout.stored,), 2000, 63000, np.uint16),
        count=numbers.array((layout.stored,), 0, 60, np.uint8),
        weights=numbers.array((layout.weights,), -2000, 8000, np.int32),
        mix_rate=5,
        count_limit=127,
        usage_limit=60,
    )


def make_pack() -> dict[str, bytes]:
    linear = Numbers(12).array((CHANNELS, 3 * PATCH * PATCH), -1500, 1500, np.int16)
    parameters = json.dumps(PARAMETERS, sort_keys=True, separators=(",", ":")) + "\n"
    return {"coder.bin": make_tables().to_bytes(), "linear.bin": linear.astype("<i2").tobytes(), "pack.json": parameters.encode()}


def load_pack(files: dict[str, bytes]) -> Any:
    """The vectors' pack as `decode` wants it, for the linear stage."""
    return SimpleNamespace(
        lapping=None,
        octaves=None,
        reconstruction=0,
        id=hashlib.sha256(files["pack.json"]).digest()[:3],
        indices=IndexTables.from_bytes(files["coder.bin"]),
        linear_bytes=files["linear.bin"],
        linear=np.frombuffer(files["linear.bin"], "<i2").reshape(CHANNELS, -1).astype(np.int16),
        **json.loads(files["pack.json"]),
    )


def make_entries(width: int, height: int) -> NDArray[np.int32]:
    """Entries of smooth parts and noise."""
    numbers = Numbers(width * 7 + height)
    rows, columns = -(-height // PATCH), -(-width // PATCH)
    smooth = np.add.outer(np.arange(rows), np.arange(columns)) * ENTRIES // (rows + columns)
    noise = numbers.array((rows, columns), 0, ENTRIES - 1, np.int32)
    return np.where(numbers.array((rows, columns), 0, 3, np.int32) == 0, noise, smooth).astype(np.int32)


def make_valid(pack: Any) -> dict[str, bytes]:
    def picture(width: int, height: int, *, grey: bool = False, levels: int | None = None) -> bytes:
        payload = encode_indices(make_entries(width, height), pack.indices, levels)
        return serialize(Header(width, height, 0, pack.id, grey), [Chunk(b"L", payload)])

    plain = picture(61, 35)
    start, end = latent_span(plain)
    return {
        "header-only": serialize(Header(20, 10, 0, pack.id), []),
        "one-pixel": picture(1, 1),
        "plain": plain,
        "wide": picture(2000, 1),
        "tall": picture(1, 2000),
        "grey": picture(40, 40, grey=True),
        "three-levels": picture(61, 35, levels=3),
        "noise": serialize(Header(50, 50, 0, pack.id), [Chunk(b"L", bytes((i * 151 + 7) & 255 for i in range(90)))]),
    } | {f"plain-cut-{n}": plain[: start + n] for n in range(end - start)}


def make_invalid(pack: Any) -> dict[str, bytes]:
    chunk = [Chunk(b"L", b"\x12\x34\x56")]
    return {
        "step-index-8": serialize(Header(20, 10, 8, pack.id), chunk),
        "tilt-2": serialize(Header(20, 10, 0, pack.id, tilt=2), chunk),
        "crc": serialize(Header(20, 10, 0, pack.id), chunk)[:-1] + b"\x57",
    }


def expect_valid(data: bytes, pack: Any) -> dict[str, Any]:
    """What the runtime makes of a file, as its JSON has it."""
    container = parse(data)
    header, chunk = container.header, container.find(b"L")
    rows, columns = -(-header.height // PATCH), -(-header.width // PATCH)
    payload = b"" if chunk is None else chunk.payload
    known = decode_indices(payload, rows, columns, pack.indices)
    latents = decode_index_latents(payload, rows, columns, pack.indices, pack.l1_limit)
    whole = (latents.values, latents.levels, latents.precision, latents.half_width)
    return {
        "known": {
            "complete": known.complete,
            "entries": digest(entries_of(known, pack.indices).astype("<i4")),
            "nodes": digest(known.node.astype("<i4")),
        },
        "latents": digest(*(np.ascontiguousarray(a).astype("<i4") for a in whole)),
        "linear": digest(decode(data, stage="linear", pack=pack).pixels),
    }


def make() -> dict[str, bytes]:
    """Every file below the folder, by its path."""
    pack_files = make_pack()
    pack = load_pack(pack_files)
    files = {f"pack/{name}": data for name, data in pack_files.items()}
    for kind, vectors, expect in (("valid", make_valid(pack), expect_valid), ("invalid", make_invalid(pack), expect_invalid)):
        files |= {f"{kind}/{name}.sdz": data for name, data in vectors.items()}
        expected = {name: expect(data, pack) for name, data in vectors.items()}
        files[f"{kind}.json"] = (json.dumps(expected, indent=1) + "\n").encode()
    return files


if __name__ == "__main__":
    write(FOLDER, make())
