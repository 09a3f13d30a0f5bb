"""Files: what a caller's argument holds, which inputs a command line names, where their outputs go, and writing no half of a file.

Takes paths as typed and gives pairs of input and output. Nothing here knows what the files hold.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias, TypeVar

PIPE: Final = "-"
"""Names standard input or standard output."""

FileInput: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A file as functions take it: its path, its bytes (any bytes-like object will do), or the file opened for binary reading."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Job:
    """One input and its output, as typed or found: paths, or `-`. `problem` says why it cannot be done, if so."""

    source: str
    target: str
    problem: str | None = None


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


def write_atomically(path: Path, data: bytes, durable: bool = False) -> None:
    """Writes `data` to a temporary file beside `path`, then renames: readers and interruptions never see half a file.

    `durable`: both are on the disk when this returns, so that not even a power cut takes them back. Raises OSError; the temporary file is
    gone then.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with partial.open("xb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if durable:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def find_inputs(names: Sequence[str], suffixes: Collection[str]) -> Iterator[tuple[str, Path | None, str | None]]:
    """Every input as (its name, the folder it was found in or None, a problem or None).

    A folder stands for all files below it that have one of `suffixes` (lower case, with the dot), hidden ones left out, sorted.
    """
    for name in names:
        folder = Path(name)
        if name == PIPE or not folder.is_dir():
            yield name, None, None
            continue
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file() and not _hidden(p, folder))
        if not found:
            yield name, None, "the folder holds no file to read"
        for path in found:
            yield str(path), folder, None


def image_suffixes() -> frozenset[str]:
    """The suffixes, lower case with the dot, of the files that Pillow reads. The first call loads Pillow's plugins."""
    from PIL import Image

    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN)


def plan(names: Sequence[str], output: str, in_suffixes: Collection[str], out_suffix: str, force: bool) -> list[Job]:
    """The jobs that turn `names` into `output`: one file or `-`, or a folder, which keeps the inputs' tree.

    `output` is a folder when there are several inputs, when the input is one, when it ends in a separator, or when it exists as
    one. An existing output is a problem unless `force`; two inputs for one output always are.
    """
    inputs = list(find_inputs(names, in_suffixes))
    separators = tuple(filter(None, (os.sep, os.altsep)))
    into_folder = output != PIPE and (len(names) > 1 or Path(names[0]).is_dir() or output.endswith(separators) or Path(output).is_dir())
    jobs = []
    taken: dict[str, str] = {}
    for source, folder, problem in inputs:
        target = output
        if into_folder:
            path = Path("stdin" if source == PIPE else source)
            inside = path.relative_to(folder) if folder else Path(path.name)
            target = str(Path(output) / inside.with_suffix(out_suffix))
        if problem is None and target in taken:
            problem = f"its output {target} is already that of {taken[target]}"
        elif problem is None and target != PIPE and not force and Path(target).exists():
            problem = f"{target} exists: use --force to overwrite it"
        taken.setdefault(target, source)
        jobs.append(Job(source, target, problem))
    return jobs


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
