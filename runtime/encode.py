"""The encoder: a Pillow image -> the bytes of an .sdz, at a quality or at an exact size.

Takes an image of any mode Pillow knows, hands on a whole file. Colour is brought to 8-bit sRGB, the orientation applied, alpha kept
without loss in its own chunk. The encoder network's latents are quantized once per step tried; rate control searches the steps
and then cuts the embedded latent chunk.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from . import limits
from .errors import EncodeInputError, LimitError, UnknownImageError
from .format.container import ALPHA, ALT_TEXT, EXIF, LATENTS, PALETTE_LATENTS, Chunk, Header, serialize
from .format.indices import encode_indices
from .format.planes import encode_planes
from .pack import INDICES, PALETTE, Pack, default_pack
from .quantize import TUNINGS, Tune, Tuning, activity_weights, nearest_entries, posterior_weights, quantize

if TYPE_CHECKING:
    from .session import Session

FINEST_STEP_INDEX: Final = 16
"""Step of quality 100: 4 grey levels of an orthonormal transform. Finer steps cost bytes that the networks cannot turn into
quality."""

DEFAULT_QUALITY: Final = 40.0
"""About 0.3 bits per pixel on photos: where this codec's pictures are pleasant and AVIF's, by ST-LPIPS, just take over."""

DEFAULT_TUNE: Final[Tune] = "natural"

FIRST_STEP_INDEX: Final = 48
STEPS_PER_HALVING: Final = 8.0
GUESSES: Final = 5
"""Rate control starts in the middle and first expects the bytes to halve every 8 steps, as they about do on photos, then as the last
two tries tell: three or four tries in most cases. It bisects after 5."""

ENCODER_TILE: Final = 1024
"""Pixels on the side of the encoder's tiles."""

ENCODER_MARGIN: Final = 128
"""Pixels around an encoder tile. The encoder need not be exact, only free of seams."""


@dataclass(frozen=True)
class Source:
    """An image as the encoder wants it: `rgb` uint8 (H, W, 3) in sRGB, upright; `alpha` uint8 (H, W) or None where opaque;
    `grey` whether it had one colour channel; `exif` the TIFF block without its orientation, b"" where there is none."""

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    grey: bool
    exif: bytes


def encode(
    image: Image.Image | Source,
    *,
    quality: float | None = None,
    bpp: float | None = None,
    target_size: int | None = None,
    tune: Tune = DEFAULT_TUNE,
    pack: Pack | None = None,
    session: Session | None = None,
    alt: str | None = None,
    keep_metadata: bool = False,
) -> bytes:
    """Encodes the image, or what `prepare` made of one; of an animation, the frame it stands at.

    Give at most one of: `quality` 0..100 (default 40; see `step_index_for`, `index_bits`), `bpp` bits per pixel of the whole file,
    `target_size` bytes of the whole file. A size is met exactly, with two exceptions: the file is smaller where even the finest step needs
    fewer bytes, and one byte short where the length of the latents takes one byte more to write. A pack with a palette has other
    qualities (`palette_entries`, default 100), and its files have at most the size.
    `tune` chooses what the bytes are spent on: "natural" keeps texture alive, "faithful" keeps the error small.
    `session` runs the encoder and fixes the pack; without one, `pack` or else the default is run on one CPU thread. `alt` is
    stored as alternative text. `keep_metadata` stores the EXIF block. Colour profiles are converted away, never stored.
    Raises EncodeInputError for an option or image that cannot be encoded, LimitError for one too large.
    """
    if tune not in TUNINGS:
        raise EncodeInputError(f"tune is '{tune}', it must be {' or '.join(TUNINGS)}")
    if sum(option is not None for option in (quality, bpp, target_size)) > 1:
        raise EncodeInputError("give only one of quality, bpp and target size")
    source = image if isinstance(image, Source) else prepare(image)
    height, width = source.rgb.shape[:2]
    before, after = _side_chunks(source, alt, keep_metadata)
    if session is None:
        from .session import Session

        session = Session(pack or default_pack())
    latents, deviation = encode_with_deviation(source.rgb, session)
    masking = TUNINGS[tune].masking
    weights = activity_weights(source.rgb, session.pack.patch, masking) if deviation is None else posterior_weights(deviation)
    writers: dict[str, type[_IndexWriter | _PaletteWriter | _PlaneWriter]] = {INDICES: _IndexWriter, PALETTE: _PaletteWriter}
    kind = writers.get(session.pack.quantizer, _PlaneWriter)
    writer = kind(latents, weights, width, height, source.grey, session.pack, TUNINGS[tune], before, after)
    if bpp is not None:
        if not 0 < bpp < math.inf:
            raise EncodeInputError(f"bpp is {bpp}, it must be positive and finite")
        target_size = math.floor(bpp * width * height / 8)
    if target_size is not None:
        return writer.at_size(target_size)
    return writer.at_quality(quality)


def open_image(source: Path | BinaryIO, formats: tuple[str, ...] | None = None) -> Image.Image:
    """Opens an image file for `encode`, its pixels not yet read; of `formats`, Pillow's names, where they are given.

    Raises EncodeInputError or LimitError, or OSError for the file.
    """
    try:
        with warnings.catch_warnings():
            # MAX_PIXELS is the bound here
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(source, formats=formats)
    except Image.DecompressionBombError:
        raise LimitError(f"this runtime encodes at most {limits.MAX_PIXELS} pixels", None, "width x height") from None
    except UnidentifiedImageError:
        raise UnknownImageError(
            "not an image that Pillow can read" if formats is None else f"not an image of {', '.join(formats)}"
        ) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise EncodeInputError(f"the image cannot be read: {error}") from error
    except Exception as error:  # Pillow's plugins raise whatever their parsers raise
        raise EncodeInputError(f"the image cannot be read: {error}") from error


def step_index_for(quality: float) -> int:
    """The step index of a quality: linear from 80 (quality 0) to FINEST_STEP_INDEX (quality 100), rounded to the nearest.

    The step itself, 2**(index/8) grey levels, therefore halves every 12.5 points. Raises EncodeInputError outside 0..100.
    """
    _check_quality(quality)
    return limits.MAX_STEP_INDEX - round(quality * (limits.MAX_STEP_INDEX - FINEST_STEP_INDEX) / 100)


def palette_entries(quality: float) -> int:
    """The entries of a palette of that quality: 1 at 0, twice as many every 12.5 points, 256 (the default) at 100.

    Raises EncodeInputError outside 0..100.
    """
    _check_quality(quality)
    return round(math.pow(2.0, quality / 12.5))


def _check_quality(quality: float) -> None:
    if not 0 <= quality <= 100:
        raise EncodeInputError(f"quality is {quality}, it must lie in 0..100")


def index_bits(quality: float, levels: int) -> int:
    """How many of an index's bits a pack with a codebook of so many levels sends: all from the default quality on, for a codebook has no
    finer step, and proportionally fewer below, at least one. Raises EncodeInputError outside 0..100."""
    _check_quality(quality)
    return max(1, round(levels * min(1.0, quality / DEFAULT_QUALITY)))


def prepare(image: Image.Image) -> Source:
    """Upright 8-bit sRGB, alpha and EXIF of a Pillow image of any mode.

    16-bit samples are rescaled, palettes and subtractive colours converted, an ICC profile is applied (a broken one ignored, as
    browsers do). Colour under fully transparent pixels is invisible and replaced by a smooth continuation of what is visible.
    Raises LimitError over MAX_SIDE or MAX_PIXELS, EncodeInputError for data Pillow cannot read or convert.
    """
    width, height = image.size
    if width < 1 or height < 1:
        raise EncodeInputError(f"the image has {width}x{height} pixels, it must have at least one")
    if max(width, height) > limits.MAX_SIDE:
        raise LimitError(f"{width}x{height} pixels, a side holds at most {limits.MAX_SIDE}", None, "width, height")
    if width * height > limits.MAX_PIXELS:
        raise LimitError(f"{width}x{height} pixels, this runtime encodes at most {limits.MAX_PIXELS}", None, "width x height")
    if image.mode == "F":
        raise EncodeInputError("floating-point samples have no defined range: convert the image to 8 bits first")
    try:
        image.load()
        image, exif = _upright(image)
        if image.mode in ("RGBa", "La"):
            image = image.convert(image.mode.upper())
        alpha = _alpha_of(image)
        grey, rgb = _to_srgb(image)
    except Exception as error:  # as in open_image
        raise EncodeInputError(f"the image cannot be read: {error}") from error
    if alpha is not None:
        rgb = fill_transparent(rgb, alpha)
    return Source(rgb, alpha, grey, exif)


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


def _to_srgb(image: Image.Image) -> tuple[bool, NDArray[np.uint8]]:
    """Whether the image is grey, and its pixels as uint8 (H, W, 3) in sRGB."""
    profile = image.info.get("icc_profile")
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


def encode_latents(rgb: NDArray[np.uint8], session: Session) -> NDArray[np.float32]:
    """The encoder network's latents, float32 (C, ceil(H/p), ceil(W/p)) in grey levels, of `rgb` uint8 (H, W, 3); p is the pack's patch.

    Edges are repeated up to whole patches; large images go through in overlapping tiles, blended where a pack wants that.
    """
    return _encode_tiles(rgb, session.pack, session.encode)


def encode_with_deviation(rgb: NDArray[np.uint8], session: Session) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """What `encode_latents` gives, and the posterior's standard deviation, of the same shape and unit; None where there is no posterior."""
    has_deviation = True

    def both(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        nonlocal has_deviation
        latents, deviation = session.encode_with_deviation(pixels)
        has_deviation = deviation is not None
        return latents if deviation is None else np.concatenate([latents, deviation])

    maps = _encode_tiles(rgb, session.pack, both)
    channels = session.pack.channels
    return maps[:channels], maps[channels:] if has_deviation else None


def _encode_tiles(rgb: NDArray[np.uint8], pack: Pack, run: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> NDArray[np.float32]:
    """What `run` gives, float32 (n, h, w), of `rgb` padded to whole patches, tile by tile."""
    patch = pack.patch
    height, width = rgb.shape[:2]
    rows, columns = -(-height // patch), -(-width // patch)
    padded = np.pad(rgb, ((0, rows * patch - height), (0, columns * patch - width), (0, 0)), mode="edge")

    def maps(top: int, bottom: int, left: int, right: int) -> NDArray[np.float32]:
        return run(np.ascontiguousarray(padded[top * patch : bottom * patch, left * patch : right * patch]))

    parts: list[tuple[slice, slice, NDArray[np.float32]]] = []
    tiling = pack.encoder_tiling
    if tiling is not None:
        down, across = tiling.spans(rows, columns)
        for row in down:
            for column in across:
                weights = np.multiply.outer(tiling.weights(row, 1), tiling.weights(column, 1)) / tiling.full(1) ** 2
                found = maps(row.start, row.stop, column.start, column.stop) * weights.astype(np.float32)
                parts.append((slice(row.start, row.stop), slice(column.start, column.stop), found))
    else:
        tile, margin = ENCODER_TILE // patch, ENCODER_MARGIN // patch
        for top in range(0, rows, tile):
            for left in range(0, columns, tile):
                bottom, right = min(top + tile, rows), min(left + tile, columns)
                y, x = max(top - margin, 0), max(left - margin, 0)
                found = maps(y, bottom + margin, x, right + margin)
                parts.append((slice(top, bottom), slice(left, right), found[:, top - y : bottom - y, left - x : right - x]))
    out = np.zeros((len(parts[0][2]), rows, columns), np.float32)
    for rows_of, columns_of, part in parts:
        out[:, rows_of, columns_of] += part
    return out


def _side_chunks(source: Source, alt: str | None, keep_metadata: bool) -> tuple[list[Chunk], list[Chunk]]:
    """The chunks that stand before and after the latents."""
    before, after = [], []
    if alt is not None:
        text = alt.encode("utf-8", "replace")
        if len(text) > limits.MAX_ALT_BYTES:
            raise EncodeInputError(f"the alternative text has {len(text)} bytes, at most {limits.MAX_ALT_BYTES} are allowed")
        before.append(Chunk(ALT_TEXT, text))
    if source.alpha is not None:
        from .format.alpha import encode_alpha

        before.append(Chunk(ALPHA, encode_alpha(source.alpha)))
    if keep_metadata and source.exif:
        if len(source.exif) > limits.MAX_EXIF_BYTES:
            problem = f"the EXIF block has {len(source.exif)} bytes, at most {limits.MAX_EXIF_BYTES} are allowed"
            raise EncodeInputError(f"{problem}: encode without metadata")
        after.append(Chunk(EXIF, source.exif))
    return before, after


@dataclass(frozen=True)
class _Writer:
    """Latents in grey levels, what their squared errors count (`quantize`), and all else a file needs."""

    latents: NDArray[np.float32]
    weights: NDArray[np.float32] | None
    width: int
    height: int
    grey: bool
    pack: Pack
    tuning: Tuning
    before: list[Chunk]
    after: list[Chunk]

    def _file(self, step_index: int, planes: int, payload: bytes, tag: bytes = LATENTS) -> bytes:
        tilt = 0 if self.pack.octaves is None else self.tuning.tilt
        header = Header(self.width, self.height, step_index, planes, self.pack.id, self.grey, tilt)
        return serialize(header, [*self.before, Chunk(tag, payload), *self.after])

    def _least(self, size: int) -> int:
        """The bytes of the file without any latents. Raises EncodeInputError where `size` is less."""
        least = len(self._file(0, 0, b""))
        if size < least:
            raise EncodeInputError(f"a target of {size} bytes is too small: this image needs at least {least} without any latents")
        return least

    def _cut(self, step_index: int, planes: int, payload: bytes, size: int) -> bytes:
        """The file with so much of the latents as `size` bytes hold."""
        room = size - self._least(size)
        while len(cut := self._file(step_index, planes, payload[:room])) > size:
            room -= 1
        return cut


class _PlaneWriter(_Writer):
    """Writes latents as bit-planes, at whichever step or size is asked for."""

    def at_quality(self, quality: float | None) -> bytes:
        """The whole file at the step of that quality."""
        step_index = step_index_for(DEFAULT_QUALITY if quality is None else quality)
        return self._file(step_index, *self._code(step_index))

    def at_size(self, size: int) -> bytes:
        """The file of `size` bytes: the coarsest step that needs at least as many, its latents cut to fit."""
        self._least(size)
        # steps up to `fine` need at least `size` bytes, steps from `coarse` on need less
        fine, coarse = FINEST_STEP_INDEX - 1, limits.MAX_STEP_INDEX + 1
        guess, halving = FIRST_STEP_INDEX, STEPS_PER_HALVING
        tried: list[tuple[int, float]] = []
        best = None
        while coarse - fine > 1:
            planes, payload = self._code(guess)
            whole = len(self._file(guess, planes, payload))
            if whole >= size:
                fine, best = guess, (guess, planes, payload)
            elif guess == FINEST_STEP_INDEX:
                return self._file(guess, planes, payload)
            else:
                coarse = guess
            tried.append((guess, math.log2(whole / size)))
            if len(tried) > 1:
                (before, bits_before), (now, bits_now) = tried[-2:]
                halving = (now - before) / (bits_before - bits_now) if bits_before != bits_now else STEPS_PER_HALVING
            aim = guess + round(tried[-1][1] * halving)
            guess = min(max(aim, fine + 1), coarse - 1) if len(tried) < GUESSES else (fine + coarse) // 2
        assert best is not None
        return self._cut(*best, size)

    def _code(self, step_index: int) -> tuple[int, bytes]:
        coder = self.pack.coder
        integers = quantize(self.latents, step_index, coder, self.tuning, self.weights, self.pack.octaves)
        return encode_planes(integers, step_index, coder)


class _PaletteWriter(_Writer):
    """Writes latents as a palette with indices; the tuning `natural` dithers, `faithful` does not."""

    def at_quality(self, quality: float | None) -> bytes:
        """The file with as many entries as the quality asks for; the published setting where nothing does."""
        return self._with(palette_entries(100 if quality is None else quality))

    def at_size(self, size: int) -> bytes:
        """The file of at most `size` bytes with as many entries as fit."""
        smallest = self._with(1)
        if size < len(smallest):
            raise EncodeInputError(f"a target of {size} bytes is too small: this image needs at least {len(smallest)} with one colour")
        best, fits, too_many = smallest, 1, 257
        while too_many - fits > 1:
            file = self._with(entries := (fits + too_many) // 2)
            if len(file) <= size:
                best, fits = file, entries
            else:
                too_many = entries
        return best

    def _with(self, entries: int) -> bytes:
        from .format.palette import encode_palette, quantize_palette, scale_index

        step_index = scale_index(self.latents)
        palette, indices = quantize_palette(self.latents, step_index, entries, dither=self.tuning is TUNINGS["natural"])
        planes = int(np.abs(palette.astype(np.int32)).max()).bit_length()
        return self._file(step_index, planes, encode_palette(palette, indices), PALETTE_LATENTS)


class _IndexWriter(_Writer):
    """Writes latents as entries of the pack's codebook: all their bits or the first ones."""

    def at_quality(self, quality: float | None) -> bytes:
        """The file with as many of each index's bits as that quality asks for (`index_bits`)."""
        return self._file(0, 0, self._code(index_bits(DEFAULT_QUALITY if quality is None else quality, self.pack.indices.levels)))

    def at_size(self, size: int) -> bytes:
        """The file of `size` bytes: all bits, cut to fit."""
        self._least(size)
        payload = self._code(self.pack.indices.levels)
        whole = self._file(0, 0, payload)
        return whole if len(whole) <= size else self._cut(0, 0, payload, size)

    def _code(self, bits: int) -> bytes:
        return encode_indices(nearest_entries(self.latents, self.pack.indices.codebook), self.pack.indices, bits)
