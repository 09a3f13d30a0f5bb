"""Many pictures on a page, and files that claim to be huge: what is in sight goes first, and memory stays that of what is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from browser import SHOWN, WEB, Site, opened, pack_files, picture, served, watching

from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.format.container import Header, serialize
from sdz.runtime.pack import Pack
from sdz.runtime.session import Session

pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")

HEAD = '<!doctype html><meta charset="utf-8"><title>t</title><style>body { margin: 0 } sdz-img { display: block }</style>'
SCRIPT = '<script type="module" src="sdz.js"></script>'
WATCH = watching(("load", "error", "progress"), "[event.type, event.target.id, event.detail?.stage ?? event.detail?.code ?? null]")

FINISHED = """
window.finished = [];
window.Worker = class extends Worker {
  sources = new Map();
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({ data }) => data.final && window.finished.push(this.sources.get(data.id)));
  }
  postMessage(message, ...rest) {
    if (message.type === "decode") this.sources.set(message.id, message.src);
    super.postMessage(message, ...rest);
  }
};
"""
"""JavaScript: the addresses of the pictures in the order in which the worker ends them."""


@pytest.fixture(scope="module")
def photo(session: Session) -> bytes:
    return encode(picture(96, 64, 4), session=session)


@pytest.fixture
def site(pack: Pack, photo: bytes) -> Iterator[Site]:
    yield from served(pack_files(pack) | {"a.sdz": photo})


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    yield from opened(chromium, WATCH)


def show(site: Site, page: Any, body: str, script: str = SCRIPT) -> None:
    site.show(page, (HEAD + script + body))


def loaded(page: Any, count: int) -> list[str]:
    """The ids of the pictures in the order in which they stood, once there are `count`."""
    page.wait_for_function(f"window.seen.filter(([type]) => type === 'load').length === {count}")
    return [name for kind, name, _ in page.evaluate("window.seen") if kind == "load"]


def test_pictures_in_sight_go_first(site: Site, page: Any, pack: Pack) -> None:
    """Before those that came first, where the networks arrive last of all."""
    networks = site.hold(f"packs/{pack.id.hex()}/{pack.core['decoder'].file}")
    names = [f"p{i}" for i in range(12)]
    body = "".join(f'<sdz-img id="{name}" src="a.sdz?{name}" width="96" height="64"></sdz-img>' for name in names)
    place = '<style>sdz-img { height: 64px }</style><div style="height: 3000px"></div>'
    page.add_init_script(FINISHED)
    show(site, page, f"{place}{body}<script>scrollTo(0, 9999)</script>")
    # 600 pixels of 768: from p2 on
    page.wait_for_function("window.seen.filter(([, , stage]) => stage === 'linear').length === 10")
    assert sorted({name for _, name, _ in page.evaluate("window.seen")}) == sorted(names[2:])
    networks.set()
    assert sorted(loaded(page, 12)) == sorted(names)
    # of the worker: the browser decodes the image of one in sight before it is shown, others' it need not
    assert [src.partition("?")[2] for src in page.evaluate("window.finished")] == names[2:] + names[:2]
    # nobody saw a first paint of the others
    stages = [[kind, stage] for kind, name, stage in page.evaluate("window.seen") if name == "p0"]
    assert stages == [["progress", "denoised"], ["load", None]]


@pytest.mark.parametrize(("soon", "stages"), [("1000", {"denoised"}), ("0", {"linear", "denoised"})])
def test_a_first_paint_where_the_last_is_not_soon(site: Site, page: Any, soon: str, stages: set[str]) -> None:
    """Of pictures that come when the networks are there; lazy ones, so that none is decoded before it is known to be in sight."""
    source = (WEB / "work/job.js").read_text()
    assert "SOON_MS = 1000;" in source
    site.files["work/job.js"] = source.replace("SOON_MS = 1000;", f"SOON_MS = {soon};").encode()
    show(site, page, '<sdz-img id="a" src="a.sdz?a" width="96" height="64"></sdz-img>')
    loaded(page, 1)
    more = "".join(f'<sdz-img id="{name}" src="a.sdz?{name}" loading="lazy" width="96" height="64"></sdz-img>' for name in "bcdef")
    page.evaluate("more => { window.seen.length = 0; document.body.insertAdjacentHTML('beforeend', more) }", more)
    loaded(page, 5)
    assert {stage for kind, _, stage in page.evaluate("window.seen") if kind == "progress"} == stages


def test_lazy_pictures_are_decoded_in_sight(site: Site, page: Any) -> None:
    """Near, they are there without being decoded; `decode()` does not wait."""
    far = '<div style="height: 700px"></div>'
    lazy = "".join(f'<sdz-img id="{n}" src="a.sdz?{n}" loading="lazy" width="96" height="64"></sdz-img>' for n in ("b", "c"))
    show(site, page, f'<sdz-img id="a" src="a.sdz?a" width="96" height="64"></sdz-img>{far}{lazy}')
    assert loaded(page, 1) == ["a"]
    while len(site.asked("a.sdz")) < 3:
        page.wait_for_timeout(20)
    page.wait_for_timeout(300)
    assert {name for _, name, _ in page.evaluate("window.seen")} == {"a"}
    assert site.asked("a.sdz") == ["a.sdz"] * 3
    page.evaluate("document.getElementById('c').decode()")
    assert loaded(page, 2) == ["a", "c"]
    page.evaluate("scrollTo(0, 300)")
    assert loaded(page, 3) == ["a", "c", "b"]
    assert site.asked("a.sdz") == ["a.sdz"] * 3


def test_files_that_claim_to_be_huge(site: Site, page: Any, pack: Pack, photo: bytes, session: Session) -> None:
    """They are painted small, from the linear stage alone, after what is honest; layout has the size that they claim."""
    bomb = serialize(Header(width=16_384, height=8_192, step_index=54, pack_id=pack.id), [])
    assert len(bomb) == 12
    site.files["bomb.sdz"] = bomb
    bombs = "".join(f'<sdz-img id="bomb{i}" src="bomb.sdz?{i}" style="width: 90px"></sdz-img>' for i in range(5))
    tables = site.hold(f"packs/{pack.id.hex()}/{pack.tables['coder'].file}")
    come: list[str] = []
    page.on("requestfinished", lambda request: come.append(request.url))
    show(site, page, f'{bombs}<sdz-img id="honest" src="a.sdz"></sdz-img>')
    while len([url for url in come if ".sdz" in url]) < 6:
        page.wait_for_timeout(20)
    tables.set()
    loaded(page, 6)
    # although it came last, only what had been begun goes before it
    first = [name for kind, name, stage in page.evaluate("window.seen") if kind == "progress"]
    assert first.index("honest") <= 1
    found = page.evaluate(f"""async () => {{
      const element = document.getElementById("bomb4");
      const {{ width, height }} = element.getBoundingClientRect();
      const shown = await ({SHOWN})(document.getElementById("honest"));
      const digest = await crypto.subtle.digest("SHA-256", shown.data);
      const {{ content }} = getComputedStyle(element);
      const svg = await (await fetch(content.slice(5, -2))).text();
      const inner = new Image();
      inner.src = /href="([^"]*)"/.exec(svg)[1];
      await inner.decode();
      return {{
        size: [element.naturalWidth, element.naturalHeight, width, height, inner.naturalWidth, inner.naturalHeight],
        stage: element.currentStage,
        honest: [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
      }};
    }}""")
    assert (found["size"], found["stage"]) == ([16_384, 8_192, 90, 45, 1_024, 512], "linear")
    expected = np.full((64, 96, 4), 255, np.uint8)
    expected[:, :, :3] = decode(photo, session=session).pixels
    assert found["honest"] == hashlib.sha256(expected.tobytes()).hexdigest()
    # their own networks were not worth loading, nor are their pixels worth keeping
    kept = page.evaluate("caches.open('sdz-pixels').then((kept) => kept.keys()).then((keys) => keys.map(({ url }) => url))")
    assert [url for url in kept if "bomb" in url] == []
