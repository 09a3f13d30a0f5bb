"""Makes `docs/demo.jpg`: the gallery of the built demo site, as Chromium shows it once every picture is decoded.

    python -m docs.pictures.demo [--out docs/demo.jpg] [--site build/demo]

Serves the site that `make site` built on loopback and takes the picture. Needs Debian's Chromium and Playwright.
"""

from __future__ import annotations

import argparse
import functools
import io
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import sync_playwright

from sdz.export.speed.chromium import CHROMIUM_ARGUMENTS

SIZE: Final = (1200, 900)
"""Of the page in pixels."""

DECODED: Final = "() => [...document.querySelectorAll('sdz-img')].every((image) => image.complete && image.naturalWidth > 0)"

PATIENCE: Final = 120_000
"""Milliseconds for all pictures of the wall."""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing: requests of a picture being taken are nobody's news."""


def take(site: Path, out: Path) -> None:
    """Write the gallery's picture as a JPEG. Raises playwright's errors where the page does not come to rest."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM_ARGUMENTS))
            page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/index.html")
            page.evaluate("document.querySelectorAll('sdz-img').forEach((image) => image.scrollIntoView())")
            page.wait_for_function(DECODED, timeout=PATIENCE)
            page.evaluate("scrollTo(0, 0)")
            shot = Image.open(io.BytesIO(page.screenshot()))
            browser.close()
    finally:
        server.shutdown()
        server.server_close()
    shot.convert("RGB").save(out, quality=85, optimize=True)


def main() -> None:
    """The command line."""
    command = argparse.ArgumentParser(prog="python -m docs.pictures.demo", description="The demo's gallery as a picture.")
    command.add_argument("--out", type=Path, default=Path("docs/demo.jpg"), metavar="FILE")
    command.add_argument("--site", type=Path, default=Path("build/demo"), metavar="SITE", help="a built site (make site)")
    options = command.parse_args()
    take(options.site, options.out)


if __name__ == "__main__":
    main()
