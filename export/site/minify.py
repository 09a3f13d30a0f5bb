"""The modules of `web/` as sites and installed packages carry them: few files, without comments and long names, by esbuild.

What a browser loads one by one costs it a request each: what belongs together is one file here. A page's modules are one program, and parts
of it that are loaded later or by name share the rest of it; the worker and the service workers are others, which share nothing.

Needs nothing but a checkout with its node_modules, not even the rest of the project: the build of the wheel runs it as well.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

MODULES = ("*.js", "format/*.js", "page/*.js", "work/*.js", "demo/*.js", "demo/panel/*.js")
"""The modules of `web/`."""

NAMED = (
    "sdz.js",
    "decode.js",
    "errors.js",
    "assets.js",
    "engine.js",
    "limits.js",
    "pack.js",
    "sessions.js",
    "format/container.js",
    "page/sizes.js",
    "work/exact.js",
)
"""What pages load by name, beside the demo's scripts."""

PROGRAMS = ((*NAMED, "demo/*.js"), ("worker.js", "session.js"), ("sw.js",), ("sw-onnx.js",), ("fallback.js",))
"""The modules of each program that keep their names."""

ESBUILD = Path("node_modules/.bin/esbuild")

NOTICE = "// sdz, SPDX-License-Identifier: Apache-2.0"
"""The first line of the modules in `NOTICED`."""

NOTICED = ("sdz.js", "decode.js", "worker.js", "sw.js", "sw-onnx.js", "fallback.js")
"""What pages and browsers load by name. In every module that they import it would cost a visitor a kilobyte."""

OPTIONS = (
    "--bundle", "--splitting", "--minify", "--format=esm", "--charset=utf8", "--tsconfig-raw={}", "--log-level=warning",
    # beside the modules with names, where addresses are relative to
    "--outbase=.", "--chunk-names=[name]-[hash]", "--external:./ort/*",
)  # fmt: skip


class MinifyError(ValueError):
    """esbuild could not be run, or refused a module."""


def available(root: Path) -> bool:
    """Whether the checkout at `root` has esbuild."""
    return (root / ESBUILD).exists()


def modules(web: Path) -> list[str]:
    """Every module of `web`, by its path below it."""
    return _found(web, MODULES)


def minified(root: Path) -> dict[str, bytes]:
    """What a site holds of the checkout at `root`, by paths in the place of its `web/`; raises MinifyError."""
    web = root / "web"
    with tempfile.TemporaryDirectory() as folder:
        for program in PROGRAMS:
            command = [str(root / ESBUILD), *_found(web, program), *OPTIONS, f"--outdir={folder}"]
            try:
                done = subprocess.run(command, cwd=web, capture_output=True, text=True)
            except OSError as error:
                raise MinifyError(f"esbuild cannot be run: {error.strerror}: run `npm ci` in {root}") from error
            if done.returncode != 0:
                raise MinifyError(f"esbuild: {' '.join(done.stderr.split())}")
        notices = {name: f"{NOTICE}\n".encode() for name in NOTICED}
        found = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        names = [path.relative_to(folder).as_posix() for path in found]
        return {name: notices.get(name, b"") + path.read_bytes() for name, path in zip(names, found, strict=True)}


def _found(web: Path, patterns: tuple[str, ...]) -> list[str]:
    return sorted(path.relative_to(web).as_posix() for pattern in patterns for path in web.glob(pattern))
