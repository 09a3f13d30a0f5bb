"""A picture as the canvas holds it: a layer of tiles over an overview, each with its halvings for painting at a small scale."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QImage

from .decoding.messages import TILE_PIXELS, Shown, Tile, Version

MAX_TILES: Final = 40
"""Most tiles of a layer in memory: 160 MB. Where more are in view, the overview is painted instead."""


def to_image(pixels: NDArray[np.uint8]) -> QImage:
    """A QImage of its own memory, in the format that paints fastest, from uint8 (h, w, 1 to 4): grey, grey and alpha, RGB, RGBA."""
    height, width, channels = pixels.shape
    if channels == 2:
        pixels = pixels[:, :, (0, 0, 0, 1)]
    pixels = np.ascontiguousarray(pixels)
    formats = {1: QImage.Format.Format_Grayscale8, 2: QImage.Format.Format_RGBA8888, 3: QImage.Format.Format_RGB888}
    view = QImage(pixels.data, width, height, pixels.strides[0], formats.get(channels, QImage.Format.Format_RGBA8888))
    opaque = channels in (1, 3)
    return view.convertToFormat(QImage.Format.Format_RGB32 if opaque else QImage.Format.Format_ARGB32_Premultiplied)


class Mipmap:
    """An image and its halvings, made when first needed: sampling a large image at a small scale would show aliasing."""

    def __init__(self, image: QImage) -> None:
        self._levels = [image]

    def at(self, scale: float) -> QImage:
        """The smallest halving that is at least as large as the image at this scale, or the image itself."""
        wanted = max(0, math.floor(-math.log2(scale) + 1e-9))
        while len(self._levels) <= wanted and min(self._levels[-1].width(), self._levels[-1].height()) > 1:
            last = self._levels[-1]
            half = ((last.width() + 1) // 2, (last.height() + 1) // 2)
            self._levels.append(last.scaled(*half, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation))
        return self._levels[min(wanted, len(self._levels) - 1)]

    @property
    def transparent(self) -> bool:
        """Whether the image has an alpha channel."""
        return self._levels[0].hasAlphaChannel()


@dataclass
class TileImage:
    """A tile's pixels, their stage, and whether no later stage will follow."""

    image: Mipmap
    stage: Shown
    final: bool


@dataclass
class Layer:
    """One picture: `width` x `height` pixels, an overview with sides divided by `reduce`, and tiles, the least recently painted first.

    `complete`: the overview is final, so no tiles are needed.
    """

    width: int
    height: int
    name: str
    version: Version | None = None
    overview: Mipmap | None = None
    stage: Shown = "linear"
    reduce: int = 1
    complete: bool = False
    tiles: OrderedDict[Tile, TileImage] = field(default_factory=OrderedDict)

    @property
    def tile_count(self) -> int:
        """How many tiles the whole picture has."""
        return -(-self.height // TILE_PIXELS) * -(-self.width // TILE_PIXELS)

    def rect(self, tile: Tile) -> QRect:
        """Where a tile lies in the picture."""
        top, left = tile[0] * TILE_PIXELS, tile[1] * TILE_PIXELS
        return QRect(left, top, min(TILE_PIXELS, self.width - left), min(TILE_PIXELS, self.height - top))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height

    @property
    def empty(self) -> bool:
        """Whether there are no pixels yet."""
        return self.overview is None and not self.tiles

    def set_overview(self, version: Version, stage: Shown, image: QImage, reduce: int, final: bool) -> None:
        """Replaces the overview; tiles of another version are out of date."""
        if self.version != version:
            self.tiles = OrderedDict()
        self.version, self.stage, self.overview, self.reduce, self.complete = version, stage, Mipmap(image), reduce, final

    def set_tile(self, version: Version, stage: Shown, image: QImage, tile: Tile, final: bool) -> None:
        """Replaces a tile. Tiles of another version stay until they are replaced too."""
        if self.version != version:
            self.version = version
            for old in self.tiles.values():
                old.final = False
        self.tiles[tile] = TileImage(Mipmap(image), stage, final)
        self.tiles.move_to_end(tile)
        while len(self.tiles) > MAX_TILES:
            self.tiles.popitem(last=False)
