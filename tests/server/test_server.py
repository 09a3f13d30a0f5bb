"""The server's files: media types, siblings, conditional and range requests, prefixes, lifetimes, headers, log, what is refused."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import logging
import os
import random
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import brotli
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from sdz.runtime.format.container import parse
from sdz.server.__main__ import isolation, main, parser
from sdz.server.app import SiteNotFoundError, create_app
from sdz.server.headers import IMMUTABLE, ISOLATED, REVALIDATE, Isolation, cache_control, media_type, security_headers
from sdz.server.negotiate import DECODED, SDZ, acceptable
from sdz.server.prefix import picture_length
from sdz.server.static import SMALL, accepted_coding
from sdz.server.upload import Uploads

SCRIPT = b"export const one = 1;\n" * 40
PHOTO = (Path(__file__).parents[1] / "vectors" / "valid" / "everything.sdz").read_bytes()
PHOTO_NAME = "assets/a.0123456789abcdef.sdz"
LARGE = random.Random(7).randbytes(5 * SMALL)
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
    (tmp_path / PHOTO_NAME).write_bytes(PHOTO)
    (tmp_path / "large.bin").write_bytes(LARGE)
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
    assert accepted_coding(header, {"br": "a.br", "gzip": "a.gz"}) == expected


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


def test_small_files_are_read_again_when_they_change(client: TestClient, site: Path) -> None:
    before = client.get("/index.html")
    assert client.get("/index.html").content == before.content
    (site / "index.html").write_bytes(b"<!doctype html><title>u</title>")
    os.utime(site / "index.html", (1, 1))
    after = client.get("/index.html")
    assert (after.content, after.headers["last-modified"]) == (b"<!doctype html><title>u</title>", "Thu, 01 Jan 1970 00:00:01 GMT")
    (site / "index.html").unlink()
    assert client.get("/index.html").status_code == 404


def test_ranges_count_the_files_own_bytes(client: TestClient) -> None:
    part = client.get(f"/{PHOTO_NAME}", headers={"range": "bytes=0-99"})
    assert (part.status_code, part.content) == (206, PHOTO[:100])
    assert part.headers["content-range"] == f"bytes 0-99/{len(PHOTO)}"
    assert part.headers["vary"] == "Accept, Save-Data"
    script = client.get(f"/{SCRIPT_NAME}", headers={"range": "bytes=7-11", "accept-encoding": "br"})
    assert (script.status_code, script.content) == (206, SCRIPT[7:12])
    assert "content-encoding" not in script.headers
    whole = client.get(f"/{PHOTO_NAME}", headers={"range": "bytes=0-9", "if-range": '"other"'})
    assert (whole.status_code, whole.content) == (200, PHOTO)


def test_a_thousand_ranges(client: TestClient) -> None:
    """Of a small file and a large one, in all three forms, byte for byte."""
    numbers = random.Random(3)
    for index in range(1000):
        path, data = (f"/{PHOTO_NAME}", PHOTO) if index % 2 else ("/large.bin", LARGE)
        start = numbers.randrange(len(data))
        end = numbers.randrange(start, len(data) + 100)
        asked, expected = [
            (f"bytes={start}-{end}", data[start : end + 1]),
            (f"bytes={start}-", data[start:]),
            (f"bytes=-{end + 1}", data[-(end + 1) :]),
        ][index % 3]
        part = client.get(path, headers={"range": asked})
        first = len(data) - len(expected) if index % 3 == 2 else start
        assert (part.status_code, part.content) == (206, expected)
        assert part.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(data)}"
        assert part.headers["content-length"] == str(len(expected))


def test_several_ranges_at_once(client: TestClient) -> None:
    parts = client.get("/large.bin", headers={"range": "bytes=0-4,100-109"})
    assert parts.status_code == 206
    boundary = parts.headers["content-type"].removeprefix("multipart/byteranges; boundary=")
    bodies = [piece.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for piece in parts.content.split(f"--{boundary}".encode())[1:-1]]
    assert bodies == [LARGE[:5], LARGE[100:110]]


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ("bytes=5000000-", 416, "RangeNotSatisfiableError"),
        ("bytes=-0", 416, "RangeNotSatisfiableError"),
        ("bytes=9-5", 400, "MalformedRangeError"),
        ("bytes=", 400, "MalformedRangeError"),
    ],
)
def test_bad_ranges(client: TestClient, asked: str, status: int, code: str) -> None:
    refused = client.get(f"/{PHOTO_NAME}", headers={"range": asked})
    assert (refused.status_code, refused.json()["title"]) == (status, code)
    assert refused.headers.get("content-range") == (f"bytes */{len(PHOTO)}" if status == 416 else None)
    assert refused.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("asked", ["words=1-2", "items=0-", "seconds", "none"])
def test_a_unit_of_ranges_that_it_does_not_know_is_ignored(client: TestClient, asked: str) -> None:
    for path, data in ((PHOTO_NAME, PHOTO), ("large.bin", LARGE)):
        whole = client.get(f"/{path}", headers={"range": asked})
        assert (whole.status_code, whole.content, whole.headers.get("content-range")) == (200, data, None)


def test_prefixes(client: TestClient) -> None:
    whole = client.get(f"/{PHOTO_NAME}")
    family = whole.headers["etag"].strip('"')
    for count in (13, 100, len(PHOTO) - 1):
        part = client.get(f"/{PHOTO_NAME}?bytes={count}")
        assert (part.status_code, part.content, part.headers["content-length"]) == (200, PHOTO[:count], str(count))
        assert part.headers["etag"] == f'"{family}-{count}"'
        assert (part.headers["content-type"], part.headers["accept-ranges"]) == ("image/x-sdz", "none")
        assert (part.headers["cache-control"], part.headers["vary"]) == (IMMUTABLE, "Accept, Save-Data")
        again = client.get(f"/{PHOTO_NAME}?bytes={count}", headers={"if-none-match": part.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    for count in (len(PHOTO), 10**12):
        beyond = client.get(f"/{PHOTO_NAME}?bytes={count}")
        assert (beyond.content, beyond.headers["etag"]) == (PHOTO, whole.headers["etag"])
    # a parameter of that name means nothing to other files
    assert client.get("/large.bin?bytes=3").content == LARGE


def test_what_stands_before_a_lossless_tail(client: TestClient, site: Path) -> None:
    data = (Path(__file__).parents[1] / "vectors" / "lossless" / "valid" / "everything.sdz").read_bytes()
    (site / "assets" / "exact.sdz").write_bytes(data)
    tail = next(chunk for chunk in parse(data).chunks if chunk.tag == b"X")
    whole, part = client.get("/assets/exact.sdz"), client.get("/assets/exact.sdz?bytes=latents")
    assert (whole.content, part.content, part.status_code) == (data, data[: tail.offset], 200)
    assert part.headers["etag"] == whole.headers["etag"][:-1] + '-latents"' and part.headers["content-length"] == str(tail.offset)
    assert picture_length(str(site / "assets" / "exact.sdz"), tail.offset - 5) == tail.offset - 5
    # one without a tail, and what is no .sdz
    assert client.get(f"/{PHOTO_NAME}?bytes=latents").content == PHOTO
    assert picture_length(str(site / "large.bin"), len(LARGE)) == len(LARGE)


@pytest.mark.parametrize(
    "query", ["bytes=0", "bytes=9", "bytes=-1", "bytes=", "bytes=1e3", "bytes=20&bytes=30", "bytes=%D9%A1%D9%A2%D9%A3"]
)
def test_bad_prefixes(client: TestClient, query: str) -> None:
    refused = client.get(f"/{PHOTO_NAME}?{query}")
    assert refused.status_code == 422
    assert refused.json()["title"] in ("PrefixError", "CorruptFileError", "NotAnSdzError")
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", (SDZ,)),
        ("*/*", (SDZ,)),
        ("application/octet-stream", (SDZ,)),
        ("image/x-sdz", (SDZ,)),
        ("image/x-sdz, */*;q=0.5", (SDZ,)),
        ("image/webp;q=0.5,image/x-sdz;q=0.9", (SDZ,)),
        ("image/webp,image/x-sdz;q=0.1,*/*", DECODED),
        # <img> of Chromium, Firefox and an older Safari; Chromium's address bar
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", DECODED),
        ("image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", DECODED),
        ("image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5", DECODED),
        ("text/html,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8", DECODED),
        ("image/*", DECODED),
        ("image/jpeg", ("image/jpeg",)),
        ("IMAGE/AVIF;Q=0.9, image/jpeg;q=0.1", ("image/avif", "image/jpeg")),
        ("image/x-sdz;q=0, image/webp;q=0, */*", ("image/avif", "image/jpeg")),
        ("image/gif", ()),
        ("text/html", ()),
        ("image/webp;q=none", ()),
        ("*/*;q=0", ()),
    ],
)
def test_who_gets_what(accept: str, expected: tuple[str, ...]) -> None:
    assert acceptable(accept) == expected


def test_nothing_acceptable(client: TestClient) -> None:
    refused = client.get(f"/{PHOTO_NAME}", headers={"accept": "text/html"})
    assert (refused.status_code, refused.json()["title"], refused.headers["vary"]) == (406, "NotAcceptableError", "Accept, Save-Data")


def test_a_folder_without_an_index_is_a_wall_of_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "2024 & more"
    folder.mkdir()
    (folder / 'a "b" <i>.sdz').write_bytes(PHOTO)
    (folder / ".hidden.sdz").write_bytes(PHOTO)
    (folder / "text.sdz").write_bytes(b"no picture")
    client = TestClient(create_app(tmp_path))
    page = client.get("/2024%20%26%20more", headers={"accept": "text/html"})
    assert page.url.path == "/2024 & more/"
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    (source,) = re.findall(r'<img src="([^"]*)" alt="([^"]*)" width="(\d+)" height="(\d+)"', page.text)
    assert client.get(page.url.join(source[0])).content == PHOTO
    container = parse(PHOTO)
    alt = container.find(b"T")
    assert alt is not None
    assert source[1:] == (html.escape(alt.payload.decode()), str(container.header.width), str(container.header.height))
    assert "a &quot;b&quot; &lt;i&gt;" in page.text and "<i>" not in page.text
    (style,) = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}';" in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path", ["/.state", "/missing", "/%2e%2e/secret", "/assets/%00", "/assets/..%2f..%2fetc/passwd", "/photos", "/encode"]
)
def test_not_served(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.json() == {"status": 404, "title": "NotFoundError", "detail": "Not Found"}


def test_links_do_not_lead_out(client: TestClient, site: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("outside") / "secret.sdz"
    secret.write_bytes(PHOTO)
    (site / "link.sdz").symlink_to(secret)
    assert client.get("/link.sdz").status_code == 404


def test_other_methods(client: TestClient) -> None:
    assert client.head("/").status_code == 200
    assert client.head("/").content == b""
    whole = client.head(f"/{PHOTO_NAME}")
    assert (whole.content, whole.headers["content-length"]) == (b"", str(len(PHOTO)))
    refused = client.post("/")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    assert client.post("/encode").status_code == 405


def test_cross_origin_headers(site: Path) -> None:
    app = create_app(site, isolation=ISOLATED)
    for path in ("/", "/missing"):
        headers = TestClient(app).get(path).headers
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-embedder-policy"] == "require-corp"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    assert security_headers(Isolation(corp="cross-origin")) == {
        **security_headers(),
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    with pytest.raises(ValueError, match="coep is 'yes', it must be one of require-corp, credentialless, unsafe-none"):
        Isolation(coep="yes")
    assert isolation(parser().parse_args(["s", "--isolated", "--coep", "credentialless"])) == Isolation(
        "same-origin", "credentialless", "same-origin"
    )


def test_other_sites_may_read_the_files_where_that_is_asked_for(site: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    closed, store = TestClient(create_app(site)), tmp_path_factory.mktemp("store")
    assert "access-control-allow-origin" not in closed.get("/", headers={"origin": "https://a.example"}).headers
    with TestClient(create_app(site, cors=True, uploads=Uploads(store, "a token of the tests"))) as client:
        # without an Origin too: a cache gives one answer to all
        for path, headers in ((f"/{PHOTO_NAME}", {}), ("/missing", {}), (f"/{PHOTO_NAME}?bytes=50", {"origin": "https://a.example"})):
            assert client.get(path, headers=headers).headers["access-control-allow-origin"] == "*"
        ranged = client.get("/large.bin", headers={"range": "bytes=0-3"})
        assert ranged.headers["access-control-expose-headers"] == "Accept-Ranges, Content-Range, ETag"
        asked = {"origin": "https://a.example", "access-control-request-method": "GET", "access-control-request-headers": "range"}
        allowed = client.options(f"/{PHOTO_NAME}", headers=asked)
        assert (allowed.status_code, allowed.headers["access-control-allow-methods"]) == (204, "GET, HEAD")
        assert "Range" in allowed.headers["access-control-allow-headers"].split(", ")
        for path in ("/encode", "/metrics", "/healthz"):
            assert "access-control-allow-origin" not in client.get(path).headers
            assert "access-control-allow-origin" not in client.options(path, headers=asked).headers
    assert parser().parse_args(["s", "--cors"]).cors and not parser().parse_args(["s"]).cors


def test_mounted_in_another_application(site: Path) -> None:
    client = TestClient(Starlette(routes=[Mount("/photos", app=create_app(site))]))
    assert client.get(f"/photos/{PHOTO_NAME}").content == PHOTO
    assert client.get("/photos/healthz").json() == {"status": "ok"}
    assert client.get("/photos/missing").json()["title"] == "NotFoundError"


def test_health(client: TestClient, site: Path) -> None:
    assert (client.get("/healthz").status_code, client.get("/healthz").json()) == (200, {"status": "ok"})
    site.rename(site.with_name("gone"))
    assert (client.get("/healthz").status_code, client.get("/healthz").json()["title"]) == (503, "UnhealthyError")


def test_metrics(client: TestClient) -> None:
    client.get(f"/{PHOTO_NAME}")
    client.get("/missing")
    client.request("BREW", "/")
    text = client.get("/metrics").text
    assert 'sdz_requests_total{method="GET",status="200"} 1.0' in text
    assert 'sdz_requests_total{method="GET",status="404"} 1.0' in text
    assert 'sdz_requests_total{method="other",status="405"} 1.0' in text
    assert "sdz_request_seconds_count 3.0" in text


def test_every_request_is_logged_once(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sdz.access"):
        client.get(f"/{PHOTO_NAME}?bytes=20")
        client.get("/%0a%22missing")
        client.head("/")
    lines = [json.loads(record.message) for record in caplog.records if record.name == "sdz.access"]
    told = [(line["method"], line["path"], line["status"], line["bytes"], line.get("error")) for line in lines]
    assert told == [
        ("GET", f"/{PHOTO_NAME}", 200, 20, None),
        ("GET", "/%0a%22missing", 404, 65, "NotFoundError"),
        ("HEAD", "/", 200, 0, None),
    ]
    assert {"time", "client", "ms"} <= lines[0].keys()


def test_what_nobody_expected(client: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the disk melted")

    monkeypatch.setattr("sdz.server.static.media_type", fail)
    with caplog.at_level(logging.INFO, "sdz.access"):
        failed = client.get("/large.bin")
    assert (failed.status_code, failed.json()["title"]) == (500, "InternalError")
    assert "melted" not in failed.text
    assert failed.headers["x-content-type-options"] == "nosniff"
    (record,) = [record for record in caplog.records if record.name == "sdz.access"]
    line = json.loads(record.message)
    assert (line["status"], line["error"], line["detail"]) == (500, "InternalError", "RuntimeError: the disk melted")
    assert "in _answer" in line["trace"]


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
