"""What the tests of an installation stand on: the wheel, and environments that hold it and no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""What a command is given of this process's environment, besides pip's settings: no PYTHONPATH, no virtual environment."""

GIVEN = "SDZ_DIST"
"""Environment variable with the folder of the packages to try, as `make release` sets it; without it they are built."""


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout, in `folder`; or the one of the folder that `GIVEN` names."""
    given = os.environ.get(GIVEN)
    if given is None:
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    (wheel,) = Path(given or folder).resolve().glob("sdz-*.whl")
    return wheel


class Environment:
    """A virtual environment in `folder`, without the checkout, and what runs in it."""

    def __init__(self, folder: Path, with_pip: bool = False) -> None:
        venv.create(folder, with_pip=with_pip)
        self.bin = folder / "bin"
        self.python = self.bin / "python"
        # as the checkout's own path may be a link, and `sys.prefix` of the environment is what was asked for
        self.site_packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))

    def put(self, wheel: Path) -> None:
        """Installs a wheel without what it depends on."""
        options = ["--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check", "--quiet"]
        subprocess.run([sys.executable, "-m", "pip", "--python", str(self.python), "install", *options, str(wheel)], check=True)

    def borrow(self) -> None:
        """Makes every package of this process's environment importable."""
        (self.site_packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")

    def link(self, names: list[str]) -> None:
        """Makes these distributions of this process's environment importable, with all they require, and no others."""
        for name in closure(names):
            found = metadata.distribution(name)
            for top in {file.parts[0] for file in found.files or () if file.parts[0] != ".."}:
                if top != "__pycache__":
                    link = self.site_packages / top
                    if not link.exists():
                        link.symlink_to(found.locate_file(top))

    def run(self, *command: str | Path, cwd: Path, more: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command of the environment to its end."""
        return subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=cwd, env=surroundings() | (more or {}), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip


def surroundings() -> dict[str, str]:
    """The variables a command is run with."""
    return {name: value for name, value in os.environ.items() if name in INHERITED or name.startswith("PIP_")}


def closure(names: list[str]) -> set[str]:
    """The distributions of these names and all they require, without extras, as they are installed here."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            needed = [Requirement(text) for text in metadata.requires(name) or ()]
            left += [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found
