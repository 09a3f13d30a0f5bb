"""The window: actions, the state of what is shown, and the traffic between the worker, the canvas and what stands around it.

Everything that takes time happens on the worker; a change here only sets new goals (`_aim`), once per turn of the event loop.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PySide6.QtCore import QObject, QSettings, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QAction,
    QActionGroup,
    QCloseEvent,
    QDragEnterEvent,
    QDropEvent,
    QGuiApplication,
    QImage,
    QKeySequence,
)
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QMainWindow, QMenu, QMessageBox, QStackedWidget, QVBoxLayout, QWidget

from ..errors import in_words
from ..session import providers
from .appearance import Appearance, apply
from .bars import BottomBar, CompareBar
from .canvas import ZOOM_STEP, Canvas, Fit, to_image
from .folder import SUFFIX, Walk, original_of, shown_in, suffixes
from .pages import MessagePage, Notice, WelcomePage
from .panel import Panel
from .worker import CPU, Described, Device, Event, Export, Exported, Facts, Failed, Goal, Loaded, Painted, Side, Stage, Version, Worker

RECENT_KEPT: Final = 10

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

SAVE_AS: Final = {".png": "PNG (*.png)", ".webp": "WebP (*.webp)", ".avif": "AVIF (*.avif)"}

SHORTCUTS: Final = """\
←  →  Home  End	walk through the folder
Ctrl+wheel, +, −	zoom; drag to move
1  2  3	fit the window, fit its width, actual size
[  ]  \\	fewer bytes, more bytes, all bytes
O	compare with the original
Space  S	show the other, side by side
I  F11	information, full screen"""


class Bridge(QObject):
    """Carries the worker's events, and the images made of their pixels, to the window's thread."""

    happened = Signal(object, object)

    def tell(self, event: Event) -> None:
        """Called on the worker's thread, where the conversion to an image does not hold up the window."""
        pixels = event.pixels if isinstance(event, Painted | Exported) else None
        try:
            self.happened.emit(event, None if pixels is None else to_image(pixels))
        except RuntimeError:
            # the window has gone while this step was under way
            return


@dataclass
class _Shown:
    """What one side shows, or is about to."""

    path: Path
    serial: int
    facts: Facts | None = None
    limit: int | None = None
    reached: Stage = "denoised"


class Window(QMainWindow):
    """The viewer's one window. `settings` keeps recent files, size, appearance and device between runs."""

    def __init__(self, settings: QSettings) -> None:
        super().__init__()
        self.settings = settings
        self.walk: Walk | None = None
        self.sides: dict[Side, _Shown] = {}
        self.stage: Stage = "denoised"
        self._serials = itertools.count(1)
        self._aiming = QTimer(self, singleShot=True, interval=0)
        self._aiming.timeout.connect(self._aim)

        self.canvas = Canvas()
        self.welcome = WelcomePage()
        self.error = MessagePage()
        self.middle = QStackedWidget()
        for page in (self.welcome, self.canvas, self.error):
            self.middle.addWidget(page)
        self.notice = Notice(self.middle)
        self.panel = Panel()
        self.compare_bar = CompareBar()
        self.bottom = BottomBar()
        top = QHBoxLayout()
        top.setSpacing(0)
        top.addWidget(self.middle, 1)
        top.addWidget(self.panel)
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(top, 1)
        column.addWidget(self.compare_bar)
        column.addWidget(self.bottom)
        self.setCentralWidget(body)
        self.setAcceptDrops(True)
        self.resize(1120, 760)

        self._make_actions()
        self.canvas.view_changed.connect(self._view_changed)
        self.canvas.split_moved.connect(self.compare_bar.show_split)
        self.bottom.bytes_moved.connect(self._limit)
        self.compare_bar.split_moved.connect(self.canvas.set_split)
        self.compare_bar.split.clicked.connect(self.act_split.trigger)
        self.compare_bar.flip.clicked.connect(self.act_flip.trigger)
        self.compare_bar.close_button.clicked.connect(self._stop_comparing)
        self.welcome.open_file.connect(self.act_open.trigger)
        self.welcome.open_folder.connect(self.act_open_folder.trigger)
        self.welcome.open_recent.connect(lambda path: self.open(Path(path)))

        self.bridge = Bridge()
        self.bridge.happened.connect(self._happened)
        device = str(settings.value("device", CPU))
        self.worker = Worker(self.bridge.tell, device if providers().get(device) else CPU)
        self._check_device(device if providers().get(device) else CPU)
        self._restore()
        self._show_state()
        self.worker.start()

    # actions and menus

    def _make_actions(self) -> None:
        def action(text: str, keys: Keys, do: Callable[..., object], checkable: bool = False) -> QAction:
            made = QAction(text, self)
            if isinstance(keys, list):
                made.setShortcuts([QKeySequence(key) for key in keys])
            elif keys:
                made.setShortcut(QKeySequence(keys))
            made.setCheckable(checkable)
            made.triggered.connect(do)
            # also the shortcuts of menus that full screen hides
            self.addAction(made)
            return made

        keys = QKeySequence.StandardKey
        bar = self.menuBar()

        menu = bar.addMenu("&File")
        self.act_open = action("&Open …", keys.Open, self._ask_file)
        self.act_open_folder = action("Open &folder …", "Ctrl+Shift+O", self._ask_folder)
        self.act_reload = action("&Reload", keys.Refresh, self._reload)
        self.act_save = action("&Save picture as …", keys.Save, self._ask_save)
        self.act_quit = action("&Quit", "Ctrl+Q", self.close)
        menu.addActions([self.act_open, self.act_open_folder])
        self.recent_menu = QMenu("Open &recent", self)
        menu.addMenu(self.recent_menu)
        menu.addAction(self.act_reload)
        menu.addSeparator()
        menu.addAction(self.act_save)
        menu.addSeparator()
        menu.addAction(self.act_quit)

        menu = bar.addMenu("&Edit")
        self.act_copy = action("&Copy picture", keys.Copy, self._copy)
        menu.addAction(self.act_copy)

        menu = bar.addMenu("&Go")
        self.act_next = action("&Next", ["Right", "PgDown"], lambda: self._walk_by(1))
        self.act_previous = action("&Previous", ["Left", "PgUp"], lambda: self._walk_by(-1))
        self.act_first = action("&First", "Home", lambda: self._walk_to(0))
        self.act_last = action("&Last", "End", lambda: self._walk_to(-1))
        menu.addActions([self.act_next, self.act_previous, self.act_first, self.act_last])

        menu = bar.addMenu("&View")
        fits = QActionGroup(self)
        self.act_fit = {
            fit: action(text, key, lambda _=False, fit=fit: self.canvas.set_fit(fit), True)
            for fit, text, key in (
                (Fit.WINDOW, "Fit &window", "1"),
                (Fit.WIDTH, "Fit wi&dth", "2"),
                (Fit.ACTUAL, "&Actual size", "3"),
            )
        }
        for act in self.act_fit.values():
            fits.addAction(act)
            menu.addAction(act)
        fits.setExclusionPolicy(QActionGroup.ExclusionPolicy.ExclusiveOptional)
        menu.addSeparator()
        menu.addAction(action("Zoom &in", ["+", "=", "Ctrl++"], lambda: self.canvas.zoom(ZOOM_STEP)))
        menu.addAction(action("Zoom &out", ["-", "Ctrl+-"], lambda: self.canvas.zoom(1 / ZOOM_STEP)))
        menu.addSeparator()
        self.act_panel = action("&Information", "I", self._show_panel, True)
        self.act_full = action("F&ull screen", "F11", self._full_screen, True)
        menu.addActions([self.act_panel, self.act_full])
        menu.addSeparator()
        stages = menu.addMenu("Decode &up to")
        group = QActionGroup(self)
        self.act_stage: dict[Stage, QAction] = {}
        stage_texts: tuple[tuple[Stage, str], ...] = (
            ("base", "&Base, no network"),
            ("refined", "&Refined"),
            ("denoised", "&Denoised"),
        )
        for stage, text in stage_texts:
            self.act_stage[stage] = action(text, "", lambda _=False, stage=stage: self._choose_stage(stage), True)
            group.addAction(self.act_stage[stage])
            stages.addAction(self.act_stage[stage])
        self.act_stage[self.stage].setChecked(True)
        looks = menu.addMenu("&Appearance")
        group = QActionGroup(self)
        self.act_appearance = {}
        for look, text in (
            (Appearance.SYSTEM, "As the &system"),
            (Appearance.LIGHT, "&Light"),
            (Appearance.DARK, "&Dark"),
        ):
            self.act_appearance[look] = action(text, "", lambda _=False, look=look: self._choose_appearance(look), True)
            group.addAction(self.act_appearance[look])
            looks.addAction(self.act_appearance[look])

        menu = bar.addMenu("&Bytes")
        self.act_fewer = action("&Fewer bytes", "[", lambda: self.bottom.step(-0.5))
        self.act_more = action("&More bytes", "]", lambda: self.bottom.step(0.5))
        self.act_all = action("&All bytes", "\\", self.bottom.all_bytes)
        menu.addActions([self.act_fewer, self.act_more, self.act_all])

        menu = bar.addMenu("&Compare")
        self.act_original = action("With the &original", "O", self._compare_original)
        self.act_compare = action("With another &file …", "Shift+O", self._ask_other)
        self.act_split = action("&Side by side", "S", self._toggle_split, True)
        self.act_flip = action("Show the o&ther", "Space", self._toggle_flip, True)
        self.act_stop = action("Stop &comparing", "Esc", self._escape)
        menu.addActions([self.act_original, self.act_compare])
        menu.addSeparator()
        menu.addActions([self.act_split, self.act_flip])
        menu.addSeparator()
        menu.addAction(self.act_stop)

        menu = bar.addMenu("&Device")
        group = QActionGroup(self)
        self.act_device: dict[str, QAction] = {}
        for name, usable in providers().items():
            if usable:
                self.act_device[name] = action(DEVICES[name], "", lambda _=False, name=name: self._choose_device(name), True)
                group.addAction(self.act_device[name])
                menu.addAction(self.act_device[name])

        menu = bar.addMenu("&Help")
        menu.addAction(action("&Keys", "F1", self._show_keys))

    # opening and walking

    def open(self, path: Path) -> None:
        """Shows a file, or the first picture of a folder."""
        path = path.absolute()
        if path.is_dir():
            try:
                found = shown_in(path)
            except OSError as error:
                self._complain("This folder cannot be opened", in_words(error))
                return
            if not found:
                self._complain("Nothing to show", f"The folder {path} holds no picture that the viewer can read.")
                return
            self._go(Walk(tuple(found), 0))
        else:
            self._go(Walk.around(path))

    def compare(self, path: Path) -> None:
        """Puts another file on the other side, divided by a line."""
        self.sides["other"] = _Shown(path.absolute(), next(self._serials))
        self.canvas.clear("other")
        self.compare_bar.title.set_text(f"Compared with {path.name}")
        self._show_state()
        self._soon()

    def _go(self, walk: Walk) -> None:
        self.walk = walk
        keep_comparing = "other" in self.sides
        was_original = keep_comparing and self.sides["other"].path == original_of(self.sides["shown"].path)
        self._stop_comparing()
        self.sides["shown"] = _Shown(walk.path, next(self._serials))
        self.bottom.show_nothing()
        self.bottom.name.set_text(self._title())
        self.setWindowTitle(f"{walk.path.name} – sdz")
        self._remember(walk.path)
        if was_original and (original := original_of(walk.path)) is not None:
            self.compare(original)
        self._show_state()
        self._soon()

    def _walk_by(self, steps: int) -> None:
        if self.walk is not None:
            self._walk_to(min(max(self.walk.at + steps, 0), len(self.walk.paths) - 1))

    def _walk_to(self, at: int) -> None:
        if self.walk is not None:
            walk = self.walk.to(at if at >= 0 else len(self.walk.paths) - 1)
            if walk.at != self.walk.at:
                self._go(walk)

    def _reload(self) -> None:
        if self.walk is not None:
            self._go(Walk.around(self.walk.path))

    def _title(self) -> str:
        assert self.walk is not None
        place = f"{self.walk.at + 1} / {len(self.walk.paths)}   " if len(self.walk.paths) > 1 else ""
        return place + self.walk.path.name

    # what the person asked for

    def _ask_file(self) -> None:
        known = " ".join(f"*{suffix}" for suffix in sorted(suffixes()))
        filters = f"Pictures ({known});;sdz (*{SUFFIX})"
        name, _ = QFileDialog.getOpenFileName(self, "Open a picture", self._last_folder(), filters)
        if name:
            self.open(Path(name))

    def _ask_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Open a folder", self._last_folder())
        if name:
            self.open(Path(name))

    def _ask_other(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Compare with", self._last_folder())
        if name:
            self.compare(Path(name))

    def _last_folder(self) -> str:
        return str(self.walk.path.parent) if self.walk is not None else ""

    def _ask_save(self) -> None:
        shown = self.sides.get("shown")
        if shown is None:
            return
        start = str(shown.path.with_suffix(".png"))
        name, chosen = QFileDialog.getSaveFileName(self, "Save the picture", start, ";;".join(SAVE_AS.values()))
        if not name:
            return
        target = Path(name)
        if target.suffix.lower() not in SAVE_AS:
            suffix = next((suffix for suffix, text in SAVE_AS.items() if text == chosen), ".png")
            target = target.with_name(target.name + suffix)
        self.save(target)

    def save(self, target: Path) -> None:
        """Saves the whole picture, of the bytes and at the stage in view, in the format of the suffix."""
        shown = self.sides.get("shown")
        if shown is not None:
            self.worker.export(Export(shown.path, self._version(shown), target))
            self.notice.say(f"Saving {target.name} …")

    def _copy(self) -> None:
        shown = self.sides.get("shown")
        if shown is not None:
            self.worker.export(Export(shown.path, self._version(shown), None))

    def _limit(self, value: int) -> None:
        shown = self.sides.get("shown")
        if shown is not None and shown.facts is not None:
            shown.limit = None if value >= shown.facts.bytes else value
            self._soon()

    def _choose_stage(self, stage: Stage) -> None:
        self.stage = stage
        self._soon()

    def _choose_device(self, name: str) -> None:
        self.settings.setValue("device", name)
        self.worker.use(name)
        # what is in view is decoded again, so that the choice shows, and its times
        for shown in self.sides.values():
            shown.serial = next(self._serials)
        self._soon()

    def _choose_appearance(self, look: Appearance) -> None:
        self.settings.setValue("appearance", look.value)
        self.act_appearance[look].setChecked(True)
        apply(look)

    def _compare_original(self) -> None:
        shown = self.sides.get("shown")
        original = original_of(shown.path) if shown is not None else None
        if shown is None:
            return
        if original is None:
            self.notice.say(f"No picture named {shown.path.stem} lies beside {shown.path.name}. Compare with another file: Shift+O")
        elif "other" in self.sides and self.sides["other"].path == original:
            self._stop_comparing()
        else:
            self.compare(original)

    def _toggle_split(self) -> None:
        if "other" in self.canvas.layers:
            self.canvas.set_split(self.compare_bar.at if self.canvas.split is None else None)
            self.canvas.flipped = False
        self._show_state()

    def _toggle_flip(self) -> None:
        if "other" in self.canvas.layers:
            self.canvas.flipped = not self.canvas.flipped
            self.canvas.set_split(None)
        self._show_state()

    def _stop_comparing(self) -> None:
        self.sides.pop("other", None)
        self.canvas.clear("other")
        self._show_state()
        self._soon()

    def _escape(self) -> None:
        if self.act_full.isChecked():
            self.act_full.trigger()
        else:
            self._stop_comparing()

    def _full_screen(self, on: bool) -> None:
        self.menuBar().setVisible(not on)
        self.bottom.setVisible(not on)
        self._show_state()
        self.setWindowState(self.windowState() ^ Qt.WindowState.WindowFullScreen)

    def _show_panel(self, on: bool) -> None:
        self.panel.setVisible(on)
        self._soon()

    def _show_keys(self) -> None:
        rows = "".join(
            f"<tr><td style='padding: 3px 18px 3px 0'>{keys}</td><td style='padding: 3px 0'>{text}</td></tr>"
            for keys, _, text in (line.partition("\t") for line in SHORTCUTS.splitlines())
        )
        QMessageBox(QMessageBox.Icon.NoIcon, "Keys", f"<table>{rows}</table>", QMessageBox.StandardButton.Close, self).exec()

    # towards the worker

    def _soon(self) -> None:
        self._aiming.start()

    def _view_changed(self) -> None:
        for fit, act in self.act_fit.items():
            act.setChecked(fit == self.canvas.fit)
        if "shown" in self.canvas.layers:
            self.bottom.scale.setText(f"{self.canvas.percent:.0f} %")
        self._show_stage()
        self._soon()

    def _version(self, shown: _Shown) -> Version:
        return Version(shown.serial, shown.limit, self.stage)

    def _aim(self) -> None:
        goals: dict[Side, Goal] = {}
        for side, shown in self.sides.items():
            version = self._version(shown)
            tiles = self.canvas.wanted(side, version) if shown.facts is not None and shown.facts.first is not None else ()
            describe = side == "shown" and self.act_panel.isChecked()
            goals[side] = Goal(shown.path, version, tiles, describe)
        self.worker.aim(goals)

    # from the worker

    def _happened(self, event: Event, image: QImage | None) -> None:
        if isinstance(event, Device):
            self._device_in_use(event)
        elif isinstance(event, Exported):
            self._exported(event, image)
        else:
            serial = event.serial if isinstance(event, Loaded | Failed) else event.version.serial
            shown = self.sides.get(event.side)
            if shown is None or shown.serial != serial:
                return
            if isinstance(event, Loaded):
                self._loaded(event, shown)
            elif isinstance(event, Failed):
                self._failed(event, shown)
            elif isinstance(event, Described):
                self.panel.show_report(event.report)
            elif image is not None:
                self._painted(event, shown, image)
        self._soon()

    def _loaded(self, event: Loaded, shown: _Shown) -> None:
        again = shown.facts is not None
        facts = shown.facts = event.facts
        self.canvas.begin(event.side, facts.width, facts.height, shown.path.name)
        if event.side == "other":
            self.canvas.set_split(self.compare_bar.at)
        else:
            if not again:
                self.bottom.show_file(self._title(), "", facts.bytes, facts.first, facts.width * facts.height)
            self.panel.clear()
            self.panel.show_facts(shown.path.name, facts)
            self.canvas.setAccessibleDescription(facts.alt or "")
        self._show_state()

    def _painted(self, event: Painted, shown: _Shown, image: QImage) -> None:
        shown.reached = event.reached
        if event.tile is None:
            self.canvas.paint_whole(event.side, event.version, event.stage, image, event.reduce, event.final)
        else:
            self.canvas.paint_tile(event.side, event.version, event.stage, image, event.tile, event.final)
        if event.side == "shown":
            self.panel.show_times(event.seconds)
            self._show_stage()

    def _failed(self, event: Failed, shown: _Shown) -> None:
        message = event.message[:1].upper() + event.message[1:]
        if event.side == "other":
            self._stop_comparing()
            self.notice.say(f"{shown.path.name} cannot be compared with. {message}")
            return
        self.canvas.clear("shown")
        self.canvas.clear("other")
        self.sides.pop("other", None)
        shown.facts = None
        self.bottom.show_nothing()
        self.bottom.name.set_text(self._title())
        self.panel.clear()
        self._complain(f"{shown.path.name} cannot be shown", message)

    def _device_in_use(self, event: Device) -> None:
        self._check_device(event.name)
        self.panel.show_device(DEVICES[event.name], event.problem)
        if event.problem:
            self.settings.setValue("device", event.name)
            self.notice.say(f"Decoding on the {DEVICES[event.name]} instead. {event.problem[:1].upper()}{event.problem[1:]}")

    def _exported(self, event: Exported, image: QImage | None) -> None:
        target = event.export.target
        if event.problem is not None:
            what = "copied" if target is None else f"saved as {target.name}"
            self.notice.say(f"The picture could not be {what}. {event.problem}")
        elif target is not None:
            self.notice.say(f"Saved {target.name}")
        elif image is not None:
            QGuiApplication.clipboard().setImage(image)
            self.notice.say("Copied")

    # what is visible

    def _show_state(self) -> None:
        shown = self.sides.get("shown")
        if shown is None:
            if self.middle.currentWidget() is not self.error:
                self.middle.setCurrentWidget(self.welcome)
        elif shown.facts is not None or self.middle.currentWidget() is not self.error:
            self.middle.setCurrentWidget(self.canvas)
        comparing = "other" in self.sides
        self.compare_bar.setVisible(comparing and not self.act_full.isChecked())
        self.act_split.setChecked(self.canvas.split is not None)
        self.act_flip.setChecked(self.canvas.flipped)
        self.compare_bar.split.setChecked(self.canvas.split is not None)
        self.compare_bar.flip.setChecked(self.canvas.flipped)
        self.compare_bar.slider.setEnabled(self.canvas.split is not None)
        for act in (self.act_split, self.act_flip):
            act.setEnabled(comparing)
        for act in (self.act_save, self.act_copy, self.act_original, self.act_compare):
            act.setEnabled(shown is not None and shown.facts is not None)
        for act in (self.act_fewer, self.act_more, self.act_all):
            act.setEnabled(shown is not None and shown.facts is not None and shown.facts.first is not None)
        for act in (self.act_next, self.act_previous, self.act_first, self.act_last, self.act_reload):
            act.setEnabled(self.walk is not None)

    def _show_stage(self) -> None:
        shown = self.sides.get("shown")
        if shown is not None:
            self.bottom.stages.show_stage(self.canvas.stage_in_view(), shown.reached)

    def _complain(self, title: str, text: str) -> None:
        self.error.say(title, text)
        self.middle.setCurrentWidget(self.error)
        self._show_state()

    def _check_device(self, name: str) -> None:
        self.act_device[name].setChecked(True)

    # between runs

    def recent(self) -> list[str]:
        """The files opened lately, the last first."""
        kept = self.settings.value("recent", [])
        # one entry comes back from the settings as plain text
        return [kept] if isinstance(kept, str) else [str(path) for path in kept] if isinstance(kept, list) else []

    def _remember(self, path: Path) -> None:
        self.settings.setValue("recent", [str(path), *(old for old in self.recent() if old != str(path))][:RECENT_KEPT])
        self._show_recent()

    def _show_recent(self) -> None:
        self.recent_menu.clear()
        for path in self.recent():
            entry = self.recent_menu.addAction(path.replace("&", "&&"))
            entry.triggered.connect(lambda _=False, path=path: self.open(Path(path)))
        self.recent_menu.setEnabled(bool(self.recent()))
        self.welcome.show_recent(self.recent())

    def _restore(self) -> None:
        size = self.settings.value("size")
        if isinstance(size, QSize) and size.isValid():
            self.resize(size)
        panel = self.settings.value("panel", "false") == "true"
        self.act_panel.setChecked(panel)
        self.panel.setVisible(panel)
        self.panel.show_device(DEVICES[self.worker_device()], None)
        self._choose_appearance(Appearance.named(str(self.settings.value("appearance", ""))))
        self.act_fit[Fit.WINDOW].setChecked(True)
        self._show_recent()

    def worker_device(self) -> str:
        """The execution provider checked in the menu."""
        return next(name for name, act in self.act_device.items() if act.isChecked())

    def closeEvent(self, event: QCloseEvent) -> None:
        """Keeps what is kept, and lets the worker end."""
        if not self.isFullScreen():
            self.settings.setValue("size", self.size())
        self.settings.setValue("panel", "true" if self.act_panel.isChecked() else "false")
        self.worker.stop()
        event.accept()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files may be dropped."""
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Opens the first file dropped; a second one is compared with it."""
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self.open(paths[0])
        if len(paths) == 2 and not paths[0].is_dir() and not paths[1].is_dir():
            self.compare(paths[1])
