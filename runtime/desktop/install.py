"""Installs the files that make a freedesktop.org desktop know .sdz: media type, viewer, thumbnailer and icon; and removes them.

Takes the share folder to install into, returns the paths written or removed. The files are those in `freedesktop/`, with the command that
runs this installation filled in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import sdz

from ..errors import DesktopError
from ..files import write_atomically

APPLICATION_ID: Final = "sdz"
MIME: Final = "image/x-sdz"

_SOURCE: Final = Path(__file__).parent / "freedesktop"
ICON: Final = _SOURCE / "sdz.svg"

INSTALLED: Final = {
    "mime/packages/sdz.xml": "sdz.xml",
    "applications/sdz.desktop": "sdz.desktop",
    "thumbnailers/sdz.thumbnailer": "sdz.thumbnailer",
    "icons/hicolor/scalable/apps/sdz.svg": "sdz.svg",
    "icons/hicolor/scalable/mimetypes/image-x-sdz.svg": "sdz.svg",
}
"""Paths below the share folder, as the standards define them, and the source of each file."""

SYSTEM: Final = Path("/usr/local/share")
"""The share folder for everybody: all desktops search it, and no package of the system writes there."""

REGISTRY_TOOL: Final = "update-mime-database"
CACHE_TOOL: Final = "update-desktop-database"


def user_share() -> Path:
    """The person's own share folder (XDG base directory specification)."""
    named = os.environ.get("XDG_DATA_HOME", "")
    return Path(named) if Path(named).is_absolute() else Path.home() / ".local" / "share"


def install(share: Path) -> list[Path]:
    """Writes the files below `share` and updates the desktop's databases; the paths written.

    Raises DesktopError where the tool that registers media types is missing or fails, OSError for a folder that cannot be written. No file
    is left behind in either case.
    """
    _require(REGISTRY_TOOL)
    written: list[Path] = []
    try:
        for place, name in INSTALLED.items():
            path = share / place
            path.parent.mkdir(parents=True, exist_ok=True)
            written.append(path)
            write_atomically(path, (_SOURCE / name).read_bytes().replace(b"@COMMAND@", os.fsencode(_command())))
        _refresh(share)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return written


def remove(share: Path) -> list[Path]:
    """Removes what `install` wrote below `share`; the paths removed, none where nothing was installed. Raises as `install` does."""
    found = [share / place for place in INSTALLED if (share / place).is_file()]
    if found:
        _require(REGISTRY_TOOL)
        for path in found:
            path.unlink()
        _refresh(share)
    return found


def _command() -> str:
    """The command that runs this installation from any folder, quoted as the Desktop Entry specification asks."""
    script = Path(sys.executable).with_name("sdz")
    if script.is_file():
        return _quoted(str(script))
    root = Path(sdz.__file__).resolve().parents[1]
    return " ".join(_quoted(word) for word in ("env", f"PYTHONPATH={root}", sys.executable, "-m", "sdz"))


def _quoted(word: str) -> str:
    if all(char.isalnum() or char in "/._-+=,:@" for char in word):
        return word
    for char in '\\"`$':
        word = word.replace(char, "\\" + char)
    # the file format has escapes of its own on top, and a percent sign would begin a field code
    return '"' + word.replace("\\", "\\\\").replace("%", "%%") + '"'


def _require(tool: str) -> str:
    found = shutil.which(tool)
    if found is None:
        raise DesktopError(f"{tool} is not installed: install your system's package shared-mime-info")
    return found


def _refresh(share: Path) -> None:
    """Runs the tools that index the files below `share`. The one for applications is optional: desktops work without its index."""
    _run(_require(REGISTRY_TOOL), share / "mime")
    cache = shutil.which(CACHE_TOOL)
    if cache is not None and (share / "applications").is_dir():
        _run(cache, share / "applications")
    icons = share / "icons" / "hicolor"
    if icons.is_dir():
        # icon caches are read again when their folder is newer
        icons.touch()


def _run(tool: str, folder: Path) -> None:
    done = subprocess.run([tool, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        problem = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise DesktopError(f"{tool} {folder} failed: {problem}")
