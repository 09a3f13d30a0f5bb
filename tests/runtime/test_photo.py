"""A photo's preparation from everything that may hold one, and what is refused; the modes of Pillow are in test_encode.py."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from standins import StandInSession

from sdz.runtime.encode import WRITERS, encode
from sdz.runtime.errors import EncodeInputError, LimitError, UnknownImageError
from sdz.runtime.format.container import parse
from sdz.runtime.format.quantizers import QUANTIZERS
from sdz.runtime.options import DEFAULT_TUNE, TUNE_CHOICES, TUNES
from sdz.runtime.pack import QUANTIZERS as NAMES
from sdz.runtime.photo import PreparedPhoto, prepare, read_photo
from sdz.runtime.pictures.written import on_white
from sdz.runtime.quantize import TUNINGS

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 4), np.uint8)


def png(pixels: np.ndarray = PIXELS[:, :, :3]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_an_image_is_read_from_whatever_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png())
    expected = encode(Image.fromarray(PIXELS[:, :, :3]), session=StandInSession())
    with path.open("rb") as file:
        assert encode(file, session=StandInSession()) == expected
    given = (path, str(path), png(), bytearray(png()), memoryview(png()), io.BytesIO(png()), PIXELS[:, :, :3], read_photo(path))
    assert [encode(each, session=StandInSession()) == expected for each in given] == [True] * len(given)


def test_arrays_of_one_to_four_channels() -> None:
    grey, alpha = PIXELS[:, :, 0], PIXELS[:, :, 3]
    for array, is_grey, has_alpha in (
        (grey, True, False),
        (grey[:, :, None], True, False),
        (PIXELS[:, :, 2:], True, True),
        (PIXELS[:, :, :3], False, False),
        (PIXELS, False, True),
        (PIXELS[::-1, ::2], False, True),
    ):
        photo = read_photo(array)
        assert (photo.grey, photo.alpha is not None, photo.exif) == (is_grey, has_alpha, b"")
        assert (photo.height, photo.width) == array.shape[:2]
        header = parse(encode(array, session=StandInSession())).header
        assert (header.grey, header.width, header.height) == (is_grey, photo.width, photo.height)
    assert np.array_equal(read_photo(PIXELS[:, :, 2:]).alpha, alpha)  # type: ignore[arg-type]
    assert np.array_equal(read_photo(PIXELS[:, :, :3]).rgb, PIXELS[:, :, :3])


ACCEPTED = (
    "an image is a path, the bytes of an image file, a file opened for binary reading, a Pillow image, or a uint8 array (H, W) or "
    "(H, W, 1 to 4), not "
)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, f"{ACCEPTED}None"),
        (3.5, f"{ACCEPTED}an object of type 'float'"),
        ([[0, 1]], f"{ACCEPTED}an object of type 'list'"),
        (io.StringIO("x"), f"{ACCEPTED}an object of type 'StringIO' opened as text: open it with mode 'rb'"),
        (PIXELS.astype(np.float32), "an array of pixels is uint8 (H, W) or (H, W, 1 to 4), not an array of float32 (20, 30, 4)"),
        (PIXELS.transpose(2, 0, 1), "an array of pixels is uint8 (H, W) or (H, W, 1 to 4), not an array of uint8 (4, 20, 30)"),
        (PIXELS[None], "an array of pixels is uint8 (H, W) or (H, W, 1 to 4), not an array of uint8 (1, 20, 30, 4)"),
        (PIXELS[0, 0], "an array of pixels is uint8 (H, W) or (H, W, 1 to 4), not an array of uint8 (4,)"),
        (PIXELS[:0], "the image has 30x0 pixels, it must have at least one"),
        (b"not an image", "not an image that Pillow can read"),
    ],
)
def test_what_holds_no_image_is_refused_in_words(given: Any, message: str) -> None:
    with pytest.raises(EncodeInputError) as refused:
        encode(given, session=StandInSession())
    assert str(refused.value) == message
    assert isinstance(refused.value, UnknownImageError) == message.startswith("not an image")


def test_files_that_are_not_there_and_arrays_that_are_too_large(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        encode(tmp_path / "none.png", session=StandInSession())
    with pytest.raises(LimitError, match="16385x1 pixels, a side holds at most 16384"):
        read_photo(np.zeros((1, 16385), np.uint8))


def test_a_photo_that_is_prepared_is_not_prepared_again(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = read_photo(PIXELS)
    expected = encode(PIXELS, session=StandInSession())
    monkeypatch.setattr("sdz.runtime.photo.prepare", None)
    assert read_photo(photo) is photo
    assert encode(photo, session=StandInSession()) == expected


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_a_photo_for_pillow_and_shrunk(channels: int, mode: str) -> None:
    pixels = PIXELS[:, :, :channels]
    photo = read_photo(pixels)
    picture = photo.to_pil()
    assert picture.mode == mode
    again = prepare(picture)
    assert again.grey == photo.grey and np.array_equal(again.rgb, photo.rgb)
    assert photo.shrunk(30) is photo
    small = PreparedPhoto(photo.rgb, photo.alpha, photo.grey, b"exif").shrunk(15)
    assert (small.width, small.height, small.grey, small.exif) == (15, 10, photo.grey, b"exif")
    assert (small.alpha is None) == (photo.alpha is None)


def test_transparency_is_laid_on_white() -> None:
    picture = Image.new("RGBA", (2, 1), (10, 20, 30, 255))
    picture.putpixel((1, 0), (10, 20, 30, 0))
    assert np.asarray(on_white(picture)).tolist() == [[[10, 20, 30], [255, 255, 255]]]
    assert on_white(Image.new("L", (1, 1), 7)).getpixel((0, 0)) == (7, 7, 7)


def test_every_kind_of_quantizer_and_every_tuning_has_its_entry() -> None:
    assert set(WRITERS) == set(QUANTIZERS) == set(NAMES)
    assert tuple(TUNINGS) == TUNES
    assert ("auto", *TUNES) == TUNE_CHOICES and DEFAULT_TUNE in TUNE_CHOICES
