"""The bars under the picture: place in the folder, byte slider, stage and scale; and, while comparing, the other file's name and the line.

They show what they are told and emit what was moved; they know neither files nor pixels.
"""

from __future__ import annotations

import html
from typing import Final

from PySide6.QtCore import QPointF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPalette, QPen
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QSlider, QToolButton, QWidget

from ..options import DEFAULT_STAGE, STAGES
from .decoding.messages import SHOWN, Shown

SPLIT_STEPS: Final = 1000

STAGE_HELP: Final[dict[Shown, str]] = {
    "linear": "Linear: no neural network",
    "decoded": "Decoded: the decoder network",
    "denoised": "Denoised: the denoiser, then the decoder network",
    "exact": "Exact: the photo itself, as the file holds it",
}


def kilobytes(count: int) -> str:
    """A number of bytes for people: exact below 1,000, else in kB or MB with three digits."""
    if count < 1000:
        return f"{count} B"
    for unit, size in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if count < 999.5 * size or unit == "GB":
            value = count / size
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"
    raise AssertionError(count)


def plain_tooltip(text: str) -> str:
    """A tooltip that shows `text` literally: Qt would read tags in a file's name as markup."""
    return f"<p style='white-space: pre'>{html.escape(text)}</p>"


class StageDots(QWidget):
    """A dot for each stage, filled as the stages arrive, and the name of the latest; one more where a file holds the photo itself."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.stage: Shown | None = None
        self.reached: Shown = DEFAULT_STAGE
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def show_stage(self, stage: Shown | None, reached: Shown) -> None:
        """`stage` is on the screen (None: nothing yet), `reached` the last one there will be."""
        self.stage, self.reached = stage, reached
        text = "Nothing decoded yet" if stage is None else STAGE_HELP[stage]
        if reached in STAGES[:-1] and stage == reached:
            text += ". Further stages are not needed here, or not asked for"
        self.setToolTip(text)
        self.setAccessibleName(text)
        self.update()

    def sizeHint(self) -> QSize:
        """Room for the longest name."""
        metrics = QFontMetrics(self.font())
        return QSize(len(SHOWN) * 13 + 8 + max(metrics.horizontalAdvance(name) for name in SHOWN), metrics.height() + 4)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Dots, then the name."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        accent = self.palette().color(QPalette.ColorRole.Highlight)
        faint = self.palette().color(QPalette.ColorRole.PlaceholderText)
        now = -1 if self.stage is None else SHOWN.index(self.stage)
        last = SHOWN.index(self.reached)
        dots = max(len(STAGES), last + 1)
        for i in range(dots):
            at = QPointF(6 + 13 * i, self.height() / 2)
            painter.setPen(Qt.PenStyle.NoPen)
            if i <= now:
                painter.setBrush(accent)
                painter.drawEllipse(at, 4, 4)
            elif i <= last:
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.setPen(QPen(faint, 1.4))
                painter.drawEllipse(at, 3.4, 3.4)
            else:
                painter.setBrush(QColor(faint.red(), faint.green(), faint.blue(), 110))
                painter.drawEllipse(at, 1.6, 1.6)
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        left = dots * 13 + 6
        painter.drawText(left, 0, self.width() - left, self.height(), Qt.AlignmentFlag.AlignVCenter, self.stage or "")
        painter.end()


class BottomBar(QWidget):
    """Place in the folder and name, byte slider, stage, scale."""

    bytes_moved = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = _Elided()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Bytes of the file that are shown")
        self.slider.setToolTip("Every prefix of the file is a picture: [ and ] move, \\ takes all bytes")
        self.slider.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.slider.valueChanged.connect(self._moved)
        self.amount = QLabel()
        self.amount.setMinimumWidth(QFontMetrics(self.font()).horizontalAdvance("00.0 kB of 00.0 kB · 0.000 bpp"))
        self.stages = StageDots()
        self.scale = QLabel()
        self.scale.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.scale.setMinimumWidth(QFontMetrics(self.font()).horizontalAdvance("6400 %"))
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 4, 12, 4)
        row.setSpacing(14)
        row.addWidget(self.name, 2)
        row.addWidget(self.slider, 3)
        row.addWidget(self.amount)
        row.addWidget(self.stages)
        row.addWidget(self.scale)
        self._pixels = 1
        self.show_nothing()

    def show_nothing(self) -> None:
        """No picture: nothing to slide, no stage."""
        self.name.set_text("")
        self.scale.setText("")
        for widget in (self.slider, self.amount, self.stages):
            widget.setVisible(False)

    def show_file(self, name: str, place: str, size: int, first: int | None, pixels: int) -> None:
        """A file of `size` bytes whose latents begin at byte `first`, or an ordinary image where that is None."""
        self.name.set_text(f"{place}   {name}" if place else name)
        self._pixels = pixels
        self.slider.blockSignals(True)
        self.slider.setRange(first or 0, size)
        self.slider.setPageStep(max(1, (size - (first or 0)) // 10))
        self.slider.setValue(size)
        self.slider.blockSignals(False)
        self._show_amount()
        for widget in (self.slider, self.stages):
            widget.setVisible(first is not None)
        self.amount.setVisible(True)

    def step(self, tenths: float) -> None:
        """Moves the byte slider by a share of its range."""
        span = self.slider.maximum() - self.slider.minimum()
        self.slider.setValue(self.slider.value() + round(span * tenths / 10) if span >= 10 else self.slider.value() + round(tenths))

    def all_bytes(self) -> None:
        """Moves the byte slider to its end."""
        self.slider.setValue(self.slider.maximum())

    def _moved(self, value: int) -> None:
        self._show_amount()
        self.bytes_moved.emit(value)

    def _show_amount(self) -> None:
        value, size = self.slider.value(), self.slider.maximum()
        part = kilobytes(size) if value == size else f"{kilobytes(value)} of {kilobytes(size)}"
        self.amount.setText(f"{part} · {8 * value / self._pixels:.3f} bpp")


class CompareBar(QWidget):
    """While comparing: the other file's name, side by side or one in place of the other, and where the line is."""

    split_moved = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = _Elided()
        self.flip = _button("Show the other", True)
        self.flip.setToolTip("The other picture in place of this one (Space)")
        self.split = _button("Side by side", True)
        self.split.setToolTip("Both, divided by a line (S)")
        self.close_button = _button("Close", False)
        self.close_button.setToolTip("Stop comparing (Esc)")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, SPLIT_STEPS)
        self.slider.setValue(SPLIT_STEPS // 2)
        self.slider.setAccessibleName("Position of the dividing line")
        self.slider.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.slider.valueChanged.connect(lambda value: self.split_moved.emit(value / SPLIT_STEPS))
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 4, 12, 0)
        row.setSpacing(14)
        row.addWidget(self.title, 2)
        row.addWidget(self.slider, 3)
        row.addWidget(self.split)
        row.addWidget(self.flip)
        row.addWidget(self.close_button)

    @property
    def at(self) -> float:
        """Where the line is, as a share of the width."""
        return self.slider.value() / SPLIT_STEPS

    def show_split(self, at: float) -> None:
        """Follows the line that was dragged in the picture."""
        self.slider.blockSignals(True)
        self.slider.setValue(round(at * SPLIT_STEPS))
        self.slider.blockSignals(False)


def _button(text: str, checkable: bool) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setCheckable(checkable)
    button.setAutoRaise(True)
    button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return button


class _Elided(QLabel):
    """A label that shortens its text, in the middle, where there is too little room."""

    def __init__(self) -> None:
        super().__init__()
        self._text = ""
        self.setMinimumWidth(60)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def set_text(self, text: str) -> None:
        """The whole text, also as tooltip and for screen readers."""
        self._text = text
        self.setToolTip(plain_tooltip(text))
        self.setAccessibleName(text)
        self.update()

    def text(self) -> str:
        """The whole text."""
        return self._text

    def paintEvent(self, event: QPaintEvent) -> None:
        """As much as fits."""
        painter = QPainter(self)
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        text = painter.fontMetrics().elidedText(self._text, Qt.TextElideMode.ElideMiddle, self.width())
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)
        painter.end()
