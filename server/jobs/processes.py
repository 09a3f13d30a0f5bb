"""A pool of child processes that decode and encode pictures, each job under a time limit and a memory limit.

A child does many jobs, because starting one takes a second; a job that exceeds its time is killed with its child, and the next job starts a
new one. A child ends by itself when this process ends, however that happens, because its standard input ends then. A pool built on
multiprocessing would read pickles that the children wrote (see `messages`), and would run the embedding application's main module in each.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .messages import Message, receive, send

GIB: Final = 1 << 30


class WorkerTimeoutError(Exception):
    """The job exceeded its time limit; its process has been killed."""


class WorkerDiedError(Exception):
    """The process died during the job."""


class WorkerRefusedError(Exception):
    """The job ended in an error of the family of `runtime.errors`, or in `InternalError`."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}")


@dataclass
class _Children:
    """All running child processes, and those of them that are idle."""

    all: set[subprocess.Popen[bytes]] = field(default_factory=set)
    idle: list[subprocess.Popen[bytes]] = field(default_factory=list)
    closed: bool = False


class Workers:
    """At most `count` child processes, started when first needed: `seconds` for each job, `memory` bytes (private) for each process."""

    def __init__(self, count: int, seconds: float, memory: int) -> None:
        self.count = count
        self.seconds = seconds
        self.memory = memory
        # the executor's queue is the queue of jobs; each thread waits for one child
        self._threads = ThreadPoolExecutor(count, "sdz-worker")
        self._children = _Children()
        self._finalizer = weakref.finalize(self, _end, self._children)

    async def run(self, job: Message, data: bytes = b"", *, seconds: float | None = None) -> tuple[Message, bytes]:
        """Has a child perform `job` on `data`, within `seconds` where they are given, and returns its result. Raises WorkerRefusedError,
        WorkerTimeoutError or WorkerDiedError."""
        return await asyncio.wrap_future(self._threads.submit(self._perform, job, data, self.seconds if seconds is None else seconds))

    def close(self) -> None:
        """Kills the children, and with them the jobs under way."""
        self._finalizer()
        self._threads.shutdown(cancel_futures=True)

    def _perform(self, job: Message, data: bytes, seconds: float) -> tuple[Message, bytes]:
        child = self._children.idle.pop() if self._children.idle else self._start()
        assert child.stdin is not None and child.stdout is not None
        late = threading.Event()

        def kill() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        try:
            send(child.stdin, job, data)  # type: ignore[arg-type]
            answer = receive(child.stdout)  # type: ignore[arg-type]
        except (OSError, ValueError):
            answer = None
        finally:
            timer.cancel()
        if answer is None or late.is_set():
            self._children.all.discard(child)
            _kill(child)
            raise WorkerTimeoutError if late.is_set() else WorkerDiedError
        self._children.idle.append(child)
        result, out = answer
        if not result["ok"]:
            raise WorkerRefusedError(result["code"], result["message"])
        return result, out

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
        # one core for each picture: the others are for other requests
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        # libraries write warnings to standard error; the job's answer says what was wrong
        child = subprocess.Popen(
            [sys.executable, "-m", "sdz.server.jobs.worker", str(self.memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self._children.all.add(child)
        if self._children.closed:
            _kill(child)
        return child


def _end(children: _Children) -> None:
    children.closed = True
    for child in [*children.all]:
        _kill(child)


def _kill(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    for stream in (child.stdin, child.stdout):
        assert stream is not None
        # closing flushes, and nobody reads any more
        with suppress(OSError):
            stream.close()
    child.wait()
