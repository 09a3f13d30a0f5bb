"""Batches of files: what goes where, what is refused, and writing without half-written files."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdz.runtime.files import Job, Wanted, contents, evenly, kind_of, plan, readable, write_atomically


def tree(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_one_input_goes_to_the_file_named(tmp_path: Path) -> None:
    assert plan(["a.png"], str(tmp_path / "b.sdz"), Wanted((".png",)), ".sdz", False) == [Job("a.png", str(tmp_path / "b.sdz"))]
    assert plan(["-"], "-", Wanted((".png",)), ".sdz", False) == [Job("-", "-")]


def test_several_inputs_or_a_folder_go_into_a_folder(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    assert plan(["a.png", "x/b.jpg"], out, Wanted((".png",)), ".sdz", False) == [
        Job("a.png", f"{out}/a.sdz"),
        Job("x/b.jpg", f"{out}/b.sdz"),
    ]
    assert plan(["a.png"], out + "/", Wanted((".png",)), ".sdz", False) == [Job("a.png", f"{out}/a.sdz")]
    assert plan(["-"], out + "/", Wanted((".png",)), ".sdz", False) == [Job("-", f"{out}/stdin.sdz")]
    photos = tmp_path / "photos"
    tree(photos, "b.PNG", "a.png", "deep/er/c.png", "notes.txt", ".hidden.png", ".git/d.png")
    jobs = plan([str(photos)], out, Wanted((".png",)), ".sdz", False)
    assert jobs == [
        Job(f"{photos}/a.png", f"{out}/a.sdz"),
        Job(f"{photos}/b.PNG", f"{out}/b.sdz"),
        Job(f"{photos}/deep/er/c.png", f"{out}/deep/er/c.sdz"),
    ]


def test_what_cannot_be_done_is_said_per_input(tmp_path: Path) -> None:
    tree(tmp_path, "out/a.sdz", "empty/readme.txt")
    out = str(tmp_path / "out")
    jobs = plan(["a.png", "a.jpg", "b.png", "c/b.png", str(tmp_path / "empty")], out, Wanted((".png",)), ".sdz", False)
    assert [job.problem for job in jobs] == [
        f"{out}/a.sdz exists: use --force to overwrite it",
        f"its output {out}/a.sdz is already that of a.png",
        None,
        f"its output {out}/b.sdz is already that of b.png",
        "the folder holds no file to read",
    ]
    assert plan(["a.png"], out, Wanted((".png",)), ".sdz", True) == [Job("a.png", f"{out}/a.sdz")]


def test_writing_replaces_whole_files_only(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_durable_write_flushes_the_file_and_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    plain = os.fsync

    def watched(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().suffix)
        plain(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    write_atomically(tmp_path / "a", b"quick")
    assert flushed == []
    write_atomically(tmp_path / "a", b"kept", durable=True)
    assert (flushed, (tmp_path / "a").read_bytes()) == ([".part", ""], b"kept")


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "a", b"new")
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_an_even_spread_takes_the_middles_of_equal_parts() -> None:
    assert evenly(range(10), 3) == [1, 4, 8]
    assert evenly([1, 2], 3) == [1, 2]
    assert evenly([1, 2], 0) == [] == evenly([], 4)


def test_a_file_is_read_from_whatever_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"four")
    with path.open("rb") as file:
        assert contents(file) == b"four"
    given = (path, str(path), b"four", bytearray(b"four"), memoryview(b"-four")[1:], np.frombuffer(b"four", np.uint8), io.BytesIO(b"four"))
    assert [contents(each) for each in given] == [b"four"] * len(given)
    with pytest.raises(FileNotFoundError):
        contents(tmp_path / "b")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "None"),
        (7, "an object of type 'int'"),
        (["a.sdz"], "an object of type 'list'"),
        (np.zeros((2, 3), np.float32), "an array of float32 (2, 3)"),
        (np.zeros(4, np.uint16), "an array of uint16 (4,)"),
        (io.StringIO("four"), "an object of type 'StringIO' opened as text: open it with mode 'rb'"),
    ],
)
def test_what_holds_no_file_is_named(given: Any, words: str) -> None:
    with pytest.raises(TypeError) as refused:
        contents(given)
    assert str(refused.value) == words
    assert words.startswith(kind_of(given))


@pytest.mark.parametrize("length", [241, 251, 255])
def test_names_as_long_as_a_file_system_takes(length: int, tmp_path: Path) -> None:
    path = tmp_path / ("x" * length)
    write_atomically(path, b"whole")
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"whole", [path])


def test_a_temporary_file_lies_where_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def renamed(self: Path, target: Path) -> None:
        seen.append((self.parent, target))
        raise OSError("no")

    (tmp_path / "aside").mkdir()
    monkeypatch.setattr(Path, "replace", renamed)
    with pytest.raises(OSError, match="no"):
        write_atomically(tmp_path / "a", b"", beside=tmp_path / "aside")
    assert seen == [(tmp_path / "aside", tmp_path / "a")]
    assert list((tmp_path / "aside").iterdir()) == []


def test_names_as_text() -> None:
    assert readable(Path(os.fsdecode(b"a/caf\xe9.jpg"))) == "a/café.jpg"
    assert readable("さくら é") == "さくら é"
    assert readable(os.fsdecode(b"\xff\x80")) == "ÿ\x80"


def test_a_folder_tells_what_it_leaves_out(tmp_path: Path) -> None:
    tree(tmp_path, "in/a.png", "in/b.raw", "in/c.txt", "in/site/d.png", "in/other/e.png", "in/.hidden/f.raw", "far/g.png")
    (tmp_path / "in/link").symlink_to(tmp_path / "far")
    (tmp_path / "in/gone").symlink_to("nowhere")
    os.mkfifo(tmp_path / "in/pipe.png")
    reasons = {"site": "", "other": "another site"}
    wanted = Wanted((".png",), lambda path: "raw" if path.suffix == ".raw" else None, lambda folder: reasons.get(folder.name))
    jobs = plan([str(tmp_path / "in")], str(tmp_path / "out"), wanted, ".sdz", False)
    inside = f"{tmp_path}/in"
    assert jobs == [
        Job(f"{inside}/a.png", f"{tmp_path}/out/a.sdz"),
        Job(f"{inside}/b.raw", "", left_out="raw"),
        Job(f"{inside}/gone", "", left_out="a broken link, to nowhere"),
        Job(f"{inside}/link", "", left_out="a link to a folder: name it to have it read"),
        Job(f"{inside}/other", "", left_out="another site"),
        Job(f"{inside}/pipe.png", "", left_out="no regular file"),
    ]
