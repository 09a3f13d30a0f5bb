"""One side's picture in the worker: its file, how far it is decoded, and the pixels that each step makes. No thread, no Qt."""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ...errors import LimitError
from ...files import write_atomically
from ...format.container import ALPHA, ALT_TEXT, LATENTS, Container, parse
from ...limits import MAX_PIXELS
from ...options import Stage
from .messages import TILE_PIXELS, Facts, Shown, Tile, Version

if TYPE_CHECKING:
    from ...decode import Opened, Stopwatch
    from ...engines.installed import Networks
    from ...format.picture import Window

OVERVIEW_PIXELS: Final = 8 << 20
"""Most pixels of a whole picture at the linear stage: more than a large screen shows."""

PREVIEW_BYTES: Final = 6_000
"""Bytes of latents that a preview is made of: some hundredths of a second of entropy decoding."""

PREVIEW_SHARE: Final = 8
"""For a large picture an eighth of the latents, where that is more: with fewer it would not be recognizable."""

MAX_FILE_BYTES: Final = 1 << 30
"""Larger files are not read into memory; no picture within the format's limits is as large."""


@dataclass
class Picture:
    """The file opened as number `serial`: an .sdz (`container`) or an ordinary image (`photo`), and what of it has been painted.

    `opened` are the latents of the first `opened_limit` bytes, `painted` the last stage of each tile, `overview` whether the whole
    picture has been painted at the linear stage. `bands` are those of a lossless tail that are yet to come, `exact` those that have.
    """

    serial: int
    data: bytes = b""
    container: Container | None = None
    photo: NDArray[np.uint8] | None = None
    opened: Opened | None = None
    opened_limit: int | None = None
    version: Version | None = None
    overview: bool = False
    previewed: bool = False
    described: tuple[int | None, int] | None = None
    failed: bool = False
    reduce: int = 1
    alpha: NDArray[np.uint8] | None = None
    painted: dict[Tile, Shown] = field(default_factory=dict)
    bands: Iterator[tuple[slice, NDArray[np.uint8]]] | None = None
    exact: list[NDArray[np.uint8]] = field(default_factory=list)
    watch: Stopwatch | None = None

    @property
    def preview_end(self) -> int | None:
        """The first bytes that a preview is made of; None where all of them are decoded about as fast."""
        assert self.container is not None
        latents = self.container.find(LATENTS)
        if latents is None or len(latents.payload) <= 2 * PREVIEW_BYTES:
            return None
        return latents.start + max(PREVIEW_BYTES, len(latents.payload) // PREVIEW_SHARE)

    def tile(self, tile: Tile, stage: Stage, session: Networks | None) -> NDArray[np.uint8] | None:
        """A tile's pixels at a stage, with alpha; None where the picture has no such tile."""
        assert self.opened is not None
        window = _window(self.opened, tile)
        if window is None:
            return None
        pixels = self.opened.render(window, stage, session, watch=self.watch)
        return pixels if self.alpha is None else np.dstack([pixels, self.alpha[self.opened.place(window)]])

    def exact_tile(self, tile: Tile) -> NDArray[np.uint8] | None:
        """A tile's pixels as the photo itself has them, with alpha; None where the picture has no such tile, or not all of its rows."""
        assert self.opened is not None
        window = _window(self.opened, tile)
        if window is None:
            return None
        rows, columns = place = self.opened.place(window)
        if sum(map(len, self.exact)) < rows.stop:
            return None
        if len(self.exact) > 1:
            self.exact = [np.concatenate(self.exact)]
        pixels = self.exact[0][rows, columns]
        return pixels if self.alpha is None else np.dstack([pixels, self.alpha[place]])


def load(path: Path, watch: Stopwatch) -> tuple[Container | None, bytes, NDArray[np.uint8] | None, Facts]:
    """Reads a file: the container and bytes of an .sdz, or the pixels of an ordinary image, and the facts of either.

    Raises OSError for what is no regular file, LimitError for one that is too large, and what the readers raise.
    """
    size = _size_of(path)
    if size > MAX_FILE_BYTES:
        raise LimitError(f"{size} bytes, the viewer opens at most {MAX_FILE_BYTES}", None, "file size")
    with watch("read"):
        data = path.read_bytes()
    if path.suffix.lower() != ".sdz" and not data.startswith(b"SDZ"):
        photo, facts = read_photo(data, watch)
        return None, b"", photo, facts
    container = parse(data)
    header = container.header
    if header.width * header.height > MAX_PIXELS:
        raise LimitError(f"{header.width}x{header.height} pixels, this runtime decodes at most {MAX_PIXELS}", None, "width x height")
    return container, data, None, _facts_of(container, len(data))


def _size_of(path: Path) -> int:
    """The size of a regular file. Raises OSError for anything else: a pipe or a device would be read for ever."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path.name} is not a file")
    return status.st_size


def reduction(opened: Opened) -> int:
    """What the sides of an overview are divided by."""
    width, height = opened.header.width, opened.header.height
    factor = 1
    while factor < opened.pack.patch and (width // factor) * (height // factor) > OVERVIEW_PIXELS:
        factor *= 2
    return factor


def _facts_of(container: Container, size: int) -> Facts:
    header = container.header
    alt, latents = container.find(ALT_TEXT), container.find(LATENTS)
    mode = ("L" if header.grey else "RGB") + ("" if container.find(ALPHA) is None else "A")
    text = None if alt is None else alt.payload.decode("utf-8")
    return Facts(header.width, header.height, mode, size, "sdz", text, size if latents is None else latents.start)


def read_photo(data: bytes, watch: Stopwatch) -> tuple[NDArray[np.uint8], Facts]:
    """An ordinary image as the encoder would see it, upright and in sRGB: that is what an .sdz is to be compared with."""
    from ...photo import open_image, prepare

    with watch("image"), open_image(io.BytesIO(data)) as image:
        name = image.format or "image"
        source = prepare(image)
    pixels = source.rgb if source.alpha is None else np.dstack([source.rgb, source.alpha])
    mode = ("L" if source.grey else "RGB") + ("" if source.alpha is None else "A")
    return pixels, Facts(pixels.shape[1], pixels.shape[0], mode, len(data), name, None, None)


def whole(opened: Opened, reduce: int, alpha: NDArray[np.uint8] | None, watch: Stopwatch) -> NDArray[np.uint8]:
    """The linear stage of the whole picture, its sides divided by `reduce`."""
    from ...decode import reduced_plane

    pixels = opened.paint("linear", reduce=reduce, watch=watch)
    return pixels if alpha is None else np.dstack([pixels, reduced_plane(alpha, reduce)])


def tile_count(opened: Opened) -> int:
    return -(-opened.header.height // TILE_PIXELS) * -(-opened.header.width // TILE_PIXELS)


def _window(opened: Opened, tile: Tile) -> Window | None:
    """The latent positions of a tile, None where the picture has no such tile."""
    side = TILE_PIXELS // opened.pack.patch
    rows, columns = opened.picture.sides
    top, left = tile[0] * side, tile[1] * side
    if not (0 <= top < rows and 0 <= left < columns):
        return None
    return slice(top, min(top + side, rows)), slice(left, min(left + side, columns))


def save(pixels: NDArray[np.uint8], target: Path) -> None:
    """Writes a picture in the format of the suffix. Raises OSError or ValueError."""
    from PIL import Image

    out = io.BytesIO()
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    picture.save(out, Image.registered_extensions()[target.suffix.lower()])
    write_atomically(target, out.getvalue())
