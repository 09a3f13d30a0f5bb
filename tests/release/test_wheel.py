"""The wheel in environments that hold no checkout: what is in it, that its commands work, and what they say where an extra is missing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tomllib
import urllib.request
import zipfile
from email import message_from_bytes
from pathlib import Path

import numpy as np
import pytest
from installed import ROOT, Environment, build_wheel, surroundings
from packaging.requirements import Requirement
from PIL import Image

import sdz
import sdz.export.cli
import sdz.runtime.cli
from sdz.cli import COMMANDS, main, usage
from sdz.export.site import minify
from sdz.extras import CONTAINS, EXTRAS, missing
from sdz.runtime.decode import decode

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MODULES = {"PySide6-Essentials": "PySide6", "prometheus-client": "prometheus_client", "pytorch-msssim": "pytorch_msssim"}
MODULES |= {
    "pillow-heif": "pillow_heif",
    "pillow-jxl-plugin": "pillow_jxl",
    "rapidocr-onnxruntime": "rapidocr_onnxruntime",
    "scikit-image": "skimage",
    "stlpips-pytorch": "stlpips_pytorch",
}
"""Names of modules that are not their package's name."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def full(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel beside all packages."""
    made = Environment(tmp_path_factory.mktemp("full"))
    made.put(wheel)
    made.borrow()
    return made


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel beside what it depends on without any extra."""
    made = Environment(tmp_path_factory.mktemp("bare"))
    made.put(wheel)
    made.link([Requirement(text).name for text in PROJECT["project"]["dependencies"]])
    return made


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one photo, 200x160."""
    folder = tmp_path_factory.mktemp("photos")
    pixels = np.random.default_rng(1).integers(0, 256, (5, 6, 3), np.uint8)
    Image.fromarray(pixels).resize((200, 160), Image.Resampling.BICUBIC).save(folder / "photo.png")
    return folder


def test_the_wheel_claims_one_name_and_holds_all_that_a_build_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        described = message_from_bytes(archive.read(f"sdz-{sdz.__version__}.dist-info/METADATA"))
    assert {name.partition("/")[0] for name in names} == {"sdz", f"sdz-{sdz.__version__}.dist-info"}
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "sdz", "runtime", "export", "server", "web", "core/*.wasm"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\n")[:-1]  # fmt: skip
    modules = {f"web/{name}" for name in minify.modules(ROOT / "web")}
    tracked = [name for name in tracked if (ROOT / name).is_file() and not name.startswith("web/npm/") and name not in modules]
    expected = {f"sdz/{name.removeprefix('sdz/')}" for name in tracked}
    expected |= {f"sdz/web/{name}" for name in minify.minified(ROOT)}
    expected |= {"sdz/web/ort/ort.wasm.bundle.min.mjs", "sdz/web/ort/ort-wasm-simd-threaded.wasm"}
    assert {name for name in names if name.startswith("sdz/")} == expected
    assert len(names) == len(set(names))
    assert (described["Version"], described["License-Expression"]) == (sdz.__version__, "Apache-2.0 AND MIT")
    assert {str(name) for name in described.get_all("Provides-Extra", [])} == set(EXTRAS)
    # the graph for effort has 1.6 MB of them, WebGPU's runtime and graphs 6
    assert wheel.stat().st_size < 17_000_000


def test_a_source_distribution_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(tmp_path)]
    subprocess.run([*build, "--target", "sdist"], cwd=ROOT, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "tarfile", "-e", str(next(tmp_path.glob("*.tar.gz"))), str(tmp_path)], check=True)
    (source,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    subprocess.run([*build, "--target", "wheel"], cwd=source, check=True, capture_output=True)
    (again,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        names, found = set(first.namelist()), set(second.namelist())
    # without esbuild, the modules are what they are in the sources
    modules, bundles = ({f"sdz/web/{name}" for name in listed} for listed in (minify.modules(ROOT / "web"), minify.minified(ROOT)))
    assert found - modules == names - bundles
    assert (found & modules, names & bundles) == (modules, bundles)


def test_the_version_stands_in_one_place() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"] and "version" not in PROJECT["project"]
    assert json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["version"] == sdz.__version__
    assert json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))["version"] == sdz.__version__


def test_extras_are_those_of_pyproject() -> None:
    brought: dict[str, set[str]] = {}
    for extra, texts in PROJECT["project"]["optional-dependencies"].items():
        needed = [Requirement(text) for text in texts]
        nested = tuple(name for one in needed if one.name == "sdz" for name in one.extras)
        assert set(nested) <= set(CONTAINS.get(extra, ()))
        # a faster loop for uvicorn, never imported by name
        brought[extra] = {MODULES.get(one.name, one.name) for one in needed} - {"sdz", "uvloop"}
    assert brought == {extra: set(modules) for extra, modules in EXTRAS.items()}


def test_every_command_of_the_rooms_is_a_command_of_sdz() -> None:
    known = {name for commands in COMMANDS.values() for name in commands}
    of_rooms = set()
    for parser in (sdz.runtime.cli._parser(), sdz.export.cli.parser()):
        (choices,) = [action.choices for action in parser._actions if action.choices is not None]
        of_rooms |= set(choices)
    assert known == of_rooms | {"serve"}
    assert all(f"  {name} " in usage() for name in known)


def test_wrong_commands_are_told_from_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err == usage() + "\n"
    assert main(["bild"]) == 2
    assert capsys.readouterr().err == "sdz: there is no command 'bild': did you mean 'build'?\n"
    assert main(["?"]) == 2
    assert capsys.readouterr().err == "sdz: there is no command '?': sdz --help lists the commands\n"
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == usage() + "\n"


def test_files(full: Environment, photos: Path, tmp_path: Path) -> None:
    done = full.run("sdz", "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"sdz {sdz.__version__}\n", "")
    done = full.run("sdz", "encode", photos / "photo.png", "-o", "photo.sdz", "--target-size", "1500", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "photo.sdz").stat().st_size == 1500
    done = full.run("sdz", "decode", "photo.sdz", "-o", "back.png", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(tmp_path / "back.png") as image:
        assert np.array_equal(np.asarray(image), decode((tmp_path / "photo.sdz").read_bytes()).pixels)
    done = full.run("sdz", "info", "--json", "photo.sdz", cwd=tmp_path)
    assert (done.returncode, json.loads(done.stdout)["files"][0]["bytes"]) == (0, 1500)
    done = full.run("sdz", "verify", "photo.sdz", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "photo.sdz: ok\n")
    done = full.run("sdz", "thumbnail", "--size", "64", "photo.sdz", "small.png", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(tmp_path / "small.png") as image:
        assert image.size == (64, 51)
    done = full.run("python", "-m", "sdz", "verify", "photo.sdz", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "photo.sdz: ok\n")


def test_a_site_is_built_and_served(full: Environment, photos: Path, tmp_path: Path) -> None:
    done = full.run("sdz", "build", photos, "--out", "site", "--judge", "0", "--jobs", "1", cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    (core,) = (tmp_path / "site").glob("assets/sdz-*/sdz.wasm")
    assert core.read_bytes() == (ROOT / "core" / "reader.wasm").read_bytes()
    command = [full.bin / "sdz", "serve", "site", "--port", "0", "--quiet"]
    with subprocess.Popen(command, cwd=tmp_path, env=surroundings(), stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[0]
            with urllib.request.urlopen(address) as answer:
                page = answer.read().decode()
            with urllib.request.urlopen(
                address + next((tmp_path / "site").rglob("*.sdz")).relative_to(tmp_path / "site").as_posix()
            ) as answer:
                head = answer.read(3)
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0
    assert "photo" in page.lower() and head == b"SDZ"


WITHOUT = {
    "view": (["view"], "the viewer needs PySide6-Essentials, which is not installed: pip install 'sdz[viewer]'"),
    "build": (["build", ".", "--out", "site"], "pip install 'sdz[site]'"),
    "serve": (["serve", "."], "pip install 'sdz[server]'"),
    "train": (["train", "--data", ".", "--out", "run"], "pip install 'sdz[train]'"),
    "distill": (["distill", "--data", ".", "--out", "run"], "pip install 'sdz[train]'"),
    "prime": (["prime", "."], "pip install 'sdz[train]'"),
    "pack": (["pack", "--out", "pack"], "pip install 'sdz[train]'"),
    "bench": (["bench", "--out", "report"], "pip install 'sdz[bench]'"),
    "lossless": (["lossless", "default"], "pip install 'sdz[bench]'"),
    "speed": (["speed"], "pip install 'sdz[bench]'"),
}
"""What a command says last without any extra."""


@pytest.mark.parametrize("name", sorted(WITHOUT))
def test_a_missing_extra_is_one_line(name: str, bare: Environment, tmp_path: Path) -> None:
    arguments, end = WITHOUT[name]
    done = bare.run("sdz", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and done.stderr.endswith(end + "\n"), done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_decoding_needs_no_extra(bare: Environment, full: Environment, photos: Path, tmp_path: Path) -> None:
    done = bare.run("sdz", "encode", photos / "photo.png", "-o", "photo.sdz", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "sdz: encoding needs onnxruntime, which is not installed: pip install 'sdz[encode]'\n")
    done = full.run("sdz", "encode", photos / "photo.png", "-o", "photo.sdz", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    done = bare.run("sdz", "verify", "photo.sdz", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "photo.sdz: ok\n")
    for name, environment in (("bare", bare), ("full", full)):
        done = environment.run("sdz", "decode", "photo.sdz", "-o", f"{name}.png", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "bare.png").read_bytes() == (tmp_path / "full.png").read_bytes()


def test_what_is_missing_is_named() -> None:
    assert missing("torch", "bench") == "torch is needed and not installed: pip install 'sdz[bench]'"
    assert missing("torch", "site") == "torch is needed and not installed: pip install 'sdz[train]'"
    assert missing("onnx.helper") == "onnx is needed and not installed: pip install 'sdz[train]'"
    assert missing("sdz.runtime.nowhere", "site") is None
    assert missing("stlpips_pytorch.stlpips", "bench") == "stlpips_pytorch is needed and not installed: pip install 'sdz[bench]'"


@pytest.mark.parametrize("installed", [True, False])
def test_names_of_the_user_do_not_collide(installed: bool, full: Environment, tmp_path: Path) -> None:
    """A user's own `server.py` and `runtime/` beside an application that mounts ours: installed, and with the checkout on the path."""
    (tmp_path / "server.py").write_text("WHOSE = 'the user’s server'\n", encoding="utf-8")
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "__init__.py").write_text("WHOSE = 'the user’s runtime'\n", encoding="utf-8")
    (tmp_path / "app.py").write_text(
        "import runtime\nimport server\nfrom sdz.runtime.decode import decode\nfrom sdz.server.app import create_app\n"
        "print(server.WHOSE, runtime.WHOSE, create_app.__module__, decode.__module__, sep=', ')\n",
        encoding="utf-8",
    )
    if installed:
        done = full.run("python", "app.py", cwd=tmp_path)
    else:
        environment = surroundings() | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "app.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "the user’s server, the user’s runtime, sdz.server.app, sdz.runtime.decode\n"


def test_an_installation_in_place_finds_the_rooms(tmp_path: Path) -> None:
    """What `pip install -e` exposes is the folder `sdz`, and no other name of the checkout."""
    (tmp_path / "sdz").symlink_to(ROOT / "sdz")
    code = "import sdz.server.headers, sdz.runtime, importlib.util as u; print(u.find_spec('server'), u.find_spec('runtime'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=surroundings(), capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout) == ("", "None None\n")


@pytest.mark.parametrize("module", ["sdz", "runtime", "export", "server"])
def test_a_checkout_runs_every_room(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, env=surroundings(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: sdz")
