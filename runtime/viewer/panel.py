"""The panel at the right: what is known of the picture, what its bytes are used for, and how long each step took.

It shows what it is told; `messages` says what the worker tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPalette
from PySide6.QtWidgets import QFrame, QGridLayout, QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from ..info import Report
from .bars import kilobytes
from .decoding.messages import Facts

WIDTH: Final = 300

COLOURS: Final = ("#3b82c4", "#3aa58f", "#d9a03c", "#c9605c", "#8d77c4", "#8a8f98")
"""Distinguishable for people with colour vision deficiency too, on light and on dark ground."""

ORDER: Final = ("latents", "alpha", "EXIF", "alternative text", "unknown chunks")
FRAME: Final = "header and frame"
"""The bytes of the header and of the chunks' heads."""

TIMES: Final = {
    "read": "Reading the file",
    "parse": "Checking it",
    "pack": "Finding the pack",
    "preview": "First bytes, linear",
    "entropy": "Entropy decoding",
    "linear": "Linear stage",
    "dequantize": "Values and intervals",
    "denoise": "Denoiser",
    "decode": "Decoder",
    "alpha": "Alpha",
    "image": "Decoding the image",
}

MODES: Final = {"RGB": "colour", "RGBA": "colour, transparent", "L": "grey", "LA": "grey, transparent"}


class Bar(QWidget):
    """A bar across the width, divided into parts of different colours."""

    def __init__(self, parts: Sequence[tuple[float, str]], whole: float, height: int = 10) -> None:
        super().__init__()
        self._parts = parts
        self._whole = whole
        self._height = height
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """As high as asked."""
        return QSize(80, self._height)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The parts, and the rest in the window's own colour."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), self.palette().color(QPalette.ColorRole.AlternateBase))
        left = 0.0
        for share, colour in self._parts:
            width = share / self._whole * self.width() if self._whole else 0.0
            painter.fillRect(QRectF(left, 0, width, self.height()), QColor(colour))
            left += width
        painter.end()


class Panel(QScrollArea):
    """Sections of labelled rows. `show_*` replace a section; `clear` empties them all."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedWidth(WIDTH)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        body = QWidget()
        self._column = QVBoxLayout(body)
        self._column.setContentsMargins(16, 14, 16, 14)
        self._column.setSpacing(18)
        self._sections: dict[str, QWidget] = {}
        for name in ("Picture", "Bytes", "Latents", "Time", "Device"):
            self._sections[name] = QWidget()
            self._column.addWidget(self._sections[name])
        self._column.addStretch(1)
        self.setWidget(body)
        self.clear()

    def clear(self) -> None:
        """No picture."""
        for name in ("Picture", "Bytes", "Latents", "Time"):
            self._replace(name, None)

    def show_facts(self, name: str, facts: Facts) -> None:
        """What the file's header says."""
        megapixels = facts.width * facts.height / 1e6
        rows = [
            ("File", name),
            ("Format", facts.format),
            ("Size", f"{facts.width} × {facts.height}"),
            ("Pixels", f"{megapixels:.{2 if megapixels < 10 else 0}f} million"),
            ("Kind", MODES[facts.mode]),
            ("Bytes", f"{facts.bytes:,}"),
            ("Rate", f"{8 * facts.bytes / (facts.width * facts.height):.3f} bits per pixel"),
        ]
        if facts.alt is not None:
            rows.append(("Shown as", facts.alt))
        self._replace("Picture", _rows("Picture", rows))
        self._replace("Bytes", None)
        self._replace("Latents", None)

    def show_report(self, report: Report) -> None:
        """What the bytes in view are used for: the report of `info --json`."""
        spent = dict(report["spent"])
        parts = [(name, spent[name]) for name in ORDER if spent.get(name)]
        parts.append((FRAME, spent["header"] + spent["chunk heads"]))
        section, grid = _section("What each byte is used for")
        grid.addWidget(Bar([(count, COLOURS[i]) for i, (_, count) in enumerate(parts)], report["bytes"], 14), 1, 0, 1, 3)
        for i, (name, count) in enumerate(parts):
            _legend(grid, i + 2, COLOURS[i], name, f"{kilobytes(count)}   {100 * count / report['bytes']:.1f} %")
        _row(grid, len(parts) + 2, "Pack", f"{report['pack']['name'] or 'not installed'}, {report['pack']['id']}")
        _row(grid, len(parts) + 3, "Step", f"{report['step']:.3g} grey levels (index {report['step_index']})")
        self._replace("Bytes", section)
        latents = report["latents"]
        self._replace("Latents", None if latents is None or not latents["planes"] else _latents(latents))

    def show_times(self, seconds: dict[str, float]) -> None:
        """How long each step took for the version in view."""
        rows = [(TIMES[name], _duration(spent)) for name, spent in seconds.items() if name in TIMES and spent >= 0.00005]
        rows.append(("Together", _duration(sum(seconds.values()))))
        self._replace("Time", _rows("Time", rows))

    def show_device(self, name: str, problem: str | None) -> None:
        """The execution provider in use."""
        rows = [("In use", name)]
        if problem:
            rows.append(("Because", problem))
        self._replace("Device", _rows("Device", rows))

    def _replace(self, name: str, widget: QWidget | None) -> None:
        old = self._sections[name]
        new = widget or QWidget()
        # into the panel before it is shown: a visible widget without a parent would be a window
        self._column.replaceWidget(old, new)
        new.setVisible(widget is not None)
        old.hide()
        old.deleteLater()
        self._sections[name] = new


def _section(title: str) -> tuple[QWidget, QGridLayout]:
    widget = QWidget()
    grid = QGridLayout(widget)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setHorizontalSpacing(10)
    grid.setVerticalSpacing(5)
    grid.setColumnStretch(2, 1)
    label = QLabel(title)
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    grid.addWidget(label, 0, 0, 1, 3)
    return widget, grid


def _rows(title: str, rows: Sequence[tuple[str, str]]) -> QWidget:
    section, grid = _section(title)
    for i, (name, value) in enumerate(rows):
        _row(grid, i + 1, name, value)
    return section


def _row(grid: QGridLayout, at: int, name: str, value: str) -> None:
    grid.addWidget(_faint(name), at, 0, 1, 2, Qt.AlignmentFlag.AlignTop)
    grid.addWidget(_value(value), at, 2)


def _legend(grid: QGridLayout, at: int, colour: str, name: str, value: str) -> None:
    swatch = Bar([(1, colour)], 1, 9)
    swatch.setFixedSize(9, 9)
    grid.addWidget(swatch, at, 0)
    grid.addWidget(_faint(name), at, 1)
    grid.addWidget(_value(value), at, 2)


def _latents(latents: Report) -> QWidget:
    """A bar per bit-plane, divided by bands of channels, coarse structure first."""
    section, grid = _section("Latents by bit-plane")
    planes = [row for row in latents["planes"] if row["bytes"]]
    most = max((row["bytes"] for row in planes), default=1)
    for i, row in enumerate(planes):
        grid.addWidget(_faint(str(row["plane"])), i + 1, 0)
        bar = Bar([(count, COLOURS[j]) for j, count in enumerate(row["bands"])], most, 9)
        grid.addWidget(bar, i + 1, 1, 1, 1)
        grid.addWidget(_value(kilobytes(row["bytes"])), i + 1, 2)
    grid.setColumnStretch(1, 3)
    for j, channels in enumerate(latents["channels"]):
        swatch = Bar([(1, COLOURS[j])], 1, 9)
        swatch.setFixedSize(9, 9)
        grid.addWidget(swatch, len(planes) + 1 + j, 0)
        grid.addWidget(_faint(f"channels {channels}"), len(planes) + 1 + j, 1, 1, 2)
    return section


def _faint(text: str) -> QLabel:
    label = QLabel(text)
    label.setForegroundRole(QPalette.ColorRole.PlaceholderText)
    return label


def _value(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop)
    return label


def _duration(seconds: float) -> str:
    if seconds >= 10:
        return f"{seconds:.1f} s"
    return f"{1000 * seconds:.{1 if seconds < 0.01 else 0}f} ms"
