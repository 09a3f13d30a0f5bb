"""Desktop integration: the files, the registries that Debian's tools keep of them, removal, and thumbnails without a network."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdz.runtime.decode
import sdz.runtime.desktop.install
from sdz.runtime.cli import main
from sdz.runtime.desktop.install import INSTALLED, install, remove, user_share
from sdz.runtime.desktop.thumbnail import thumbnail
from sdz.runtime.encode import encode
from sdz.runtime.errors import CorruptFileError, DesktopError, NotAnSdzError

ROOT = Path(__file__).resolve().parents[2]


def ramp(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.dstack([x * 255 // width, y * 255 // height, (x + y) % 256]).astype(np.uint8))


@pytest.fixture(scope="module")
def data() -> bytes:
    return encode(ramp(600, 400), quality=30)


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The share folder of a person who has nothing yet, and a machine whose own is the system's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_DIRS", "/usr/share")
    return tmp_path / "share"


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_installed_files_are_known_to_the_desktop_and_removed_ones_are_not(
    share: Path, data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named, unnamed = tmp_path / "a.sdz", tmp_path / "picture"
    for path in (named, unnamed):
        path.write_bytes(data)
    assert main(["install-desktop", "--user"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"installed {share / place}" for place in INSTALLED]
    assert said("xdg-mime", "query", "default", "image/x-sdz") == "sdz.desktop"
    for path in (named, unnamed):
        assert "image/x-sdz" in said("gio", "info", "-a", "standard::content-type", str(path))
    said("desktop-file-validate", str(share / "applications/sdz.desktop"))
    assert "image-x-sdz" in said("gio", "info", "-a", "standard::icon", str(named))

    assert main(["install-desktop", "--user", "--remove"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"removed {share / place}" for place in INSTALLED]
    assert said("xdg-mime", "query", "default", "image/x-sdz") == ""
    assert "image/x-sdz" not in said("gio", "info", "-a", "standard::content-type", str(named))
    assert [path for path in share.rglob("*sdz*") if path.is_file()] == []
    assert main(["install-desktop", "--user", "--remove"]) == 0
    assert capsys.readouterr().out == f"nothing is installed below {share}\n"


def test_the_thumbnailer_and_the_application_run_from_any_folder(share: Path, data: bytes, tmp_path: Path) -> None:
    install(share)
    entry = dict(line.split("=", 1) for line in (share / "thumbnailers/sdz.thumbnailer").read_text().splitlines() if "=" in line)
    assert entry["MimeType"] == "image/x-sdz;"
    (tmp_path / "a b.sdz").write_bytes(data)
    fields = {"%s": "64", "%i": str(tmp_path / "a b.sdz"), "%o": str(tmp_path / "out.png")}
    command = [fields.get(word, word) for word in shlex.split(entry["Exec"].replace("\\\\", "\\").replace("%%", "%"))]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with Image.open(tmp_path / "out.png") as image:
        assert (image.format, image.size) == ("PNG", (64, 43))
    application = (share / "applications/sdz.desktop").read_text()
    assert entry["Exec"].replace("thumbnail --size %s %i %o", "view %f") in application


def test_commands_are_quoted_for_the_desktop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "a $b" / "python"))
    command = sdz.runtime.desktop.install._command()
    assert f'"{tmp_path}/a \\\\$b/python" -m sdz' in command and command.startswith("env ")
    script = tmp_path / "a $b" / "sdz"
    script.parent.mkdir()
    script.touch()
    assert sdz.runtime.desktop.install._command() == f'"{tmp_path}/a \\\\$b/sdz"'


def test_without_the_registry_tool_nothing_is_written(
    share: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    assert main(["install-desktop", "--user"]) == 1
    assert capsys.readouterr().err == ("sdz: update-mime-database is not installed: install your system's package shared-mime-info\n")
    assert not share.exists()


def test_a_registry_tool_that_fails_leaves_nothing(share: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "bin" / "update-mime-database"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho out of order >&2\nexit 3\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)
    with pytest.raises(DesktopError, match="failed: out of order"):
        install(share)
    assert [path for path in share.rglob("*") if path.is_file()] == []


def test_a_folder_that_cannot_be_written_is_named(
    share: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(sdz.runtime.desktop.install, "SYSTEM", tmp_path / "file")
    assert main(["install-desktop"]) == 1
    hint = "--user registers it for the current user only"
    assert capsys.readouterr().err == f"sdz: Not a directory ({tmp_path}/file/mime/packages); {hint}\n"


def test_the_share_folder_is_the_standards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for unusable in ("", "relative/path"):
        monkeypatch.setenv("XDG_DATA_HOME", unusable)
        assert user_share() == tmp_path / ".local/share"
    assert remove(user_share()) == []


def test_thumbnails_are_the_linear_stage_of_the_first_latents(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdz.runtime.decode, "_run_networks", None)
    asked: list[dict[str, Any]] = []
    decode = sdz.runtime.decode.decode

    def watched(data: bytes, **options: Any) -> Any:
        asked.append(options)
        return decode(data, **options)

    monkeypatch.setattr(sdz.runtime.decode, "decode", watched)
    for size, expected, reduce in ((128, (128, 85), 4), (16, (16, 11), 16), (2048, (600, 400), 1)):
        with Image.open(io.BytesIO(thumbnail(data, size))) as image:
            assert (image.format, image.size, image.mode) == ("PNG", expected, "RGB")
            difference = np.abs(np.asarray(image).astype(int) - np.asarray(ramp(600, 400).resize(expected, Image.Resampling.LANCZOS)))
        assert difference.mean() < 16
        assert (asked[-1]["stage"], asked[-1]["reduce"]) == ("linear", reduce)
        assert asked[-1]["max_bytes"] < 131_072 + 100


def test_thumbnails_of_what_cannot_be_leave_no_file(data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, error in ((b"GIF89a", NotAnSdzError), (data[:9], CorruptFileError)):
        with pytest.raises(error):
            thumbnail(wrong, 128)
    for size in (15, 2049):
        with pytest.raises(DesktopError, match="choose 16 to 2048"):
            thumbnail(data, size)
    source, target = tmp_path / "a.sdz", tmp_path / "a.png"
    assert main(["thumbnail", str(source), str(target)]) == 1
    source.write_bytes(b"GIF89a")
    assert main(["thumbnail", str(source), str(target)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"sdz: {source}: No such file or directory ({source})",
        f"sdz: {source}: not an .sdz file: it begins with b'GIF', not with b'SDZ'",
    ]
    assert not target.exists()
