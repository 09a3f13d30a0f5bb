"""The alpha chunk: exact payloads, every filter, and each way a stream can be wrong."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from sdz.runtime.errors import CorruptFileError
from sdz.runtime.format.alpha import decode_alpha, encode_alpha


def test_exact_rows() -> None:
    ramp = np.arange(8, dtype=np.uint8)[None].repeat(2, axis=0) * 30
    assert zlib.decompress(encode_alpha(ramp)) == bytes([1, 0, *[30] * 7, 2, *[0] * 8])
    mask = np.array([[0, 255], [255, 0]], np.uint8)
    assert zlib.decompress(encode_alpha(mask)) == bytes([0, 0, 255, 0, 255, 0])


@pytest.mark.parametrize("kind", range(5))
def test_every_filter_decodes_as_in_png(kind: int) -> None:
    """Random rows under one filter, wrapped as a PNG, must decode as Pillow decodes them."""
    height, width = 7, 11
    rows = np.random.default_rng(kind).integers(0, 256, (height, width + 1), np.uint8)
    rows[:, 0] = kind
    payload = zlib.compress(rows.tobytes())

    def chunk(tag: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + tag + body + zlib.crc32(tag + body).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", payload) + chunk(b"IEND", b"")
    assert np.array_equal(decode_alpha(payload, height, width, 0), np.asarray(Image.open(io.BytesIO(png))))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (300, 7), (257, 40)])
def test_lossless(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, shape, np.uint8)
    slope = (np.add.outer(np.arange(shape[0]) * 2, np.arange(shape[1]) * 3) % 256).astype(np.uint8)
    for alpha in (noise, slope, np.full(shape, 7, np.uint8)):
        assert np.array_equal(decode_alpha(encode_alpha(alpha), *shape, 0), alpha)


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b"", "does not hold exactly 2 rows of 3 bytes"),
        (b"not zlib", "is broken"),
        (zlib.compress(bytes(5)), "does not hold exactly"),
        (zlib.compress(bytes(7)), "does not hold exactly"),
        (zlib.compress(bytes(10_000_000)), "does not hold exactly"),
        (zlib.compress(bytes(6)) + b"\0", "does not hold exactly"),
        (zlib.compress(bytes(6))[:-1], "does not hold exactly"),
        (zlib.compress(bytes(6))[:-1] + b"\xff", "is broken"),
        (zlib.compress(bytes([0, 1, 2, 5, 1, 2])), "row 1 names filter 5"),
    ],
)
def test_a_wrong_stream_is_one_typed_error(payload: bytes, problem: str) -> None:
    with pytest.raises(CorruptFileError, match=problem) as caught:
        decode_alpha(payload, 2, 2, 77)
    assert (caught.value.offset, caught.value.field) == (77, "alpha")
