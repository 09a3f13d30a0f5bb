"""The browser's half of `sdz speed`: stages and memory of the decoder in a real headless Chromium.

Takes a pack, encoded files and a reference graph, returns milliseconds and bytes. The project's own modules are served on loopback;
`speed.js` is what runs in the page.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ..site.library import Library

CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Without a sandbox, because containers forbid it; the rest keeps the browser off the network."""

TYPES = {
    ".avif": "image/avif",
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
}

INDEX = "index.html"
"""What the folder's own address shows, where it is there."""

PAGE = "empty.html"
ISOLATED_PAGE = "isolated.html"
ISOLATION = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
"""Chromium counts a page's memory only where it shares its process with none. Times are taken on the other page, as on any host."""

SCRIPT = Path(__file__).with_name("speed.js")

TIMEOUT = 600.0
"""Seconds for one measurement in the page: the reference takes 6 s a run here, and slower machines exist."""

TILED_SIDE = 2048
"""Side of the picture whose memory is measured: it is decoded in tiles."""

SETTLING = 3.0
"""Seconds until a page that does nothing has the memory it keeps: Chromium starts a spare renderer after a while."""


class NoBrowserError(RuntimeError):
    """There is no Chromium, or no playwright, to measure with."""


SAMPLING = 0.05
"""Seconds between two looks at the renderers' memory: a tile takes several times as long."""


@dataclass(frozen=True)
class Grown:
    """Bytes that a picture cost above the empty page. `stage`: the one that was reached.

    `counted`: as Chromium counts the page's own memory when the picture stands (JavaScript, WASM, DOM; performance.
    measureUserAgentSpecificMemory). `peak`, `after`: what the system counts as the renderers' own (anonymous and shared memory, without
    the program's files), at its highest and when the picture stands.
    """

    stage: str
    counted: int
    peak: int
    after: int


@contextmanager
def serve(files: Mapping[str, bytes], cached: bool = False) -> Iterator[str]:
    """Serves `files` on a free port of loopback, with `cached` for browsers to keep; the address of their folder, ending in a slash."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.removeprefix("/").partition("?")[0] or INDEX
            body = files.get(path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", TYPES.get(Path(path).suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(len(body or b"")))
            for name, value in ISOLATION.items():
                if path not in (PAGE, INDEX):
                    self.send_header(name, value)
            if cached:
                self.send_header("Cache-Control", "max-age=3600")
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            """Silence."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def page_files(library: Library, more: Mapping[str, bytes]) -> dict[str, bytes]:
    """What the server holds: an empty page, its script, the modules and the pack as a site has them, and `more`."""
    files = {f"web/{name}": data for name, data in library.files.items()}
    empty = b"<!doctype html><title>speed</title><body></body>"
    return {PAGE: empty, ISOLATED_PAGE: empty, "export/speed/speed.js": SCRIPT.read_bytes(), **files, **more}


class Chromium:
    """A running headless Chromium and the server it talks to; a context manager.

    Raises NoBrowserError where playwright or Chromium is missing.
    """

    def __init__(self, files: Mapping[str, bytes], cached: bool = False) -> None:
        self._files = files
        self._cached = cached

    def __enter__(self) -> Chromium:
        try:
            from playwright.sync_api import sync_playwright
        except ImportError:
            raise NoBrowserError("playwright is not installed: pip install playwright") from None
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if path is None:
            raise NoBrowserError("no chromium in PATH")
        self._serving = serve(self._files, self._cached)
        self.base = self._serving.__enter__()
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGUMENTS))
        self.version: str = self._browser.version
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.close()
        self._playwright.stop()
        self._serving.__exit__(None, None, None)

    @contextmanager
    def page(self, name: str = PAGE) -> Iterator[Page]:
        """A fresh page with nothing cached, in a context of its own."""
        with self.context() as context:
            page = context.new_page()
            page.set_default_timeout(1000 * TIMEOUT)
            page.goto(self.base + name)
            yield Page(page)

    @contextmanager
    def context(self, **options: Any) -> Iterator[Any]:
        """A visitor who has seen nothing, with playwright's options of a context."""
        context = self._browser.new_context(**options)
        try:
            yield context
        finally:
            context.close()

    def grown(self, file: str) -> Grown | None:
        """What the picture `file` costs in a page; None where there is no /proc to read it from."""
        if not Path("/proc/self/smaps_rollup").exists():
            return None
        with self.page(ISOLATED_PAGE) as page:
            counted = page.call("countMemory")
            time.sleep(SETTLING)
            renderers = self._renderers()
            before = _own_bytes(renderers)
            samples: list[int] = []
            done = threading.Event()

            def sample() -> None:
                while not done.wait(SAMPLING):
                    samples.append(_own_bytes(renderers))

            sampler = threading.Thread(target=sample)
            sampler.start()
            try:
                stage = page.call("show", src=file)
            finally:
                done.set()
                sampler.join()
            time.sleep(SETTLING)
            after = _own_bytes(renderers)
            return Grown(stage, page.call("countMemory") - counted, max([*samples, after]) - before, after - before)

    def cpu(self) -> tuple[float, float]:
        """Milliseconds of processor time that the renderers' main threads have used, and all their threads; zeros without /proc."""
        main = every = 0.0
        for process in self._renderers():
            for thread in Path(f"/proc/{process}/task").glob("*"):
                try:
                    spent = int((thread / "schedstat").read_text().split()[0]) / 1e6
                except OSError:
                    continue  # one that has ended
                every += spent
                main += spent if thread.name == str(process) else 0.0
        return main, every

    def spent(self) -> float:
        """Seconds of processor time that all of the browser's processes have used, those that have ended among them; 0 without /proc."""
        (browser,) = self._processes("browser")
        children: dict[int, list[int]] = {}
        ticks: dict[int, int] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue  # one that has ended
            process = int(stat.parent.name)
            children.setdefault(int(fields[1]), []).append(process)
            # its own, and that of its children that have ended
            ticks[process] = sum(map(int, fields[11:15]))
        total, waiting = 0, [browser]
        while waiting:
            process = waiting.pop()
            total += ticks.get(process, 0)
            waiting += children.get(process, [])
        return total / os.sysconf("SC_CLK_TCK")

    def _renderers(self) -> list[int]:
        return self._processes("renderer")

    def _processes(self, kind: str) -> list[int]:
        session = self._browser.new_browser_cdp_session()
        try:
            found = session.send("SystemInfo.getProcessInfo")["processInfo"]
        finally:
            session.detach()
        return [int(process["id"]) for process in found if process["type"] == kind]


@dataclass(frozen=True)
class Page:
    """A page in which the functions of `speed.js` can be called."""

    page: Any

    def call(self, name: str, **what: Any) -> Any:
        """The result of an exported function."""
        script = "async ([name, what]) => (await import('/export/speed/speed.js'))[name](what)"
        return self.page.evaluate(script, [name, what])


def _own_bytes(processes: list[int]) -> int:
    """Anonymous and shared resident memory of the processes together."""
    total = 0
    for process in processes:
        try:
            status = Path(f"/proc/{process}/status").read_text()
        except OSError:
            continue  # a spare renderer that Chromium has ended
        sizes = dict(line.split(":", 1) for line in status.splitlines())
        total += 1024 * sum(int(sizes[field].split()[0]) for field in ("RssAnon", "RssShmem"))
    return total
