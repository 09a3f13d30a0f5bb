"""<sdz-img> and img[data-sdz] beside <img>: the same boxes and painted pixels, the same behaviour where attributes change."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from browser import WEB, Site, pack_files, picture, scripts
from engines import page as reporting
from engines import report_of
from layouts import BOXES, SIZE, situations, wall
from numpy.typing import NDArray
from PIL import Image

from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.pack import Pack
from sdz.runtime.session import Session

pytest.importorskip("playwright.sync_api", reason="the element's tests need playwright")

HEAD = '<!doctype html><meta charset="utf-8"><title>t</title><style>body { margin: 0; width: 600px }</style>'
THIRD = slice(None, None, 3)
SCRIPT = '<script type="module" src="sdz.js"></script>'
COUNTED = "window.seen = []; for (const type of ['load', 'error', 'sdzload', 'sdzerror']) document.addEventListener(type, (event) => { \
if (event.target.localName === 'sdz-img' || type.startsWith('sdz')) window.seen.push(type) }, true)"


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def files(session: Session) -> dict[str, bytes]:
    """Two pictures, and what the linear stage makes of each."""
    data = {"a": encode(picture(*SIZE, 3), session=session), "b": encode(picture(96, 64, 4), session=session)}
    out = {f"{name}.sdz": content for name, content in data.items()}
    return out | {f"{name}.png": png(decode(content, stage="linear", session=session).to_pil()) for name, content in data.items()}


@pytest.fixture
def site(pack: Pack, files: dict[str, bytes]) -> Iterator[Site]:
    made = Site("/some/where/")
    made.files = scripts() | pack_files(pack) | files
    yield made
    made.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 800, "height": 600})
    context.set_default_timeout(60_000)
    context.add_init_script(COUNTED)
    page = context.new_page()
    yield page
    context.close()


def show(site: Site, page: Any, body: str, loads: int = 1, head: str = HEAD + SCRIPT) -> None:
    site.files["index.html"] = (head + body).encode()
    page.goto(site.url("index.html"))
    page.wait_for_function(f"window.seen.length >= {loads}")


# layout


@pytest.mark.parametrize("part", [slice(start, None, 6) for start in range(6)], ids=lambda part: str(part.start))
def test_boxes_and_pixels_are_those_of_img(site: Site, page: Any, part: slice) -> None:
    """In some five hundred situations: every number and every painted pixel."""
    names = situations()[part]
    page.set_viewport_size({"width": 800, "height": 12_000})
    show(site, page, wall("img", "a.png", part=part), 0)
    page.wait_for_function("[...document.images].every((image) => image.complete && image.naturalWidth)")
    expected = page.evaluate(BOXES)
    assert page.evaluate("document.documentElement.scrollHeight") == 12_000
    kind = """(async () => {
      const { content } = getComputedStyle(document.querySelector("sdz-img"));
      return (await fetch(JSON.parse(content.slice(4, -1)))).headers.get("content-type");
    })()"""
    while page.evaluate(kind) != "image/svg+xml":
        page.wait_for_timeout(50)
    assert page.evaluate("document.querySelector('sdz-img').getBoundingClientRect().width") == SIZE[0]
    page.evaluate("scrollTo(0, 0)")
    while page.evaluate(kind) != "image/png":
        page.wait_for_timeout(50)
    assert (page.evaluate("window.seen"), page.evaluate("document.querySelector('sdz-img').complete")) == (["load"], True)
