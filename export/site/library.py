"""What every page of a site loads: the element's modules, the pack's files, onnxruntime-web's wasm-only files, the demo's scripts.

Takes the project's `web/`, a pack and `node_modules`, hands on bytes by path inside one directory whose name is their common
digest, so that modules find each other by relative addresses and all of it may be cached for ever. Modules lose their comments, a third
of what a visitor would download before the first pixel.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...runtime.pack import MANIFEST, Pack
from .assets import DIGEST_DIGITS, Asset, digest

ROOT = Path(__file__).resolve().parents[2]
"""The project's directory, or `sdz/` in an installation: `web/` stands there."""

WEB = ROOT / "web"
DEMO = WEB / "demo"
ENTRY = "sdz.js"
"""The module a page loads."""

SERVICE_WORKER = "sw.js"
ROOMS = ("*.js", "format/*.js", "page/*.js", "demo/*.js", "demo/*.css")
"""What of `web/` a site holds; `web/npm/` is the npm package's."""

LATER = (SERVICE_WORKER, "eager.js", "runtime.js", "format/indices.js", "format/palette.js", "format/alpha.js", "format/inflate.js")
"""Modules that a page loads only if it registers the service worker, or meets a pack with a codebook, one of palettes or a picture with
alpha."""

ORT_DIST = Path("node_modules/onnxruntime-web/dist")
ORT_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
"""What `web/session.js` loads for WASM: half the size of the default entry, which carries WebGPU and WebGL as well."""

GRAPHS = ("decoder", "denoiser")
"""The reference graphs: no visitor encodes, and the fp32 ones are for pages that bring onnxruntime-web's WebGPU files."""

NOTICE = "// sdz, SPDX-License-Identifier: Apache-2.0\n"
"""The first line of every module of a site."""

_BLOCK = re.compile(r"^([ \t]*)/\*\*(?:(?!\*/)[\s\S])*\*/[ \t]*(\n?)", re.MULTILINE)
_LINE = re.compile(r"^[ \t]*//.*\n", re.MULTILINE)
"""Comments that begin a line. Only a template literal could have such a line without its being one; `web/` has none."""


class MissingRuntimeError(ValueError):
    """onnxruntime-web is not installed beside the project."""


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
    """The library's assets by what they are for. `scripts` and `tables` paint the linear stage; `runtime` and `graphs` follow."""

    scripts: list[Asset]
    tables: list[Asset]
    runtime: list[Asset]
    graphs: list[Asset]
    page: list[Asset]


def collect(pack: Pack) -> Library:
    """All files of the library; raises `MissingRuntimeError`, OSError, or CorruptPackError for a pack that fails its digests."""
    files = {path.relative_to(WEB).as_posix(): path.read_bytes() for room in ROOMS for path in WEB.glob(room)}
    files = {name: stripped(data.decode()).encode() if name.endswith(".js") else data for name, data in files.items()}
    files |= {f"ort/{name}": _runtime_file(name).read_bytes() for name in ORT_FILES}
    folder = f"packs/{pack.id.hex()}"
    files[f"{folder}/{MANIFEST}"] = (pack.directory / MANIFEST).read_bytes()
    files[f"{folder}/{pack.tables['linear'].file}"] = pack.linear.astype("<i2").tobytes()
    files[f"{folder}/{pack.tables['coder'].file}"] = pack.coder_bytes
    files |= {f"{folder}/{pack.graphs[name].file}": pack.graph_bytes(name) for name in GRAPHS if name in pack.graphs}
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name}\0{digest(files[name])}\n".encode())
    return Library(files, f"assets/sdz-{total.hexdigest()[:DIGEST_DIGITS]}")


def _runtime_file(name: str) -> Path:
    """A file of onnxruntime-web: beside the modules in an installation, npm's in a checkout. Raises MissingRuntimeError."""
    for source in (WEB / "ort" / name, ROOT / ORT_DIST / name):
        if source.is_file():
            return source
    raise MissingRuntimeError(f"{ORT_DIST / name} is missing in {ROOT}: run `npm ci` there")


def stripped(module: str) -> str:
    """A module's text without the comments that begin a line, behind `NOTICE`."""
    return NOTICE + _LINE.sub("", _BLOCK.sub(lambda found: "" if found[2] else found[1], module))


def loads(assets: list[Asset], shared: Library) -> Loads:
    """Sorts the library's assets by what they are for."""
    inside = {asset.path.removeprefix(shared.directory + "/"): asset for asset in assets}

    def chosen(folder: str, *suffixes: str) -> list[Asset]:
        return [a for name, a in inside.items() if name.rpartition("/")[0].startswith(folder) and name.endswith(suffixes)]

    return Loads(
        scripts=[a for name, a in inside.items() if not name.startswith(("packs/", "ort/", "demo/")) and name not in LATER],
        tables=chosen("packs", ".bin", ".json"),
        runtime=chosen("ort", ""),
        graphs=chosen("packs", ".onnx"),
        page=chosen("demo", ""),
    )
