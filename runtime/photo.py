"""The preparation of a photo: whatever holds an image -> upright 8-bit sRGB pixels and alpha, as the encoder wants them.

Takes a path, an image file's bytes, an open file, a Pillow image of any mode or a uint8 array; gives a `PreparedPhoto`. Colour is brought
to sRGB, the EXIF orientation applied, 16-bit samples are rescaled, and colour under transparent pixels is replaced. Preparing takes time:
who needs a photo more than once (to encode, to show, to compare) prepares it once and passes the `PreparedPhoto` on.
"""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from . import limits
from .errors import EncodeInputError, LimitError, SdzError, UnknownImageError
from .files import FileInput, contents, kind_of
from .pictures.cicp import find_cicp, profile_of
from .pictures.kinds import HEAD_BYTES, plugin_format
from .pictures.large import PLAIN, read_small

ImageInput: TypeAlias = FileInput | Image.Image | NDArray[np.uint8]
"""What `read_photo` reads: a path; an image file's bytes (any bytes-like object); a file opened for binary reading; a Pillow image; or a
uint8 array (H, W) or (H, W, n): n = 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA, in sRGB, alpha not premultiplied."""

ACCEPTED = "a path, the bytes of an image file, a file opened for binary reading, a Pillow image, or a uint8 array (H, W) or (H, W, 1 to 4)"


@dataclass(frozen=True)
class PreparedPhoto:
    """A photo as the encoder wants it: `rgb` uint8 (H, W, 3) in sRGB, upright; `alpha` uint8 (H, W) or None where opaque;
    `grey` whether it had one colour channel; `exif` the TIFF block without its orientation, b"" where there is none; `made_of` the sides of
    the picture that it was made smaller of, None where it was not."""

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    grey: bool
    exif: bytes
    made_of: tuple[int, int] | None = None

    @property
    def width(self) -> int:
        """Pixels of a row."""
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.rgb.shape[0])

    @property
    def whole(self) -> tuple[int, int]:
        """Width and height before it was made smaller."""
        return self.made_of or (self.width, self.height)

    def to_pil(self) -> Image.Image:
        """The photo for Pillow: mode L, LA, RGB or RGBA, without metadata."""
        picture = Image.fromarray(self.rgb)
        if self.grey:
            picture = picture.convert("L")
        if self.alpha is not None:
            picture.putalpha(Image.fromarray(self.alpha))
        return picture

    def shrunk(self, longest: int) -> PreparedPhoto:
        """The photo with its longer side `longest` pixels, the other in proportion (Lanczos); itself where it is no longer than that."""
        if max(self.width, self.height) <= longest:
            return self
        scale = longest / max(self.width, self.height)
        size = max(1, round(self.width * scale)), max(1, round(self.height * scale))
        small = prepare(self.to_pil().resize(size, Image.Resampling.LANCZOS))
        return replace(small, grey=self.grey, exif=self.exif, made_of=self.whole)


def read_photo(given: ImageInput | PreparedPhoto, longest: int | None = None) -> PreparedPhoto:
    """Prepares whatever holds an image (`ImageInput`); of an animation, the frame it stands at. What is prepared is returned as it is.

    `longest`, in pixels, makes it smaller where its longer side is longer: a file beyond the runtime's limits is then read small
    (`pictures.large`). Raises EncodeInputError for what is none of these and for data that cannot be read or converted, LimitError for an
    image that is too large, MissingExtraError where the file's format is read by a plugin that is not installed, OSError for a path or file
    that cannot be read.
    """
    photo = _read(given, longest)
    return photo if longest is None else photo.shrunk(longest)


def _read(given: ImageInput | PreparedPhoto, longest: int | None) -> PreparedPhoto:
    if isinstance(given, PreparedPhoto):
        return given
    if isinstance(given, Image.Image):
        return prepare(given, longest)
    if isinstance(given, np.ndarray):
        return prepare(_array_image(given))
    try:
        source = Path(given) if isinstance(given, str | os.PathLike) else io.BytesIO(contents(given))
    except TypeError as error:
        raise EncodeInputError(f"an image is {ACCEPTED}, not {error}") from None
    with open_image(source, large=longest is not None) as image:
        return prepare(image, longest)


def _array_image(pixels: NDArray[np.generic]) -> Image.Image:
    """A Pillow image of an array of pixels; raises EncodeInputError for an array that is none."""
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and 1 <= pixels.shape[2] <= 4)):
        raise EncodeInputError(f"an array of pixels is uint8 (H, W) or (H, W, 1 to 4), not {kind_of(pixels)}")
    _check_size(pixels.shape[1], pixels.shape[0])
    return Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)


def open_image(source: Path | BinaryIO, formats: tuple[str, ...] | None = None, large: bool = False) -> Image.Image:
    """Opens an image file for `prepare`, its pixels not yet read; of `formats`, Pillow's names, where they are given. `large`: also one
    that Pillow takes for a decompression bomb, for a caller that reads it small.

    Raises EncodeInputError or LimitError, MissingExtraError, or OSError for the file.
    """
    try:
        with warnings.catch_warnings():
            # MAX_PIXELS is the bound here
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(source, formats=formats)
    except Image.DecompressionBombError:
        if large:
            return _open_large(source, formats)
        raise LimitError(f"this runtime encodes at most {limits.MAX_PIXELS} pixels", None, "width x height") from None
    except UnidentifiedImageError:
        format_name = None if formats is not None else plugin_format(_first_bytes(source))
        if format_name is not None:
            return open_image(source, (format_name,), large)
        raise UnknownImageError(
            "not an image that Pillow can read" if formats is None else f"not an image of {', '.join(formats)}"
        ) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise EncodeInputError(f"the image cannot be read: {error}") from error
    except Exception as error:  # Pillow's plugins raise whatever their parsers raise
        raise EncodeInputError(f"the image cannot be read: {error}") from error


def _open_large(source: Path | BinaryIO, formats: tuple[str, ...] | None) -> Image.Image:
    """What `Image.open` gives without its bound of the pixels, of the formats that `read_small` reads."""
    head = _first_bytes(source)
    Image.init()
    for name in sorted(PLAIN & Image.OPEN.keys() & set(formats or PLAIN)):
        factory, accept = Image.OPEN[name]
        if accept is not None and accept(head) is True:
            if not isinstance(source, Path):
                source.seek(0)
                return factory(source, "")
            image = factory(source.open("rb"), str(source))
            # the image closes it
            image._exclusive_fp = True
            return image
    raise LimitError(f"this runtime encodes at most {limits.MAX_PIXELS} pixels", None, "width x height")


def _first_bytes(source: Path | BinaryIO) -> bytes:
    if isinstance(source, Path):
        with source.open("rb") as file:
            return file.read(HEAD_BYTES)
    source.seek(0)
    return source.read(HEAD_BYTES)


def prepare(image: Image.Image, longest: int | None = None) -> PreparedPhoto:
    """Upright 8-bit sRGB, alpha and EXIF of a Pillow image of any mode.

    16-bit samples are rescaled, palettes and subtractive colours converted, an ICC profile is applied (a broken one ignored, as
    browsers do), and the colours that a file gives by code points instead. Colour under fully transparent pixels is invisible and replaced
    by a smooth continuation of what is visible. `longest`: the longer side need be no longer, so a large picture is read small
    (`read_small`, which leaves the last step to `PreparedPhoto.shrunk`).
    Raises LimitError over MAX_SIDE or MAX_PIXELS, EncodeInputError for data Pillow cannot read or convert.
    """
    if longest is None:
        _check_size(*image.size)
    if image.mode == "F":
        raise EncodeInputError("floating-point samples have no defined range: convert the image to 8 bits first")
    profile = _profile_of(image)
    try:
        made_of = None
        if longest is not None:
            whole = image.size
            image = read_small(image, longest)
            made_of = None if image.size == whole else whole
            _check_size(*image.size)
        image.load()
        read = image.size
        image, exif = _upright(image)
        if made_of is not None and image.size != read:
            made_of = made_of[::-1]
        if image.mode in ("RGBa", "La"):
            image = image.convert(image.mode.upper())
        alpha = _alpha_of(image)
        grey, rgb = _to_srgb(image, profile)
    except SdzError:
        raise
    except Exception as error:  # as in open_image
        raise EncodeInputError(f"the image cannot be read: {error}") from error
    if alpha is not None:
        rgb = fill_transparent(rgb, alpha)
    return PreparedPhoto(rgb, alpha, grey, exif, made_of)


def _check_size(width: int, height: int) -> None:
    """Raises EncodeInputError or LimitError for sides that no file may have."""
    if width < 1 or height < 1:
        raise EncodeInputError(f"the image has {width}x{height} pixels, it must have at least one")
    if max(width, height) > limits.MAX_SIDE:
        raise LimitError(f"{width}x{height} pixels, a side holds at most {limits.MAX_SIDE}", None, "width, height")
    if width * height > limits.MAX_PIXELS:
        raise LimitError(f"{width}x{height} pixels, this runtime encodes at most {limits.MAX_PIXELS}", None, "width x height")


def _upright(image: Image.Image) -> tuple[Image.Image, bytes]:
    """The image turned as its EXIF orientation says, and its EXIF without it; a broken EXIF block counts as none."""
    try:
        upright = ImageOps.exif_transpose(image)
        exif = upright.getexif()
        return upright, exif.tobytes().removeprefix(b"Exif\0\0") if exif else b""
    except Exception:  # as above; the pixels are good
        return image, b""


def _alpha_of(image: Image.Image) -> NDArray[np.uint8] | None:
    """The alpha channel, or None where the image has none or is opaque throughout."""
    if not image.has_transparency_data or image.mode.startswith("I"):
        return None
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return None if alpha.min() == 255 else alpha


def _profile_of(image: Image.Image) -> bytes | None:
    """The ICC profile of an image's colours, its file's own or one of the code points there, whichever stands above the other."""
    cicp = find_cicp(image)
    own = image.info.get("icc_profile")
    return own if cicp is None or (own and not cicp.strong) else profile_of(cicp)


def _to_srgb(image: Image.Image, profile: bytes | None) -> tuple[bool, NDArray[np.uint8]]:
    """Whether the image is grey, and its pixels as uint8 (H, W, 3) in sRGB."""
    mode = image.mode
    if mode.startswith("I"):
        # Pillow opens 16-bit grey as I;16 or, from some formats, as 32-bit I with 16-bit values
        samples = np.asarray(image, np.float64).clip(0, 65535)
        image = Image.fromarray(np.floor(samples / 257.0 + 0.5).astype(np.uint8))
    elif mode in ("P", "PA", "RGBA", "RGBX", "HSV", "YCbCr"):
        image = image.convert("RGB")
    elif mode in ("1", "LA"):
        image = image.convert("L")
    grey = image.mode == "L"
    if profile or image.mode == "LAB":
        image = _apply_profile(image, profile)
    return grey, np.asarray(image.convert("RGB"))


def _apply_profile(image: Image.Image, profile: bytes | None) -> Image.Image:
    srgb = ImageCms.createProfile("sRGB")
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(image, own, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image
    assert converted is not None
    return converted


def fill_transparent(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`rgb` (H, W, 3) with the pixels where `alpha` (H, W) is 0 replaced by a smooth continuation of the others.

    Push-pull: a pyramid of averages over the visible pixels, each hole filled from the level above. Gortler et al., "The
    Lumigraph" (1996). Mid-grey where nothing is visible.
    """
    visible = alpha > 0
    if visible.all():
        return rgb
    if not visible.any():
        return np.full_like(rgb, 128)
    masked = np.dstack([rgb, np.where(visible, np.uint8(255), np.uint8(0))])
    return np.where(visible[:, :, None], rgb, np.asarray(_push_pull(Image.fromarray(masked))))


def _push_pull(image: Image.Image) -> Image.Image:
    """The RGB of an RGBA image whose alpha is 0 or 255 and somewhere 255, its transparent pixels filled from the next coarser level."""
    alpha = image.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return image.convert("RGB")
    coarse = image.reduce(2)  # averages premultiplied colours, so only the visible ones count
    coarse.putalpha(coarse.getchannel("A").point(lambda a: 255 if a else 0))
    filled = _push_pull(coarse).resize(image.size, Image.Resampling.BILINEAR)
    return Image.composite(image.convert("RGB"), filled, alpha)
