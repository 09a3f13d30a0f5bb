"""Image files before they are pixels: which are read and by what, colours given by code points, pictures read small."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from coloured import PATCHES, avif, heic, patches, png
from PIL import Image

from sdz.runtime.errors import EncodeInputError, LimitError, MissingExtraError, UnknownImageError
from sdz.runtime.photo import prepare, read_photo
from sdz.runtime.pictures import kinds, large
from sdz.runtime.pictures.cicp import find_cicp
from sdz.runtime.pictures.large import read_small

# which files are pictures


def test_what_is_a_picture_by_its_name() -> None:
    suffixes = kinds.image_suffixes()
    assert {".jpg", ".png", ".webp", ".avif", ".avifs", ".heic", ".hif", ".tif", ".psd"} <= suffixes
    assert not {".mpg", ".eps", ".nef", ".dng", ".pdf", ".svg"} & suffixes


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\xff\xd8\xff\xe1", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WebP"),
        (b"\0\0\0\x20ftypheix", "HEIC"),
        (b"\0\0\0\x20ftypavis", "AVIF"),
        (b"\0\0\0\x20ftypmp42", None),
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"GIF89a", "GIF"),
        (b"MM\0*", "TIFF"),
        (b"", None),
        (b"text", None),
    ],
)
def test_what_is_a_picture_by_its_first_bytes(head: bytes, name: str | None) -> None:
    assert kinds.kind_of_bytes(head) == name


def test_heic_is_read() -> None:
    """Also in a process that looks at no folder first, and does not know the format until the file asks for it."""
    rgb = read_photo(heic(1, 13)).rgb
    assert np.abs(rgb[8, 8::16].astype(int) - PATCHES).max() <= 6
    code = "import sys; from sdz.runtime.photo import read_photo; print(read_photo(sys.stdin.buffer.read()).rgb.shape)"
    done = subprocess.run([sys.executable, "-c", code], input=heic(1, 13), capture_output=True, cwd=Path(__file__).parents[2], check=True)
    assert done.stdout == b"(16, 128, 3)\n"


def test_a_plugin_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"^HEIC needs pillow-heif, which is not installed: pip install 'sdz\[heif\]'$"):
        read_photo(b"\0\0\0\x20ftypheic and so on")
    with pytest.raises(MissingExtraError, match=r"^JPEG XL needs pillow-jxl-plugin, which is not installed: pip install 'sdz\[bench\]'$"):
        kinds.plugin_format(b"\xff\x0a and so on")


def test_damaged_heic_is_no_image() -> None:
    with pytest.raises(UnknownImageError):
        read_photo(b"\0\0\0\x20ftypheic and so on")


def test_the_first_picture_of_a_sequence() -> None:
    out = io.BytesIO()
    patches().save(out, "AVIF", save_all=True, append_images=[patches().rotate(180)], quality=100, subsampling="4:4:4")
    assert out.getvalue()[4:12] == b"ftypavis"
    assert np.abs(read_photo(out.getvalue()).rgb[8, 8::16].astype(int) - PATCHES).max() <= 2


# colours


@pytest.mark.parametrize("given", [png(12, 13), avif(12, 13)], ids=["png", "avif"])
def test_code_points_are_found_wherever_the_file_is(given: bytes, tmp_path: Path) -> None:
    """Display P3's red is beyond sRGB's; a file that is not open any more is looked at again."""
    path = tmp_path / "a"
    path.write_bytes(given)
    expected = read_photo(given).rgb
    assert expected[8, 8].tolist()[0] >= 250
    with Image.open(path) as opened:
        assert np.array_equal(prepare(opened).rgb, expected)
        opened.load()
        assert np.array_equal(prepare(opened).rgb, expected)
    with path.open("rb") as file:
        assert np.array_equal(read_photo(file).rgb, expected)
    assert np.array_equal(read_photo(path).rgb, expected)


def test_heic_with_code_points() -> None:
    flat, wide = read_photo(heic(1, 13)).rgb[8, 8], read_photo(heic(12, 13)).rgb[8, 8]
    assert wide[0] >= flat[0] + 15


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
@pytest.mark.parametrize("file", [png, avif, heic])
def test_hdr_is_refused_with_the_reason(file: type, transfer: int, name: str) -> None:
    with pytest.raises(EncodeInputError) as stopped:
        read_photo(file(9, transfer))
    assert str(stopped.value) == f"its colours are HDR ({name}), brighter than a page's white: tone-map it to SDR first, in a photo editor"


def test_codes_that_no_browser_shows() -> None:
    with pytest.raises(EncodeInputError, match=r"^its colours \(CICP 1/9\) are none that browsers show$"):
        read_photo(avif(1, 9))
    assert np.array_equal(read_photo(png(1, 9)).rgb[8, 8::16], PATCHES)


def test_an_icc_profile_stands_above_avifs_code_points_and_below_pngs() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.abs(read_photo(avif(9, 13, profile)).rgb[8, 8::16].astype(int) - PATCHES).max() <= 2
    assert np.array_equal(read_photo(png(9, 13, profile)).rgb, read_photo(png(9, 13)).rgb)


@pytest.mark.parametrize("cut", [16, 40, 100, 200])
def test_a_file_that_ends_early_has_no_code_points(cut: int) -> None:
    with Image.open(io.BytesIO(avif(9, 13))) as image:
        assert image.format == "AVIF"
        image.fp = io.BytesIO(avif(9, 13)[:cut])
        assert find_cicp(image) is None


# large pictures


def panorama(name: str, **options: object) -> bytes:
    out = io.BytesIO()
    ramp = Image.linear_gradient("L").resize((300, 20)).rotate(90, expand=True).resize((17000, 60))
    (ramp.convert("RGB") if name == "JPEG" else ramp.convert(str(options.pop("mode", "RGB")))).save(out, name, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "mode"),
    [("JPEG", "RGB"), ("PNG", "RGB"), ("PNG", "L"), ("PNG", "P"), ("PNG", "RGBA"), ("PNG", "I;16"), ("TIFF", "RGB"), ("TIFF", "CMYK")],
)
def test_a_side_over_the_limit_is_read_small(name: str, mode: str) -> None:
    data = panorama(name, mode=mode)
    with pytest.raises(LimitError, match="17000x60 pixels, a side holds at most 16384"):
        read_photo(data)
    photo = read_photo(data, 1000)
    assert (photo.width, photo.height) == (1000, 4)
    assert photo.grey == (mode in ("L", "I;16"))
    expected = np.asarray(Image.linear_gradient("L").resize((300, 20)).rotate(90, expand=True).resize((17000, 60)).resize((1000, 4)))
    tolerance = 3 if mode == "CMYK" else 2
    if mode != "I;16":  # Pillow does not rescale what it converts to 16 bits
        assert np.abs(photo.rgb[:, :, 1].astype(int) - expected).max() <= tolerance


def test_the_shorter_side_keeps_a_pixel() -> None:
    photo = read_photo(Image.new("RGB", (3000, 1), "#123456"), 500)
    assert (photo.width, photo.height) == (500, 1)
    assert photo.rgb[0, 0].tolist() == [0x12, 0x34, 0x56]


def test_orientation_and_exif_survive_reading_small() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a description"
    out = io.BytesIO()
    Image.new("RGB", (17000, 20), "#08c").save(out, "PNG", exif=exif)
    photo = read_photo(out.getvalue(), 1000)
    assert (photo.width, photo.height) == (1, 1000)
    assert b"a description" in photo.exif


def test_transparency_is_averaged_with_its_colour() -> None:
    picture = Image.new("RGBA", (16640, 64), (0, 255, 0, 0))
    picture.paste((200, 100, 50, 255), (0, 0, 16640, 32))
    out = io.BytesIO()
    picture.save(out, "PNG")
    with Image.open(out) as image:
        small = read_small(image, 520)
    assert (small.size, small.mode) == ((1040, 4), "RGBA")
    assert [small.getpixel((100, y)) for y in range(4)] == [(200, 100, 50, 255)] * 2 + [(0, 0, 0, 0)] * 2


def png_header(width: int, height: int) -> bytes:
    """A PNG that says its size and holds nothing."""

    def chunk(tag: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", b"")
        + chunk(b"IEND", b"")
    )


def test_what_would_take_too_much_memory_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LimitError, match="this runtime encodes at most 134217728 pixels"):
        read_photo(png_header(30_000, 20_000))
    with pytest.raises(LimitError, match="30000x20000 pixels, more than this runtime reads of PNG"):
        read_photo(png_header(30_000, 20_000), 1000)
    monkeypatch.setattr(large, "MAX_READ_PIXELS", 1 << 20)
    data = panorama("JPEG", progressive=True)
    with Image.open(io.BytesIO(data)) as image:
        assert read_small(image, 4000).size == (8500, 30)
    with Image.open(io.BytesIO(panorama("PNG"))) as image, pytest.raises(LimitError, match="17000x60 pixels, more than"):
        monkeypatch.setattr(large, "MAX_READ_PIXELS", 1 << 19)
        read_small(image, 1000)
    with Image.open(io.BytesIO(data)) as image, pytest.raises(LimitError, match="17000x60 pixels, more than this runtime reads of JPEG"):
        read_small(image, 1000)


def test_two_hundred_megapixels_stay_within_the_memory_bound(tmp_path: Path) -> None:
    """A photo as phones make them, of 16,320 x 12,240: 893 MiB measured, where two gigabytes are the bound."""
    ramp = Image.linear_gradient("L").resize((4080, 3060)).resize((16320, 12240), Image.Resampling.NEAREST)
    ramp.save(tmp_path / "a.jpg", quality=30)
    code = (
        "import resource, sys; from sdz.runtime.photo import read_photo; p = read_photo(sys.argv[1], 2048); "
        "print(p.width, p.height, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2 * 1024 * 1024)"
    )
    # a process keeps the peak of the one it was before it began a program, which is its parent: a small one starts it, and stays
    command = ["sh", "-c", '"$0" "$@"; exit $?', sys.executable, "-c", code, str(tmp_path / "a.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True)
    assert done.stdout == "2048 1536 True\n"
