"""Work in processes: what one that dies costs, and how one ends that is told to."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import pytest

from sdz.runtime.cli.pool import run_in_processes


@dataclass(frozen=True)
class Fragile:
    """Ends its process for an item that is negative, raises for zero."""

    limit: int

    def __call__(self, item: int) -> int:
        if item < 0:
            os._exit(9)
        if item == 0:
            raise ValueError("nothing")
        return item * self.limit


def apply(work: Fragile, item: int) -> int:
    return work(item)


def test_a_process_that_dies_costs_its_own_item_only() -> None:
    results = dict(run_in_processes(partial(Fragile, 10), apply, [1, -1, 2, 3, -2, 4], 2))
    assert results == {0: 10, 1: None, 2: 20, 3: 30, 4: None, 5: 40}
    with pytest.raises(ValueError, match="nothing"):
        list(run_in_processes(partial(Fragile, 1), apply, [0], 1))
    assert list(run_in_processes(partial(Fragile, 1), apply, [], 3)) == []


def answers_sigterm(work: Fragile, item: int) -> bool:
    return callable(signal.getsignal(signal.SIGTERM))


def test_a_process_removes_what_it_writes_when_it_is_ended_and_otherwise_just_ends() -> None:
    before = set(active_children())
    results = run_in_processes(partial(Fragile, 1), answers_sigterm, [1], 1)
    assert next(results) == (0, True)
    (idle,) = set(active_children()) - before
    caught = re.search(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{idle.pid}/status").read_text(), re.MULTILINE)
    assert caught is not None
    assert not int(caught[1], 16) >> (signal.SIGTERM - 1) & 1
    assert list(results) == []
