"""The application: a directory in, an ASGI app out.

Files with ETag, conditional and range requests come from Starlette's `StaticFiles`; this adds media types, precompressed
siblings (`a.js.br`, `a.js.gz` beside `a.js`), cache lifetimes by name and the headers of `server.headers`.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import NotModifiedResponse, StaticFiles

from server.headers import cache_control, media_type, page_headers

CODINGS = (("br", ".br"), ("gzip", ".gz"))
"""Content codings by preference and the suffix of the sibling that holds them: brotli is the smaller one throughout."""


class SiteNotFoundError(ValueError):
    """The directory to serve does not exist or is no directory."""


class SiteFiles(StaticFiles):
    """Static files of a built site. Names that begin with a dot are not served."""

    def __init__(self, directory: Path, *, isolated: bool) -> None:
        super().__init__(directory=directory, html=True)
        self.root = directory.resolve()
        self.extra = page_headers(isolated=isolated)

    async def get_response(self, path: str, scope: MutableMapping[str, Any]) -> Response:
        if any(part.startswith(".") and part != "." for part in Path(path).parts):
            raise HTTPException(status_code=404, headers=self.extra)
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            error.headers = {**(error.headers or {}), **self.extra}
            raise
        response.headers.update(self.extra)
        return response

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: MutableMapping[str, Any],
        status_code: int = 200,
    ) -> Response:
        asked = Headers(scope=scope)
        file = Path(full_path)
        siblings = {coding: sibling for coding, suffix in CODINGS if (sibling := file.with_name(file.name + suffix)).is_file()}
        headers = {"Cache-Control": cache_control(file.relative_to(self.root).as_posix())}
        if siblings:
            headers["Vary"] = "Accept-Encoding"
        # a range counts bytes of what is sent, and whoever asks for one means the file's own bytes
        coding = None if "range" in asked else accepted_coding(asked.get("accept-encoding", ""), set(siblings))
        if coding is not None:
            headers["Content-Encoding"] = coding
            stat_result = siblings[coding].stat()
        response = FileResponse(
            siblings[coding] if coding else file,
            status_code=status_code,
            headers=headers,
            media_type=media_type(file.name),
            stat_result=stat_result,
        )
        if self.is_not_modified(response.headers, asked):
            return NotModifiedResponse(response.headers)
        return response


def accepted_coding(header: str, available: set[str]) -> str | None:
    """The first of `CODINGS` that is available and that an Accept-Encoding header (RFC 9110, 12.5.3) allows; None: identity."""
    weights: dict[str, float] = {}
    for part in header.lower().split(","):
        coding, _, parameter = part.partition(";")
        name, _, value = parameter.strip().partition("=")
        try:
            weights[coding.strip()] = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            weights[coding.strip()] = 0.0
    usable = [coding for coding, _ in CODINGS if coding in available and weights.get(coding, weights.get("*", 0.0)) > 0.0]
    return usable[0] if usable else None


async def plain_error(request: object, error: Exception) -> Response:
    """Errors as one plain line, with the same headers as everything else."""
    assert isinstance(error, HTTPException)
    response = Response(f"{error.status_code} {error.detail}\n", status_code=error.status_code, media_type="text/plain; charset=utf-8")
    MutableHeaders(raw=response.raw_headers).update(error.headers or {})
    return response


def create_app(directory: Path | str, *, isolated: bool = False) -> Starlette:
    """An ASGI application that serves the site in `directory`; mount it anywhere, its pages use relative addresses only.

    `isolated` sends COOP and COEP, so that WebAssembly may use threads; pages then cannot embed foreign resources.
    Raises `SiteNotFoundError` when there is no such directory.
    """
    root = Path(directory)
    if not root.is_dir():
        raise SiteNotFoundError(f"{root}: no such directory; build a site first: python -m export build PHOTOS --out {root}")
    return Starlette(
        routes=[Mount("/", app=SiteFiles(root, isolated=isolated))],
        exception_handlers={HTTPException: plain_error},
    )
