"""Decoded pictures for clients that cannot decode: an .sdz on disk in, a WebP, AVIF or JPEG out.

Every picture is decoded once and kept in a bounded cache on disk under its path and the state of the file, so a changed file is another
picture. Requests for a picture that is being decoded wait for that decode; further pictures queue, up to a limit, fairly and the cheap ones
first (`jobs.queue`). Here only a file's header is read: the rest is for the child process. These limits are this service's own: the .sdz
files themselves are served without them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..runtime.errors import SdzError
from ..runtime.format.container import HEADER_BYTES, Header, read_header
from ..runtime.format.sparse import affordable, is_sparse
from .errors import RequestError
from .jobs.pictures import LARGEST_SIDE, MAX_PIXELS, PREVIEW_PIXELS
from .jobs.processes import GIB, WorkerDiedError, WorkerRefusedError, Workers, WorkerTimeoutError
from .jobs.queue import FairQueue, QueueFullError
from .metrics import Metrics
from .store.cache import DiskCache

RECIPE: Final = 3
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
"""Most pictures that wait while others are decoded, as many as a page shows; any more are answered with 503."""

RETRY_AFTER: Final = "5"

BUSY: Final = "too many pictures are being decoded: try again soon"

PIXELS_A_SECOND: Final = 3_000_000
BYTES_A_SECOND: Final = 1_000_000
FIXED_SECONDS: Final = 0.05
"""What a decode costs, roughly, by what is known of it beforehand: networks by pixels, entropy decoding by bytes. Only for the order."""


@dataclass(frozen=True)
class Source:
    """The first `size` bytes of the file `path`; `state` changes whenever the file does."""

    path: str
    size: int
    state: str


class DecodedPictures:
    """The service. `close` ends its processes."""

    def __init__(self, cache: DiskCache, metrics: Metrics, workers: Workers | None = None) -> None:
        self.cache = cache
        self.metrics = metrics
        self.workers = workers or Workers(PROCESSES, SECONDS, MEMORY)
        self._queue = FairQueue(PROCESSES, QUEUE)
        self._running: dict[str, asyncio.Task[bytes]] = {}

    async def get(self, source: Source, wanted: Sequence[str]) -> tuple[bytes, str]:
        """The picture of an .sdz (or prefix) in the first of the media types `wanted` that can hold it, and that type.

        Raises RequestError: 422 for a file that is broken or over a limit, 503 when too much is asked at once or it took too long; OSError
        for a file that cannot be read.
        """
        if source.size > MAX_BYTES:
            detail = f"{source.size} bytes, this server decodes at most {MAX_BYTES}; ask for image/x-sdz, or a range of it"
            raise RequestError(422, "LimitError", detail)
        try:
            header = await asyncio.to_thread(header_of, source)
        except SdzError as error:
            raise RequestError(422, error.code, str(error)) from error
        # for a picture too large to decode in full the worker makes a preview, whose sides fit every format
        pixels = header.width * header.height
        preview = pixels > MAX_PIXELS or is_sparse(header.width, header.height, source.size)
        fitting = [media for media in wanted if preview or max(header.width, header.height) <= LARGEST_SIDE[media]]
        if not fitting:
            raise RequestError(
                406, "NotAcceptableError", f"a side of {max(header.width, header.height)} pixels fits none of {', '.join(wanted)}"
            )
        media = fitting[0]
        key = hashlib.sha256(f"{RECIPE} {media} {source.size} {source.state} {source.path}".encode("utf-8", "surrogateescape")).hexdigest()
        running = self._running.get(key)
        if running is None:
            cost = FIXED_SECONDS + source.size / BYTES_A_SECOND
            cost += (min(affordable(source.size), PREVIEW_PIXELS) / 16 if preview else pixels) / PIXELS_A_SECOND
            running = self._running[key] = asyncio.create_task(self._make(key, source, media, cost))
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

    async def _make(self, key: str, source: Source, media: str, cost: float) -> bytes:
        kept = await asyncio.to_thread(self.cache.get, key)
        if kept is not None:
            self.metrics.decodes.labels("cached").inc()
            return kept
        job = {"kind": "decode", "media": media, "path": source.path, "size": source.size}
        try:
            with self.metrics.decode_seconds.time():
                _, picture = await self._queue.run(source.path, cost, lambda: self.workers.run(job))
        except QueueFullError as error:
            self.metrics.decodes.labels("busy").inc()
            raise RequestError(503, "BusyError", BUSY, {"Retry-After": RETRY_AFTER}) from error
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


def header_of(source: Source) -> Header:
    """The file's header, if it lies within the source's bytes. Raises SdzError and OSError; reads the disk."""
    with Path(source.path).open("rb") as file:
        return read_header(file.read(min(source.size, HEADER_BYTES)))[0]
