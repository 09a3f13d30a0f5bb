"""The service worker in Chromium: <img>, srcset and CSS backgrounds, offline, what it falls through to, and its caches' bounds."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from browser import WEB, Site, made_for, pack_files, picture, scripts, without_core
from PIL import Image

from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.format.container import LOSSLESS, parse
from sdz.runtime.options import Stage
from sdz.runtime.pack import Pack
from sdz.runtime.session import Session
from sdz.server.app import create_app

playwright = pytest.importorskip("playwright.sync_api", reason="the service worker's tests need playwright")

PAGE = """<!doctype html><meta charset="utf-8"><title>t</title><link rel="stylesheet" href="style.css">
<script src="register.js"></script>{}"""
REGISTER = b'navigator.serviceWorker.register("sw.js", { type: "module" });'
STYLE = b"body { margin: 0 } #back { width: 120px; height: 80px; background: url(back.sdz) }"

SHOWN = """(() => [...document.images].every((image) => image.complete && image.naturalWidth > 0))()"""
PIXELS = """async (id) => {
  const image = document.getElementById(id);
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const digest = await crypto.subtle.digest("SHA-256", context.getImageData(0, 0, canvas.width, canvas.height).data);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}"""
RELOADED = "performance.getEntriesByType('navigation')[0].workerStart > 0 && document.readyState === 'complete'"
LOAD = """(name) => new Promise((done) => {
  const image = new Image();
  image.onload = done;
  image.src = name;
  document.body.append(image);
})"""
KEPT = "async (name) => (await (await caches.open(name)).keys()).map(({ url }) => url.replace(/.*\\//, ''))"


@pytest.fixture(scope="module")
def photos(session: Session) -> dict[str, bytes]:
    sizes = {"plain": (100, 70), "small": (60, 40), "large": (90, 60), "back": (120, 80)}
    return {name: encode(picture(*size, seed), session=session) for seed, (name, size) in enumerate(sizes.items())}


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page in a context of its own, and so without a service worker."""
    context = chromium.new_context(viewport={"width": 800, "height": 600})
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    context.close()


@pytest.fixture
def site(pack: Pack, photos: dict[str, bytes]) -> Iterator[Site]:
    made = Site("/some/where/")
    made.files = scripts() | pack_files(pack) | {"register.js": REGISTER, "style.css": STYLE}
    made.files |= {f"{name}.sdz": data for name, data in photos.items()}
    yield made
    made.close()


def sha256(data: bytes, session: Session, stage: Stage = "denoised") -> str:
    """Of the runtime's pixels, as a canvas has them."""
    image = decode(data, stage=stage, session=session).to_pil().convert("RGBA")
    return hashlib.sha256(np.asarray(image).tobytes()).hexdigest()


def saved(size: tuple[int, int], name: str) -> bytes:
    out = io.BytesIO()
    picture(*size).save(out, name)
    return out.getvalue()


def show(site: Site, page: Any, body: str) -> None:
    """Opens a page with `body`, and waits until the service worker has had its pictures loaded."""
    site.files["index.html"] = PAGE.format(body).encode()
    # no further: the service worker has the page loaded again, perhaps before it is complete
    page.goto(site.url("index.html"), wait_until="commit")
    # it takes the page over, and the page is loaded again
    until(page, f"{RELOADED} && navigator.serviceWorker.controller !== null")


ALL = """<img id="plain" src="plain.sdz" alt="">
<img id="set" srcset="small.sdz 60w, large.sdz 90w" sizes="90px" alt=""><div id="back"></div>"""


def background(page: Any) -> Image.Image:
    """What is painted where the background is."""
    return Image.open(io.BytesIO(page.locator("#back").screenshot())).convert("RGB")


def assert_all_shown(page: Any, photos: dict[str, bytes], session: Session) -> None:
    page.wait_for_function(SHOWN)
    assert page.evaluate(PIXELS, "plain") == sha256(photos["plain"], session)
    assert page.evaluate("document.getElementById('set').currentSrc").endswith("/large.sdz")
    assert page.evaluate(PIXELS, "set") == sha256(photos["large"], session)
    expected = decode(photos["back"], session=session).to_pil()
    assert background(page).tobytes() == expected.tobytes()


def test_images_srcset_backgrounds_and_offline(site: Site, page: Any, photos: dict[str, bytes], session: Session) -> None:
    show(site, page, ALL)
    assert_all_shown(page, photos, session)
    # the same once more: nothing is decoded again, and the models stay where they are
    models = len(site.asked(".core.bin", ".wasm"))
    assert models >= 3 and site.asked(".mjs", ".onnx") == []
    page.reload()
    assert_all_shown(page, photos, session)
    assert len(site.asked(".core.bin", ".wasm")) == models
    until(page, f"({KEPT})('sdz-pages').then((kept) => kept.includes('index.html') && kept.includes('style.css'))")
    site.close()
    page.reload()
    assert_all_shown(page, photos, session)
    assert page.complaints == []


def test_a_changed_picture_is_decoded_again(site: Site, page: Any, photos: dict[str, bytes], session: Session) -> None:
    show(site, page, '<img id="plain" src="plain.sdz" alt="">')
    page.wait_for_function(SHOWN)
    site.files["plain.sdz"] = photos["small"]
    page.reload()
    page.wait_for_function(SHOWN)
    assert page.evaluate(PIXELS, "plain") == sha256(photos["small"], session)


@pytest.mark.parametrize("how", ["broken", "missing", "no pack", "no core"])
def test_a_sibling_stands_in(site: Site, page: Any, pack: Pack, photos: dict[str, bytes], how: str) -> None:
    site.files["photo.sdz"] = photos["plain"]
    site.files["photo.jpg"] = saved((33, 22), "JPEG")
    site.files["photo.png"] = saved((44, 22), "PNG")
    if how == "broken":
        site.files["photo.sdz"] = photos["plain"][:-1] + bytes([photos["plain"][-1] ^ 1])
    elif how == "missing":
        del site.files["photo.sdz"]
    elif how == "no pack":
        site.files = {path: data for path, data in site.files.items() if not path.startswith("packs/")}
    else:
        del site.files["sdz.wasm"]
    show(site, page, '<img id="photo" src="photo.sdz" alt="">')
    page.wait_for_function(SHOWN)
    assert page.evaluate("document.getElementById('photo').naturalWidth") == 33
    assert page.complaints == []


def test_without_a_sibling_the_linear_stage(site: Site, page: Any, pack: Pack, photos: dict[str, bytes], session: Session) -> None:
    del site.files[f"packs/{pack.id.hex()}/{pack.core['decoder'].file}"]
    show(site, page, '<img id="plain" src="plain.sdz" alt="">')
    page.wait_for_function(SHOWN)
    assert page.evaluate(PIXELS, "plain") == sha256(photos["plain"], session, "linear")
    # a makeshift is not kept
    assert page.evaluate(KEPT, "sdz-pictures") == []


def test_with_nothing_at_all_the_page_goes_on(site: Site, page: Any) -> None:
    site.files["lost.sdz"] = b"no picture"
    show(site, page, '<img id="lost" src="lost.sdz" alt="lost" onerror="this.dataset.failed = 1"><p id="rest">the rest</p>')
    page.wait_for_selector("#lost[data-failed]")
    assert page.inner_text("#rest") == "the rest"
    assert page.complaints == []


def test_a_service_worker_that_does_not_start_changes_nothing(site: Site, page: Any) -> None:
    del site.files["sessions.js"]
    site.files["register.js"] = REGISTER.replace(b");", b").catch(() => { window.refused = true; });", 1)
    site.show(page, PAGE.format("<p>still here</p>"))
    page.wait_for_function("window.refused")
    assert (page.inner_text("p"), page.complaints) == ("still here", [])


def test_a_pack_without_the_cores_weights(site: Site, page: Any, pack: Pack, photos: dict[str, bytes], session: Session) -> None:
    """By the service worker that brings onnxruntime-web; the other one shows the linear stage."""
    pack_id, more = without_core(pack)
    site.files |= more | {"plain.sdz": made_for(pack_id, photos["plain"])}
    site.files["register.js"] = REGISTER.replace(b"sw.js", b"sw-onnx.js")
    show(site, page, '<img id="plain" src="plain.sdz" alt="">')
    page.wait_for_function(SHOWN)
    assert page.evaluate(PIXELS, "plain") == sha256(photos["plain"], session)
    assert site.asked(".core.bin") == []


def test_without_onnxruntime_web_such_a_pack_gets_to_the_linear_stage(
    site: Site, page: Any, pack: Pack, photos: dict[str, bytes], session: Session
) -> None:
    pack_id, more = without_core(pack)
    site.files |= more | {"plain.sdz": made_for(pack_id, photos["plain"])}
    show(site, page, '<img id="plain" src="plain.sdz" alt="">')
    page.wait_for_function(SHOWN)
    assert page.evaluate(PIXELS, "plain") == sha256(photos["plain"], session, "linear")


def wait_for(holds: Callable[[], bool]) -> None:
    for _ in range(1200):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it has not come about")


def tailed(session: Session) -> tuple[bytes, int]:
    """A file with a lossless tail, and where that begins."""
    data = encode(picture(300, 200), session=session, lossless=True)
    tail = parse(data).find(LOSSLESS)
    assert tail is not None
    return data, tail.offset


def test_of_a_lossless_tail_nothing_is_downloaded(site: Site, page: Any, session: Session) -> None:
    """The picture is there although the host sends no more than its latents, and the connection is given up."""
    data, end = tailed(session)
    show(site, page, "")
    site.files["photo.sdz"] = data
    site.hold("photo.sdz", end + 100)
    page.evaluate(
        "(name) => void (async () => { const i = new Image(); i.id = name; i.src = name + '.sdz'; document.body.append(i); })()", "photo"
    )
    page.wait_for_function(SHOWN)
    assert page.evaluate(PIXELS, "photo") == sha256(data[:end], session)
    assert site.asked("lossless.wasm") == []
    wait_for(lambda: site.given_up == ["photo.sdz"])
    # the same file is known again by what stands before the tail
    page.evaluate("(name) => { document.getElementById(name).src = name + '.sdz?again'; }", "photo")
    page.wait_for_function(SHOWN)
    assert len(site.asked("photo.sdz")) == 2


def test_what_an_element_loads_is_kept_without_its_tail(site: Site, page: Any, session: Session) -> None:
    data, end = tailed(session)
    site.files["photo.sdz"] = data
    body = '<script type="module" src="sdz.js"></script><sdz-img id="photo" src="photo.sdz"></sdz-img>'
    show(site, page, body)
    page.wait_for_function("document.getElementById('photo').currentStage === 'exact'")
    kept = """async () => {
      const response = await (await caches.open('sdz-files')).match(new URL('photo.sdz', location.href).href);
      return response && (await response.arrayBuffer()).byteLength;
    }"""
    until(page, f"({kept})().then((bytes) => bytes === {end})")
    # a page that wants no tail ends the download with it
    site.hold("photo.sdz", end + 100)
    page.evaluate("document.getElementById('photo').dataset.stage = 'linear'")
    page.wait_for_function("document.getElementById('photo').complete && document.getElementById('photo').currentStage === 'linear'")
    wait_for(lambda: site.given_up == ["photo.sdz"])


def test_caches_are_bounded(site: Site, page: Any, photos: dict[str, bytes]) -> None:
    source = (WEB / "sw.js").read_text()
    assert source.count("entries: 200") == source.count("bytes: 64 * 2 ** 20 };\n\n/** Pages") == 1
    site.files["sw.js"] = source.replace("entries: 200", "entries: 3").encode()
    show(site, page, "")
    # models of packs that no picture names any more
    page.evaluate("""async () => {
      const cache = await caches.open("sdz-pack-files");
      for (let i = 0; i < 62; i++) await cache.put(`/old/${i}`, new Response("x"));
    }""")
    # the first is used again before the fourth comes: the second is the oldest then
    for name in ("plain", "small", "large"):
        page.evaluate(LOAD, f"{name}.sdz")
        until(page, f"({KEPT})('sdz-pictures').then((kept) => kept.at(-1) === '{name}.sdz')")
    until(page, f"({KEPT})('sdz-pack-files').then((kept) => kept.length === 60)")
    # the oldest went, not the pack's own
    assert page.evaluate(KEPT, "sdz-pack-files")[0] in ("5", "6")
    page.evaluate(LOAD, "plain.sdz?")
    until(page, f"({KEPT})('sdz-pictures').then((kept) => kept.at(-1) === 'plain.sdz?')")
    until(page, f"({KEPT})('sdz-pictures').then((kept) => kept.length === 3)")
    assert page.evaluate(KEPT, "sdz-pictures") == ["small.sdz", "large.sdz", "plain.sdz?"]
    page.reload()
    until(page, RELOADED)
    page.evaluate(LOAD, "small.sdz")
    until(page, f"({KEPT})('sdz-pictures').then((kept) => kept.at(-1) === 'small.sdz')")
    page.evaluate(LOAD, "back.sdz")
    until(page, f"({KEPT})('sdz-pictures').then((kept) => kept.at(-1) === 'back.sdz')")
    until(page, f"({KEPT})('sdz-pictures').then((kept) => kept.length === 3)")
    assert page.evaluate(KEPT, "sdz-pictures") == ["plain.sdz?", "small.sdz", "back.sdz"]


def test_caches_are_bounded_in_bytes(site: Site, page: Any, photos: dict[str, bytes]) -> None:
    source = (WEB / "sw.js").read_text()
    site.files["sw.js"] = source.replace("bytes: 64 * 2 ** 20 };\n\n/** Pages", "bytes: 30_000 };\n\n/** Pages", 1).encode()
    show(site, page, "")
    kept = """async () => {
      const cache = await caches.open("sdz-pictures");
      return Promise.all((await cache.keys()).map(async (key) => (await (await cache.match(key)).blob()).size));
    }"""
    newest = []
    for name in photos:
        page.evaluate(LOAD, f"{name}.sdz")
        until(page, f"({KEPT})('sdz-pictures').then((kept) => kept.at(-1) === '{name}.sdz')")
        until(page, f"({kept})().then((sizes) => sizes.reduce((sum, size) => sum + size, 0) <= 30_000)")
        newest.append(page.evaluate(kept)[-1])
    assert sum(newest) > 30_000
    assert len(page.evaluate(kept)) < 4
    # what scripts fetch is the file as it is: only requests for images are answered with pictures
    fetched = page.evaluate("(src) => fetch(src).then((response) => response.blob()).then(({ size }) => size)", "plain.sdz")
    assert fetched == len(photos["plain"])


FORM = b"""<!doctype html><title>form</title><img src="plain.sdz" alt=""><textarea></textarea>"""


@pytest.mark.parametrize("registering", ["inline", "a script"])
def test_other_tabs_are_left_alone(site: Site, page: Any, registering: str) -> None:
    """Whatever is typed in them stays; the page that registers is loaded again where it is known for certain to be that one."""
    site.files["form.html"] = FORM
    form = page.context.new_page()
    form.goto(site.url("form.html"))
    form.fill("textarea", "an hour of writing")
    script = f"<script>{REGISTER.decode()}</script>" if registering == "inline" else '<script src="register.js"></script>'
    site.files["index.html"] = f'<!doctype html><title>t</title>{script}<img id="plain" src="plain.sdz" alt="">'.encode()
    page.goto(site.url("index.html"), wait_until="commit")
    until(page, "navigator.serviceWorker.controller !== null")
    if registering == "inline":
        until(page, f"{RELOADED} && {SHOWN}")
    else:
        page.wait_for_timeout(500)
        page.reload()
        until(page, f"{RELOADED} && {SHOWN}")
    assert form.input_value("textarea") == "an hour of writing"
    assert site.asked("form.html") == ["form.html"]
    assert form.evaluate("performance.getEntriesByType('navigation')[0].workerStart") == 0


SAVING = "Object.defineProperty(navigator, 'connection', { value: { saveData: true } });\n"


@pytest.mark.parametrize("how", ["the worker's own", "told by a page"])
def test_readers_who_save_data_get_the_linear_stage(site: Site, page: Any, photos: dict[str, bytes], session: Session, how: str) -> None:
    """No network's weights are loaded; without the wish, the same picture is decoded in full."""
    body = '<img id="plain" src="plain.sdz" alt="">'
    if how == "told by a page":
        page.context.add_init_script(
            "const plain = matchMedia; window.matchMedia = (query) => "
            "query.includes('reduced-data') ? { matches: !localStorage.spend } : plain(query)"
        )
        body = '<script type="module" src="sdz.js"></script>' + body
    else:
        (site.files["sw.js"], source) = (b"", (WEB / "sw.js").read_text())
        site.files["sw.js"] = b'import "./saving.js";\n' + source.encode()
        site.files["saving.js"] = SAVING.encode()
    show(site, page, body if how != "told by a page" else body.partition("<img")[0])
    if how == "told by a page":
        until(page, f"({KEPT})('sdz-wishes').then((kept) => kept.length === 1)")
        page.evaluate(LOAD, "plain.sdz")
        page.evaluate("document.images[0].id = 'plain'")
    page.wait_for_function(SHOWN)
    assert page.evaluate(PIXELS, "plain") == sha256(photos["plain"], session, "linear")
    assert site.asked(".core.bin") == []
    if how == "told by a page":
        page.evaluate("localStorage.spend = 1")
        page.reload()
        until(page, f"({KEPT})('sdz-wishes').then((kept) => kept.length === 0)")
        page.evaluate(LOAD, "plain.sdz")
        page.evaluate("document.images[0].id = 'plain'")
        assert page.evaluate(PIXELS, "plain") == sha256(photos["plain"], session)


def test_the_element_works_offline(site: Site, page: Any, photos: dict[str, bytes], session: Session) -> None:
    """Seen once, then without a server, without the HTTP cache and without the pixels that the page keeps."""
    site.headers["Cache-Control"] = "no-cache"
    body = '<script type="module" src="sdz.js"></script><sdz-img src="plain.sdz"></sdz-img><sdz-img src="small.sdz"></sdz-img>'
    show(site, page, body)
    loaded = "[...document.querySelectorAll('sdz-img')].every(({ complete, naturalWidth }) => complete && naturalWidth)"
    until(page, loaded)
    until(page, f"({KEPT})('sdz-files').then((kept) => ['plain.sdz', 'small.sdz', 'sdz.wasm'].every((name) => kept.includes(name)))")
    until(page, f"({KEPT})('sdz-pages').then((kept) => ['sdz.js', 'worker.js', 'stages.js'].every((name) => kept.includes(name)))")
    session_of_devtools = page.context.new_cdp_session(page)
    session_of_devtools.send("Network.clearBrowserCache")
    page.evaluate("caches.delete('sdz-pixels')")
    site.close()
    page.reload()
    until(page, loaded)
    stages = page.evaluate("[...document.querySelectorAll('sdz-img')].map((element) => [element.naturalWidth, element.currentStage])")
    assert stages == [[100, decode(photos["plain"], session=session).stage], [60, decode(photos["small"], session=session).stage]]


def until(page: Any, script: str) -> None:
    """Waits for a script, or the promise it gives, to be true. `wait_for_function` needs eval, and takes any promise for true."""
    for _ in range(600):
        try:
            if page.evaluate(script):
                return
        except playwright.Error:
            pass  # the page was being loaded again
        page.wait_for_timeout(100)
    pytest.fail(f"never true: {script}")


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The project's own server on `folder`; its address."""
    server = uvicorn.Server(uvicorn.Config(create_app(folder), port=0, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


def test_behind_the_projects_own_server(page: Any, pack: Pack, photos: dict[str, bytes], session: Session, tmp_path: Path) -> None:
    """Its policy lets the service worker work; a page without one gets a decoded picture, and the element the file itself."""
    files = scripts() | pack_files(pack) | {"register.js": REGISTER, "style.css": STYLE, "plain.sdz": photos["plain"]}
    files["plain.html"] = b'<!doctype html><title>t</title><img id="plain" src="plain.sdz" alt="">'
    files["element.html"] = (
        b'<!doctype html><title>t</title><script type="module" src="sdz.js"></script><sdz-img src="plain.sdz"></sdz-img>'
    )
    files["index.html"] = PAGE.format('<img id="plain" src="plain.sdz" alt="">').encode()
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    with serving(tmp_path) as address:
        with page.expect_response("**/plain.sdz") as answered:
            page.goto(address + "plain.html")
        until(page, SHOWN)
        assert answered.value.header_value("content-type") == "image/webp"
        with page.expect_response("**/plain.sdz") as answered:
            page.goto(address + "element.html")
        until(page, "document.querySelector('sdz-img').complete && document.querySelector('sdz-img').naturalWidth === 100")
        assert (answered.value.header_value("content-type"), answered.value.header_value("vary")) == ("image/x-sdz", "Accept, Save-Data")
        page.goto(address, wait_until="commit")
        until(page, f"{RELOADED} && {SHOWN}")
        assert page.evaluate(PIXELS, "plain") == sha256(photos["plain"], session)
    assert page.complaints == []
