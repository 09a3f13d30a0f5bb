"""Response headers: media types, cache lifetimes by name, content security policy, cross-origin isolation, and CORS.

Takes names and a policy, returns header values; no file is opened here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .negotiate import SDZ

MEDIA_TYPES = {
    ".avif": "image/avif",
    ".bin": "application/octet-stream",
    ".css": "text/css; charset=utf-8",
    ".gif": "image/gif",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".onnx": "application/octet-stream",
    ".png": "image/png",
    ".sdz": SDZ,
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webp": "image/webp",
}
"""By suffix. The operating system's table differs between machines, lacks .sdz, and on some systems .mjs."""

UNKNOWN_TYPE = "application/octet-stream"

IMMUTABLE = "public, max-age=31536000, immutable"
"""For names that carry a digest: other bytes would have another name."""

REVALIDATE = "no-cache"
"""For all other names: a cache may keep the file but must revalidate it (by its ETag) before each use."""

DIGEST_IN_NAME = re.compile(r"(?:^|/)assets/(?:.*[.\-/])?[0-9a-f]{8,64}[./]")
"""Below `assets/`, a digest in hexadecimal: `assets/astronaut.1f0c….sdz`, `assets/sdz-90ab12cd/element.js`. A page that
is called `deadbeef` after its photo is in another folder."""


def policy(styles: str = "'self'") -> str:
    """The Content-Security-Policy. It allows only what the pages of a built site need: their own scripts, WebAssembly, and images
    from memory. `styles` is the source of their style sheets."""
    return (
        f"default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src {styles}; img-src 'self' blob: data:; "
        "connect-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


COOP_VALUES: Final = ("same-origin", "same-origin-allow-popups", "noopener-allow-popups", "unsafe-none")
COEP_VALUES: Final = ("require-corp", "credentialless", "unsafe-none")
CORP_VALUES: Final = ("same-origin", "same-site", "cross-origin")


@dataclass(frozen=True)
class Isolation:
    """The cross-origin headers, each None (not sent) or one of the values above.

    `coop` same-origin with `coep` require-corp makes pages cross-origin isolated: WebAssembly may use threads, and foreign resources that
    do not allow it are shut out. `corp` says who may embed what is served here. Raises ValueError for a value that no browser knows.
    """

    coop: str | None = None
    coep: str | None = None
    corp: str | None = None

    def __post_init__(self) -> None:
        for field, values in zip(fields(self), (COOP_VALUES, COEP_VALUES, CORP_VALUES), strict=True):
            value = getattr(self, field.name)
            if value is not None and value not in values:
                raise ValueError(f"{field.name} is '{value}', it must be one of {', '.join(values)}")


READABLE: Final = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Accept-Ranges, Content-Range, ETag"}
"""What lets any site read an answer."""

PREFLIGHT: Final = READABLE | {
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "Accept, Cache-Control, If-Match, If-None-Match, If-Range, Range, Save-Data",
    "Access-Control-Max-Age": "86400",
}
"""The answer to a browser that asks what it may send."""

ISOLATED: Final = Isolation("same-origin", "require-corp", "same-origin")


def media_type(name: str) -> str:
    """The Content-Type for a file of this name."""
    return MEDIA_TYPES.get(name[name.rfind(".") :].lower() if "." in name else "", UNKNOWN_TYPE)


def cache_control(path: str) -> str:
    """The Cache-Control for a path relative to the site, with forward slashes."""
    return IMMUTABLE if DIGEST_IN_NAME.search(path) else REVALIDATE


def security_headers(isolation: Isolation = Isolation()) -> dict[str, str]:
    """Headers that every response carries."""
    chosen = {
        "Cross-Origin-Opener-Policy": isolation.coop,
        "Cross-Origin-Embedder-Policy": isolation.coep,
        "Cross-Origin-Resource-Policy": isolation.corp,
    }
    return {
        "Content-Security-Policy": policy(),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    } | {name: value for name, value in chosen.items() if value is not None}


class SecurityHeaders:
    """ASGI middleware: adds `security_headers` to every response, errors included; a header that the response already has is kept."""

    def __init__(self, app: ASGIApp, isolation: Isolation) -> None:
        self.app = app
        self.raw = [(name.lower().encode(), value.encode()) for name, value in security_headers(isolation).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(header for header in self.raw if header[0] not in present)]
            await send(message)

        return await self.app(scope, receive, marked)


class AnyOrigin:
    """ASGI middleware: scripts and canvases of every other site may read what is served here (CORS), but at the paths `private`.

    The header is there whether or not a request names its origin, so that one cached answer is right for all.
    """

    def __init__(self, app: ASGIApp, private: tuple[str, ...]) -> None:
        self.app = app
        self.private = private

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].removeprefix(scope.get("root_path", "")) in self.private:
            return await self.app(scope, receive, send)
        if scope["method"] == "OPTIONS" and any(name == b"access-control-request-method" for name, _ in scope["headers"]):
            return await Response(status_code=204, headers=PREFLIGHT)(scope, receive, send)

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((name.lower().encode(), value.encode()) for name, value in READABLE.items())]
            await send(message)

        return await self.app(scope, receive, marked)
