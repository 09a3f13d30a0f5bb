"""The picture in the window: one or two layers of tiles over an overview, zoomed, panned, split. Takes QImages, hands on what of them
is in view. Decodes nothing; all sizes below are device pixels, so that at 100 % one pixel of the picture is one of the screen.
"""

from __future__ import annotations

import enum
import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPoint, QPointF, QRect, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import (
    QBrush,
    QColor,
    QImage,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
    QPixmap,
    QRegion,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from .worker import DIRECT_TILES, STAGES, TILE_PIXELS, Side, Stage, Tile, Version

MAX_TILES: Final = 40
"""Tiles of a layer kept for painting: 160 MB. More are never in view at once: the overview stands in for them."""

MIN_SCALE: Final = 1 / 64
MAX_SCALE: Final = 64.0
ZOOM_STEP: Final = 1.25
"""Of one key or notch of the wheel (120 eighths of a degree)."""

NEAREST_FROM: Final = 2.0
"""Scale from which pixels are shown as squares: whoever zooms in so far wants to see them."""

GRIP: Final = 14
"""How near to the dividing line, in logical pixels, the pointer takes hold of it."""

PATIENCE: Final = 400
"""Milliseconds without a picture after which the canvas says that it waits."""

DARK: Final = QColor(27, 27, 29)
LIGHT: Final = QColor(222, 222, 224)
CHECK: Final = 12
"""Side of a square of the board under transparent pictures."""


class Fit(enum.Enum):
    """How the scale follows the window. FREE: it does not."""

    WINDOW = enum.auto()
    WIDTH = enum.auto()
    ACTUAL = enum.auto()
    FREE = enum.auto()


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


class _Mipmap:
    """An image and its halvings, made when first painted small: sampling a large image coarsely would glitter."""

    def __init__(self, image: QImage) -> None:
        self._levels = [image]

    def at(self, scale: float) -> QImage:
        """The smallest halving that is still to be shrunk, or the image itself."""
        wanted = max(0, math.floor(-math.log2(scale) + 1e-9))
        while len(self._levels) <= wanted and min(self._levels[-1].width(), self._levels[-1].height()) > 1:
            last = self._levels[-1]
            half = ((last.width() + 1) // 2, (last.height() + 1) // 2)
            self._levels.append(last.scaled(*half, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation))
        return self._levels[min(wanted, len(self._levels) - 1)]

    @property
    def transparent(self) -> bool:
        return self._levels[0].hasAlphaChannel()


@dataclass
class _TileImage:
    image: _Mipmap
    stage: Stage
    final: bool


@dataclass
class Layer:
    """One picture: `width` x `height` pixels, its overview divided by `reduce`, and its tiles, least lately painted first."""

    width: int
    height: int
    name: str
    version: Version | None = None
    overview: _Mipmap | None = None
    stage: Stage = "preview"
    reduce: int = 1
    complete: bool = False
    tiles: OrderedDict[Tile, _TileImage] = field(default_factory=OrderedDict)

    @property
    def tile_count(self) -> int:
        """How many tiles the whole picture has."""
        return -(-self.height // TILE_PIXELS) * -(-self.width // TILE_PIXELS)

    def rect(self, tile: Tile) -> QRect:
        """Where a tile lies in the picture."""
        top, left = tile[0] * TILE_PIXELS, tile[1] * TILE_PIXELS
        return QRect(left, top, min(TILE_PIXELS, self.width - left), min(TILE_PIXELS, self.height - top))


class Canvas(QWidget):
    """Shows the layer `shown`, the layer `other` in its place, or both on two sides of a line."""

    view_changed = Signal()
    split_moved = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setMinimumSize(160, 120)
        self.setAccessibleName("Picture")
        self.layers: dict[Side, Layer] = {}
        self.fit = Fit.WINDOW
        self.scale = 1.0
        self.centre = QPointF()
        self.split: float | None = None
        self.flipped = False
        self.waiting = ""
        self._drag: QPointF | None = None
        self._dragging_line = False
        self._patience = QTimer(self, singleShot=True, interval=PATIENCE)
        self._patience.timeout.connect(self._lose_patience)

    # what is shown

    def begin(self, side: Side, width: int, height: int, name: str) -> None:
        """A new picture of that size on a side; what stood there stays until its first pixels come, if it has the same size."""
        old = self.layers.get(side)
        layer = Layer(width, height, name)
        if old is not None and (old.width, old.height) == (width, height):
            layer.overview, layer.reduce, layer.tiles = old.overview, old.reduce, old.tiles
        self.layers[side] = layer
        if side == "shown":
            if self.fit == Fit.FREE and (old is None or (old.width, old.height) != (width, height)):
                self.fit = Fit.WINDOW
            self._apply_fit()
        self._patience.start()
        self.update()

    def clear(self, side: Side) -> None:
        """Shows nothing on a side."""
        self.layers.pop(side, None)
        if side == "other":
            self.split, self.flipped = None, False
        self._quiet()
        self.update()

    def paint_whole(self, side: Side, version: Version, stage: Stage, image: QImage, reduce: int, final: bool) -> None:
        """The overview of a side; tiles of other versions are out of date."""
        layer = self.layers[side]
        if layer.version != version:
            layer.tiles = OrderedDict()
        layer.version, layer.stage, layer.overview, layer.reduce, layer.complete = version, stage, _Mipmap(image), reduce, final
        self._quiet()
        self.update()

    def paint_tile(self, side: Side, version: Version, stage: Stage, image: QImage, tile: Tile, final: bool) -> None:
        """One tile of a side. Those of another version stay until they are replaced."""
        layer = self.layers[side]
        if layer.version != version:
            layer.version = version
            for old in layer.tiles.values():
                old.final = False
        layer.tiles[tile] = _TileImage(_Mipmap(image), stage, final)
        layer.tiles.move_to_end(tile)
        while len(layer.tiles) > MAX_TILES:
            layer.tiles.popitem(last=False)
        self._quiet()
        self.update()

    def wanted(self, side: Side, version: Version) -> tuple[Tile, ...]:
        """The tiles in view that lack the last stage of `version`, the nearest to the middle first."""
        layer = self.layers.get(side)
        if layer is None or (layer.complete and layer.version == version):
            return ()
        tiles = list(self._in_view(side))
        if layer.tile_count > MAX_TILES and (len(tiles) > MAX_TILES or self._scale_of(side) * layer.reduce <= 1):
            return ()
        if layer.tile_count <= DIRECT_TILES:
            # all of them: the overview is not repainted where these are (see worker.DIRECT_TILES)
            every = [(row, column) for row in range(layer.tile_count) for column in range(layer.tile_count)]
            tiles = [tile for tile in every if layer.rect(tile).isValid()]
        if layer.version == version:
            tiles = [tile for tile in tiles if tile not in layer.tiles or not layer.tiles[tile].final]
        scale = self._scale_of(side)
        offset = self._place(side).topLeft()
        view = QPointF(self._width / 2, self._height / 2)

        def distance(tile: Tile) -> float:
            centre = QRectF(layer.rect(tile)).center() * scale + offset - view
            return math.hypot(centre.x(), centre.y())

        return tuple(sorted(tiles, key=distance))

    def stage_in_view(self, side: Side = "shown") -> Stage | None:
        """The least stage of what is in view, None before the first."""
        layer = self.layers.get(side)
        if layer is None:
            return None
        stages = [layer.tiles[tile].stage if tile in layer.tiles else layer.stage for tile in self._in_view(side)]
        if layer.overview is None and any(tile not in layer.tiles for tile in self._in_view(side)):
            return None
        return min(stages, key=STAGES.index, default=layer.stage)

    # where it is shown

    @property
    def percent(self) -> float:
        """The scale in percent of device pixels."""
        return 100 * self.scale

    def set_fit(self, fit: Fit) -> None:
        """Chooses a fit; ACTUAL keeps the middle of the view where it is."""
        self.fit = fit
        self._apply_fit()

    def zoom(self, factor: float, about: QPointF | None = None) -> None:
        """Scales by `factor`; the point of the picture under `about` (widget coordinates; None: the middle) stays there."""
        layer = self.layers.get("shown")
        if layer is None:
            return
        ratio = self.devicePixelRatioF()
        at = about * ratio if about is not None else QPointF(self._width / 2, self._height / 2)
        from_middle = at - QPointF(self._width / 2, self._height / 2)
        point = self.centre + from_middle / self.scale
        self.scale = min(max(self.scale * factor, MIN_SCALE), MAX_SCALE)
        self.fit = Fit.FREE
        self.centre = point - from_middle / self.scale
        self._moved()

    def pan(self, by: QPointF) -> None:
        """Moves the picture by device pixels."""
        self.centre -= by / self.scale
        self._moved()

    def set_split(self, at: float | None) -> None:
        """Puts the dividing line at that share of the window's width; None takes it away."""
        self.split = None if at is None else min(max(at, 0.0), 1.0)
        self.update()

    @property
    def _width(self) -> int:
        return round(self.width() * self.devicePixelRatioF())

    @property
    def _height(self) -> int:
        return round(self.height() * self.devicePixelRatioF())

    def _apply_fit(self) -> None:
        layer = self.layers.get("shown")
        if layer is None:
            return
        if self.fit == Fit.WINDOW:
            # a small picture is not blown up
            self.scale = min(self._width / layer.width, self._height / layer.height, 1.0)
            self.centre = QPointF(layer.width / 2, layer.height / 2)
        elif self.fit == Fit.WIDTH:
            self.scale = min(max(self._width / layer.width, MIN_SCALE), MAX_SCALE)
            self.centre = QPointF(layer.width / 2, self.centre.y())
        elif self.fit == Fit.ACTUAL:
            self.scale = 1.0
        self._moved()

    def _moved(self) -> None:
        layer = self.layers.get("shown")
        if layer is not None:
            x = _held_in(self.centre.x(), layer.width, self._width / self.scale)
            y = _held_in(self.centre.y(), layer.height, self._height / self.scale)
            self.centre = QPointF(x, y)
        self._show_cursor()
        self.update()
        self.view_changed.emit()

    def _scale_of(self, side: Side) -> float:
        shown, layer = self.layers["shown"], self.layers[side]
        if side == "shown":
            return self.scale
        return self.scale * min(shown.width / layer.width, shown.height / layer.height)

    def _place(self, side: Side) -> QRectF:
        """Where a whole picture lies; the other one lies in the middle of the shown one, as large as fits."""
        shown = self.layers["shown"]
        left = self._width / 2 - self.centre.x() * self.scale
        top = self._height / 2 - self.centre.y() * self.scale
        # whole pixels: a picture at 100 % must not be smeared over two
        frame = QRectF(round(left), round(top), shown.width * self.scale, shown.height * self.scale)
        if side == "shown":
            return frame
        layer, scale = self.layers[side], self._scale_of(side)
        place = QRectF(0, 0, layer.width * scale, layer.height * scale)
        place.moveCenter(frame.center())
        return place

    def _in_view(self, side: Side) -> Iterator[Tile]:
        if side not in self.layers or "shown" not in self.layers:
            return
        layer, place, scale = self.layers[side], self._place(side), self._scale_of(side)
        left, top = max(-place.left() / scale, 0.0), max(-place.top() / scale, 0.0)
        right = min((self._width - place.left()) / scale, layer.width)
        bottom = min((self._height - place.top()) / scale, layer.height)
        for row in range(int(top) // TILE_PIXELS, math.ceil(bottom / TILE_PIXELS)):
            for column in range(int(left) // TILE_PIXELS, math.ceil(right / TILE_PIXELS)):
                yield row, column

    # painting

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paints the background, the layers, the dividing line."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), background(self.palette()))
        ratio = self.devicePixelRatioF()
        view = QRect(0, 0, self._width, self._height)
        painter.save()
        painter.scale(1 / ratio, 1 / ratio)
        if "shown" in self.layers:
            both = "other" in self.layers and self.split is not None
            if both:
                line = round((self.split or 0.0) * view.width())
                self._paint_layer(painter, "shown", QRect(0, 0, line, view.height()))
                self._paint_layer(painter, "other", QRect(line, 0, view.width() - line, view.height()))
            else:
                self._paint_layer(painter, "other" if self.flipped and "other" in self.layers else "shown", view)
        painter.restore()
        if self.waiting:
            painter.setPen(self.palette().color(QPalette.ColorRole.PlaceholderText))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self.waiting)
        if "other" in self.layers and "shown" in self.layers:
            self._paint_comparison(painter)
        painter.end()

    def _paint_layer(self, painter: QPainter, side: Side, clip: QRect) -> None:
        layer, place, scale = self.layers[side], self._place(side), self._scale_of(side)
        if layer.overview is None and not layer.tiles:
            return
        painter.save()
        painter.setClipRect(clip)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, scale < NEAREST_FROM and scale != 1)
        images = [tile.image for tile in layer.tiles.values()] + ([layer.overview] if layer.overview else [])
        if any(image.transparent for image in images):
            painter.fillRect(_snapped(place), _board(self.palette()))
        covered = QRegion()
        for tile in self._in_view(side):
            if tile in layer.tiles:
                layer.tiles.move_to_end(tile)
                rect = QRectF(layer.rect(tile))
                target = _snapped(QRectF(rect.topLeft() * scale + place.topLeft(), rect.size() * scale))
                painter.drawImage(target, layer.tiles[tile].image.at(scale))
                covered += target
        if layer.overview is not None:
            painter.setClipRegion(QRegion(clip.intersected(_snapped(place))) - covered)
            painter.drawImage(QRectF(_snapped(place)), layer.overview.at(scale * layer.reduce))
        painter.restore()

    def _paint_comparison(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        shown, other = self.layers["shown"].name, self.layers["other"].name
        if self.split is None:
            self._label(painter, other if self.flipped else shown, Qt.AlignmentFlag.AlignLeft)
            return
        self._label(painter, shown, Qt.AlignmentFlag.AlignLeft)
        self._label(painter, other, Qt.AlignmentFlag.AlignRight)
        x, middle = self.split * self.width(), self.height() / 2
        painter.setPen(QPen(QColor(0, 0, 0, 110), 4))
        painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))
        painter.setPen(QPen(QColor(255, 255, 255, 235), 2))
        painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))
        painter.setPen(QPen(QColor(0, 0, 0, 110), 1))
        painter.setBrush(QColor(255, 255, 255, 235))
        painter.drawEllipse(QPointF(x, middle), 13, 13)
        painter.setPen(QPen(QColor(40, 40, 40), 1.8, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin))
        for side in (-1, 1):
            points = [QPointF(x + side * 4, middle - 4), QPointF(x + side * 8, middle), QPointF(x + side * 4, middle + 4)]
            painter.drawPolyline(points)

    def _label(self, painter: QPainter, text: str, side: Qt.AlignmentFlag) -> None:
        text = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideMiddle, max(40, self.width() // 2 - 48))
        size = painter.fontMetrics().size(0, text)
        box = QRectF(12, 12, size.width() + 20, size.height() + 8)
        if side == Qt.AlignmentFlag.AlignRight:
            box.moveRight(self.width() - 12)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(0, 0, 0, 150))
        painter.drawRoundedRect(box, box.height() / 2, box.height() / 2)
        painter.setPen(QColor(255, 255, 255))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)

    def _lose_patience(self) -> None:
        layer = self.layers.get("shown")
        if layer is not None and layer.overview is None and not layer.tiles:
            self.waiting = "Decoding …\nThe very first time this takes up to a minute, while the decoder is compiled."
            self.update()

    def _quiet(self) -> None:
        self._patience.stop()
        self.waiting = ""

    # events

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keeps the fit, or the middle."""
        self._apply_fit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """With Ctrl zooms about the pointer, else moves."""
        notches = event.angleDelta().y() or event.angleDelta().x()
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.zoom(ZOOM_STEP ** (notches / 120), event.position())
        else:
            by = QPointF(event.pixelDelta()) if not event.pixelDelta().isNull() else QPointF(event.angleDelta()) / 2
            if event.modifiers() & Qt.KeyboardModifier.ShiftModifier and not by.x():
                by = by.transposed()
            self.pan(by * self.devicePixelRatioF())
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Takes hold of the line or of the picture."""
        if event.button() != Qt.MouseButton.LeftButton:
            return
        self._dragging_line = self._on_line(event.position())
        self._drag = event.position()
        self._show_cursor()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drags what is held."""
        if self._drag is None:
            self._show_cursor(event.position())
        elif self._dragging_line:
            self.set_split(event.position().x() / max(1, self.width()))
            self.split_moved.emit(self.split)
        else:
            self.pan((event.position() - self._drag) * self.devicePixelRatioF())
            self._drag = event.position()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Lets go."""
        self._drag = None
        self._dragging_line = False
        self._show_cursor(event.position())

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Between the whole picture and 100 % at the pointer."""
        if event.button() != Qt.MouseButton.LeftButton or "shown" not in self.layers:
            return
        if self.scale == 1.0:
            self.set_fit(Fit.WINDOW)
        else:
            self.zoom(1 / self.scale, event.position())
            self.fit = Fit.ACTUAL

    def _on_line(self, at: QPointF) -> bool:
        return self.split is not None and "other" in self.layers and abs(at.x() - self.split * self.width()) <= GRIP

    def _show_cursor(self, at: QPointF | None = None) -> None:
        if self._dragging_line or (at is not None and self._on_line(at)):
            self.setCursor(Qt.CursorShape.SplitHCursor)
            return
        layer = self.layers.get("shown")
        movable = layer is not None and (layer.width * self.scale > self._width + 1 or layer.height * self.scale > self._height + 1)
        if not movable:
            self.unsetCursor()
        else:
            self.setCursor(Qt.CursorShape.ClosedHandCursor if self._drag is not None else Qt.CursorShape.OpenHandCursor)


def background(palette: QPalette) -> QColor:
    """Neutral, darker than the window's own colour, so that the picture is the brightest thing."""
    return DARK if is_dark(palette) else LIGHT


def is_dark(palette: QPalette) -> bool:
    """Whether the desktop, or the person, chose dark colours."""
    return palette.color(QPalette.ColorRole.Window).lightness() < 128


def _held_in(centre: float, size: int, view: float) -> float:
    """The centre of a view on `size` pixels: in their middle where all fit, else so that the view ends where they do."""
    if size <= view:
        return size / 2
    return min(max(centre, view / 2), size - view / 2)


def _snapped(rect: QRectF) -> QRect:
    """Edges on whole pixels, so that neighbours touch."""
    left, top = round(rect.left()), round(rect.top())
    return QRect(QPoint(left, top), QPoint(max(round(rect.right()), left + 1) - 1, max(round(rect.bottom()), top + 1) - 1))


def _board(palette: QPalette) -> QBrush:
    dark = is_dark(palette)
    tile = QPixmap(2 * CHECK, 2 * CHECK)
    tile.fill(QColor(70, 70, 72) if dark else QColor(255, 255, 255))
    painter = QPainter(tile)
    for at in (0, CHECK):
        painter.fillRect(at, at, CHECK, CHECK, QColor(52, 52, 54) if dark else QColor(214, 214, 216))
    painter.end()
    return QBrush(tile)
