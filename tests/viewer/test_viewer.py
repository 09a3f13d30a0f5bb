"""The viewer's window on Qt's offscreen platform and the stand-in pack: keys, wheel, drags, and the very pixels that are painted."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from standins import StandIns, StandInSession, held_decoder, stand_in_file, use_stand_ins

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QMimeData, QPoint, QPointF, QSettings, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication, QImage, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QMenu

import sdz.runtime.decode
import sdz.runtime.viewer.dialogs
import sdz.runtime.viewer.window
from sdz.runtime.cli import main
from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.format.container import ALT_TEXT, Chunk, Header, latent_span, serialize
from sdz.runtime.options import STAGES
from sdz.runtime.viewer.appearance import Appearance
from sdz.runtime.viewer.bars import kilobytes
from sdz.runtime.viewer.browsing.drops import Drops
from sdz.runtime.viewer.canvas import Canvas
from sdz.runtime.viewer.decoding.messages import Version
from sdz.runtime.viewer.layer import MAX_TILES, to_image
from sdz.runtime.viewer.painting import DARK, LIGHT
from sdz.runtime.viewer.recent import RecentFiles
from sdz.runtime.viewer.view import Fit
from sdz.runtime.viewer.window import Window

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60.0
"""How long a test waits for what never comes."""


@pytest.fixture(scope="module")
def application() -> QApplication:
    app = QApplication.instance() or QApplication(["viewer"])
    assert isinstance(app, QApplication)
    app.setStyle("Fusion")
    return app


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> StandIns:
    return use_stand_ins(monkeypatch)


@pytest.fixture
def window(application: QApplication, stand_ins: StandIns, tmp_path: Path) -> Iterator[Window]:
    made = Window(QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat))
    made.resize(800, 600)
    made.show()
    made.activateWindow()
    assert QTest.qWaitForWindowActive(made)
    yield made
    made.close()
    made.worker.join(SECONDS)
    made.deleteLater()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """a.sdz (200 x 120) and its original, b.sdz (large), c.sdz (broken)."""
    path = tmp_path / "photos"
    path.mkdir()
    (path / "a.sdz").write_bytes(stand_in_file(200, 120, Chunk(ALT_TEXT, b"a cat")))
    y, x = np.mgrid[0:120, 0:200]
    Image.fromarray(np.dstack([x, y, x ^ y]).astype(np.uint8)).save(path / "a.png")
    (path / "b.sdz").write_bytes(stand_in_file(2100, 1500))
    (path / "c.sdz").write_bytes(b"SDZ\x07")
    return path


def wait(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        QTest.qWait(5)


def press(window: Window, key: Qt.Key, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    """Shortcuts are an active window's: one that the test before left behind may still be closing, and take that away."""
    window.activateWindow()
    assert QTest.qWaitForWindowActive(window)
    QTest.keyClick(window, key, modifiers)


def settled(window: Window) -> bool:
    shown = window.sides["shown"]
    return shown.facts is not None and window.canvas.stage_in_view() == shown.reached


def array(image: QImage) -> np.ndarray:
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def painted(window: Window, width: int, height: int) -> np.ndarray:
    """The middle of the canvas."""
    seen = array(window.canvas.grab().toImage())
    left, top = (round(size / 2 - part / 2) for size, part in ((seen.shape[1], width), (seen.shape[0], height)))
    return seen[top : top + height, left : left + width]


def final(path: Path, **options: Any) -> np.ndarray:
    return decode(path.read_bytes(), session=StandInSession(), **options).pixels  # type: ignore[arg-type]


def texts(window: Window) -> list[str]:
    return [label.text() for label in window.panel.findChildren(QLabel) if label.isVisible()]


def wheel(canvas: Canvas, at: QPointF, eighths: int, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    event = QWheelEvent(
        at, canvas.mapToGlobal(at), QPoint(), QPoint(0, eighths), Qt.MouseButton.NoButton, modifier, Qt.ScrollPhase.NoScrollPhase, False
    )
    QApplication.sendEvent(canvas, event)


def drag(canvas: Canvas, start: QPoint, end: QPoint) -> None:
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    QTest.mouseMove(canvas, end)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, end)


def test_without_a_picture_it_invites(window: Window, folder: Path) -> None:
    assert window.middle.currentWidget() is window.welcome
    assert window.welcome.title.text() == "No picture yet"
    assert not window.menus.save.isEnabled() and not window.menus.next.isEnabled()
    empty = folder / "empty"
    empty.mkdir()
    window.open(empty)
    assert window.error.title.text() == "Nothing to show"
    assert str(empty) in window.error.text.text()


def test_the_pixels_on_the_screen_are_the_decoders(window: Window, folder: Path) -> None:
    window.open(folder / "a.sdz")
    wait(lambda: settled(window))
    assert np.array_equal(painted(window, 200, 120), final(folder / "a.sdz"))
    assert window.bottom.stages.stage == "denoised"
    assert window.bottom.scale.text() == "100 %"
    assert window.windowTitle() == "a.sdz – sdz"
    assert window.canvas.accessibleDescription() == "a cat"


def test_keys_walk_the_folder(window: Window, folder: Path) -> None:
    window.open(folder)
    names = []
    for key in (Qt.Key.Key_Right, Qt.Key.Key_End, Qt.Key.Key_Right, Qt.Key.Key_Left, Qt.Key.Key_Home, Qt.Key.Key_Left):
        press(window, key)
        names.append(window.bottom.name.text())
    assert names == ["2 / 4   a.sdz", "4 / 4   c.sdz", "4 / 4   c.sdz", "3 / 4   b.sdz", "1 / 4   a.png", "1 / 4   a.png"]
    wait(lambda: window.canvas.stage_in_view() == "denoised")
    with Image.open(folder / "a.png") as image:
        assert np.array_equal(painted(window, 200, 120), np.asarray(image))
    assert window.bottom.slider.isHidden() and window.bottom.stages.isHidden()


@pytest.mark.parametrize("quality", [40, 80])
def test_the_photo_itself_is_the_last_stage_of_a_file_that_holds_it(window: Window, tmp_path: Path, quality: int) -> None:
    """Files of quality 80 have the linear stage before it, and no network."""
    photo = np.random.default_rng(4).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    (tmp_path / "a.sdz").write_bytes(encode(photo, quality=quality, session=StandInSession(), lossless=True))  # type: ignore[arg-type]
    window.open(tmp_path / "a.sdz")
    wait(lambda: window.canvas.stage_in_view() == "exact")
    assert np.array_equal(painted(window, 200, 120), photo)
    assert window.bottom.stages.toolTip() == "Exact: the photo itself, as the file holds it"
    assert window.canvas.wanted("shown", Version(1, None, "denoised")) == ()


def test_an_error_is_said_in_the_window_and_the_next_picture_shown(window: Window, folder: Path) -> None:
    window.open(folder / "c.sdz")
    wait(lambda: window.middle.currentWidget() is window.error)
    assert window.error.title.text() == "c.sdz cannot be shown"
    assert window.error.text.text() == ("Version 7 of the format is not supported (this runtime reads version 1): update the runtime")
    assert not window.menus.save.isEnabled()
    window.menus.first.trigger()
    window.menus.next.trigger()
    wait(lambda: window.middle.currentWidget() is window.canvas and settled(window))
    assert np.array_equal(painted(window, 200, 120), final(folder / "a.sdz"))


def test_an_error_of_several_lines_is_shown_whole(window: Window, folder: Path) -> None:
    (folder / "other.sdz").write_bytes(serialize(Header(9, 9, 40, b"non"), []))
    window.open(folder / "other.sdz")
    wait(lambda: window.middle.currentWidget() is window.error)
    text = window.error.text
    assert text.text() == (
        "Model pack 6e6f6e is not installed: get the pack of that id from whoever made the file, "
        "and name its folder with --pack or its parent folder in $SDZ_PACKS"
    )
    assert text.height() >= text.fontMetrics().boundingRect(0, 0, text.width(), 1000, Qt.TextFlag.TextWordWrap, text.text()).height()
    assert text.height() >= 2 * text.fontMetrics().height()


def test_names_are_never_taken_for_markup(window: Window, folder: Path) -> None:
    name = "<b>a&b.sdz"
    (folder / name).write_bytes(b"")
    window.open(folder / name)
    wait(lambda: window.middle.currentWidget() is window.error)
    assert window.error.title.text() == f"{name} cannot be shown"
    assert window.error.title.textFormat() == window.error.text.textFormat() == Qt.TextFormat.PlainText
    assert "&lt;b&gt;a&amp;b.sdz" in window.bottom.name.toolTip()
    window.error.title.adjustSize()
    assert window.error.title.sizeHint().width() >= window.error.title.fontMetrics().horizontalAdvance(f"{name} cannot be shown")


def test_fit_modes_and_zoom(window: Window, folder: Path) -> None:
    window.open(folder / "b.sdz")
    wait(lambda: settled(window))
    canvas = window.canvas
    assert canvas.view.scale == min(canvas.width() / 2100, canvas.height() / 1500)
    press(window, Qt.Key.Key_2)
    assert canvas.view.scale == canvas.width() / 2100 and window.menus.fit[Fit.WIDTH].isChecked()
    press(window, Qt.Key.Key_3)
    assert canvas.view.scale == 1 and canvas.view.percent == 100
    wait(lambda: settled(window))
    assert np.array_equal(painted(window, 400, 300), final(folder / "b.sdz")[600:900, 850:1250])
    press(window, Qt.Key.Key_1)
    assert canvas.view.fit == Fit.WINDOW

    def under(at: QPointF) -> QPointF:
        return canvas.view.centre + (at - QPointF(canvas.width() / 2, canvas.height() / 2)) / canvas.view.scale

    at = QPointF(300, 200)
    before, scale = under(at), canvas.view.scale
    for _ in range(8):
        wheel(canvas, at, 120, Qt.KeyboardModifier.ControlModifier)
    assert canvas.view.scale == pytest.approx(scale * 1.25**8)
    assert (under(at) - before).manhattanLength() < 1e-6
    assert not any(act.isChecked() for act in window.menus.fit.values())
    centre = QPointF(canvas.view.centre)
    drag(canvas, QPoint(300, 200), QPoint(250, 230))
    assert (canvas.view.centre - centre) * canvas.view.scale == QPointF(50, -30)
    centre = QPointF(canvas.view.centre)
    wheel(canvas, at, -120)
    assert ((canvas.view.centre - centre) * canvas.view.scale - QPointF(0, 60)).manhattanLength() < 1e-9
    for _ in range(60):
        wheel(canvas, at, -120, Qt.KeyboardModifier.ControlModifier)
    assert canvas.view.scale == 1 / 64
    QTest.mouseDClick(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, QPoint(300, 200))
    assert canvas.view.scale == 1


def test_the_byte_slider_shows_any_prefix(window: Window, folder: Path) -> None:
    """The shortest of them has the linear stage alone."""
    path = folder / "a.sdz"
    data = path.read_bytes()
    window.open(path)
    wait(lambda: settled(window))
    start = latent_span(data)[0]
    assert (window.bottom.slider.minimum(), window.bottom.slider.maximum()) == (start, len(data))
    for length in (start + 11, len(data) - 40, start):
        window.bottom.slider.setValue(length)
        wait(lambda length=length: np.array_equal(painted(window, 200, 120), final(path, max_bytes=length)))
        assert window.bottom.amount.text() == f"{kilobytes(length)} of {kilobytes(len(data))} · {8 * length / 24000:.3f} bpp"
    press(window, Qt.Key.Key_Backslash)
    wait(lambda: np.array_equal(painted(window, 200, 120), final(path)))
    press(window, Qt.Key.Key_BracketLeft)
    length = len(data) + round(-0.5 * (len(data) - start) / 10)
    wait(lambda: np.array_equal(painted(window, 200, 120), final(path, max_bytes=length)))


def test_the_stage_can_be_chosen(window: Window, folder: Path) -> None:
    window.open(folder / "a.sdz")
    for stage in STAGES:
        window.menus.stage[stage].trigger()
        wait(lambda stage=stage: settled(window) and np.array_equal(painted(window, 200, 120), final(folder / "a.sdz", stage=stage)))
        assert window.bottom.stages.stage == stage


def test_comparing_with_the_original(window: Window, folder: Path) -> None:
    window.open(folder / "a.sdz")
    wait(lambda: settled(window))
    press(window, Qt.Key.Key_O)
    wait(lambda: "other" in window.canvas.layers and window.canvas.layers["other"].overview is not None)
    with Image.open(folder / "a.png") as image:
        original = np.asarray(image)
    mine = final(folder / "a.sdz")
    assert window.compare_bar.isVisible() and window.canvas.split == 0.5
    both = painted(window, 200, 120)
    assert np.array_equal(both[:40, :97], mine[:40, :97]) and np.array_equal(both[:40, 104:], original[:40, 104:])

    drag(window.canvas, QPoint(window.canvas.width() // 2, 40), QPoint(window.canvas.width() // 2 - 50, 40))
    assert window.canvas.split == pytest.approx(0.5 - 50 / window.canvas.width())
    assert window.compare_bar.at == pytest.approx(window.canvas.split, abs=1e-3)
    both = painted(window, 200, 120)
    assert np.array_equal(both[:40, :47], mine[:40, :47]) and np.array_equal(both[:40, 54:], original[:40, 54:])
    window.compare_bar.slider.setValue(1000)
    assert window.canvas.split == 1.0

    press(window, Qt.Key.Key_Space)
    assert np.array_equal(painted(window, 200, 120), original) and not window.compare_bar.slider.isEnabled()
    press(window, Qt.Key.Key_Space)
    assert np.array_equal(painted(window, 200, 120), mine)
    press(window, Qt.Key.Key_Escape)
    assert window.compare_bar.isHidden() and "other" not in window.canvas.layers

    window.compare(folder / "c.sdz")
    wait(lambda: window.notice.isVisible())
    assert window.notice.text().startswith("c.sdz cannot be compared with. Version 7")
    assert np.array_equal(painted(window, 200, 120), mine)
    window.open(folder / "b.sdz")
    window.menus.original.setEnabled(True)
    window.menus.original.trigger()
    assert window.notice.text().startswith("No picture named b is beside b.sdz")


def test_the_panel_tells_what_is_known(window: Window, folder: Path) -> None:
    path = folder / "a.sdz"
    size = path.stat().st_size
    window.open(path)
    wait(lambda: settled(window))
    assert not window.panel.isVisible()
    press(window, Qt.Key.Key_I)
    wait(lambda: "What each byte is used for" in texts(window))
    seen = texts(window)
    for words in ("a.sdz", "200 × 120", "0.02 million", f"{size:,}", "a cat", "stand-in, 010203", "32 grey levels (index 40)", "CPU"):
        assert words in seen
    for words in (
        f"{8 * size / 24000:.3f} bits per pixel",
        "Entropy decoding",
        "Denoiser",
        "Decoder",
        "Latents by bit-plane",
        "channels 0-3",
    ):
        assert words in seen
    window.open(folder / "a.png")
    wait(lambda: "PNG" in texts(window))
    assert "What each byte is used for" not in texts(window)
    window.settings.sync()
    window.close()
    assert window.settings.value("panel") == "true"


def test_recent_files_with_any_name(window: Window, folder: Path) -> None:
    """Names are bytes: one from an old archive, a percent sign, another script; earlier versions kept plain paths."""
    paths = []
    for name in (b"caf\xe9.sdz", b"100%25 & more.sdz", "さくら.sdz".encode()):
        paths.append(folder / os.fsdecode(name))
        paths[-1].write_bytes((folder / "a.sdz").read_bytes())
        window.open(paths[-1])
        wait(lambda: settled(window))
    assert window.windowTitle() == "さくら.sdz – sdz"
    assert window.recent.paths() == [str(path) for path in reversed(paths)]
    window.settings.sync()
    again = RecentFiles(QSettings(window.settings.fileName(), QSettings.Format.IniFormat))
    assert again.paths() == [str(path) for path in reversed(paths)]
    assert window.menus.recent.actions()[2].text() == str(folder / "café.sdz")
    window.menus.recent.actions()[2].trigger()
    wait(lambda: settled(window))
    assert (window.sides["shown"].path, window.windowTitle()) == (paths[0], "café.sdz – sdz")
    window.settings.setValue("recent", ["/old/a b.sdz"])
    assert window.recent.paths() == ["/old/a b.sdz"]


def test_devices_are_those_of_onnxruntime_and_one_that_fails_gives_way(
    application: QApplication, stand_ins: StandIns, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdz.runtime.viewer.window, "providers", lambda: {"cpu": True, "cuda": True, "webgpu": False})
    stand_ins.failing.add("cuda")
    window = Window(QSettings(str(tmp_path / "other.ini"), QSettings.Format.IniFormat))
    window.show()
    assert {name: act.text() for name, act in window.menus.device.items()} == {"cpu": "CPU", "cuda": "CUDA"}
    window.open(folder / "a.sdz")
    wait(lambda: settled(window))
    window.menus.device["cuda"].trigger()
    wait(lambda: window.notice.isVisible())
    assert window.notice.text() == "Decoding on the CPU instead. Execution provider 'cuda' is broken"
    wait(lambda: window.menus.device["cpu"].isChecked() and settled(window))
    assert np.array_equal(painted(window, 200, 120), final(folder / "a.sdz"))
    assert window.settings.value("device") == "cpu"
    window.menus.panel.trigger()
    assert "Execution provider 'cuda' is broken" in [text[:1].upper() + text[1:] for text in texts(window)]
    window.close()
    window.worker.join(SECONDS)


def test_the_window_answers_while_the_decoder_is_busy(window: Window, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = held_decoder(monkeypatch, SECONDS)
    window.open(folder / "a.sdz")
    wait(begun.is_set)
    wait(lambda: window.canvas.waiting)
    assert window.canvas.waiting.startswith("Decoding")
    press(window, Qt.Key.Key_I)
    assert window.panel.isVisible()
    press(window, Qt.Key.Key_Right)
    press(window, Qt.Key.Key_Left)
    assert window.bottom.name.text() == "2 / 4   a.sdz"
    go_on.set()
    wait(lambda: settled(window))
    assert window.canvas.waiting == ""


def test_saving_and_copying(window: Window, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    window.open(folder / "a.sdz")
    wait(lambda: settled(window))
    names = iter([(str(tmp_path / "out"), "WebP (*.webp)"), ("", "")])
    monkeypatch.setattr(sdz.runtime.viewer.dialogs.QFileDialog, "getSaveFileName", lambda *_: next(names))
    window.menus.save.trigger()
    wait(lambda: window.notice.text() == "Saved out.webp")
    with Image.open(tmp_path / "out.webp") as image:
        assert (image.format, image.size) == ("WEBP", (200, 120))
    window.menus.save.trigger()
    window.save(tmp_path / "none" / "out.png")
    wait(lambda: window.notice.text().startswith("The picture could not be saved as out.png. No such file or directory"))
    press(window, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    wait(lambda: window.notice.text() == "Copied")
    assert np.array_equal(array(QGuiApplication.clipboard().image()), final(folder / "a.sdz"))


def test_dropping_files_and_recent_ones(window: Window, folder: Path) -> None:
    def drop(*paths: Path) -> None:
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
        # Qt takes a drop from a drag of its own only
        event = QDropEvent(QPointF(9, 9), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
        filtered = window.findChild(Drops)
        assert filtered is not None and window.acceptDrops()
        assert filtered.eventFilter(window, event) == bool(paths)

    drop(folder / "a.sdz", folder / "a.png")
    wait(lambda: "other" in window.canvas.layers)
    assert window.windowTitle() == "a.sdz – sdz"
    drop(folder)
    assert window.windowTitle() == "a.png – sdz"
    drop()
    assert window.recent.paths() == [str(folder / "a.png"), str(folder / "a.sdz")]
    assert [act.text() for act in window.menus.recent.actions()] == window.recent.paths()
    window.menus.recent.actions()[1].trigger()
    assert window.windowTitle() == "a.sdz – sdz"


def test_dark_and_light(window: Window, folder: Path) -> None:
    window.open(folder / "a.sdz")
    wait(lambda: settled(window))
    for look, colour in ((Appearance.DARK, DARK), (Appearance.LIGHT, LIGHT)):
        window.menus.appearance[look].trigger()
        QTest.qWait(1)
        assert window.canvas.grab().toImage().pixelColor(3, 3) == colour
        assert window.settings.value("appearance") == look.value
    assert Appearance.named("dark") is Appearance.DARK and Appearance.named("?") is Appearance.SYSTEM


def test_full_screen_leaves_the_picture_alone(window: Window, folder: Path) -> None:
    window.open(folder / "a.sdz")
    press(window, Qt.Key.Key_F11)
    assert window.isFullScreen() and window.menuBar().isHidden() and window.bottom.isHidden()
    press(window, Qt.Key.Key_Right)
    assert window.windowTitle() == "b.sdz – sdz"
    press(window, Qt.Key.Key_Escape)
    assert not window.isFullScreen() and window.bottom.isVisible()


def test_no_two_actions_share_a_key(window: Window) -> None:
    keys = [key.toString() for act in window.actions() for key in act.shortcuts()]
    assert len(keys) == len(set(keys)) > 20
    menus = [menu for menu in window.menuBar().findChildren(QMenu) if menu.actions()]
    assert all(act.text() for menu in menus for act in menu.actions() if not act.isSeparator())


def test_a_large_picture_wants_the_tiles_in_view_only(application: QApplication) -> None:
    canvas = Canvas()
    canvas.resize(1000, 800)
    version = Version(1, None, "denoised")
    canvas.begin("shown", 12_000, 8_000, "large")
    canvas.paint_whole("shown", version, "linear", to_image(np.zeros((2000, 3000, 3), np.uint8)), 4, False)
    assert canvas.wanted("shown", version) == ()
    assert canvas.stage_in_view() == "linear"
    canvas.set_fit(Fit.ACTUAL)
    assert set(canvas.wanted("shown", version)) == {(3, 5), (3, 6), (4, 5), (4, 6)}
    canvas.pan(QPointF(6000, 4000))
    assert canvas.wanted("shown", version) == ((0, 0),)
    tile = to_image(np.zeros((1024, 1024, 3), np.uint8))
    canvas.paint_tile("shown", version, "denoised", tile, (0, 0), True)
    assert canvas.wanted("shown", version) == () and canvas.stage_in_view() == "denoised"
    assert canvas.wanted("shown", Version(1, 99, "denoised")) == ((0, 0),)
    for number in range(MAX_TILES + 5):
        canvas.paint_tile("shown", version, "denoised", tile, (number // 12, number % 12), True)
    assert len(canvas.layers["shown"].tiles) == MAX_TILES


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_every_kind_keep_their_pixels(channels: int) -> None:
    pixels = np.random.default_rng(channels).integers(0, 256, (5, 7, channels), np.uint8)
    if channels in (2, 4):
        pixels[:, :, -1] = 255
    expected = pixels[:, :, :3] if channels > 2 else np.repeat(pixels[:, :, :1], 3, axis=2)
    assert np.array_equal(array(to_image(pixels)), expected)


def test_sizes_are_said_with_three_digits() -> None:
    sizes = (0, 999, 1000, 9994, 9995, 99_949, 999_499, 999_500, 12_345_678, 2_000_000_000)
    assert [kilobytes(size) for size in sizes] == [
        "0 B", "999 B", "1.00 kB", "9.99 kB", "10.0 kB", "99.9 kB", "999 kB", "1.00 MB", "12.3 MB", "2.00 GB",
    ]  # fmt: skip


def test_without_pyside_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delitem(sys.modules, "sdz.runtime.viewer.app", raising=False)
    monkeypatch.setitem(sys.modules, "PySide6.QtCore", None)
    monkeypatch.setitem(sys.modules, "PySide6", None)
    assert main(["view"]) == 1
    assert capsys.readouterr().err == ("sdz: the viewer needs PySide6-Essentials, which is not installed: pip install 'sdz[viewer]'\n")


def test_without_a_display_it_says_so() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
    done = subprocess.run([sys.executable, "-m", "runtime", "view"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == ("sdz: there is no display to open a window on: neither $DISPLAY nor $WAYLAND_DISPLAY is set\n")
