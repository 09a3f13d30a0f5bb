"""The palette chunk: exact payloads, the dither by hand, the 8-bit scale, and each way a stream can be wrong."""

from __future__ import annotations

import sys
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray

from sdz.runtime.core import Core, Facts
from sdz.runtime.errors import CorruptFileError, EncodeInputError, MissingExtraError
from sdz.runtime.format.palette import assign, encode_palette, open_palette, quantize_palette, scale_index
from sdz.runtime.format.reconstruction import step_units

PALETTE = np.array([[1, -2], [-128, 127], [0, 3]], np.int8)
INDICES = np.array([[0, 1, 2], [2, 2, 0]], np.uint8)
RAW = bytes([2, 1, 254, 128, 127, 0, 3, 0, 1, 2, 2, 2, 0])


def decoded(payload: bytes, channels: int, rows: int, columns: int, offset: int = 0) -> tuple[NDArray[np.int32], NDArray[np.uint8], Facts]:
    core = Core()
    picture = open_palette(core, payload, channels, rows, columns, offset)
    facts = core.facts(picture)
    return (*core.known(picture, facts), facts)


def test_exact_payload() -> None:
    payload = encode_palette(PALETTE, INDICES)
    assert zlib.decompress(payload) == RAW
    integers, plane, facts = decoded(payload, 2, 2, 3)
    assert integers.tolist() == [[[1, -128, 0], [0, 0, 1]], [[-2, 127, 3], [3, 3, -2]]]
    assert facts.complete and not plane.any()


def test_a_full_palette_for_the_published_size() -> None:
    rng = np.random.default_rng(0)
    palette = np.unique(rng.integers(-127, 128, (400, 4), np.int8), axis=0)[:256]
    indices = rng.integers(0, 256, (64, 64), np.uint8)
    integers = decoded(encode_palette(palette, indices), 4, 64, 64)[0]
    assert np.array_equal(integers.transpose(1, 2, 0), palette.astype(np.int32)[indices])


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b"", "does not hold exactly a palette of 2 channels and 2 rows of 3 indices"),
        (b"not zlib", "is broken"),
        (zlib.compress(b""), "does not hold exactly"),
        (zlib.compress(RAW[:-1]), "does not hold exactly"),
        (zlib.compress(RAW + b"\0"), "does not hold exactly"),
        (zlib.compress(bytes(10_000_000)), "does not hold exactly"),
        (zlib.compress(RAW) + b"\0", "does not hold exactly"),
        (zlib.compress(RAW)[:-1], "does not hold exactly"),
        (zlib.compress(RAW)[:-1] + b"\xff", "is broken"),
        (zlib.compress(RAW[:10] + b"\x03\x02\x00"), "row 1 names entry 3 of 3"),
    ],
)
def test_a_wrong_stream_is_one_typed_error(payload: bytes, problem: str) -> None:
    with pytest.raises(CorruptFileError, match=problem) as caught:
        decoded(payload, 2, 2, 3, 77)
    assert (caught.value.offset, caught.value.field) == (77, "palette")


def test_nothing_is_known_without_the_chunk() -> None:
    core = Core()
    picture = core.palette(None, 2, 3, 4)
    facts = core.facts(picture)
    integers, plane = core.known(picture, facts)
    assert integers.shape == (2, 3, 4) and not integers.any() and not facts.complete
    assert (plane == 15).all()


def test_the_scale_brings_the_largest_to_127() -> None:
    for largest in (1.0, 126.9, 127.4, 200.0, 1000.0, 100_000.0):
        index = scale_index(np.array([[[0.0, -largest]]], np.float32))
        assert np.rint(4 * largest / step_units(index)) <= 127
        assert index == 0 or np.rint(4 * largest / step_units(index - 1)) > 127
    assert scale_index(np.zeros((1, 1, 1), np.float32)) == 0
    with pytest.raises(EncodeInputError, match="a latent of 200000 grey levels does not fit 8 bits"):
        scale_index(np.full((1, 1, 1), 2e5, np.float32))


def test_few_vectors_are_their_own_palette() -> None:
    latents = np.array([[[2.0, 4.0], [2.0, -6.0]], [[0.0, 1.2], [0.0, 0.0]]], np.float32)
    palette, indices = quantize_palette(latents, 8, 256, dither=True)
    assert palette.tolist() == [[-3, 0], [1, 0], [2, 1]]
    assert indices.tolist() == [[1, 2], [1, 0]]


def test_errors_are_diffused_by_floyd_and_steinberg() -> None:
    """6 -> 0 leaves 6: 7/16 of it make the next 8.625 -> 16, which leaves -7.375; below stand 8 + 30/16 - 22.125/16 = 8.49 -> 16, and then
    6 + 6/16 - 36.875/16 - 7/16 * 7.51 = 0.79 -> 0."""
    source = np.array([[[6.0], [6.0]], [[8.0], [6.0]]])
    palette = np.array([[0.0], [16.0]])
    assert assign(source, palette, True).tolist() == [[0, 1], [1, 0]]
    assert assign(source, palette, False).tolist() == [[0, 0], [0, 0]]  # 8 is as near to both: the first


def test_dithering_keeps_the_mean_where_nearest_entries_do_not() -> None:
    rng = np.random.default_rng(1)
    latents = rng.normal(0.0, 25.0, (4, 32, 32)).astype(np.float32)
    means = {}
    errors = {}
    for dither in (False, True):
        palette, indices = quantize_palette(latents, 0, 16, dither=dither)
        assert palette.shape == (16, 4) and np.array_equal(palette, np.unique(palette, axis=0))
        error = palette[indices].transpose(2, 0, 1) - latents
        means[dither] = np.abs(error.reshape(4, 4, 8, 4, 8).mean(axis=(2, 4))).mean()
        errors[dither] = np.square(error).mean()
    assert means[True] < 0.5 * means[False]
    assert errors[False] < errors[True]


def test_the_palette_is_the_same_every_time() -> None:
    latents = np.random.default_rng(2).laplace(0.0, 30.0, (4, 20, 20)).astype(np.float32)
    first, second = (quantize_palette(latents, scale_index(latents), 32, dither=True) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_without_scipy_one_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.cluster.vq", None)
    with pytest.raises(MissingExtraError, match="scipy"):
        quantize_palette(np.arange(12, dtype=np.float32).reshape(1, 3, 4), 0, 4, dither=False)
