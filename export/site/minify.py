"""The modules of `web/` as sites and installed packages carry them: without comments and long names, by esbuild.

Needs nothing but a checkout with its node_modules, not even the rest of the project: the build of the wheel runs it as well.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

ESBUILD = Path("node_modules/.bin/esbuild")

NOTICE = "// sdz, SPDX-License-Identifier: Apache-2.0"
"""The first line of every module."""

OPTIONS = ("--minify", "--format=esm", "--charset=utf8", "--tsconfig-raw={}", "--log-level=warning", f"--banner:js={NOTICE}")
"""Each module for itself, its imports as they are: they find each other by their names."""


class MinifyError(ValueError):
    """esbuild could not be run, or refused a module."""


def available(root: Path) -> bool:
    """Whether the checkout at `root` has esbuild."""
    return (root / ESBUILD).exists()


def minified(root: Path) -> dict[str, bytes]:
    """Every module below `web/` of the checkout at `root`, by its path there; raises MinifyError."""
    web = root / "web"
    names = sorted(path.relative_to(web).as_posix() for path in web.rglob("*.js"))
    with tempfile.TemporaryDirectory() as folder:
        command = [str(root / ESBUILD), *names, *OPTIONS, "--outbase=.", f"--outdir={folder}"]
        try:
            done = subprocess.run(command, cwd=web, capture_output=True, text=True)
        except OSError as error:
            raise MinifyError(f"esbuild cannot be run: {error.strerror}: run `npm ci` in {root}") from error
        if done.returncode != 0:
            raise MinifyError(f"esbuild: {' '.join(done.stderr.split())}")
        return {name: Path(folder, name).read_bytes() for name in names}
