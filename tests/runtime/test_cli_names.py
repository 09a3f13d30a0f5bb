"""Batches of files with names of every kind, and what is said of files that a folder leaves out; as a process prints it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def encode(folder: Path, encoding: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "runtime", "encode", "in", "-o", "out", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in (b"a.png", b"caf\xe9.png", "さくら.png".encode(), b"x" * 251 + b".png"):
        Image.new("RGB", (20, 16), "#468").save(tmp_path / "in" / os.fsdecode(name))
    (tmp_path / "in" / "clip.mov").touch()
    return tmp_path


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict", "latin-1:strict"])
def test_every_name_is_done_and_printed(encoding: str, folder: Path) -> None:
    done = encode(folder, encoding)
    assert done.returncode == 0
    assert sorted(os.fsencode(path.name) for path in (folder / "out").iterdir()) == [
        b"a.sdz",
        b"caf\xe9.sdz",
        b"x" * 251 + b".sdz",
        "さくら.sdz".encode(),
    ]
    assert b"in/caf\\udce9.png -> out/caf\\udce9.sdz: 20x16" in done.stdout
    assert len(done.stdout.splitlines()) == 4
    assert done.stderr == b"sdz: in/clip.mov: left out: a video\n"


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
def test_json_gives_the_names_back(encoding: str, folder: Path) -> None:
    done = encode(folder, encoding, "--json", "--jobs", "2")
    report = json.loads(done.stdout)
    names = [b"in/a.png", b"in/caf\xe9.png", b"in/" + b"x" * 251 + b".png", "in/さくら.png".encode()]
    assert sorted(os.fsencode(entry["input"]) for entry in report["files"]) == names
    assert (report["failed"], report["left_out"]) == (0, [{"input": "in/clip.mov", "reason": "a video"}])
