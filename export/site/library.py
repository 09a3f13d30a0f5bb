"""What every page of a site loads: the element's modules, the core, the pack's files, the demo's scripts.

Takes `web/`, the core and a pack, hands on bytes by path inside one directory whose name is their common digest, so that modules
find each other by relative addresses and all of it may be cached for ever. In an installed package the modules are bundled already; in a
checkout esbuild bundles them here: a third of the requests and half of the bytes before the first pixel. onnxruntime-web and the pack's
graphs are among the files where the core has no weights for the pack, or where WebGPU is asked for.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ...runtime.pack import MANIFEST, Pack
from .assets import DIGEST_DIGITS, Asset, digest
from .minify import MinifyError, available, minified, modules

ROOT = Path(__file__).resolve().parents[2]
"""Where `web/` stands: the checkout, or the installed package."""

WEB = ROOT / "web"
DEMO = WEB / "demo"
ENTRY = "sdz.js"
"""The module a page loads."""

FALLBACK = "fallback.js"
"""The classic script for pages that do not get the modules."""

CHOOSER = "page/sizes.js"
"""The module that chooses among a picture's sizes, where it has several."""

WORKER = "worker.js"
"""The module that the page's modules start as a worker."""

GRAPH_RUNNER = "session.js"
"""The module that runs graphs on onnxruntime-web, loaded where they run."""

SERVICE_WORKER = "sw.js"
ONNX_SERVICE_WORKER = "sw-onnx.js"
"""The service worker, and the one that brings onnxruntime-web."""

CORE = ROOT / "core" / "reader.wasm"
CORE_FILE = "sdz.wasm"
"""The exact core without what encoders call, and its path inside the library."""

EXACT = ROOT / "core" / "lossless.wasm"
"""The core's second module, which a page loads only where it reads a lossless tail."""

STYLE, PANEL_STYLE = "demo/style.css", "demo/panel.css"
"""The demo's style sheets: of every page, and of the panel that few readers open."""

STYLES = {STYLE: ("base.css", "gallery.css", "photo.css"), PANEL_STYLE: ("how.css", "panel/panel.css")}
"""What they are made of, in the order of their rules."""

ORT_DISTS = (WEB / "ort", ROOT / "node_modules/onnxruntime-web/dist")
"""Where onnxruntime-web lies: in an installed package, in a checkout."""

ORT_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
"""What `web/session.js` loads for WASM: half the size of the default entry, which carries WebGPU and WebGL as well."""

WEBGPU_FILES = (
    "ort.jspi.bundle.min.mjs",
    "ort-wasm-simd-threaded.jspi.wasm",
    "ort.webgpu.bundle.min.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
"""What it loads besides for WebGPU: the first two where the browser has JavaScript promise integration, the others elsewhere."""

GRAPHS = ("decoder", "denoiser")
"""The reference graphs: no visitor encodes."""

WEBGPU_GRAPHS = (*GRAPHS, "decoder-fp32", "denoiser-fp32")

_IMPORT = re.compile(r'(?:^|[;}])\s*(?:import|export)\b(?:[^;"]*?\bfrom)?\s*"(\.{1,2}/[^"]+)"', re.MULTILINE)
"""Static imports and exports from elsewhere, in sources and in minified modules."""


class MissingPartError(ValueError):
    """A file that every site needs is not where it belongs, or cannot be read."""


class MissingRuntimeError(MissingPartError):
    """onnxruntime-web is not installed."""


@dataclass(frozen=True)
class Library:
    """The files of one directory `assets/sdz-DIGEST/`, by their path inside it."""

    files: Mapping[str, bytes]
    directory: str

    def path(self, inside: str) -> str:
        """The path, relative to the site, of a file of the library."""
        return f"{self.directory}/{inside}"


@dataclass(frozen=True)
class Loads:
    """The library's assets by what they are for. `scripts`, the core among them, and `tables` paint the linear stage; `graphs`, the
    networks' weights, follow, and `runtime`, onnxruntime-web, where it runs them; `page` is the demo's own and the script that stands in
    for the others; what is in none is loaded only by the service worker, or for WebGPU."""

    scripts: list[Asset]
    tables: list[Asset]
    runtime: list[Asset]
    graphs: list[Asset]
    page: list[Asset]


def collect(pack: Pack, webgpu: bool = False) -> Library:
    """All files of the library, with `webgpu` those that only WebGPU needs as well; raises MissingPartError, or CorruptPackError for a pack
    that fails its digests."""
    try:
        styles = {sheet: b"\n".join((DEMO / name).read_bytes() for name in parts) for sheet, parts in STYLES.items()}
        files = {**_modules(), **styles, CORE_FILE: CORE.read_bytes(), EXACT.name: EXACT.read_bytes()}
    except OSError as error:
        raise MissingPartError(f"{error.filename}: {error.strerror}: install sdz again, or repair the checkout") from error
    except MinifyError as error:
        raise MissingPartError(str(error)) from error
    by_graphs = not pack.core
    if by_graphs or webgpu:
        files |= {f"ort/{name}": data for name, data in onnxruntime_web(webgpu).items()}
    if not by_graphs:
        # no page registers it
        files.pop(ONNX_SERVICE_WORKER, None)
    folder = f"packs/{pack.id.hex()}"
    files[f"{folder}/{MANIFEST}"] = (pack.directory / MANIFEST).read_bytes()
    files[f"{folder}/{pack.tables['linear'].file}"] = pack.linear_bytes
    files[f"{folder}/{pack.tables['coder'].file}"] = pack.coder_bytes
    files |= {f"{folder}/{entry.file}": pack.core_bytes(name) for name, entry in pack.core.items()}
    graphs = WEBGPU_GRAPHS if webgpu else GRAPHS if by_graphs else ()
    files |= {f"{folder}/{pack.graphs[name].file}": pack.graph_bytes(name) for name in graphs if name in pack.graphs}
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name}\0{digest(files[name])}\n".encode())
    return Library(files, f"assets/sdz-{total.hexdigest()[:DIGEST_DIGITS]}")


def _modules() -> dict[str, bytes]:
    """The modules of `web/` by their path there; as they are where there is no esbuild to minify them."""
    if available(ROOT):
        return minified(ROOT)
    found = {name: (WEB / name).read_bytes() for name in modules(WEB)}
    for name in (ENTRY, WORKER, SERVICE_WORKER):
        if name not in found:
            raise MissingPartError(f"{WEB / name} is missing: install sdz again, or repair the checkout")
    return found


def onnxruntime_web(webgpu: bool = False) -> dict[str, bytes]:
    """onnxruntime-web's files by their names; raises MissingRuntimeError."""
    folder = next((folder for folder in ORT_DISTS if (folder / ORT_FILES[0]).is_file()), None)
    if folder is None:
        remedy = f"run `npm ci` in {ROOT}" if (ROOT / "package.json").is_file() else "install sdz again"
        raise MissingRuntimeError(f"onnxruntime-web is missing, which runs this pack's networks: {remedy}")
    try:
        return {name: (folder / name).read_bytes() for name in (*ORT_FILES, *(WEBGPU_FILES if webgpu else ()))}
    except OSError as error:
        hint = "; a site with WebGPU is built in a checkout, after `npm ci`" if webgpu else ""
        raise MissingRuntimeError(f"onnxruntime-web: {error.filename}: {error.strerror}{hint}") from error


def service_worker(shared: Library) -> str:
    """The library's service worker for its pack."""
    return ONNX_SERVICE_WORKER if ONNX_SERVICE_WORKER in shared.files else SERVICE_WORKER


def module_graph(shared: Library, entries: Iterable[str]) -> list[str]:
    """The modules that some modules of the library import, themselves included, by their paths inside it; in the order of discovery."""
    found: list[str] = []
    waiting = list(entries)
    while waiting:
        name = waiting.pop(0)
        if name in found or name not in shared.files:
            continue
        found.append(name)
        targets = _imports(shared.files[name])
        waiting += [posixpath.normpath(posixpath.join(posixpath.dirname(name), target)) for target in targets]
    return found


@cache
def _imports(module: bytes) -> list[str]:
    return _IMPORT.findall(module.decode())


def scripts(shared: Library) -> set[str]:
    """Names of the modules that a page and its worker load, and of the core."""
    return {*module_graph(shared, [ENTRY, WORKER]), CORE_FILE}


def loads(assets: list[Asset], shared: Library) -> Loads:
    """Sorts the library's assets by what they are for."""
    inside = {asset.path.removeprefix(shared.directory + "/"): asset for asset in assets}
    code = scripts(shared)
    weights = ".core.bin" if any(name.endswith(".core.bin") for name in inside) else ".onnx"

    def chosen(folder: str, *suffixes: str) -> list[Asset]:
        return [a for name, a in inside.items() if name.rpartition("/")[0].startswith(folder) and name.endswith(suffixes)]

    return Loads(
        scripts=[asset for name, asset in inside.items() if name in code],
        tables=[asset for asset in chosen("packs", ".bin", ".json") if not asset.path.endswith(weights)],
        # a pack with weights for the core has onnxruntime-web for WebGPU only
        runtime=[inside[GRAPH_RUNNER], *chosen("ort", "")] if weights == ".onnx" else [],
        graphs=chosen("packs", weights),
        page=[inside[FALLBACK], *chosen("demo", "")],
    )
