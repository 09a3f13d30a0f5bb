"""The decoder: the bytes of an .sdz, or of any prefix of one, -> an image at one of three stages.

Takes bytes and a pack, hands on uint8 pixels. `linear` needs no neural runtime, `decoded` adds the decoder network, `denoised`
the one-step denoiser before it. Large images go through the networks in tiles with the margin that the pack's receptive fields
ask for, so memory stays bounded and the pixels are those of the untiled image.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from runtime import limits
from runtime.container import ALPHA, ALT_TEXT, EXIF, LATENTS, Container, Header, parse
from runtime.errors import LimitError, MissingPackError
from runtime.linear import PATCH, linear_stage
from runtime.pack import Pack, find_pack
from runtime.planes import Known, Latents, decode_planes, dequantize

if TYPE_CHECKING:
    from PIL import Image

    from runtime.session import Session

Stage = Literal["linear", "decoded", "denoised"]
STAGES: Final[tuple[Stage, ...]] = ("linear", "decoded", "denoised")

TILE: Final = 64
"""Latent positions on a tile's side: 1,024 pixels. Keeps the networks' activations near 150 MB, and their margins cheap."""

Window = tuple[slice, slice]
"""Rows and columns of latent positions."""


@dataclass(frozen=True)
class DecodedImage:
    """What `decode` hands on.

    `pixels` is uint8 (H, W, n) in sRGB: n = 3 RGB, 4 RGBA, 1 grey, 2 grey and alpha. `stage` is the one reached (`denoised` falls
    back to `decoded` where the pack skips its denoiser). `complete` tells whether the latents were there to the last bit.
    `timings` are seconds per stage.
    """

    pixels: NDArray[np.uint8]
    header: Header
    stage: Stage
    complete: bool
    alt: str | None = None
    exif: bytes | None = None
    timings: dict[str, float] = field(default_factory=dict)

    def to_pil(self) -> Image.Image:
        """The image for Pillow: mode L, LA, RGB or RGBA."""
        from PIL import Image

        return Image.fromarray(self.pixels[:, :, 0] if self.pixels.shape[2] == 1 else self.pixels)


class _Stopwatch:
    """Adds up the seconds spent under each name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def decode(
    data: bytes,
    *,
    stage: Stage = "denoised",
    session: Session | None = None,
    pack: Pack | None = None,
    max_bytes: int | None = None,
    tile: int = TILE,
) -> DecodedImage:
    """Decodes `data`, or its first `max_bytes` bytes, up to `stage`.

    `session` runs the networks and fixes the pack; without one, `pack` or else the installed pack of the file's id is run on one CPU
    thread. `tile` is the side of a tile in latent positions (16 pixels each); it does not change the pixels.
    Raises what `parse` raises, CorruptFileError for a broken alpha chunk, LimitError over MAX_PIXELS, MissingPackError when the
    pack is not installed or the one given is not the file's.
    """
    watch = _Stopwatch()
    with watch("parse"):
        container = parse(data if max_bytes is None else data[:max_bytes])
        header = container.header
        if header.width * header.height > limits.MAX_PIXELS:
            problem = f"{header.width}x{header.height} pixels, this runtime decodes at most {limits.MAX_PIXELS}"
            raise LimitError(problem, None, "width x height")
    with watch("pack"):
        pack = _pack_for(header, session, pack)
        if session is None and stage != "linear":
            from runtime.session import Session

            session = Session(pack)
    with watch("entropy"):
        known = _decode_latents(container, pack)
    denoise = stage == "denoised" and denoiser_applies(known, header.step_index, pack)
    if stage == "denoised" and not denoise:
        stage = "decoded"
    pixels = np.empty((header.height, header.width, 1 if header.grey else 3), np.uint8)
    for core in _tiles(known.plane.shape[1], known.plane.shape[2], tile):
        if stage == "linear":
            with watch("linear"):
                rgb = linear_stage(_latents_in(known, core, header.step_index, pack).values, pack.linear, pack.linear_shift)
        else:
            assert session is not None
            rgb = _run_networks(known, core, header.step_index, session, denoise, watch)
        _place(rgb, core, pixels)
    alpha = container.find(ALPHA)
    if alpha is not None:
        with watch("alpha"):
            from runtime.alpha import decode_alpha

            plane = decode_alpha(alpha.payload, header.height, header.width, alpha.start)
            pixels = np.concatenate([pixels, plane[:, :, None]], axis=2)
    alt, exif = container.find(ALT_TEXT), container.find(EXIF)
    return DecodedImage(
        pixels,
        header,
        stage,
        known.complete,
        None if alt is None else alt.payload.decode("utf-8"),
        None if exif is None else exif.payload,
        watch.seconds,
    )


def denoiser_applies(known: Known, step_index: int, pack: Pack) -> bool:
    """Whether the denoiser runs: the mean over all latents of the precision code is at least the pack's `min_step_index`.

    Decided once for the whole image, so that tiles agree; the mean, so that a cut of a few bytes does not switch it.
    """
    planes = int(known.plane.sum(dtype=np.int64))
    return bool(8 * planes >= (pack.denoiser_min_step_index - step_index) * known.plane.size)


def _pack_for(header: Header, session: Session | None, pack: Pack | None) -> Pack:
    if session is not None:
        pack = session.pack
    if pack is None:
        return find_pack(header.pack_id)
    if pack.id != header.pack_id:
        raise MissingPackError(header.pack_id)
    return pack


def _decode_latents(container: Container, pack: Pack) -> Known:
    header = container.header
    chunk = container.find(LATENTS)
    rows, columns = -(-header.height // PATCH), -(-header.width // PATCH)
    payload = b"" if chunk is None else chunk.payload
    return decode_planes(payload, pack.channels, rows, columns, header.planes, header.step_index, pack.coder)


def _tiles(rows: int, columns: int, tile: int) -> Iterator[Window]:
    """Covers rows x columns positions with windows of at most `tile` positions a side."""
    for top in range(0, rows, tile):
        for left in range(0, columns, tile):
            yield slice(top, min(top + tile, rows)), slice(left, min(left + tile, columns))


def _grow(window: Window, margin: int, known: Known) -> Window:
    """The window with `margin` more positions on each side, as far as there are any."""
    sizes = known.plane.shape[1:]
    rows, columns = (slice(max(s.start - margin, 0), min(s.stop + margin, n)) for s, n in zip(window, sizes, strict=True))
    return rows, columns


def _within(inner: Window, outer: Window) -> Window:
    """`inner` counted from the corner of `outer`."""
    rows, columns = (slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))
    return rows, columns


def _latents_in(known: Known, window: Window, step_index: int, pack: Pack) -> Latents:
    rows, columns = window
    part = Known(
        np.ascontiguousarray(known.magnitude[:, rows, columns]),
        np.ascontiguousarray(known.negative[:, rows, columns]),
        np.ascontiguousarray(known.plane[:, rows, columns]),
        known.complete,
    )
    return dequantize(part, step_index, pack.reconstruction, pack.l1_limit)


def _run_networks(known: Known, core: Window, step_index: int, session: Session, denoise: bool, watch: _Stopwatch) -> NDArray[np.uint8]:
    """The networks' pixels of the window `core`: each network sees its receptive field's margin around what is asked of it."""
    pack = session.pack
    decoded = _grow(core, pack.decoder_halo, known)
    widest = _grow(decoded, pack.denoiser_halo, known) if denoise else decoded
    with watch("dequantize"):
        latents = _latents_in(known, widest, step_index, pack)
    rows, columns = _within(decoded, widest)
    values = latents.values
    if denoise:
        with watch("denoise"):
            values = session.denoise(latents)
    with watch("decode"):
        rgba = session.decode(np.ascontiguousarray(values[:, rows, columns]), np.ascontiguousarray(latents.precision[:, rows, columns]))
    rows, columns = _within(core, decoded)
    rgb: NDArray[np.uint8] = rgba[rows.start * PATCH : rows.stop * PATCH, columns.start * PATCH : columns.stop * PATCH, :3]
    return rgb


def _place(rgb: NDArray[np.uint8], core: Window, pixels: NDArray[np.uint8]) -> None:
    """Writes a tile into the picture, cropped at its edges, in the picture's number of channels."""
    rows, columns = core
    target = pixels[rows.start * PATCH : rows.stop * PATCH, columns.start * PATCH : columns.stop * PATCH]
    rgb = rgb[: target.shape[0], : target.shape[1]]
    target[:] = luma(rgb)[:, :, None] if pixels.shape[2] == 1 else rgb


def luma(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """BT.601 luma, uint8 (H, W), of uint8 (H, W, 3), by the integer formula of FORMAT.md (the one Pillow's mode L uses)."""
    red, green, blue = (rgb[:, :, i].astype(np.uint32) for i in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)
