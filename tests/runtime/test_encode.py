"""The encoder on the stand-in pack: exact sizes, every mode of Pillow, metadata, and what it refuses."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage.data import astronaut
from standins import StandInPack, StandInSession

from sdz.runtime import limits
from sdz.runtime.decode import decode, open_latents
from sdz.runtime.encode import encode, palette_entries, step_index_for
from sdz.runtime.errors import EncodeInputError, LimitError
from sdz.runtime.format.container import parse
from sdz.runtime.format.planes import decode_planes
from sdz.runtime.format.reconstruction import channel_steps, step_units
from sdz.runtime.format.tiles import Tiling
from sdz.runtime.options import TUNES, Tune
from sdz.runtime.photo import fill_transparent, open_image, prepare
from sdz.runtime.pictures.kinds import image_suffixes
from sdz.runtime.quantize import TUNINGS, posterior_weights, rdo_quantize
from sdz.runtime.refining.encoder import encode_latents, encode_with_deviation
from sdz.runtime.refining.sensitivity import latent_weights, sensitivity

SESSION = StandInSession()


def photo(width: int = 150, height: int = 100) -> Image.Image:
    rng = np.random.default_rng(width)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))


def test_encoder_tiles_of_a_tiled_pack_are_blended_and_deviations_come_along() -> None:
    class Session(StandInSession):
        def encode_with_deviation(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
            latents = self.encode(pixels)
            return latents, latents + len(self.calls)

    pixels = np.random.default_rng(3).integers(0, 256, (112, 160, 3)).astype(np.uint8)
    whole = encode_latents(pixels, StandInSession())
    session = Session(StandInPack(encoder_tiling=Tiling(36, 2)))
    latents, deviation = encode_with_deviation(pixels, session)
    assert [call[1:] for call in session.calls] == [(4, 4), (4, 5), (4, 5), (5, 4), (5, 5), (5, 5)]
    assert np.allclose(latents, whole, atol=1e-3)
    assert deviation is not None
    # two positions of overlap: a quarter and three quarters of the second tile
    assert np.allclose((deviation - latents)[0, 0], [1, 1, 1.25, 1.75, 2, 2.25, 2.75, 3, 3, 3], atol=1e-3)
    assert encode_with_deviation(pixels, StandInSession())[1] is None


def test_quality_is_linear_in_the_step_index() -> None:
    expected = {0: 80, 10: 74, 25: 64, 50: 48, 75: 32, 90: 22, 100: 16}
    assert {quality: step_index_for(quality) for quality in expected} == expected
    assert parse(encode(photo(), session=SESSION)).header.step_index == 60
    assert parse(encode(photo(), quality=75, session=SESSION)).header.step_index == 32


@pytest.mark.parametrize("size", range(14, 120))
def test_a_target_size_is_met_exactly(size: int) -> None:
    data = encode(photo(), target_size=size, session=SESSION)
    assert len(data) == size
    assert all(chunk.complete for chunk in parse(data).chunks)
    assert decode(data, session=SESSION).pixels.shape == (100, 150, 3)


def test_the_one_size_that_a_longer_length_field_skips_is_met_but_for_a_byte() -> None:
    # 12 bytes of header with its realism, 3 of chunk head and 127 of latents make 142; 128 latents need a second length byte
    sizes = {size: len(encode(photo(), target_size=size, quality=None, session=SESSION)) for size in (140, 141, 142, 143, 144)}
    header = parse(encode(photo(), target_size=140, session=SESSION)).header_bytes
    gap = header + 3 + 127 + 1
    assert sizes == {size: size - 1 if size == gap else size for size in sizes}
    assert gap == 143


def test_bpp_is_the_whole_files() -> None:
    data = encode(photo(), bpp=0.05, session=SESSION)
    assert len(data) == int(0.05 * 150 * 100 / 8) == 93
    data = encode(photo(), bpp=0.05, alt="x" * 40, session=SESSION)
    assert len(data) == 93


def test_more_bytes_than_the_finest_step_needs_give_the_whole_file_of_it() -> None:
    assert encode(photo(), target_size=1_000_000, session=SESSION) == encode(photo(), quality=100, session=SESSION)


def test_a_target_cuts_the_coarsest_step_that_is_large_enough() -> None:
    sizes = {i: len(encode(photo(), quality=100 - (i - 16) / 0.64, session=SESSION)) for i in range(16, 81)}
    data = encode(photo(), target_size=200, session=SESSION)
    assert parse(data).header.step_index == max(i for i, size in sizes.items() if size >= 200)


def test_too_small_a_target_says_what_is_needed() -> None:
    with pytest.raises(EncodeInputError, match="a target of 13 bytes is too small: this image needs at least 14"):
        encode(photo(), target_size=13, session=SESSION)
    with pytest.raises(EncodeInputError, match="needs at least 26"):
        encode(photo(), target_size=25, alt="cat", session=SESSION)


@pytest.mark.parametrize(
    "options",
    [
        {"quality": -1},
        {"quality": 101},
        {"bpp": 0},
        {"bpp": float("nan")},
        {"bpp": float("inf")},
        {"quality": 5, "bpp": 1.0},
        {"target_size": -5},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(EncodeInputError):
        encode(photo(), session=SESSION, **options)  # type: ignore[arg-type]


def test_large_images_go_through_in_overlapping_tiles() -> None:
    session = StandInSession()
    image = photo(1100, 40)
    latents = encode_latents(np.asarray(image), session)  # type: ignore[arg-type]
    assert session.calls == [("encode", 3, 69), ("encode", 3, 13)]
    padded = np.pad(np.asarray(image), ((0, 8), (0, 4), (0, 0)), mode="edge")
    assert np.array_equal(latents, StandInSession().encode(padded))


MODES = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB", "I", "I;16", "I;16B"]


def in_mode(mode: str) -> Image.Image:
    base = Image.linear_gradient("L").resize((24, 16))
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(base.convert("RGB"), srgb, lab, outputMode="LAB")
    if mode == "I;16B":
        return Image.frombytes(mode, base.size, (np.asarray(base).astype(">u2") * 257).tobytes())
    if mode in ("I", "I;16"):
        return Image.fromarray(np.asarray(base).astype(np.int32 if mode == "I" else np.uint16) * 257)
    steps = {"La": ("LA", "La"), "PA": ("P", "PA"), "RGBa": ("RGBA", "RGBa"), "LAB": (), "HSV": ("RGB", "HSV"), "P": ("P",)}
    for step in steps.get(mode, ("RGB", mode)):
        base = base.convert(step)
    return base


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_8_bit_srgb(mode: str) -> None:
    image = in_mode(mode)
    assert image.mode == mode
    source = prepare(image)
    expected = np.asarray(in_mode("1" if mode == "1" else "L").convert("RGB"))
    assert source.rgb.shape == (16, 24, 3) and source.rgb.dtype == np.uint8
    assert np.abs(source.rgb.astype(int) - expected).max() <= 1
    assert source.grey == (mode in ("1", "L", "LA", "La", "I", "I;16", "I;16B"))
    assert source.alpha is None and source.exif == b""
    assert parse(encode(image, session=SESSION)).header.grey == source.grey


def test_floating_point_samples_are_refused() -> None:
    with pytest.raises(EncodeInputError, match="no defined range"):
        prepare(Image.new("F", (4, 4)))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB", "L"])
def test_alpha_is_kept_without_loss(mode: str) -> None:
    base = photo(31, 17)
    mask = np.random.default_rng(5).integers(0, 256, (17, 31), np.uint8)
    if mode in ("RGBA", "LA"):
        image = base.convert(mode[:-1])
        image.putalpha(Image.fromarray(mask))
    else:
        image = Image.new(mode, (31, 17))
        image.paste(1, (3, 4, 9, 12)) if mode == "P" else image.paste("white", (3, 4, 9, 12))
        image.info["transparency"] = (0, 0, 0) if mode == "RGB" else 0
        mask = np.zeros_like(mask)
        mask[4:12, 3:9] = 255
    decoded = decode(encode(image, session=SESSION), session=SESSION)
    assert decoded.to_pil().mode == ("LA" if mode in ("L", "LA") else "RGBA")
    assert np.array_equal(decoded.pixels[:, :, -1], mask)


def test_an_opaque_alpha_channel_is_dropped() -> None:
    assert encode(photo().convert("RGBA"), session=SESSION) == encode(photo(), session=SESSION)


def test_invisible_colours_are_replaced_smoothly() -> None:
    rgb = np.asarray(photo(40, 30)).copy()
    alpha = np.full((30, 40), 255, np.uint8)
    alpha[:, 10:] = 0
    rgb[:, :10] = (10, 200, 30)
    filled = fill_transparent(rgb, alpha)
    assert np.array_equal(filled[:, :10], rgb[:, :10])
    assert np.abs(filled.astype(int) - [10, 200, 30]).max() <= 2
    assert np.array_equal(fill_transparent(rgb, np.zeros_like(alpha)), np.full_like(rgb, 128))
    assert fill_transparent(rgb, np.ones_like(alpha)) is rgb


def test_the_orientation_is_applied_and_the_exif_kept_on_request() -> None:
    image = photo(30, 20)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif)
    turned = Image.open(io.BytesIO(file.getvalue()))
    source = prepare(turned)
    assert np.array_equal(source.rgb, np.asarray(image.transpose(Image.Transpose.ROTATE_270)))
    plain = encode(turned, session=SESSION)
    kept = encode(turned, keep_metadata=True, session=SESSION)
    assert [chunk.tag for chunk in parse(plain).chunks] == [b"L"]
    assert [chunk.tag for chunk in parse(kept).chunks] == [b"L", b"E"]
    stored = Image.Exif()
    stored.load(b"Exif\0\0" + (decode(kept, session=SESSION).exif or b""))
    assert dict(stored) == {0x010F: "maker"}


def test_a_broken_exif_block_or_profile_does_not_stop_a_good_photo() -> None:
    image = photo(30, 20)
    image.info["exif"] = b"Exif\0\0garbage"
    image.info["icc_profile"] = b"garbage"
    assert np.array_equal(prepare(image).rgb, np.asarray(photo(30, 20)))


def test_a_colour_profile_is_applied() -> None:
    image = photo(30, 20)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.info["icc_profile"] = srgb
    assert np.abs(prepare(image).rgb.astype(int) - np.asarray(photo(30, 20))).max() <= 1
    # the same primaries under each other's names: a profile of blue, green, red
    swapped = srgb.replace(b"rXYZ", b"tmp0").replace(b"bXYZ", b"rXYZ").replace(b"tmp0", b"bXYZ")
    image.info["icc_profile"] = swapped
    assert np.abs(prepare(image).rgb.astype(int) - np.asarray(photo(30, 20))[:, :, ::-1]).max() <= 1


def test_alternative_text_has_its_limit() -> None:
    assert decode(encode(photo(), alt="Füße", session=SESSION), session=SESSION).alt == "Füße"
    with pytest.raises(EncodeInputError, match="4098 bytes, at most 4096"):
        encode(photo(), alt="ü" * 2049, session=SESSION)


def test_chunks_stand_in_the_writers_order() -> None:
    image = photo(30, 20)
    exif = Image.Exif()
    exif[0x010F] = "maker"
    image.info["exif"] = exif.tobytes()
    image.putalpha(Image.linear_gradient("L").resize((30, 20)))
    data = encode(image, alt="x", keep_metadata=True, session=SESSION)
    assert [chunk.tag for chunk in parse(data).chunks] == [b"T", b"A", b"L", b"E"]


@pytest.mark.parametrize("size", [(16385, 1), (1, 16385), (16384, 8193)])
def test_an_image_over_a_limit_is_refused_unread(size: tuple[int, int]) -> None:
    image = Image.new("1", (1, 1))
    image._size = size  # type: ignore[attr-defined]
    with pytest.raises(LimitError):
        prepare(image)
    assert limits.MAX_SIDE == 16384


def test_every_small_size_round_trips() -> None:
    for width, height in [(1, 1), (1, 17), (16, 16), (17, 15), (33, 1)]:
        data = encode(photo(width, height), quality=100, session=SESSION)
        assert decode(data, session=SESSION).pixels.shape == (height, width, 3)


def test_the_file_holds_the_quantized_latents() -> None:
    image = photo(48, 32)
    data = encode(image, quality=80, session=SESSION)
    header, chunk = parse(data).header, parse(data).find(b"L")
    assert chunk is not None
    known = decode_planes(chunk.payload, 4, 2, 3, header.step_index, StandInPack().coder)
    latents = encode_latents(np.asarray(image), SESSION)  # type: ignore[arg-type]
    weights = latent_weights(sensitivity(np.asarray(image), 16, TUNINGS["natural"].masking))  # type: ignore[arg-type]
    expected = rdo_quantize(latents, header.step_index, StandInPack().coder, TUNINGS["natural"], weights)
    assert np.array_equal(np.where(known.negative, -known.magnitude, known.magnitude), expected)


def test_a_pack_with_octaves_has_its_files_tilted_as_the_tuning_says() -> None:
    pack = StandInPack(octaves=np.array([-32, 0, 16, 32], np.int32))
    session, image = StandInSession(pack), photo(48, 32)
    latents = encode_latents(np.asarray(image), session)  # type: ignore[arg-type]
    for tune, tuning in TUNINGS.items():
        header = parse(data := encode(image, quality=80, tune=tune, session=session)).header
        chunk = parse(data).find(b"L")
        assert chunk is not None and header.tilt == tuning.tilt
        known = decode_planes(chunk.payload, 4, 2, 3, header.step_index, pack.coder)
        weights = latent_weights(sensitivity(np.asarray(image), 16, tuning.masking))  # type: ignore[arg-type]
        steps = channel_steps(header.step_index, tuning.tilt, pack.octaves, 4)
        expected = rdo_quantize(latents, header.step_index, pack.coder, tuning, weights, steps)
        assert np.array_equal(np.where(known.negative, -known.magnitude, known.magnitude), expected)
    assert parse(encode(image, quality=80, session=SESSION)).header.tilt == 0


def test_a_file_states_the_realism_of_its_tuning_where_a_denoiser_may_run() -> None:
    image = photo(48, 32)

    def realism(tune: Tune, session: StandInSession, quality: float) -> int:
        return parse(encode(image, quality=quality, tune=tune, session=session)).header.realism

    for quality in (0, 30, 80):
        step_index = step_index_for(quality)
        found = [realism(tune, SESSION, quality) for tune in TUNES]
        assert found == [TUNINGS["natural"].realism(step_index), 0]
    without = StandInSession(StandInPack(denoiser_min_step_index=None))
    assert [realism(tune, without, 30) for tune in TUNES] == [16, 16]
    # a picture of the linear stage alone
    assert [parse(encode(image, quality=90, tune=tune)).header.realism for tune in TUNES] == [16, 16]


def test_a_faithful_file_is_smaller_at_the_same_step_and_an_unknown_tuning_is_refused() -> None:
    face = np.ascontiguousarray(astronaut()[:192, 128:320])
    natural, faithful = (encode(face, quality=30, tune=tune, effort=0) for tune in TUNINGS)
    assert parse(natural).header.step_index == parse(faithful).header.step_index
    assert len(faithful) < len(natural)
    with pytest.raises(EncodeInputError, match="tune is 'sharp', it must be auto, natural or faithful"):
        encode(photo(), tune="sharp", session=SESSION)  # type: ignore[arg-type]


def test_opening_photos(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"not an image")
    with pytest.raises(EncodeInputError, match="not an image that Pillow can read"):
        open_image(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError):
        open_image(tmp_path / "b.png")
    file = io.BytesIO()
    photo().save(file, "PNG")
    cut = io.BytesIO(file.getvalue()[:2000])
    with pytest.raises(EncodeInputError, match="cannot be read"):
        encode(open_image(cut), session=SESSION)
    assert {".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff"} <= image_suffixes()
    assert ".pdf" not in image_suffixes()


def test_a_posterior_decides_how_precisely_each_latent_is_sent() -> None:
    deviation = np.ones((4, 2, 3), np.float32)
    deviation[:, 1] = 8.0

    class Session(StandInSession):
        def encode_with_deviation(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
            return self.encode(pixels), deviation

    image = photo(48, 32)
    data = encode(image, quality=60, tune="faithful", session=Session())
    assert data != encode(image, quality=60, tune="faithful", session=SESSION)
    header, chunk = parse(data).header, parse(data).find(b"L")
    assert chunk is not None
    known = decode_planes(chunk.payload, 4, 2, 3, header.step_index, StandInPack().coder)
    latents = encode_latents(np.asarray(image), SESSION)  # type: ignore[arg-type]
    expected = rdo_quantize(latents, header.step_index, StandInPack().coder, TUNINGS["faithful"], posterior_weights(deviation))
    assert np.array_equal(known.magnitude, np.abs(expected))


PALETTE_SESSION = StandInSession(StandInPack(quantizer="palette"))


def test_palette_qualities_double_every_eighth() -> None:
    assert [palette_entries(quality) for quality in (0, 12.5, 50, 90, 100)] == [1, 2, 16, 147, 256]
    with pytest.raises(EncodeInputError, match="quality is 101"):
        palette_entries(101)


def test_a_palette_packs_file_holds_a_palette_in_place_of_planes() -> None:
    image = photo()
    data = encode(image, alt="x", session=PALETTE_SESSION)
    header, chunks = parse(data).header, parse(data).chunks
    assert [chunk.tag for chunk in chunks] == [b"T", b"P"]
    # 70 positions are fewer than 256 entries: each is its own, rounded to a step that brings the largest to 127
    latents = encode_latents(np.asarray(image), SESSION)  # type: ignore[arg-type]
    known = open_latents(data, pack=PALETTE_SESSION.pack).picture.known()  # type: ignore[arg-type]
    signed = known.magnitude * np.where(known.negative, -1, 1)
    assert np.array_equal(signed, np.rint(4 * latents / step_units(header.step_index)))
    assert known.magnitude.max() > 116
    few = encode(image, quality=25, session=PALETTE_SESSION)
    assert len(few) < len(data)
    assert encode(image, quality=25, tune="faithful", session=PALETTE_SESSION) != few
    assert decode(few, session=PALETTE_SESSION).pixels.shape == (100, 150, 3)  # type: ignore[arg-type]


def test_a_palette_takes_as_many_entries_as_fit() -> None:
    for size in (120, 200, 333):
        data = encode(photo(), target_size=size, session=PALETTE_SESSION)
        assert 0.8 * size < len(data) <= size
    with pytest.raises(EncodeInputError, match=r"a target of 30 bytes is too small: this image needs at least \d+ with one colour"):
        encode(photo(), target_size=30, session=PALETTE_SESSION)


def test_a_cut_palette_is_mid_grey_behind_any_stage() -> None:
    data = encode(photo(), session=PALETTE_SESSION)
    cut = decode(data[:-1], stage="linear", pack=PALETTE_SESSION.pack)  # type: ignore[arg-type]
    assert (cut.pixels == 128).all() and not cut.complete


def test_a_palette_file_states_no_tilt_that_its_quantizer_did_not_apply() -> None:
    octaves = np.array([-32, 0, 16, 32], np.int32)
    session = StandInSession(StandInPack(quantizer="palette", octaves=octaves))
    data = encode(photo(), session=session)
    assert parse(data).header.tilt == 0
    assert data == encode(photo(), session=PALETTE_SESSION)
    assert open_latents(data, pack=session.pack).picture.steps.tolist() == [parse(data).header.step_index] * 4  # type: ignore[arg-type]
