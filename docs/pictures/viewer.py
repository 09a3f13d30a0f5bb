"""Makes `docs/viewer.png`: the viewer with a prefix of a photo on the left of the line and the original on the right.

    python -m docs.pictures.viewer [--out docs/viewer.png]

Encodes the photo with the default pack, opens the viewer's window on an X server without a screen (Xvfb), waits until all is decoded, and
saves what the window shows. Needs the extra `viewer`, scikit-image for its photo, and Xvfb.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PHOTO: Final = "astronaut"
SIZE: Final = (1000, 680)
"""Of the window in pixels: beside the panel the photo fits at 100 %."""

SHARE: Final = 0.8
"""Of the latents, the part that is shown."""

LINE: Final = 0.42
"""Where the dividing line is, as a share of the canvas's width: through the face."""

SECONDS: Final = 180.0
"""Time limit for decoding; the first time the decoder is compiled."""


@contextmanager
def display() -> Iterator[str]:
    """An X server without a screen; its name for $DISPLAY. Raises OSError where Xvfb is missing or does not start."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1200x800x24", "-nolisten", "tcp"]
    with os.fdopen(reading) as pipe, subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        try:
            number = pipe.readline().strip()
            if not number:
                raise OSError("Xvfb did not start")
            yield f":{number}"
        finally:
            server.terminate()


def prepare(folder: Path) -> Path:
    """Puts the photo and its .sdz into `folder`; the path of the .sdz."""
    import skimage
    from PIL import Image

    from sdz.runtime.encode import encode

    original = folder / f"{PHOTO}.png"
    shutil.copyfile(Path(skimage.__file__).parent / "data" / original.name, original)
    path = original.with_suffix(".sdz")
    with Image.open(original) as image:
        path.write_bytes(encode(image))
    return path


def take(path: Path, target: Path) -> None:
    """Opens the viewer on `path`, beside its original, and saves the window as `target`. Raises TimeoutError where that takes too long."""
    from PySide6.QtCore import QSettings
    from PySide6.QtWidgets import QApplication

    from sdz.runtime.viewer.appearance import Appearance
    from sdz.runtime.viewer.decoding.messages import Described, Event, Painted
    from sdz.runtime.viewer.window import Window

    app = QApplication([sys.argv[0]])
    app.setStyle("Fusion")
    settings = QSettings(str(path.with_suffix(".ini")), QSettings.Format.IniFormat)
    settings.setValue("panel", "true")
    settings.setValue("appearance", Appearance.DARK.value)
    window = Window(settings)
    events: list[Event] = []
    window.bridge.happened.connect(lambda event, image: events.append(event))
    deadline = time.monotonic() + SECONDS

    def wait(holds: Callable[[], bool]) -> None:
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the viewer has not decoded {path.name} within {SECONDS:g} s")
            app.processEvents()
            time.sleep(0.01)

    window.resize(*SIZE)
    window.show()
    window.open(path)
    wait(lambda: any(isinstance(event, Described) for event in events))
    slider = window.bottom.slider
    slider.setValue(round(slider.minimum() + SHARE * (slider.maximum() - slider.minimum())))
    # a version is described after its pixels have been painted
    wait(lambda: any(isinstance(event, Described) and event.version.limit is not None for event in events))
    window.menus.original.trigger()
    wait(lambda: any(isinstance(event, Painted) and event.side == "other" for event in events))
    window.canvas.set_split(LINE)
    window.compare_bar.show_split(LINE)
    app.processEvents()
    if not window.grab().save(str(target)):
        raise OSError(f"cannot write {target}")
    window.close()
    window.worker.join(SECONDS)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Make the picture of the viewer for the documentation.")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "viewer.png", help="PNG to write")
    options = parser.parse_args()
    with display() as name, tempfile.TemporaryDirectory() as folder:
        os.environ |= {"DISPLAY": name, "QT_QPA_PLATFORM": "xcb"}
        take(prepare(Path(folder)), options.out)


if __name__ == "__main__":
    main()
