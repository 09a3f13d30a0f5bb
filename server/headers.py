"""What a response says about a file: media types, how long a name may be cached, and what a page may do.

Takes names and a switch, hands on plain header values; no file is opened here.
"""

from __future__ import annotations

import re

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
    ".sdz": "image/x-sdz",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webp": "image/webp",
}
"""By suffix, in full: the operating system's table differs between machines and knows neither .sdz nor always .mjs."""

UNKNOWN_TYPE = "application/octet-stream"

IMMUTABLE = "public, max-age=31536000, immutable"
"""For names that carry a digest: other bytes would have another name."""

REVALIDATE = "no-cache"
"""For all other names: kept, but asked about (an ETag answers) before each use."""

DIGEST_IN_NAME = re.compile(r"(?:^|/)assets/(?:.*[.\-/])?[0-9a-f]{8,64}[./]")
"""Below `assets/`, a digest in hexadecimal: `assets/astronaut.1f0c….sdz`, `assets/sdz-90ab12cd/element.js`. A page whose
photo happens to be called `deadbeef` stands elsewhere."""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the pages of a built site need and nothing more: their own scripts, WebAssembly, and images from memory."""


def media_type(name: str) -> str:
    """The Content-Type for a file of this name."""
    return MEDIA_TYPES.get(name[name.rfind(".") :].lower() if "." in name else "", UNKNOWN_TYPE)


def cache_control(path: str) -> str:
    """The Cache-Control for a path relative to the site, with forward slashes."""
    return IMMUTABLE if DIGEST_IN_NAME.search(path) else REVALIDATE


def page_headers(*, isolated: bool) -> dict[str, str]:
    """Headers that every response carries; `isolated` adds what lets a page share memory between threads."""
    headers = {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    if isolated:
        headers |= {
            "Cross-Origin-Embedder-Policy": "require-corp",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
    return headers
