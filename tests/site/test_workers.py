"""Work in other processes: results, calls that are lost, and no worker that outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from browser import picture

from sdz.export.site import library
from sdz.export.workers import AHEAD, Call, Lost, run

PATIENCE = 120.0
"""Seconds after which something that must happen counts as not happening; nothing is measured."""


def test_here_without_processes() -> None:
    assert list(run([Call(abs, (-3,)), Call(len, ("four",))], 0)) == [(0, 3), (1, 4)]


def test_calls_that_die_or_hang_are_lost_alone() -> None:
    calls = [Call(abs, (-3,)), Call(os._exit, (3,)), Call(time.sleep, (1000,), 0.5), Call(len, ("four",))]
    with closing(run(calls, 2)) as finished:
        results = dict(finished)
    died = Lost("the process that worked on it died; was there enough memory?")
    assert results == {0: 3, 1: died, 2: Lost("given up after 0.5 seconds"), 3: 4}


def test_calls_are_taken_as_they_are_due() -> None:
    taken: list[int] = []

    def calls() -> Iterator[Call]:
        for number in range(1000):
            taken.append(number)
            yield Call(abs, (-number,))

    with closing(run(calls(), 2)) as finished:
        found = [next(finished) for _ in range(20)]
        assert sorted(found) == [(number, number) for number in sorted(index for index, _ in found)]
        assert len(taken) == 20 + 2 * AHEAD
    with closing(run(calls(), 0)) as finished:
        taken.clear()
        assert next(finished) == (0, 0)
        assert taken == [0]


def test_what_a_call_raises_is_raised() -> None:
    with pytest.raises(FileNotFoundError) as stopped, closing(run([Call(os.stat, ("/nowhere",))], 1)) as finished:
        list(finished)
    assert stopped.value.filename == "/nowhere"


def session_of(leader: int) -> list[int]:
    """The processes of a session that still run; zombies have ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)], ids=lambda n: str(n)
)
def test_no_worker_outlives_a_build(number: signal.Signals, status: int, pack: Path, tmp_path: Path) -> None:
    """Ended as soon as the first photo is reported, while the workers compress the runtime as well as they can."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(3):
        picture(64 + 16 * index, 64, index).save(folder / f"{index}.png")
    site = tmp_path / "site"
    command = [sys.executable, "-m", "export", "build", str(folder), "--out", str(site), "--pack", str(pack), "--judge", "0", "--jobs", "2"]
    with subprocess.Popen(command, cwd=library.ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True) as child:
        assert child.stderr is not None
        first = child.stderr.readline()
        assert first.startswith("sdz build: 1/3 ")
        # at least the worker that made it; on a busy machine the other may not have begun
        assert len(session_of(child.pid)) >= 2
        child.send_signal(number)
        rest = child.stderr.read()
        assert child.wait(PATIENCE) == status
    stopped = "sdz build: stopped; what is done is kept for the next run, the old pages stand\n"
    assert number == signal.SIGKILL or rest.endswith(stopped)
    assert "Traceback" not in rest
    deadline = time.monotonic() + PATIENCE
    while session_of(child.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert session_of(child.pid) == []
    assert not (site / "index.html").exists()
    if number != signal.SIGKILL:
        assert list(site.rglob(".*.part")) == []
