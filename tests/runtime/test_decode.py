"""The decoder on the stand-in pack: stages, tiles, cuts, side chunks, and what it refuses."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from standins import StandInPack, StandInSession

from sdz.runtime import limits
from sdz.runtime.decode import Opened, decode, denoiser_applies, luma, open_latents
from sdz.runtime.errors import CorruptFileError, DecodeInputError, LimitError, MissingPackError, NotAnSdzError
from sdz.runtime.format.alpha import encode_alpha
from sdz.runtime.format.container import Chunk, Header, latent_span, serialize
from sdz.runtime.format.picture import Picture
from sdz.runtime.format.planes import encode_planes
from sdz.runtime.format.tiles import Tiling

PACK = StandInPack()
STEP = 40
"""2**5 = 32 grey levels: 128 grid units, two grey levels of a pixel."""


def latents(rows: int, columns: int) -> np.ndarray:
    rng = np.random.default_rng(rows * 100 + columns)
    return rng.integers(-40, 41, (4, rows, columns)).astype(np.int32)


def sdz(
    width: int,
    height: int,
    *,
    step: int = STEP,
    grey: bool = False,
    realism: int = 16,
    before: tuple[Chunk, ...] = (),
    after: tuple[Chunk, ...] = (),
) -> bytes:
    payload = encode_planes(latents(-(-height // 16), -(-width // 16)), step, PACK.coder)
    return serialize(Header(width, height, step, PACK.id, grey, realism=realism), [*before, Chunk(b"L", payload), *after])


def steps(index: int) -> np.ndarray:
    """The same step index for all channels."""
    return np.full(4, index, np.int32)


def test_linear_stage_is_exact_and_needs_no_session() -> None:
    image = decode(sdz(20, 35), stage="linear", pack=PACK)
    q = latents(3, 2)
    expected = np.clip(128 + 2 * q[:3], 0, 255).astype(np.uint8).repeat(16, axis=1).repeat(16, axis=2)
    assert image.pixels.shape == (35, 20, 3)
    assert np.array_equal(image.pixels, expected.transpose(1, 2, 0)[:35, :20])
    assert (image.stage, image.complete, image.alt, image.exif) == ("linear", True, None, None)
    assert image.to_pil().mode == "RGB"


def test_each_stage_runs_its_networks_once() -> None:
    session = StandInSession()
    assert decode(sdz(64, 48), session=session).stage == "denoised"
    assert decode(sdz(64, 48), session=session, stage="decoded").stage == "decoded"
    assert session.calls == [("denoise", 3, 4), ("decode", 3, 4), ("decode", 3, 4)]


def test_realism_is_a_strength_in_sixteenths_and_zero_runs_no_denoiser() -> None:
    data = sdz(64, 48)
    for realism, strength in ((1.0, 16), (0.5, 8), (0.04, 1), (1 / 32, 1)):
        session = StandInSession()
        assert decode(data, session=session, realism=realism).stage == "denoised"
        assert session.strengths == [strength]
    session = StandInSession()
    for realism in (0.0, 0.03):
        image = decode(data, session=session, realism=realism)
        assert image.stage == "decoded" and np.array_equal(image.pixels, decode(data, stage="decoded", session=session).pixels)
    assert session.strengths == []
    for realism in (-0.1, 1.01, float("nan")):
        with pytest.raises(ValueError, match=f"realism is {realism}, it must lie in 0..1"):
            decode(data, session=session, realism=realism)


def test_a_file_says_how_far_the_denoiser_goes_and_a_reader_may_overrule_it() -> None:
    half, none = sdz(64, 48, realism=9), sdz(64, 48, realism=0)
    session = StandInSession()
    assert decode(half, session=session).stage == "denoised"
    assert decode(none, session=session).stage == "decoded"
    assert session.strengths == [9]
    assert decode(none, session=session, realism=1.0).stage == "denoised"
    assert decode(half, session=session, realism=0.25).stage == "denoised"
    assert decode(half, session=session, realism=0.0).stage == "decoded"
    assert session.strengths == [9, 16, 4]
    opened = open_latents(none, pack=PACK)
    assert (opened.reached("denoised"), opened.reached("denoised", 0.5)) == ("decoded", "denoised")


@pytest.mark.parametrize("stage", ["linear", "decoded", "denoised"])
@pytest.mark.parametrize("tile", [1, 2, 3])
def test_tiles_join_without_a_differing_byte(stage: str, tile: int) -> None:
    data = sdz(16 * 7 + 3, 16 * 5 + 9)
    whole = decode(data, session=StandInSession(), stage=stage)
    tiled = decode(data, session=StandInSession(), stage=stage, tile=tile)
    assert np.array_equal(whole.pixels, tiled.pixels)


@pytest.mark.parametrize("tile", [1, 2, 3])
@pytest.mark.parametrize("reduce", [1, 2, 8, 16])
def test_tiles_of_a_lapped_pack_join_too(tile: int, reduce: int) -> None:
    lapped = StandInSession(StandInPack(lapping=np.array([[-60, 22], [31, -95]], np.int32)))
    data = sdz(16 * 7 + 3, 16 * 5 + 9)
    whole = decode(data, session=lapped, stage="linear", reduce=reduce)
    assert np.array_equal(whole.pixels, decode(data, session=lapped, stage="linear", reduce=reduce, tile=tile).pixels)
    assert not np.array_equal(whole.pixels, decode(data, session=StandInSession(), stage="linear", reduce=reduce).pixels)


def test_tiles_without_a_margin_would_show() -> None:
    pack = StandInPack(decoder_halo=0)
    data = sdz(64, 64)
    tiled = decode(data, session=StandInSession(pack), stage="decoded", tile=2)
    assert not np.array_equal(tiled.pixels, decode(data, session=StandInSession(), stage="decoded").pixels)


def test_a_pack_without_a_denoiser_stops_at_the_decoded_stage() -> None:
    session = StandInSession(StandInPack(denoiser_min_step_index=None))
    image = decode(sdz(64, 48), session=session)
    assert image.stage == "decoded" and session.calls == [("decode", 3, 4)]
    assert np.array_equal(image.pixels, decode(sdz(64, 48), stage="decoded", session=StandInSession()).pixels)


class FlatSession(StandInSession):
    """Each tile decodes to one level: 20 times its number."""

    def decode(self, values: np.ndarray, precision: np.ndarray) -> np.ndarray:
        super().decode(values, precision)
        return np.full((values.shape[1] * 16, values.shape[2] * 16, 4), 20 * len(self.calls), np.uint8)


def test_a_pack_with_a_tiling_is_one_piece_or_blended_tiles() -> None:
    """The same numbers as in tests/web/decode.test.js."""
    session = FlatSession(StandInPack(decoder_halo=0, tiling=Tiling(70, 2)))
    decode(sdz(150, 100), session=session, stage="decoded")
    assert session.calls == [("decode", 7, 10)]
    session = FlatSession(StandInPack(decoder_halo=0, tiling=Tiling(36, 2)))
    pixels = decode(sdz(150, 100), session=session, stage="decoded").pixels[:, :, 0]
    assert [call[1:] for call in session.calls] == [(4, 4), (4, 5), (4, 5), (5, 4), (5, 5), (5, 5)]
    assert [int(pixels[p]) for p in ((0, 0), (31, 31), (0, 64), (0, 112), (64, 0), (99, 149))] == [20, 20, 40, 60, 80, 120]
    assert pixels[0, [32, 33, 47, 48, 63]].tolist() == [20, 21, 30, 30, 40]
    assert pixels[[32, 40, 63], 0].tolist() == [21, 36, 79]
    assert pixels[40, 40] == 41


def test_windows_of_a_tiled_pack_share_its_tiles() -> None:
    pack = StandInPack(tiling=Tiling(36, 2))
    data = sdz(150, 100)
    whole = decode(data, session=StandInSession(pack)).pixels
    session = StandInSession(pack)
    assert np.array_equal(decode(data, session=session, tile=3).pixels, whole)
    assert [call[0] for call in session.calls].count("decode") == 6


def test_tilted_channels_have_their_own_steps_in_every_stage_and_tile() -> None:
    pack = StandInPack(octaves=np.array([0, 64, -64, 16], np.int32))
    payload = encode_planes(latents(3, 4), STEP, pack.coder)
    data = serialize(Header(64, 48, STEP, PACK.id, tilt=2), [Chunk(b"L", payload)])
    assert open_latents(data, pack=pack).picture.steps.tolist() == [40, 32, 48, 38]  # type: ignore[arg-type]
    q = latents(3, 4)[:3] * np.array([2, 1, 4])[:, None, None]
    expected = np.clip(128 + q, 0, 255).astype(np.uint8).repeat(16, axis=1).repeat(16, axis=2).transpose(1, 2, 0)
    assert np.array_equal(decode(data, stage="linear", pack=pack).pixels, expected)  # type: ignore[arg-type]
    whole = decode(data, session=StandInSession(pack)).pixels
    assert np.array_equal(decode(data, session=StandInSession(pack), tile=1).pixels, whole)
    assert not np.array_equal(decode(sdz(64, 48), session=StandInSession(pack)).pixels, whole)


def test_a_tilt_of_a_pack_without_octaves_is_refused() -> None:
    with pytest.raises(CorruptFileError, match="1, but the file's pack allows 0 only") as caught:
        decode(serialize(Header(64, 48, STEP, PACK.id, tilt=1), []), pack=PACK)
    assert (caught.value.offset, caught.value.field) == (3, "tilt")


def applies(picture: Picture) -> bool:
    return denoiser_applies(picture.pack, picture.codes, picture.count)


def test_the_denoiser_is_skipped_below_the_stated_precision() -> None:
    for step, stage in ((39, "decoded"), (40, "denoised")):
        session = StandInSession()
        assert decode(sdz(32, 32, step=step), session=session).stage == stage
    # a cut leaves latents less precisely known: one plane less is 8 eighths of an octave
    assert applies(unknown(40, 0)) and not applies(unknown(39, 0))
    data = sdz(32, 32, step=33)
    start, end = latent_span(data)
    assert {decode(data[:cut], session=StandInSession()).stage for cut in range(start + 1, end)} == {"linear", "decoded", "denoised"}
    assert decode(data, session=StandInSession()).stage == "decoded"


def test_no_network_runs_where_next_to_nothing_is_known() -> None:
    """Eight planes are 64 eighths of an octave, and 88 the most."""
    for step, reached in ((24, ("decoded", "denoised")), (25, ("linear", "linear"))):
        opened = opened_unknown(step, 8)
        assert (opened.reached("decoded"), opened.reached("denoised")) == reached


def unknown(step: int, planes: int) -> Picture:
    return opened_unknown(step, planes).picture


def opened_unknown(step: int, planes: int) -> Opened:
    """A picture of whose eight planes nothing is known, or of none: of even odds each plane beyond costs a one, the last of them a zero."""
    payload = {8: b"\xfe", 0: b"\xff\xfe"}[planes]
    return open_latents(serialize(Header(32, 32, step, PACK.id), [Chunk(b"L", payload)]), pack=PACK)


def test_every_prefix_decodes_and_the_last_is_the_whole() -> None:
    data = sdz(40, 40, after=(Chunk(b"E", b"II*\0"),))
    start, end = latent_span(data)
    whole = decode(data, pack=PACK, stage="linear")
    worse = []
    for n in range(10, len(data)):
        cut = decode(data, pack=PACK, stage="linear", max_bytes=n)
        assert cut.exif is None
        assert cut.complete is False or n >= end - 1
        worse.append(int(np.abs(cut.pixels.astype(int) - whole.pixels).sum()))
        if n <= start:
            assert cut.pixels.min() == cut.pixels.max() == 128
    assert worse[-1] == 0
    assert worse[0] == worse[start - 10] > 0
    assert whole.exif == b"II*\0"


def test_grey_and_alpha_choose_the_channels() -> None:
    alpha = np.random.default_rng(1).integers(0, 256, (20, 30), np.uint8)
    with_alpha = (Chunk(b"A", encode_alpha(alpha)),)
    colour = decode(sdz(30, 20), pack=PACK, stage="linear").pixels
    for grey, before, mode in ((True, (), "L"), (False, with_alpha, "RGBA"), (True, with_alpha, "LA")):
        image = decode(sdz(30, 20, grey=grey, before=before), pack=PACK, stage="linear")
        assert image.to_pil().mode == mode
        assert np.array_equal(image.pixels[:, :, : 1 if grey else 3], luma(colour)[:, :, None] if grey else colour)
        assert not before or np.array_equal(image.pixels[:, :, -1], alpha)


def test_luma_is_pillows() -> None:
    from PIL import Image

    rgb = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)
    assert np.array_equal(luma(rgb), np.asarray(Image.fromarray(rgb).convert("L")))


def test_alternative_text_and_exif_come_along() -> None:
    image = decode(sdz(9, 9, before=(Chunk(b"T", "Füße".encode()),), after=(Chunk(b"E", b"MM\0*"),)), pack=PACK, stage="linear")
    assert (image.alt, image.exif) == ("Füße", b"MM\0*")


def test_a_pack_that_is_not_the_files_is_refused() -> None:
    data = sdz(16, 16)
    with pytest.raises(MissingPackError, match="010203") as caught:
        decode(data, pack=StandInPack(id=b"\xff\0\0\0"))
    assert caught.value.pack_id == PACK.id
    with pytest.raises(MissingPackError):
        decode(data)
    with pytest.raises(MissingPackError):
        decode(data, session=StandInSession(StandInPack(id=b"\xff\0\0\0")))


def test_too_many_pixels_are_refused_before_anything_is_made() -> None:
    header = serialize(Header(16384, 8193, STEP, PACK.id), [])
    with pytest.raises(LimitError, match="16384x8193") as caught:
        decode(header, pack=PACK)
    assert caught.value.field == "width x height"
    assert limits.MAX_PIXELS == 16384 * 8192


def test_what_is_not_a_file_is_refused_as_by_parse() -> None:
    with pytest.raises(NotAnSdzError):
        decode(b"GIF89a", pack=PACK)
    with pytest.raises(CorruptFileError, match="field 'height' at byte 9"):
        decode(sdz(16, 16), pack=PACK, max_bytes=9)


def test_a_broken_alpha_chunk_is_named_with_its_offset() -> None:
    data = sdz(4, 4, before=(Chunk(b"A", zlib.compress(b"short")),))
    with pytest.raises(CorruptFileError) as caught:
        decode(data, pack=PACK, stage="linear")
    assert (caught.value.field, caught.value.offset) == ("alpha", 10 + struct.calcsize("<BBI"))


def test_random_payloads_decode_to_something() -> None:
    rng = np.random.default_rng(3)
    for _ in range(30):
        header = Header(33, 17, int(rng.integers(0, 81)), PACK.id)
        data = serialize(header, [Chunk(b"L", rng.bytes(int(rng.integers(0, 200))))])
        assert decode(data, session=StandInSession()).pixels.shape == (17, 33, 3)


def test_a_file_is_decoded_from_whatever_holds_it(tmp_path: Path) -> None:
    data = sdz(64, 48)
    path = tmp_path / "a.sdz"
    path.write_bytes(data)
    expected = decode(data, pack=PACK, stage="linear").pixels
    with path.open("rb") as file:
        assert np.array_equal(decode(file, pack=PACK, stage="linear").pixels, expected)
    for given in (path, str(path), bytearray(data), memoryview(data), np.frombuffer(data, np.uint8), io.BytesIO(data)):
        assert np.array_equal(decode(given, pack=PACK, stage="linear").pixels, expected)
    assert open_latents(path, pack=PACK, max_bytes=20).picture.complete is False
    with pytest.raises(FileNotFoundError):
        decode(tmp_path / "b.sdz")


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (None, {}, "an .sdz is a path, its bytes, or a file opened for binary reading, not None"),
        (np.zeros((2, 2)), {}, "an .sdz is a path, its bytes, or a file opened for binary reading, not an array of float64 (2, 2)"),
        (b"", {"stage": "best"}, "stage is 'best', it must be linear, decoded or denoised"),
        (b"", {"realism": 2}, "realism is 2, it must lie in 0..1"),
    ],
)
def test_what_is_no_file_or_no_option_is_refused_in_words(given: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DecodeInputError) as refused:
        decode(given, **options)
    assert str(refused.value) == message
