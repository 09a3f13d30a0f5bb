"""The static server: media types, precompressed siblings, conditional and range requests, cache lifetimes, what is refused."""

from __future__ import annotations

import gzip
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import brotli
import pytest
from starlette.testclient import TestClient

from server.__main__ import main
from server.app import SiteNotFoundError, accepted_coding, create_app
from server.headers import IMMUTABLE, REVALIDATE, cache_control, media_type

SCRIPT = b"export const one = 1;\n" * 40
PHOTO = bytes(range(256)) * 4
SCRIPT_NAME = "assets/gallery.0123456789abcdef.js"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "index.html").write_bytes(b"<!doctype html><title>t</title>")
    (tmp_path / "photos" / "deadbeef.html").write_bytes(b"<!doctype html><title>p</title>")
    (tmp_path / SCRIPT_NAME).write_bytes(SCRIPT)
    (tmp_path / f"{SCRIPT_NAME}.gz").write_bytes(gzip.compress(SCRIPT))
    (tmp_path / f"{SCRIPT_NAME}.br").write_bytes(brotli.compress(SCRIPT))
    (tmp_path / "assets" / "a.0123456789abcdef.sdz").write_bytes(PHOTO)
    (tmp_path / "assets" / "ort.0123456789abcdef.wasm").write_bytes(b"\0asm")
    (tmp_path / ".state").write_bytes(b"private")
    return tmp_path


@pytest.fixture
def client(site: Path) -> TestClient:
    return TestClient(create_app(site))


@pytest.mark.parametrize(
    ("path", "media", "cache"),
    [
        ("/", "text/html; charset=utf-8", REVALIDATE),
        ("/photos/deadbeef.html", "text/html; charset=utf-8", REVALIDATE),
        ("/assets/a.0123456789abcdef.sdz", "image/x-sdz", IMMUTABLE),
        ("/assets/ort.0123456789abcdef.wasm", "application/wasm", IMMUTABLE),
        (f"/{SCRIPT_NAME}", "text/javascript; charset=utf-8", IMMUTABLE),
    ],
)
def test_types_and_lifetimes(client: TestClient, path: str, media: str, cache: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == media
    assert response.headers["cache-control"] == cache
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "'wasm-unsafe-eval'" in response.headers["content-security-policy"]
    assert "cross-origin-opener-policy" not in response.headers


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("index.html", REVALIDATE),
        ("photos/deadbeef.html", REVALIDATE),
        ("assets/readme.txt", REVALIDATE),
        ("assets/deadbeefcafe.css", IMMUTABLE),
        ("assets/sdz-deadbeef/packs/0a1b2c3d/decoder.onnx", IMMUTABLE),
        ("under/assets/x.deadbeef.js", IMMUTABLE),
    ],
)
def test_cache_control(path: str, expected: str) -> None:
    assert cache_control(path) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.SDZ", "image/x-sdz"),
        ("ort.mjs", "text/javascript; charset=utf-8"),
        ("x.AVIF", "image/avif"),
        ("README", "application/octet-stream"),
        ("a.exe", "application/octet-stream"),
    ],
)
def test_media_type(name: str, expected: str) -> None:
    assert media_type(name) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("*", "br"),
        ("*;q=0", None),
        ("identity", None),
        ("br;q=nonsense", None),
        ("", None),
    ],
)
def test_accepted_coding(header: str, expected: str | None) -> None:
    assert accepted_coding(header, {"br", "gzip"}) == expected


def test_precompressed(client: TestClient) -> None:
    plain = client.get(f"/{SCRIPT_NAME}", headers={"accept-encoding": "identity"})
    packed = client.get(f"/{SCRIPT_NAME}", headers={"accept-encoding": "gzip"})
    with client.stream("GET", f"/{SCRIPT_NAME}", headers={"accept-encoding": "gzip, br"}) as best:
        assert (best.headers["content-encoding"], int(best.headers["content-length"])) == ("br", len(brotli.compress(SCRIPT)))
        assert best.headers["content-type"] == "text/javascript; charset=utf-8"
    assert plain.content == packed.content == SCRIPT
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert len({plain.headers["etag"], packed.headers["etag"], best.headers["etag"]}) == 3


def test_revalidation(client: TestClient) -> None:
    first = client.get("/")
    again = client.get("/", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == REVALIDATE
    assert client.get("/", headers={"if-none-match": '"other"'}).status_code == 200


def test_ranges_count_the_files_own_bytes(client: TestClient) -> None:
    part = client.get("/assets/a.0123456789abcdef.sdz", headers={"range": "bytes=0-99"})
    assert (part.status_code, part.content) == (206, PHOTO[:100])
    assert part.headers["content-range"] == "bytes 0-99/1024"
    script = client.get(f"/{SCRIPT_NAME}", headers={"range": "bytes=7-11", "accept-encoding": "br"})
    assert (script.status_code, script.content) == (206, SCRIPT[7:12])
    assert "content-encoding" not in script.headers
    assert client.get("/assets/a.0123456789abcdef.sdz", headers={"range": "bytes=5000-"}).status_code == 416


@pytest.mark.parametrize("path", ["/.state", "/missing", "/%2e%2e/secret", "/assets/%00", "/assets/..%2f..%2fetc/passwd", "/photos"])
def test_not_served(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.text == "404 Not Found\n"


def test_other_methods(client: TestClient) -> None:
    assert client.head("/").status_code == 200
    assert client.head("/").content == b""
    refused = client.post("/")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


def test_isolated(site: Path) -> None:
    headers = TestClient(create_app(site, isolated=True)).get("/").headers
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-embedder-policy"] == "require-corp"


def test_missing_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SiteNotFoundError, match="no such directory"):
        create_app(tmp_path / "none")
    assert main([str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_port_taken(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main([str(site), "--port", str(taken.getsockname()[1])]) == 1
    assert "choose another with --port" in capsys.readouterr().err


def test_command_serves_loopback_only(site: Path) -> None:
    command = [sys.executable, "-m", "server", str(site), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = re.match(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
            assert address is not None
            with urllib.request.urlopen(address.group(), timeout=30) as page:
                assert page.read() == (site / "index.html").read_bytes()
        finally:
            process.terminate()
