"""A batch: every file that a command names is done and reported, and one that fails does not keep the others from it.

Takes jobs (`files.Job`) and the work to do on each; gives a line or a JSON entry for each, and the exit status.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...output import as_json
from ..errors import SdzError, in_words
from ..files import PIPE, Job, Wanted, find_inputs, write_atomically
from ..format.container import parse
from ..info import Report

if TYPE_CHECKING:
    from ..engines.installed import Networks
    from ..pack import Pack
    from ..session import Session

SUFFIX: Final = ".sdz"
PROGRAM: Final = "sdz"

Work = Callable[[Job], Report]
"""Does one job and says what was done. May raise SdzError, OSError or MemoryError."""

Outcomes = Generator[tuple[int, Report], None, None]
"""Jobs' numbers and reports, as they end."""


class Sessions:
    """The networks of one command: made when first needed, one per pack. `args` are those that `--pack`, `--engine`, `--provider` and
    `--threads` give."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._given: Pack | None = None
        if args.pack:
            from ..pack import load_pack

            self._given = load_pack(Path(args.pack))
        self._by_pack: dict[bytes, Networks] = {}

    def for_encoding(self) -> Session:
        """The session of the pack given, or of the default one."""
        from ..pack import default_pack
        from ..session import Session

        return Session(self._given or default_pack(), provider=self._args.provider, threads=self._args.threads)

    def for_decoding(self, data: bytes, stage: str) -> dict[str, Any]:
        """The arguments of `decode` that choose pack and session."""
        if stage == "linear":
            return {"pack": self._given}
        if self._given is not None:
            return {"session": self._networks(self._given)}
        from ..pack import find_pack

        return {"session": self._networks(find_pack(parse(data).header.pack_id))}

    def _networks(self, pack: Pack) -> Networks:
        from ..engines import networks_of

        if pack.id not in self._by_pack:
            self._by_pack[pack.id] = networks_of(pack, self._args.engine, self._args.provider, self._args.threads)
        return self._by_pack[pack.id]


def check_batch(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends in `parser.error` where the options contradict each other."""
    if args.output == PIPE:
        if len(args.inputs) > 1 or Path(args.inputs[0]).is_dir():
            parser.error("standard output holds one file: name one input")
        if args.json:
            parser.error("--json and the file both need standard output: use -o FILE")
    if args.threads < 1:
        parser.error("--threads must be at least 1")


def reading(names: Iterable[str]) -> list[Job]:
    """Jobs without an output."""
    found = find_inputs(list(names), Wanted((SUFFIX,)))
    return [Job(given.name, "", given.problem, given.left_out) for given in found]


def run_batch(args: argparse.Namespace, jobs: Sequence[Job], work: Work, line: Callable[[Report], str]) -> int:
    """Does every job here, one after the other, and reports each as it is done; the exit status."""

    def outcomes() -> Outcomes:
        for number, job in enumerate(jobs):
            yield number, attempt(work, job)

    return _report(args, jobs, outcomes(), line)


def run_parallel(
    args: argparse.Namespace,
    jobs: Sequence[Job],
    work: Work,
    line: Callable[[Report], str],
    start: Callable[[], Work],
    processes: int,
) -> int:
    """The same in `processes` worker processes, each of which calls `start` for its work; reported in the order in which they end.

    What needs standard input or output, or cannot be done, is left to `work` here.
    """
    here = {number for number, job in enumerate(jobs) if (job.problem or job.left_out) is not None or PIPE in (job.source, job.target)}
    there = [number for number in range(len(jobs)) if number not in here]

    # loaded when it is needed: what starts processes takes a fiftieth of a second
    from .pool import run_in_processes

    def outcomes() -> Outcomes:
        for number in sorted(here):
            yield number, attempt(work, jobs[number])
        with closing(run_in_processes(start, attempt, [jobs[number] for number in there], processes)) as ended:
            for place, report in ended:
                number = there[place]
                yield number, report or failure(jobs[number], "ProcessDied", "the process that encoded it died; was there enough memory?")

    return _report(args, jobs, outcomes(), line)


def attempt(work: Work, job: Job) -> Report:
    """The report of a job, or of why it failed. Raises BrokenPipeError only."""
    if job.left_out is not None:
        return {"input": job.source}
    try:
        if job.problem is not None:
            raise OSError(job.problem)
        return {"input": job.source, **work(job)}
    except BrokenPipeError:
        raise
    except (SdzError, OSError, MemoryError) as error:
        return failure(job, type(error).__name__, in_words(error))


def failure(job: Job, error: str, message: str) -> Report:
    """The report of a job that failed."""
    return {"input": job.source, "error": error, "message": message}


def _report(args: argparse.Namespace, jobs: Sequence[Job], outcomes: Outcomes, line: Callable[[Report], str]) -> int:
    reports: dict[int, Report] = {}
    left_out = {number: job.left_out for number, job in enumerate(jobs) if job.left_out is not None}
    with closing(outcomes):
        for number, report in outcomes:
            reports[number] = report
            if number in left_out:
                print(f"{PROGRAM}: {jobs[number].source}: left out: {left_out[number]}", file=sys.stderr)
            elif "error" in report:
                print(f"{PROGRAM}: {report['input']}: {report['message']}", file=sys.stderr)
            elif not (args.json or getattr(args, "quiet", False) or jobs[number].target == PIPE):
                # at once: a pipe or a log file is to show how far the batch is
                print(line(report), flush=True)
    failed = sum("error" in report for report in reports.values())
    if args.json:
        files = [reports[number] for number in sorted(reports) if number not in left_out]
        others = [{"input": jobs[number].source, "reason": reason} for number, reason in left_out.items()]
        print(as_json({"files": files, "failed": failed, "left_out": others}))
    return 1 if failed else 0


def source(name: str) -> Path | io.BytesIO:
    """An input for whoever takes paths and files."""
    return io.BytesIO(sys.stdin.buffer.read()) if name == PIPE else Path(name)


def read(name: str) -> bytes:
    """An input's bytes. Raises OSError."""
    return sys.stdin.buffer.read() if name == PIPE else Path(name).read_bytes()


def write(job: Job, data: bytes) -> None:
    """Writes a job's output, making its folder. Raises OSError; there is no half of a file then."""
    if job.target == PIPE:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    path = Path(job.target)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)
