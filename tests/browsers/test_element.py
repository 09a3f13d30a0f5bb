"""<sdz-img> and img[data-sdz] beside <img>: the same boxes and painted pixels, the same behaviour where attributes change."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from browser import WEB, Site, opened, pack_files, picture, scripts, served, watching
from engines import SCREEN, report_of, screen_of
from engines import page as reporting
from layouts import BOXES, CELL, COLUMNS, MARK, PAINTED, SIZE, board, situations, wall
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
WATCH = watching(("load", "error", "sdzload", "sdzerror"), "event.type")


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def files(session: Session) -> dict[str, bytes]:
    """Some pictures, and what the linear stage makes of each."""
    shades = [Image.linear_gradient("L").rotate(turn).resize(SIZE) for turn in (0, 90, 180)]
    data = {"a": picture(*SIZE, 3), "b": picture(96, 64, 4), "smooth": Image.merge("RGB", shades)}
    data = {name: encode(image, session=session) for name, image in data.items()}
    out = {f"{name}.sdz": content for name, content in data.items()}
    return out | {f"{name}.png": png(decode(content, stage="linear", session=session).to_pil()) for name, content in data.items()}


@pytest.fixture
def site(pack: Pack, files: dict[str, bytes]) -> Iterator[Site]:
    yield from served(pack_files(pack) | files)


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    yield from opened(chromium, WATCH)


def show(site: Site, page: Any, body: str, loads: int = 1, head: str = HEAD + SCRIPT) -> None:
    site.show(page, (head + body))
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
    painted = page.screenshot()
    show(site, page, wall("sdz-img", "a.sdz", "</sdz-img>", part=part), len(names))
    assert page.evaluate("[...new Set(window.seen)]") == ["load"]
    got = page.evaluate(BOXES)
    assert [(names[i], a, b) for i, (a, b) in enumerate(zip(got, expected, strict=True)) if a != b] == []
    assert len(got) == len(names) > 80
    difference = np.abs(pixels(page.screenshot()) - pixels(painted)).max(axis=2)
    # Chromium picks another level of detail for one picture that is shown 16 pixels wide
    assert (np.count_nonzero(difference) <= 256, difference.max() <= 16) == (True, True)


def pixels(image: bytes) -> NDArray[np.int16]:
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB")).astype(np.int16)


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
    """WebKit gives the items of flex and grid containers another smallest size where they are no <img>: those are left out."""
    names = [" | ".join(situation) for situation in situations()[THIRD]]
    argument = {"img": wall("img", "a.png", part=THIRD), "sdz-img": wall("sdz-img", "a.sdz", "</sdz-img>", THIRD), "names": names}
    site.files["boxes.html"] = reporting(ENGINE_BOXES, argument)
    found = report_of(engine, site, "boxes.html")
    assert [entry for entry in found if engine == "firefox" or not entry[0].startswith(("display: flex", "display: grid"))] == []


ENGINE_BOARD = """
document.body.insertAdjacentHTML("beforeend", argument);
await import(new URL("sdz.js", location.href));
await Promise.allSettled([...document.querySelectorAll(".p")].map((element) => element.decode()));
await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 500)));
"""

BOARDS = {
    "img": board("img", "smooth.png"),
    "sdz-img": board("sdz-img", "smooth.sdz", "</sdz-img>"),
    "fallback": board("sdz-img", "lost.sdz", '<noscript><img src="smooth.png"></noscript></sdz-img>'),
}


FILTERS = 4
"""Browsers pick another filter or level of detail for some pictures; of these shades, a picture that is two pixels off differs by eight."""


def board_on(screen: NDArray[np.uint8]) -> NDArray[np.int16]:
    """What is inside the lines around a board."""
    rows, columns = np.nonzero((screen == MARK).all(axis=2))
    part = screen[rows.min() + 1 : rows.max(), columns.min() + 1 : columns.max()].astype(np.int16)
    assert part.shape == (-(-len(PAINTED) // COLUMNS) * CELL[1], COLUMNS * CELL[0], 3)
    # something is painted there
    assert len(np.unique(part.reshape(-1, 3), axis=0)) > 1000
    return part


def differences(kind: str, of: Callable[[str], NDArray[np.uint8]]) -> dict[str, int]:
    """The largest difference of a pixel of the two boards, by style; those of no more than FILTERS are left out."""
    ours, theirs = (board_on(of(kind)) for kind in (kind, "img"))
    out = {}
    for i, style in enumerate(PAINTED):
        y, x = i // COLUMNS * CELL[1], i % COLUMNS * CELL[0]
        place = (slice(y, y + CELL[1]), slice(x, x + CELL[0]))
        # but for the smoothing of two pixels at a round edge
        largest = int(np.sort(np.abs(ours[place] - theirs[place]).max(axis=2), axis=None)[-3])
        if largest > FILTERS:
            out[style] = largest
    return out


@pytest.mark.parametrize("kind", ["sdz-img", "fallback"])
def test_every_fit_and_edge_is_painted_as_img_paints_it(site: Site, page: Any, kind: str) -> None:
    def screen(kind: str) -> NDArray[np.uint8]:
        show(site, page, BOARDS[kind], 0)
        page.evaluate("Promise.allSettled([...document.querySelectorAll('.p')].map((element) => element.decode?.()))")
        page.wait_for_timeout(300)
        return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))

    page.set_viewport_size({"width": SCREEN[0], "height": SCREEN[1]})
    assert differences(kind, screen) == {}


@pytest.mark.parametrize("kind", ["sdz-img", "fallback"])
@pytest.mark.parametrize("engine", ["firefox", "webkit"])
def test_every_fit_and_edge_is_painted_as_img_paints_it_in_other_engines(engine: str, site: Site, kind: str) -> None:
    def screen(kind: str) -> NDArray[np.uint8]:
        site.files["board.html"] = reporting(ENGINE_BOARD, BOARDS[kind])
        return screen_of(engine, site, "board.html")

    assert differences(kind, screen) == {}


def test_a_policy_that_refuses_blobs(site: Site, page: Any) -> None:
    """The picture is on a canvas then."""
    site.headers["Content-Security-Policy"] = "img-src 'self'"
    show(site, page, '<sdz-img src="a.sdz"></sdz-img>')
    assert page.evaluate("window.seen") == ["load"]
    canvas = (
        "(({ width, height, part }) => [width, height, part.value])(document.querySelector('sdz-img').shadowRoot.querySelector('canvas'))"
    )
    assert page.evaluate(canvas) == [*SIZE, "canvas"]
    shot = pixels(page.screenshot())[: SIZE[1], : SIZE[0]]
    assert len(np.unique(shot.reshape(-1, 3), axis=0)) > 100


# attributes and places that change


STATE = "(() => { const e = document.querySelector('sdz-img'); return [e.currentStage, e.complete, e.naturalWidth] })()"


def test_moved_after_push_state(site: Site, page: Any) -> None:
    """A relative source is resolved once, when it is set."""
    show(site, page, '<div id="there"></div><sdz-img src="a.sdz" data-stage="linear"></sdz-img>')
    page.evaluate("history.pushState(null, '', 'photo/7/')")
    page.evaluate("document.getElementById('there').append(document.querySelector('sdz-img'))")
    page.wait_for_timeout(300)
    assert page.evaluate(STATE) == ["linear", True, SIZE[0]]
    assert (site.asked("a.sdz"), page.evaluate("window.seen")) == (["a.sdz"], ["load"])
    # set again, it is resolved again
    page.evaluate("document.querySelector('sdz-img').src = 'a.sdz'")
    page.wait_for_function("window.seen.at(-1) === 'error'")
    assert site.asked("photo/7/a.sdz") == ["photo/7/a.sdz"]


def test_source_set_again_after_an_error(site: Site, page: Any) -> None:
    data = site.files.pop("a.sdz")
    show(site, page, '<sdz-img src="a.sdz" data-stage="linear"></sdz-img>')
    assert page.evaluate("window.seen") == ["error"]
    site.files["a.sdz"] = data
    page.evaluate("document.querySelector('sdz-img').src = 'a.sdz'")
    page.wait_for_function("window.seen.length === 2")
    assert (page.evaluate("window.seen"), page.evaluate(STATE)) == (["error", "load"], ["linear", True, SIZE[0]])
    # and after success it says so again, without another request
    page.evaluate("document.querySelector('sdz-img').setAttribute('src', 'a.sdz')")
    page.wait_for_function("window.seen.length === 3")
    assert (page.evaluate("window.seen.at(-1)"), len(site.asked("a.sdz"))) == ("load", 2)


@pytest.mark.parametrize("how", ["e.src = null", "e.src = undefined", "e.removeAttribute('src')"])
def test_without_a_source_nothing_is_shown(site: Site, page: Any, how: str) -> None:
    show(site, page, '<sdz-img src="a.sdz" data-stage="linear"></sdz-img>')
    page.evaluate(f"(() => {{ const e = document.querySelector('sdz-img'); {how}; }})()")
    page.wait_for_function("document.querySelector('sdz-img').currentStage === null")
    assert page.evaluate(STATE) == [None, True, 0]
    assert page.evaluate("(({ width, height }) => [width, height])(document.querySelector('sdz-img').getBoundingClientRect())") == [0, 0]
    assert (site.asked("null"), site.asked("undefined"), page.evaluate("window.seen")) == ([], [], ["load"])
    page.evaluate("document.querySelector('sdz-img').src = 'b.sdz'")
    page.wait_for_function("window.seen.length === 2")
    assert page.evaluate(STATE) == ["linear", True, 96]


@pytest.mark.parametrize("source", ["", "http://[", " "])
def test_a_source_that_is_no_address(site: Site, page: Any, source: str) -> None:
    show(site, page, f'<sdz-img src="{source}"></sdz-img>')
    assert page.evaluate("window.seen") == ["error"]
    assert page.evaluate(STATE) == [None, True, 0]


def test_what_the_author_says_to_assistive_technology_stands(site: Site, page: Any) -> None:
    show(
        site,
        page,
        '<sdz-img src="a.sdz" alt="own" aria-label="A harbour"></sdz-img><sdz-img src="a.sdz" role="link" alt="Next"></sdz-img>'
        '<sdz-img src="a.sdz" role="none" alt="x"></sdz-img><sdz-img src="a.sdz" alt="" aria-labelledby="p"></sdz-img><p id="p">Named</p>',
        4,
    )
    said = "[...document.querySelectorAll('sdz-img')].map((e) => [e.getAttribute('role'), e.getAttribute('aria-label')])"
    assert page.evaluate(said) == [["img", "A harbour"], ["link", "Next"], ["none", None], ["img", None]]
    assert [page.get_by_role("img", name=name).count() for name in ("A harbour", "Named")] == [1, 1]
    page.evaluate("document.querySelector('sdz-img').removeAttribute('aria-label')")
    page.evaluate("document.querySelector('[role=link]').alt = 'Last'")
    page.evaluate("document.querySelector('[role=none]').removeAttribute('role')")
    assert page.evaluate(said) == [["img", "own"], ["link", "Last"], ["img", "x"], ["img", None]]


def test_colours_stand_in_until_something_is_decoded(site: Site, page: Any) -> None:
    """And go with the first stage; what is no colour is no style."""
    opened = site.hold("a.sdz")
    body = (
        '<sdz-img src="a.sdz" data-stage="linear" width="90" height="60" data-colors="#204060 rgb(200 100 50)"></sdz-img>'
        '<sdz-img src="a.sdz" width="9" height="9" data-colors="red} * {color: red"></sdz-img>'
    )
    show(site, page, body, 0)
    page.wait_for_function("getComputedStyle(document.querySelector('sdz-img')).backgroundImage !== 'none'")
    backgrounds = "[...document.querySelectorAll('sdz-img')].map((e) => getComputedStyle(e).backgroundImage)"
    assert page.evaluate(backgrounds) == ["linear-gradient(rgb(32, 64, 96), rgb(200, 100, 50))", "none"]
    shot = pixels(page.screenshot())
    assert np.abs(shot[[1, 58], 45] - [(32, 64, 96), (200, 100, 50)]).max() <= 4
    opened.set()
    page.wait_for_function("window.seen.length === 2")
    assert page.evaluate(backgrounds) == ["none", "none"]


def test_the_head_is_painted_before_the_file_has_arrived(site: Site, page: Any, session: Session) -> None:
    """The pixels of the linear stage of so many bytes; what is no head changes nothing."""
    opened = site.hold("a.sdz")
    data = site.files["a.sdz"]
    head = base64.b64encode(data[:60]).decode()
    body = (
        f'<sdz-img src="a.sdz" data-stage="linear" data-head="{head}" style="display: block"></sdz-img>'
        '<sdz-img src="b.sdz" data-stage="linear" data-head="!" style="display: block"></sdz-img>'
        '<sdz-img src="b.sdz" data-stage="linear" data-head="AAAA" style="display: block"></sdz-img>'
    )
    show(site, page, body, 2)
    page.wait_for_function("document.querySelector('sdz-img').currentStage === 'linear'")
    expected = decode(data[:60], stage="linear", session=session).pixels
    shot = pixels(page.screenshot())[: expected.shape[0], : expected.shape[1]]
    assert np.array_equal(shot, expected)
    opened.set()
    page.wait_for_function("window.seen.length === 3")
    expected = decode(data, stage="linear", session=session).pixels
    assert np.array_equal(pixels(page.screenshot())[: expected.shape[0], : expected.shape[1]], expected)


def test_the_fallback_steps_in_when_nothing_is_painted(site: Site, page: Any) -> None:
    """After two seconds, with the box that <img> has; what is decoded later takes its place."""
    opened = site.hold("a.sdz")
    fallback = '<noscript><img src="b.png" alt="x"></noscript>'
    show(site, page, f'<sdz-img src="a.sdz" data-stage="linear" style="max-height: 32px">{fallback}</sdz-img>', 0)
    page.wait_for_function("document.querySelector('sdz-img img')?.naturalWidth === 96")
    box = "(({ width, height }) => [width, height])(document.querySelector('sdz-img').getBoundingClientRect())"
    page.wait_for_function(f"JSON.stringify({box}) === '[48,32]'")
    assert page.evaluate("window.seen") == []
    opened.set()
    page.wait_for_function("window.seen.length === 1")
    assert page.evaluate(box) == [int(SIZE[0] * 32 / SIZE[1] * 64) / 64, 32]


def test_two_copies_of_the_script(site: Site, page: Any) -> None:
    """One warning; both are the first one's: one worker, one core."""
    site.files |= {f"other/{path}": content for path, content in scripts().items()}
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    body = '<script type="module" src="other/sdz.js"></script><sdz-img src="a.sdz"></sdz-img><img data-sdz="b.sdz" alt="">'
    show(site, page, body, 2)
    assert sorted(page.evaluate("window.seen")) == ["load", "sdzload"]
    assert [text for text in said if text.startswith("sdz:")] == [
        f"sdz: this page loads the script twice, and the first copy is used: {site.url('sdz.js')}, not {site.url('other/sdz.js')}"
    ]
    assert site.asked("worker.js", ".wasm") == ["worker.js", "sdz.wasm"]
    modules = "Promise.all(['./sdz.js', './other/sdz.js'].map((path) => import(new URL(path, location.href))))"
    assert page.evaluate(f"{modules}.then(([a, b]) => [a.SdzImg === b.SdzImg, a.configure === b.configure])") == [True, True]


@pytest.mark.parametrize("when", ["before", "after"])
def test_moved_to_another_document_and_back(site: Site, page: Any, when: str) -> None:
    """Whose style sheets are others: box and picture stay, without another request; a picture not yet loaded is loaded there."""
    body = '<sdz-img src="a.sdz" data-stage="linear" style="height: 85px"></sdz-img><iframe srcdoc="<p>there"></iframe>'
    opened = site.hold("a.sdz")
    if when == "after":
        opened.set()
    show(site, page, body, int(when == "after"))
    page.wait_for_function("customElements.get('sdz-img') && document.querySelector('iframe').contentDocument.querySelector('p') !== null")
    page.evaluate("window.there = document.querySelector('iframe').contentDocument.body; window.moved = document.querySelector('sdz-img')")
    page.evaluate("moved.addEventListener('load', () => (window.loaded = true)); there.append(moved)")
    opened.set()
    state = """(() => {
      const { width, height } = moved.getBoundingClientRect();
      const { content } = moved.ownerDocument.defaultView.getComputedStyle(moved);
      return [moved.currentStage, width, height, content.slice(0, 9)];
    })()"""
    expected = ["linear", 125, 85, 'url("blob']
    page.wait_for_function(f"window.loaded || {json.dumps(when == 'after')}")
    page.wait_for_function(f"JSON.stringify({state}) === {json.dumps(json.dumps(expected, separators=(',', ':')))}")
    page.evaluate("document.body.append(moved)")
    page.wait_for_timeout(300)
    assert (page.evaluate(state), site.asked("a.sdz")) == (expected, ["a.sdz"])


def test_properties_set_before_the_script_was_there(site: Site, page: Any) -> None:
    early = "Object.assign(document.querySelector('sdz-img'), { src: 'b.sdz', alt: 'early', width: 48, loading: 'lazy' })"
    show(site, page, f'<sdz-img data-stage="linear"></sdz-img><script>{early}</script>{SCRIPT}', head=HEAD)
    e = "document.querySelector('sdz-img')"
    assert page.evaluate(f"['src', 'alt', 'width', 'loading'].map((name) => {e}.getAttribute(name))") == ["b.sdz", "early", "48", "lazy"]
    assert page.evaluate(f"[{e}.src, {e}.naturalWidth, {e}.width]") == [site.url("b.sdz"), 96, 48]


# img[data-sdz]


def test_a_picture_that_need_not_wait_any_more(site: Site, page: Any) -> None:
    pictures = '<img loading="lazy" data-sdz="a.sdz" src="b.png" alt=""><sdz-img loading="lazy" src="b.sdz"></sdz-img>'
    show(site, page, f'<div style="height: 5000px"></div>{pictures}', 0)
    page.wait_for_timeout(300)
    assert site.asked(".sdz") == []
    page.evaluate("[document.images[0], document.querySelector('sdz-img')].forEach((e) => (e.loading = 'eager'))")
    page.wait_for_function("window.seen.length === 2")
    assert sorted(page.evaluate("window.seen")) == ["load", "sdzload"]
    # said once more, nothing is loaded again
    page.evaluate("document.images[0].setAttribute('loading', 'eager')")
    page.wait_for_timeout(300)
    assert sorted(site.asked(".sdz")) == ["a.sdz", "b.sdz"]


def test_a_mark_changed_while_its_picture_is_on_the_way(site: Site, page: Any) -> None:
    """What is asked for last is shown, also where the other one comes later."""
    opened = site.hold("a.sdz")
    show(site, page, '<img data-sdz="a.sdz" src="b.png" alt="">', 0)
    while not site.asked("a.sdz"):
        page.wait_for_timeout(20)
    page.evaluate("document.images[0].dataset.sdz = 'b.sdz'")
    page.wait_for_function("window.seen.length === 1")
    opened.set()
    page.wait_for_timeout(700)
    assert (page.evaluate(WIDTHS), page.evaluate("window.seen")) == ([96], ["sdzload"])


WIDTHS = "[...document.images].map(({ naturalWidth }) => naturalWidth)"


def test_an_upgraded_image_follows_its_attributes(site: Site, page: Any) -> None:
    site.files["c.png"] = png(picture(31, 17))
    show(site, page, '<img data-sdz="a.sdz" data-stage="linear" src="c.png" alt=""><img src="c.png" alt="">')
    assert page.evaluate(WIDTHS) == [SIZE[0], 31]
    page.evaluate("document.images[0].dataset.sdz = 'b.sdz'; document.images[1].dataset.sdz = 'b.sdz'")
    page.wait_for_function("window.seen.length === 3")
    assert page.evaluate(WIDTHS) == [96, 96]
    # a source alone is a new picture; a mark that goes gives the author's back
    page.evaluate("document.images[0].src = 'a.png'; document.images[1].removeAttribute('data-sdz')")
    page.wait_for_function(f"JSON.stringify({WIDTHS}) === '[{SIZE[0]},31]'")
    assert page.evaluate("[...document.images].map((image) => image.getAttribute('src'))") == ["a.png", "c.png"]
    assert page.evaluate("window.seen") == ["sdzload"] * 3


@pytest.mark.parametrize("mode", ["open", "closed", "declared"])
def test_images_in_shadow_trees(site: Site, page: Any, mode: str) -> None:
    image = '<img data-sdz="b.sdz" src="a.png" alt="">'
    if mode == "declared":
        show(site, page, f'<div><template shadowrootmode="open">{image}</template></div>', 0)
        page.evaluate("window.root = document.querySelector('div').shadowRoot")
    else:
        show(site, page, "<div></div>", 0)
        page.wait_for_function("customElements.get('sdz-img') !== undefined")
        page.evaluate(f"(window.root = document.querySelector('div').attachShadow({{ mode: '{mode}' }})).innerHTML = '{image}'")
    page.wait_for_function("window.root.firstChild.naturalWidth === 96")


@pytest.mark.parametrize("scroller", ["", "height: 500px; overflow: auto"])
def test_lazy_pictures_wait_one_screen_away(site: Site, page: Any, scroller: str) -> None:
    """Of the viewport, or of what they scroll in; not one and a screen of what is enlarged already."""
    edge = 2 * (500 if scroller else 600)
    image = '<sdz-img src="{}.sdz" loading="lazy" data-stage="linear" width="9" height="9" style="position: absolute; top: {}px"></sdz-img>'
    pictures = image.format("a", edge - 20) + image.format("b", edge + 20)
    show(site, page, f'<div style="position: relative; {scroller}">{pictures}<div style="height: 9000px"></div></div>', 0)
    while not site.asked(".sdz"):
        page.wait_for_timeout(50)
    page.wait_for_timeout(300)
    assert site.asked(".sdz") == ["a.sdz"]
    page.evaluate("(document.querySelector('div').scrollTop = 60, scrollTo(0, 60))")
    while len(site.asked(".sdz")) < 2:
        page.wait_for_timeout(50)
    assert site.asked(".sdz") == ["a.sdz", "b.sdz"]
    # decoded in sight
    assert page.evaluate("window.seen") == []
    page.evaluate(f"(document.querySelector('div').scrollTop = {edge - 99}, scrollTo(0, {edge - 99}))")
    page.wait_for_function("window.seen.length === 2")


def test_what_is_far_away_gives_its_pixels_back(site: Site, page: Any) -> None:
    """And has them again when it is near, at the place and size that it had, without a second decoding."""
    source = (WEB / "page/near.js").read_text()
    assert source.count("KEPT_BYTES = 2 ** 25") == 1
    site.files["page/near.js"] = source.replace("KEPT_BYTES = 2 ** 25", "KEPT_BYTES = 1000").encode()
    show(site, page, '<sdz-img src="a.sdz"></sdz-img><div style="height: 9000px"></div>')
    page.wait_for_function("caches.open('sdz-pixels').then((kept) => kept.keys()).then((keys) => keys.length === 1)")
    page.evaluate("scrollTo(0, 9000)")
    is_shown = """async (type) => {
      const { content } = getComputedStyle(document.querySelector("sdz-img"));
      return (await fetch(JSON.parse(content.slice(4, -1)))).headers.get("content-type") === type;
    }"""
    page.wait_for_function(is_shown, arg="image/svg+xml")
    assert page.evaluate("document.querySelector('sdz-img').getBoundingClientRect().width") == SIZE[0]
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_function(is_shown, arg="image/bmp")
    assert (page.evaluate("window.seen"), page.evaluate("document.querySelector('sdz-img').complete")) == (["load"], True)


def test_pictures_that_wait_are_printed(site: Site, page: Any) -> None:
    """At once, from the linear stage; afterwards they wait as before."""
    far = '<div style="height: 3000px">far</div>'
    names = "".join(f'{far}<sdz-img src="{name}.sdz" loading="lazy" style="max-height: 40px"></sdz-img>' for name in "abab")
    show(site, page, names, 0)
    page.wait_for_function("performance.getEntriesByType('resource').some(({ name }) => name.endsWith('paintnow.js'))")
    page.wait_for_timeout(200)
    assert site.asked(".sdz") == []
    page.evaluate(
        "addEventListener('beforeprint', () => { window.printed = [...document.querySelectorAll('sdz-img')].map((e) => { "
        "const { width, height } = e.shadowRoot.querySelector('canvas'); return [width, height] }) })"
    )
    assert page.pdf().count(b"/Subtype /Image") == 4
    assert page.evaluate("window.printed") == [[*SIZE], [96, 64]] * 2
    assert page.evaluate("[...document.querySelectorAll('sdz-img')].map((e) => [e.currentStage, e.complete])") == [[None, False]] * 4
    assert page.evaluate("document.querySelector('sdz-img').shadowRoot.querySelector('canvas')") is None
    page.evaluate("scrollTo(0, 3000)")
    page.wait_for_function("window.seen.length === 1")
