"""The browser's side, end to end in Chromium: the same integers and pixels as the Python runtime, and <sdz-img> as a site owner meets it.

Hashes are computed by the page itself, of the bytes it is about to show.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from browser import ARGUMENTS, CHROMIUM, ISOLATION, ORT, SHOWN, Site, made_for, opened, pack_files, picture, served, watching, without_core
from numpy.typing import NDArray
from PIL import Image

from sdz.runtime.decode import decode, open_latents
from sdz.runtime.encode import encode
from sdz.runtime.format.container import latent_span, parse, serialize
from sdz.runtime.format.reconstruction import Known
from sdz.runtime.options import Stage
from sdz.runtime.pack import Pack
from sdz.runtime.session import Session

playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
CSP = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; img-src 'self' blob:; "
    "style-src 'self'"
)

HASH = """
  const hash = async (...arrays) => {
    const bytes = new Uint8Array(arrays.reduce((size, a) => size + a.byteLength, 0));
    let at = 0;
    for (const a of arrays) {
      bytes.set(new Uint8Array(a.buffer, a.byteOffset, a.byteLength), at);
      at += a.byteLength;
    }
    const digest = await crypto.subtle.digest("SHA-256", bytes);
    return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  };
"""


def in_page(script: str) -> str:
    """An async function for `page.evaluate` with `hash` at hand."""
    return "async (argument) => {" + HASH + script + "}"


DECODE = in_page("""
  const { decodeBytes } = await import(argument.base + "decode.js");
  const { loadPack, fetchReader } = await import(argument.base + "pack.js");
  const { Sessions } = await import(argument.base + "sessions.js");
  const pack = await loadPack(argument.pack, fetchReader(new URL(`packs/${argument.pack}/`, argument.base)));
  const session = await new Sessions({ ort: argument.base + "ort/", threads: argument.threads }).session(pack);
  const out = {};
  for (const [name, stage, tile] of argument.wanted) {
    const bytes = new Uint8Array(await (await fetch(argument.base + name)).arrayBuffer());
    const image = await decodeBytes(bytes, { stage, session, tile });
    out[[name, stage, tile ?? ""].join(" ")] = await hash(image.data);
  }
  return { out, isolated: crossOriginIsolated };
""")

WATCH = watching(("load", "error", "progress", "sdzload", "sdzerror", "sdzprogress"), "[event.type, event.detail ?? null, event.target.id]")


@pytest.fixture
def site(pack: Pack) -> Iterator[Site]:
    yield from served(pack_files(pack) | {"empty.html": b"<!doctype html><title>empty</title>"})


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    yield from opened(chromium, WATCH)


@pytest.fixture(scope="module")
def files(session: Session) -> dict[str, bytes]:
    """Pictures of many kinds, by name."""
    alpha = picture(90, 70, 3).convert("RGBA")
    alpha.putalpha(Image.fromarray(np.add.outer(np.arange(70), np.arange(90)).astype(np.uint8)))
    return {
        "plain.sdz": encode(picture(256, 192), session=session),
        "odd.sdz": encode(picture(333, 217, 1), quality=65, session=session, alt="Sine waves"),
        "fine.sdz": encode(picture(75, 50, 6), quality=90, session=session),
        "tiny.sdz": encode(picture(1, 1), session=session),
        "narrow.sdz": encode(picture(17, 300, 2), quality=30, session=session),
        "grey.sdz": encode(picture(120, 75, 4).convert("L"), session=session),
        "alpha.sdz": encode(alpha, session=session),
        "coarse.sdz": encode(picture(256, 192), target_size=400, session=session),
    }


def rgba(data: bytes, stage: Stage, session: Session, realism: float | None = None) -> NDArray[np.uint8]:
    """The Python runtime's pixels, as a canvas has them."""
    pixels = decode(data, stage=stage, session=session, realism=realism).pixels
    out = np.full((*pixels.shape[:2], 4), 255, np.uint8)
    colours = 1 if pixels.shape[2] < 3 else 3
    out[:, :, :3] = pixels[:, :, :colours]
    if pixels.shape[2] in (2, 4):
        out[:, :, 3] = pixels[:, :, -1]
    return out


def sha256(*arrays: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()


# integers and pixels


def test_vectors(site: Site, page: Any) -> None:
    """Integers and linear stage of every shared vector, in the browser."""
    names = sorted(path.stem for path in (VECTORS / "valid").glob("*.sdz"))
    assert names
    site.files |= {f"vectors/{path.relative_to(VECTORS).as_posix()}": path for path in VECTORS.rglob("*.*")}
    page.goto(site.url("empty.html"))
    got = page.evaluate(
        in_page("""
          const read = async (path) => new Uint8Array(await (await fetch(argument.base + "vectors/" + path)).arrayBuffer());
          const { readPicture } = await import(argument.base + "decode.js");
          const manifest = JSON.parse(new TextDecoder().decode(await read("pack/pack.json")));
          const pack = { quantizer: "planes", coder: await read("pack/coder.bin"), linear: await read("pack/linear.bin"),
                         id: (await hash(await read("pack/pack.json"))).slice(0, 6), channels: manifest.channels, lapping: null,
                         patch: 16, reconstruction: manifest.reconstruction, l1Limit: manifest.l1_limit, linearShift: manifest.linear_shift,
                         octaves: Int32Array.from(JSON.parse(new TextDecoder().decode(await read("pack/octaves.json")))) };
          const out = {};
          for (const name of argument.names) {
            const picture = await readPicture(await read(`valid/${name}.sdz`), pack);
            const [known, latents] = [await picture.known(), await picture.latents()];
            picture.close();
            const negative = Uint8Array.from(known.values, (value) => Number(value < 0));
            const wide = [latents.values, latents.levels, latents.precision, latents.halfWidth];
            out[name] = [await hash(known.values.map(Math.abs), negative, known.plane), await hash(...wide)];
          }
          return out;
        """),
        {"base": site.url(""), "names": names},
    )
    expected = {name: json.loads((VECTORS / "valid" / f"{name}.json").read_bytes()) for name in names}
    assert got == {name: [vector["known"]["sha256"], vector["latents"]] for name, vector in expected.items()}


def test_integers_of_every_cut(site: Site, page: Any, pack: Pack, files: dict[str, bytes]) -> None:
    data = files["coarse.sdz"]
    start, end = latent_span(data)
    expected = {}
    for cut in range(start, end + 1):
        picture = open_latents(data[:cut], pack=pack).picture
        known, latents = picture.known(), picture.latents()
        assert isinstance(known, Known)
        expected[str(cut)] = sha256(*(a.astype("<i4") for a in (known.magnitude, known.plane, latents.values, latents.half_width)))
    site.files["a.sdz"] = data
    page.goto(site.url("empty.html"))
    got = page.evaluate(
        in_page("""
          const { readPicture } = await import(argument.base + "decode.js");
          const { loadPack, fetchReader } = await import(argument.base + "pack.js");
          const pack = await loadPack(argument.pack, fetchReader(new URL(`packs/${argument.pack}/`, argument.base)));
          const bytes = new Uint8Array(await (await fetch(argument.base + "a.sdz")).arrayBuffer());
          const out = {};
          for (let cut = argument.start; cut <= bytes.length; cut++) {
            const picture = await readPicture(bytes.subarray(0, cut), pack);
            const { values, halfWidth } = await picture.latents();
            const known = await picture.known();
            picture.close();
            out[cut] = await hash(...[known.values.map(Math.abs), known.plane, values, halfWidth].map((a) => Int32Array.from(a)));
          }
          return out;
        """),
        {"base": site.url(""), "pack": pack.id.hex(), "start": start},
    )
    assert end == len(data)
    assert got == expected


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_pixels_are_those_of_the_python_runtime(
    site: Site, page: Any, pack: Pack, session: Session, files: dict[str, bytes], threads: int
) -> None:
    """0 differing bytes, whatever the size, the stage and the tiles: by the core (0 threads) and by onnxruntime-web."""
    pack_id = pack.id
    site.files |= files
    if threads:
        pack_id, more = without_core(pack)
        site.files |= more | {name: made_for(pack_id, data) for name, data in files.items()}
    if threads > 1:
        site.headers |= ISOLATION
    wanted: list[tuple[str, Stage, int | None]] = [(name, stage, None) for name in files for stage in ("linear", "decoded", "denoised")]
    wanted += [("odd.sdz", "decoded", 5), ("odd.sdz", "denoised", 7), ("odd.sdz", "linear", 3)]
    page.goto(site.url("empty.html"))
    got = page.evaluate(DECODE, {"base": site.url(""), "pack": pack_id.hex(), "threads": threads, "wanted": wanted})
    assert (site.asked(".mjs", ".onnx") == []) == (threads == 0)
    assert got["isolated"] == (threads > 1)
    expected = {f"{name} {stage} {tile or ''}": sha256(rgba(files[name], stage, session)) for name, stage, tile in wanted}
    assert got["out"] == expected


# the element


ELEMENT = """<!doctype html><meta charset="utf-8"><title>t</title><style>body {{ margin: 0 }}</style>
<script type="module" src="sdz.js"></script>{}"""


def show(site: Site, page: Any, body: str, wait: str | None = "load") -> list[Any]:
    """Opens a page with `body`; the events of its elements until the first `wait`."""
    site.show(page, ELEMENT.format(body))
    if wait:
        page.wait_for_function(f"window.seen.some(([type]) => type === '{wait}')")
    seen: list[Any] = page.evaluate("window.seen")
    return seen


SHOWN_HASH = in_page(f"""
  const shown = await ({SHOWN})(document.querySelector("sdz-img"));
  return shown && (await hash(shown.data));
""")


def test_element_shows_the_exact_pixels(site: Site, page: Any, session: Session, files: dict[str, bytes]) -> None:
    site.files["a.sdz"] = data = files["odd.sdz"]
    seen = show(site, page, '<sdz-img src="a.sdz"></sdz-img>')
    stages = [detail["stage"] for kind, detail, _ in seen if kind == "progress"]
    assert stages[0] == "linear"
    assert seen[-1][0] == "load"
    reached = decode(data, session=session).stage
    assert stages[-1] == reached
    assert all(detail["bytes"] <= len(data) and detail["total"] == len(data) for kind, detail, _ in seen if kind == "progress")
    assert page.evaluate(SHOWN_HASH) == sha256(rgba(data, "denoised", session))
    state = page.evaluate("(() => { const e = document.querySelector('sdz-img'); "
                          "return [e.complete, e.naturalWidth, e.naturalHeight, e.currentStage] })()")  # fmt: skip
    assert state == [True, 333, 217, reached]


def test_layout_never_jumps(site: Site, page: Any, files: dict[str, bytes]) -> None:
    """The place is reserved before the picture's first byte, by the attributes alone."""
    site.files["a.sdz"] = files["plain.sdz"]
    opened = site.hold("a.sdz")
    style = "<style>sdz-img { max-width: 100%; height: auto }</style>"
    show(site, page, f'{style}<sdz-img src="a.sdz" width="256" height="192"></sdz-img><p>below</p>', None)
    page.wait_for_function("customElements.get('sdz-img') !== undefined")
    box = "JSON.stringify(document.querySelector('sdz-img').getBoundingClientRect())"
    before = page.evaluate(box)
    assert json.loads(before)["width"] == 256
    assert json.loads(before)["height"] == 192
    opened.set()
    page.wait_for_function("window.seen.some(([type]) => type === 'load')")
    assert page.evaluate(box) == before
    # narrower than the picture, as in a phone: the ratio stays
    page.set_viewport_size({"width": 128, "height": 600})
    after = json.loads(page.evaluate(box))
    assert [after["width"], after["height"]] == [128, 96]


def test_size_without_attributes_is_the_files(site: Site, page: Any, files: dict[str, bytes]) -> None:
    site.files["a.sdz"] = files["plain.sdz"]
    show(site, page, '<sdz-img src="a.sdz" data-stage="linear"></sdz-img>')
    box = page.evaluate("(({width, height}) => [width, height])(document.querySelector('sdz-img').getBoundingClientRect())")
    assert box == [256, 192]
    page.evaluate("document.querySelector('sdz-img').width = 64")
    box = page.evaluate("(({width, height}) => [width, height])(document.querySelector('sdz-img').getBoundingClientRect())")
    assert box == [64, 48]


def test_to_assistive_technology_it_is_an_image(site: Site, page: Any, files: dict[str, bytes]) -> None:
    site.files["a.sdz"] = files["odd.sdz"]
    show(
        site,
        page,
        '<sdz-img src="a.sdz" data-stage="linear" alt="A cat"></sdz-img><sdz-img src="a.sdz" data-stage="linear" alt=""></sdz-img>'
        '<sdz-img id="own" src="a.sdz" data-stage="linear"></sdz-img>',
        None,
    )
    page.wait_for_function("window.seen.filter(([type]) => type === 'load').length === 3")
    roles = page.evaluate("[...document.querySelectorAll('sdz-img')].map((e) => [e.getAttribute('role'), e.getAttribute('aria-label')])")
    assert roles == [["img", "A cat"], ["presentation", None], ["img", "Sine waves"]]
    assert page.get_by_role("img", name="A cat").count() == 1
    # no stop for the keyboard, as <img> is none
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement === document.body")


def test_linear_stage_needs_no_networks(site: Site, page: Any, session: Session, files: dict[str, bytes]) -> None:
    site.files["a.sdz"] = data = files["plain.sdz"]
    seen = show(site, page, '<sdz-img src="a.sdz" data-stage="linear"></sdz-img>')
    assert seen[-1][0] == "load"
    assert page.evaluate(SHOWN_HASH) == sha256(rgba(data, "linear", session))
    page.wait_for_timeout(200)
    assert site.asked(".wasm", ".mjs", ".onnx", ".core.bin") == ["sdz.wasm"]


@pytest.mark.parametrize("how", ["save-data", "prefers-reduced-data"])
def test_readers_who_save_data_get_the_linear_stage(site: Site, page: Any, files: dict[str, bytes], how: str) -> None:
    if how == "save-data":
        page.add_init_script("Object.defineProperty(navigator, 'connection', { value: { saveData: true } })")
    else:
        page.add_init_script(
            "const plain = matchMedia; "
            "window.matchMedia = (query) => query === '(prefers-reduced-data: reduce)' ? { matches: true } : plain(query)"
        )
    site.files["a.sdz"] = files["plain.sdz"]
    seen = show(site, page, '<sdz-img src="a.sdz"></sdz-img>')
    assert [detail["stage"] for kind, detail, _ in seen if kind == "progress"] == ["linear"]
    assert site.asked(".wasm", ".mjs", ".onnx", ".core.bin") == ["sdz.wasm"]


def test_first_paint_comes_from_the_first_bytes(site: Site, page: Any, pack: Pack, session: Session, files: dict[str, bytes]) -> None:
    """With half of the file there and no networks, the linear stage of that half is painted."""
    site.files["a.sdz"] = data = files["odd.sdz"]
    half = len(data) // 2
    rest = site.hold("a.sdz", half)
    networks = site.hold(f"packs/{pack.id.hex()}/{pack.core['decoder'].file}")
    show(site, page, '<sdz-img src="a.sdz"></sdz-img>', "progress")
    assert page.evaluate(SHOWN_HASH) == sha256(rgba(data[:half], "linear", session))
    rest.set()
    page.wait_for_function(f"window.seen.some(([type, detail]) => detail?.bytes === {len(data)})")
    assert page.evaluate(SHOWN_HASH) == sha256(rgba(data, "linear", session))
    assert page.evaluate("document.querySelector('sdz-img').complete") is False
    networks.set()
    page.wait_for_function("window.seen.some(([type]) => type === 'load')")
    assert page.evaluate(SHOWN_HASH) == sha256(rgba(data, "denoised", session))


def test_decoded_stage_stands_while_the_denoiser_loads(
    site: Site, page: Any, pack: Pack, session: Session, files: dict[str, bytes]
) -> None:
    site.files["a.sdz"] = data = files["coarse.sdz"]
    assert decode(data, session=session).stage == "denoised"
    denoiser = site.hold(f"packs/{pack.id.hex()}/{pack.core['denoiser'].file}")
    show(site, page, '<sdz-img src="a.sdz"></sdz-img>', None)
    page.wait_for_function("window.seen.some(([type, detail]) => detail?.stage === 'decoded')")
    assert page.evaluate(SHOWN_HASH) == sha256(rgba(data, "decoded", session))
    denoiser.set()
    page.wait_for_function("window.seen.some(([type]) => type === 'load')")
    assert page.evaluate(SHOWN_HASH) == sha256(rgba(data, "denoised", session))


@pytest.mark.parametrize("realism", [0.5, 0.0])
def test_realism_is_an_attribute_and_changes_with_it(
    site: Site, page: Any, session: Session, files: dict[str, bytes], realism: float
) -> None:
    site.files["a.sdz"] = data = files["coarse.sdz"]
    wanted = rgba(data, "denoised", session, realism)
    assert (wanted != rgba(data, "denoised", session)).any()
    show(site, page, f'<sdz-img src="a.sdz" data-realism="{realism}"></sdz-img>')
    assert page.evaluate(SHOWN_HASH) == sha256(wanted)
    page.evaluate("delete document.querySelector('sdz-img').dataset.realism")
    page.wait_for_function("window.seen.filter(([type]) => type === 'load').length === 2")
    assert page.evaluate(SHOWN_HASH) == sha256(rgba(data, "denoised", session))


@pytest.mark.parametrize(("stated", "stage"), [(6, "denoised"), (0, "decoded")])
def test_a_file_says_how_far_the_denoiser_goes(
    site: Site, page: Any, session: Session, files: dict[str, bytes], pack: Pack, stated: int, stage: Stage
) -> None:
    denoiser = f"packs/{pack.id.hex()}/{pack.core['denoiser'].file}"
    container = parse(files["coarse.sdz"])
    site.files["a.sdz"] = data = serialize(replace(container.header, realism=stated), container.chunks)
    show(site, page, '<sdz-img src="a.sdz"></sdz-img>')
    assert page.evaluate(SHOWN_HASH) == sha256(rgba(data, "denoised", session, None))
    assert page.evaluate("window.seen.filter(([, detail]) => detail?.stage).at(-1)[1].stage") == stage
    # nothing is loaded that is not shown
    assert (denoiser in site.requests) == bool(stated)
    page.evaluate("document.querySelector('sdz-img').dataset.realism = '1'")
    page.wait_for_function("window.seen.filter(([type]) => type === 'load').length === 2")
    assert page.evaluate(SHOWN_HASH) == sha256(rgba(files["coarse.sdz"], "denoised", session))


FALLBACK = '<sdz-img src="a.sdz" alt="x" width="40" height="30"><img src="f.png" alt="x" width="40" height="30"></sdz-img>'
NOSCRIPT = '<sdz-img src="a.sdz" alt="x" width="40" height="30"><noscript><img src="f.png" alt="x" onerror="alert(1)"></noscript></sdz-img>'
STATE = (
    "(() => { const e = document.querySelector('sdz-img'); const own = getComputedStyle(e).content.includes('blob:'); "
    "return [e.shadowRoot.querySelector('slot').hidden, own, e.querySelector('img')?.naturalWidth ?? null] })()"
)


def png() -> bytes:
    import io

    out = io.BytesIO()
    picture(8, 6).save(out, "PNG")
    return out.getvalue()


def break_file(site: Site, pack: Pack, files: dict[str, bytes], how: str) -> None:
    data = files["plain.sdz"]
    site.files["a.sdz"] = data
    folder = f"packs/{pack.id.hex()}/"
    if how == "missing":
        del site.files["a.sdz"]
    elif how == "foreign":
        site.files["a.sdz"] = png()
    elif how == "crc":
        site.files["a.sdz"] = data[:-1] + bytes([data[-1] ^ 1])
    elif how == "pack":
        container = parse(data)
        site.files["a.sdz"] = serialize(replace(container.header, pack_id=b"\x0b\xad\xc0"), container.chunks)
    elif how == "table":
        linear = (pack.directory / pack.tables["linear"].file).read_bytes()
        site.files[folder + pack.tables["linear"].file] = linear[:-1] + bytes([linear[-1] ^ 1])
    elif how == "weights":
        site.files[folder + pack.core["decoder"].file] = b"\0"
    elif how == "core":
        del site.files["sdz.wasm"]
    elif how in ("graph", "runtime"):
        pack_id, more = without_core(pack)
        site.files |= more | {"a.sdz": made_for(pack_id, data)}
        if how == "graph":
            site.files[f"packs/{pack_id.hex()}/{pack.graphs['decoder'].file}"] = b"\0"
        else:
            del site.files["ort/ort.wasm.bundle.min.mjs"]
    elif how == "worker":
        del site.files["worker.js"]


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("missing", "NetworkError"),
        ("foreign", "NotAnSdzError"),
        ("crc", "CorruptFileError"),
        ("pack", "MissingPackError"),
        ("table", "CorruptPackError"),
        ("weights", "CorruptPackError"),
        ("core", "NetworkError"),
        ("graph", "CorruptPackError"),
        ("runtime", "ProviderError"),
        ("worker", "ProviderError"),
    ],
)
@pytest.mark.parametrize("fallback", [FALLBACK, NOSCRIPT], ids=["img", "noscript"])
def test_fallback_stays_on_any_error(
    site: Site, page: Any, pack: Pack, files: dict[str, bytes], how: str, code: str, fallback: str
) -> None:
    break_file(site, pack, files, how)
    site.files["f.png"] = png()
    seen = show(site, page, fallback, "error")
    assert seen[-1][1]["code"] == code
    page.wait_for_function("document.querySelector('sdz-img img')?.naturalWidth === 8")
    assert page.evaluate(STATE) == [False, False, 8]
    assert page.evaluate("document.querySelector('sdz-img').complete")
    assert page.evaluate("document.querySelector('sdz-img img').onerror") is None
    assert page.evaluate("document.querySelector('sdz-img').decode().then(() => 'no', (error) => error.code)") == code


def test_without_a_fallback_what_arrived_stays(site: Site, page: Any, pack: Pack, session: Session, files: dict[str, bytes]) -> None:
    break_file(site, pack, files, "runtime")
    show(site, page, '<sdz-img src="a.sdz"></sdz-img>', "error")
    assert page.evaluate(SHOWN_HASH) == sha256(rgba(files["plain.sdz"], "linear", session))


def test_fallback_that_stands_waits_for_the_last_stage(site: Site, page: Any, pack: Pack, files: dict[str, bytes]) -> None:
    site.files |= {"a.sdz": files["plain.sdz"], "f.png": png()}
    networks = site.hold(f"packs/{pack.id.hex()}/{pack.core['decoder'].file}")
    late = site.hold("a.sdz")
    show(site, page, FALLBACK, None)
    page.wait_for_function("document.querySelector('sdz-img img').naturalWidth === 8")
    late.set()
    page.wait_for_function("window.seen.some(([type, detail]) => detail?.stage === 'linear')")
    assert page.evaluate(STATE) == [False, False, 8]
    networks.set()
    page.wait_for_function("window.seen.some(([type]) => type === 'load')")
    assert page.evaluate(STATE) == [True, True, 8]


def test_lazy_pictures_wait_until_they_are_near(site: Site, page: Any, files: dict[str, bytes]) -> None:
    site.files["a.sdz"] = files["plain.sdz"]
    body = '<div style="height: 5000px"></div><sdz-img src="a.sdz" loading="lazy" data-stage="linear" width="256" height="192"></sdz-img>'
    show(site, page, body, None)
    page.wait_for_function("customElements.get('sdz-img') !== undefined")
    page.wait_for_timeout(300)
    assert site.asked("a.sdz") == []
    page.evaluate("window.scrollTo(0, 4500)")
    page.wait_for_function("window.seen.some(([type]) => type === 'load')")
    assert site.asked("a.sdz") == ["a.sdz"]


def test_decode_promise_starts_a_lazy_picture(site: Site, page: Any, files: dict[str, bytes]) -> None:
    site.files["a.sdz"] = files["plain.sdz"]
    show(site, page, '<div style="height: 5000px"></div><sdz-img src="a.sdz" loading="lazy" data-stage="linear"></sdz-img>', None)
    page.wait_for_function("customElements.get('sdz-img') !== undefined")
    page.evaluate("document.querySelector('sdz-img').decode()")
    assert page.evaluate("document.querySelector('sdz-img').currentStage") == "linear"
    assert site.asked("a.sdz") == ["a.sdz"]


def test_a_new_source_replaces_the_old(site: Site, page: Any, session: Session, files: dict[str, bytes]) -> None:
    site.files |= {"a.sdz": files["plain.sdz"], "b.sdz": files["odd.sdz"]}
    show(site, page, '<sdz-img src="a.sdz" data-stage="linear"></sdz-img>')
    page.evaluate("async () => { const e = document.querySelector('sdz-img'); e.src = 'b.sdz'; await e.decode() }")
    assert page.evaluate(SHOWN_HASH) == sha256(rgba(files["odd.sdz"], "linear", session))
    page.evaluate("async () => { const e = document.querySelector('sdz-img'); e.dataset.stage = 'decoded'; await e.decode() }")
    assert page.evaluate(SHOWN_HASH) == sha256(rgba(files["odd.sdz"], "decoded", session))


def test_one_worker_and_one_session_for_many_pictures(site: Site, page: Any, pack: Pack, files: dict[str, bytes]) -> None:
    names = ["plain.sdz", "odd.sdz", "grey.sdz", "alpha.sdz", "narrow.sdz"]
    site.files |= files
    show(site, page, "".join(f'<sdz-img src="{name}"></sdz-img>' for name in names), None)
    page.wait_for_function(f"window.seen.filter(([type]) => type === 'load').length === {len(names)}")
    assert [w.url for w in page.workers] == [site.url("worker.js")]
    assert site.asked(".wasm") == ["sdz.wasm"]
    weights = site.asked(".core.bin")
    assert len(weights) == len(set(weights)) == 2
    assert site.asked(".onnx", ".mjs") == []


def test_models_are_kept_between_pages(site: Site, page: Any, files: dict[str, bytes]) -> None:
    site.files["a.sdz"] = files["plain.sdz"]
    show(site, page, '<sdz-img src="a.sdz"></sdz-img>')
    # tables and weights; the page does not wait for the disk
    page.evaluate("""async () => {
      const kept = await caches.open("sdz-pack-files");
      while ((await kept.keys()).length < 4) await new Promise((resolve) => setTimeout(resolve, 20));
    }""")
    fetched = site.asked(".onnx", ".bin")
    assert len(fetched) == 4
    show(site, page, '<sdz-img src="a.sdz"></sdz-img>')
    assert site.asked(".onnx", ".bin") == fetched


def test_storage_that_is_refused(site: Site, page: Any, session: Session, files: dict[str, bytes]) -> None:
    """The worker's Cache API throws, as with cookies blocked: the picture comes all the same."""
    worker = site.files["worker.js"]
    assert isinstance(worker, Path)
    site.files["worker.js"] = b"caches.open = () => Promise.reject(new DOMException('no', 'SecurityError'));\n" + worker.read_bytes()
    site.files["a.sdz"] = files["plain.sdz"]
    show(site, page, '<sdz-img src="a.sdz"></sdz-img>')
    assert page.evaluate(SHOWN_HASH) == sha256(rgba(files["plain.sdz"], "denoised", session))


@pytest.mark.parametrize("types", ["", "; require-trusted-types-for 'script'; trusted-types sdz"], ids=["", "trusted-types"])
def test_under_a_strict_policy(site: Site, page: Any, session: Session, files: dict[str, bytes], types: str) -> None:
    site.headers["Content-Security-Policy"] = CSP + types
    site.files |= {"a.sdz": files["plain.sdz"], "b.sdz": files["odd.sdz"], "f.png": png()}
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    site.files["index.html"] = (
        b'<!doctype html><title>t</title><script type="module" src="sdz.js"></script>'
        b'<sdz-img src="a.sdz" width="256" height="192"></sdz-img><img id="b" data-sdz="b.sdz" alt="x">'
        b'<sdz-img src="none.sdz"><noscript><img src="f.png" alt="x"></noscript></sdz-img>'
    )
    page.goto(site.url("index.html"))
    # wait_for_function evaluates a string in the page, which this policy forbids
    while len([kind for kind, _, _ in page.evaluate("window.seen") if kind in ("load", "sdzload", "error", "sdzerror")]) < 3:
        page.wait_for_timeout(50)
    assert page.evaluate(SHOWN_HASH) == sha256(rgba(files["plain.sdz"], "denoised", session))
    # what is missing has its fallback, out of its <noscript>
    assert page.evaluate("document.querySelector('sdz-img > img').naturalWidth") == 8
    assert [text for text in problems if "Policy" in text or "Trusted" in text] == []


def test_packs_and_runtime_elsewhere(site: Site, page: Any, pack: Pack, session: Session, files: dict[str, bytes]) -> None:
    """By onnxruntime-web, of a pack that the core has no weights for."""
    pack_id, more = without_core(pack)
    site.files |= more
    for path in [path for path in site.files if path.startswith(("ort/", "packs/"))]:
        site.files[f"assets/{path}"] = site.files.pop(path)
    site.files["a.sdz"] = made_for(pack_id, files["plain.sdz"])
    site.files["index.html"] = (
        '<!doctype html><title>t</title><script type="module" src="sdz.js" data-packs="assets/packs" data-ort="assets/ort/" '
        f'data-pack="{pack_id.hex()}"></script><sdz-img src="a.sdz"></sdz-img>'
    ).encode()
    page.goto(site.url("index.html"))
    page.wait_for_function("window.seen.some(([type]) => type === 'load')")
    assert not [path for path in site.requests if path.startswith(("ort/", "packs/"))]
    assert len(site.asked(".mjs")) == 1
    assert page.evaluate(SHOWN_HASH) == sha256(rgba(files["plain.sdz"], "denoised", session))


# img[data-sdz]


IMAGE = in_page("""
  const image = document.querySelector("img");
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  return [image.naturalWidth, image.naturalHeight, await hash(context.getImageData(0, 0, canvas.width, canvas.height).data)];
""")


def test_image_is_upgraded(site: Site, page: Any, session: Session, files: dict[str, bytes]) -> None:
    site.files |= {"a.sdz": files["odd.sdz"], "f.png": png()}
    seen = show(site, page, '<img data-sdz="a.sdz" src="f.png" srcset="f.png 2x" alt="x">', "sdzload")
    assert seen[-1][0] == "sdzload"
    assert page.evaluate(IMAGE) == [333, 217, sha256(rgba(files["odd.sdz"], "denoised", session))]
    assert page.evaluate("document.querySelector('img').alt") == "x"


def test_image_added_later_is_upgraded(site: Site, page: Any, files: dict[str, bytes]) -> None:
    site.files |= {"a.sdz": files["plain.sdz"]}
    show(site, page, "<main></main>", None)
    page.wait_for_function("customElements.get('sdz-img') !== undefined")
    page.evaluate("document.querySelector('main').innerHTML = '<p><img data-sdz=a.sdz data-stage=linear alt=x></p>'")
    page.wait_for_function("window.seen.some(([type]) => type === 'sdzload')")
    assert page.evaluate("document.querySelector('img').naturalWidth") == 256


@pytest.mark.parametrize(("how", "code"), [("crc", "CorruptFileError"), ("core", "NetworkError"), ("runtime", "ProviderError")])
def test_image_keeps_its_source_on_error(site: Site, page: Any, pack: Pack, files: dict[str, bytes], how: str, code: str) -> None:
    break_file(site, pack, files, how)
    site.files["f.png"] = png()
    seen = show(site, page, '<img data-sdz="a.sdz" src="f.png" alt="x">', "sdzerror")
    assert seen[-1][1]["code"] == code
    page.wait_for_function("document.querySelector('img').naturalWidth === 8")


# WebGPU


GPU = in_page("""
  const { decodeBytes } = await import(argument.base + "decode.js");
  const { loadPack, fetchReader } = await import(argument.base + "pack.js");
  const { Session } = await import(argument.base + "session.js");
  const pack = await loadPack(argument.pack, fetchReader(new URL(`packs/${argument.pack}/`, argument.base)));
  const session = new Session(pack, { ort: argument.base + "ort/", provider: "webgpu" });
  const bytes = new Uint8Array(await (await fetch(argument.base + "a.sdz")).arrayBuffer());
  const image = await decodeBytes(bytes, { session });
  return { provider: session.provider, reason: session.fallbackReason ?? null, hash: await hash(image.data), data: [...image.data] };
""")


def gpu_files() -> dict[str, bytes | Path]:
    flavours = (("jspi", "jspi"), ("webgpu", "asyncify"))
    names = [name for script, wasm in flavours for name in (f"ort.{script}.bundle.min.mjs", f"ort-wasm-simd-threaded.{wasm}.wasm")]
    return {f"ort/{name}": ORT / name for name in names}


def test_without_webgpu_the_reference_runs(site: Site, page: Any, pack: Pack, session: Session, files: dict[str, bytes]) -> None:
    site.files |= gpu_files() | {"a.sdz": files["coarse.sdz"]}
    page.add_init_script("Object.defineProperty(navigator, 'gpu', { value: undefined })")
    page.goto(site.url("empty.html"))
    got = page.evaluate(GPU, {"base": site.url(""), "pack": pack.id.hex()})
    assert got["provider"] == "wasm"
    assert "WebGPU" in got["reason"]
    assert got["hash"] == sha256(rgba(files["coarse.sdz"], "denoised", session))


SMALL = (80, 48)
"""Pixels: enough for edges and margins, little enough for an adapter in software."""

GPU_ARGUMENTS = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")
"""A WebGPU adapter without a GPU."""


@pytest.fixture(scope="module")
def small(session: Session) -> bytes:
    data = encode(picture(*SMALL), quality=30, session=session)
    assert decode(data, session=session).stage == "denoised"
    return data


def test_webgpu_gives_the_pixels_of_the_reference(chromium: Any, site: Site, pack: Pack, session: Session, small: bytes) -> None:
    """The fp32 graphs on a software adapter: Dawn sums in IEEE fp32, so the integers stay exact and no value differs."""
    site.files |= gpu_files() | {"a.sdz": small}
    browser = chromium.browser_type.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *GPU_ARGUMENTS])
    try:
        page = browser.new_page()
        page.goto(site.url("empty.html"))
        adapter = page.evaluate("navigator.gpu?.requestAdapter().then((adapter) => adapter !== null) ?? false")
        assert adapter, f"{CHROMIUM} {' '.join(GPU_ARGUMENTS)} gives no WebGPU adapter: is its SwiftShader installed?"
        got = page.evaluate(GPU, {"base": site.url(""), "pack": pack.id.hex()})
    finally:
        browser.close()
    assert (got["provider"], got["reason"]) == ("webgpu", None)
    expected = rgba(small, "denoised", session)
    pixels = np.array(got["data"], np.uint8).reshape(expected.shape)
    assert int((pixels != expected).sum()) == 0


FP32 = """async (argument) => {
  const ort = await import(argument.base + "ort/ort.wasm.bundle.min.mjs");
  ort.env.wasm.wasmPaths = { wasm: argument.base + "ort/ort-wasm-simd-threaded.wasm" };
  ort.env.wasm.numThreads = 1;
  const read = async (path) => (await fetch(argument.base + path)).arrayBuffer();
  const options = { executionProviders: ["wasm"], graphOptimizationLevel: "disabled" };
  const session = await ort.InferenceSession.create(await read(argument.graph), options);
  const feeds = {};
  for (const name of session.inputNames) feeds[name] = new ort.Tensor("float32", new Float32Array(await read(name)), argument.shape);
  const results = await session.run(feeds);
  return [...results[session.outputNames[0]].data];
}"""


@pytest.mark.parametrize("network", ["denoiser", "decoder"])
def test_fp32_graphs_on_wasm_are_those_of_python(site: Site, page: Any, pack: Pack, small: bytes, network: str) -> None:
    """To the last value, without the optimizers, which fold scales into the weights, each in its own way."""
    latents = open_latents(small, pack=pack).picture.latents()
    inputs = {"latents": latents.values, "levels": latents.levels, "precision": latents.precision, "half_width": latents.half_width}
    feeds = {
        name: array[None].astype(np.float32) for name, array in inputs.items() if network == "denoiser" or name in ("latents", "precision")
    }
    graph = f"{network}-fp32"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    python = onnxruntime.InferenceSession(pack.graph_bytes(graph), options, providers=["CPUExecutionProvider"])
    expected = python.run(None, feeds)[0].ravel().astype(np.int64)
    site.files |= {name: array.tobytes() for name, array in feeds.items()}
    page.goto(site.url("empty.html"))
    argument = {
        "base": site.url(""),
        "graph": f"packs/{pack.id.hex()}/{pack.graphs[graph].file}",
        "shape": [1, *latents.values.shape],
    }
    difference = np.abs(np.array(page.evaluate(FP32, argument), np.int64) - expected)
    assert difference.max() == 0
