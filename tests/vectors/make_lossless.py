"""Vectors with a lossless tail, of the pack of the other vectors (`make.py`).

`python tests/vectors/make_lossless.py` (in the repository's root) writes them again. lossless/valid.json says of each file in `valid`
how many of the photo's rows its tail brings, and their SHA-256, uint8 (rows, W, 1 or 3); lossless/invalid.json each error in
`invalid`.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

import make as vectors

from sdz.runtime.decode import open_latents
from sdz.runtime.errors import CorruptFileError
from sdz.runtime.format.container import LOSSLESS, Chunk, Container, parse, serialize
from sdz.runtime.lossless.coder import PixelCoder
from sdz.runtime.lossless.writing import with_tail
from sdz.runtime.photo import PreparedPhoto

FOLDER = Path(__file__).resolve().parent / "lossless"


def photo(width: int, height: int, grey: bool) -> PreparedPhoto:
    """Ramps with noise, black and white bars, and chroma that changes slowly."""
    numbers = vectors.Numbers(width)
    rgb = np.zeros((height, width, 3), np.uint8)
    for y in range(height):
        for x in range(width):
            luma = 255 * (x // 3 % 2) if y // 4 % 3 == 2 else 3 * y + 2 * x + numbers.below(1 + x // 4)
            for colour, chroma in enumerate((x // 2 - y, 0, 20 - y // 2)):
                rgb[y, x, colour] = max(0, min(255, luma + (0 if grey else chroma)))
    return PreparedPhoto(rgb, None, grey, b"")


def with_payload(container: Container, payload: bytes) -> bytes:
    """The file with another tail."""
    chunks = [Chunk(LOSSLESS, payload) if chunk.tag == LOSSLESS else chunk for chunk in container.chunks]
    return serialize(container.header, chunks)


def in_bands(container: Container, exact: PreparedPhoto, pack: Any, band: int) -> bytes:
    """The file with its tail in bands of 2**`band` rows."""
    base = open_latents(serialize(container.header, container.chunks), pack=pack).paint("linear")
    pixels = exact.rgb[:, :, :1] if exact.grey else exact.rgb
    coder, payload = PixelCoder(pixels.shape, band), bytes([band])
    while (rows := coder.band()) is not None:
        coded = coder.encode(pixels[rows.source], base[rows.base])
        payload += struct.pack("<I", len(coded)) + coded
    return with_payload(container, payload)


def make_files(pack: Any, palette: Any) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Valid and invalid files by name."""
    pictures = vectors.make_valid(pack)

    def exact(name: str) -> bytes:
        header = parse(pictures[name]).header
        return with_tail(pictures[name], photo(header.width, header.height, header.grey), pack)

    plain, everything = exact("finest-step"), exact("everything")
    container = parse(plain)
    latents, tail = container.chunks
    payload = tail.payload
    bands = in_bands(container, photo(33, 17, False), pack, 3)
    start = parse(bands).chunks[1].start
    ends = [1]
    while start + ends[-1] < len(bands):
        ends.append(ends[-1] + 4 + int.from_bytes(bands[start + ends[-1] :][:4], "little"))
    grey = parse(exact("grey"))
    valid = {
        "plain": plain,
        "one-pixel": exact("one-pixel"),
        "everything": everything,
        "grey": exact("grey"),
        "grey-alpha": exact("grey-alpha"),
        "of-a-palette": with_tail(vectors.make_palette(palette)[0]["good"], photo(20, 10, False), palette),
        "bands-of-8": bands,
        "bands-of-1": in_bands(grey, photo(40, 40, True), pack, 0),
        "bands-of-2": in_bands(parse(exact("l1-guard")), photo(16, 32, False), pack, 1),
        "without-bytes": plain[: tail.offset + 1],
        "cut-in-its-head": plain[: tail.start - 1],
        "cut-behind-its-head": plain[: tail.start],
        "cut-in-a-length": plain[: tail.start + 3],
        "cut-in-the-only-band": plain[:-1],
        "before-the-latents": serialize(container.header, [tail, latents]),
        "without-latents": serialize(container.header, [tail]),
    } | {f"bands-of-8-cut-{n}": bands[: start + end + n] for n, end in enumerate(ends[1:-1])}
    size = payload[:1]
    invalid = {
        "empty": with_payload(container, b""),
        "bands-of-32768": with_payload(container, b"\x0f" + payload[1:]),
        "bands-of-32768-cut": with_payload(container, b"\x0f" + payload[1:])[:-1],
        "no-band": with_payload(container, size),
        "ends-in-a-length": with_payload(container, payload[:4]),
        "ends-in-a-band": with_payload(container, payload[:-1]),
        "ends-between-bands": with_payload(parse(bands), parse(bands).chunks[1].payload[: ends[2]]),
        "band-too-short": with_payload(container, size + (len(payload) - 15).to_bytes(4, "little") + payload[5:-10]),
        "band-of-no-bytes": with_payload(container, size + bytes(4)),
        "bytes-behind": with_payload(container, payload + b"\0"),
        "length-of-32-bits": with_payload(container, size + b"\xff\xff\xff\xff" + payload[5:]),
        "crc": plain[:-1] + bytes([plain[-1] ^ 1]),
        "second-tail": plain + plain[tail.offset :],
    }
    return valid, invalid


def expect_valid(data: bytes, pack: Any) -> dict[str, Any]:
    """What the runtime makes of a file."""
    exact = open_latents(data, pack=pack).exact()
    return {"rows": len(exact), "sha256": vectors.digest(exact)}


def expect_invalid(data: bytes, pack: Any) -> dict[str, Any]:
    """The error that the runtime raises."""
    try:
        open_latents(data, pack=pack).exact()
    except CorruptFileError as error:
        return {"error": error.code, "offset": error.offset, "field": error.field}
    raise AssertionError("an invalid vector was accepted")


def make() -> dict[str, bytes]:
    """Every file below the folder, by its path."""
    pack_files = vectors.make_pack()
    pack, palette = vectors.load_pack(pack_files), vectors.load_pack(pack_files, "palette")
    files: dict[str, bytes] = {}
    for kind, made, expect in zip(("valid", "invalid"), make_files(pack, palette), (expect_valid, expect_invalid), strict=True):
        files |= {f"{kind}/{name}.sdz": data for name, data in made.items()}
        expected = {name: expect(data, palette if name == "of-a-palette" else pack) for name, data in made.items()}
        files[f"{kind}.json"] = (json.dumps(expected, indent=1) + "\n").encode()
    return files


if __name__ == "__main__":
    vectors.write(FOLDER, make())
