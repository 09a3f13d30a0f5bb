"""`srcset` and `sizes` of <sdz-img>: what <img> takes, larger ones as the box grows; large files as small as they are shown."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from browser import Site, pack_files, picture, served, watching
from engines import page as reporting
from engines import report_of
from PIL import Image

from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.pack import Pack
from sdz.runtime.session import Session

pytest.importorskip("playwright.sync_api", reason="the element's tests need playwright")

HEAD = '<!doctype html><meta charset="utf-8"><title>t</title><style>body { margin: 0 }</style>'
SCRIPT = '<script type="module" src="sdz.js"></script>'
WATCH = watching(("load", "error", "progress"), "event.type === 'progress' ? event.detail.stage : event.type")
STATE = """(() => {
  const e = document.querySelector("sdz-img");
  const { width, height } = e.getBoundingClientRect();
  return [e.currentSrc.split("/").pop(), e.currentStage, e.naturalWidth, e.naturalHeight, width, height];
})()"""
SIDES = {"s": (60, 40), "m": (120, 80), "l": (240, 160)}
LARGE = (2048, 1100)
"""Two and a quarter megapixels: shown 256 pixels wide or less, an eighth of it is decoded."""


@pytest.fixture(scope="module")
def files(session: Session) -> dict[str, bytes]:
    out: dict[str, bytes] = {}
    for name, sides in SIDES.items():
        image = picture(*sides, 3)
        png = io.BytesIO()
        image.save(png, "PNG")
        out |= {f"{name}.sdz": encode(image, session=session), f"{name}.png": png.getvalue()}
    return out


@pytest.fixture(scope="module")
def large(session: Session) -> bytes:
    return encode(picture(*LARGE, 5), quality=5, session=session)


@pytest.fixture
def site(pack: Pack, files: dict[str, bytes]) -> Iterator[Site]:
    yield from served(pack_files(pack) | files)


def opened(chromium: Any, site: Site, body: str, loads: int = 1, density: float = 1, width: int = 800, saving: bool = False) -> Any:
    context = chromium.new_context(viewport={"width": width, "height": 600}, device_scale_factor=density)
    context.set_default_timeout(60_000)
    context.add_init_script(WATCH)
    if saving:
        context.add_init_script("Object.defineProperty(navigator, 'connection', { value: { saveData: true } })")
    page = context.new_page()
    site.show(page, (HEAD + SCRIPT + body))
    page.wait_for_function(f"window.seen.filter((type) => type === 'load').length >= {loads}")
    return page


WIDTHS = "s.* 60w, m.* 120w, l.* 240w"
ASKED = [
    (WIDTHS, "50px", 1), (WIDTHS, "61px", 1), (WIDTHS, "100px", 1), (WIDTHS, "10vw", 1), (WIDTHS, "10vw", 2), (WIDTHS, "30px", 3),
    (WIDTHS, "", 1), (WIDTHS, "(min-width: 700px) 55px, 100vw", 1), (WIDTHS, "(min-width: 900px) 55px, calc(20vw + 3em)", 1),
    ("s.*, m.* 2x, l.* 4x", "", 1), ("s.*, m.* 2x, l.* 4x", "", 1.5), ("s.*, m.* 2x, l.* 4x", "", 3), ("m.* 2x", "", 1), ("m.* 2x", "", 2),
    ("m.* 1.5x,l.* 3x", "", 2), (" s.* 60w,m.* 120w , broken 7q, l.* 240w,", "110px", 1),
]  # fmt: skip
"""`srcset`, `sizes`, device pixels of one of CSS."""


def tags(kind: str, suffix: str, density: float) -> str:
    """One element for each entry. Every address is asked for once: Chromium takes a larger file that an `<img>` before has loaded."""
    sources = [(f"{suffix}?{n}", widths, sizes) for n, (widths, sizes, d) in enumerate(ASKED) if d == density]
    return "".join(
        f'<{kind} src="s{end}" srcset="{widths.replace(".*", end)}"{f" sizes={chr(34)}{sizes}{chr(34)}" if sizes else ""}></{kind}>'
        for end, widths, sizes in sources
    )


TAKEN = "[...document.querySelectorAll('.kind')].map((e) => e.currentSrc.split('/').pop().split('.')[0])"


@pytest.mark.parametrize("density", [1, 1.5, 2, 3])
def test_takes_what_img_takes(chromium: Any, site: Site, density: float) -> None:
    """The same file, in the same natural size and box."""
    count = sum(d == density for *_, d in ASKED)
    page = opened(chromium, site, f"{tags('img', '.png', density)}<br>{tags('sdz-img', '.sdz', density)}", count, density)
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    measure = """(kind) => [...document.querySelectorAll(kind)].map((e) => {
      const { width, height } = e.getBoundingClientRect();
      return [e.currentSrc.split("/").pop().split(".")[0], e.naturalWidth, e.naturalHeight, Math.round(width), Math.round(height)];
    })"""
    expected = page.evaluate(measure, "img")
    got = page.evaluate(measure, "sdz-img")
    assert [(name, *box) for name, _, _, *box in got] == [(name, *box) for name, _, _, *box in expected]
    # Chromium divides by a density in single precision and cuts: 54 of 55 pixels
    assert all(abs(a - b) <= 1 for one, other in zip(got, expected, strict=True) for a, b in zip(one[1:3], other[1:3], strict=True))
    assert len(expected) == count
    page.context.close()


ENGINE = """
document.body.insertAdjacentHTML("beforeend", argument.img + argument.sdz);
await import(new URL("sdz.js", location.href));
await Promise.all([...document.querySelectorAll("sdz-img")].map((element) => element.decode()));
const taken = (kind) => [...document.querySelectorAll(kind)].map((e) => e.currentSrc.split("/").pop().split(".")[0]);
return [taken("img"), taken("sdz-img")];
"""


@pytest.mark.parametrize("engine", ["firefox", "webkit"])
def test_takes_what_img_takes_in_other_engines(engine: str, site: Site) -> None:
    site.files["sizes.html"] = reporting(ENGINE, {"img": tags("img", ".png", 1), "sdz": tags("sdz-img", ".sdz", 1)})
    images, own = report_of(engine, site, "sizes.html")
    assert own == images
    assert set(own) == {"s", "m", "l"}


def test_auto_is_the_elements_own_width(chromium: Any, site: Site) -> None:
    """Lazy or not; and without it the next entry counts."""
    srcset = WIDTHS.replace("*", "sdz")
    body = "".join(
        f'<div style="width: {width}px"><sdz-img src="l.sdz" srcset="{srcset}" sizes="{sizes}" style="width: 100%"></sdz-img></div>'
        for width, sizes in ((50, "auto"), (100, "auto, 10px"), (200, " AUTO , 10px"))
    )
    page = opened(chromium, site, body, 3)
    assert page.evaluate(TAKEN.replace(".kind", "sdz-img")) == ["s", "m", "l"]
    assert sorted(site.asked("s.sdz", "m.sdz", "l.sdz")) == ["l.sdz", "m.sdz", "s.sdz"]
    page.context.close()


def test_save_data_takes_the_next_smaller_one(chromium: Any, site: Site) -> None:
    srcset = WIDTHS.replace("*", "sdz")
    body = "".join(f'<sdz-img srcset="{srcset}" sizes="{width}px"></sdz-img>' for width in (200, 100, 50))
    page = opened(chromium, site, body, 3, saving=True)
    assert page.evaluate(TAKEN.replace(".kind", "sdz-img")) == ["m", "s", "s"]
    assert page.evaluate("[...document.querySelectorAll('sdz-img')].map((e) => [e.currentStage, e.naturalWidth])") == [
        ["linear", 200], ["linear", 100], ["linear", 50],
    ]  # fmt: skip
    page.context.close()


def test_a_page_without_srcset_loads_nothing_of_it(chromium: Any, site: Site) -> None:
    page = opened(chromium, site, '<sdz-img src="s.sdz"></sdz-img>')
    assert site.asked("sizes.js") == []
    page.context.close()


def test_a_larger_box_takes_a_larger_file_and_a_smaller_one_none(chromium: Any, site: Site) -> None:
    """What is shown is finished, and stays until the larger picture is."""
    srcset = WIDTHS.replace("*", "sdz")
    page = opened(chromium, site, f'<div style="width: 50px"><sdz-img srcset="{srcset}" sizes="auto" style="width: 100%"></sdz-img></div>')
    assert page.evaluate(STATE)[:2] == ["s.sdz", "denoised"]
    held = site.hold("l.sdz")
    page.evaluate("document.querySelector('div').style.width = '230px'")
    page.wait_for_function("document.querySelector('sdz-img').currentSrc.endsWith('l.sdz')")
    content = "getComputedStyle(document.querySelector('sdz-img')).content"
    before = page.evaluate(content)
    assert page.evaluate(STATE)[1:5] == ["denoised", 50, 33, 230]
    held.set()
    page.wait_for_function("window.seen.filter((type) => type === 'load').length === 2")
    assert page.evaluate(content) != before
    assert page.evaluate(STATE)[:3] == ["l.sdz", "denoised", 230]
    page.evaluate("document.querySelector('div').style.width = '40px'")
    page.wait_for_timeout(300)
    page.evaluate("document.querySelector('sdz-img').sizes = '20px'")
    page.wait_for_timeout(300)
    assert (page.evaluate(STATE)[0], site.asked("m.sdz"), len(site.asked("l.sdz"))) == ("l.sdz", [], 1)
    assert page.evaluate("window.seen.filter((type) => type === 'load').length") == 2
    page.context.close()


def test_a_larger_file_that_fails_leaves_what_is_shown(chromium: Any, site: Site) -> None:
    site.files["l.sdz"] = b"none"
    srcset = WIDTHS.replace("*", "sdz")
    page = opened(chromium, site, f'<sdz-img srcset="{srcset}" sizes="50px"><noscript><img src="s.png"></noscript></sdz-img>')
    page.evaluate("document.querySelector('sdz-img').sizes = '230px'")
    page.wait_for_function("window.seen.filter((type) => type === 'load').length === 2")
    assert (page.evaluate("window.seen.includes('error')"), page.evaluate("document.querySelector('sdz-img img')")) == (False, None)
    page.context.close()


PIXELS = """async () => {
  const { content } = getComputedStyle(document.querySelector("sdz-img"));
  const bitmap = await createImageBitmap(await (await fetch(content.match(/blob:[^"]*/)[0])).blob());
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  return [bitmap.width, bitmap.height, btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""))];
}"""


def test_a_file_larger_than_its_box_is_decoded_as_it_is_shown(chromium: Any, site: Site, large: bytes, session: Session) -> None:
    """An eighth, from the linear stage, in the box of the whole; the whole when the box grows."""
    site.files["large.sdz"] = large
    page = opened(chromium, site, '<sdz-img src="large.sdz" style="max-width: 250px"></sdz-img>')
    width, height, data = page.evaluate(PIXELS)
    expected = decode(large, stage="linear", reduce=8, session=session).pixels
    got = np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)
    assert (width, height) == (256, 138)
    assert np.array_equal(got[:, :, :3], expected)
    assert page.evaluate(STATE) == ["large.sdz", "linear", *LARGE, 250, page.evaluate(STATE)[5]]
    assert abs(page.evaluate(STATE)[5] - 250 * LARGE[1] / LARGE[0]) < 1
    assert site.asked(".core.bin") == []
    page.evaluate("document.querySelector('sdz-img').style.maxWidth = '700px'")
    page.wait_for_function("window.seen.filter((type) => type === 'load').length === 2")
    assert page.evaluate(STATE)[:4] == ["large.sdz", "denoised", *LARGE]
    assert round(page.evaluate(STATE)[4]) == 700
    assert page.evaluate(PIXELS)[:2] == [*LARGE]
    page.context.close()


@pytest.mark.parametrize("style", ["", "width: 250px; object-fit: none", "width: 600px"], ids=["whole", "cropped", "a third"])
def test_a_file_is_decoded_whole_where_that_is_seen_or_costs_little(chromium: Any, site: Site, large: bytes, style: str) -> None:
    site.files["large.sdz"] = large
    page = opened(chromium, site, f'<sdz-img src="large.sdz" style="{style}"></sdz-img>')
    assert page.evaluate(STATE)[1] == "denoised"
    page.context.close()


REDUCED = """async ({ base, name, pack, reduce }) => {
  const { paint, readPicture } = await import(base + "decode.js");
  const { fetchReader, loadPack } = await import(base + "pack.js");
  const opened = await loadPack(pack, fetchReader(new URL(`packs/${pack}/`, base)));
  const picture = await readPicture(new Uint8Array(await (await fetch(base + name)).arrayBuffer()), opened);
  const [width, height] = [picture.header.width, picture.header.height].map((side) => Math.ceil(side / reduce));
  const data = new Uint8ClampedArray(4 * width * height);
  for await (const tile of paint(picture, "linear", null, 16, 2, reduce)) {
    for (let row = 0; row < tile.height; row++) {
      data.set(tile.pixels.subarray(4 * row * tile.width, 4 * (row + 1) * tile.width), 4 * ((tile.y + row) * width + tile.x));
    }
  }
  return btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""));
}"""


@pytest.mark.parametrize("reduce", [2, 4, 8, 16])
def test_reduced_pixels_are_pythons(chromium: Any, site: Site, pack: Pack, session: Session, reduce: int) -> None:
    """Of odd sides, with alpha, in tiles."""
    image = picture(131, 97, 3).convert("RGBA")
    image.putalpha(Image.fromarray(np.add.outer(np.arange(97), np.arange(131)).astype(np.uint8)))
    site.files["alpha.sdz"] = encode(image, session=session)
    page = opened(chromium, site, "", 0)
    data = page.evaluate(REDUCED, {"base": site.url(""), "name": "alpha.sdz", "pack": pack.id.hex(), "reduce": reduce})
    expected = decode(site.files["alpha.sdz"], stage="linear", reduce=reduce, session=session).pixels
    assert np.array_equal(np.frombuffer(base64.b64decode(data), np.uint8).reshape(expected.shape), expected)
    page.context.close()


# img[data-sdz]

UPGRADED = "document.addEventListener('sdzload', () => window.loads = (window.loads ?? 0) + 1, true)"
IMAGE = """async () => {
  const image = document.querySelector("img");
  const bitmap = await createImageBitmap(await (await fetch(image.currentSrc)).blob());
  return [bitmap.width, bitmap.height, Math.round(image.getBoundingClientRect().width), image.naturalWidth];
}"""


def upgraded(chromium: Any, site: Site, body: str) -> Any:
    """A page whose one image has been upgraded."""
    site.files["index.html"] = f"{HEAD}<script>{UPGRADED}</script>{SCRIPT}{body}".encode()
    page = chromium.new_context(viewport={"width": 800, "height": 600}).new_page()
    page.goto(site.url("index.html"))
    page.wait_for_function("window.loads === 1")
    return page


@pytest.mark.parametrize(("width", "name"), [(50, "s"), (110, "m"), (200, "l")])
def test_an_image_takes_the_candidate_that_its_srcset_would(chromium: Any, site: Site, width: int, name: str) -> None:
    """In the box that it would have."""
    srcset = WIDTHS.replace("*", "sdz")
    page = upgraded(chromium, site, f'<img src="s.png" data-sdz="l.sdz" data-sdz-srcset="{srcset}" sizes="{width}px" alt="">')
    assert site.asked(".sdz") == [f"{name}.sdz"]
    across, down, box, natural = page.evaluate(IMAGE)
    assert (across, down) == SIDES[name]
    assert abs(box - width) <= 1 and abs(natural - width) <= 1
    page.context.close()


def test_an_image_takes_a_larger_file_when_it_is_shown_larger(chromium: Any, site: Site) -> None:
    """By its own width, or by `sizes`; and its own picture again where `data-sdz` goes."""
    srcset = WIDTHS.replace("*", "sdz")
    image = f'<img src="s.png" data-sdz="l.sdz" data-sdz-srcset="{srcset}" sizes="auto" style="width: 100%" alt="">'
    page = upgraded(chromium, site, f'<div style="width: 50px">{image}</div>')
    assert page.evaluate(IMAGE)[:3] == [60, 40, 50]
    page.evaluate("document.querySelector('div').style.width = '110px'")
    page.wait_for_function("window.loads === 2")
    assert page.evaluate(IMAGE)[:3] == [120, 80, 110]
    page.evaluate("document.querySelector('img').sizes = '230px'")
    page.wait_for_function("window.loads === 3")
    assert page.evaluate(IMAGE)[:3] == [240, 160, 110]
    assert site.asked(".sdz") == ["s.sdz", "m.sdz", "l.sdz"]
    page.evaluate("document.querySelector('img').removeAttribute('data-sdz')")
    page.wait_for_function("document.querySelector('img').currentSrc.endsWith('s.png')")
    assert page.evaluate("document.querySelector('img').hasAttribute('srcset')") is False
    page.context.close()


def test_a_larger_file_of_an_image_that_fails_leaves_what_is_shown(chromium: Any, site: Site) -> None:
    site.files["l.sdz"] = b"none"
    srcset = WIDTHS.replace("*", "sdz")
    page = upgraded(chromium, site, f'<img src="s.png" data-sdz="l.sdz" data-sdz-srcset="{srcset}" sizes="50px" alt="">')
    page.evaluate("document.addEventListener('sdzerror', () => window.failed = true, true)")
    page.evaluate("document.querySelector('img').sizes = '230px'")
    while not site.asked("l.sdz"):
        page.wait_for_timeout(20)
    page.wait_for_timeout(300)
    assert (page.evaluate(IMAGE)[0], page.evaluate("window.failed ?? null"), site.asked("l.sdz")) == (60, None, ["l.sdz"])
    page.context.close()


def test_a_large_file_of_an_image_is_decoded_as_it_is_shown(chromium: Any, site: Site, large: bytes) -> None:
    """An eighth, in the box of the whole; the whole when the box grows."""
    site.files["large.sdz"] = large
    size = f'width="{LARGE[0]}" height="{LARGE[1]}" style="width: 250px; height: auto"'
    page = upgraded(chromium, site, f'<img data-sdz="large.sdz" alt="" {size}>')
    assert page.evaluate(IMAGE) == [256, 138, 250, LARGE[0]]
    assert site.asked(".core.bin") == []
    page.evaluate("document.querySelector('img').style.width = '700px'")
    page.wait_for_function("window.loads === 2")
    assert page.evaluate(IMAGE) == [*LARGE, 700, LARGE[0]]
    page.context.close()
