"""The menu bar: every action with its text and keys. Actions do nothing by themselves: the window connects them."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QMainWindow, QMenu

from ..options import Stage
from .appearance import Appearance
from .view import Fit

Keys = str | QKeySequence.StandardKey | list[str]

DEVICES: Final = {
    "cpu": "CPU",
    "coreml": "CoreML",
    "cuda": "CUDA",
    "directml": "DirectML",
    "openvino": "OpenVINO",
    "rocm": "ROCm",
    "tensorrt": "TensorRT",
    "webgpu": "WebGPU",
}
"""Names of onnxruntime's execution providers as their makers spell them."""

FITS: Final[tuple[tuple[Fit, str, str], ...]] = (
    (Fit.WINDOW, "Fit &window", "1"),
    (Fit.WIDTH, "Fit wi&dth", "2"),
    (Fit.ACTUAL, "&Actual size", "3"),
)

STAGE_TEXTS: Final[tuple[tuple[Stage, str], ...]] = (
    ("linear", "&Linear, no network"),
    ("decoded", "De&coded"),
    ("denoised", "&Denoised"),
)

LOOKS: Final = (
    (Appearance.SYSTEM, "As the &system"),
    (Appearance.LIGHT, "&Light"),
    (Appearance.DARK, "&Dark"),
)


class Menus(QObject):
    """The actions, and the menus of `window`'s menu bar that hold them. Choices among several are told by signals.

    `devices` are the names of the execution providers to choose from, `stage` the stage chosen at first.
    """

    fit_chosen = Signal(object)
    stage_chosen = Signal(str)
    appearance_chosen = Signal(object)
    device_chosen = Signal(str)

    def __init__(self, window: QMainWindow, devices: list[str], stage: Stage) -> None:
        super().__init__(window)
        self._window = window
        self._file_menu()
        self._go_menu()
        self._view_menu(stage)
        self._bytes_menu()
        self._compare_menu()
        self._device_menu(devices)
        self.keys = self.action("&Keys", "F1")
        window.menuBar().addMenu("&Help").addAction(self.keys)

    def add_menu(self, text: str) -> QMenu:
        """A further menu, before the last one of the bar."""
        bar = self._window.menuBar()
        menu = QMenu(text, self._window)
        bar.insertMenu(bar.actions()[-1], menu)
        return menu

    def action(self, text: str, keys: Keys, checkable: bool = False) -> QAction:
        """An action of the window with its keys; it does nothing yet."""
        made = QAction(text, self._window)
        if isinstance(keys, list):
            made.setShortcuts([QKeySequence(key) for key in keys])
        elif keys:
            made.setShortcut(QKeySequence(keys))
        made.setCheckable(checkable)
        # so that the keys work in full screen too, where the menu bar is hidden
        self._window.addAction(made)
        return made

    def _file_menu(self) -> None:
        keys = QKeySequence.StandardKey
        menu = self._window.menuBar().addMenu("&File")
        self.open = self.action("&Open …", keys.Open)
        self.open_folder = self.action("Open &folder …", "Ctrl+Shift+O")
        self.reload = self.action("&Reload", keys.Refresh)
        self.save = self.action("&Save picture as …", keys.Save)
        self.quit = self.action("&Quit", "Ctrl+Q")
        self.recent = QMenu("Open &recent", self._window)
        menu.addActions([self.open, self.open_folder])
        menu.addMenu(self.recent)
        menu.addAction(self.reload)
        menu.addSeparator()
        menu.addAction(self.save)
        menu.addSeparator()
        menu.addAction(self.quit)
        self.copy = self.action("&Copy picture", keys.Copy)
        self._window.menuBar().addMenu("&Edit").addAction(self.copy)

    def _go_menu(self) -> None:
        self.next = self.action("&Next", ["Right", "PgDown"])
        self.previous = self.action("&Previous", ["Left", "PgUp"])
        self.first = self.action("&First", "Home")
        self.last = self.action("&Last", "End")
        self._window.menuBar().addMenu("&Go").addActions([self.next, self.previous, self.first, self.last])

    def _view_menu(self, stage: Stage) -> None:
        menu = self._window.menuBar().addMenu("&View")
        fits = QActionGroup(self._window)
        fits.setExclusionPolicy(QActionGroup.ExclusionPolicy.ExclusiveOptional)
        self.fit: dict[Fit, QAction] = {}
        for fit, text, key in FITS:
            self.fit[fit] = self.action(text, key, True)
            self.fit[fit].triggered.connect(lambda _=False, fit=fit: self.fit_chosen.emit(fit))
            fits.addAction(self.fit[fit])
            menu.addAction(self.fit[fit])
        menu.addSeparator()
        self.zoom_in = self.action("Zoom &in", ["+", "=", "Ctrl++"])
        self.zoom_out = self.action("Zoom &out", ["-", "Ctrl+-"])
        menu.addActions([self.zoom_in, self.zoom_out])
        menu.addSeparator()
        self.panel = self.action("&Information", "I", True)
        self.full = self.action("F&ull screen", "F11", True)
        menu.addActions([self.panel, self.full])
        menu.addSeparator()
        stages, group = menu.addMenu("Decode &up to"), QActionGroup(self._window)
        self.stage: dict[Stage, QAction] = {}
        for name, text in STAGE_TEXTS:
            self.stage[name] = self.action(text, "", True)
            self.stage[name].triggered.connect(lambda _=False, name=name: self.stage_chosen.emit(name))
            group.addAction(self.stage[name])
            stages.addAction(self.stage[name])
        self.stage[stage].setChecked(True)
        looks, group = menu.addMenu("&Appearance"), QActionGroup(self._window)
        self.appearance: dict[Appearance, QAction] = {}
        for look, text in LOOKS:
            self.appearance[look] = self.action(text, "", True)
            self.appearance[look].triggered.connect(lambda _=False, look=look: self.appearance_chosen.emit(look))
            group.addAction(self.appearance[look])
            looks.addAction(self.appearance[look])

    def _bytes_menu(self) -> None:
        self.fewer = self.action("&Fewer bytes", "[")
        self.more = self.action("&More bytes", "]")
        self.all = self.action("&All bytes", "\\")
        self._window.menuBar().addMenu("&Bytes").addActions([self.fewer, self.more, self.all])

    def _compare_menu(self) -> None:
        menu = self._window.menuBar().addMenu("&Compare")
        self.original = self.action("With the &original", "O")
        self.compare = self.action("With another &file …", "Shift+O")
        self.split = self.action("&Side by side", "S", True)
        self.flip = self.action("Show the o&ther", "Space", True)
        self.stop = self.action("Stop &comparing", "Esc")
        menu.addActions([self.original, self.compare])
        menu.addSeparator()
        menu.addActions([self.split, self.flip])
        menu.addSeparator()
        menu.addAction(self.stop)

    def _device_menu(self, devices: list[str]) -> None:
        menu, group = self._window.menuBar().addMenu("&Device"), QActionGroup(self._window)
        self.device: dict[str, QAction] = {}
        for name in devices:
            self.device[name] = self.action(DEVICES[name], "", True)
            self.device[name].triggered.connect(lambda _=False, name=name: self.device_chosen.emit(name))
            group.addAction(self.device[name])
            menu.addAction(self.device[name])
