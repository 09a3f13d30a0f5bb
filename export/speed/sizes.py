"""What a page loads, in bytes, by what it is for."""

from __future__ import annotations

import gzip
from dataclasses import asdict

import brotli

from ..site.assets import BROTLI_QUALITY, BROTLI_WINDOW, Asset, digest
from ..site.library import CORE_FILE, Library, loads

LOADED = {
    "scripts": "scripts and the core",
    "tables": "tables of the linear stage and the coder",
    "graphs": "decoder and denoiser",
    "runtime": "onnxruntime-web",
}
"""What a visitor loads once, by what it is for, as `export.site.library.Loads` has it, and in words."""

GROUPS = LOADED | {
    "core": "of these: the core",
    "paint": "before the first paint: scripts, core and tables",
    "visit": "on a first visit: all of these",
}
"""The same, and parts and sums of it."""


def sizes(shared: Library, quick: bool) -> dict[str, dict[str, int]]:
    """Bytes of what a page loads, by what it is for: as it is, after gzip and after brotli. `quick` leaves the large runtime out."""
    assets = []
    for name, data in shared.files.items():
        if quick and name.startswith("ort/"):
            continue
        small = brotli.compress(data, quality=BROTLI_QUALITY, lgwin=BROTLI_WINDOW)
        assets.append(Asset(shared.path(name), len(data), digest(data), len(small), len(gzip.compress(data, 9, mtime=0))))
    groups = asdict(loads(assets, shared))
    parts = {name: groups[name] for name in LOADED}
    parts["core"] = [asset for asset in parts["scripts"] if asset["path"] == shared.path(CORE_FILE)]
    parts["paint"] = parts["scripts"] + parts["tables"]
    parts["visit"] = [asset for name in LOADED for asset in parts[name]]
    return {
        name: {"raw": sum(a["bytes"] for a in found), **{k: sum(a[k] for a in found) for k in ("gzip", "brotli")}}
        for name, found in parts.items()
        if found
    }
