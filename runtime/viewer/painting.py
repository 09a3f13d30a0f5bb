"""How the canvas paints: its colours, a layer's tiles over its overview, the dividing line and the names while comparing.

Functions that take a painter and paint with it; rectangles are device pixels where they are `QRect`s of the view.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from PySide6.QtCore import QPoint, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QPalette, QPen, QPixmap, QRegion

from .decoding.messages import Tile
from .layer import Layer

NEAREST_FROM: Final = 2.0
"""Scale from which pixels are shown as squares, so that single pixels can be seen."""

DARK: Final = QColor(27, 27, 29)
LIGHT: Final = QColor(222, 222, 224)
CHECK: Final = 12
"""Side of a square of the checkerboard under transparent pictures."""


def background(palette: QPalette) -> QColor:
    """A neutral colour, darker than the window's own, so that the picture is the brightest area."""
    return DARK if is_dark(palette) else LIGHT


def is_dark(palette: QPalette) -> bool:
    """Whether the system, or the person, chose dark colours."""
    return palette.color(QPalette.ColorRole.Window).lightness() < 128


def paint_layer(
    painter: QPainter, layer: Layer, tiles: Iterable[Tile], place: QRectF, scale: float, clip: QRect, palette: QPalette
) -> None:
    """Paints a layer inside `clip`: `tiles`, where it has them, and its overview elsewhere. The whole picture is at `place`."""
    if layer.empty:
        return
    painter.save()
    painter.setClipRect(clip)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, scale < NEAREST_FROM and scale != 1)
    images = [tile.image for tile in layer.tiles.values()] + ([layer.overview] if layer.overview else [])
    if any(image.transparent for image in images):
        painter.fillRect(_snapped(place), _board(palette))
    covered = QRegion()
    for tile in tiles:
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


def paint_line(painter: QPainter, x: float, height: float) -> None:
    """Paints the dividing line at `x`, with its handle, over the whole height (logical pixels)."""
    middle = height / 2
    painter.setPen(QPen(QColor(0, 0, 0, 110), 4))
    painter.drawLine(QPointF(x, 0), QPointF(x, height))
    painter.setPen(QPen(QColor(255, 255, 255, 235), 2))
    painter.drawLine(QPointF(x, 0), QPointF(x, height))
    painter.setPen(QPen(QColor(0, 0, 0, 110), 1))
    painter.setBrush(QColor(255, 255, 255, 235))
    painter.drawEllipse(QPointF(x, middle), 13, 13)
    painter.setPen(QPen(QColor(40, 40, 40), 1.8, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin))
    for side in (-1, 1):
        points = [QPointF(x + side * 4, middle - 4), QPointF(x + side * 8, middle), QPointF(x + side * 4, middle + 4)]
        painter.drawPolyline(points)


def paint_name(painter: QPainter, text: str, window: QSize, right: bool) -> None:
    """Paints a picture's name in the upper left or upper right corner of a window of this size (logical pixels)."""
    text = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideMiddle, max(40, window.width() // 2 - 48))
    size = painter.fontMetrics().size(0, text)
    box = QRectF(12, 12, size.width() + 20, size.height() + 8)
    if right:
        box.moveRight(window.width() - 12)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(0, 0, 0, 150))
    painter.drawRoundedRect(box, box.height() / 2, box.height() / 2)
    painter.setPen(QColor(255, 255, 255))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


def _snapped(rect: QRectF) -> QRect:
    """The rectangle with its edges on whole pixels, so that neighbours touch."""
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
