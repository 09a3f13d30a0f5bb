"""POST /encode and the catalogue behind it: what is kept, what is refused and how, and that nothing is lost or left behind."""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
import json
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import httpx2 as httpx
import pytest
from browser import picture
from PIL import Image, ImageDraw
from starlette.testclient import TestClient

from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.errors import NotAnSdzError
from sdz.runtime.format.container import ALT_TEXT, LOSSLESS, Chunk, Header, parse, serialize
from sdz.runtime.options import TUNES
from sdz.server.__main__ import main
from sdz.server.app import create_app
from sdz.server.headers import IMMUTABLE
from sdz.server.jobs import pictures
from sdz.server.jobs.messages import Message
from sdz.server.jobs.processes import WorkerDiedError, Workers, WorkerTimeoutError
from sdz.server.store.catalogue import Catalogue, CatalogueError
from sdz.server.upload import Uploads

TOKEN = "a token of the tests"
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}


def image_bytes(image: Image.Image, name: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, name, **options)
    return out.getvalue()


def sdz(index: int, alt: str | None = None) -> bytes:
    """A small valid file; no two of different `index` are equal."""
    text = [] if alt is None else [Chunk(ALT_TEXT, alt.encode())]
    return serialize(Header(16 + index, 16, 40, b"\1\2\3"), text)


def leftovers(store: Path) -> list[str]:
    """What lies in the folder besides pictures and the catalogue's own files."""
    own = {"catalogue.sqlite", "catalogue.sqlite-shm", "catalogue.sqlite-wal", "lock"}
    return sorted(str(p.relative_to(store)) for p in store.rglob("*") if p.is_file() and p.name not in own and p.suffix != ".sdz")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Iterator[TestClient]:
    uploads = Uploads(store, TOKEN, max_bytes=100_000, max_pixels=60_000)
    with TestClient(create_app(tmp_path_factory.mktemp("site"), uploads=uploads)) as started:
        started.headers.update(AUTHORIZATION)
        yield started


def test_uploads_are_tuned_as_suits_them_unless_they_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Image.new("RGB", (160, 96), "white")
    for line in range(6):
        ImageDraw.Draw(page).text((4, 2 + 16 * line), "The quick brown fox jumps over", fill="black")
    page.save(tmp_path / "page.png")
    job = {"path": str(tmp_path / "page.png"), "max_pixels": 1_000_000, "quality": None, "alt": None, "lossless": False}
    natural, faithful = (encode(page, tune=tune, effort=0) for tune in TUNES)
    assert pictures.encode_upload(job, b"")[1] == faithful != natural
    monkeypatch.setattr(pictures, "AUTO_PIXELS", 160 * 96 - 1)
    assert pictures.encode_upload(job, b"")[1] == natural


def test_upload(client: TestClient, store: Path) -> None:
    photo = picture(120, 80)
    exif = Image.Exif()
    exif[0x010E] = "the camera's words"
    body = image_bytes(photo, "PNG", exif=exif)
    made = client.post("/encode?quality=55&alt=Two%20waves", content=body, headers={"content-type": "image/png"})
    assert made.status_code == 201
    row = made.json()
    assert made.headers["location"] == row["url"] == f"/encoded/{row['digest'][:2]}/{row['digest']}.sdz"
    file = client.get(row["url"])
    # somebody waits for it: as fast as can be
    assert file.content == encode(photo, quality=55, effort=0, alt="Two waves")
    assert (file.headers["cache-control"], file.headers["content-type"]) == (IMMUTABLE, "image/x-sdz")
    assert [chunk.tag for chunk in parse(file.content).chunks] == [b"T", b"L"]
    header = parse(file.content).header
    assert (row["bytes"], row["width"], row["height"], row["alt"]) == (len(file.content), 120, 80, "Two waves")
    assert row["pack"] == header.pack_id.hex()
    assert (store / "pictures" / row["digest"][:2] / f"{row['digest']}.sdz").read_bytes() == file.content
    # the same again is the same picture
    again = client.post("/encode?quality=55&alt=Two%20waves", content=body)
    assert (again.status_code, again.json()) == (200, row)
    # and those who cannot decode it see it too
    seen = client.get(row["url"], headers={"accept": "image/webp,*/*"})
    with Image.open(io.BytesIO(seen.content)) as shown:
        assert (shown.format, shown.size) == ("WEBP", (120, 80))
    assert leftovers(store) == []


def test_a_lossless_upload_is_the_picture_and_the_photo_itself(client: TestClient) -> None:
    photo = picture(120, 80, 5)
    made = client.post("/encode?lossless=1&quality=40", content=image_bytes(photo, "PNG"))
    assert made.status_code == 201
    data = client.get(made.json()["url"]).content
    assert len(data) == made.json()["bytes"]
    decoded = decode(data)
    assert (decoded.exact_rows, decoded.pixels.tobytes()) == (80, photo.tobytes())
    # one stored file: what a page takes is the part before the tail
    tail = parse(data).find(LOSSLESS)
    assert tail is not None
    assert client.get(made.json()["url"] + "?bytes=latents").content == data[: tail.offset]
    plain = client.post("/encode?lossless=0&quality=40", content=image_bytes(photo, "PNG"))
    assert (plain.status_code, plain.json()["bytes"] < len(data)) == (201, True)


def test_a_lossless_upload_has_limits_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdz.server.upload.Workers", StandIn)
    StandIn.may, StandIn.error = asyncio.Event(), None
    StandIn.may.set()
    StandIn.jobs.clear()
    with TestClient(create_app(tmp_path, uploads=Uploads(tmp_path / "store", TOKEN)), headers=AUTHORIZATION) as client:
        for query in ("", "?lossless=1", "?lossless=0"):
            assert client.post(f"/encode{query}", content=PNG).status_code in (200, 201)
    assert StandIn.jobs == [(50_000_000, 30.0), (12_500_000, 60.0), (50_000_000, 30.0)]


def test_a_photo_too_large_to_be_kept_without_loss(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "store", TOKEN, lossless_pixels=9_599)
    with TestClient(create_app(tmp_path, uploads=uploads), headers=AUTHORIZATION) as client:
        refused = client.post("/encode?lossless=1", content=image_bytes(picture(120, 80), "PNG"))
        assert (refused.status_code, refused.json()["title"]) == (413, "LimitError")
        assert "120x80 pixels, this server encodes at most 9599 without loss" in refused.json()["detail"]
        assert client.post("/encode", content=image_bytes(picture(120, 80), "PNG")).status_code == 201


def test_the_endpoint_takes_nothing_but_uploads(client: TestClient) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        refused = client.request(method, "/encode")
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_an_upload_again_heals_a_damaged_file(tmp_path: Path, damage: str) -> None:
    catalogue = Catalogue(tmp_path)
    data = sdz(3, "a cat")
    picture, _ = catalogue.add(data)
    path = catalogue.pictures / picture.name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-1] + (b"" if damage == "cut" else b"?"))
    assert catalogue.add(data) == (picture, False)
    assert path.read_bytes() == data
    assert catalogue.all() == [picture]
    # what is whole is not written again
    before = path.stat().st_ino
    catalogue.add(data)
    assert path.stat().st_ino == before
    catalogue.close()


def test_the_orientation_is_applied_and_dropped(client: TestClient) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    made = client.post("/encode", content=image_bytes(picture(64, 32), "JPEG", exif=exif)).json()
    assert (made["width"], made["height"], made["alt"]) == (32, 64, None)
    assert decode(client.get(made["url"]).content, stage="linear").exif is None


PNG = image_bytes(picture(20, 10), "PNG")
OVER = image_bytes(picture(300, 201), "JPEG", quality=20)


@pytest.mark.parametrize(
    ("query", "headers", "body", "status", "code"),
    [
        ("", {"Authorization": "Bearer wrong"}, PNG, 401, "UnauthorizedError"),
        ("", {"Authorization": "Basic YTpi"}, PNG, 401, "UnauthorizedError"),
        ("", {"Authorization": ""}, PNG, 401, "UnauthorizedError"),
        ("", {"Content-Type": "text/plain"}, PNG, 415, "UnsupportedMediaTypeError"),
        ("", {"Content-Type": "multipart/form-data; boundary=x"}, PNG, 415, "UnsupportedMediaTypeError"),
        ("", {"Content-Encoding": "gzip"}, PNG, 415, "UnsupportedMediaTypeError"),
        ("", {"Content-Type": "image/png"}, b"hello", 415, "UnknownImageError"),
        ("", {"Content-Type": "image/png"}, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "UnknownImageError"),
        ("", {}, sdz(0), 415, "UnknownImageError"),
        ("", {}, PNG[: len(PNG) // 2], 422, "EncodeInputError"),
        ("", {}, PNG[:30], 415, "UnknownImageError"),
        ("", {}, b"", 422, "EncodeInputError"),
        ("", {}, bytes(100_001), 413, "LimitError"),
        ("", {}, OVER, 413, "LimitError"),
        ("?quality=101", {}, PNG, 422, "EncodeInputError"),
        ("?quality=nan", {}, PNG, 422, "EncodeInputError"),
        ("?quality=fine", {}, PNG, 422, "EncodeInputError"),
        ("?quality=1&quality=2", {}, PNG, 422, "EncodeInputError"),
        ("?name=../../etc/passwd", {}, PNG, 422, "EncodeInputError"),
        (f"?alt={'x' * 4097}", {}, PNG, 422, "EncodeInputError"),
        ("?lossless=", {}, PNG, 422, "EncodeInputError"),
        ("?lossless=yes", {}, PNG, 422, "EncodeInputError"),
        ("?lossless=1&lossless=1", {}, PNG, 422, "EncodeInputError"),
    ],
)
def test_refused(
    client: TestClient,
    store: Path,
    caplog: pytest.LogCaptureFixture,
    query: str,
    headers: dict[str, str],
    body: bytes,
    status: int,
    code: str,
) -> None:
    before = sorted(store.rglob("*.sdz"))
    with caplog.at_level(logging.INFO, "sdz.access"):
        refused = client.post(f"/encode{query}", content=body, headers=headers)
    assert (refused.status_code, refused.json()["title"]) == (status, code)
    lines = [json.loads(record.message) for record in caplog.records if record.name == "sdz.access"]
    assert [(line["path"], line["status"], line["error"]) for line in lines] == [("/encode", status, code)]
    assert (sorted(store.rglob("*.sdz")), leftovers(store)) == (before, [])


def test_a_body_without_a_length_is_counted(client: TestClient, store: Path) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(30):
            yield bytes(5000)

    refused = client.post("/encode", content=chunks())
    assert (refused.status_code, refused.json()["title"]) == (413, "LimitError")
    assert leftovers(store) == []


def test_off_by_default(tmp_path: Path) -> None:
    client = TestClient(create_app(tmp_path))
    assert client.post("/encode", content=PNG, headers=AUTHORIZATION).status_code == 405
    assert client.get("/encoded/").status_code == 404


def test_a_token_must_be_hard_to_guess(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="at least 16 printable ASCII characters"):
        Uploads(tmp_path, "secret")
    assert TOKEN not in repr(Uploads(tmp_path, TOKEN))
    monkeypatch.delenv("SDZ_UPLOAD_TOKEN", raising=False)
    assert main([str(tmp_path), "--uploads", str(tmp_path / "store")]) == 1
    assert "uploads need a token" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


class StandIn(Workers):
    """Encodes nothing: gives a small .sdz, or what `error` says, once `may` is set."""

    error: BaseException | None = None
    may = asyncio.Event()
    running = 0
    most = 0
    jobs: ClassVar[list[tuple[int, float | None]]] = []

    async def run(self, job: Message, data: bytes = b"", *, seconds: float | None = None) -> tuple[Message, bytes]:
        StandIn.jobs.append((job["max_pixels"], seconds))
        size = len(Path(job["path"]).read_bytes())
        StandIn.running += 1
        StandIn.most = max(StandIn.most, StandIn.running)
        await StandIn.may.wait()
        StandIn.running -= 1
        if StandIn.error is not None:
            raise StandIn.error
        return {}, sdz(size)


def test_a_queue_of_eight_and_then_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdz.server.upload.Workers", StandIn)
    StandIn.may, StandIn.error = asyncio.Event(), None

    async def scenario() -> None:
        app = create_app(tmp_path, uploads=Uploads(tmp_path / "store", TOKEN))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=AUTHORIZATION) as client:
            waiting = [asyncio.create_task(client.post("/encode", content=bytes(number + 1))) for number in range(10)]
            while StandIn.running < 10:
                await asyncio.sleep(0.01)
            busy = await client.post("/encode", content=b"one more")
            assert (busy.status_code, busy.json()["title"], busy.headers["retry-after"]) == (503, "BusyError", "10")
            assert "sdz_uploads 10.0" in (await client.get("/metrics")).text
            StandIn.may.set()
            assert [response.status_code for response in await asyncio.gather(*waiting)] == [201] * 10
            assert (await client.post("/encode", content=b"one more")).status_code == 200
            text = (await client.get("/metrics")).text
            assert 'sdz_encodes_total{outcome="503"} 1.0' in text and "sdz_uploads 0.0" in text

    asyncio.run(scenario())
    assert len(list((tmp_path / "store").rglob("*.sdz"))) == 10


def test_at_most_two_processes() -> None:
    async def scenario() -> None:
        workers = Workers(2, 60.0, 1 << 32)
        jobs = [workers.run({"kind": "decode", "media": "image/webp", "path": os.devnull, "size": 2}) for _ in range(6)]
        answers = await asyncio.gather(*jobs, return_exceptions=True)
        assert [getattr(answer, "code", answer) for answer in answers] == ["NotAnSdzError"] * 6
        assert len(workers._children.all) == 2
        workers.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(WorkerTimeoutError(), 503, "TimeoutError"), (WorkerDiedError(), 413, "LimitError")],
)
def test_an_encoder_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str) -> None:
    monkeypatch.setattr("sdz.server.upload.Workers", StandIn)
    StandIn.may, StandIn.error = asyncio.Event(), error
    StandIn.may.set()
    with TestClient(create_app(tmp_path, uploads=Uploads(tmp_path / "store", TOKEN))) as client:
        refused = client.post("/encode", content=PNG, headers=AUTHORIZATION)
    assert (refused.status_code, refused.json()["title"]) == (status, code)
    assert (list((tmp_path / "store").rglob("*.sdz")), leftovers(tmp_path / "store")) == ([], [])


def test_a_disk_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdz.server.upload.Workers", StandIn)
    StandIn.may, StandIn.error = asyncio.Event(), None
    StandIn.may.set()

    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with TestClient(create_app(tmp_path, uploads=Uploads(tmp_path / "store", TOKEN))) as client:
        monkeypatch.setattr(Catalogue, "_insert", full)
        refused = client.post("/encode", content=PNG, headers=AUTHORIZATION)
    assert (refused.status_code, refused.json()["title"]) == (507, "StorageError")
    assert (list((tmp_path / "store").rglob("*.sdz")), leftovers(tmp_path / "store")) == ([], [])


def test_a_body_that_does_not_arrive(tmp_path: Path) -> None:
    async def scenario() -> None:
        app = create_app(tmp_path, uploads=Uploads(tmp_path / "store", TOKEN, receive_seconds=0.05))

        async def slow() -> Any:
            yield b"a"
            await asyncio.sleep(3600)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", headers=AUTHORIZATION) as client:
            refused = await client.post("/encode", content=slow())
        assert (refused.status_code, refused.json()["title"]) == (408, "TimeoutError")

    asyncio.run(scenario())
    assert leftovers(tmp_path / "store") == []


# the catalogue


def test_catalogue(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    one, new = catalogue.add(sdz(1, "Ein Foto"))
    assert (new, one.bytes, one.width, one.height, one.pack, one.alt) == (True, len(sdz(1, "Ein Foto")), 17, 16, "010203", "Ein Foto")
    two, _ = catalogue.add(sdz(2))
    assert catalogue.add(sdz(1, "Ein Foto")) == (one, False)
    assert sorted(catalogue.all(), key=lambda row: row.width) == [one, two]
    assert (catalogue.find(one.digest), catalogue.find("0" * 64)) == (one, None)
    with pytest.raises(NotAnSdzError):
        catalogue.add(b"hello")
    with pytest.raises(CatalogueError, match="another server"):
        Catalogue(tmp_path)
    catalogue.close()
    again = Catalogue(tmp_path)
    assert sorted(again.all(), key=lambda row: row.width) == [one, two]
    again.close()


def test_what_a_kill_can_leave_is_mended(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    rows = [catalogue.add(sdz(number))[0] for number in range(3)]
    catalogue.close()
    with sqlite3.connect(tmp_path / "catalogue.sqlite") as other:
        other.execute("DELETE FROM pictures WHERE digest = ?", (rows[0].digest,))
    other.close()
    (tmp_path / "pictures" / rows[1].name).unlink()
    damaged = tmp_path / "pictures" / "00" / f"{'0' * 64}.sdz"
    damaged.parent.mkdir(exist_ok=True)
    damaged.write_bytes(sdz(7))
    half = (tmp_path / "pictures" / rows[0].name).with_name(".x.sdz.12345678.part")
    half.write_bytes(b"SD")
    (tmp_path / "incoming" / "1234").write_bytes(b"half a photo")
    again = Catalogue(tmp_path)
    assert {row.digest for row in again.all()} == {rows[0].digest, rows[2].digest}
    found = again.find(rows[0].digest)
    assert found is not None and (found.width, found.bytes) == (16, len(sdz(0)))
    assert sorted(path.stem for path in tmp_path.rglob("*.sdz")) == sorted([rows[0].digest, rows[2].digest])
    assert leftovers(tmp_path) == []
    again.close()


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CatalogueError, match="cannot keep pictures there"):
        Catalogue(tmp_path / "file")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "catalogue.sqlite").write_bytes(b"no database " * 100)
    with pytest.raises(CatalogueError, match="move it away, and it is made again"):
        Catalogue(tmp_path / "store")
    (tmp_path / "store" / "catalogue.sqlite").unlink()
    Catalogue(tmp_path / "store").close()


def test_killed_during_a_hundred_uploads(tmp_path: Path) -> None:
    """Three times in the middle of them: every picture that was promised is there, and rows and files are the same."""
    (tmp_path / "site").mkdir()
    store = tmp_path / "store"
    command = [sys.executable, "-m", "server", str(tmp_path / "site"), "--uploads", str(store), "--port", "0", "--quiet"]
    bodies = [image_bytes(picture(24, 24, seed), "PNG") for seed in range(100)]
    promised: dict[int, dict[str, Any]] = {}
    for stop_at in (20, 45, 70, 100):
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "SDZ_UPLOAD_TOKEN": TOKEN}
        ) as process:
            assert process.stdout is not None
            address = re.match(r"http://[^ ]*/", process.stdout.readline())
            assert address is not None
            with httpx.Client(base_url=address.group(), headers=AUTHORIZATION, timeout=120.0) as client:

                def upload(number: int, client: httpx.Client = client) -> tuple[int, httpx.Response | None]:
                    try:
                        return number, client.post("/encode", content=bodies[number])
                    except httpx.TransportError:
                        return number, None

                with concurrent.futures.ThreadPoolExecutor(4) as threads:
                    waiting = [threads.submit(upload, number) for number in range(100) if number not in promised]
                    for done in concurrent.futures.as_completed(waiting):
                        number, response = done.result()
                        if response is not None:
                            assert response.status_code in (200, 201)
                            promised[number] = response.json()
                        if len(promised) >= stop_at:
                            process.send_signal(signal.SIGKILL if stop_at < 100 else signal.SIGTERM)
        # agreement, first as the kill left it: no row without its file
        with sqlite3.connect(store / "catalogue.sqlite") as rows:
            digests = {digest for (digest,) in rows.execute("SELECT digest FROM pictures")}
        rows.close()
        assert digests <= {path.stem for path in store.rglob("*.sdz")}
        assert {row["digest"] for row in promised.values()} <= digests
    assert len(promised) == 100
    catalogue = Catalogue(store)
    kept = {row.digest: row for row in catalogue.all()}
    catalogue.close()
    assert {path.stem for path in store.rglob("*.sdz")} == kept.keys() == {row["digest"] for row in promised.values()}
    for row in promised.values():
        data = (store / "pictures" / row["digest"][:2] / f"{row['digest']}.sdz").read_bytes()
        assert (len(data), parse(data).header.width) == (row["bytes"], 24)
    assert leftovers(store) == []
