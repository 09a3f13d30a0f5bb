"""The modules of `web/` as sites and installed packages carry them: without comments and long names, by esbuild.

Needs nothing but a checkout with its node_modules, not even the rest of the project: the build of the wheel runs it as well.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

MODULES = ("*.js", "format/*.js", "page/*.js", "work/*.js", "demo/*.js")
"""What of `web/` a site holds."""

ESBUILD = Path("node_modules/.bin/esbuild")

NOTICE = "// sdz, SPDX-License-Identifier: Apache-2.0"
"""The first line of the modules in `NOTICED`."""

NOTICED = ("sdz.js", "decode.js", "worker.js", "sw.js", "sw-onnx.js", "fallback.js")
"""What pages and browsers load by name. In every module that they import it would cost a visitor a kilobyte."""

OPTIONS = ("--minify", "--format=esm", "--charset=utf8", "--tsconfig-raw={}", "--log-level=warning")
"""Each module for itself, its imports as they are: they find each other by their names."""


class MinifyError(ValueError):
    """esbuild could not be run, or refused a module."""


def available(root: Path) -> bool:
    """Whether the checkout at `root` has esbuild."""
    return (root / ESBUILD).exists()


def modules(web: Path) -> list[str]:
    """Every module of a site, by its path below `web`."""
    return sorted(path.relative_to(web).as_posix() for pattern in MODULES for path in web.glob(pattern))


def minified(root: Path) -> dict[str, bytes]:
    """The modules of the checkout at `root`, by their paths below its `web/`; raises MinifyError."""
    web, names = root / "web", modules(root / "web")
    with tempfile.TemporaryDirectory() as folder:
        command = [str(root / ESBUILD), *names, *OPTIONS, "--outbase=.", f"--outdir={folder}"]
        try:
            done = subprocess.run(command, cwd=web, capture_output=True, text=True)
        except OSError as error:
            raise MinifyError(f"esbuild cannot be run: {error.strerror}: run `npm ci` in {root}") from error
        if done.returncode != 0:
            raise MinifyError(f"esbuild: {' '.join(done.stderr.split())}")
        notices = {name: f"{NOTICE}\n".encode() for name in NOTICED}
        return {name: notices.get(name, b"") + Path(folder, name).read_bytes() for name in names}
