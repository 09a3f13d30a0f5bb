"""Turning, thumbnails, slideshow, the wheel's meanings, the trash, the context menu, and where a copy is saved."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import QPointF, QSettings, Qt
from PySide6.QtTest import QTest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from test_viewer import application, array, final, folder, painted, settled, stand_ins, wait, wheel, window  # noqa: F401

import sdz.runtime.viewer.dialogs
from sdz.runtime.viewer.canvas import Wheel
from sdz.runtime.viewer.folder import copy_of
from sdz.runtime.viewer.window import Window


@pytest.fixture
def trash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "Trash"


def is_painted(window: Window, picture: np.ndarray) -> bool:  # noqa: F811
    """Whether the picture is in the middle of the canvas, or half a pixel from it where that has no middle pixel."""
    height, width = picture.shape[:2]
    around = painted(window, width + 2, height + 2)
    return any(np.array_equal(around[y : y + height, x : x + width], picture) for y in range(3) for x in range(3))


def test_a_picture_is_turned_and_stays_so(window: Window, folder: Path) -> None:  # noqa: F811
    window.open(folder / "a.sdz")
    wait(lambda: settled(window))
    upright = final(folder / "a.sdz")
    for turns in (1, 2, 3, 4):
        QTest.keyClick(window, Qt.Key.Key_R)
        turned = np.rot90(upright, -turns)
        assert is_painted(window, turned)
    QTest.keyClick(window, Qt.Key.Key_L)
    assert is_painted(window, np.rot90(upright, 1))
    QTest.keyClick(window, Qt.Key.Key_Right)
    assert window.canvas.turn == 0
    QTest.keyClick(window, Qt.Key.Key_Left)
    wait(lambda: settled(window))
    assert window.canvas.turn == 3
    # what is saved and copied is turned as well
    window.save(folder.parent / "turned.png")
    wait(lambda: (folder.parent / "turned.png").exists() and window.notice.text() == "Saved turned.png")
    assert np.array_equal(np.asarray(Image.open(folder.parent / "turned.png")), np.rot90(upright, 1))


def test_turning_the_wheel_takes_no_references_away(window: Window, folder: Path) -> None:  # noqa: F811
    # PySide6 6.12 did under Python 3.11: after 17,000 turns of a wheel None was freed, and the viewer with it
    window.open(folder / "a.sdz")
    wait(lambda: settled(window))
    before = [sys.getrefcount(kept) for kept in (None, True, False)]
    for turn in range(400):
        wheel(window.canvas, QPointF(100, 100), 120 if turn % 2 else -120, Qt.KeyboardModifier.ControlModifier)
    lost = [was - sys.getrefcount(kept) for was, kept in zip(before, (None, True, False), strict=True)]
    assert max(lost) < 200


def test_zooming_and_dragging_a_turned_picture(window: Window, folder: Path) -> None:  # noqa: F811
    window.open(folder / "a.sdz")
    wait(lambda: settled(window))
    QTest.keyClick(window, Qt.Key.Key_R)
    canvas = window.canvas
    at = QPointF(canvas.width() / 2 + 30, canvas.height() / 2 - 70)

    def under(point: QPointF) -> tuple[float, float]:
        """The point of the picture there."""
        inside = (canvas._unturned().map(point) - canvas.view.middle) / canvas.view.scale + canvas.view.centre
        return round(inside.x(), 6), round(inside.y(), 6)

    before = under(at)
    # 70 above the middle of a picture turned to the right is left of its own middle
    assert before == (100 - 70, 60 - 30)
    for _ in range(12):
        wheel(canvas, at, 120, Qt.KeyboardModifier.ControlModifier)
    # the picture is larger than the window by now, and may be held anywhere
    before = under(at)
    for _ in range(3):
        wheel(canvas, at, 120, Qt.KeyboardModifier.ControlModifier)
    assert under(at) == before
    centre = QPointF(canvas.view.centre)
    wheel(canvas, at, 20)
    moved = canvas.view.centre - centre
    assert (round(moved.x() * canvas.view.scale, 6), moved.y()) == (-10, 0)


def test_the_wheel_does_what_was_chosen(window: Window, folder: Path) -> None:  # noqa: F811
    window.open(folder / "a.png")
    wait(lambda: settled(window))
    middle = QPointF(window.canvas.rect().center())
    acts = window.browsing.wheel.actions()
    assert [act.isChecked() for act in acts] == [True, False, False]
    acts[1].trigger()
    wheel(window.canvas, middle, 120)
    assert window.canvas.view.percent == 125
    acts[2].trigger()
    for eighths in (-60, -60):
        wheel(window.canvas, middle, eighths)
    assert window.walk is not None and window.walk.path.name == "a.sdz"
    wheel(window.canvas, middle, 360)
    assert window.walk.path.name == "a.png"
    assert (window.canvas.wheel, window.settings.value("wheel")) == (Wheel.WALK, "walk")
    wheel(window.canvas, middle, 120, Qt.KeyboardModifier.ControlModifier)
    assert window.walk.path.name == "a.png" and window.canvas.view.percent > 100


def test_the_trash_takes_and_gives_back(window: Window, folder: Path, trash: Path) -> None:  # noqa: F811
    data = (folder / "a.sdz").read_bytes()
    window.open(folder / "a.sdz")
    QTest.keyClick(window, Qt.Key.Key_Delete)
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.sdz", "c.sdz"]
    assert (trash / "files" / "a.sdz").read_bytes() == data
    assert window.notice.text() == "a.sdz is in the trash. Ctrl+Z brings it back"
    assert window.walk is not None and [path.name for path in window.walk.paths] == ["a.png", "b.sdz", "c.sdz"]
    assert window.walk.path.name == "b.sdz"
    QTest.keyClick(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert (folder / "a.sdz").read_bytes() == data
    assert window.walk.path.name == "a.sdz" and len(window.walk.paths) == 4
    assert not window.browsing.undo.isEnabled()
    assert [path for path in trash.rglob("*") if path.is_file() and path.name.startswith("a.sdz")] == []


def test_nothing_is_overwritten_by_what_comes_back(window: Window, folder: Path, trash: Path) -> None:  # noqa: F811
    window.open(folder / "a.sdz")
    QTest.keyClick(window, Qt.Key.Key_Delete)
    (folder / "a.sdz").write_bytes(b"another")
    QTest.keyClick(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert window.notice.text() == "It could not be brought back: there is another a.sdz by now"
    assert (folder / "a.sdz").read_bytes() == b"another"
    assert (trash / "files" / "a.sdz").exists()


def test_the_last_picture_of_a_folder_leaves_a_message(window: Window, folder: Path, trash: Path) -> None:  # noqa: F811
    window.open(folder / "a.sdz")
    for count in (3, 2, 1, 0):
        QTest.keyClick(window, Qt.Key.Key_Delete)
        assert len(list(folder.iterdir())) == count
    assert window.middle.currentWidget() is window.error
    assert window.error.title.text() == "Nothing to show"
    assert not window.browsing.remove.isEnabled()
    QTest.keyClick(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert len(list(folder.iterdir())) == 1 and window.walk is not None


def test_what_cannot_go_to_the_trash_stays(window: Window, folder: Path, trash: Path) -> None:  # noqa: F811
    window.open(folder / "a.sdz")
    wait(lambda: settled(window))
    (folder / "a.sdz").unlink()
    QTest.keyClick(window, Qt.Key.Key_Delete)
    assert window.notice.text().startswith("a.sdz could not be moved to the trash: ")
    assert window.walk is not None and window.walk.path.name == "a.sdz"


def test_a_slideshow_goes_on_and_around_until_escape(window: Window, folder: Path) -> None:  # noqa: F811
    (folder / "b.sdz").unlink()
    (folder / "c.sdz").unlink()
    window.open(folder / "a.png")
    QTest.keyClick(window, Qt.Key.Key_F5, Qt.KeyboardModifier.ShiftModifier)
    browsing = window.browsing
    assert browsing.slideshow.isChecked() and window.menus.full.isChecked() and browsing._slides.interval() == 5000
    seen = []
    for _ in range(3):
        browsing._slides.timeout.emit()
        assert window.walk is not None
        seen.append(window.walk.path.name)
    assert seen == ["a.sdz", "a.png", "a.sdz"]
    QTest.keyClick(window, Qt.Key.Key_Escape)
    assert (browsing.slideshow.isChecked(), window.menus.full.isChecked(), browsing._slides.isActive()) == (False, False, False)


def test_thumbnails_in_a_strip(window: Window, folder: Path) -> None:  # noqa: F811
    window.open(folder / "a.png")
    strip = window.browsing.strip
    assert not strip.isVisible()
    QTest.keyClick(window, Qt.Key.Key_T)
    assert strip.isVisible() and strip.count() == 4 and strip.currentRow() == 0
    names = [folder / name for name in ("a.png", "a.sdz", "b.sdz", "c.sdz")]
    wait(lambda: all(str(path) in strip._icons for path in names))
    assert strip._icons[str(folder / "c.sdz")] is strip._blank
    shown = strip._icons[str(folder / "a.png")].availableSizes()[0]
    assert (shown.width(), shown.height()) == (96, 58)
    QTest.mouseClick(strip.viewport(), Qt.MouseButton.LeftButton, pos=strip.visualItemRect(strip.item(1)).center())
    assert window.walk is not None and window.walk.path.name == "a.sdz"
    QTest.keyClick(window, Qt.Key.Key_Right)
    assert strip.currentRow() == 2
    QTest.keyClick(window, Qt.Key.Key_F11)
    assert not strip.isVisible()
    QTest.keyClick(window, Qt.Key.Key_F11)
    assert strip.isVisible()
    window.close()
    assert window.settings.value("thumbnails") == "true"


def test_the_context_menu_is_of_the_menus_own_actions(window: Window) -> None:  # noqa: F811
    assert window.canvas.contextMenuPolicy() == Qt.ContextMenuPolicy.ActionsContextMenu
    names = [act.text().replace("&", "") for act in window.canvas.actions() if not act.isSeparator()]
    assert names == [
        "Copy picture",
        "Save picture as …",
        "With the original",
        "With another file …",
        "Turn left",
        "Turn right",
        "Slideshow",
        "Full screen",
        "Information",
        "Move to the trash",
    ]


def test_a_copy_is_not_proposed_over_another_file(window: Window, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    assert copy_of(folder / "b.sdz", ".png") == folder / "b.png"
    assert copy_of(folder / "a.sdz", ".png") == folder / "a (copy).png"
    (folder / "a (copy).png").touch()
    assert copy_of(folder / "a.sdz", ".png") == folder / "a (copy 2).png"
    asked: list[Path] = []
    monkeypatch.setattr(sdz.runtime.viewer.dialogs, "ask_target", lambda _, suggested: asked.append(suggested))
    window.open(folder / "a.sdz")
    wait(lambda: settled(window))
    QTest.keyClick(window, Qt.Key.Key_S, Qt.KeyboardModifier.ControlModifier)
    assert asked == [folder / "a (copy 2).png"]
    assert isinstance(window.settings, QSettings)
