"""What an installation without extras weighs: the wheel, the same unpacked, and with everything that it requires."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

from .python import ROOT
from .timing import Figures


def installed() -> Figures:
    """Bytes of the `wheel` of this checkout, of its files `unpacked`, and of these with what it `required`; empty without a checkout, or
    without hatchling, which builds it. Raises CalledProcessError."""
    if not (ROOT / "pyproject.toml").is_file():
        return {}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
            (about,) = (entry for entry in archive.namelist() if entry.endswith(".dist-info/METADATA"))
            required = _required(metadata.PathDistribution(zipfile.Path(archive, about.removesuffix("METADATA"))).requires or [])
        return {"wheel": wheel.stat().st_size, "unpacked": unpacked, "required": unpacked + sum(map(weight, required))}


def weight(name: str) -> int:
    """Bytes of the files of an installed distribution, without what Python compiled of them."""
    files = [Path(str(file.locate())) for file in metadata.distribution(name).files or []]
    return sum(file.stat().st_size for file in files if file.suffix != ".pyc" and file.is_file())


def _required(requirements: list[str]) -> list[str]:
    """The distributions that are required without any extra, and those that these require."""
    found: list[str] = []
    waiting = list(requirements)
    while waiting:
        requirement = waiting.pop(0)
        named, _, marker = requirement.partition(";")
        match = re.match(r"[A-Za-z0-9._-]+", named)
        if match is not None and not marker and match[0] not in found:
            found.append(match[0])
            waiting += metadata.distribution(match[0]).requires or []
    return found
