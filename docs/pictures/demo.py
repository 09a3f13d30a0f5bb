"""Makes `docs/demo.jpg` and `docs/panel.jpg`: the gallery of the built demo site, as Chromium shows it once every picture is decoded, and
the panel of a photo with protected regions.

    python -m docs.pictures.demo [--out docs] [--site build/demo]

Serves the site that `make site` built on loopback and takes the pictures. Needs Debian's Chromium and Playwright.
"""

from __future__ import annotations

import argparse
import functools
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import sync_playwright

from sdz.export.speed.chromium import CHROMIUM_ARGUMENTS

SIZE: Final = (1200, 900)
"""Of the page in pixels."""

DECODED: Final = "() => [...document.querySelectorAll('sdz-img')].every((image) => image.complete && image.naturalWidth > 0)"

PHOTO: Final = "photos/space/astronaut.html"
"""Whose panel is taken: it has regions."""

MARGIN: Final = 16
"""Pixels around the panel."""

PATIENCE: Final = 120_000
"""Milliseconds for all pictures of the wall, and for the panel."""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing: requests of a picture being taken are nobody's news."""


@contextmanager
def opened(site: Path, path: str) -> Iterator[Any]:
    """A page of the site in Chromium. Raises playwright's errors."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM_ARGUMENTS))
            page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
            page.set_default_timeout(PATIENCE)
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/{path}")
            yield page
            browser.close()
    finally:
        server.shutdown()
        server.server_close()


def take(site: Path, folder: Path) -> None:
    """Write both pictures as JPEG files. Raises playwright's errors where a page does not come to rest."""
    with opened(site, "index.html") as page:
        page.evaluate("document.querySelectorAll('sdz-img').forEach((image) => image.scrollIntoView())")
        page.wait_for_function(DECODED)
        page.evaluate("scrollTo(0, 0)")
        _save(page.screenshot(), folder / "demo.jpg")
    with opened(site, PHOTO) as page:
        page.wait_for_function(DECODED)
        page.click(".how summary")
        page.wait_for_selector('.verdict[data-same="true"]')
        page.check(".protected input")
        # the crops and the outline
        page.wait_for_timeout(1000)
        page.evaluate("scrollTo(0, 0)")
        box = page.locator(".stand").bounding_box()
        clip = {side: box[side] - MARGIN for side in ("x", "y")} | {side: box[side] + 2 * MARGIN for side in ("width", "height")}
        _save(page.screenshot(full_page=True, clip=clip), folder / "panel.jpg")


def _save(shot: bytes, path: Path) -> None:
    Image.open(io.BytesIO(shot)).convert("RGB").save(path, quality=85, optimize=True)


def main() -> None:
    """The command line."""
    command = argparse.ArgumentParser(prog="python -m docs.pictures.demo", description="The demo's gallery and panel as pictures.")
    command.add_argument("--out", type=Path, default=Path("docs"), metavar="FOLDER")
    command.add_argument("--site", type=Path, default=Path("build/demo"), metavar="SITE", help="a built site (make site)")
    options = command.parse_args()
    take(options.site, options.out)


if __name__ == "__main__":
    main()
