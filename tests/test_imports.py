"""Who may reach whom: `export -> runtime <- server`, `web` stands alone. Read from the sources, so no import can hide in a function."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "diffusers", "onnx", "safetensors", "pytorch_msssim", "stlpips_pytorch"}
OWN = {"runtime", "export", "server"}
ALLOWED = {"runtime": {"runtime"}, "server": {"server", "runtime"}, "export": {"export", "runtime"}}


def imported(path: Path) -> set[str]:
    """Top-level names that a Python file imports anywhere in it, by statement or by a literal `import_module`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.add(node.module or "")
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                names.add(str(node.args[0].value))
    return {name.partition(".")[0] for name in names}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_packages_reach_only_what_they_may(package: str) -> None:
    assert sources(package)
    strays = {str(path.relative_to(ROOT)): (imported(path) & OWN) - ALLOWED[package] for path in sources(package)}
    assert {path: names for path, names in strays.items() if names} == {}


@pytest.mark.parametrize("package", ["runtime", "server"])
def test_runtime_and_server_never_reach_torch(package: str) -> None:
    reached = {str(path.relative_to(ROOT)): imported(path) & HEAVY for path in sources(package)}
    assert {path: names for path, names in reached.items() if names} == {}


def test_only_the_viewer_reaches_qt() -> None:
    reached = {str(path.relative_to(ROOT)) for package in OWN for path in sources(package) if imported(path) & {"PySide6", "shiboken6"}}
    assert reached
    assert {path for path in reached if not path.startswith("runtime/viewer/")} == set()


def test_the_viewers_worker_and_folder_need_no_qt() -> None:
    script = "import sys, runtime.viewer.worker, runtime.viewer.folder; print('PySide6' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout == "False\n"


@pytest.mark.parametrize(
    "code",
    [
        "import runtime.cli, runtime.encode, runtime.decode, runtime.session",
        "import server.app, server.__main__",
        "import export.cli; export.cli.parser()",
        "import export.site",
    ],
)
def test_nothing_heavy_is_loaded_in_fact(code: str) -> None:
    """The last two: a build that finds nothing to do must not wait for torch."""
    script = f"import sys; {code}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout == "\n"


def test_web_stands_alone() -> None:
    """Every import of a module is relative and stays inside web/; only onnxruntime-web is loaded by address."""
    modules = sorted((ROOT / "web").rglob("*.js"))
    assert modules
    for module in modules:
        text = re.sub(r"/\*.*?\*/", "", module.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"""(?:\bfrom|^import)\s+["']([^"']+)["']""", text, re.MULTILINE):
            if module.name == "sw.js" and target.startswith("./ort/"):
                # where a site has onnxruntime-web; a service worker cannot load it later, by address
                continue
            assert target.startswith("."), f"{module.name} imports {target}"
            resolved = (module.parent / target).resolve()
            assert resolved.is_relative_to(ROOT / "web") and resolved.is_file(), f"{module.name} imports {target}"
