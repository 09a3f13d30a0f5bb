"""Who may reach whom: `export -> runtime <- server`, `web` stands alone. Read from the sources, so no import can hide in a function."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "diffusers", "onnx", "safetensors", "pytorch_msssim", "stlpips_pytorch"}
OWN = {"runtime", "export", "server"}
ROOMS: dict[str, set[str]] = {
    "runtime": set(),
    "runtime/format": {"runtime"},
    "runtime/pictures": {"runtime"},
    "runtime/refining": {"runtime", "runtime/format", "runtime/regions"},
    "runtime/regions": {"runtime", "runtime/format"},
    "runtime/lossless": {"runtime", "runtime/format"},
    "runtime/engines": {"runtime", "runtime/format"},
    "runtime/desktop": {"runtime", "runtime/format"},
    "runtime/viewer": {
        "runtime",
        "runtime/format",
        "runtime/pictures",
        "runtime/desktop",
        "runtime/viewer/decoding",
        "runtime/viewer/browsing",
    },
    "runtime/viewer/browsing": {"runtime", "runtime/desktop", "runtime/viewer"},
    "runtime/viewer/decoding": {"runtime", "runtime/format", "runtime/engines"},
    "runtime/cli": {
        "runtime",
        "runtime/format",
        "runtime/pictures",
        "runtime/engines",
        "runtime/regions",
        "runtime/desktop",
        "runtime/viewer",
    },
    "server": {"runtime", "runtime/format", "server/jobs", "server/store"},
    "server/jobs": {"runtime", "runtime/format", "runtime/engines", "runtime/pictures"},
    "server/store": {"runtime", "runtime/format"},
    "export": {"runtime", "runtime/format", "runtime/pictures"},
    "export/metrics": set(),
    "export/models": set(),
    "export/families": {"export/models"},
    "export/packs": {"export/packs/learning", "export/packs/upper", "export/families", "export/models", "export"},
    "export/packs/learning": {"export/models"},
    "export/packs/upper": {"export/packs/learning", "export/models", "runtime/refining"},
    "export/packs/foreign": {"export/packs", "export/families", "export/models", "export"},
    "export/training": {"export/packs", "export/packs/foreign", "export/families", "export/models", "export/metrics", "export"},
    "export/site": {"export/metrics", "export", "export/site/theme", "export/site/parts", "runtime/lossless"},
    "export/site/parts": {"export/site", "export/metrics", "runtime/lossless"},
    "export/site/theme": set(),
    "export/plain": {"export/site", "export"},
    "export/speed": {"export/site", "export"},
    "export/bench": {
        "export/bench/tables",
        "export/speed",
        "export/site",
        "export/families",
        "export/metrics",
        "export",
        "runtime/refining",
    },
    "export/bench/tables": {"export/bench", "export/site", "export/metrics", "export", "runtime/regions"},
}
"""Whom each room may reach, besides itself; rooms of `export` may reach `runtime` and its format. Inside `runtime` a file's own
direction is what `test_no_circle_of_imports` checks: the format's files stand below those that read and write pictures with them."""


def imports(path: Path) -> list[str]:
    """The modules that a Python file imports anywhere in it, by statement or by a literal `import_module`, with dots in full."""
    names: list[str] = []
    inside = ["sdz", *path.relative_to(ROOT).with_suffix("").parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*inside[: len(inside) - node.level + 1]] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names += [f"{module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                names.append(str(node.args[0].value))
    return names


def imported(path: Path) -> set[str]:
    """Top-level names that a Python file imports; of the project's own modules the package in `sdz`."""
    return {name.split(".")[1] if name.startswith("sdz.") else name.partition(".")[0] for name in imports(path)}


def file_of(name: str) -> Path | None:
    """The file of the project that an import's name means: a module, or the module that the name is taken from."""
    parts = name.split(".")[1:] if name.startswith("sdz.") else []
    for count in (len(parts), len(parts) - 1):
        stem = ROOT.joinpath(*parts[:count])
        if count > 0 and stem.with_suffix(".py").is_file():
            return stem.with_suffix(".py")
        if count > 0 and (stem / "__init__.py").is_file():
            return stem / "__init__.py"
    return None


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


ALL = [path for package in sorted(OWN) for path in sources(package)]


def reached(path: Path) -> set[Path]:
    """The project's files that a file imports."""
    return {found for name in imports(path) if (found := file_of(name)) is not None} - {path}


def test_no_name_of_the_rooms_is_imported_without_its_package() -> None:
    strays = {str(path.relative_to(ROOT)): {n for n in imports(path) if n.partition(".")[0] in OWN} for path in ALL}
    assert {path: names for path, names in strays.items() if names} == {}


def test_rooms_reach_only_what_they_may() -> None:
    strays = set()
    for path in ALL:
        room = path.parent.relative_to(ROOT).as_posix()
        allowed = {room} | ROOMS[room]
        if room.startswith("export/"):
            allowed |= {"runtime", "runtime/format", "runtime/pictures", "runtime/regions"}
        if room == "runtime":
            allowed |= {"runtime/format", "runtime/pictures", "runtime/refining", "runtime/regions", "runtime/engines", "runtime/lossless"}
        if path == ROOT / "runtime/__main__.py":
            allowed |= {"runtime/cli"}
        if path == ROOT / "export/cli.py":
            allowed |= set(ROOMS)
        for other in reached(path):
            if other.parent.relative_to(ROOT).as_posix() not in allowed:
                strays.add((str(path.relative_to(ROOT)), str(other.relative_to(ROOT))))
    assert strays == set()


def test_no_circle_of_imports() -> None:
    graph = {path: reached(path) for path in ALL}
    order = graphlib.TopologicalSorter(graph)
    assert len(tuple(order.static_order())) == len(ALL)


def test_rooms_are_small() -> None:
    """No folder with more than 16 files beside sub-folders, no file over 500 lines."""
    web = ("web", "web/format", "web/page", "web/work", "web/demo", "web/demo/panel")
    folders = [ROOT / name for name in (*ROOMS, "core", "core/src", "core/src/networks", "core/src/lossless", *web)]
    crowded = {str(f.relative_to(ROOT)): n for f in folders if (n := sum(p.is_file() for p in f.iterdir())) > 16}
    long = {
        str(p.relative_to(ROOT)): n
        for f in folders
        for p in f.iterdir()
        if p.is_file() and p.suffix != ".wasm" and (n := len(p.read_bytes().splitlines())) > 500
    }
    assert (crowded, long) == ({}, {})


@pytest.mark.parametrize("package", ["runtime", "server"])
def test_runtime_and_server_never_reach_torch(package: str) -> None:
    found = {str(path.relative_to(ROOT)): imported(path) & HEAVY for path in sources(package)}
    assert {path: names for path, names in found.items() if names} == {}


def test_only_the_viewer_reaches_qt() -> None:
    reached = {str(path.relative_to(ROOT)) for package in OWN for path in sources(package) if imported(path) & {"PySide6", "shiboken6"}}
    assert reached
    assert {path for path in reached if not path.startswith("runtime/viewer/")} == set()


def test_the_viewers_worker_and_folder_need_no_qt() -> None:
    script = "import sys, sdz.runtime.viewer.decoding.worker, sdz.runtime.viewer.folder; print('PySide6' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout == "False\n"


@pytest.mark.parametrize(
    "code",
    [
        "import sdz.runtime.cli, sdz.runtime.encode, sdz.runtime.decode, sdz.runtime.session",
        "import sdz.server.app, sdz.server.__main__",
        "import sdz.export.cli; sdz.export.cli.parser()",
        "import sdz.export.site",
    ],
)
def test_nothing_heavy_is_loaded_in_fact(code: str) -> None:
    """The last two: a build that finds nothing to do must not wait for torch."""
    script = f"import sys; {code}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout == "\n"


def web_imports(module: Path, later: bool = False) -> list[str]:
    """What a module of `web/` imports by a statement, and where it is asked for by `import()`; types in comments do not count."""
    text = re.sub(r"/\*.*?\*/", "", module.read_text(encoding="utf-8"), flags=re.DOTALL)
    deferred = re.findall(r"""\bimport\(["']([^"']+)["']\)""", text) if later else []
    return deferred + re.findall(r"""(?:\bfrom|^import)\s+["']([^"']+)["']""", text, re.MULTILINE)


BROWSER = [path for path in sorted((ROOT / "web").rglob("*.js")) if path.parent.name != "npm"]


def test_web_stands_alone() -> None:
    """Every import of a module is relative and stays among the browser's modules; only onnxruntime-web is loaded by address."""
    assert BROWSER
    for module in BROWSER:
        for target in web_imports(module):
            if module.name == "sw-onnx.js" and target.startswith("./ort/"):
                # where a site has onnxruntime-web; a service worker cannot load it later, by address
                continue
            assert target.startswith("."), f"{module.name} imports {target}"
            assert (module.parent / target).resolve() in BROWSER, f"{module.name} imports {target}"


def test_no_circle_in_web() -> None:
    graph = {module: {(module.parent / target).resolve() for target in web_imports(module)} for module in BROWSER}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    web = ROOT / "web"
    assert (
        order.index(web / "core.js") < order.index(web / "engine.js") < order.index(web / "work/stages.js") < order.index(web / "worker.js")
    )
    assert not {path for module in graph if module.parent == web / "format" for path in graph[module] if path.parent == web / "page"}


def test_no_circle_in_web_by_what_is_loaded_later() -> None:
    graph = {module: {(module.parent / target).resolve() for target in web_imports(module, later=True)} for module in BROWSER}
    later = {target for module in BROWSER for target in web_imports(module, later=True)} - {t for m in BROWSER for t in web_imports(m)}
    assert {"../session.js", "./exact.js", "./photo.js", "./upgrade.js"} <= later
    tuple(graphlib.TopologicalSorter(graph).static_order())
