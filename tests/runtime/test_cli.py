"""The command line on the stand-in pack: files, folders, pipes, exit codes, reports; and real processes for what needs one."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from standins import StandInPack, StandInSession

import sdz.runtime.decode
import sdz.runtime.pack
import sdz.runtime.session
from sdz.runtime.cli import main
from sdz.runtime.errors import MissingPackError, ProviderError
from sdz.runtime.format.container import Chunk, Header, parse, serialize
from sdz.runtime.format.palette import encode_palette
from sdz.runtime.format.planes import encode_planes

PACK = StandInPack()
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every command finds the stand-in pack, and works in an empty folder."""

    def find_pack(pack_id: bytes) -> StandInPack:
        if pack_id != PACK.id:
            raise MissingPackError(pack_id)
        return PACK

    def session(pack: StandInPack, provider: str = "cpu", threads: int = 1) -> StandInSession:
        if provider != "cpu":
            raise ProviderError(f"execution provider '{provider}' is not part of the installed onnxruntime")
        return StandInSession(pack)

    monkeypatch.setattr(sdz.runtime.pack, "find_pack", find_pack)
    monkeypatch.setattr(sdz.runtime.decode, "find_pack", find_pack)
    monkeypatch.setattr(sdz.runtime.pack, "default_pack", lambda: PACK)
    monkeypatch.setattr(sdz.runtime.session, "Session", session)
    monkeypatch.chdir(tmp_path)


def photo(name: str, width: int = 40, height: int = 30) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)).save(path)
    return path


def pixels(name: str) -> np.ndarray:
    with Image.open(name) as image:
        return np.asarray(image)


def an_sdz(name: str, pack_id: bytes = PACK.id) -> Path:
    """40 x 30 pixels, 10 bytes of header, an alternative text of 3 bytes, latents."""
    q = np.random.default_rng(0).integers(-9, 10, (4, 2, 3)).astype(np.int32)
    payload = encode_planes(q, 48, PACK.coder)
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(serialize(Header(40, 30, 48, pack_id), [Chunk(b"T", b"cat"), Chunk(b"L", payload)]))
    return path


def test_encode_and_decode_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    photo("a.png", 150, 100)
    assert main(["encode", "a.png", "-o", "a.sdz", "--target-size", "60", "--alt", "cat"]) == 0
    assert Path("a.sdz").stat().st_size == 60
    assert capsys.readouterr().out == "a.png -> a.sdz: 150x100, 60 bytes, 0.032 bpp\n"
    assert main(["decode", "a.sdz", "-o", "b.png"]) == 0
    assert capsys.readouterr().out == "a.sdz -> b.png: 150x100 RGB, denoised\n"
    decoded = sdz.runtime.decode.decode(Path("a.sdz").read_bytes(), session=StandInSession())
    assert np.array_equal(pixels("b.png"), decoded.pixels)
    assert sorted(path.name for path in Path().iterdir()) == ["a.png", "a.sdz", "b.png"]


def test_options_reach_the_encoder() -> None:
    photo("a.png", 150, 100)
    assert main(["encode", "a.png", "-o", "q.sdz", "-q", "75"]) == 0
    assert parse(Path("q.sdz").read_bytes()).header.step_index == 32
    assert main(["encode", "a.png", "-o", "b.sdz", "--bpp", "0.04"]) == 0
    assert Path("b.sdz").stat().st_size == 75


def test_a_batch_goes_on_after_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    photo("in/a.png")
    photo("in/deep/b.jpg")
    Path("in/broken.png").write_bytes(b"\x89PNG")
    assert main(["encode", "in", "missing.png", "-o", "out"]) == 1
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "sdz: in/broken.png: not an image that Pillow can read",
        "sdz: missing.png: No such file or directory (missing.png)",
    ]
    assert [line.split(":")[0] for line in captured.out.splitlines()] == ["in/a.png -> out/a.sdz", "in/deep/b.jpg -> out/deep/b.sdz"]
    assert sorted(str(path) for path in Path("out").rglob("*.*")) == ["out/a.sdz", "out/deep/b.sdz"]


def test_files_are_overwritten_only_by_force(capsys: pytest.CaptureFixture[str]) -> None:
    photo("a.png")
    Path("a.sdz").write_bytes(b"mine")
    assert main(["encode", "a.png", "-o", "a.sdz"]) == 1
    assert capsys.readouterr().err == "sdz: a.png: a.sdz exists: use --force to overwrite it\n"
    assert Path("a.sdz").read_bytes() == b"mine"
    assert main(["encode", "a.png", "-o", "a.sdz", "--force"]) == 0
    assert parse(Path("a.sdz").read_bytes()).header.width == 40


def test_json_reports(capsys: pytest.CaptureFixture[str]) -> None:
    photo("a.png")
    assert main(["encode", "a.png", "no.png", "-o", "out", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["failed"] == 1
    seconds = report["files"][0].pop("seconds")
    assert isinstance(seconds, float)
    size = Path("out/a.sdz").stat().st_size
    done = {
        "input": "a.png",
        "output": "out/a.sdz",
        "width": 40,
        "height": 30,
        "bytes": size,
        "bpp": round(size / 150, 4),
        "step_index": 60,
    }
    failed = {"input": "no.png", "error": "FileNotFoundError", "message": "No such file or directory (no.png)"}
    assert report["files"] == [done, failed]
    assert main(["decode", "out/a.sdz", "-o", "a.webp", "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)["files"][0]
    assert set(entry["seconds"]) == {"parse", "pack", "entropy", "dequantize", "denoise", "decode", "save"}
    assert (entry["mode"], entry["stage"], entry["complete"]) == ("RGB", "denoised", True)


def test_decode_stages_prefixes_and_formats(capsys: pytest.CaptureFixture[str]) -> None:
    an_sdz("a.sdz")
    assert main(["decode", "a.sdz", "-o", "grey.png", "--bytes", "20", "--stage", "linear"]) == 0
    assert pixels("grey.png").tolist() == np.full((30, 40, 3), 128).tolist()
    assert main(["decode", "a.sdz", "-o", "out/", "--format", "webp", "--stage", "decoded"]) == 0
    assert Path("out/a.webp").read_bytes()[8:12] == b"WEBP"
    assert main(["decode", "a.sdz", "-o", "no.png", "--bytes", "9"]) == 1
    assert "corrupt file: the file ends at byte 9, inside the header (field 'height' at byte 9)" in capsys.readouterr().err
    assert not Path("no.png").exists()


def test_what_an_output_format_cannot_hold_is_laid_on_white_and_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    for name, image in (("a", Image.new("RGBA", (8, 8), (0, 0, 0, 0))), ("b", Image.new("LA", (8, 8), (0, 0)))):
        Path("in").mkdir(exist_ok=True)
        image.save(f"{name}.png")
        assert main(["encode", f"{name}.png", "-o", f"in/{name}.sdz", "--quiet"]) == 0
    assert main(["decode", "in", "-o", "jpegs/", "--format", "jpeg", "--quiet"]) == 0
    assert capsys.readouterr().err == "sdz: JPEG has no such transparency: pictures with it are laid on white\n"
    assert main(["decode", "in", "-o", "bmps/", "--format", "bmp", "--quiet"]) == 0
    assert capsys.readouterr().err == "sdz: BMP has no such transparency: pictures with it are laid on white\n"
    for path, mode in (("jpegs/a.jpeg", "RGB"), ("jpegs/b.jpeg", "L"), ("bmps/a.bmp", "RGB"), ("bmps/b.bmp", "L")):
        with Image.open(path) as shown:
            assert (shown.mode, shown.getpixel((3, 3))) == (mode, (255, 255, 255) if mode == "RGB" else 255)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["encode", "a.png"],
        ["encode", "a.png", "-o", "a.sdz", "-q", "50", "--bpp", "1"],
        ["encode", "a.png", "b.png", "-o", "-"],
        ["encode", ".", "-o", "-"],
        ["encode", "a.png", "-o", "-", "--json"],
        ["encode", "a.png", "-o", "a.sdz", "--threads", "0"],
        ["decode", "a.sdz", "-o", "a.unknown"],
        ["decode", "a.sdz", "-o", "a"],
        ["decode", "a.sdz", "-o", "out/", "--format", "pcd"],
        ["decode", "a.sdz", "-o", "a.png", "--bytes", "-1"],
        ["decode", "a.sdz", "-o", "a.png", "--stage", "best"],
        ["info"],
        ["info", "--providers", "a.sdz"],
        ["verify"],
    ],
)
def test_a_command_line_that_makes_no_sense_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("usage: sdz")


def test_options_out_of_range_fail_as_inputs_do(capsys: pytest.CaptureFixture[str]) -> None:
    photo("a.png")
    assert main(["encode", "a.png", "-o", "a.sdz", "-q", "101"]) == 1
    assert capsys.readouterr().err == "sdz: a.png: quality is 101.0, it must lie in 0..100\n"
    assert main(["encode", "a.png", "-o", "a.sdz", "--provider", "abacus"]) == 1
    assert capsys.readouterr().err == "sdz: execution provider 'abacus' is not part of the installed onnxruntime\n"
    assert main(["encode", "a.png", "-o", "a.sdz", "--pack", "nowhere"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_info_says_what_each_byte_went_into(capsys: pytest.CaptureFixture[str]) -> None:
    data = an_sdz("a.sdz").read_bytes()
    latents = len(data) - 10 - 9 - 6
    assert main(["info", "a.sdz"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"a.sdz: 40x30 RGB, {len(data)} bytes, {8 * len(data) / 1200:.3f} bpp",
        "  pack        010203 (stand-in)",
        "  engine      onnxruntime",
        "  step index  48 (64 grey levels), tilt 0, realism 1",
        "  alt         cat",
        "  chunk 'T'   alternative text: 3 bytes at 10",
        f"  chunk 'L'   latents: {latents} bytes at 19",
        f"  spent       header 10 ({1000 / len(data):.1f} %), chunk heads 12 ({1200 / len(data):.1f} %), "
        f"alternative text 3 ({300 / len(data):.1f} %), latents {latents} ({100 * latents / len(data):.1f} %)",
        "  latents     bytes by plane, and of these by channels",
        "    plane  bytes  0-3",
        "        3      7    7",
        "        2      3    3",
        "        1      5    5",
        "        0      5    5",
    ]
    Path("cut.sdz").write_bytes(data[:30])
    assert main(["info", "cut.sdz", "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)["files"][0]
    assert entry["spent"] == {"header": 10, "chunk heads": 12, "alternative text": 3, "latents": 5}
    planes = [{"plane": plane, "bytes": size, "bands": [size]} for plane, size in ((3, 5), (2, 0), (1, 0), (0, 0))]
    assert entry["latents"] == {"channels": ["0-3"], "planes": planes}
    assert entry["chunks"][1] == {"tag": "L", "name": "latents", "offset": 19, "bytes": 5, "declared": latents, "complete": False}


def test_info_of_unknown_packs_and_other_files(capsys: pytest.CaptureFixture[str]) -> None:
    an_sdz("in/a.sdz", b"\xaa\xbb\xcc")
    Path("in/b.sdz").write_bytes(b"GIF89a")
    assert main(["info", "in"]) == 1
    captured = capsys.readouterr()
    assert "  pack        aabbcc (not installed)\n" in captured.out
    assert "  latents " not in captured.out
    assert captured.err == "sdz: in/b.sdz: not an .sdz file: it begins with b'GIF', not with b'SDZ'\n"


def test_info_lists_providers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--providers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "cpu          usable"
    assert main(["info", "--providers", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["providers"]["cpu"] is True


def test_verify(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[bytes] = []
    monkeypatch.setattr(StandInPack, "verify", lambda self: checked.append(self.id), raising=False)
    data = an_sdz("good.sdz").read_bytes()
    an_sdz("again.sdz")
    an_sdz("foreign.sdz", b"\xaa\xbb\xcc")
    Path("cut.sdz").write_bytes(data[:-1])
    Path("headless.sdz").write_bytes(data[:19])
    Path("flipped.sdz").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert main(["verify", "good.sdz", "again.sdz"]) == 0
    assert capsys.readouterr().out == "good.sdz: ok\nagain.sdz: ok\n"
    assert checked == [PACK.id]
    assert main(["verify", "foreign.sdz", "cut.sdz", "headless.sdz", "flipped.sdz"]) == 1
    errors = capsys.readouterr().err.splitlines()
    latents = len(data) - 25
    assert "foreign.sdz: model pack aabbcc is not installed" in errors[0]
    assert f"cut.sdz: corrupt file: the file ends after {latents - 1} of {latents} bytes (field 'latents' at byte 19)" in errors[1]
    assert "headless.sdz: corrupt file: the file ends before its latents (field 'latents' at byte 10)" in errors[2]
    assert "flipped.sdz: corrupt file: chunk 'L' has CRC" in errors[3] and errors[3].endswith("(field 'chunk crc' at byte 21)")


def test_verify_reads_palettes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StandInPack, "verify", lambda self: None, raising=False)
    monkeypatch.setattr("sdz.runtime.pack.find_pack", lambda pack_id: StandInPack(quantizer="palette"))
    header = Header(40, 30, 40, PACK.id)
    payload = encode_palette(np.zeros((1, 4), np.int8), np.zeros((2, 3), np.uint8))
    Path("good.sdz").write_bytes(serialize(header, [Chunk(b"P", payload)]))
    Path("broken.sdz").write_bytes(serialize(header, [Chunk(b"P", payload[:-1])]))
    an_sdz("planes.sdz")
    assert main(["verify", "good.sdz"]) == 0
    assert capsys.readouterr().out == "good.sdz: ok\n"
    assert main(["verify", "broken.sdz", "planes.sdz"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert "the zlib stream does not hold exactly a palette of 4 channels and 2 rows of 3 indices (field 'palette' at byte 16)" in errors[0]
    assert "the file ends before its palette latents (field 'palette latents' at byte 10)" in errors[1]


def test_an_approximate_pack_is_called_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StandInPack, "verify", lambda self: None, raising=False)
    approximate = StandInPack(exact=False)
    monkeypatch.setattr("sdz.runtime.pack.find_pack", lambda pack_id: approximate)
    an_sdz("a.sdz")
    assert main(["verify", "a.sdz"]) == 0
    assert capsys.readouterr().out == "a.sdz: ok (pixels approximate: pack stand-in is not bit-exact)\n"
    assert main(["info", "a.sdz"]) == 0
    assert "  pack        010203 (stand-in, approximate)\n" in capsys.readouterr().out
    assert main(["info", "a.sdz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"][0]["pack"] == {"id": "010203", "name": "stand-in", "exact": False}


def test_a_full_disk_is_reported_and_leaves_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    photo("a.png")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "replace", full)
    assert main(["encode", "a.png", "-o", "a.sdz"]) == 1
    assert capsys.readouterr().err.startswith("sdz: a.png: No space left on device")
    assert [path.name for path in Path().iterdir()] == ["a.png"]


def test_pipes(monkeypatch: pytest.MonkeyPatch) -> None:
    def piped(data: bytes, *arguments: str) -> bytes:
        out = io.BytesIO()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out))
        assert main(arguments) == 0
        sys.stdout.flush()
        return out.getvalue()

    file = piped(photo("a.png", 150, 100).read_bytes(), "encode", "-", "-o", "-", "--target-size", "50")
    assert len(file) == 50 and parse(file).header.width == 150
    picture = piped(file, "decode", "-", "-o", "-", "--format", "webp")
    assert picture[8:12] == b"WEBP"
    assert piped(file, "info", "-").startswith(b"-: 150x100 RGB, 50 bytes")


def run(*arguments: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [sys.executable, "-m", "runtime", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False, **options
    )


def test_a_process_prints_one_line_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "a.sdz").write_bytes(b"SDZ\x07")
    done = run("info", "a.sdz", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "sdz: a.sdz: version 7 of the format is not supported (this runtime reads version 1): update the runtime\n"
    assert run("--help", cwd=tmp_path).returncode == 0
    assert run("bogus", cwd=tmp_path).returncode == 2


def test_info_imports_no_network_runtime_and_for_files_of_other_packs_no_compiler(tmp_path: Path) -> None:
    an_sdz(str(tmp_path / "a.sdz"))
    code = (
        "import sys; from sdz.runtime.cli import main; code = main(['info', 'a.sdz']);"
        "slow = {'wasmtime', 'onnxruntime', 'PIL', 'torch'} & set(sys.modules); print(sorted(slow), file=sys.stderr); sys.exit(code)"
    )
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    path = an_sdz(str(tmp_path / "a.sdz"))
    command = [sys.executable, "-m", "runtime", "info", *[str(path)] * 2000]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PYTHONPATH": str(ROOT)}) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def found(folder: str) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_jobs_encode_a_folder_in_processes_and_name_what_fails(tmp_path: Path) -> None:
    for name in ("in/a.png", "in/deep/b.png", "in/c.png"):
        photo(name)
    Path("in/broken.png").write_bytes(b"\x89PNG")
    done = run("encode", "in", "missing.png", "-o", "out", "--jobs", "2", cwd=tmp_path)
    assert done.returncode == 1
    # in the order in which they end
    lines = sorted(line.partition(":")[0] for line in done.stdout.splitlines())
    assert lines == ["in/a.png -> out/a.sdz", "in/c.png -> out/c.sdz", "in/deep/b.png -> out/deep/b.sdz"]
    assert sorted(done.stderr.splitlines()) == [
        "sdz: in/broken.png: not an image that Pillow can read",
        "sdz: missing.png: No such file or directory (missing.png)",
    ]
    quiet = run("encode", "in", "-o", "alone", "--quiet", cwd=tmp_path)
    assert (quiet.returncode, quiet.stdout) == (1, "")
    assert found("out") == found("alone") and len(found("out")) == 3
    again = run("encode", "in", "-o", "out", "--jobs", "3", "--json", cwd=tmp_path)
    report = json.loads(again.stdout)
    assert (again.returncode, report["failed"]) == (1, 4)
    assert [entry["input"] for entry in report["files"]] == ["in/a.png", "in/broken.png", "in/c.png", "in/deep/b.png"]


def test_jobs_must_be_a_positive_number(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["encode", "a.png", "-o", "a.sdz", "--jobs", "0"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == "sdz: error: --jobs must be at least 1"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_batch_leaves_whole_files_only(number: signal.Signals, tmp_path: Path) -> None:
    photo("in/000.png", 400, 300)
    # so many that the last is far when the first is done
    for index in range(1, 400):
        os.link("in/000.png", f"in/{index:03}.png")
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "runtime", "encode", "in", "-o", "out", "--jobs", "2"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        # as a terminal does it: the whole group
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        # ends when the last process that holds the pipes has ended: the workers hold them too
        _, errors = process.communicate()
    assert process.returncode == (130 if number == signal.SIGINT else 143)
    assert errors == ("sdz: interrupted\n" if number == signal.SIGINT else "")
    written = found("out")
    assert first.split()[2].rstrip(":") in {f"out/{name}" for name in written}
    assert len(written) < 400 and {Path(name).suffix for name in written} == {".sdz"}
    assert all(parse(data).chunks[-1].complete for data in written.values())


def test_a_palette_is_encoded_by_a_process_too(tmp_path: Path) -> None:
    built_in = sdz.runtime.pack.BUILT_IN / sdz.runtime.pack.DEFAULT
    shutil.copytree(built_in, tmp_path / "pack")
    manifest = json.loads((built_in / "manifest.json").read_bytes())
    assert "octaves" in manifest
    (tmp_path / "pack/manifest.json").write_text(json.dumps(manifest | {"quantizer": "palette"}))
    photo("a.png", 80, 64)
    done = run("encode", "a.png", "-o", "a.sdz", "--pack", "pack", "-q", "25", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    container = parse(Path("a.sdz").read_bytes())
    chunk = container.find(b"P")
    # 20 positions, and 4 entries for them
    assert chunk is not None and zlib.decompress(chunk.payload)[0] == 3
    assert container.header.tilt == 0


def test_usage_says_sdz_under_every_name(tmp_path: Path) -> None:
    for command in ("encode", "decode", "info", "verify", "view", "thumbnail", "install-desktop"):
        assert run(command, "--help", cwd=tmp_path).stdout.startswith(f"usage: sdz {command} ")


def test_the_package_encodes_and_decodes_and_loads_nothing_before(tmp_path: Path) -> None:
    photo("a.png")
    code = (
        "import sys, sdz; assert not {'numpy', 'wasmtime', 'PIL', 'onnxruntime'} & set(sys.modules);"
        "data = sdz.encode('a.png', target_size=99); print(len(data), sdz.decode(data, stage='linear').pixels.shape);"
        "print(issubclass(sdz.SdzError, ValueError), hasattr(sdz, 'nothing'))"
    )
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("99 (30, 40, 3)\nTrue False\n", "")


class Unloadable:
    """Finds the viewer's modules, whose Qt then lacks a library of the system."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == "sdz.runtime.viewer.app":
            raise ImportError("libEGL.so.1: cannot open shared object file: No such file or directory", name="PySide6.QtGui")


def test_a_library_that_qt_lacks_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sdz.runtime.viewer.app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Unloadable, *sys.meta_path])
    assert main(["view"]) == 1
    missing = "libEGL.so.1: cannot open shared object file: No such file or directory"
    assert capsys.readouterr().err == f"sdz: the viewer cannot start, a system library of Qt is missing: {missing}\n"
