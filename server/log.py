"""The access log: one JSON object on one line per request, errors included, on the logger `sdz.access`.

Fields: `time` (RFC 3339, UTC), `client`, `method`, `path` (as sent, percent-encoded), `status`, `bytes` of the body, `ms`, and, where the
request was refused or failed, `error` and `detail`. Query strings and headers are not logged: they can hold personal data.
"""

from __future__ import annotations

import json
import logging
import time
import traceback
from datetime import UTC, datetime
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import SCOPE_KEY, RequestError, problem
from .metrics import Metrics

LOGGER: Final = logging.getLogger("sdz.access")

MAX_PATH: Final = 500
"""Most characters of a path in the log, so that no client can write long lines."""


class AccessLog:
    """ASGI middleware: logs and counts every request, and answers an unexpected exception with a plain 500."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        start = time.perf_counter()
        status, sent = 0, 0

        async def watched(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        trace = None
        try:
            await self.app(scope, receive, watched)
        except Exception as error:  # the outermost layer: nothing after it can log the exception
            trace = traceback.format_exc()
            scope[SCOPE_KEY] = RequestError(500, "InternalError", f"{type(error).__name__}: {error}")
            if status == 0:
                await problem(RequestError(500, "InternalError", "the server failed; its log says why"))(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - start
            # 499, as nginx logs it: the client disconnected before there was an answer
            self.metrics.request(scope["method"], status or 499, seconds, 0 if scope["method"] == "HEAD" else sent)
            if LOGGER.isEnabledFor(logging.INFO):
                LOGGER.info(_line(scope, status or 499, sent, seconds, trace))


def _line(scope: Scope, status: int, sent: int, seconds: float, trace: str | None) -> str:
    path = (scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")).decode("latin-1")
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "client": (scope.get("client") or ("",))[0],
        "method": scope["method"],
        "path": path[:MAX_PATH],
        "status": status,
        "bytes": 0 if scope["method"] == "HEAD" else sent,
        "ms": round(1000 * seconds, 2),
    }
    error = scope.get(SCOPE_KEY)
    if isinstance(error, RequestError):
        entry |= {"error": error.code, "detail": error.detail}
    if trace is not None:
        entry["trace"] = trace
    return json.dumps(entry)


def log_to_stderr() -> None:
    """Writes the access log to standard error only."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
