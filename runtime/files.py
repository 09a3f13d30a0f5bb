"""Files: what a caller's argument holds, which inputs a command line names, where their outputs go, and writing no half of a file.

Takes paths as typed and gives pairs of input and output. What the files hold is for those to say who ask for them.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias, TypeVar

PIPE: Final = "-"
"""Names standard input or standard output."""

FileInput: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A file as functions take it: its path, its bytes (any bytes-like object will do), or the file opened for binary reading."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Job:
    """One input and its output, as typed or found: paths, or `-`. `problem` says why it cannot be done, if so; `left_out`, why nobody
    asked for it to be done: it only stands in a folder that was named."""

    source: str
    target: str
    problem: str | None = None
    left_out: str | None = None


@dataclass(frozen=True)
class Input:
    """A file that was named, or found in `folder`, and why it cannot be taken or is left out, as in `Job`."""

    name: str
    folder: Path | None = None
    problem: str | None = None
    left_out: str | None = None


@dataclass(frozen=True)
class Wanted:
    """Which files of a folder are taken: by their `suffixes`, lower case with the dot. `why_not` says of a file with another suffix why it
    is left out, or None where nobody would have expected it; `skip` the same of a folder, None for one that is entered, "" for one of
    which nothing is said."""

    suffixes: Collection[str]
    why_not: Callable[[Path], str | None] = field(default=lambda path: None)
    skip: Callable[[Path], str | None] = field(default=lambda folder: None)


def contents(given: FileInput) -> bytes:
    """The bytes of a file given in any of these ways; of an open one, from where it stands.

    Raises TypeError, whose text says what was given instead (`kind_of`), and OSError.
    """
    if isinstance(given, str | os.PathLike):
        return Path(given).read_bytes()
    read = getattr(given, "read", None)
    if callable(read):
        data = read()
        if isinstance(data, bytes):
            return data
        raise TypeError(f"{kind_of(given)} opened as text: open it with mode 'rb'" if isinstance(data, str) else kind_of(given))
    try:
        view = memoryview(given)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(kind_of(given)) from None
    if view.ndim != 1 or view.itemsize != 1 or not view.contiguous:
        raise TypeError(kind_of(given))
    return bytes(view)


def readable(name: str | os.PathLike[str]) -> str:
    """A file's name as text for people and for UTF-8: bytes that are not, in names from old archives and USB sticks, count as Latin-1."""
    return "".join(chr(ord(c) - 0xDC00) if "\udc80" <= c <= "\udcff" else c for c in os.fspath(name))


def kind_of(given: object) -> str:
    """A value's type in words, for a message that refuses it: of an array with its element type and shape."""
    shape: Any = getattr(given, "shape", None)
    if isinstance(shape, tuple) and hasattr(given, "dtype"):
        return f"an array of {given.dtype} {shape}"
    return "None" if given is None else f"an object of type '{type(given).__name__}'"


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of the items, spread evenly over all: the middles of as many equal parts."""
    count = min(count, len(items))
    return [items[round((i + 0.5) * len(items) / count - 0.5)] for i in range(count)]


def write_atomically(
    path: Path, data: bytes | Iterable[bytes], durable: bool = False, flush: bool = False, beside: Path | None = None
) -> None:
    """Writes `data`, in one piece or in many, to a temporary file, then renames: readers and interruptions never see half a file.

    The temporary file lies beside `path`, or in the folder `beside` of the same file system; its own name does not depend on that of
    `path`, which may be as long as a file system allows. `flush`: the bytes are on the disk before they have their name, so that not even
    a power cut leaves half a file under it. `durable`: the name is on the disk too when this returns. Raises OSError; the temporary file
    is gone then.
    """
    partial = (beside or path.parent) / f".{secrets.token_hex(8)}.part"
    try:
        with partial.open("xb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            if flush or durable:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Returns when the names that were written in a folder are on the disk. Raises OSError."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def find_inputs(names: Sequence[str], wanted: Wanted) -> Iterator[Input]:
    """Every input that names mean. A folder stands for all files below it that are `wanted`, hidden ones left out, sorted; what else a
    person might expect to be among them follows with the reason why it is not."""
    for name in names:
        folder = Path(name)
        if name == PIPE or not folder.is_dir():
            yield Input(name)
            continue
        found = sorted(_walk(folder, wanted))
        taken = [path for path, reason in found if reason is None]
        if not taken:
            yield Input(name, None, "the folder holds no file to read")
        yield from (Input(str(path), folder) for path in taken)
        yield from (Input(str(path), folder, left_out=reason) for path, reason in found if reason is not None)


def _walk(folder: Path, wanted: Wanted) -> Iterator[tuple[Path, str | None]]:
    """The files below a folder that are wanted, with None, and those that are left out, with the reason."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        yield folder, f"the folder cannot be read: {error.strerror}"
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            reason = wanted.skip(path)
            if reason is None and entry.is_symlink():
                reason = "a link to a folder: name it to have it read"
            if reason is None:
                yield from _walk(path, wanted)
            elif reason:
                yield path, reason
        elif entry.is_file():
            reason = None if path.suffix.lower() in wanted.suffixes else wanted.why_not(path)
            if reason is not None or path.suffix.lower() in wanted.suffixes:
                yield path, reason
        elif entry.is_symlink():
            yield path, f"a broken link, to {path.readlink()}"
        elif path.suffix.lower() in wanted.suffixes:
            yield path, "no regular file"


def plan(names: Sequence[str], output: str, wanted: Wanted, out_suffix: str, force: bool) -> list[Job]:
    """The jobs that turn `names` into `output`: one file or `-`, or a folder, which keeps the inputs' tree.

    `output` is a folder when there are several inputs, when the input is one, when it ends in a separator, or when it exists as
    one. An existing output is a problem unless `force`; two inputs for one output always are.
    """
    separators = tuple(filter(None, (os.sep, os.altsep)))
    into_folder = output != PIPE and (len(names) > 1 or Path(names[0]).is_dir() or output.endswith(separators) or Path(output).is_dir())
    jobs = []
    taken: dict[str, str] = {}
    for given in find_inputs(names, wanted):
        source, problem = given.name, given.problem
        if given.left_out is not None:
            jobs.append(Job(source, "", left_out=given.left_out))
            continue
        target = output
        if into_folder:
            path = Path("stdin" if source == PIPE else source)
            inside = path.relative_to(given.folder) if given.folder else Path(path.name)
            target = str(Path(output) / inside.with_suffix(out_suffix))
        if problem is None and target in taken:
            problem = f"its output {target} is already that of {taken[target]}"
        elif problem is None and target != PIPE and not force and Path(target).exists():
            problem = f"{target} exists: use --force to overwrite it"
        taken.setdefault(target, source)
        jobs.append(Job(source, target, problem))
    return jobs
