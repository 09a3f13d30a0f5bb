"""The canvas: the widget that shows one or two pictures, and moves and divides them with wheel and mouse.

It holds a `Layer` for each picture and a `View` on them, tells which tiles are in view and lack pixels (`wanted`), and decodes nothing.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from typing import Final

from PySide6.QtCore import QPointF, QRect, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QImage, QMouseEvent, QPainter, QPaintEvent, QPalette, QResizeEvent, QTransform, QWheelEvent
from PySide6.QtWidgets import QWidget

from .decoding.messages import DIRECT_TILES, SHOWN, Shown, Side, Tile, Version
from .layer import MAX_TILES, Layer
from .painting import background, paint_layer, paint_line, paint_name
from .view import ZOOM_STEP, Fit, View

GRIP: Final = 14
"""Distance from the dividing line, in logical pixels, at which the pointer can drag it."""

PATIENCE: Final = 400
"""Milliseconds without a picture after which the canvas says that it is decoding."""


class Wheel(enum.Enum):
    """What the wheel does without Ctrl, with which it zooms. Values are kept in the settings."""

    PAN = "pan"
    ZOOM = "zoom"
    WALK = "walk"


class Canvas(QWidget):
    """Shows the layer `shown`, the layer `other` in its place, or both on two sides of a line."""

    view_changed = Signal()
    walked = Signal(int)
    split_moved = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setMinimumSize(160, 120)
        self.setAccessibleName("Picture")
        self.layers: dict[Side, Layer] = {}
        self.view = View(self._device_size)
        self.split: float | None = None
        self.flipped = False
        self.turn = 0
        self.wheel = Wheel.PAN
        self._notches = 0
        self.waiting = ""
        self._drag: QPointF | None = None
        self._dragging_line = False
        self._patience = QTimer(self, singleShot=True, interval=PATIENCE)
        self._patience.timeout.connect(self._lose_patience)

    # what is shown

    def begin(self, side: Side, width: int, height: int, name: str) -> None:
        """A new picture of that size on a side; one of the same size stays visible until the new one's first pixels come."""
        old = self.layers.get(side)
        layer = Layer(width, height, name)
        if old is not None and old.size == layer.size:
            layer.overview, layer.reduce, layer.tiles = old.overview, old.reduce, old.tiles
        self.layers[side] = layer
        if side == "shown":
            if self.view.fit == Fit.FREE and (old is None or old.size != layer.size):
                self.view.fit = Fit.WINDOW
            self.view.size = layer.size
            self._apply_fit()
        self._patience.start()
        self.update()

    def clear(self, side: Side) -> None:
        """Shows nothing on a side."""
        self.layers.pop(side, None)
        if side == "shown":
            self.view.size = None
        if side == "other":
            self.split, self.flipped = None, False
        self._quiet()
        self.update()

    def paint_whole(self, side: Side, version: Version, stage: Shown, image: QImage, reduce: int, final: bool) -> None:
        """Replaces the overview of a side."""
        self.layers[side].set_overview(version, stage, image, reduce, final)
        self._quiet()
        self.update()

    def paint_tile(self, side: Side, version: Version, stage: Shown, image: QImage, tile: Tile, final: bool) -> None:
        """Replaces one tile of a side."""
        self.layers[side].set_tile(version, stage, image, tile, final)
        self._quiet()
        self.update()

    def wanted(self, side: Side, version: Version) -> tuple[Tile, ...]:
        """The tiles in view that lack the last stage of `version`, the nearest to the middle first."""
        layer = self.layers.get(side)
        if layer is None or self.view.size is None or (layer.complete and layer.version == version):
            return ()
        tiles = list(self._in_view(side))
        if layer.tile_count > MAX_TILES and (len(tiles) > MAX_TILES or self.view.scale_of(layer.size) * layer.reduce <= 1):
            return ()
        if layer.tile_count <= DIRECT_TILES:
            # all of them: the overview is not repainted where these are (see worker.DIRECT_TILES)
            every = [(row, column) for row in range(layer.tile_count) for column in range(layer.tile_count)]
            tiles = [tile for tile in every if layer.rect(tile).isValid()]
        if layer.version == version:
            tiles = [tile for tile in tiles if tile not in layer.tiles or not layer.tiles[tile].final]
        scale = self.view.scale_of(layer.size)
        offset = self.view.place(layer.size).topLeft()

        def distance(tile: Tile) -> float:
            centre = QRectF(layer.rect(tile)).center() * scale + offset - self.view.middle
            return math.hypot(centre.x(), centre.y())

        return tuple(sorted(tiles, key=distance))

    def stage_in_view(self, side: Side = "shown") -> Shown | None:
        """The earliest stage of any part in view, None before the first."""
        layer = self.layers.get(side)
        if layer is None:
            return None
        stages = [layer.tiles[tile].stage if tile in layer.tiles else layer.stage for tile in self._in_view(side)]
        if layer.overview is None and any(tile not in layer.tiles for tile in self._in_view(side)):
            return None
        return min(stages, key=SHOWN.index, default=layer.stage)

    def _in_view(self, side: Side) -> Iterator[Tile]:
        if side in self.layers and "shown" in self.layers:
            yield from self.view.tiles(self.layers[side].size)

    # where it is shown

    def set_fit(self, fit: Fit) -> None:
        """Chooses a fit; ACTUAL keeps the middle of the view where it is."""
        self.view.fit = fit
        self._apply_fit()

    def zoom(self, factor: float, about: QPointF | None = None) -> None:
        """Scales by `factor`; the point of the picture under `about` (widget coordinates; None: the middle) stays there."""
        if "shown" in self.layers:
            at = self.view.middle if about is None else self._unturned().map(about * self.devicePixelRatioF())
            self.view.zoom(factor, at)
            self._moved()

    def pan(self, by: QPointF) -> None:
        """Moves the picture by device pixels."""
        self.view.pan(by)
        self._moved()

    def set_split(self, at: float | None) -> None:
        """Puts the dividing line at that share of the window's width; None removes it."""
        self.split = None if at is None else min(max(at, 0.0), 1.0)
        self.update()

    def set_turn(self, quarters: int) -> None:
        """Turns what is shown to the right by so many quarters of a turn: the view is on a window turned the other way."""
        if quarters != self.turn:
            self.turn = quarters
            self._apply_fit()

    def _screen_size(self) -> tuple[int, int]:
        ratio = self.devicePixelRatioF()
        return round(self.width() * ratio), round(self.height() * ratio)

    def _device_size(self) -> tuple[int, int]:
        width, height = self._screen_size()
        return (height, width) if self.turn % 2 else (width, height)

    def _turned(self) -> QTransform:
        """From the view's device pixels to the screen's."""
        width, height = self._screen_size()
        return (
            QTransform(),
            QTransform(0, 1, -1, 0, width, 0),
            QTransform(-1, 0, 0, -1, width, height),
            QTransform(0, -1, 1, 0, 0, height),
        )[self.turn]

    def _unturned(self) -> QTransform:
        """From the screen's device pixels to the view's."""
        return self._turned().inverted()[0]

    def _from_screen(self, by: QPointF) -> QPointF:
        """A movement in widget coordinates as one in the view's device pixels."""
        back = self._unturned()
        return (back.map(by) - back.map(QPointF())) * self.devicePixelRatioF()

    def _apply_fit(self) -> None:
        if "shown" in self.layers:
            self.view.apply_fit()
            self._moved()

    def _moved(self) -> None:
        self._show_cursor()
        self.update()
        self.view_changed.emit()

    # painting

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paints the background, the layers, and while comparing the dividing line and the names."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), background(self.palette()))
        ratio = self.devicePixelRatioF()
        view = QRect(0, 0, *self._screen_size())
        painter.save()
        painter.scale(1 / ratio, 1 / ratio)
        if "shown" in self.layers:
            if "other" in self.layers and self.split is not None:
                line = round(self.split * view.width())
                self._paint_side(painter, "shown", QRect(0, 0, line, view.height()))
                self._paint_side(painter, "other", QRect(line, 0, view.width() - line, view.height()))
            else:
                self._paint_side(painter, "other" if self.flipped and "other" in self.layers else "shown", view)
        painter.restore()
        if self.waiting:
            painter.setPen(self.palette().color(QPalette.ColorRole.PlaceholderText))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self.waiting)
        if "other" in self.layers and "shown" in self.layers:
            self._paint_comparison(painter)
        painter.end()

    def _paint_side(self, painter: QPainter, side: Side, clip: QRect) -> None:
        layer = self.layers[side]
        place, scale = self.view.place(layer.size), self.view.scale_of(layer.size)
        painter.save()
        painter.setTransform(self._turned(), True)
        paint_layer(painter, layer, self._in_view(side), place, scale, self._unturned().mapRect(clip), self.palette())
        painter.restore()

    def _paint_comparison(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        shown, other = self.layers["shown"].name, self.layers["other"].name
        if self.split is None:
            paint_name(painter, other if self.flipped else shown, self.size(), right=False)
            return
        paint_name(painter, shown, self.size(), right=False)
        paint_name(painter, other, self.size(), right=True)
        paint_line(painter, self.split * self.width(), self.height())

    def _lose_patience(self) -> None:
        layer = self.layers.get("shown")
        if layer is not None and layer.empty:
            self.waiting = "Decoding …\nThe very first time this takes up to a minute, while the decoder is compiled."
            self.update()

    def _quiet(self) -> None:
        self._patience.stop()
        self.waiting = ""

    # events

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Applies the fit again, or keeps the middle."""
        self._apply_fit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zooms about the pointer with Ctrl, else does what `wheel` says."""
        notches = event.angleDelta().y() or event.angleDelta().x()
        zooms = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        if self.wheel == Wheel.WALK and not zooms:
            # a touchpad sends many small parts of a notch
            self._notches += notches
            steps = int(self._notches / 120)
            self._notches -= steps * 120
            if steps:
                self.walked.emit(-steps)
        elif zooms or self.wheel == Wheel.ZOOM:
            self.zoom(ZOOM_STEP ** (notches / 120), event.position())
        else:
            by = QPointF(event.pixelDelta()) if not event.pixelDelta().isNull() else QPointF(event.angleDelta()) / 2
            if event.modifiers() & Qt.KeyboardModifier.ShiftModifier and not by.x():
                by = by.transposed()
            self.pan(self._from_screen(by))
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begins to drag the line or the picture."""
        if event.button() != Qt.MouseButton.LeftButton:
            return
        self._dragging_line = self._on_line(event.position())
        self._drag = event.position()
        self._show_cursor()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drags the line or the picture."""
        if self._drag is None:
            self._show_cursor(event.position())
        elif self._dragging_line:
            self.set_split(event.position().x() / max(1, self.width()))
            self.split_moved.emit(self.split)
        else:
            self.pan(self._from_screen(event.position() - self._drag))
            self._drag = event.position()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Ends dragging."""
        self._drag = None
        self._dragging_line = False
        self._show_cursor(event.position())

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Switches between the whole picture and 100 % at the pointer."""
        if event.button() != Qt.MouseButton.LeftButton or "shown" not in self.layers:
            return
        if self.view.scale == 1.0:
            self.set_fit(Fit.WINDOW)
        else:
            self.zoom(1 / self.view.scale, event.position())
            self.view.fit = Fit.ACTUAL

    def _on_line(self, at: QPointF) -> bool:
        return self.split is not None and "other" in self.layers and abs(at.x() - self.split * self.width()) <= GRIP

    def _show_cursor(self, at: QPointF | None = None) -> None:
        if self._dragging_line or (at is not None and self._on_line(at)):
            self.setCursor(Qt.CursorShape.SplitHCursor)
            return
        if not self.view.movable:
            self.unsetCursor()
        else:
            self.setCursor(Qt.CursorShape.ClosedHandCursor if self._drag is not None else Qt.CursorShape.OpenHandCursor)
