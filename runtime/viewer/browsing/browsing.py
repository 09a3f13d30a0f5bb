"""The menu *Picture* and what it does to the window: turn, slideshow, thumbnails, the wheel's meaning, the trash, the context menu."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from PySide6.QtCore import QObject, QSettings, Qt, QTimer
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QMenu, QWidget

from ..canvas import Canvas, Wheel
from ..folder import Walk
from ..menus import Menus
from .strip import Strip
from .trash import Trash, TrashError

SLIDE_SECONDS: Final = 5

WHEELS: Final = ((Wheel.PAN, "&Moves the picture"), (Wheel.ZOOM, "&Zooms"), (Wheel.WALK, "&Walks through the folder"))


class Browsing(QObject):
    """The actions, each of which is connected here. `walk_to` shows the picture of that number, `show` a walk (None: nothing), `say` says
    something over the picture.

    `follow` is to be told every walk, `end` that the window closes.
    """

    def __init__(
        self,
        parent: QObject,
        menus: Menus,
        canvas: Canvas,
        settings: QSettings,
        walk_to: Callable[[int], Any],
        show: Callable[[Walk | None], Any],
        say: Callable[[str], Any],
    ) -> None:
        super().__init__(parent)
        self.canvas, self.settings = canvas, settings
        self.walk_to, self.show, self.say = walk_to, show, say
        self.walk: Walk | None = None
        self.trash = Trash()
        self.strip = Strip()
        self.full = menus.full
        self._turns: dict[Path, int] = {}
        self._slides = QTimer(self, interval=SLIDE_SECONDS * 1000)
        self._slides.timeout.connect(self._next_slide)

        self.left = menus.action("Turn &left", "L")
        self.right = menus.action("Turn &right", "R")
        self.slideshow = menus.action("&Slideshow", "Shift+F5", True)
        self.thumbnails = menus.action("&Thumbnails", "T", True)
        self.remove = menus.action("Move to the tras&h", "Del")
        self.undo = menus.action("&Undo moving to the trash", "Ctrl+Z")
        self.wheel = self._wheel_menu(menus)
        menu = menus.add_menu("&Picture")
        menu.addActions([self.left, self.right])
        menu.addSeparator()
        menu.addActions([self.slideshow, self.thumbnails])
        menu.addMenu(self.wheel)
        menu.addSeparator()
        menu.addActions([self.remove, self.undo])
        self.left.triggered.connect(lambda: self._turn(-1))
        self.right.triggered.connect(lambda: self._turn(1))
        self.slideshow.triggered.connect(self._slideshow)
        self.thumbnails.triggered.connect(self._show_strip)
        self.remove.triggered.connect(self._remove)
        self.undo.triggered.connect(self._give_back)
        self.full.triggered.connect(lambda: self._show_strip(self.thumbnails.isChecked()))
        menus.stop.triggered.connect(lambda: self._slideshow(False) if self.slideshow.isChecked() else None)
        self.strip.chosen.connect(walk_to)
        canvas.walked.connect(lambda steps: None if self.walk is None else walk_to(self.walk.held(self.walk.at + steps)))
        self._context_menu(menus, canvas)
        self.thumbnails.setChecked(settings.value("thumbnails", "false") == "true")
        self._show_actions()

    def _wheel_menu(self, menus: Menus) -> QMenu:
        chosen = str(self.settings.value("wheel", Wheel.PAN.value))
        menu, group = QMenu("Mouse &wheel"), QActionGroup(self)
        for wheel, text in WHEELS:
            act = menus.action(text, "", True)
            act.triggered.connect(lambda _=False, wheel=wheel: self._choose_wheel(wheel))
            group.addAction(act)
            menu.addAction(act)
            if wheel.value == chosen:
                act.setChecked(True)
                self.canvas.wheel = wheel
        return menu

    def _context_menu(self, menus: Menus, canvas: QWidget) -> None:
        """The canvas's: what is done to a picture most often."""
        canvas.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        groups = (
            (menus.copy, menus.save),
            (menus.original, menus.compare),
            (self.left, self.right),
            (self.slideshow, menus.full, menus.panel),
            (self.remove,),
        )
        for number, group in enumerate(groups):
            if number:
                line = QAction(self)
                line.setSeparator(True)
                canvas.addAction(line)
            canvas.addActions(list(group))

    def follow(self, walk: Walk) -> None:
        """Another picture is shown, or the folder's pictures have changed."""
        self.walk = walk
        self.canvas.set_turn(self._turns.get(walk.path, 0))
        if self._slides.isActive():
            self._slides.start()
        self._show_strip(self.thumbnails.isChecked())
        self._show_actions()

    def end(self) -> None:
        """The window closes."""
        self._slides.stop()
        self.strip.end()
        self.settings.setValue("thumbnails", "true" if self.thumbnails.isChecked() else "false")

    def _show_actions(self) -> None:
        for act in (self.left, self.right, self.slideshow, self.remove):
            act.setEnabled(self.walk is not None)
        self.undo.setEnabled(bool(self.trash.moved))

    def _turn(self, quarters: int) -> None:
        if self.walk is not None:
            turn = (self.canvas.turn + quarters) % 4
            self._turns[self.walk.path] = turn
            self.canvas.set_turn(turn)

    def _choose_wheel(self, wheel: Wheel) -> None:
        self.canvas.wheel = wheel
        self.settings.setValue("wheel", wheel.value)

    def _show_strip(self, on: bool) -> None:
        self.strip.setVisible(on and self.walk is not None and not self.full.isChecked())
        if on and self.walk is not None:
            self.strip.show_pictures(self.walk.paths, self.walk.at)

    def _slideshow(self, on: bool) -> None:
        self.slideshow.setChecked(on)
        if on:
            self._slides.start()
            self.say("Slideshow: Esc ends it")
        else:
            self._slides.stop()
        if on != self.full.isChecked():
            self.full.trigger()

    def _next_slide(self) -> None:
        if self.walk is not None:
            self.walk_to((self.walk.at + 1) % len(self.walk.paths))

    def _remove(self) -> None:
        walk = self.walk
        if walk is None:
            return
        try:
            self.trash.take(walk.path)
        except TrashError as error:
            self.say(f"{walk.path.name} could not be moved to the trash: {error}")
            return
        left = tuple(path for path in walk.paths if path != walk.path)
        self.walk = Walk(left, min(walk.at, len(left) - 1)) if left else None
        self.show(self.walk)
        self.say(f"{walk.path.name} is in the trash. Ctrl+Z brings it back")
        self._show_strip(self.thumbnails.isChecked())
        self._show_actions()

    def _give_back(self) -> None:
        if not self.trash.moved:
            return
        try:
            path = self.trash.give_back()
        except TrashError as error:
            self.say(f"It could not be brought back: {error}")
            self._show_actions()
            return
        self.show(Walk.around(path))
        self.say(f"{path.name} is back")
