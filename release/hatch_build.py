"""Lays the rooms of the checkout inside `sdz` as an installation has them, with all that `sdz build` needs without Node.

Takes the checkout, or an unpacked source distribution, hands hatchling a list of files. An installation in place (`pip install -e`)
needs none of it: `sdz/__init__.py` finds the rooms beside itself.
"""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOMS = ("runtime", "export", "server", "web")
CORE = "core/*.wasm"
NPM = "web/npm"
"""What only the npm package has."""

BROWSER_RUNTIME = "web/ort"
"""Where onnxruntime-web's files lie in an installation and in a source distribution; in a checkout they are npm's."""

NODE_MODULES = "node_modules/onnxruntime-web/dist"
RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")

MINIFY = "export/site/minify.py"
"""Makes of the browser's modules what a site carries, in a checkout that has esbuild; it needs nothing but itself."""


class CustomBuildHook(BuildHookInterface[Any]):
    """Called by hatchling for the wheel and for the source distribution."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds to what is included: source file -> path in the archive."""
        if version == "editable":
            return
        root = Path(self.root)
        included = build_data["force_include"]
        if not (root / BROWSER_RUNTIME).is_dir():
            found = {root / NODE_MODULES / name: f"{BROWSER_RUNTIME}/{name}" for name in RUNTIME_FILES}
            included.update({str(path): inside for path, inside in found.items() if path.is_file()})
        if self.target_name == "wheel":
            laid_out = {str(path): path.relative_to(root).as_posix() for path in sources(root)} | included
            included.update({path: f"sdz/{inside}" for path, inside in laid_out.items()})
            self._minify(root, included)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes what `initialize` wrote."""
        shutil.rmtree(self._minified(), ignore_errors=True)

    def _minified(self) -> Path:
        return Path(self.directory) / ".web"

    def _minify(self, root: Path, included: dict[str, str]) -> None:
        """Puts the minified modules in the place of the sources."""
        if not (root / MINIFY).exists():
            return
        minify = runpy.run_path(str(root / MINIFY))
        if not minify["available"](root):
            return
        for name in minify["modules"](root / "web"):
            included.pop(str(root / "web" / name))
        for name, module in minify["minified"](root).items():
            path = self._minified() / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(module)
            included[str(path)] = f"sdz/web/{name}"


def sources(root: Path) -> list[Path]:
    """The files of the rooms, and the core."""
    found = [path for room in ROOMS for path in sorted((root / room).rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return [path for path in found if not path.is_relative_to(root / NPM)] + sorted(root.glob(CORE))
