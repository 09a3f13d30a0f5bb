"""What the tests of sites share: the options of a small build, and what stands in a site's directory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdz.export.site.build import BuildOptions
from sdz.export.site.photos import PhotoOptions


def options(photos: Path, pack: Path, out: Path, **changes: Any) -> BuildOptions:
    wanted = BuildOptions([str(photos)], out, PhotoOptions(originals=True), pack, "Three & more", judged=1, brotli_quality=1)
    return replace(wanted, **changes)


def manifest(root: Path) -> dict[str, Any]:
    return dict(json.loads((root / "manifest.json").read_bytes()))


def tree(root: Path) -> dict[str, tuple[int, int]]:
    """Every file with its inode and modification time: equal where nothing was written."""
    return {str(p.relative_to(root)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in sorted(root.rglob("*")) if p.is_file()}
