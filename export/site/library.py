"""What every page of a site loads: the element's modules, the pack's files, onnxruntime-web's wasm-only files, the demo's scripts.

Takes `web/`, a pack and onnxruntime-web, hands on bytes by path inside one directory whose name is their common digest, so that modules
find each other by relative addresses and all of it may be cached for ever. In an installed package the modules are minified already and
onnxruntime-web lies beside them; in a checkout esbuild minifies them here, a third of what a visitor would download before the first
pixel, and onnxruntime-web lies in node_modules.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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

WORKER = "worker.js"
"""The module that the page's modules start as a worker."""

SERVICE_WORKER = "sw.js"

STYLES = ("base.css", "gallery.css", "photo.css")
"""The demo's style sheets, in the order of their rules; pages load them as one."""

STYLE = "demo/style.css"

ORT_DISTS = (WEB / "ort", ROOT / "node_modules/onnxruntime-web/dist")
"""Where onnxruntime-web lies: in an installed package, in a checkout."""

ORT_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
"""What `web/session.js` loads for WASM: half the size of the default entry, which carries WebGPU and WebGL as well."""

GRAPHS = ("decoder", "denoiser")
"""The reference graphs: no visitor encodes, and the fp32 ones are for pages that bring onnxruntime-web's WebGPU files."""

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
    """The library's assets by what they are for. `scripts` and `tables` paint the linear stage; `runtime` and `graphs` follow; `page` is
    the demo's own; what is in none is loaded only by the service worker or for rarer packs and pictures."""

    scripts: list[Asset]
    tables: list[Asset]
    runtime: list[Asset]
    graphs: list[Asset]
    page: list[Asset]


def collect(pack: Pack) -> Library:
    """All files of the library; raises MissingPartError, or CorruptPackError for a pack that fails its digests."""
    try:
        files = {**_modules(), STYLE: b"\n".join((DEMO / name).read_bytes() for name in STYLES)}
    except OSError as error:
        raise MissingPartError(f"{error.filename}: {error.strerror}: install sdz again, or repair the checkout") from error
    except MinifyError as error:
        raise MissingPartError(str(error)) from error
    files |= {f"ort/{name}": data for name, data in _onnxruntime_web().items()}
    folder = f"packs/{pack.id.hex()}"
    files[f"{folder}/{MANIFEST}"] = (pack.directory / MANIFEST).read_bytes()
    files[f"{folder}/{pack.tables['linear'].file}"] = pack.linear.astype("<i2").tobytes()
    files[f"{folder}/{pack.tables['coder'].file}"] = pack.coder_bytes
    files |= {f"{folder}/{pack.graphs[name].file}": pack.graph_bytes(name) for name in GRAPHS if name in pack.graphs}
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


def _onnxruntime_web() -> dict[str, bytes]:
    folder = next((folder for folder in ORT_DISTS if (folder / ORT_FILES[0]).is_file()), None)
    if folder is None:
        remedy = f"run `npm ci` in {ROOT}" if (ROOT / "package.json").is_file() else "install sdz again"
        raise MissingRuntimeError(f"onnxruntime-web is missing, whose WebAssembly every site has: {remedy}")
    try:
        return {name: (folder / name).read_bytes() for name in ORT_FILES}
    except OSError as error:
        raise MissingRuntimeError(f"onnxruntime-web: {error.filename}: {error.strerror}") from error


def module_graph(shared: Library, entries: Iterable[str]) -> list[str]:
    """The modules that some modules of the library import, themselves included, by their paths inside it; in the order of discovery."""
    found: list[str] = []
    waiting = list(entries)
    while waiting:
        name = waiting.pop(0)
        if name in found or name not in shared.files:
            continue
        found.append(name)
        targets = _IMPORT.findall(shared.files[name].decode())
        waiting += [posixpath.normpath(posixpath.join(posixpath.dirname(name), target)) for target in targets]
    return found


def loads(assets: list[Asset], shared: Library) -> Loads:
    """Sorts the library's assets by what they are for."""
    inside = {asset.path.removeprefix(shared.directory + "/"): asset for asset in assets}
    scripts = set(module_graph(shared, [ENTRY, WORKER]))

    def chosen(folder: str, *suffixes: str) -> list[Asset]:
        return [a for name, a in inside.items() if name.rpartition("/")[0].startswith(folder) and name.endswith(suffixes)]

    return Loads(
        scripts=[asset for name, asset in inside.items() if name in scripts],
        tables=chosen("packs", ".bin", ".json"),
        runtime=chosen("ort", ""),
        graphs=chosen("packs", ".onnx"),
        page=chosen("demo", ""),
    )
