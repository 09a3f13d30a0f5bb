"""Pages in place of a picture: how to open one, or why one cannot be shown; and notices over the picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from ..files import readable
from .bars import plain_tooltip
from .painting import background

NOTICE_MILLISECONDS: Final = 6000
RECENT_SHOWN: Final = 5
TEXT_WIDTH: Final = 460


class MessagePage(QWidget):
    """A title, a text, and room for more widgets below, centred on the canvas's background."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = QLabel()
        self.title.setTextFormat(Qt.TextFormat.PlainText)
        font = self.title.font()
        font.setPointSizeF(font.pointSizeF() * 1.5)
        self.title.setFont(font)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.text.setFixedWidth(TEXT_WIDTH)
        column = QVBoxLayout(self)
        column.setContentsMargins(32, 32, 32, 32)
        column.setSpacing(12)
        column.addStretch(1)
        for label in (self.title, self.text):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            column.addWidget(label, 0, Qt.AlignmentFlag.AlignHCenter)
        self.more = QVBoxLayout()
        self.more.setSpacing(4)
        column.addLayout(self.more)
        column.addStretch(1)

    def say(self, title: str, text: str) -> None:
        """Shows this title and text."""
        self.title.setText(title)
        self.text.setText(text)
        # Qt gives a centred label with wrapped text the height of one line
        self.text.setFixedHeight(self.text.heightForWidth(TEXT_WIDTH))

    def paintEvent(self, event: QPaintEvent) -> None:
        """The canvas's background."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), background(self.palette()))
        painter.end()


class WelcomePage(MessagePage):
    """Shown while nothing is open: how to open a file, and recent files."""

    open_file = Signal()
    open_folder = Signal()
    open_recent = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.say("No picture yet", "Drop a picture or a folder here, or open one.")
        buttons = QHBoxLayout()
        buttons.setContentsMargins(0, 8, 0, 12)
        buttons.addStretch(1)
        for text, signal in (("Open …", self.open_file), ("Open folder …", self.open_folder)):
            button = QPushButton(text)
            button.clicked.connect(signal)
            buttons.addWidget(button)
        buttons.addStretch(1)
        self.more.addLayout(buttons)
        self._recent: list[QWidget] = []

    def show_recent(self, paths: Sequence[str]) -> None:
        """Recently opened files, the latest first."""
        for widget in self._recent:
            widget.hide()
            widget.deleteLater()
        self._recent = []
        for path in paths[:RECENT_SHOWN]:
            button = QPushButton(readable(Path(path).name).replace("&", "&&"))
            button.setFlat(True)
            button.setToolTip(plain_tooltip(readable(path)))
            button.setCursor(Qt.CursorShape.PointingHandCursor)
            button.clicked.connect(lambda _=False, path=path: self.open_recent.emit(path))
            self.more.addWidget(button, 0, Qt.AlignmentFlag.AlignHCenter)
            self._recent.append(button)


class Notice(QLabel):
    """A text over the picture that disappears by itself."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._over = parent
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        self.setStyleSheet("background: rgba(30, 30, 32, 225); color: white; padding: 9px 16px; border-radius: 8px;")
        self._timer = QTimer(self, singleShot=True, interval=NOTICE_MILLISECONDS)
        self._timer.timeout.connect(self.hide)
        parent.installEventFilter(self)
        self.hide()

    def say(self, text: str) -> None:
        """Shows a text for a while."""
        self.setText(text)
        self._place()
        self.show()
        self.raise_()
        self._timer.start()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keeps the notice at the bottom of its parent."""
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return False

    def _place(self) -> None:
        parent = self._over
        width = min(parent.width() - 40, self.fontMetrics().horizontalAdvance(self.text()) + 40)
        self.setFixedWidth(max(width, 80))
        self.adjustSize()
        self.move((parent.width() - self.width()) // 2, parent.height() - self.height() - 20)
