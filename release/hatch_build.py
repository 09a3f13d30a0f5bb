"""Lays the rooms of the checkout inside `sdz` as an installation has them, with all that `sdz build` needs without Node.

Takes the checkout, or an unpacked source distribution, hands hatchling a list of files. An installation in place (`pip install -e`)
needs none of it: `sdz/__init__.py` finds the rooms beside itself.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOMS = ("runtime", "export", "server", "web")
CORE = "core/*.wasm"

BROWSER_RUNTIME = "web/ort"
"""Where onnxruntime-web's files lie in an installation and in a source distribution; in a checkout they are npm's."""

NODE_MODULES = "node_modules/onnxruntime-web/dist"
RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
ESBUILD = "node_modules/.bin/esbuild"


class CustomBuildHook(BuildHookInterface[Any]):
    """Called by hatchling for the wheel and for the source distribution."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds to what is included: source file -> path in the archive."""
        if version == "editable":
            return
        root = Path(self.root)
        included = build_data["force_include"]
        for name in RUNTIME_FILES:
            if (root / NODE_MODULES / name).is_file() and not (root / BROWSER_RUNTIME).is_dir():
                included[str(root / NODE_MODULES / name)] = f"{BROWSER_RUNTIME}/{name}"
        if self.target_name == "wheel":
            laid_out = {str(path): path.relative_to(root).as_posix() for path in sources(root)} | included
            included.update({path: f"sdz/{inside}" for path, inside in laid_out.items()})
            self._strip_comments(root, included)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes what `initialize` made."""
        shutil.rmtree(self._stripped(), ignore_errors=True)

    def _stripped(self) -> Path:
        return Path(self.directory) / ".web"

    def _strip_comments(self, root: Path, included: dict[str, str]) -> None:
        """The browser's modules without their comments, a third of what a visitor would download, where esbuild is installed."""
        esbuild = root / ESBUILD
        if not esbuild.exists():
            return
        modules = [path for path in sources(root) if path.suffix == ".js" and path.is_relative_to(root / "web")]
        options = ["--charset=utf8", "--log-level=warning", f"--outbase={root / 'web'}", f"--outdir={self._stripped()}"]
        subprocess.run([str(esbuild), *map(str, modules), *options], check=True)
        for path in modules:
            inside = path.relative_to(root / "web")
            included[str(self._stripped() / inside)] = included.pop(str(path))


def sources(root: Path) -> list[Path]:
    """The files of the rooms, and the core."""
    found = [path for room in ROOMS for path in sorted((root / room).rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return found + sorted(root.glob(CORE))
