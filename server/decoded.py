"""Decoded pictures for clients that cannot decode: the bytes of an .sdz in, a WebP, AVIF or JPEG out.

Every picture is decoded once and kept in a bounded cache on disk under the digest of its bytes, so a changed file is another picture.
Requests for a picture that is being decoded wait for that decode; further pictures queue, up to a limit. These limits are this
service's own: the .sdz files themselves are served without them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final

from ..runtime.errors import SdzError
from ..runtime.format.container import parse
from .errors import RequestError
from .jobs.pictures import LARGEST_SIDE, MAX_PIXELS
from .jobs.processes import GIB, WorkerDiedError, WorkerRefusedError, Workers, WorkerTimeoutError
from .metrics import Metrics
from .store.cache import DiskCache

RECIPE: Final = 2
"""Increased whenever the same .sdz would give other bytes; part of every key."""

MAX_BYTES: Final = 20_000_000
"""Bytes of an .sdz that is decoded here: more than MAX_PIXELS need at any quality."""

SECONDS: Final = 60.0
"""For one decode and its compression: the largest picture takes about half of that on one core."""

MEMORY: Final = 3 * GIB
"""Private memory of the decoding process; the largest picture was seen to take 1.2 GB."""

PROCESSES: Final = 1
"""Decodes at a time: on a machine with two cores the other one serves files."""

QUEUE: Final = 32
"""Most pictures that wait or are being decoded, as many as a page shows; any more are answered with 503."""

RETRY_AFTER: Final = "5"


class DecodedPictures:
    """The service. `close` ends its processes."""

    def __init__(self, cache: DiskCache, metrics: Metrics, workers: Workers | None = None) -> None:
        self.cache = cache
        self.metrics = metrics
        self.workers = workers or Workers(PROCESSES, SECONDS, MEMORY)
        self._running: dict[str, asyncio.Task[bytes]] = {}

    async def get(self, data: bytes, wanted: Sequence[str]) -> tuple[bytes, str]:
        """The picture of the .sdz `data` (or prefix) in the first of the media types `wanted` that can hold it, and that type.

        Raises RequestError: 422 for a file that is broken or over a limit, 503 when too much is asked at once or it took too long.
        """
        try:
            header = parse(data).header
        except SdzError as error:
            raise RequestError(422, error.code, str(error)) from error
        # for a picture too large to decode in full the worker makes a preview, whose sides fit every format
        preview = header.width * header.height > MAX_PIXELS
        fitting = [media for media in wanted if preview or max(header.width, header.height) <= LARGEST_SIDE[media]]
        if not fitting:
            raise RequestError(
                406, "NotAcceptableError", f"a side of {max(header.width, header.height)} pixels fits none of {', '.join(wanted)}"
            )
        media = fitting[0]
        key = hashlib.sha256(f"{RECIPE} {media}\0".encode() + data).hexdigest()
        running = self._running.get(key)
        if running is None:
            if len(self._running) >= QUEUE:
                raise RequestError(503, "BusyError", "too many pictures are being decoded: try again soon", {"Retry-After": RETRY_AFTER})
            running = self._running[key] = asyncio.create_task(self._make(key, data, media))
            running.add_done_callback(lambda task: self._done(key, task))
        # a client that disconnects must not end the decode for the others
        return await asyncio.shield(running), media

    def close(self) -> None:
        """Ends the decoding processes."""
        self.workers.close()

    def _done(self, key: str, task: asyncio.Task[bytes]) -> None:
        del self._running[key]
        if not task.cancelled():
            # asyncio complains about an exception that is never read, and every client may have left
            task.exception()

    async def _make(self, key: str, data: bytes, media: str) -> bytes:
        kept = await asyncio.to_thread(self.cache.get, key)
        if kept is not None:
            self.metrics.decodes.labels("cached").inc()
            return kept
        try:
            with self.metrics.decode_seconds.time():
                _, picture = await self.workers.run({"kind": "decode", "media": media}, data)
        except WorkerRefusedError as error:
            self.metrics.decodes.labels("refused").inc()
            status = 500 if error.code in ("InternalError", "CorruptPackError") else 422
            raise RequestError(status, error.code, error.message) from error
        except WorkerTimeoutError as error:
            self.metrics.decodes.labels("late").inc()
            detail = f"decoding took more than {self.workers.seconds:g} s"
            raise RequestError(503, "TimeoutError", detail, {"Retry-After": RETRY_AFTER}) from error
        except WorkerDiedError as error:
            self.metrics.decodes.labels("died").inc()
            raise RequestError(422, "LimitError", "the picture needs more memory than this server gives one") from error
        self.metrics.decodes.labels("made").inc()
        await asyncio.to_thread(self.cache.put, key, picture)
        self.metrics.cache_bytes.set(self.cache.bytes)
        return picture
