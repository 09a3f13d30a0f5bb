"""The application: a directory in, an ASGI app out.

Connects the parts: `static` serves files, `decoded` decodes pictures for clients that cannot, `upload` accepts new pictures; `headers` and
`log` are middleware around all of them. It can be mounted below any path, because a site's pages use relative addresses only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Mount, Route

from .decoded import DecodedPictures
from .errors import RequestError, answer_http_error, answer_refusal
from .headers import AnyOrigin, Isolation, SecurityHeaders
from .log import AccessLog
from .metrics import Metrics
from .static import SiteFiles
from .store.cache import DiskCache, TemporaryFolder
from .store.catalogue import Catalogue
from .upload import Encoder, Uploads

CACHE_BYTES: Final = 256 << 20
"""Most bytes of decoded pictures on disk: about a thousand pictures of a few hundred kilobytes."""

ENCODED: Final = "/encoded"
"""Path below which uploaded pictures are served."""


PRIVATE: Final = ("/encode", "/healthz", "/metrics")
"""Paths that other sites may not read from."""


class SiteNotFoundError(ValueError):
    """The directory to serve does not exist or is no directory."""


@dataclass(frozen=True)
class Cache:
    """Where decoded pictures are kept (None: a temporary folder, removed when the application ends), and at most how many bytes."""

    folder: Path | None = None
    limit: int = CACHE_BYTES


def create_app(
    directory: Path | str,
    *,
    isolation: Isolation = Isolation(),  # noqa: B008
    cache: Cache = Cache(),
    uploads: Uploads | None = None,
    cors: bool = False,
) -> Starlette:
    """An ASGI application that serves the site or folder `directory`, with /healthz and /metrics.

    `isolation` chooses the cross-origin headers, `cache` the place for decoded pictures; `cors` lets scripts of every other site read the
    files; `uploads` adds POST /encode, whose
    results are served below /encoded/. Pictures are decoded and encoded in child processes that end with this one, or with the
    application's lifespan where a server runs it.
    Raises `SiteNotFoundError` when there is no such directory, `CatalogueError` when the uploads' folder cannot be used, OSError when the
    cache's cannot.
    """
    root = Path(directory)
    if not root.is_dir():
        raise SiteNotFoundError(f"{root}: no such directory; build a site first: sdz build PHOTOS --out {root}")
    metrics = Metrics()
    temporary = TemporaryFolder() if cache.folder is None else None
    kept = temporary.path if temporary is not None else cache.folder
    assert kept is not None
    decoded = DecodedPictures(DiskCache(kept, cache.limit), metrics)

    encoder = Encoder(uploads, Catalogue(uploads.folder), ENCODED, metrics) if uploads is not None else None

    async def healthz(request: Request) -> JSONResponse:
        if not root.is_dir() or (encoder is not None and not encoder.catalogue.pictures.is_dir()):
            raise RequestError(503, "UnhealthyError", "a directory that is to be served is gone")
        return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        decoded.close()
        if temporary is not None:
            temporary.close()
        if encoder is not None:
            encoder.close()

    routes: list[BaseRoute] = [Route("/healthz", healthz), Route("/metrics", metrics.answer)]
    if encoder is not None:
        routes += [
            Route("/encode", encoder),
            Mount(ENCODED, app=SiteFiles(encoder.catalogue.pictures, decoded, immutable=True)),
        ]
    routes.append(Mount("/", app=SiteFiles(root, decoded)))
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(SecurityHeaders, isolation=isolation),
            *([Middleware(AnyOrigin, private=PRIVATE)] if cors else []),
            Middleware(AccessLog, metrics=metrics),
        ],
        exception_handlers={HTTPException: answer_http_error, RequestError: answer_refusal},
        lifespan=lifespan,
    )
