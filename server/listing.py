"""A page for a folder without an index.html: its .sdz files as a grid of pictures, which this server decodes for the browser.

Takes a directory, returns HTML without scripts. Names come from the disk and are escaped; nothing that a client sends is shown.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import quote

from starlette.responses import HTMLResponse

from ..runtime.errors import SdzError
from ..runtime.format.container import ALT_TEXT, parse
from .headers import REVALIDATE, policy

SUFFIX: Final = ".sdz"

MOST: Final = 500
"""Most pictures on the page; larger collections are better served as a built site."""

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
img { display: block; width: 100%; height: 13rem; object-fit: cover; border-radius: 6px; background: #8884 }
.name { display: flex; justify-content: space-between; gap: 1rem; margin-top: .4rem; font-size: .87rem; overflow-wrap: anywhere }
.name small { flex: none; opacity: .7; font-size: inherit }
"""

STYLE_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Pictures</title>
<style>{style}</style>
<h1>Pictures</h1>
<p>{count}</p>
<ul>
{items}</ul>
</html>
"""

ITEM: Final = """<li><a href="{address}"><img src="{address}" alt="{alt}" width="{width}" height="{height}" loading="lazy">
<span class="name">{name} <small>{size}</small></span></a></li>
"""


def listing(directory: Path) -> HTMLResponse | None:
    """The page of `directory`, or None where no readable .sdz lies in it. Raises OSError."""
    items: list[str] = []
    total = 0
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        if path.name.startswith(".") or not path.is_file():
            continue
        total += 1
        if len(items) < MOST and (item := _item(path)) is not None:
            items.append(item)
    if not items:
        return None
    count = f"{total} file{'s' if total > 1 else ''}" + (f", the first {MOST} of them here" if total > MOST else "")
    body = PAGE.format(style=STYLE, count=count, items="".join(items))
    headers = {"Content-Security-Policy": policy(f"'sha256-{STYLE_DIGEST}'"), "Cache-Control": REVALIDATE}
    return HTMLResponse(body, headers=headers)


def _item(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    try:
        container = parse(head)
    except SdzError:
        return None
    text = container.find(ALT_TEXT)
    return ITEM.format(
        address=escape(quote(path.name)),
        alt=escape(path.stem if text is None else text.payload.decode("utf-8")),
        width=container.header.width,
        height=container.header.height,
        name=escape(path.stem),
        size=f"{container.header.width}×{container.header.height}, {path.stat().st_size:,} B",
    )
