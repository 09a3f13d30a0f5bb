"""A folder's files over HTTP: media types, precompressed siblings, validators, ranges, prefixes of an .sdz and its decoded forms.

Starlette does lookup, ranges and conditional requests; this adds `a.js.br` and `a.js.gz` beside `a.js`, cache lifetimes by name,
`?bytes=N`, `Save-Data` and the negotiation of `server.negotiate`. Small files are served from memory as long as they have not changed on
disk. Whatever reads a file runs in a thread.
"""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from starlette.datastructures import Headers, QueryParams
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Message, Receive, Scope, Send

from ..runtime.errors import SdzError
from .decoded import DecodedPictures, Source, header_of
from .errors import RequestError
from .headers import IMMUTABLE, cache_control, media_type
from .listing import SUFFIX, listing
from .negotiate import SDZ, acceptable, weights
from .prefix import WITHOUT_TAIL, Length, picture_length, prefix_length, saved_length, saves_data

CODINGS: Final = (("br", ".br"), ("gzip", ".gz"))
"""Content codings, the preferred one first, and the suffix of the sibling file: brotli's is always the smaller one."""

SMALL: Final = 1 << 16
"""Bytes up to which a file is kept in memory: nearly every .sdz, page and script, but no model and no WebAssembly."""

MEMORY: Final = 64 << 20
"""Most bytes of small files in memory: over a thousand pictures."""


VARY: Final = "Accept, Save-Data"
"""What the form of an .sdz depends on."""

PIECE: Final = 1 << 16
"""Bytes of a prefix that are read at a time: what a client does not take is not held in memory."""


@dataclass(frozen=True)
class _Held:
    """A small file as it was read: its path, its status then, and its bytes."""

    path: str
    status: os.stat_result
    data: bytes


class SmallFiles:
    """The most recently used small files, by requested path. Thread-safe."""

    def __init__(self, limit: int = MEMORY) -> None:
        self.limit = limit
        self.bytes = 0
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, asked: str) -> _Held | None:
        """The file read for the path `asked`, unless it has changed since."""
        held = self._held.get(asked)
        if held is None:
            return None
        try:
            now = os.stat(held.path)  # noqa: PTH116  a Path would take as long again, at every request
        except OSError:
            return None
        if _signature(now) != _signature(held.status):
            return None
        with self._lock:
            if asked in self._held:
                self._held.move_to_end(asked)
        return held

    def put(self, asked: str, held: _Held) -> None:
        """Keeps a file, and drops the least recently used ones above the limit."""
        with self._lock:
            before = self._held.pop(asked, None)
            self.bytes += len(held.data) - (len(before.data) if before else 0)
            self._held[asked] = held
            while self.bytes > self.limit:
                self.bytes -= len(self._held.popitem(last=False)[1].data)


class RangedFile(FileResponse):
    """A file, or the requested ranges of it; a bad range is refused with a `RequestError`, as all bad requests are."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _asks_for_range(Headers(scope=scope)):
            # a unit that this server does not know is to be ignored (RFC 9110, 14.2)
            scope = {**scope, "headers": [header for header in scope["headers"] if header[0] != b"range"]}

        async def checked(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 416:
                found = Headers(raw=message["headers"])["content-range"]
                detail = f"the range lies outside the file: {found.removeprefix('bytes */')} bytes"
                raise RequestError(416, "RangeNotSatisfiableError", detail, {"Content-Range": found})
            if message["type"] == "http.response.start" and message["status"] == 400:
                raise RequestError(400, "MalformedRangeError", "the Range header must be like bytes=0-499")
            await send(message)

        await super().__call__(scope, receive, checked)


class Made(Response):
    """A response that an awaitable makes."""

    def __init__(self, make: Callable[[], Awaitable[Response]]) -> None:
        self.make = make
        super().__init__()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.make()
        await response(scope, receive, send)


class SiteFiles(StaticFiles):
    """The files below `directory`; names that begin with a dot are not served.

    `decoded` makes pictures for clients that cannot decode; `immutable`: every name is a digest, so every file may be cached for ever.
    """

    def __init__(self, directory: Path, decoded: DecodedPictures, *, immutable: bool = False) -> None:
        super().__init__(directory=directory, html=not immutable)
        self.prefix = os.fspath(directory.resolve()).rstrip(os.sep) + os.sep
        self.decoded = decoded
        self.immutable = immutable
        self.small = SmallFiles()

    def get_path(self, scope: Scope) -> str:
        # a name that is not UTF-8 is in the raw path only: servers put U+FFFD into the other
        if "\ufffd" in scope["path"] and scope.get("raw_path"):
            scope = {**scope, "path": os.fsdecode(unquote_to_bytes(scope["raw_path"].partition(b"?")[0]))}
        return super().get_path(scope)

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await self._found(path, scope)
        return _below(scope) if isinstance(response, RedirectResponse) else response

    async def _found(self, path: str, scope: Scope) -> Response:
        held = self.small.get(path)
        if held is not None and scope["method"] in ("GET", "HEAD"):
            return self._answer(held.path, held.status, scope, held.data)
        if any(part.startswith(".") and part != "." for part in Path(path).parts):
            raise HTTPException(status_code=404)
        try:
            return await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code == 404 and self.html and (page := await asyncio.to_thread(self._listing, path, scope)) is not None:
                return page
            # Starlette answers 401 for a file that this process may not read, but no password would help
            raise HTTPException(403 if error.status_code == 401 else error.status_code, headers=error.headers) from error

    def _listing(self, path: str, scope: Scope) -> Response | None:
        """The page for a folder of pictures without an index.html."""
        try:
            full_path, status = super().lookup_path(path)
            page = listing(Path(full_path), Path(self.prefix)) if status is not None and stat.S_ISDIR(status.st_mode) else None
        except (OSError, ValueError):
            # not a possible file name, or a folder that may not be read
            return None
        if page is not None and not scope["path"].endswith("/"):
            # the page's addresses are relative to the folder
            return _below(scope)
        return page

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        # runs in a thread, where reading may wait for the disk
        full_path, status = super().lookup_path(path)
        if status is not None and stat.S_ISREG(status.st_mode) and status.st_size <= SMALL:
            data = Path(full_path).read_bytes()
            if len(data) == status.st_size:
                self.small.put(path, _Held(full_path, status, data))
        return full_path, status

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        return self._answer(os.fspath(full_path), stat_result, scope, None)

    def _answer(self, full_path: str, status: os.stat_result, scope: Scope, data: bytes | None) -> Response:
        """The response for a file; `data` are its bytes where they are in memory."""
        asked = Headers(scope=scope)
        name = full_path.removeprefix(self.prefix).replace(os.sep, "/")
        headers = {"Cache-Control": IMMUTABLE if self.immutable else cache_control(name)}
        if full_path.endswith(SUFFIX):
            headers["Vary"] = VARY
            wanted = acceptable(", ".join(asked.getlist("accept")))
            if not wanted:
                raise RequestError(406, "NotAcceptableError", "this is an image: accept image/x-sdz, or another image type", headers)
            length = prefix_length(QueryParams(scope["query_string"]), status.st_size) if scope["query_string"] else None
            # who names the bytes it wants gets these
            saving = length is None and saves_data(asked) and not _asks_for_range(asked)
            if wanted != (SDZ,) or length is not None or saving:
                return self._form(full_path, status, asked, headers, wanted, length, saving)
        else:
            siblings = _siblings(full_path)
            if siblings:
                headers["Vary"] = "Accept-Encoding"
            # a range counts bytes of the representation, and clients that ask for one mean the file's own bytes
            coding = None if _asks_for_range(asked) else accepted_coding(asked.get("accept-encoding", ""), siblings)
            if coding is not None:
                headers["Content-Encoding"] = coding
                full_path, status, data = siblings[coding], os.stat(siblings[coding]), None  # noqa: PTH116
        headers |= _validators(status, headers.get("Content-Encoding", ""))
        if self.is_not_modified(Headers(headers), asked):
            return NotModifiedResponse(Headers(headers))
        media = media_type(name)
        if data is not None and scope["method"] == "GET" and not _asks_for_range(asked):
            return Response(data, headers={**headers, "Accept-Ranges": "bytes", "Content-Type": media})
        return RangedFile(full_path, headers=headers, media_type=media, stat_result=status)

    def _form(
        self,
        full_path: str,
        status: os.stat_result,
        asked: Headers,
        headers: dict[str, str],
        wanted: tuple[str, ...],
        length: Length | None,
        saving: bool,
    ) -> Response:
        """A prefix of an .sdz, a decoded picture, or a decoded prefix. They have no ranges: `?bytes=` is one already."""
        part = [str(length)] if length is not None else ["saved"] if saving else []
        variant = "-".join([*part, *(media.removeprefix("image/") for media in wanted if media != SDZ)])
        headers = {**headers, **_validators(status, variant), "Accept-Ranges": "none"}
        if self.is_not_modified(Headers(headers), asked):
            return NotModifiedResponse(Headers(headers))

        async def make() -> Response:
            size = length if isinstance(length, int) else status.st_size
            if saving:
                size = await asyncio.to_thread(saved_length, full_path, size)
            elif wanted != (SDZ,) or length == WITHOUT_TAIL:
                # no other format here is lossless: the photo's exact pixels would be decoded to be thrown away
                size = await asyncio.to_thread(picture_length, full_path, size)
            source = Source(full_path, size, "-".join(map(str, _signature(status))))
            try:
                if wanted != (SDZ,):
                    body, media = await self.decoded.get(source, wanted)
                    return Response(body, headers={**headers, "Content-Type": media})
                if isinstance(length, int):
                    await asyncio.to_thread(header_of, source)
            except RequestError as error:
                error.headers["Vary"] = VARY
                raise
            except SdzError as error:
                raise RequestError(422, error.code, str(error), {"Vary": VARY}) from error
            return StreamingResponse(_pieces(source), headers={**headers, "Content-Type": SDZ, "Content-Length": str(size)})

        return Made(make)


async def _pieces(source: Source) -> AsyncIterator[bytes]:
    """The source's bytes."""
    file = await asyncio.to_thread(open, source.path, "rb")
    try:
        left = source.size
        while left and (piece := await asyncio.to_thread(file.read, min(left, PIECE))):
            left -= len(piece)
            yield piece
    finally:
        file.close()


def _asks_for_range(asked: Headers) -> bool:
    return asked.get("range", "").partition("=")[0].strip().lower() == "bytes"


def _below(scope: Scope) -> RedirectResponse:
    """Sends a client on from a folder's name to the folder. The address is relative: what a client says is the host's name, or a path that
    begins with two slashes, leads nowhere else."""
    path = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
    name = unquote_to_bytes(path.partition(b"?")[0]).rpartition(b"/")[2]
    query = scope["query_string"].decode("latin-1")
    return RedirectResponse(f"./{quote(name, safe='')}/" + (f"?{query}" if query else ""))


def accepted_coding(header: str, available: dict[str, str]) -> str | None:
    """The first of `CODINGS` that is available and that an Accept-Encoding header (RFC 9110, 12.5.3) allows; None: identity."""
    accepted = weights(header)
    usable = [coding for coding, _ in CODINGS if coding in available and accepted.get(coding, accepted.get("*", 0.0)) > 0.0]
    return usable[0] if usable else None


def _siblings(full_path: str) -> dict[str, str]:
    """The precompressed files beside a file, by content coding."""
    return {coding: full_path + suffix for coding, suffix in CODINGS if os.path.isfile(full_path + suffix)}  # noqa: PTH113


def _validators(status: os.stat_result, variant: str) -> dict[str, str]:
    """ETag and Last-Modified. All forms of an .sdz share the ETag's first two parts, its time and its size."""
    tag = f"{status.st_mtime_ns:x}-{status.st_size:x}" + (f"-{variant}" if variant else "")
    return {"ETag": f'"{tag}"', "Last-Modified": _http_date(int(status.st_mtime))}


@lru_cache(4096)
def _http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def _signature(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns
