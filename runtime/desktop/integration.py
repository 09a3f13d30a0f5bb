"""The freedesktop.org desktop: which files make it know .sdz (its type, its viewer, its thumbnails, its icon), and putting them there.

Takes the share folder to install into, hands on the paths written or removed. The files are those in `freedesktop/`, with the command
filled in that runs this installation. Thumbnails cost no neural network and read the first latents only.
"""

from __future__ import annotations

import io
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
"""Paths below the share folder, as the standards name them, and the files that go there."""

SYSTEM: Final = Path("/usr/local/share")
"""Searched by every desktop, and not touched by the system's own packages."""

REGISTRY_TOOL: Final = "update-mime-database"
CACHE_TOOL: Final = "update-desktop-database"

THUMBNAIL_BYTES: Final = 131_072
"""Latents that a thumbnail is made of: about a second of entropy decoding, and more than a picture of 1,024 pixels shows."""

THUMBNAIL_SIZES: Final = (16, 2048)


def user_share() -> Path:
    """The person's own share folder, as the XDG base directory specification says."""
    named = os.environ.get("XDG_DATA_HOME", "")
    return Path(named) if Path(named).is_absolute() else Path.home() / ".local" / "share"


def install(share: Path) -> list[Path]:
    """Writes the files below `share` and has the desktop's registries read them; the paths written.

    Raises DesktopError where the tool that registers types is missing or fails (nothing is written in the first case, all is taken away
    again in the second), OSError for a folder that cannot be written.
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
    """Takes away what `install` wrote below `share`; the paths removed, none where it was not installed. Raises as `install` does."""
    found = [share / place for place in INSTALLED if (share / place).is_file()]
    if found:
        _require(REGISTRY_TOOL)
        for path in found:
            path.unlink()
        _refresh(share)
    return found


def thumbnail(data: bytes, size: int) -> bytes:
    """A PNG of at most `size` pixels a side from the bytes of an .sdz: the linear stage of its first latents.

    Raises DesktopError for a size outside THUMBNAIL_SIZES, and what `runtime.decode.decode` raises.
    """
    if not THUMBNAIL_SIZES[0] <= size <= THUMBNAIL_SIZES[1]:
        raise DesktopError(f"a thumbnail of {size} pixels: choose {THUMBNAIL_SIZES[0]} to {THUMBNAIL_SIZES[1]}")
    from PIL import Image

    from ..decode import decode, reduction_to
    from ..format.container import latent_span, parse
    from ..pack import find_pack

    header = parse(data).header
    factor = reduction_to(find_pack(header.pack_id).patch, (max(header.width, header.height), size))
    picture = decode(data, stage="linear", reduce=factor, max_bytes=latent_span(data)[0] + THUMBNAIL_BYTES).to_pil()
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def _command() -> str:
    """What runs this installation from any folder, quoted as the Desktop Entry specification asks."""
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
    # the file's own escapes come on top, and a percent sign would begin a field code
    return '"' + word.replace("\\", "\\\\").replace("%", "%%") + '"'


def _require(tool: str) -> str:
    found = shutil.which(tool)
    if found is None:
        raise DesktopError(f"{tool} is not installed: install your system's package shared-mime-info")
    return found


def _refresh(share: Path) -> None:
    """Runs the tools that index what lies below `share`; the one for applications only where it is installed: desktops do without."""
    _run(_require(REGISTRY_TOOL), share / "mime")
    cache = shutil.which(CACHE_TOOL)
    if cache is not None and (share / "applications").is_dir():
        _run(cache, share / "applications")
    icons = share / "icons" / "hicolor"
    if icons.is_dir():
        # icon caches are read anew when their folder is newer
        icons.touch()


def _run(tool: str, folder: Path) -> None:
    done = subprocess.run([tool, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        problem = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise DesktopError(f"{tool} {folder} failed: {problem}")
