"""The encoder: a photo -> the bytes of an .sdz, at a quality or at an exact size.

Takes whatever `photo.read_photo` prepares and gives a whole file. Alpha is kept without loss in its own chunk. The encoder network's
latents are quantized once per step tried; rate control searches the steps and then cuts the embedded latent chunk.
"""

from __future__ import annotations

import functools
import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from . import limits
from .decode import decode
from .errors import EncodeInputError, LimitError
from .format.container import ALPHA, ALT_TEXT, EXIF, LATENTS, PALETTE_LATENTS, REGIONS, Chunk, Header, read_header, serialize
from .format.indices import encode_indices
from .format.planes import encode_planes
from .format.reconstruction import channel_steps
from .options import DEFAULT_QUALITY, DEFAULT_TUNE, TUNE_CHOICES, Tune, TuneChoice
from .pack import INDICES, PALETTE, PLANES, Pack, default_pack
from .photo import ImageInput, PreparedPhoto, read_photo
from .quantize import FINE_TUNINGS, TUNINGS, Tuning, nearest_entries, posterior_weights, rdo_quantize
from .refining.encoder import encode_with_deviation
from .refining.refiner import Refiner, rounds_of
from .refining.sensitivity import latent_weights, sensitivity
from .refining.sizes import price_for, step_and_price
from .refining.specks import has_specks
from .regions.asked import Asked
from .regions.maps import OctaveMap, RegionsInput, layout
from .regions.region_map import RegionMap, payload_of
from .regions.subjects import subjects_of

if TYPE_CHECKING:
    from .session import Session

FINEST_STEP_INDEX: Final = 16
"""Step of quality 100: 4 grey levels of an orthonormal transform. No difference is seen then; where pictures are the networks' alone, finer
steps cost bytes that these cannot turn into quality."""

LEAST_STEP_INDEX: Final = 0
"""Finest step of a file of an exact size: 1 grey level."""

NEAR_ENOUGH: Final = 1.01
REFININGS: Final = 2
"""Effort's file for an exact size is near enough where it is at most so much larger than that; if not, the price of a bit is set once more,
by what it came to."""


def encode(
    image: ImageInput | PreparedPhoto,
    *,
    quality: float | None = None,
    bpp: float | None = None,
    target_size: int | None = None,
    tune: TuneChoice = DEFAULT_TUNE,
    effort: int | None = None,
    regions: RegionsInput | None = None,
    protect: str | Sequence[str] = (),
    worst: float | None = None,
    pack: Pack | None = None,
    session: Session | None = None,
    alt: str | None = None,
    keep_metadata: bool = False,
    lossless: bool = False,
) -> bytes:
    """Encodes an image: a path, an image file's bytes, a file opened for binary reading, a Pillow image, a uint8 array (H, W) or
    (H, W, 1 to 4), or what `read_photo` prepared of one of these. Of an animation, the frame it stands at.

    Give at most one of: `quality` 0..100 (default 32; see `step_index_for`, `index_bits`), `bpp` bits per pixel of the whole file,
    `target_size` bytes of the whole file. A size is met exactly, with two exceptions: the file is smaller where even the finest step needs
    fewer bytes, and one byte short where the length of the latents takes one byte more to write. A pack with a palette has other
    qualities (`palette_entries`, default 100), and its files have at most the size.
    `tune` chooses what the bytes are spent on: "natural" keeps texture alive, "faithful" keeps the error small, "auto" is natural unless
    that leaves too many specks on calm ground, around lettering above all (`refining.specks`).
    `effort`, 0 to 9, is how much time goes into nearer pictures in the same bytes (`refining`): 0 none, 1 a second for 512 x 512 pixels,
    9 some 40. The default is 1 up to a megapixel (`DEFAULT_EFFORT_PIXELS`) and 0 above, and 0 for a pack without the graph for it.
    `regions` are boxes with octaves or a mask: what is sent more, or less, precisely than the rest (`regions.maps`). `protect` names what
    is looked for and sent finer, "text" or "faces" (the extra `protect`). `worst` is the share of the blocks, in per cent, that were
    farthest from the photo without and are sent finer. All else has the step of the quality, or what the size leaves it.
    `lossless` adds the photo's exact pixels as a tail behind the picture; the options above speak of the file without it.
    Where a quality or size asks for so fine a step that the networks are left out (`CoderTables.is_fine`), the latents are the exact
    analysis of the photo: no network runs, and `effort` changes nothing.
    `session` runs the encoder and fixes the pack; without one, `pack` or else the default is run on one CPU thread. `alt` is
    stored as alternative text. `keep_metadata` stores the EXIF block. Colour profiles are converted away, never stored.
    Raises EncodeInputError for an option or image that cannot be encoded, LimitError for one too large, OSError for an unreadable file.
    """
    if tune not in TUNE_CHOICES:
        raise EncodeInputError(f"tune is '{tune}', it must be {', '.join(TUNE_CHOICES[:-1])} or {TUNE_CHOICES[-1]}")
    for name, option in (("quality", quality), ("bpp", bpp), ("target_size", target_size)):
        if option is not None and not isinstance(option, numbers.Real):
            raise EncodeInputError(f"{name} is {option!r}, it must be a number")
    if alt is not None and not isinstance(alt, str):
        raise EncodeInputError(f"alt is {alt!r}, it must be text")
    if sum(option is not None for option in (quality, bpp, target_size)) > 1:
        raise EncodeInputError("give only one of quality, bpp and target size")
    before, after = _side_chunks(photo := read_photo(image), alt, keep_metadata)
    pack = session.pack if session is not None else pack or default_pack()
    if bpp is not None:
        if not 0 < bpp < math.inf:
            raise EncodeInputError(f"bpp is {bpp}, it must be positive and finite")
        target_size = math.floor(bpp * photo.width * photo.height / 8)
    networks = _Networks(photo, pack, session)
    asked = Asked(photo.rgb, pack, regions, subjects_of(protect), worst)

    def shown(data: bytes) -> NDArray[np.uint8]:
        return np.asarray(decode(data, session=networks.session).to_pil().convert("RGB"))

    def tuned(chosen: Tune) -> bytes:
        source = _Source(photo, pack, chosen, rounds_of(effort, pack, photo.width * photo.height), networks)

        def written(octaves: OctaveMap | None) -> bytes:
            writer = WRITERS[pack.quantizer](source, before, after, octaves)
            return writer.at_quality(quality) if target_size is None else writer.at_size(target_size)

        return written(asked.octaves(lambda: shown(written(None))))

    data = tuned("natural" if tune == "auto" else tune)
    if tune == "auto" and _invents(data, pack) and has_specks(photo.rgb, lambda: shown(data)):
        data = tuned("faithful")
    if not lossless:
        return data
    from .lossless.writing import with_tail

    return with_tail(data, photo, pack)


def _invents(data: bytes, pack: Pack) -> bool:
    """Whether the picture of a natural file comes from a denoiser and networks."""
    return pack.denoiser_min_step_index is not None and not pack.coder.is_fine(read_header(data)[0].step_index)


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


def _side_chunks(photo: PreparedPhoto, alt: str | None, keep_metadata: bool) -> tuple[list[Chunk], list[Chunk]]:
    """The chunks that stand before and after the latents."""
    before, after = [], []
    if alt is not None:
        text = alt.encode("utf-8", "replace")
        if len(text) > limits.MAX_ALT_BYTES:
            raise EncodeInputError(f"the alternative text has {len(text)} bytes, at most {limits.MAX_ALT_BYTES} are allowed")
        before.append(Chunk(ALT_TEXT, text))
    if photo.alpha is not None:
        from .format.alpha import encode_alpha

        before.append(Chunk(ALPHA, encode_alpha(photo.alpha)))
    if keep_metadata and photo.exif:
        if len(photo.exif) > limits.MAX_EXIF_BYTES:
            problem = f"the EXIF block has {len(photo.exif)} bytes, at most {limits.MAX_EXIF_BYTES} are allowed"
            raise EncodeInputError(f"{problem}: encode without metadata")
        after.append(Chunk(EXIF, photo.exif))
    return before, after


@dataclass(frozen=True)
class _Networks:
    """What a pack's networks give of a photo, whichever tuning it gets; opened when first asked."""

    photo: PreparedPhoto
    pack: Pack
    given: Session | None

    @functools.cached_property
    def session(self) -> Session:
        """What runs them."""
        if self.given is not None:
            return self.given
        from .session import Session

        return Session(self.pack)

    @functools.cached_property
    def encoded(self) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """As `encode_with_deviation` has it."""
        return encode_with_deviation(self.photo.rgb, self.session)


@dataclass(frozen=True)
class _Source:
    """A photo and what is made of it, each part when it is first asked for: the networks' opening takes longer than a fine file needs."""

    photo: PreparedPhoto
    pack: Pack
    tune: Tune
    rounds: int
    networks: _Networks

    @property
    def latents(self) -> NDArray[np.float32]:
        """The encoder network's, grey levels."""
        return self.networks.encoded[0]

    @functools.cached_property
    def _seen(self) -> NDArray[np.float32] | None:
        return sensitivity(self.photo.rgb, self.pack.patch, TUNINGS[self.tune].masking)

    @functools.cached_property
    def weights(self) -> NDArray[np.float32] | None:
        """What the latents' squared errors count (`rdo_quantize`)."""
        deviation = self.networks.encoded[1]
        return latent_weights(self._seen) if deviation is None else posterior_weights(deviation)

    @property
    def fits(self) -> bool:
        """Whether a file of this photo may have upper functions: they make its latents many times as many."""
        coder, patch = self.pack.coder, self.pack.patch
        positions = -(-self.photo.height // patch) * -(-self.photo.width // patch)
        return positions * (coder.channels + int(coder.upper_sizes.sum(dtype=int))) <= limits.MAX_LATENTS

    @functools.cached_property
    def exact(self) -> NDArray[np.float32]:
        """The latents of the exact analysis, of channels and upper functions. Raises LimitError where these are too many."""
        if not self.fits:
            problem = f"{self.photo.width}x{self.photo.height} pixels are too many for a file without networks: take a lower quality"
            raise LimitError(problem, None, "width x height")
        from .refining.analysis import exact_latents

        return exact_latents(self.photo.rgb, self.pack)

    @functools.cached_property
    def exact_weights(self) -> NDArray[np.float32] | None:
        """What their squared errors count."""
        return latent_weights(sensitivity(self.photo.rgb, self.pack.patch, FINE_TUNINGS[self.tune].masking))

    @functools.cached_property
    def refiner(self) -> Refiner | None:
        """What effort finds better integers with; None without."""
        return Refiner(self.photo.rgb, self.networks.session, self.rounds, TUNINGS[self.tune], self._seen) if self.rounds else None


@dataclass(frozen=True)
class _Writer(ABC):
    """A photo, the chunks before and after its latents, and its regions, if any."""

    source: _Source
    before: list[Chunk]
    after: list[Chunk]
    octaves: OctaveMap | None = None

    @property
    def pack(self) -> Pack:
        """The files' pack."""
        return self.source.pack

    @property
    def latents(self) -> NDArray[np.float32]:
        """The encoder network's latents, grey levels."""
        return self.source.latents

    def tilt(self, step_index: int) -> int:
        """The tilt that a file of that step states: 0 unless the writer quantizes by it."""
        return 0

    def realism(self, step_index: int) -> int:
        """Sixteenths of the denoiser's moves that a file of that step is meant to be shown with: all unless the tuning has a say."""
        return limits.FULL_STRENGTH

    @abstractmethod
    def at_quality(self, quality: float | None) -> bytes:
        """The file at that quality, or at the default one."""

    @abstractmethod
    def at_size(self, size: int) -> bytes:
        """The file of that many bytes. Raises EncodeInputError where so few cannot hold one."""

    def _layout(self, step_index: int) -> tuple[int, RegionMap | None]:
        """The step index of the file whose blocks outside all regions have that one, and its map."""
        return (step_index, None) if self.octaves is None else layout(self.octaves, step_index)

    def _file(self, step_index: int, payload: bytes, tag: bytes = LATENTS) -> bytes:
        photo = self.source.photo
        finest, regions = self._layout(step_index)
        header = Header(photo.width, photo.height, finest, self.pack.id, photo.grey, self.tilt(step_index), self.realism(step_index))
        regions_chunk = [] if regions is None else [Chunk(REGIONS, regions.payload)]
        return serialize(header, [*self.before, *regions_chunk, Chunk(tag, payload), *self.after])

    def _room(self, size: int, step_index: int) -> int:
        """What a file of `size` bytes has for its latents. Raises EncodeInputError where `size` is less than it needs without any."""
        least = len(self._file(step_index, b""))
        if size < least:
            raise EncodeInputError(f"a target of {size} bytes is too small: this image needs at least {least} without any latents")
        return size - least

    def _cut(self, step_index: int, payload: bytes, size: int) -> bytes:
        """The file with so much of the latents as `size` bytes hold."""
        room = self._room(size, step_index)
        while len(cut := self._file(step_index, payload[:room])) > size:
            room -= 1
        return cut


class _PlaneWriter(_Writer):
    """Writes latents as bit-planes, at whichever step or size is asked for."""

    def tilt(self, step_index: int) -> int:
        """The tuning's, of a pack that knows its channels' frequencies."""
        return 0 if self.pack.octaves is None else self._tuning(step_index).tilt

    def realism(self, step_index: int) -> int:
        """The tuning's, of a pack with a denoiser, where networks run: by the step half-way to that of the finest regions, which are to be
        trusted."""
        if self.pack.denoiser_min_step_index is None or self.pack.coder.is_fine(step_index):
            return limits.FULL_STRENGTH
        return self._tuning(step_index).realism((step_index + self._layout(step_index)[0]) // 2)

    def _tuning(self, step_index: int) -> Tuning:
        return (FINE_TUNINGS if self.pack.coder.is_fine(step_index) else TUNINGS)[self.source.tune]

    def at_quality(self, quality: float | None) -> bytes:
        """The whole file at the step of that quality."""
        step_index = step_index_for(DEFAULT_QUALITY if quality is None else quality)
        return self._file(step_index, self._refined(step_index))

    def at_size(self, size: int) -> bytes:
        """The file of `size` bytes: the step that needs about as many, a price at which it hardly needs more, the latents cut to fit."""
        self._room(size, limits.MAX_STEP_INDEX)
        finest = self._finest()
        code = functools.cache(self._code)

        def whole(step_index: int, price: float) -> int:
            return len(self._file(step_index, code(step_index, price)))

        found = step_and_price(whole, size, finest)
        if found is None:
            return self._file(finest, self._refined(finest))
        step_index, price = found
        if self.source.refiner is None or self.pack.coder.is_fine(step_index):
            return self._cut(step_index, code(step_index, price), size)
        # refined integers need a few bytes more or less
        tried: list[tuple[int, int, bytes]] = []
        for _ in range(REFININGS):
            payload = self._refined(step_index, price)
            needs = len(self._file(step_index, payload))
            tried.append((needs, step_index, payload))
            if size <= needs <= NEAR_ENOUGH * size:
                break
            price = price_for(lambda price: whole(step_index, price), round(size * whole(step_index, price) / needs))
        while max(tried)[0] < size and step_index > finest:
            step_index -= 1
            payload = self._refined(step_index)
            tried.append((len(self._file(step_index, payload)), step_index, payload))
        _, step_index, payload = min((t for t in tried if t[0] >= size), default=tried[-1])
        return self._cut(step_index, payload, size)

    def _finest(self) -> int:
        """The finest step of a file of an exact size."""
        coder = self.pack.coder
        if not coder.is_fine(LEAST_STEP_INDEX):
            return FINEST_STEP_INDEX
        return LEAST_STEP_INDEX if self.source.fits else int(coder.upper_step[0]) + 1

    def _code(self, step_index: int, price: float = 1.0) -> bytes:
        """The latents of a file of that step, a bit being worth `price` times as much as the tuning says."""
        finest, regions = self._layout(step_index)
        integers = self._quantized(self.source.exact if self.pack.coder.is_fine(step_index) else self.latents, step_index, price)
        return encode_planes(integers, finest, self.pack.coder, self.tilt(step_index), payload_of(regions))

    def _refined(self, step_index: int, price: float = 1.0) -> bytes:
        """What `_code` gives, of the integers that the effort finds."""
        if self.pack.coder.is_fine(step_index) or self.source.refiner is None:
            return self._code(step_index, price)
        finest, regions = self._layout(step_index)
        realism = self.realism(step_index) / limits.FULL_STRENGTH
        return self.source.refiner(
            self.latents, finest, self.tilt(step_index), realism, lambda latents: self._quantized(latents, step_index, price), regions
        )

    def _quantized(self, latents: NDArray[np.float32], step_index: int, price: float) -> NDArray[np.int32]:
        """Integers of a file whose blocks outside all regions have that step index."""
        coder, (finest, regions) = self.pack.coder, self._layout(step_index)
        weights = self.source.exact_weights if coder.is_fine(step_index) else self.source.weights
        tuning, tilt = self._tuning(step_index), self.tilt(step_index)
        tuning = replace(tuning, lagrangian=tuning.lagrangian * price)
        return rdo_quantize(latents, finest, coder, tuning, weights, self._steps(step_index), tilt, regions)

    def _steps(self, step_index: int) -> NDArray[np.int32]:
        tilt, coder, finest = self.tilt(step_index), self.pack.coder, self._layout(step_index)[0]
        steps = channel_steps(finest, tilt, self.pack.octaves, self.pack.channels)
        if not coder.is_fine(step_index):
            return steps
        groups = channel_steps(finest, tilt, coder.upper_octaves.astype(np.int32), coder.groups)
        return np.concatenate([steps, np.repeat(groups, coder.upper_sizes)])


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
        palette, indices = quantize_palette(self.latents, step_index, entries, dither=self.source.tune == "natural")
        return self._file(step_index, encode_palette(palette, indices), PALETTE_LATENTS)


class _IndexWriter(_Writer):
    """Writes latents as entries of the pack's codebook: all their bits or the first ones."""

    def at_quality(self, quality: float | None) -> bytes:
        """The file with as many of each index's bits as that quality asks for (`index_bits`)."""
        return self._file(0, self._code(index_bits(DEFAULT_QUALITY if quality is None else quality, self.pack.indices.levels)))

    def at_size(self, size: int) -> bytes:
        """The file of `size` bytes: all bits, cut to fit."""
        self._room(size, 0)
        payload = self._code(self.pack.indices.levels)
        whole = self._file(0, payload)
        return whole if len(whole) <= size else self._cut(0, payload, size)

    def _code(self, bits: int) -> bytes:
        return encode_indices(nearest_entries(self.latents, self.pack.indices.codebook), self.pack.indices, bits)


WRITERS: Final[dict[str, type[_Writer]]] = {PLANES: _PlaneWriter, INDICES: _IndexWriter, PALETTE: _PaletteWriter}
"""By the pack's quantizer: the encoder's side of `format.quantizers`."""
