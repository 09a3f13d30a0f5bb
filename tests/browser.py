"""What the browser tests stand on: a web server in this process that records and holds back, and pictures to encode.

`Site` serves files from a dictionary under a path prefix, with any headers, and can make a response wait in its middle.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import mimetypes
import queue
import re
import select
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from sdz.export.speed.chromium import CHROMIUM_ARGUMENTS
from sdz.runtime.format.container import parse, serialize

ROOT: Final = Path(__file__).resolve().parent.parent
WEB: Final = ROOT / "web"
CORE: Final = ROOT / "core"
ORT: Final = ROOT / "node_modules" / "onnxruntime-web" / "dist"

CHROMIUM: Final = "/usr/bin/chromium"
ARGUMENTS: Final = CHROMIUM_ARGUMENTS

ISOLATION: Final = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
"""Headers that make a page cross-origin isolated, so that it may use threads."""

TYPES: Final = {".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm", ".sdz": "image/x-sdz"}


SHOWN: Final = """async (element) => {
  const [, url] = /^url\\("(blob:[^"]*)"\\)$/.exec(getComputedStyle(element).content) ?? [];
  if (!url) return null;
  const image = new Image();
  image.src = url;
  await image.decode();
  const { naturalWidth: width, naturalHeight: height } = image;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, width, height);
}"""
"""JavaScript: what <sdz-img> shows, as ImageData; null where that is no picture of its own."""


@dataclass
class Gate:
    """Holds a response back: `at` bytes are sent, the rest once `open` is set."""

    at: int = 0
    open: threading.Event = field(default_factory=threading.Event)


class Site:
    """Serves `files` (path below the prefix -> bytes, or a file on disk) on a free port of loopback. With `ranges` files have ETags, and
    may be asked for from a byte on; `spans` are the paths and bytes of those that were, `given_up` the paths whose clients left while they
    were held back."""

    def __init__(self, prefix: str = "/") -> None:
        self.prefix = prefix
        self.files: dict[str, bytes | Path] = {}
        self.headers: dict[str, str] = {}
        self.gates: dict[str, Gate] = {}
        self.requests: list[str] = []
        self.ranges = False
        self.spans: list[tuple[str, int]] = []
        self.given_up: list[str] = []
        self.reports: queue.Queue[bytes] = queue.Queue()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.answer(self)

            def do_POST(self) -> None:
                site.take_report(self)

            def log_message(self, format: str, *args: object) -> None:
                """Silence."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        for gate in self.gates.values():
            gate.open.set()
        self.server.shutdown()
        self.server.server_close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}{self.prefix}{path}"

    def show(self, page: Any, html: str) -> None:
        """Opens a page of this text."""
        self.files["index.html"] = html.encode()
        page.goto(self.url("index.html"))

    def hold(self, path: str, at: int = 0) -> threading.Event:
        """Makes `path` wait after `at` bytes until the event returned is set."""
        gate = self.gates[path] = Gate(at)
        return gate.open

    def asked(self, *endings: str) -> list[str]:
        """The requests so far for paths with one of these endings."""
        return [path for path in self.requests if path.endswith(endings)]

    def wait(self, gate: Gate, handler: BaseHTTPRequestHandler, path: str) -> None:
        """Until the gate is open, or the client has gone."""
        for _ in range(1200):
            if gate.open.wait(0.05):
                return
            if select.select([handler.connection], [], [], 0)[0] and not handler.connection.recv(1, socket.MSG_PEEK):
                self.given_up.append(path)
                raise ConnectionResetError

    def start_of(self, handler: BaseHTTPRequestHandler, body: bytes) -> int | None:
        """The first byte that is asked for; None for the whole file, also where it is not the one that is meant."""
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        return int(wanted[1]) if wanted and handler.headers.get("If-Range", etag_of(body)) == etag_of(body) else None

    def take_report(self, handler: BaseHTTPRequestHandler) -> None:
        """Keeps what a page posts in `reports`."""
        self.reports.put(handler.rfile.read(int(handler.headers["Content-Length"])))
        handler.send_response(204)
        handler.end_headers()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.split("?")[0].removeprefix(self.prefix)
        self.requests.append(path)
        content = self.files.get(path)
        body = content.read_bytes() if isinstance(content, Path) else content
        start = self.start_of(handler, body) if self.ranges and body is not None else None
        handler.send_response(404 if body is None else 200 if start is None else 206)
        body = b"" if body is None else body
        if self.ranges:
            handler.send_header("ETag", etag_of(body))
        if start is not None:
            self.spans.append((path, start))
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            body = body[start:]
        suffix = Path(path).suffix
        handler.send_header("Content-Type", TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream")
        if suffix == ".wasm" and "gzip" in handler.headers.get("Accept-Encoding", ""):
            body = compressed(body)
            handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(body)))
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        gate = Gate(len(body)) if start is not None else self.gates.get(path, Gate(len(body)))
        try:
            handler.wfile.write(body[: gate.at])
            handler.wfile.flush()
            if gate.at < len(body):
                self.wait(gate, handler, path)
                handler.wfile.write(body[gate.at :])
        except OSError:
            # the page gave up on the request, as some tests want it to
            handler.close_connection = True


def etag_of(body: bytes) -> str:
    """A strong validator."""
    return f'"{hashlib.sha256(body).hexdigest()[:16]}"'


_compressed: dict[int, bytes] = {}


def compressed(body: bytes) -> bytes:
    """gzip of a large file, kept: every page asks for the same one."""
    key = len(body)
    if key not in _compressed:
        _compressed[key] = gzip.compress(body, 1)
    return _compressed[key]


def scripts() -> dict[str, bytes | Path]:
    """The modules as a page loads them, the core and onnxruntime-web beside them."""
    files: dict[str, bytes | Path] = {
        path.relative_to(WEB).as_posix(): path for room in ("*.js", "format/*.js", "page/*.js", "work/*.js") for path in WEB.glob(room)
    }
    files |= {"sdz.wasm": CORE / "reader.wasm", "lossless.wasm": CORE / "lossless.wasm"}
    for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"):
        files[f"ort/{name}"] = ORT / name
    return files


def pack_files(pack: Any) -> dict[str, bytes | Path]:
    """A pack's files where pages look for them."""
    return {f"packs/{pack.id.hex()}/{path.name}": path for path in pack.directory.iterdir()}


def without_core(pack: Any) -> tuple[bytes, dict[str, bytes | Path]]:
    """The pack's graphs without the core's weights, as a foreign pack has them: its id, and its files where pages look for them."""
    manifest = json.dumps({name: value for name, value in pack.manifest.items() if name != "core"}).encode()
    pack_id = hashlib.sha256(manifest).digest()[:3]
    files: dict[str, bytes | Path] = {f"packs/{pack_id.hex()}/{path.name}": path for path in pack.directory.glob("*.*")}
    return pack_id, files | {f"packs/{pack_id.hex()}/manifest.json": manifest}


def made_for(pack_id: bytes, data: bytes) -> bytes:
    """The same picture as a file of another pack."""
    container = parse(data)
    return serialize(replace(container.header, pack_id=pack_id), container.chunks)


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Something like a photo: smooth shades, edges, and texture in one corner."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 64.0
    shades = [110 + 70 * np.sin(1.3 * x + c) * np.cos(0.9 * y - c) for c in range(3)]
    rgb = np.stack(shades, axis=2)
    rgb[(x - 2.2) ** 2 + (y - 1.7) ** 2 < 1.2] += (60, -40, 20)
    rgb[: height // 2, : width // 2] += random.normal(0, 12, (height // 2, width // 2, 1))
    return Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8))


DECODE = """
async ({ base, wanted }) => {
  const { decodeBytes } = await import(base + "decode.js");
  const out = {};
  for (const name of wanted) {
    const bytes = new Uint8Array(await (await fetch(base + name)).arrayBuffer());
    const { data, stage } = await decodeBytes(bytes, { packs: base + "packs/", ort: base + "ort/" });
    out[name] = [stage, btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""))];
  }
  return out;
}
"""


def watching(kinds: Sequence[str], entry: str) -> str:
    """A script that notes in `window.seen` what pictures tell, by events of these kinds: of each the JavaScript expression `entry` of
    `event`."""
    return f"""
      window.seen = [];
      for (const kind of {json.dumps(kinds)}) document.addEventListener(kind, (event) => {{
        if (event.target.localName === "sdz-img" || kind.startsWith("sdz")) window.seen.push({entry});
      }}, true);
    """


def served(files: Mapping[str, bytes]) -> Iterator[Site]:
    """A fixture's site at an address below its root: the browser's scripts and `files`."""
    made = Site("/some/where/")
    made.files = scripts() | dict(files)
    yield made
    made.close()


def hosted(folder: Path) -> Iterator[Site]:
    """A fixture's built site on a host that knows nothing of it, under a prefix, with the policy that `server` sends."""
    from sdz.server.headers import security_headers

    made = Site("/some/where/")
    made.files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    made.headers = security_headers()
    yield made
    made.close()


def opened(browser: Any, script: str, size: tuple[int, int] = (800, 600), timeout: int = 60_000) -> Iterator[Any]:
    """A fixture's page, which runs `script` before any of its own; `size` in pixels, `timeout` in ms."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    context.set_default_timeout(timeout)
    context.add_init_script(script)
    yield context.new_page()
    context.close()
