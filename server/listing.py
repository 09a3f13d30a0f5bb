"""A page for a folder without an index.html: its folders and its .sdz files as a grid of pictures, which this server decodes for browsers.

Takes a directory, returns HTML without scripts. Names come from the disk and are escaped, whatever bytes they are; nothing that a client
sends is shown. What a link leads to outside of the served folder is not there.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import quote

from starlette.responses import HTMLResponse

from ..runtime.errors import SdzError
from ..runtime.format.container import ALT_TEXT, Container, parse
from .headers import REVALIDATE, policy

SUFFIX: Final = ".sdz"

MOST: Final = 500
"""Most folders, and most pictures, on the page; larger collections are better served as a built site."""

HEAD_BYTES: Final = 8192
"""How much of each file is read: its size in pixels and its alternative text are at the front."""

STYLE: Final = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { margin: 0 auto; padding: 2rem clamp(1rem, 4vw, 3rem); max-width: 90rem }
h1 { margin: 0; font-size: 1.4rem; font-weight: 600 }
p { margin: .2rem 0 1.6rem; opacity: .7 }
ul { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: 1.6rem }
ul { margin: 0; padding: 0; list-style: none }
a { color: inherit; text-decoration: none }
a:hover .name, a:focus-visible .name { text-decoration: underline }
img, .empty { display: block; width: 100%; height: 13rem; object-fit: cover; border-radius: 6px; background: #8884 }
.folder img, .folder .empty { box-shadow: 0 -5px 0 -1px Canvas, 0 -6px 0 #8888, 0 -11px 0 -5px Canvas, 0 -12px 0 -4px #8886 }
.up { margin: 0 0 .4rem; font-size: .87rem }
.name { display: flex; justify-content: space-between; gap: 1rem; margin-top: .4rem; font-size: .87rem; overflow-wrap: anywhere }
.name small { flex: none; opacity: .7; font-size: inherit }
"""

STYLE_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
{up}<h1>{title}</h1>
<p>{count}</p>
<ul>
{items}</ul>
</html>
"""

ITEM: Final = """<li><a href="{address}"><img src="{address}" alt="{alt}" width="{width}" height="{height}" loading="lazy">
<span class="name">{name} <small>{size}</small></span></a></li>
"""


UP: Final = '<p class="up"><a href="../">↑ All pictures</a></p>\n'

FOLDER: Final = """<li class="folder"><a href="{address}/">{cover}
<span class="name">{name} <small>folder</small></span></a></li>
"""

COVER: Final = '<img src="{address}" alt="" width="{width}" height="{height}" loading="lazy">'

NO_COVER: Final = '<span class="empty"></span>'


def listing(directory: Path, root: Path) -> HTMLResponse | None:
    """The page of `directory`, or None where neither a readable .sdz nor a folder with one lies in it. `root` is the served folder.

    Raises OSError.
    """
    entries = list(_visible(directory, root))
    folders = [item for path in entries if path.is_dir() and (item := _folder(path, root)) is not None]
    files = [path for path in entries if path.suffix == SUFFIX and path.is_file()]
    pictures: list[str] = []
    for path in files:
        if len(pictures) < MOST and (item := _item(path)) is not None:
            pictures.append(item)
    if not pictures and not folders:
        return None
    below = directory != root
    counts = [_counted(count, word) for count, word in ((len(folders), "folder"), (len(files), "file")) if count]
    body = PAGE.format(
        style=STYLE,
        title=escape(_shown(directory.name)) if below else "Pictures",
        up=UP if below else "",
        count=", ".join(counts),
        items="".join(folders[:MOST] + pictures),
    )
    headers = {"Content-Security-Policy": policy(f"'sha256-{STYLE_DIGEST}'"), "Cache-Control": REVALIDATE}
    return HTMLResponse(body, headers=headers)


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'s' if count > 1 else ''}" + (f" (the first {MOST} of them here)" if count > MOST else "")


def _visible(directory: Path, root: Path) -> Iterator[Path]:
    """What a folder holds, by name, without what is hidden or lies elsewhere."""
    for path in sorted(directory.iterdir()):
        if not path.name.startswith(".") and Path(os.path.realpath(path)).is_relative_to(root):
            yield path


def _shown(name: str) -> str:
    """A name as text: bytes of it that are not UTF-8 as U+FFFD."""
    return os.fsencode(name).decode("utf-8", "replace")


def _address(name: str) -> str:
    """A name as a part of an address, relative to its folder."""
    # a colon in a first part would read as a scheme
    return escape("./" + quote(os.fsencode(name), safe=""))


def _folder(directory: Path, root: Path) -> str | None:
    """A folder with the first of its pictures as its cover; None where nothing in it is to be shown."""
    deeper = False
    try:
        for path in _visible(directory, root):
            if path.suffix == SUFFIX and (container := _head(path)) is not None:
                header = container.header
                address = f"{_address(directory.name)}/{escape(quote(os.fsencode(path.name), safe=''))}"
                cover = COVER.format(address=address, width=header.width, height=header.height)
                return FOLDER.format(address=_address(directory.name), cover=cover, name=escape(_shown(directory.name)))
            deeper = deeper or path.is_dir()
    except OSError:
        return None
    return FOLDER.format(address=_address(directory.name), cover=NO_COVER, name=escape(_shown(directory.name))) if deeper else None


def _head(path: Path) -> Container | None:
    """What the first bytes of a file say; None of one that is no .sdz."""
    try:
        with path.open("rb") as file:
            return parse(file.read(HEAD_BYTES))
    except (SdzError, OSError):
        return None


def _item(path: Path) -> str | None:
    container = _head(path)
    if container is None:
        return None
    text = container.find(ALT_TEXT)
    return ITEM.format(
        address=_address(path.name),
        alt=escape(_shown(path.stem) if text is None else text.payload.decode("utf-8")),
        width=container.header.width,
        height=container.header.height,
        name=escape(_shown(path.stem)),
        size=f"{container.header.width}×{container.header.height}, {path.stat().st_size:,} B",
    )
