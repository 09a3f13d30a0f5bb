"""The decoder: the bytes of an .sdz, or of any prefix of one, -> an image at one of three stages.

Takes a file and a pack; gives uint8 pixels. `linear` needs no neural runtime, `decoded` adds the decoder network, `denoised` the one-step
denoiser before it. Large images go through the networks in tiles with the margin that the pack's receptive fields ask for, so memory stays
bounded and the pixels are those of the untiled image; a pack whose networks have no such margin says how its tiles overlap, and those are
blended. `open_latents` stops at the latents, for callers that want some of the pixels, in their own order.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from . import limits
from .errors import DecodeInputError, LimitError, MissingPackError
from .files import FileInput, contents
from .format.container import ALPHA, ALT_TEXT, EXIF, LOSSLESS, Chunk, Container, Header, parse
from .format.linear import reductions
from .format.picture import Picture, Window
from .options import DEFAULT_STAGE, STAGES, Engine, Stage
from .pack import Pack, find_pack

if TYPE_CHECKING:
    from PIL import Image

    from .engines.installed import Networks
    from .format.tiles import Span

TILE_PIXELS: Final = 1024
"""Pixels on a tile's side. Keeps the default networks' activations near 150 MB, and their margins cheap."""


@dataclass(frozen=True)
class DecodedImage:
    """What `decode` returns.

    `pixels` is uint8 (H, W, n) in sRGB: n = 3 RGB, 4 RGBA, 1 grey, 2 grey and alpha. `stage` is the one reached (`denoised` falls
    back to `decoded` where the pack skips its denoiser). `complete` tells whether the latents, and the lossless tail if the file has one,
    were there to the last bit; `exact_rows` rows from the top are the photo's own pixels. `timings` are seconds per stage.
    """

    pixels: NDArray[np.uint8]
    header: Header
    stage: Stage
    complete: bool
    alt: str | None = None
    exif: bytes | None = None
    timings: dict[str, float] = field(default_factory=dict)
    exact_rows: int = 0

    def to_pil(self) -> Image.Image:
        """The image for Pillow: mode L, LA, RGB or RGBA."""
        from PIL import Image

        return Image.fromarray(self.pixels[:, :, 0] if self.pixels.shape[2] == 1 else self.pixels)


class Stopwatch:
    """Adds up the seconds spent under each name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class Opened:
    """A file whose latents are decoded: any window of it at any stage, in any order. Safe to use from one thread at a time."""

    container: Container
    pack: Pack
    picture: Picture

    @property
    def header(self) -> Header:
        """The file's header."""
        return self.container.header

    @property
    def alt(self) -> str | None:
        """The alternative text, if the file has one."""
        chunk = self.container.find(ALT_TEXT)
        return None if chunk is None else chunk.payload.decode("utf-8")

    @property
    def exif(self) -> bytes | None:
        """The EXIF block, if the file has one."""
        chunk = self.container.find(EXIF)
        return None if chunk is None else chunk.payload

    @property
    def channels(self) -> int:
        """Channels of the stages' pixels, without alpha: 1 grey, 3 RGB."""
        return 1 if self.header.grey else 3

    def strength(self, realism: float | None) -> int:
        """Sixteenths of the denoiser's moves that are made at that `realism`, as for `decode`."""
        return self.header.realism if realism is None else strength_of(realism)

    def reached(self, stage: Stage, realism: float | None = None) -> Stage:
        """`stage`, or `decoded` in place of `denoised` where the pack or the `realism` skips the denoiser; `linear` in place of both where
        the file is so fine, or as yet so coarse, that no network runs."""
        if self.picture.fine or self.picture.codes > limits.NETWORKS_COARSEST * self.picture.count:
            return "linear"
        if stage == "denoised" and not (self.strength(realism) and denoiser_applies(self.pack, self.picture.codes, self.picture.count)):
            return "decoded"
        return stage

    @functools.cached_property
    def _tiles(self) -> dict[tuple[int, int, int], NDArray[np.uint8]]:
        """RGB of the tiles of a pack with a tiling, as the networks gave them, by strength, row and column; the last ones only."""
        return {}

    def windows(self, tile: int | None = None) -> Iterator[Window]:
        """Windows of at most `tile` positions (TILE_PIXELS without one) a side that cover the picture, in rows from the top."""
        return _windows(*self.picture.sides, tile or TILE_PIXELS // self.pack.patch)

    def place(self, window: Window, reduce: int = 1) -> Window:
        """The rows and columns of pixels that `render` gives of a window."""
        side = self.pack.patch // reduce
        sizes = (-(-self.header.height // reduce), -(-self.header.width // reduce))
        rows, columns = (slice(part.start * side, min(part.stop * side, size)) for part, size in zip(window, sizes, strict=True))
        return rows, columns

    def render(
        self,
        window: Window,
        stage: Stage,
        session: Networks | None = None,
        *,
        realism: float | None = None,
        reduce: int = 1,
        watch: Stopwatch | None = None,
    ) -> NDArray[np.uint8]:
        """The pixels of a window of latent positions, uint8 (h, w, `channels`), cropped at the picture's edge.

        `realism` as for `decode`. `stage` must be one that is `reached`; all but `linear` need a `session` of this pack. `reduce`
        (1 or one of `reductions` of the pack's patch) is for `linear` alone and divides the sides.
        """
        watch = watch or Stopwatch()
        if stage == "linear":
            with watch("linear"):
                rgb = self.picture.linear(window, reduce)
        else:
            assert session is not None and reduce == 1
            strength = self.strength(realism) if stage == "denoised" else 0
            rgb = self._networks(window, session, strength, watch)
        rows, columns = self.place(window, reduce)
        rgb = rgb[: rows.stop - rows.start, : columns.stop - columns.start]
        return luma(rgb)[:, :, None] if self.header.grey else rgb

    def _networks(self, window: Window, session: Networks, strength: int, watch: Stopwatch) -> NDArray[np.uint8]:
        """The networks' pixels of a window: in one piece with their margins, or blended from the tiles of the pack's tiling."""
        tiling, patch = self.pack.tiling, self.pack.patch
        if tiling is None:
            return _run_networks(self.picture, window, session, strength, watch)
        spans = tiling.spans(*self.picture.sides)
        height, width = ((part.stop - part.start) * patch for part in window)
        sums = np.zeros((height, width, 3), np.int64)
        for i, row in enumerate(spans[0]):
            for j, column in enumerate(spans[1]):
                if not (_meet(row, window[0]) and _meet(column, window[1])):
                    continue
                tile = self._tile((strength, i, j), (slice(row.start, row.stop), slice(column.start, column.stop)), session, watch)
                (to_y, from_y), (to_x, from_x) = (_shared(span, part, patch) for span, part in zip((row, column), window, strict=True))
                weights = np.multiply.outer(tiling.weights(row, patch)[from_y], tiling.weights(column, patch)[from_x])
                sums[to_y, to_x] += weights[:, :, None] * tile[from_y, from_x]
        full = tiling.full(patch) ** 2
        return ((sums + full // 2) // full).astype(np.uint8)

    def _tile(self, key: tuple[int, int, int], window: Window, session: Networks, watch: Stopwatch) -> NDArray[np.uint8]:
        """A tile of the pack's tiling; those of two rows of tiles are kept, for the windows that share them."""
        found = self._tiles.pop(key, None)
        if found is None:
            found = _run_networks(self.picture, window, session, key[0], watch)
        self._tiles[key] = found
        assert self.pack.tiling is not None
        across = len(self.pack.tiling.spans(*self.picture.sides)[1])
        while len(self._tiles) > 2 * across + 2:
            self._tiles.pop(next(iter(self._tiles)))
        return found

    def paint(
        self,
        stage: Stage,
        session: Networks | None = None,
        *,
        realism: float | None = None,
        reduce: int = 1,
        tile: int | None = None,
        watch: Stopwatch | None = None,
    ) -> NDArray[np.uint8]:
        """The pixels of the whole picture, uint8 (H, W, `channels`), without alpha; the options as for `render` and `decode`."""
        pixels = np.empty((-(-self.header.height // reduce), -(-self.header.width // reduce), self.channels), np.uint8)
        for window in self.windows(tile):
            part = self.render(window, stage, session, realism=realism, reduce=reduce, watch=watch)
            place = self.place(window, reduce)
            # channel by channel: numpy is several times slower at three bytes of every four
            for channel in range(self.channels):
                pixels[*place, channel] = part[:, :, channel]
        return pixels

    @functools.cached_property
    def tail(self) -> Chunk | None:
        """The file's lossless tail, whole or cut, if it has a usable one."""
        if self.container.find(LOSSLESS) is None:
            return None
        from .lossless.tail import tail_of

        return tail_of(self.container, self.pack)

    def exact_bands(self) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
        """The rows that the lossless tail has of the photo itself, from the top: which ones, and uint8 (rows, W, `channels`) of them; all,
        fewer where it is cut, none without one. Raises CorruptFileError."""
        if self.tail is not None:
            from .lossless.tail import tail_bands

            yield from tail_bands(self.tail, (self.header.height, self.header.width, self.channels), self._linear_rows)

    def _linear_rows(self, rows: slice) -> NDArray[np.uint8]:
        """Rows of pixels of the linear stage, perhaps none."""
        patch = self.pack.patch
        # a window has at least one row of positions
        top = min(rows.start // patch, self.picture.sides[0] - 1)
        window = slice(top, max(top + 1, -(-rows.stop // patch))), slice(0, self.picture.sides[1])
        return self.render(window, "linear")[rows.start - top * patch : rows.stop - top * patch]

    def exact(self) -> NDArray[np.uint8]:
        """All of these rows, (rows, W, `channels`)."""
        pixels, done = np.empty((self.header.height, self.header.width, self.channels), np.uint8), 0
        for rows, band in self.exact_bands():
            pixels[rows], done = band, rows.stop
        return pixels[:done]

    @property
    def has_alpha(self) -> bool:
        """Whether the file has an alpha plane, whole."""
        return self.container.find(ALPHA) is not None

    def alpha(self, reduce: int = 1) -> NDArray[np.uint8]:
        """The alpha plane of a file that has one, uint8, its sides divided by `reduce`; decoded at every call. Raises CorruptFileError."""
        chunk = self.container.find(ALPHA)
        assert chunk is not None
        from .format.alpha import decode_alpha

        return reduced_plane(decode_alpha(chunk.payload, self.header.height, self.header.width, chunk.start), reduce)


def reduced_plane(plane: NDArray[np.uint8], reduce: int) -> NDArray[np.uint8]:
    """A plane uint8 (H, W) with its sides divided by `reduce`, rounding up: means."""
    if reduce == 1:
        return plane
    from PIL import Image

    return np.asarray(Image.fromarray(plane).reduce(reduce))


def reduction_to(patch: int, *sides: tuple[int, int]) -> int:
    """The largest of 1 and `reductions(patch)` that leaves every side of (length, least length) at least its least length; 1 where none
    does."""
    return max(f for f in (1, *reductions(patch)) if f == 1 or all(length // f >= least for length, least in sides))


def open_latents(data: FileInput, *, pack: Pack | None = None, max_bytes: int | None = None, watch: Stopwatch | None = None) -> Opened:
    """Decodes the latents of `data`, as `decode` takes it, or of its first `max_bytes` bytes, and no pixels yet.

    Without `pack` the installed pack of the file's id is taken. Raises what `decode` raises, but for a broken alpha chunk.
    """
    watch = watch or Stopwatch()
    with watch("parse"):
        file = _bytes_of(data)
        container = parse(file if max_bytes is None else file[:max_bytes])
        header = container.header
        if header.width * header.height > limits.MAX_PIXELS:
            problem = f"{header.width}x{header.height} pixels, this runtime decodes at most {limits.MAX_PIXELS}"
            raise LimitError(problem, None, "width x height")
    with watch("pack"):
        if pack is None:
            pack = find_pack(header.pack_id)
        elif pack.id != header.pack_id:
            raise MissingPackError(header.pack_id)
    with watch("entropy"):
        picture = Picture(container, pack)
    return Opened(container, pack, picture)


def _bytes_of(data: FileInput) -> bytes:
    if isinstance(data, bytes):
        return data
    try:
        return contents(data)
    except TypeError as error:
        raise DecodeInputError(f"an .sdz is a path, its bytes, or a file opened for binary reading, not {error}") from None


def decode(
    data: FileInput,
    *,
    stage: Stage = DEFAULT_STAGE,
    session: Networks | None = None,
    pack: Pack | None = None,
    max_bytes: int | None = None,
    realism: float | None = None,
    tile: int | None = None,
    reduce: int = 1,
    engine: Engine | None = None,
    lossless: bool = True,
) -> DecodedImage:
    """Decodes `data`, or its first `max_bytes` bytes, up to `stage`. `data` is the file's bytes (any bytes-like object), its path, or the
    file opened for binary reading.

    `session` runs the networks and fixes the pack; without one, `pack` or else the installed pack of the file's id is run on one CPU
    thread by the `engine`: onnxruntime where it is installed, else the core, to the same pixels. `realism`, 0 to 1 in sixteenths, is how
    far the denoiser goes: 1 the most natural picture, 0 the most faithful, for which it does not run at all; without one, as far as the
    file says.
    At the last stage, rows that a lossless tail brings are the photo's own pixels, unless `lossless` is false; no network runs if all are.
    `tile` is the side of a tile in latent positions (1,024 pixels without one); it does not change the pixels.
    `reduce` (1, or one of `reductions` of the pack's patch at the stage `linear`) divides the sides, rounding up: the means of as many
    pixels, for a fraction of the work.
    Raises what `parse` raises, CorruptFileError for a broken alpha chunk, LimitError over MAX_PIXELS, MissingPackError when the
    pack is not installed or the one given is not the file's, MissingRuntimeError or ProviderError where the networks cannot run,
    DecodeInputError for data that is none of these and for a `stage`, `reduce` or
    `realism` that does not exist, OSError for a file that cannot be read.
    """
    # refused before anything is decoded
    if realism is not None:
        strength_of(realism)
    if stage not in STAGES:
        raise DecodeInputError(f"stage is {stage!r}, it must be {', '.join(STAGES[:-1])} or {STAGES[-1]}")
    watch = Stopwatch()
    opened = open_latents(data, pack=pack if session is None else session.pack, max_bytes=max_bytes, watch=watch)
    possible = reductions(opened.pack.patch)
    if reduce not in (1, *possible) or (reduce > 1 and stage != "linear"):
        raise DecodeInputError(f"reduce is {reduce} at stage {stage}: it is 1, or one of {possible} at stage linear")
    exact = None
    if lossless and stage == STAGES[-1] and opened.tail is not None:
        with watch("lossless"):
            exact = opened.exact()
    stage = opened.reached(stage, realism)
    rows = 0 if exact is None else len(exact)
    if exact is not None and rows == opened.header.height:
        pixels = exact
    else:
        if session is None and stage != "linear":
            with watch("pack"):
                from .engines import networks_of

                session = networks_of(opened.pack, engine)
        pixels = opened.paint(stage, session, realism=realism, reduce=reduce, tile=tile, watch=watch)
        if exact is not None:
            pixels[:rows] = exact
    if opened.has_alpha:
        with watch("alpha"):
            pixels = np.concatenate([pixels, opened.alpha(reduce)[:, :, None]], axis=2)
    complete = opened.picture.complete and (opened.tail is None or opened.tail.complete)
    return DecodedImage(pixels, opened.header, stage, complete, opened.alt, opened.exif, watch.seconds, rows)


def strength_of(realism: float) -> int:
    """Sixteenths of the denoiser's moves for a realism from 0 to 1, rounded half up; DecodeInputError outside."""
    if not 0 <= realism <= 1:
        raise DecodeInputError(f"realism is {realism}, it must lie in 0..1")
    return math.floor(realism * limits.FULL_STRENGTH + 0.5)


def denoiser_applies(pack: Pack, codes: int, count: int) -> bool:
    """Whether the denoiser runs where networks do: the pack has one, and the mean precision code, `codes` by `count` latents, is at least
    `min_step_index`, from which on there is something to add.

    Decided once for the whole image, so that tiles agree; the mean, so that a cut of a few bytes seldom switches it.
    """
    least = pack.denoiser_min_step_index
    return least is not None and least * count <= codes


def _windows(rows: int, columns: int, tile: int) -> Iterator[Window]:
    """Covers rows x columns positions with windows of at most `tile` positions a side."""
    for top in range(0, rows, tile):
        for left in range(0, columns, tile):
            yield slice(top, min(top + tile, rows)), slice(left, min(left + tile, columns))


def _meet(span: Span, part: slice) -> bool:
    """Whether the span and the slice of positions have any in common."""
    return bool(span.start < part.stop and part.start < span.stop)


def _shared(span: Span, part: slice, patch: int) -> tuple[slice, slice]:
    """The pixels that a span and a slice of positions have in common, counted from the start of `part` and of `span`."""
    start, stop = max(span.start, part.start) * patch, min(span.stop, part.stop) * patch
    return slice(start - part.start * patch, stop - part.start * patch), slice(start - span.start * patch, stop - span.start * patch)


def _grow(window: Window, margin: int, picture: Picture) -> Window:
    """The window with `margin` more positions on each side, as far as there are any."""
    rows, columns = (slice(max(s.start - margin, 0), min(s.stop + margin, n)) for s, n in zip(window, picture.sides, strict=True))
    return rows, columns


def _within(inner: Window, outer: Window) -> Window:
    """`inner` counted from the corner of `outer`."""
    rows, columns = (slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))
    return rows, columns


def _run_networks(picture: Picture, core: Window, session: Networks, strength: int, watch: Stopwatch) -> NDArray[np.uint8]:
    """The networks' pixels of the window `core`: each network sees its receptive field's margin around what is asked of it."""
    pack = session.pack
    decoded = _grow(core, pack.decoder_halo, picture)
    widest = _grow(decoded, pack.denoiser_halo, picture) if strength else decoded
    with watch("dequantize"):
        latents = picture.latents(widest)
    rows, columns = _within(decoded, widest)
    values = latents.values
    if strength:
        with watch("denoise"):
            values = session.denoise(latents, strength)
    with watch("decode"):
        rgba = session.decode(np.ascontiguousarray(values[:, rows, columns]), np.ascontiguousarray(latents.precision[:, rows, columns]))
    return _crop(rgba[:, :, :3], core, decoded, pack.patch)


def _crop(rgb: NDArray[np.uint8], inner: Window, outer: Window, side: int) -> NDArray[np.uint8]:
    """The pixels of the window `inner` of those of `outer`, `side` a position."""
    rows, columns = _within(inner, outer)
    return rgb[rows.start * side : rows.stop * side, columns.start * side : columns.stop * side]


def luma(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """BT.601 luma, uint8 (H, W), of uint8 (H, W, 3), by the integer formula of FORMAT.md (the one Pillow's mode L uses)."""
    red, green, blue = (rgb[:, :, i].astype(np.uint32) for i in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)
