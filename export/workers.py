"""Work spread over processes: calls in, what each gave in the order in which they end.

Processes are spawned, not forked: onnxruntime and torch keep threads that a fork would leave behind. They never outlive the process that
started them, however that ends. A call that takes too long, or whose process dies, costs that call alone.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import Any

from pebble import ProcessExpired, ProcessPool

AHEAD = 4
"""Calls for each process that are taken before they are due, so that none has to wait for the next."""


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


def run(calls: Iterable[Call], jobs: int) -> Generator[tuple[int, Any], None, None]:
    """Runs the calls in `jobs` worker processes, or here one after the other where `jobs` is 0; no call has a time limit then.

    A call is taken out of `calls` when it is due, or `AHEAD` before that: those of ten thousand photos are never there at once.

    Yields (index of the call, its result or `Lost`) as they end. What a call raises is raised here. Workers are stopped, whatever they
    do, when the iteration ends or is closed: wrap it in `contextlib.closing`.
    """
    if jobs == 0:
        for index, call in enumerate(calls):
            yield index, call.function(*call.arguments)
        return
    waiting = enumerate(calls)
    due = list(islice(waiting, AHEAD * jobs))
    pool = ProcessPool(min(jobs, len(due)) or 1, initializer=_start, context=get_context("spawn"))
    try:
        given: dict[Future[Any], tuple[int, Call]] = {}

        def give(entries: Iterable[tuple[int, Call]]) -> None:
            for index, call in entries:
                given[pool.schedule(call.function, args=call.arguments, timeout=call.seconds)] = index, call

        give(due)
        while given:
            done = wait(given, return_when=FIRST_COMPLETED).done
            # a set, which has no order: of those that ended together, the first that was given
            for future in [future for future in given if future in done]:
                index, call = given.pop(future)
                give(islice(waiting, 1))
                error = future.exception()
                if isinstance(error, ProcessExpired):
                    yield index, Lost("the process that worked on it died; was there enough memory?")
                elif isinstance(error, TimeoutError) and error.args[:1] == ("Task timeout",):
                    yield index, Lost(f"given up after {call.seconds:g} seconds")
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
