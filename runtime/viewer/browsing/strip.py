"""The strip of thumbnails under the picture. Only those in view are made, on a thread of their own, and kept while the strip is shown."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PySide6.QtCore import QObject, QRunnable, QSize, Qt, QThreadPool, QTimer, Signal
from PySide6.QtGui import QColor, QIcon, QImage, QPixmap, QResizeEvent
from PySide6.QtWidgets import QListView, QListWidget, QListWidgetItem, QWidget

from ..bars import plain_tooltip
from ..folder import SUFFIX

SIDE: Final = 96
"""Longest side of a thumbnail, in logical pixels."""

STYLE: Final = (
    "QListWidget { background: palette(window) } QListWidget::item:selected { background: palette(highlight); border-radius: 6px }"
)

KEPT: Final = 2000
"""Thumbnails kept: 75 MB."""


class _Told(QObject):
    """Brings a thumbnail, or nothing, from the thread to the strip."""

    made = Signal(str, object)


class _Make(QRunnable):
    def __init__(self, path: Path, side: int, told: _Told) -> None:
        super().__init__()
        self._path, self._side, self._told = path, side, told

    def run(self) -> None:
        try:
            image = QImage.fromData(_png(self._path, self._side))
        except Exception:  # whatever a parser raises: the picture itself will say what is wrong with it
            image = QImage()
        try:
            self._told.made.emit(str(self._path), image)
        except RuntimeError:
            # the window is gone
            return


def _png(path: Path, side: int) -> bytes:
    """A PNG of at most `side` pixels a side."""
    if path.suffix.lower() == SUFFIX:
        from ...desktop.thumbnail import thumbnail

        return thumbnail(path.read_bytes(), side)
    from PIL import ImageOps

    from ...photo import open_image

    with open_image(path) as image:
        image.draft("RGB", (side, side))
        small = ImageOps.exif_transpose(image)
        small.thumbnail((side, side))
        out = io.BytesIO()
        (small if small.mode in ("L", "LA", "RGB", "RGBA", "P") else small.convert("RGB")).save(out, "PNG")
    return out.getvalue()


def _untinted(pixmap: QPixmap) -> QIcon:
    """An icon that looks the same where it is chosen: styles would tint it."""
    icon = QIcon(pixmap)
    icon.addPixmap(pixmap, QIcon.Mode.Selected)
    return icon


class Strip(QListWidget):
    """Thumbnails of a folder's pictures in a row; `chosen` tells the number of one that is clicked."""

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Pictures of the folder")
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(False)
        self.setUniformItemSizes(True)
        self.setIconSize(QSize(SIDE, SIDE))
        self.setSpacing(3)
        self.setFixedHeight(SIDE + 30)
        self.setFrameShape(QListWidget.Shape.NoFrame)
        self.setStyleSheet(STYLE)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        # the arrow keys walk through the folder wherever they are pressed
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._paths: tuple[Path, ...] = ()
        self._icons: dict[str, QIcon] = {}
        self._asked: set[str] = set()
        self._told = _Told()
        self._told.made.connect(self._made)
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(1)
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._ask)
        blank = QPixmap(SIDE, SIDE)
        blank.fill(QColor(128, 128, 128, 60))
        self._blank = _untinted(blank)
        self.itemClicked.connect(lambda item: self.chosen.emit(self.row(item)))
        self.horizontalScrollBar().valueChanged.connect(self._soon.start)

    def show_pictures(self, paths: Sequence[Path], at: int) -> None:
        """The pictures of a folder, and which of them is shown."""
        if tuple(paths) != self._paths:
            self._paths = tuple(paths)
            self.clear()
            for path in paths:
                item = QListWidgetItem(self._icons.get(str(path), self._blank), "")
                item.setSizeHint(QSize(SIDE + 8, SIDE + 8))
                item.setToolTip(plain_tooltip(path.name))
                self.addItem(item)
        self.setCurrentRow(at)
        self.scrollToItem(self.item(at), QListWidget.ScrollHint.PositionAtCenter)
        self._soon.start()

    def end(self) -> None:
        """Makes no more thumbnails."""
        self._pool.clear()
        self._pool.waitForDone(2000)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """More of them may be in view."""
        super().resizeEvent(event)
        self._soon.start()

    def _ask(self) -> None:
        if not self.isVisible():
            return
        # those that have been scrolled past are not waited for
        self._pool.clear()
        self._asked = {name for name in self._asked if name in self._icons}
        for row, path in enumerate(self._paths):
            if self.visualItemRect(self.item(row)).intersects(self.viewport().rect()) and str(path) not in self._asked:
                self._asked.add(str(path))
                self._pool.start(_Make(path, round(SIDE * self.devicePixelRatioF()), self._told))

    def _made(self, name: str, image: QImage) -> None:
        if image.isNull():
            self._icons[name] = self._blank
            return
        image.setDevicePixelRatio(self.devicePixelRatioF())
        self._icons[name] = _untinted(QPixmap.fromImage(image))
        while len(self._icons) > KEPT:
            oldest = next(iter(self._icons))
            del self._icons[oldest]
            self._asked.discard(oldest)
        for row, path in enumerate(self._paths):
            if str(path) == name:
                self.item(row).setIcon(self._icons[name])
