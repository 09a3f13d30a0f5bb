"""Work spread over processes: calls in, what each gave in the order in which they end.

Processes are spawned, not forked: onnxruntime and torch keep threads that a fork would leave behind. They never outlive the process that
started them, however that ends. A call that takes too long, or whose process dies, costs that call alone.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from typing import Any

from pebble import ProcessExpired, ProcessPool


@dataclass(frozen=True)
class Call:
    """`function(*arguments)`, both of which can be pickled; `seconds` it may take in a worker process, None for as long as it needs."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    seconds: float | None = None


@dataclass(frozen=True)
class Lost:
    """Stands for the result of a call whose process died, or was stopped because its time was up; `reason` in words."""

    reason: str


def run(calls: Sequence[Call], jobs: int) -> Generator[tuple[int, Any], None, None]:
    """Runs the calls in `jobs` worker processes, or here one after the other where `jobs` is 0; no call has a time limit then.

    Yields (index of the call, its result or `Lost`) as they end. What a call raises is raised here. Workers are stopped, whatever they
    do, when the iteration ends or is closed: wrap it in `contextlib.closing`.
    """
    if jobs == 0:
        for index, call in enumerate(calls):
            yield index, call.function(*call.arguments)
        return
    pool = ProcessPool(min(jobs, len(calls)) or 1, initializer=_start, context=get_context("spawn"))
    try:
        indices: dict[Future[Any], int] = {}
        for index, call in enumerate(calls):
            indices[pool.schedule(call.function, args=call.arguments, timeout=call.seconds)] = index
        for future in as_completed(indices):
            index = indices[future]
            error = future.exception()
            if isinstance(error, ProcessExpired):
                yield index, Lost("the process that worked on it died; was there enough memory?")
            elif isinstance(error, TimeoutError) and error.args[:1] == ("Task timeout",):
                yield index, Lost(f"given up after {calls[index].seconds:g} seconds")
            else:
                yield index, future.result()
    finally:
        pool.stop()  # type: ignore[no-untyped-call]
        pool.join()


def _start() -> None:
    # stopped at once, even inside a library's long call, where pebble's handler would have to wait
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # one thread each, or the workers would fight over the cores
    os.environ["OMP_NUM_THREADS"] = "1"
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this process when its parent has ended, which `kill -KILL` gives the parent no time to ask for."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
