"""What a page loads, in bytes, by what it is for."""

from __future__ import annotations

import gzip
from dataclasses import asdict

import brotli

from ..site.assets import BROTLI_QUALITY, BROTLI_WINDOW, Asset, digest
from ..site.library import Library, loads

GROUPS = {
    "scripts": "scripts and the core",
    "tables": "tables of the linear stage and the coder",
    "graphs": "decoder and denoiser",
    "runtime": "onnxruntime-web",
}
"""What a visitor loads once, by what it is for, as `export.site.library.Loads` has it, and in words."""


def sizes(shared: Library, quick: bool) -> dict[str, dict[str, int]]:
    """Bytes of what a page loads, by what it is for: as it is, after gzip and after brotli. `quick` leaves the large runtime out."""
    assets = []
    for name, data in shared.files.items():
        if quick and name.startswith("ort/"):
            continue
        small = brotli.compress(data, quality=BROTLI_QUALITY, lgwin=BROTLI_WINDOW)
        assets.append(Asset(shared.path(name), len(data), digest(data), len(small), len(gzip.compress(data, 9, mtime=0))))
    groups = asdict(loads(assets, shared))
    return {
        name: {"raw": sum(a["bytes"] for a in groups[name]), **{k: sum(a[k] for a in groups[name]) for k in ("gzip", "brotli")}}
        for name in GROUPS
        if groups[name]
    }
