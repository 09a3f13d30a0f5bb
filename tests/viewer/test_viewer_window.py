"""The viewer as a person meets it: a process of its own in a real window (Xvfb), keys, wheel and mouse through the X server (xdotool),
and what is on the screen held against the decoder's pixels."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from PIL import Image, ImageGrab

from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.format.container import Chunk, Header, latent_span, parse, serialize

ROOT: Final = Path(__file__).resolve().parents[2]
SECONDS: Final = 90.0
"""How long a test waits for what never comes."""

WIDTH, HEIGHT = 240, 160

LARGE_MEMORY: Final = 1300
"""Megabytes that the process may ever have taken with a picture of 12,000 x 8,000 open: the README's promise."""


def photo(seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (8, 12, 3), np.uint8))
    return small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


@dataclass
class Screen:
    """An X server, and the viewer on it."""

    display: str
    viewer: subprocess.Popen[str]

    def do(self, *words: str) -> None:
        """An xdotool command."""
        environment = {**os.environ, "DISPLAY": self.display}
        subprocess.run(["xdotool", *words], env=environment, check=True, capture_output=True, text=True)

    def grab(self) -> np.ndarray:
        return np.asarray(ImageGrab.grab(xdisplay=self.display).convert("RGB"))

    def find(self, picture: np.ndarray) -> tuple[int, int] | None:
        """Left and top of the pixels on the screen, if they are there, every one of them."""
        seen = self.grab()
        height, width = picture.shape[:2]
        room = seen[: seen.shape[0] - height + 1, : seen.shape[1] - width + 1]
        ends = seen[height - 1 :, width - 1 :]
        for top, left in np.argwhere((room == picture[0, 0]).all(axis=2) & (ends == picture[-1, -1]).all(axis=2)):
            if np.array_equal(seen[top : top + height, left : left + width], picture):
                return int(left), int(top)
        return None

    def wait(self, holds: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + SECONDS
        while not (found := holds()):
            assert self.viewer.poll() is None, self.viewer.stderr and self.viewer.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return found

    def wait_for(self, picture: np.ndarray) -> tuple[int, int]:
        found: tuple[int, int] = self.wait(lambda: self.find(picture))
        return found

    def still(self) -> np.ndarray:
        """What is on the screen once it has stopped changing."""
        seen = [self.grab() for _ in range(3)]

        def unchanged() -> bool:
            time.sleep(0.4)
            seen.append(self.grab())
            return all(np.array_equal(seen[-1], earlier) for earlier in seen[-4:-1])

        self.wait(unchanged)
        return seen[-1]

    @property
    def memory(self) -> int:
        """Megabytes that the viewer has had resident at most."""
        status = Path(f"/proc/{self.viewer.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) // 1024


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.sdz with its original, b.sdz, c.sdz (12,000 x 8,000), d.sdz (broken)."""
    path = tmp_path_factory.mktemp("photos")
    photo(1).save(path / "a.png")
    (path / "a.sdz").write_bytes(encode(photo(1), quality=50))
    small = encode(photo(2), quality=50)
    (path / "b.sdz").write_bytes(small)
    # any bytes are latents: these give coarse nonsense, and take the memory of the real thing
    header, latents = parse(small).header, small[slice(*latent_span(small))]
    large = Header(12_000, 8_000, header.step_index, header.pack_id)
    (path / "c.sdz").write_bytes(serialize(large, [Chunk(b"L", latents)]))
    (path / "d.sdz").write_bytes(b"SDZ\x01")
    return path


@pytest.fixture
def screen(folder: Path, tmp_path: Path) -> Iterator[Screen]:
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1200x800x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        with os.fdopen(reading) as pipe:
            display = f":{pipe.readline().strip()}"
        environment = {**os.environ, "DISPLAY": display, "XDG_CONFIG_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        for name in ("QT_QPA_PLATFORM", "WAYLAND_DISPLAY"):
            environment.pop(name, None)
        started = [sys.executable, "-m", "runtime", "view", str(folder / "a.sdz")]
        with subprocess.Popen(started, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as viewer:
            made = Screen(display, viewer)
            try:
                made.wait(lambda: made.grab().any())
                made.do("search", "--sync", "--onlyvisible", "--name", "a.sdz", "windowfocus", "--sync")
                yield made
            finally:
                viewer.kill()
                server.terminate()


def test_a_session_with_keys_wheel_and_mouse(screen: Screen, folder: Path) -> None:
    a, b = (decode((folder / name).read_bytes()).pixels for name in ("a.sdz", "b.sdz"))
    left, top = screen.wait_for(a)
    small = screen.memory
    ground = screen.grab()[top - 20, left].tolist()

    # the wheel zooms about the pointer: once the picture is larger than the window, the pixel under it stays, others move
    at = (left + 110, top + 75)

    def zoom(notches: int) -> np.ndarray:
        before = screen.grab()
        screen.do("mousemove", *map(str, at), "keydown", "ctrl", "click", "--repeat", str(notches), "4", "keyup", "ctrl")
        screen.wait(lambda: not np.array_equal(screen.grab(), before))
        return screen.still()

    once, twice = zoom(9), zoom(2)
    assert np.array_equal(once[at[1], at[0]], twice[at[1], at[0]])
    assert not np.array_equal(once[at[1], at[0] : at[0] + 100], twice[at[1], at[0] : at[0] + 100])
    screen.do("key", "3")
    screen.wait_for(a)

    # the panel takes its room from the picture's right
    screen.do("key", "i")
    assert screen.wait(lambda: (found := screen.find(a)) and found[0] < left - 100)
    screen.do("key", "i")
    assert screen.wait(lambda: screen.find(a) == (left, top))

    # half of the bytes, by the slider's own keys: ten steps of a twentieth
    data = (folder / "a.sdz").read_bytes()
    start = latent_span(data)[0]
    step = round(-0.5 * (len(data) - start) / 10)
    screen.do("key", "--repeat", "10", "bracketleft")
    screen.wait_for(decode(data, max_bytes=len(data) + 10 * step).pixels)
    screen.do("key", "backslash")
    screen.wait_for(a)

    # side by side with the original; the line follows the mouse
    original = np.asarray(photo(1))
    screen.do("key", "o")
    half = WIDTH // 2
    screen.wait(lambda: screen.find(a[:40, : half - 3]) and screen.find(original[:40, half + 4 :]))
    screen.do(
        "mousemove", str(left + half), str(top + 20), "mousedown", "1", "mousemove", str(left + half + 60), str(top + 20), "mouseup", "1"
    )
    screen.wait(lambda: screen.find(a[:40, : half + 57]) and screen.find(original[:40, half + 64 :]))
    screen.do("key", "space")
    screen.wait_for(original)
    screen.do("key", "Escape")
    assert screen.wait_for(a) == (left, top)

    # on through the folder: another picture, a very large one, a broken one, and home
    screen.do("key", "Right")
    screen.wait_for(b)
    screen.do("key", "Right")
    screen.wait(lambda: screen.find(b) is None)
    screen.wait(lambda: screen.grab()[300, 500].tolist() != ground)
    # its middle in actual size, as the key chose for the picture before; the whole of it has a margin
    middle = screen.still()
    screen.do("key", "1")
    screen.wait(lambda: not np.array_equal(screen.grab(), middle))
    whole = screen.still()
    screen.do("key", "3")
    screen.wait(lambda: not np.array_equal(screen.grab(), whole))
    screen.still()
    assert small < screen.memory < LARGE_MEMORY
    screen.do("key", "End")
    # words on an even ground: nearly all of the middle is of one colour, not all of it
    screen.wait(lambda: 0.97 < (screen.grab()[60:700, 60:1000] == ground).all(axis=2).mean() < 1)
    screen.do("key", "Home")
    screen.wait_for(original)

    screen.do("key", "ctrl+q")
    assert screen.viewer.wait(SECONDS) == 0
    assert screen.viewer.stderr is not None and screen.viewer.stderr.read() == ""
