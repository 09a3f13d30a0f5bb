"""Colours given by code points: what the encoder sees is what Chromium shows, within two levels, or is refused with the reason."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from browser import ARGUMENTS, CHROMIUM, Site
from coloured import SIDE, avif, png
from playwright.sync_api import Page, sync_playwright

from sdz.runtime.errors import EncodeInputError
from sdz.runtime.photo import read_photo
from sdz.runtime.pictures.cicp import PRIMARIES

CODES = [(primaries, 13) for primaries in (2, *PRIMARIES)]
CODES += [(primaries, transfer) for primaries in (1, 9) for transfer in (1, 2, 4, 5, 6, 7, 8, 11, 14, 15, 17)]

SHOWN = """async name => {
  const image = new Image();
  image.src = name;
  try { await image.decode() } catch { return null }
  const context = new OffscreenCanvas(128, 16).getContext("2d", { colorSpace: "srgb" });
  context.drawImage(image, 0, 0);
  return Array.from({ length: 8 }, (_, i) => [...context.getImageData(16 * i + 8, 8, 1, 1).data].slice(0, 3));
}"""


@pytest.fixture(scope="module")
def page() -> Iterator[tuple[Site, Page]]:
    site = Site()
    site.files["index.html"] = b"<!doctype html>"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        opened = browser.new_page()
        opened.goto(f"http://127.0.0.1:{site.server.server_port}/index.html")
        yield site, opened
        browser.close()
    site.close()


@pytest.mark.parametrize("file", [avif, png], ids=["avif", "png"])
def test_the_encoder_sees_what_chromium_shows(file: type, page: tuple[Site, Page]) -> None:
    site, opened = page
    far = {}
    for codes in CODES:
        name = f"{file.__name__}-{codes[0]}-{codes[1]}.{file.__name__}"
        site.files[name] = file(*codes)
        shown = opened.evaluate(SHOWN, name)
        try:
            seen = read_photo(file(*codes)).rgb[8, SIDE // 2 :: SIDE].astype(int)
        except EncodeInputError:
            seen = None
        if (shown is None) != (seen is None) or (seen is not None and np.abs(seen - np.array(shown)).max() > 2):
            far[codes] = (shown, seen)
    assert far == {}
