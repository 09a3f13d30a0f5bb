"""`sdz build --watch`: what counts as a change, a build after each, pages that load themselves again."""

from __future__ import annotations

import functools
import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import ROOT, picture
from sites import options

from sdz.export.site.build import build
from sdz.export.site.photos import PhotoOptions
from sdz.export.watching import Sight, changes, look


def test_what_is_looked_at(tmp_path: Path) -> None:
    for name in ("a.jpg", "sub/b.jpg", "sub/.hidden", ".git/c", "site/index.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "broken").symlink_to("nowhere")

    def seen() -> set[str]:
        return {Path(path).relative_to(tmp_path).as_posix() for path in look([tmp_path], tmp_path / "site")}

    assert seen() == {"a.jpg", "sub/b.jpg"}
    assert set(look([tmp_path / "a.jpg", tmp_path / "gone"], tmp_path / "site")) == {str(tmp_path / "a.jpg")}
    before = look([tmp_path], tmp_path / "site")
    os.utime(tmp_path / "a.jpg", ns=(1, 1))
    assert {path for path, facts in look([tmp_path], tmp_path / "site").items() if facts != before[path]} == {str(tmp_path / "a.jpg")}


def test_changes_are_told_once_they_are_over() -> None:
    sights: list[Sight] = [{name: (0, 0, 0)} for name in "aabcdddee"]
    waits: list[float] = []
    left = iter(sights)
    told = changes(lambda: next(left), {"a": (0, 0, 0)}, waits.append)
    next(told)
    # a, a, b, c, d, d: the bout is over with the second d
    assert len(waits) == 6
    next(told)
    assert (len(waits), list(left)) == (9, [])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    picture(40, 30).save(folder / "a.png")
    return folder


def test_builds_again_after_a_change(photos: Path, pack: Path, tmp_path: Path) -> None:
    line = [
        sys.executable,
        "-m",
        "sdz",
        "build",
        str(photos),
        "--out",
        str(tmp_path / "site"),
        "--pack",
        str(pack),
        "--jobs",
        "1",
        "--watch",
    ]
    running = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    output = running.stdout
    assert output is not None

    def told() -> str:
        return next(text for text in iter(output.readline, "") if " made, " in text).partition(";")[0]

    site = tmp_path / "site"
    try:
        assert told() == f"1 photo in {site}, 1 made, 0 unchanged"
        assert "demo/reload.js" in (site / "index.html").read_text()
        picture(30, 40, 1).save(photos / "b.png")
        assert told() == f"2 photos in {site}, 1 made, 1 unchanged"
        (photos / "a.txt").write_text("title: Changed")
        assert told() == f"2 photos in {site}, 0 made, 2 unchanged"
        assert "Changed" in (site / "index.html").read_text()
    finally:
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0
        output.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "site")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def test_pages_load_themselves_again(chromium: Any, photos: Path, pack: Path, tmp_path: Path, served: str) -> None:
    pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")
    wanted = options(photos, pack, tmp_path / "site", photo=PhotoOptions(ms_ssim=False, fallback="none"), judged=0, watched=True)
    build(wanted)
    page = chromium.new_page()
    with page.expect_request(lambda request: request.method == "HEAD"):
        page.goto(served)
    page.wait_for_load_state("networkidle")
    picture(30, 40, 1).save(photos / "b.png")
    with page.expect_navigation():
        build(wanted)
    page.wait_for_selector("figure:nth-of-type(2)")
    page.close()
