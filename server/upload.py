"""`POST /encode`: an image in, an .sdz in the catalogue out. Disabled unless a folder and a token are given.

The body is the image itself, as `curl --data-binary @photo.jpg` sends it; the options are those of `sdz encode` of the same names:
`?quality=`, `?alt=` and `?lossless=1`. It is streamed to a file, up to the limit, and encoded in a child process, two at a time; a few more
may wait, all others are answered with 503. No metadata is kept, no name that a client sends is used, and a failed upload leaves nothing
behind.
"""

from __future__ import annotations

import asyncio
import hmac
import math
import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from ..runtime.limits import MAX_ALT_BYTES
from .errors import RequestError
from .jobs.pictures import MAX_PIXELS
from .jobs.processes import GIB, WorkerDiedError, WorkerRefusedError, Workers, WorkerTimeoutError
from .metrics import Metrics
from .store.catalogue import Catalogue

MAX_BYTES: Final = 20_000_000
"""Most bytes of one upload: as large as phones and most cameras write JPEG files."""

AT_A_TIME: Final = 2
QUEUE: Final = 8
"""Uploads that may be received or wait, beyond those being encoded; any more are answered with 503."""

SECONDS: Final = 30.0
"""Time limit of one encode."""

LOSSLESS_PIXELS: Final = 12_500_000
"""Most pixels of a photo whose exact pixels are kept: those of most phones."""

LOSSLESS_SECONDS: Final = 60.0
"""Time limit of such an encode: twice what so many pixels take on a quiet machine."""

RECEIVE_SECONDS: Final = 60.0
"""Time limit for the body to arrive: a slow client must not block a place for ever."""

MEMORY: Final = 3 * GIB
"""Private memory of an encoding process; the largest picture was seen to take 1.9 GB."""

RETRY_AFTER: Final = "10"

MIN_TOKEN: Final = 16
"""Fewest characters of a token: a shorter one could be guessed over the network."""

MEDIA_TYPES: Final = (
    "application/octet-stream",
    "image/avif",
    "image/bmp",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/tiff",
    "image/webp",
)
"""Accepted Content-Types; whether the body is an image is decided by its bytes."""

STATUS: Final = {"UnknownImageError": 415, "LimitError": 413, "EncodeInputError": 422}
"""Status by the encoder's error; all other errors are this server's own fault, 500."""


@dataclass(frozen=True)
class Uploads:
    """Settings for uploads: `folder` keeps them, `token` is what a client must send, at least 16 characters.

    The other fields are the limits above. Raises ValueError for a token that is too short.
    """

    folder: Path
    token: str = field(repr=False)
    max_bytes: int = MAX_BYTES
    max_pixels: int = MAX_PIXELS
    seconds: float = SECONDS
    lossless_pixels: int = LOSSLESS_PIXELS
    lossless_seconds: float = LOSSLESS_SECONDS
    memory: int = MEMORY
    at_a_time: int = AT_A_TIME
    queue: int = QUEUE
    receive_seconds: float = RECEIVE_SECONDS

    def __post_init__(self) -> None:
        if len(self.token) < MIN_TOKEN or not self.token.isascii() or not self.token.isprintable():
            raise ValueError(f"the token must have at least {MIN_TOKEN} printable ASCII characters")


class Encoder:
    """The endpoint. `prefix` is where the catalogue's pictures are served, below the application's root."""

    def __init__(self, uploads: Uploads, catalogue: Catalogue, prefix: str, metrics: Metrics, workers: Workers | None = None) -> None:
        self.uploads = uploads
        self.catalogue = catalogue
        self.prefix = prefix
        self.metrics = metrics
        self.workers = workers or Workers(uploads.at_a_time, uploads.seconds, uploads.memory)
        self.present = 0

    def close(self) -> None:
        """Ends the encoding processes and closes the catalogue."""
        self.workers.close()
        self.catalogue.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The endpoint as an ASGI application: every method but POST is refused."""
        if scope["method"] != "POST":
            raise HTTPException(405, headers={"Allow": "POST"})
        response = await self.answer(Request(scope, receive, send))
        await response(scope, receive, send)

    async def answer(self, request: Request) -> JSONResponse:
        """201 with the new picture's row and address, 200 where it was there before; RequestError otherwise."""
        try:
            async with self._place(request):
                options = self._check(request)
                path = self.catalogue.incoming / secrets.token_hex(16)
                try:
                    await self._receive(request, path)
                    data = await self._encode(path, options)
                finally:
                    path.unlink(missing_ok=True)
                picture, new = await asyncio.to_thread(self.catalogue.add, data)
        except RequestError as error:
            self.metrics.encodes.labels(str(error.status)).inc()
            raise
        except (OSError, sqlite3.Error) as error:
            self.metrics.encodes.labels("507").inc()
            raise RequestError(507, "StorageError", f"the picture could not be kept: {error}") from error
        self.metrics.encodes.labels("made" if new else "known").inc()
        url = f"{request.scope.get('root_path', '')}{self.prefix}/{picture.name}"
        return JSONResponse({**asdict(picture), "url": url}, 201 if new else 200, {"Location": url, "Cache-Control": "no-store"})

    @asynccontextmanager
    async def _place(self, request: Request) -> AsyncIterator[None]:
        """Checks the token, then holds one of the places for uploads."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self.uploads.token.encode()):
            raise RequestError(401, "UnauthorizedError", "send the token: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})
        if self.present >= self.uploads.at_a_time + self.uploads.queue:
            raise RequestError(503, "BusyError", "too many uploads at once: try again soon", {"Retry-After": RETRY_AFTER})
        self.present += 1
        self.metrics.uploads.set(self.present)
        try:
            yield
        finally:
            self.present -= 1
            self.metrics.uploads.set(self.present)

    def _check(self, request: Request) -> dict[str, Any]:
        """The encoder's options; refuses everything that can be refused before the body is read."""
        media = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
        if media not in MEDIA_TYPES:
            detail = f"the body must be an image itself, not '{media}': {', '.join(MEDIA_TYPES)}"
            raise RequestError(415, "UnsupportedMediaTypeError", detail, {"Accept": ", ".join(MEDIA_TYPES)})
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise RequestError(415, "UnsupportedMediaTypeError", "the body must not be compressed", {"Accept-Encoding": "identity"})
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self.uploads.max_bytes:
            raise self._too_large()
        unknown = set(request.query_params) - {"quality", "alt", "lossless"}
        if unknown or len(request.query_params.multi_items()) > len(request.query_params):
            raise RequestError(422, "EncodeInputError", "the options are quality, alt and lossless, each at most once")
        quality = request.query_params.get("quality")
        alt = request.query_params.get("alt")
        try:
            number = None if quality is None else float(quality)
        except ValueError:
            number = math.nan
        if number is not None and not 0 <= number <= 100:
            raise RequestError(422, "EncodeInputError", "quality must be a number in 0..100")
        if alt is not None and len(alt.encode("utf-8", "replace")) > MAX_ALT_BYTES:
            raise RequestError(422, "EncodeInputError", f"alt has over {MAX_ALT_BYTES} bytes")
        lossless = request.query_params.get("lossless", "0")
        if lossless not in ("0", "1"):
            raise RequestError(422, "EncodeInputError", "lossless must be 1 or 0")
        return {"quality": number, "alt": alt, "lossless": lossless == "1"}

    async def _receive(self, request: Request, path: Path) -> None:
        """Streams the body to `path`, up to the limit."""
        received = 0
        try:
            async with asyncio.timeout(self.uploads.receive_seconds):
                with path.open("xb") as file:
                    async for chunk in request.stream():
                        received += len(chunk)
                        if received > self.uploads.max_bytes:
                            raise self._too_large()
                        await asyncio.to_thread(file.write, chunk)
        except TimeoutError as error:
            detail = f"the body took over {self.uploads.receive_seconds:g} s to arrive"
            raise RequestError(408, "TimeoutError", detail, {"Connection": "close"}) from error
        except ClientDisconnect as error:
            raise RequestError(400, "CutUploadError", f"the client left after {received} bytes") from error
        if received == 0:
            raise RequestError(422, "EncodeInputError", "the body is empty")

    async def _encode(self, path: Path, options: dict[str, Any]) -> bytes:
        uploads = self.uploads
        pixels, seconds = uploads.max_pixels, uploads.seconds
        if options["lossless"]:
            pixels, seconds = min(pixels, uploads.lossless_pixels), uploads.lossless_seconds
        job = {"kind": "encode", "path": str(path), "max_pixels": pixels, **options}
        try:
            with self.metrics.encode_seconds.time():
                _, data = await self.workers.run(job, seconds=seconds)
        except WorkerRefusedError as error:
            raise RequestError(STATUS.get(error.code, 500), error.code, error.message) from error
        except WorkerTimeoutError as error:
            detail = f"encoding took more than {seconds:g} s"
            raise RequestError(503, "TimeoutError", detail, {"Retry-After": RETRY_AFTER}) from error
        except WorkerDiedError as error:
            raise RequestError(413, "LimitError", "the picture needs more memory than this server gives one") from error
        return data

    def _too_large(self) -> RequestError:
        return RequestError(413, "LimitError", f"an upload has at most {self.uploads.max_bytes} bytes")
