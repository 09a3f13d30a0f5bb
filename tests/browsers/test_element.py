"""<sdz-img> and img[data-sdz] beside <img>: the same boxes and painted pixels, and the same behaviour where attributes and places change."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from browser import Site, pack_files, picture, scripts
from engines import page as reporting
from engines import report_of
from layouts import BOXES, SIZE, situations, wall
from PIL import Image

from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.pack import Pack
from sdz.runtime.session import Session

pytest.importorskip("playwright.sync_api", reason="the element's tests need playwright")

HEAD = '<!doctype html><meta charset="utf-8"><title>t</title><style>body { margin: 0; width: 600px }</style>'
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


def test_boxes_and_pixels_are_those_of_img(site: Site, page: Any) -> None:
    """In some five hundred situations: to the 64th of a pixel, and every painted pixel."""
    count = len(situations())
    show(site, page, wall("img", "a.png"), 0)
    page.wait_for_function("[...document.images].every((image) => image.complete && image.naturalWidth)")
    expected = page.evaluate(BOXES)
    painted = page.screenshot(full_page=True)
    show(site, page, wall("sdz-img", "a.sdz", "</sdz-img>"), count)
    assert page.evaluate("new Set(window.seen).size") == 1
    got = page.evaluate(BOXES)
    assert [(situations()[i], a, b) for i, (a, b) in enumerate(zip(got, expected, strict=True)) if a != b] == []
    assert len(got) == count > 400
    assert pixels(page.screenshot(full_page=True)) == pixels(painted)


def pixels(image: bytes) -> tuple[tuple[int, int], bytes]:
    opened = Image.open(io.BytesIO(image)).convert("RGB")
    return opened.size, opened.tobytes()


ENGINE_BOXES = """
const boxes = () => BOXES;
const out = {};
for (const kind of ["img", "sdz-img"]) {
  document.body.insertAdjacentHTML("beforeend", `<main>${argument[kind]}</main>`);
  if (kind === "sdz-img") await import(new URL("sdz.js", location.href));
  await Promise.all([...document.querySelectorAll(".p")].map((element) => element.decode()));
  await new Promise((resolve) => setTimeout(resolve, 300));
  out[kind] = boxes();
  document.querySelector("main").remove();
}
return argument.names.map((name, i) => [name, out["sdz-img"][i], out.img[i]]).filter(([, a, b]) => JSON.stringify(a) !== JSON.stringify(b));
""".replace("BOXES", BOXES)


@pytest.mark.parametrize("engine", ["firefox", "webkit"])
def test_boxes_are_those_of_img_in_other_engines(engine: str, site: Site) -> None:
    argument = {
        "img": wall("img", "a.png"),
        "sdz-img": wall("sdz-img", "a.sdz", "</sdz-img>"),
        "names": [" | ".join(situation) for situation in situations()],
    }
    site.files["boxes.html"] = reporting(ENGINE_BOXES, argument)
    assert report_of(engine, site, "boxes.html") == []
