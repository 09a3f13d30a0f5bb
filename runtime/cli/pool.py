"""Work in processes, for the commands that have many files: items in, what each gave in the order in which they end.

Processes are spawned, not forked, because onnxruntime keeps threads that a fork would leave behind. They end with the one that started
them, however that ends. A process that dies costs the item that it worked on and no other.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from typing import Any, TypeVar

Item = TypeVar("Item")
Work = TypeVar("Work")
Result = TypeVar("Result")


def run_in_processes(
    start: Callable[[], Work], call: Callable[[Work, Item], Result], items: Sequence[Item], processes: int
) -> Generator[tuple[int, Result | None], None, None]:
    """`call(work, item)` for every item, where `work` is what `start()` gave once in each of at most `processes` processes. All but `work`
    must be fit for pickling.

    Yields (index of the item, its result, or None where the process died of it). What a call raises is raised here. When the iteration is
    closed or interrupted, work under way is given up and the processes are ended.
    """
    unfinished: list[int] = []
    for index, result in _run(start, call, items, range(len(items)), processes):
        if isinstance(result, BrokenProcessPool):
            unfinished.append(index)
        else:
            yield index, result
    # one death ends a pool with all that waits in it: each of these has another try, alone, so that the one to blame is found
    for index in unfinished:
        for _, result in _run(start, call, items, [index], 1):
            yield index, None if isinstance(result, BrokenProcessPool) else result


def _run(
    start: Callable[[], Work], call: Callable[[Work, Item], Result], items: Sequence[Item], indices: Sequence[int], processes: int
) -> Generator[tuple[int, Result | BrokenProcessPool], None, None]:
    if not indices:
        return
    others = set(active_children())
    # `kill` is to leave as little behind as Ctrl+C does
    terminated = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    pool = ProcessPoolExecutor(min(processes, len(indices)), get_context("spawn"), initializer=_begin, initargs=(start,))
    try:
        futures: dict[Future[Any], int] = {pool.submit(_call, call, items[index]): index for index in indices}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool as error:
                yield futures[future], error
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(active_children()) - others:
            child.terminate()
        raise
    finally:
        pool.shutdown()
        signal.signal(signal.SIGTERM, terminated)


_work: Any = None


def _begin(start: Callable[[], Any]) -> None:
    global _work
    # whoever started this process answers Ctrl+C for all, and ends it by a signal
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _work = start()


def _call(call: Callable[[Any, Any], Any], item: Any) -> Any:
    try:
        # half-written files have to be removed first; between calls a process just ends: Python's handlers wait for the next instruction,
        # and one that waits for the pool's lock, which a process that died had, may never come to it
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            return call(_work, item)
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
    except SystemExit:
        # the pool would take it for what the call raised, and go on
        os._exit(1)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
