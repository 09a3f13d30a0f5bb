"""Bounds on what one connection may cost, which uvicorn leaves to a proxy: bytes of a request's head, and time.

`BoundedProtocol` is uvicorn's own protocol over h11 (the one that bounds a head's size) with a watch: a connection on which no request
arrives, or whose client does not take what is sent, is ended. Time in which this server works on an answer does not count.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any, Final, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_HEAD: Final = 32_768
"""Most bytes of a request's line and headers: four times what browsers and proxies send at most."""

REQUEST_SECONDS: Final = 20.0
"""For the whole head of a request to arrive, counted from the connection or the answer before it."""

STALLED_SECONDS: Final = 60.0
"""How long a client may take nothing of what is there for it."""

GRACE_SECONDS: Final = 5
"""How long answers under way may take once the server is told to end."""

UNSENT_BYTES: Final = 65_536
"""How much the system takes of an answer beyond what is on its way, where it can be told so. It would take megabytes, and for minutes a
slow client could not be told from one that takes nothing."""

TICK: Final = 2.0
"""Seconds between looks at a connection."""


class Counted:
    """A transport that counts what is written to it; all else is the transport's own."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._written = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self._written += len(data)
        self._transport.write(data)

    def taken(self) -> int:
        """Of all bytes written, those that the system has taken."""
        return self._written - self._transport.get_write_buffer_size()


class BoundedProtocol(H11Protocol):
    """One connection. `request_seconds` and `stalled_seconds` are the limits above."""

    request_seconds = REQUEST_SECONDS
    stalled_seconds = STALLED_SECONDS
    tick = TICK

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._counted = Counted(transport)
        super().connection_made(cast("asyncio.Transport", self._counted))
        with contextlib.suppress(AttributeError, OSError):
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        self._idle_since: float | None = self.loop.time()
        self._taken = 0
        self._moved = self.loop.time()
        self._watch: asyncio.TimerHandle = self.loop.call_later(self.tick, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._note()

    def on_response_complete(self) -> None:
        # the next request's time begins; one that came with the last is already being answered when this returns
        self._idle_since = None
        super().on_response_complete()
        self._note()

    def _note(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = self.loop.time()

    def _look(self) -> None:
        now = self.loop.time()
        held = self.transport.get_write_buffer_size()
        taken = self._counted.taken()
        if held == 0 or taken > self._taken:
            self._moved = now
        self._taken = taken
        if now - self._moved >= self.stalled_seconds or (
            held == 0 and self._idle_since is not None and now - self._idle_since >= self.request_seconds
        ):
            # not close(), which would wait for the client to take what is left
            self.transport.abort()
            return
        self._watch = self.loop.call_later(self.tick, self._look)


def configured(app: Any, protocol: type[BoundedProtocol] = BoundedProtocol) -> uvicorn.Config:
    """uvicorn's settings for `app`, an ASGI application, with the limits of this module."""
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        http=cast("type[asyncio.Protocol]", protocol),
        ws="none",
        h11_max_incomplete_event_size=MAX_HEAD,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
