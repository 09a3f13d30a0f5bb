"""Where the pictures are in the window: scale, centre and fit. Geometry only; sizes are device pixels, so that at 100 % one pixel of the
picture is one of the screen.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterator
from typing import Final

from PySide6.QtCore import QPointF, QRectF

from .decoding.messages import TILE_PIXELS, Tile

MIN_SCALE: Final = 1 / 64
MAX_SCALE: Final = 64.0
ZOOM_STEP: Final = 1.25
"""Of one key or notch of the wheel (120 eighths of a degree)."""


class Fit(enum.Enum):
    """How the scale follows the window. FREE: it does not."""

    WINDOW = enum.auto()
    WIDTH = enum.auto()
    ACTUAL = enum.auto()
    FREE = enum.auto()


class View:
    """The view of the window (`window` tells its width and height) on a picture of `size`, None where there is none.

    A second picture, for comparison, lies in the middle of the first one, as large as fits.
    """

    def __init__(self, window: Callable[[], tuple[int, int]]) -> None:
        self._window = window
        self.size: tuple[int, int] | None = None
        self.fit = Fit.WINDOW
        self.scale = 1.0
        self.centre = QPointF()

    @property
    def percent(self) -> float:
        """The scale in percent."""
        return 100 * self.scale

    @property
    def middle(self) -> QPointF:
        """The window's middle."""
        width, height = self._window()
        return QPointF(width / 2, height / 2)

    @property
    def movable(self) -> bool:
        """Whether the picture is larger than the window."""
        if self.size is None:
            return False
        return any(side * self.scale > room + 1 for side, room in zip(self.size, self._window(), strict=True))

    def apply_fit(self) -> None:
        """Sets the scale, and where need be the centre, that the fit asks for."""
        if self.size is None:
            return
        (width, height), (room, room_below) = self.size, self._window()
        if self.fit == Fit.WINDOW:
            # a small picture is not enlarged
            self.scale = min(room / width, room_below / height, 1.0)
            self.centre = QPointF(width / 2, height / 2)
        elif self.fit == Fit.WIDTH:
            self.scale = min(max(room / width, MIN_SCALE), MAX_SCALE)
            self.centre = QPointF(width / 2, self.centre.y())
        elif self.fit == Fit.ACTUAL:
            self.scale = 1.0
        self._hold()

    def zoom(self, factor: float, about: QPointF) -> None:
        """Scales by `factor`; the point of the picture under `about` stays there."""
        from_middle = about - self.middle
        point = self.centre + from_middle / self.scale
        self.scale = min(max(self.scale * factor, MIN_SCALE), MAX_SCALE)
        self.fit = Fit.FREE
        self.centre = point - from_middle / self.scale
        self._hold()

    def pan(self, by: QPointF) -> None:
        """Moves the picture."""
        self.centre -= by / self.scale
        self._hold()

    def scale_of(self, size: tuple[int, int]) -> float:
        """The scale of a picture of this size."""
        if self.size is None or size == self.size:
            return self.scale
        return self.scale * min(self.size[0] / size[0], self.size[1] / size[1])

    def place(self, size: tuple[int, int]) -> QRectF:
        """Where the whole of a picture of this size is."""
        assert self.size is not None
        corner = self.middle - self.centre * self.scale
        # whole pixels: at 100 % a picture's pixel must not cover parts of two
        frame = QRectF(round(corner.x()), round(corner.y()), self.size[0] * self.scale, self.size[1] * self.scale)
        if size == self.size:
            return frame
        scale = self.scale_of(size)
        place = QRectF(0, 0, size[0] * scale, size[1] * scale)
        place.moveCenter(frame.center())
        return place

    def tiles(self, size: tuple[int, int]) -> Iterator[Tile]:
        """The tiles in view of a picture of this size."""
        place, scale, (width, height) = self.place(size), self.scale_of(size), self._window()
        left, top = max(-place.left() / scale, 0.0), max(-place.top() / scale, 0.0)
        right = min((width - place.left()) / scale, size[0])
        bottom = min((height - place.top()) / scale, size[1])
        for row in range(int(top) // TILE_PIXELS, math.ceil(bottom / TILE_PIXELS)):
            for column in range(int(left) // TILE_PIXELS, math.ceil(right / TILE_PIXELS)):
                yield row, column

    def _hold(self) -> None:
        """Keeps the picture in the window."""
        if self.size is None:
            return
        width, height = self._window()
        x = _held_in(self.centre.x(), self.size[0], width / self.scale)
        y = _held_in(self.centre.y(), self.size[1], height / self.scale)
        self.centre = QPointF(x, y)


def _held_in(centre: float, size: int, view: float) -> float:
    """The centre of a view on `size` pixels: their middle where all fit, else so that the view ends at the picture's edges."""
    if size <= view:
        return size / 2
    return min(max(centre, view / 2), size - view / 2)
