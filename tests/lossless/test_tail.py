"""The lossless tail in Python: pixels come back, any cut gives rows, damage is one typed error."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sdz.runtime.errors import CorruptFileError
from sdz.runtime.format.container import LOSSLESS, Chunk
from sdz.runtime.lossless.coder import PixelCoder
from sdz.runtime.lossless.tail import encode_tail, tail_bands

SHAPES = [(1, 1, 3), (1, 1, 1), (1, 40, 3), (40, 1, 3), (2, 3, 3), (9, 8, 1), (17, 33, 3), (70, 700, 3), (3, 16384, 1), (16384, 1, 3)]


def pictures(height: int, width: int, planes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A photo-like picture with edges, noise and extremes, and a blurred base."""
    rng = np.random.default_rng(height * width + planes)
    y, x = np.mgrid[:height, :width]
    smooth = 128 + 90 * np.sin(y / 7.0)[..., None] * np.cos(x / 11.0)[..., None] * np.array([1.0, 0.8, -0.6])[:planes]
    noise = rng.normal(0, 4, (height, width, planes))
    pixels = np.where((x // 16 % 5 == 0)[..., None], rng.integers(0, 2, (height, width, planes)) * 255, smooth + noise)
    return pixels.clip(0, 255).astype(np.uint8), smooth.clip(0, 255).astype(np.uint8)


def chunk(payload: bytes, complete: bool = True) -> Chunk:
    return Chunk(LOSSLESS, payload, complete, 90, 100, len(payload))


def decode_tail(tail: Chunk, base: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The rows of all bands."""
    pixels, done = np.empty_like(base), 0
    height, width, planes = base.shape
    for rows, band in tail_bands(tail, (height, width, planes), lambda part: base[part]):
        assert rows.start == done
        pixels[rows], done = band, rows.stop
    return pixels[:done]


@pytest.mark.parametrize("shape", SHAPES)
def test_pixels_come_back(shape: tuple[int, int, int]) -> None:
    pixels, base = pictures(*shape)
    assert np.array_equal(decode_tail(chunk(encode_tail(pixels, base)), base), pixels)


@pytest.mark.parametrize("value", [0, 255])
def test_extremes(value: int) -> None:
    for other in (0, 255):
        pixels, base = np.full((20, 21, 3), value, np.uint8), np.full((20, 21, 3), other, np.uint8)
        assert np.array_equal(decode_tail(chunk(encode_tail(pixels, base)), base), pixels)


def test_noise_costs_little_more_than_itself() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    payload = encode_tail(pixels, np.full_like(pixels, 128))
    assert len(payload) < 1.15 * pixels.size


def test_bands_cover_the_picture_once() -> None:
    for height, width, planes in SHAPES:
        coder = PixelCoder((height, width, planes), 3)
        pixels, base = pictures(height, width, planes)
        rows: list[int] = []
        fed: list[int] = []
        while (band := coder.band()) is not None:
            coder.encode(pixels[band.source], base[band.base])
            rows += range(height)[band.pixels]
            fed += range(height)[band.base]
        assert rows == fed == list(range(height))


def test_every_cut_gives_the_bands_that_are_whole() -> None:
    pixels, base = pictures(96, 700, 3)
    payload = encode_tail(pixels, base)
    ends, at = [], 1
    while at < len(payload):
        at += 4 + int.from_bytes(payload[at : at + 4], "little")
        ends.append(at)
    assert len(ends) == 3 and at == len(payload)
    rows = [0, 30, 62, 96]
    for cut in [0, 1, 4, 5, *(end + step for end in ends[:-1] for step in (-1, 0, 1, 4)), len(payload) - 1]:
        found = decode_tail(chunk(payload[:cut], False), base)
        assert len(found) == rows[sum(end <= cut for end in ends)], cut
        assert np.array_equal(found, pixels[: len(found)])


def test_damage_is_one_typed_error() -> None:
    pixels, base = pictures(9, 30, 3)
    payload = encode_tail(pixels, base)
    length, size = len(payload) - 5, payload[:1]
    cases = {
        payload[:-1]: 101,
        payload[:3]: 101,
        size: 101,
        b"": 100,
        b"\x0f" + payload[1:]: 100,
        payload + b"\0": 100 + len(payload),
        size + (length - 9).to_bytes(4, "little") + payload[5:-9]: 105,
        size + (1 << 31).to_bytes(4, "little") + payload[5:]: 101,
    }
    for damaged, offset in cases.items():
        with pytest.raises(CorruptFileError) as caught:
            decode_tail(chunk(damaged), base)
        assert (caught.value.field, caught.value.offset) == ("lossless tail", offset)


def test_any_bytes_are_pixels_or_that_error() -> None:
    rng = np.random.default_rng(3)
    base = pictures(9, 30, 3)[1]
    verdicts = set()
    for _ in range(200):
        body = rng.integers(0, 256, int(rng.integers(0, 1500)), dtype=np.uint8).tobytes()
        try:
            verdicts.add(decode_tail(chunk(b"\4" + len(body).to_bytes(4, "little") + body), base).shape)
        except CorruptFileError as error:
            verdicts.add(error.offset)
    assert verdicts == {(9, 30, 3), 105}
