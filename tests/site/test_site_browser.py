"""A site in Chromium with and without scripts, on a host that knows nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Site, hosted

from sdz.export.site.report import Report

playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")


# in the browser


@pytest.fixture
def served(built: Report) -> Iterator[Site]:
    yield from hosted(built.site)


def open_page(chromium: Any, scripts: bool = True) -> tuple[Any, list[str]]:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=scripts)
    context.set_default_timeout(60_000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page, complaints


def test_gallery_decodes_every_photo_and_downloads_no_fallback(chromium: Any, served: Site, built: Report) -> None:
    page, complaints = open_page(chromium)
    page.goto(served.url("index.html"))
    for index in range(len(built.photos)):
        page.locator("figure").nth(index).scroll_into_view_if_needed()
        page.wait_for_selector(f'figure:nth-of-type({index + 1}) .mark[data-stage="done"]')
    sizes = page.eval_on_selector_all("sdz-img", "all => all.map((e) => [e.naturalWidth, e.naturalHeight, e.currentStage])")
    assert sizes == [[p.width, p.height, p.best.stage] for p in built.photos]
    assert served.asked(".avif", ".webp", ".jpeg", ".jpg", ".png") == []
    assert served.asked("sw.js") == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert complaints == []
    page.context.close()


def test_service_worker_of_a_site(chromium: Any, served: Site, built: Report) -> None:
    """One line registers it for the whole site: then a plain image may be an .sdz."""
    folder = next((built.site / "assets").glob("sdz-*")).name
    assert (built.site / "sw.js").read_text() == f'import "./assets/{folder}/sw.js";\n'
    page, complaints = open_page(chromium)
    page.goto(served.url("photos/glass.html"))
    with page.expect_navigation():
        page.evaluate("void navigator.serviceWorker.register('../sw.js', { type: 'module' })")
    photo = built.photos[0]
    size = page.evaluate(
        """(src) => new Promise((done) => {
          const image = new Image();
          image.onload = () => done([image.naturalWidth, image.naturalHeight]);
          image.onerror = () => done(null);
          image.src = src;
        })""",
        served.url(photo.sdz.path),
    )
    assert size == [photo.width, photo.height]
    assert complaints == []
    page.context.close()


def test_photo_page_shows_pythons_pixels(chromium: Any, served: Site, built: Report) -> None:
    page, complaints = open_page(chromium)
    for photo in built.photos:
        page.goto(served.url(f"photos/{photo.name}.html"))
        page.click(".how summary")
        page.wait_for_selector('.verdict[data-same="true"]')
        assert page.get_attribute(".study", "data-pixels") == photo.best.sha256
    assert complaints == []
    page.context.close()


def test_byte_slider_and_divider_by_keyboard(chromium: Any, served: Site, built: Report) -> None:
    photo = built.photos[-1]
    page, complaints = open_page(chromium)
    page.goto(served.url(f"photos/{photo.name}.html"))
    page.wait_for_function("() => document.querySelector('.picture sdz-img').complete")
    assert served.asked(".png", ".jpg", ".avif", "photo.js") == []
    page.click(".how summary")
    page.wait_for_selector(".verdict:not([hidden])")
    assert served.asked(".png", ".jpg", ".avif") == []
    page.check("input[value=original]")
    page.wait_for_selector(".divider:not([hidden])")
    page.focus(".bytes input")
    page.keyboard.press("Home")
    assert page.text_content(".used") == "30"
    page.wait_for_function("() => [...document.querySelectorAll('.study small span')].some((part) => part.textContent === '30 B')")
    page.keyboard.press("End")
    assert page.text_content(".used") == f"{photo.sdz.bytes:,}"
    page.focus(".divider")
    page.keyboard.press("Home")
    assert page.evaluate("getComputedStyle(document.querySelector('.compare')).getPropertyValue('--split')") == "0%"
    page.keyboard.press("ArrowRight")
    assert page.get_attribute(".divider", "aria-valuetext") == "1 % decoded"
    page.focus("input[value=denoised]")
    for _ in range(2):
        page.keyboard.press("ArrowLeft")
    page.wait_for_selector('.study[data-shown="linear"]')
    with page.expect_response(lambda response: response.url.endswith(".avif")):
        page.check("input[value=fallback]")
    assert page.text_content(".tag.right").startswith("AVIF")
    assert served.asked(".avif") == [photo.fallback.path if photo.fallback else ""]
    assert complaints == []
    page.context.close()


def test_walking_zooming_and_leaving_by_keys_and_fingers(chromium: Any, served: Site, built: Report) -> None:
    names = [photo.name for photo in built.photos]
    page, complaints = open_page(chromium)

    def at() -> str:
        page.wait_for_load_state("domcontentloaded")
        page.wait_for_function("() => document.querySelector('.full, .wall') !== null && customElements.get('sdz-img') !== undefined")
        return str(page.url.rpartition("/")[2])

    page.goto(served.url(f"photos/{names[0]}.html"))
    with page.expect_navigation():
        page.keyboard.press("ArrowRight")
    assert at() == f"{names[1]}.html"
    assert page.text_content(".place") == "2 of 3"
    with page.expect_navigation():
        page.keyboard.press("ArrowLeft")
    assert at() == f"{names[0]}.html"
    for _ in range(4):
        page.keyboard.press("+")
    transform = "document.querySelector('.picture').style.transform"
    assert page.evaluate(transform) == "translate(0px, 0px) scale(5.0625)"
    page.keyboard.press("ArrowRight")
    assert page.evaluate(transform) == "translate(-80px, 0px) scale(5.0625)"
    box = page.locator(".frame").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 130, box["y"] + 100)
    page.mouse.up()
    assert page.evaluate(transform) == "translate(-50px, 0px) scale(5.0625)"
    page.keyboard.press("Escape")
    assert page.evaluate(transform) == ""
    page.keyboard.press("f")
    page.wait_for_function("() => document.fullscreenElement === document.querySelector('.view')")
    page.keyboard.press("f")
    page.wait_for_function("() => document.fullscreenElement === null")
    swipe = """([from, to]) => {
      const frame = document.querySelector('.frame');
      const send = (type, x) => frame.dispatchEvent(
        new PointerEvent(type, { pointerId: 7, pointerType: 'touch', clientX: x, clientY: 150, bubbles: true }));
      send('pointerdown', from); send('pointermove', to); send('pointerup', to);
    }"""
    page.evaluate(swipe, [200, 170])
    with page.expect_navigation():
        page.evaluate(swipe, [300, 100])
    assert at() == f"{names[1]}.html"
    page.click(".how summary")
    page.keyboard.press("Escape")
    assert page.get_attribute(".how", "open") is None
    with page.expect_navigation():
        page.keyboard.press("Escape")
    assert at() == "index.html"
    assert complaints == []
    page.context.close()


def test_without_scripts(chromium: Any, served: Site, built: Report) -> None:
    page, _ = open_page(chromium, scripts=False)
    page.goto(served.url("index.html"))
    expected = [p.fallback.path for p in built.photos if p.fallback]
    assert page.locator("sdz-img img").count() == 3
    assert page.locator("sdz-img img").first.is_visible()
    assert "Without JavaScript" in page.inner_text("header")
    page.goto(served.url(f"photos/{built.photos[0].name}.html"))
    assert page.locator(".picture img[src]").is_visible()
    page.click(".how summary")
    assert page.locator(".figures").is_visible() and not page.locator(".controls").is_visible()
    assert set(served.asked(".avif")) <= set(expected) and expected[0] in served.asked(".avif")
    assert served.asked(".wasm", ".sdz", ".onnx") == []
    page.context.close()


@pytest.mark.parametrize("lost", ["sdz.js", "sdz.wasm", "linear.bin", "decoder.core.bin", "glass.sdz"])
def test_fallback_when_a_part_is_lost(lost: str, chromium: Any, served: Site, built: Report, pack: Path) -> None:
    """A module that does not arrive, then other parts: either way the ordinary picture stands in, painted as without scripts."""
    plain, _ = open_page(chromium, scripts=False)
    plain.goto(served.url("index.html"))
    expected = plain.locator("figure img").first.screenshot()
    plain.context.close()
    sdz = built.photos[0].sdz.path
    parts = [path for path in served.files if path.endswith(f"/{lost}") or (lost == "glass.sdz" and path == sdz)]
    assert len(parts) == 1
    del served.files[parts[0]]
    page, _ = open_page(chromium)
    page.goto(served.url("index.html"))
    page.wait_for_function("() => document.querySelector('figure img')?.naturalWidth")
    assert page.locator("figure").first.locator("img").get_attribute("src") == (built.photos[0].fallback or built.photos[0].sdz).path
    # the element is the picture, and its child has no box of its own; without the element, the child is seen
    seen = page.locator("figure img" if lost == "sdz.js" else "figure sdz-img").first
    shots = (seen.screenshot() == expected or page.wait_for_timeout(50) for _ in range(600))
    assert any(shots)
    assert page.get_by_role("img", name=built.photos[0].alt or built.photos[0].title).count() >= 1
    page.context.close()
