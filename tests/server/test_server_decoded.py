"""Pictures decoded by the server: the cache on disk, the child processes, and what clients that cannot decode are given."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import picture
from PIL import Image
from starlette.testclient import TestClient

from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.format.container import Chunk, Header, serialize
from sdz.runtime.pack import default_pack
from sdz.runtime.session import Session
from sdz.server.app import Cache, create_app
from sdz.server.decoded import DecodedPictures
from sdz.server.errors import RequestError
from sdz.server.jobs import pictures
from sdz.server.jobs.messages import Message, receive, send
from sdz.server.jobs.pictures import SAVE_OPTIONS
from sdz.server.jobs.processes import GIB, WorkerDiedError, WorkerRefusedError, Workers, WorkerTimeoutError
from sdz.server.jobs.worker import perform
from sdz.server.metrics import Metrics
from sdz.server.store.cache import DIGEST_BYTES, DiskCache, TemporaryFolder

BROWSER = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
KEYS = [f"{number:064x}" for number in range(9)]


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(default_pack())


@pytest.fixture(scope="module")
def photo(session: Session) -> bytes:
    return encode(picture(200, 140), quality=60, session=session, alt="Waves")


@pytest.fixture(scope="module")
def veiled(session: Session) -> bytes:
    image = picture(40, 30).convert("RGBA")
    image.putalpha(Image.fromarray(np.add.outer(np.arange(30), np.arange(40)).astype(np.uint8)))
    return encode(image, session=session)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, photo: bytes, veiled: bytes) -> Iterator[TestClient]:
    site = tmp_path_factory.mktemp("site")
    (site / "a.sdz").write_bytes(photo)
    (site / "veiled.sdz").write_bytes(veiled)
    (site / "broken.sdz").write_bytes(photo[:20] + bytes(100))
    (site / "text.sdz").write_bytes(b"hello")
    (site / "foreign.sdz").write_bytes(serialize(Header(16, 16, 40, 0, b"\1\2\3\4"), [Chunk(b"L", b"")]))
    (site / "vast.sdz").write_bytes(serialize(Header(12_000, 8_000, 40, 0, photo[4:8]), [Chunk(b"L", b"")]))
    (site / "beyond.sdz").write_bytes(serialize(Header(16_384, 8_193, 40, 0, photo[4:8]), [Chunk(b"L", b"")]))
    with TestClient(create_app(site, cache=Cache(tmp_path_factory.mktemp("cache")))) as started:
        yield started


def saved(data: bytes, media: str, session: Session) -> bytes:
    """What the server is to send: the runtime's pixels, compressed with the server's options."""
    out = io.BytesIO()
    name, options = SAVE_OPTIONS[media]
    decode(data, session=session).to_pil().save(out, name, **options)
    return out.getvalue()


def test_the_same_address_in_every_form(client: TestClient, photo: bytes, session: Session) -> None:
    file = client.get("/a.sdz", headers={"accept": "image/x-sdz, */*;q=0.5"})
    assert (file.headers["content-type"], file.content) == ("image/x-sdz", photo)
    tags = {file.headers["etag"]}
    for accept, media in ((BROWSER, "image/webp"), ("image/avif", "image/avif"), ("image/jpeg,image/webp;q=0.9", "image/jpeg")):
        made = client.get("/a.sdz", headers={"accept": accept})
        assert (made.status_code, made.headers["content-type"]) == (200, media)
        assert made.content == saved(photo, media, session)
        assert (made.headers["vary"], made.headers["content-length"]) == ("Accept", str(len(made.content)))
        assert made.headers["etag"].startswith(file.headers["etag"].removesuffix('"') + "-")
        tags.add(made.headers["etag"])
        again = client.get("/a.sdz", headers={"accept": accept, "if-none-match": made.headers["etag"]})
        assert (again.status_code, again.content, again.headers["vary"]) == (304, b"", "Accept")
    assert len(tags) == 4


def test_a_decoded_prefix(client: TestClient, photo: bytes, session: Session) -> None:
    made = client.get("/a.sdz?bytes=200", headers={"accept": BROWSER})
    assert made.content == saved(photo[:200], "image/webp", session)
    assert "-200-" in made.headers["etag"]


def test_transparency(client: TestClient, veiled: bytes) -> None:
    with Image.open(io.BytesIO(client.get("/veiled.sdz", headers={"accept": "image/webp"}).content)) as webp:
        assert (webp.mode, webp.getchannel("A").getextrema()) == ("RGBA", (0, 68))
    with Image.open(io.BytesIO(client.get("/veiled.sdz", headers={"accept": "image/jpeg"}).content)) as jpeg:
        assert jpeg.mode == "RGB"
        # under the transparent corner, white
        assert min(jpeg.getpixel((0, 0))) > 240


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("broken.sdz", 422, "CorruptFileError"),
        ("text.sdz", 422, "NotAnSdzError"),
        ("foreign.sdz", 422, "MissingPackError"),
        ("beyond.sdz", 422, "LimitError"),
    ],
)
def test_what_cannot_be_decoded(client: TestClient, name: str, status: int, code: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sdz.access"):
        refused = client.get(f"/{name}", headers={"accept": BROWSER})
    assert (refused.status_code, refused.json()["title"]) == (status, code)
    lines = [json.loads(record.message) for record in caplog.records if record.name == "sdz.access"]
    assert [(line["status"], line["error"]) for line in lines] == [(status, code)]
    # to whoever decodes it, the file is a file
    assert client.get(f"/{name}").status_code == 200


def test_of_a_picture_too_large_to_decode_in_full_a_preview(client: TestClient) -> None:
    made = client.get("/vast.sdz", headers={"accept": BROWSER})
    assert (made.status_code, made.headers["content-type"]) == (200, "image/webp")
    with Image.open(io.BytesIO(made.content)) as preview:
        assert preview.size == (3_000, 2_000)
        assert preview.getextrema() == ((128, 128),) * 3


def test_previews_are_the_linear_stage(monkeypatch: pytest.MonkeyPatch, photo: bytes) -> None:
    for most, factor in ((28_000, 1), (27_999, 2), (6_000, 4)):
        monkeypatch.setattr(pictures, "MAX_PIXELS", most)
        monkeypatch.setattr(pictures, "PREVIEW_PIXELS", 7_000 if most > 6_000 else 2_000)
        message, out = perform({"kind": "decode", "media": "image/webp"}, photo)
        assert message["stage"] == ("denoised" if factor == 1 else "linear")
        wanted = decode(photo) if factor == 1 else decode(photo, stage="linear", reduce=factor)
        expected = io.BytesIO()
        wanted.to_pil().save(expected, "WEBP", **SAVE_OPTIONS["image/webp"][1])
        assert out == expected.getvalue()


def test_pictures_are_decoded_once(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    first = client.get("/a.sdz?bytes=300", headers={"accept": BROWSER}).content

    async def fail(*_: Any) -> None:
        raise WorkerDiedError

    monkeypatch.setattr(Workers, "run", fail)
    assert client.get("/a.sdz?bytes=300", headers={"accept": BROWSER}).content == first
    died = client.get("/a.sdz?bytes=301", headers={"accept": BROWSER})
    assert (died.status_code, died.json()["title"]) == (422, "LimitError")


class StandIn(Workers):
    """Answers when told to; counts what it is asked."""

    def __init__(self) -> None:
        super().__init__(1, 1.0, GIB)
        self.asked: list[bytes] = []
        self.may = asyncio.Event()

    async def run(self, job: Message, data: bytes = b"") -> tuple[Message, bytes]:
        self.asked.append(data)
        await self.may.wait()
        return {}, b"picture of " + data


def test_one_decode_at_a_time_and_a_bounded_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdz.server.decoded.QUEUE", 2)
    one, two, three = (serialize(Header(16, 16, index, 0, bytes(4)), []) for index in (1, 2, 3))

    async def scenario() -> None:
        workers = StandIn()
        service = DecodedPictures(DiskCache(tmp_path, 10_000), Metrics(), workers)
        waiting = [asyncio.create_task(service.get(data, ["image/webp"])) for data in (one, one, one, two)]
        while len(workers.asked) < 2:
            await asyncio.sleep(0)
        with pytest.raises(RequestError) as refused:
            await service.get(three, ["image/webp"])
        assert (refused.value.status, refused.value.code, refused.value.headers) == (503, "BusyError", {"Retry-After": "5"})
        # a client that leaves takes nothing from the others
        waiting[0].cancel()
        workers.may.set()
        assert await asyncio.gather(*waiting[1:]) == [(b"picture of " + data, "image/webp") for data in (one, one, two)]
        assert sorted(workers.asked) == [one, two]
        assert await service.get(three, ["image/webp"]) == (b"picture of " + three, "image/webp")
        service.close()

    asyncio.run(scenario())


def test_a_form_that_can_hold_the_size(tmp_path: Path) -> None:
    wide = serialize(Header(16_384, 16, 40, 0, bytes(4)), [])

    async def scenario() -> None:
        workers = StandIn()
        workers.may.set()
        service = DecodedPictures(DiskCache(tmp_path, 10_000), Metrics(), workers)
        assert (await service.get(wide, ["image/webp", "image/jpeg"]))[1] == "image/jpeg"
        with pytest.raises(RequestError) as refused:
            await service.get(wide, ["image/webp"])
        assert refused.value.status == 406
        service.close()

    asyncio.run(scenario())


# child processes


def test_messages_are_a_line_of_json_and_bytes() -> None:
    stream = io.BytesIO()
    send(stream, {"kind": "decode"}, b"SDZ")
    send(stream, {"kind": "encode"})
    assert stream.getvalue() == b'{"kind": "decode", "bytes": 3}\nSDZ{"kind": "encode", "bytes": 0}\n'
    stream.seek(0)
    assert [receive(stream) for _ in range(3)] == [({"kind": "decode", "bytes": 3}, b"SDZ"), ({"kind": "encode", "bytes": 0}, b""), None]
    cut = [receive(io.BytesIO(stream.getvalue()[:length])) for length in range(34)]
    assert cut == [None] * 34


def test_a_job_over_its_time_ends_with_its_process() -> None:
    async def scenario() -> None:
        workers = Workers(1, 0.05, GIB)
        with pytest.raises(WorkerTimeoutError):
            # a fresh interpreter takes longer than that to start
            await workers.run({"kind": "decode", "media": "image/webp"}, b"SDZ")
        workers.seconds = 60.0
        with pytest.raises(WorkerRefusedError) as refused:
            await workers.run({"kind": "decode", "media": "image/webp"}, b"no")
        assert refused.value.code == "NotAnSdzError"
        (child,) = workers._children.all
        child.kill()
        child.wait()
        with pytest.raises(WorkerDiedError):
            await workers.run({"kind": "decode", "media": "image/webp"}, b"no")
        assert workers._children.all == set()
        workers.close()

    asyncio.run(scenario())


def test_memory_is_limited(photo: bytes) -> None:
    async def scenario() -> None:
        workers = Workers(1, 120.0, 60 << 20)
        with pytest.raises((WorkerRefusedError, WorkerDiedError)):
            await workers.run({"kind": "decode", "media": "image/webp"}, photo)
        workers.close()

    asyncio.run(scenario())
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_DATA, (1 << 28,) * 2); from sdz.server.jobs.worker import KINDS, perform; "
    )
    script = limited + "KINDS['grow'] = lambda job, data: ({}, bytes(1 << 29)); print(perform({'kind': 'grow'}, b'')[0]['code'])"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout == "LimitError\n"


def test_children_end_with_their_parent() -> None:
    script = (
        "import asyncio, os, signal, sys; from sdz.server.jobs.processes import *\n"
        "async def main():\n"
        "    workers = Workers(1, 60.0, 1 << 32)\n"
        "    try: await workers.run({'kind': 'decode', 'media': 'image/webp'}, b'no')\n"
        "    except WorkerRefusedError: pass\n"
        "    (child,) = workers._children.all\n"
        "    print(child.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    child = Path(f"/proc/{int(out.stdout)}")
    for _ in range(1200):
        if not child.exists() or "Z" in (child / "stat").read_text().rpartition(")")[2]:
            break
        time.sleep(0.05)
    else:
        pytest.fail("the child outlived its parent")


def test_images_are_read_by_children_only() -> None:
    script = "import sys, sdz.server.__main__; print(sorted({'PIL', 'wasmtime', 'numpy', 'onnxruntime'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"


def test_whatever_a_library_raises_is_an_answer() -> None:
    answer, data = perform({"kind": "none of these"}, b"")
    assert (answer, data) == ({"ok": False, "code": "InternalError", "message": "KeyError: 'none of these'"}, b"")


# the cache


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 3 * (100 + DIGEST_BYTES))
    for key in KEYS[:3]:
        cache.put(key, key.encode() + bytes(36))
    assert cache.get(KEYS[0]) == KEYS[0].encode() + bytes(36)
    cache.put(KEYS[3], bytes(100))
    assert [cache.get(key) is not None for key in KEYS[:4]] == [True, False, True, True]
    assert cache.bytes == sum(path.stat().st_size for path in tmp_path.iterdir()) == 3 * 132
    cache.put(KEYS[4], bytes(1000))
    assert cache.get(KEYS[4]) is None
    cache.put(KEYS[3], bytes(50))
    assert cache.bytes == 2 * 132 + 82


def test_what_a_crash_left(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 10_000)
    for index, key in enumerate(KEYS[:4]):
        cache.put(key, b"picture")
        os.utime(tmp_path / key, (index, index))
    (tmp_path / f".{KEYS[5]}.1234.part").write_bytes(b"half")
    (tmp_path / KEYS[1]).write_bytes(b"")
    (tmp_path / KEYS[2]).write_bytes((tmp_path / KEYS[2]).read_bytes()[:-1] + b"X")
    (tmp_path / "notes.txt").write_bytes(b"not ours")
    again = DiskCache(tmp_path, 10_000)
    assert [again.get(key) for key in KEYS[:4]] == [b"picture", None, None, b"picture"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [KEYS[0], KEYS[3], "notes.txt"]
    assert again.bytes == 2 * (7 + DIGEST_BYTES)
    smaller = DiskCache(tmp_path, 50)
    assert (smaller.bytes, smaller.get(KEYS[0]) is None) == (39, True)


def test_temporary_folders_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    in_use = TemporaryFolder()
    script = (
        "import os, signal; from sdz.server.store.cache import TemporaryFolder; t = TemporaryFolder(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    assert len(list(tmp_path.iterdir())) == 2
    another = TemporaryFolder()
    assert sorted(tmp_path.iterdir()) == sorted([in_use.path, another.path])
    in_use.close()
    del another
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache", 1000)
    (tmp_path / "cache").rmdir()
    cache.put(KEYS[0], b"picture")
    assert (cache.get(KEYS[0]), cache.bytes) == (None, 0)
