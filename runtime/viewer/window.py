"""The window: the widgets around the picture, what each side shows, and the traffic between the worker and the widgets.

Everything that takes time happens in the worker. A change in the window only sets new goals (`_aim`), once per turn of the event loop.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QSettings, QSize, Qt, QTimer
from PySide6.QtGui import QCloseEvent, QGuiApplication, QImage
from PySide6.QtWidgets import QHBoxLayout, QMainWindow, QStackedWidget, QVBoxLayout, QWidget

from ..errors import in_words
from ..files import readable
from ..options import DEFAULT_STAGE, Stage
from ..session import providers
from . import dialogs
from .appearance import Appearance, apply
from .bars import BottomBar, CompareBar
from .bridge import Bridge
from .browsing.browsing import Browsing
from .browsing.drops import Drops
from .canvas import Canvas
from .decoding.messages import CPU, Described, Device, Event, Export, Exported, Facts, Failed, Goal, Loaded, Painted, Shown, Side, Version
from .decoding.worker import Worker
from .folder import Walk, copy_of, original_of, shown_in
from .menus import DEVICES, Menus
from .pages import MessagePage, Notice, WelcomePage
from .panel import Panel
from .recent import RecentFiles
from .view import ZOOM_STEP, Fit


@dataclass
class _Shown:
    """What one side shows or is about to show."""

    path: Path
    serial: int
    facts: Facts | None = None
    limit: int | None = None
    reached: Shown = DEFAULT_STAGE


class Window(QMainWindow):
    """The viewer's window. `settings` keeps recent files, size, appearance and device between runs."""

    def __init__(self, settings: QSettings) -> None:
        super().__init__()
        self.settings = settings
        self.recent = RecentFiles(settings)
        self.walk: Walk | None = None
        self.sides: dict[Side, _Shown] = {}
        self.stage: Stage = DEFAULT_STAGE
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
        Drops(self, self.open, self.compare)
        self.resize(1120, 760)

        self.menus = Menus(self, [name for name, usable in providers().items() if usable], self.stage)
        self._connect()
        self.browsing = Browsing(self, self.menus, self.canvas, settings, self._walk_to, self._show_walk, self.notice.say)
        column.insertWidget(2, self.browsing.strip)

        self.bridge = Bridge()
        self.bridge.happened.connect(self._happened)
        device = str(settings.value("device", CPU))
        self.worker = Worker(self.bridge.tell, device if providers().get(device) else CPU)
        self._check_device(device if providers().get(device) else CPU)
        self._restore()
        self._show_state()
        self.worker.start()

    def _connect(self) -> None:
        menus = self.menus
        menus.open.triggered.connect(self._ask_file)
        menus.open_folder.triggered.connect(self._ask_folder)
        menus.reload.triggered.connect(self._reload)
        menus.save.triggered.connect(self._ask_save)
        menus.quit.triggered.connect(self.close)
        menus.copy.triggered.connect(self._copy)
        menus.next.triggered.connect(lambda: self._walk_by(1))
        menus.previous.triggered.connect(lambda: self._walk_by(-1))
        menus.first.triggered.connect(lambda: self._walk_to(0))
        menus.last.triggered.connect(lambda: self._walk_to(-1))
        menus.fit_chosen.connect(self.canvas.set_fit)
        menus.zoom_in.triggered.connect(lambda: self.canvas.zoom(ZOOM_STEP))
        menus.zoom_out.triggered.connect(lambda: self.canvas.zoom(1 / ZOOM_STEP))
        menus.panel.triggered.connect(self._show_panel)
        menus.full.triggered.connect(self._full_screen)
        menus.stage_chosen.connect(self._choose_stage)
        menus.appearance_chosen.connect(self._choose_appearance)
        menus.fewer.triggered.connect(lambda: self.bottom.step(-0.5))
        menus.more.triggered.connect(lambda: self.bottom.step(0.5))
        menus.all.triggered.connect(self.bottom.all_bytes)
        menus.original.triggered.connect(self._compare_original)
        menus.compare.triggered.connect(self._ask_other)
        menus.split.triggered.connect(self._toggle_split)
        menus.flip.triggered.connect(self._toggle_flip)
        menus.stop.triggered.connect(self._escape)
        menus.device_chosen.connect(self._choose_device)
        menus.keys.triggered.connect(lambda: dialogs.show_keys(self))
        self.canvas.view_changed.connect(self._view_changed)
        self.canvas.split_moved.connect(self.compare_bar.show_split)
        self.bottom.bytes_moved.connect(self._limit)
        self.compare_bar.split_moved.connect(self.canvas.set_split)
        self.compare_bar.split.clicked.connect(menus.split.trigger)
        self.compare_bar.flip.clicked.connect(menus.flip.trigger)
        self.compare_bar.close_button.clicked.connect(self._stop_comparing)
        self.welcome.open_file.connect(menus.open.trigger)
        self.welcome.open_folder.connect(menus.open_folder.trigger)
        self.welcome.open_recent.connect(lambda path: self.open(Path(path)))

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
                self._complain("Nothing to show", f"The folder {readable(path)} holds no picture that the viewer can read.")
                return
            self._go(Walk(tuple(found), 0))
        else:
            self._go(Walk.around(path))

    def compare(self, path: Path) -> None:
        """Shows another file beside the current one, divided by a line."""
        self.sides["other"] = _Shown(path.absolute(), next(self._serials))
        self.canvas.clear("other")
        self.compare_bar.title.set_text(f"Compared with {readable(path.name)}")
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
        self.setWindowTitle(f"{readable(walk.path.name)} – sdz")
        self.recent.remember(walk.path)
        self.browsing.follow(walk)
        self._show_recent()
        if was_original and (original := original_of(walk.path)) is not None:
            self.compare(original)
        self._show_state()
        self._soon()

    def _show_walk(self, walk: Walk | None) -> None:
        if walk is not None:
            self._go(walk)
        else:
            self._stop_comparing()
            self.walk = None
            del self.sides["shown"]
            self.canvas.clear("shown")
            self.bottom.show_nothing()
            self._complain("Nothing to show", "The folder holds no picture any more.")

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
        return place + readable(self.walk.path.name)

    # commands

    def _ask_file(self) -> None:
        path = dialogs.ask_file(self, self._last_folder())
        if path is not None:
            self.open(path)

    def _ask_folder(self) -> None:
        path = dialogs.ask_folder(self, self._last_folder())
        if path is not None:
            self.open(path)

    def _ask_other(self) -> None:
        path = dialogs.ask_other(self, self._last_folder())
        if path is not None:
            self.compare(path)

    def _ask_save(self) -> None:
        shown = self.sides.get("shown")
        target = None if shown is None else dialogs.ask_target(self, copy_of(shown.path, ".png"))
        if target is not None:
            self.save(target)

    def _last_folder(self) -> str:
        return str(self.walk.path.parent) if self.walk is not None else ""

    def save(self, target: Path) -> None:
        """Saves the whole picture, from the bytes and at the stage in view, in the format of the suffix."""
        shown = self.sides.get("shown")
        if shown is not None:
            self.worker.export(Export(shown.path, self._version(shown), target, self.canvas.turn))
            self.notice.say(f"Saving {readable(target.name)} …")

    def _copy(self) -> None:
        shown = self.sides.get("shown")
        if shown is not None:
            self.worker.export(Export(shown.path, self._version(shown), None, self.canvas.turn))

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
        # what is in view is decoded again, so that the choice and its times can be seen
        for shown in self.sides.values():
            shown.serial = next(self._serials)
        self._soon()

    def _choose_appearance(self, look: Appearance) -> None:
        self.settings.setValue("appearance", look.value)
        self.menus.appearance[look].setChecked(True)
        apply(look)

    def _compare_original(self) -> None:
        shown = self.sides.get("shown")
        original = original_of(shown.path) if shown is not None else None
        if shown is None:
            return
        if original is None:
            self.notice.say(
                f"No picture named {readable(shown.path.stem)} is beside {readable(shown.path.name)}. Compare with another file: Shift+O"
            )
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
        if self.menus.full.isChecked():
            self.menus.full.trigger()
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

    # towards the worker

    def _soon(self) -> None:
        self._aiming.start()

    def _view_changed(self) -> None:
        for fit, act in self.menus.fit.items():
            act.setChecked(fit == self.canvas.view.fit)
        if "shown" in self.canvas.layers:
            self.bottom.scale.setText(f"{self.canvas.view.percent:.0f} %")
        self._show_stage()
        self._soon()

    def _version(self, shown: _Shown) -> Version:
        return Version(shown.serial, shown.limit, self.stage)

    def _aim(self) -> None:
        goals: dict[Side, Goal] = {}
        for side, shown in self.sides.items():
            version = self._version(shown)
            tiles = self.canvas.wanted(side, version) if shown.facts is not None and shown.facts.first is not None else ()
            describe = side == "shown" and self.menus.panel.isChecked()
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
        self.canvas.begin(event.side, facts.width, facts.height, readable(shown.path.name))
        if event.side == "other":
            self.canvas.set_split(self.compare_bar.at)
        else:
            if not again:
                self.bottom.show_file(self._title(), "", facts.bytes, facts.first, facts.width * facts.height)
            self.panel.clear()
            self.panel.show_facts(readable(shown.path.name), facts)
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
            self.notice.say(f"{readable(shown.path.name)} cannot be compared with. {message}")
            return
        self.canvas.clear("shown")
        self.canvas.clear("other")
        self.sides.pop("other", None)
        shown.facts = None
        self.bottom.show_nothing()
        self.bottom.name.set_text(self._title())
        self.panel.clear()
        self._complain(f"{readable(shown.path.name)} cannot be shown", message)

    def _device_in_use(self, event: Device) -> None:
        self._check_device(event.name)
        self.panel.show_device(DEVICES[event.name], event.problem)
        if event.problem:
            self.settings.setValue("device", event.name)
            self.notice.say(f"Decoding on the {DEVICES[event.name]} instead. {event.problem[:1].upper()}{event.problem[1:]}")

    def _exported(self, event: Exported, image: QImage | None) -> None:
        target = event.export.target
        if event.problem is not None:
            what = "copied" if target is None else f"saved as {readable(target.name)}"
            self.notice.say(f"The picture could not be {what}. {event.problem}")
        elif target is not None:
            self.notice.say(f"Saved {readable(target.name)}")
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
        self.compare_bar.setVisible(comparing and not self.menus.full.isChecked())
        self.menus.split.setChecked(self.canvas.split is not None)
        self.menus.flip.setChecked(self.canvas.flipped)
        self.compare_bar.split.setChecked(self.canvas.split is not None)
        self.compare_bar.flip.setChecked(self.canvas.flipped)
        self.compare_bar.slider.setEnabled(self.canvas.split is not None)
        for act in (self.menus.split, self.menus.flip):
            act.setEnabled(comparing)
        for act in (self.menus.save, self.menus.copy, self.menus.original, self.menus.compare):
            act.setEnabled(shown is not None and shown.facts is not None)
        for act in (self.menus.fewer, self.menus.more, self.menus.all):
            act.setEnabled(shown is not None and shown.facts is not None and shown.facts.first is not None)
        for act in (self.menus.next, self.menus.previous, self.menus.first, self.menus.last, self.menus.reload):
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
        self.menus.device[name].setChecked(True)

    # between runs

    def _show_recent(self) -> None:
        self.menus.recent.clear()
        for path in self.recent.paths():
            entry = self.menus.recent.addAction(readable(path).replace("&", "&&"))
            entry.triggered.connect(lambda _=False, path=path: self.open(Path(path)))
        self.menus.recent.setEnabled(bool(self.recent.paths()))
        self.welcome.show_recent(self.recent.paths())

    def _restore(self) -> None:
        size = self.settings.value("size")
        if isinstance(size, QSize) and size.isValid():
            self.resize(size)
        panel = self.settings.value("panel", "false") == "true"
        self.menus.panel.setChecked(panel)
        self.panel.setVisible(panel)
        self.panel.show_device(DEVICES[self.worker_device()], None)
        self._choose_appearance(Appearance.named(str(self.settings.value("appearance", ""))))
        self.menus.fit[Fit.WINDOW].setChecked(True)
        self._show_recent()

    def worker_device(self) -> str:
        """The execution provider checked in the menu."""
        return next(name for name, act in self.menus.device.items() if act.isChecked())

    def closeEvent(self, event: QCloseEvent) -> None:
        """Saves the settings, and has the worker end."""
        if not self.isFullScreen():
            self.settings.setValue("size", self.size())
        self.settings.setValue("panel", "true" if self.menus.panel.isChecked() else "false")
        self.browsing.end()
        self.worker.stop()
        event.accept()
