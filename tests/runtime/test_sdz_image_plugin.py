"""The Pillow plugin, by Pillow's own habits: sanity, laziness, drafts, invalid and truncated files, limits, saving."""

from __future__ import annotations

import io
import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

import sdz.runtime.decode
from sdz.runtime import SdzImagePlugin
from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.errors import CorruptFileError, EncodeInputError, LimitError, MissingPackError, NotAnSdzError
from sdz.runtime.format.container import LATENTS, Chunk, Header, latent_span, parse, serialize, survey
from sdz.runtime.pack import default_pack

WIDTH, HEIGHT = 150, 90
VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "invalid"


def photo(mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    channels = [x * 255 // WIDTH, y * 255 // HEIGHT, (x + y) % 256, (x * 3) % 256][: len(mode)]
    return Image.fromarray(np.stack(channels, axis=2).astype(np.uint8).squeeze())


def saved(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "SDZ", **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def data() -> bytes:
    return saved(photo(), target_size=1500, alt="a ramp")


def test_sanity(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.size, image.mode) == ("SDZ", (WIDTH, HEIGHT), "RGB")
        assert image.get_format_mimetype() == "image/x-sdz"
        assert image.info == {"alt": "a ramp"}
        assert np.array_equal(np.asarray(image), decode(data).pixels)
    assert Image.registered_extensions()[".sdz"] == "SDZ"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_modes_come_back(mode: str) -> None:
    source = photo(mode)
    data = saved(source, quality=30)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == mode
        image.load()
        assert (image.mode, image.size) == (mode, source.size)
        if "A" in mode:
            assert np.array_equal(np.asarray(image.getchannel("A")), np.asarray(source.getchannel("A")))
        assert np.array_equal(np.asarray(image), decode(data).pixels.squeeze())


def test_opening_reads_the_header_only(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(io.BytesIO):
        got = 0

        def read(self, size: int | None = -1) -> bytes:
            found = super().read(size)
            self.got += len(found)
            return found

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("decoded while opening")

    monkeypatch.setattr(sdz.runtime.decode, "decode", refuse)
    file = Counting(data)
    # of this format alone: other plugins, which Pillow asks in the order they were loaded in, may read before they decline
    with Image.open(file, formats=["SDZ"]) as image:
        assert image.size == (WIDTH, HEIGHT)
        # Pillow's own 16 bytes, header, two chunk heads, the text; never the latents
        assert file.got < 100 < len(data)


def test_draft_is_the_linear_stage_reduced(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        assert image.draft(None, (WIDTH + 1, 1)) is None
        assert image.draft(None, (30, 20)) == ("RGB", (0, 0, WIDTH / 4, HEIGHT / 4))
        assert image.size == (38, 23)
        assert np.array_equal(np.asarray(image), decode(data, stage="linear", reduce=4).pixels)
        assert image.draft(None, (1, 1)) is None
    with Image.open(io.BytesIO(data)) as image:
        assert image.draft("RGB", None) == ("RGB", (0, 0, WIDTH, HEIGHT))
        assert np.array_equal(np.asarray(image), decode(data, stage="linear").pixels)


def test_thumbnail_runs_no_network(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdz.runtime.decode, "_run_networks", None)
    with Image.open(io.BytesIO(data)) as image:
        image.thumbnail((32, 32))
        assert image.size == (32, 19)
        expected = decode(data, stage="linear").to_pil().resize((32, 19), Image.Resampling.BOX)
        assert np.abs(np.asarray(image).astype(int) - np.asarray(expected)).mean() < 3


def test_the_reduced_linear_stage_is_the_mean_of_pixels() -> None:
    alpha = photo("RGBA")
    data = encode(alpha, quality=30)
    full = decode(data, stage="linear").pixels.astype(int)
    for factor in (2, 4, 8, 16):
        small = decode(data, stage="linear", reduce=factor).pixels
        assert small.shape == (-(-HEIGHT // factor), -(-WIDTH // factor), 4)
        whole = full[: HEIGHT // factor * factor, : WIDTH // factor * factor, :3]
        means = whole.reshape(HEIGHT // factor, factor, WIDTH // factor, factor, 3).mean(axis=(1, 3))
        # each pixel of the full picture is rounded and clamped, the mean only once
        unclamped = ((whole > 0) & (whole < 255)).reshape(HEIGHT // factor, factor, WIDTH // factor, factor, 3).all(axis=(1, 3))
        assert unclamped.any()
        inside = small[: HEIGHT // factor, : WIDTH // factor, :3]
        assert np.abs(inside - means)[unclamped].max() <= 1.0
    for wrong in ({"reduce": 3, "stage": "linear"}, {"reduce": 2, "stage": "decoded"}):
        with pytest.raises(ValueError, match=r"reduce is \d at stage"):
            decode(data, **wrong)  # type: ignore[arg-type]


def test_invalid_files() -> None:
    for wrong in (b"", b"SD", b"GIF89a", b"not an image at all"):
        with pytest.raises(SyntaxError, match=r"not an \.sdz file") as refused:
            SdzImagePlugin.SdzImageFile(io.BytesIO(wrong))
        assert isinstance(refused.value.__cause__, NotAnSdzError)
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(b"not an image at all"))


def test_truncation_at_every_length_of_the_header_and_some_behind_it(data: bytes) -> None:
    header = parse(data).header_bytes
    for length in range(3, header):
        with pytest.raises(OSError, match="inside the header") as failed:
            Image.open(io.BytesIO(data[:length]))
        assert isinstance(failed.value.__cause__, CorruptFileError)
    start, _ = latent_span(data)
    for length in (header, header + 3, start, start + 1, start + 200, len(data) - 1):
        with Image.open(io.BytesIO(data[:length])) as image:
            assert np.array_equal(np.asarray(image), decode(data[:length]).pixels)


def test_an_alpha_chunk_that_is_cut_does_not_count() -> None:
    data = saved(photo("RGBA"), quality=20)
    alpha = parse(data).chunks[0]
    assert alpha.tag == b"A"
    with Image.open(io.BytesIO(data[: alpha.start + 5])) as image:
        assert image.mode == "RGB"
        image.load()


def test_a_broken_file_is_an_oserror_that_tells_its_cause(data: bytes) -> None:
    with Image.open(io.BytesIO(data[:-1] + bytes([data[-1] ^ 1]))) as image, pytest.raises(OSError, match="has CRC") as failed:
        image.load()
    assert isinstance(failed.value.__cause__, CorruptFileError)
    foreign = serialize(Header(9, 9, 40, b"\xaa\xbb\xcc"), [])
    with Image.open(io.BytesIO(foreign)) as image, pytest.raises(OSError, match="aabbcc is not installed") as failed:
        image.load()
    assert isinstance(failed.value.__cause__, MissingPackError)


def test_pillows_limits_hold() -> None:
    def of(width: int, height: int) -> io.BytesIO:
        return io.BytesIO(serialize(Header(width, height, 40, default_pack().id), []))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Image.DecompressionBombWarning):
            Image.open(of(12_000, 8_000))
        with pytest.raises(Image.DecompressionBombError):
            Image.open(of(16_384, 16_384))
    wide = Image.MAX_IMAGE_PIXELS
    try:
        Image.MAX_IMAGE_PIXELS = None
        with Image.open(of(16_384, 16_384)) as image, pytest.raises(OSError, match="over a limit") as failed:
            image.load()
    finally:
        Image.MAX_IMAGE_PIXELS = wide
    assert isinstance(failed.value.__cause__, LimitError)


def test_saving_to_a_path_and_by_options(tmp_path: Path) -> None:
    path = tmp_path / "a.sdz"
    photo().save(path, target_size=600, alt="Rampe")
    assert path.stat().st_size == 600
    with Image.open(path) as image:
        assert image.info["alt"] == "Rampe"
    assert saved(photo(), quality=60) == encode(photo(), quality=60)
    spots = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)).resize((96, 96))
    assert saved(spots, quality=60, effort=2) == encode(spots, quality=60, effort=2) != encode(spots, quality=60)
    assert saved(spots, tune="faithful") == encode(spots, tune="faithful") != encode(spots)
    assert saved(photo(), bpp=0.5) == encode(photo(), bpp=0.5)
    assert saved(photo()) == encode(photo())
    assert saved(photo("L").convert("P")) == encode(photo("L").convert("P"))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_lossless_file_opens_as_the_photo_itself(mode: str) -> None:
    data = saved(photo(mode), lossless=True, target_size=300)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), np.asarray(photo(mode)))


def test_saving_what_cannot_be_leaves_no_file(tmp_path: Path) -> None:
    for options in ({"quality": 101}, {"target_size": 3}, {"quality": 1, "bpp": 1}, {"alt": "a" * 5000}, {"bpp": float("nan")}):
        with pytest.raises(EncodeInputError):
            photo().save(tmp_path / "a.sdz", **options)
    with pytest.raises(EncodeInputError):
        Image.new("F", (9, 9)).save(tmp_path / "a.sdz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"quality": 101}, {"quality": "keep"}, {"bpp": "0.5"}, {"target_size": 3}, {"alt": b"a"}])
def test_saving_over_a_good_file_with_a_bad_option_leaves_it(tmp_path: Path, options: dict[str, object]) -> None:
    path = tmp_path / "a.sdz"
    photo().save(path)
    before = path.read_bytes()
    for name in (path, str(path), os.fsencode(path)):
        with pytest.raises(EncodeInputError):
            photo().save(name, **options)
        with pytest.raises(EncodeInputError):
            photo().save(name, "SDZ", **options)
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (before, [path])


def test_saving_over_a_file_keeps_its_mode_and_its_links(tmp_path: Path) -> None:
    path, link = tmp_path / "a.sdz", tmp_path / "b.sdz"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    photo().save(link, quality=30)
    assert (path.read_bytes(), path.stat().st_mode & 0o777, link.is_symlink()) == (saved(photo(), quality=30), 0o640, True)
    # other formats are Pillow's own business
    photo().save(tmp_path / "c.png")
    with pytest.raises(OSError, match="cannot write mode"):
        photo("RGB").convert("RGBA").save(tmp_path / "d.jpg")
    photo().save("/dev/null", "SDZ")
    assert not Path("/dev/null").is_file()


def test_a_vast_picture_of_next_to_no_bytes_is_a_bomb() -> None:
    def of(width: int, height: int, *chunks: Chunk) -> io.BytesIO:
        return io.BytesIO(serialize(Header(width, height, 40, default_pack().id), chunks))

    text = Chunk(b"T", b"a" * 4000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for suspect in (of(9_459, 9_459), of(9_459, 9_459, text, Chunk(b"L", b"a")), of(2_001, 2_000)):
            with pytest.raises(Image.DecompressionBombWarning, match="could be a decompression bomb"):
                Image.open(suspect)
        for good in (of(2_000, 2_000), of(9_400, 9_400, Chunk(b"L", b"a" * 2_210))):
            Image.open(good).close()


def test_exif_is_stored_when_given_and_its_orientation_applied() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a ramp"
    exif[0x0112] = 6  # to be turned clockwise
    for given in (exif, exif.tobytes()):
        with Image.open(io.BytesIO(saved(photo(), exif=given, quality=30))) as image:
            assert image.size == (HEIGHT, WIDTH)
            assert dict(image.getexif()) == {0x010E: "a ramp"}
    assert not parse(saved(photo())).find(b"E")
    source = photo()
    source.info["exif"] = exif.tobytes()
    assert not parse(saved(source)).find(b"E")


def test_a_colour_profile_is_converted_away() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert saved(photo(), icc_profile=lab) == saved(photo())
    tagged = photo()
    tagged.info["icc_profile"] = b"broken"
    assert saved(tagged, icc_profile=None) == saved(photo())
    assert tagged.info["icc_profile"] == b"broken"
    with Image.open(io.BytesIO(saved(tagged))) as image:
        assert "icc_profile" not in image.info


def test_survey_says_what_parse_says_without_reading_the_pixels(data: bytes) -> None:
    for length in range(parse(data).header_bytes, len(data), 7):
        found, expected = survey(io.BytesIO(data[:length])), parse(data[:length])
        assert found.header == expected.header
        places = [(c.tag, c.complete, c.offset, c.start, c.length) for c in expected.chunks]
        assert [(c.tag, c.complete, c.offset, c.start, c.length) for c in found.chunks] == places
        assert [c.payload for c in found.chunks] == [b"" if c.tag == LATENTS else c.payload for c in expected.chunks]


def test_a_file_is_read_by_pillows_parser(data: bytes) -> None:
    parser = ImageFile.Parser()
    parser.feed(data)
    assert parser.close().size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("name", sorted(path.stem for path in VECTORS.glob("*.sdz")))
def test_every_invalid_vector_is_refused_with_its_typed_cause(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = default_pack()
    monkeypatch.setattr(sdz.runtime.decode, "find_pack", lambda _: pack)
    expected = json.loads((VECTORS / f"{name}.json").read_bytes())
    with pytest.raises((OSError, SyntaxError)) as refused, SdzImagePlugin.SdzImageFile(VECTORS / f"{name}.sdz") as image:
        image.load()
    cause = refused.value.__cause__
    assert type(cause).__name__ == expected["error"]
    assert isinstance(refused.value, SyntaxError) == isinstance(cause, NotAnSdzError)
    for field in ("offset", "field"):
        assert getattr(cause, field, None) == expected.get(field)
