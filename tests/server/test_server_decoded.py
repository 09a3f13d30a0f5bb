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
from sdz.runtime.format.container import Chunk, Header, latent_span, serialize
from sdz.runtime.format.sparse import is_sparse, reduction_for
from sdz.runtime.pack import default_pack
from sdz.runtime.session import Session
from sdz.server.app import Cache, create_app
from sdz.server.decoded import DecodedPictures, Source, header_of
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
    (site / "foreign.sdz").write_bytes(serialize(Header(16, 16, 40, b"\1\2\3"), [Chunk(b"L", b"")]))
    (site / "vast.sdz").write_bytes(serialize(Header(12_000, 8_000, 40, photo[4:7]), [Chunk(b"L", b"")]))
    (site / "beyond.sdz").write_bytes(serialize(Header(16_384, 8_193, 40, photo[4:7]), [Chunk(b"L", b"")]))
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
        assert (made.headers["vary"], made.headers["content-length"]) == ("Accept, Save-Data", str(len(made.content)))
        assert made.headers["etag"].startswith(file.headers["etag"].removesuffix('"') + "-")
        tags.add(made.headers["etag"])
        again = client.get("/a.sdz", headers={"accept": accept, "if-none-match": made.headers["etag"]})
        assert (again.status_code, again.content, again.headers["vary"]) == (304, b"", "Accept, Save-Data")
    assert len(tags) == 4


def test_a_decoded_prefix(client: TestClient, photo: bytes, session: Session) -> None:
    made = client.get("/a.sdz?bytes=200", headers={"accept": BROWSER})
    assert made.content == saved(photo[:200], "image/webp", session)
    assert "-200-" in made.headers["etag"]


def test_who_saves_data_gets_a_shorter_prefix(client: TestClient, photo: bytes, veiled: bytes, session: Session) -> None:
    saved_part = {"save-data": "on"}
    for name, data in (("a.sdz", photo), ("veiled.sdz", veiled)):
        start, end = latent_span(data)
        cut = min(len(data), start + max(1000, (end - start) // 2))
        whole = client.get(f"/{name}")
        part = client.get(f"/{name}", headers=saved_part)
        assert (part.status_code, part.content, part.headers["vary"]) == (200, data[:cut], "Accept, Save-Data")
        assert part.headers["etag"] == whole.headers["etag"].removesuffix('"') + '-saved"'
        assert part.headers["content-length"] == str(cut)
        again = client.get(f"/{name}", headers={**saved_part, "if-none-match": part.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        shown = client.get(f"/{name}", headers={**saved_part, "accept": BROWSER})
        assert shown.content == saved(data[:cut], "image/webp", session)
    assert cut < len(photo) and len(client.get("/a.sdz", headers=saved_part).content) < len(photo)
    # who names its bytes gets these, and off is off
    assert client.get("/a.sdz", headers={**saved_part, "range": "bytes=5-"}).content == photo[5:]
    assert client.get("/a.sdz?bytes=1500", headers=saved_part).content == photo[:1500]
    assert client.get("/a.sdz", headers={"save-data": "off"}).content == photo
    assert client.get("/text.sdz", headers=saved_part).content == b"hello"


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
        assert preview.size == (1_500, 1_000)
        assert preview.getextrema() == ((128, 128),) * 3


def decoded_by_worker(tmp_path: Path, data: bytes) -> tuple[Message, bytes]:
    path = tmp_path / "given.sdz"
    path.write_bytes(data)
    return perform({"kind": "decode", "media": "image/webp", "path": str(path), "size": len(data)}, b"")


def test_previews_are_the_linear_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: bytes) -> None:
    for most, factor in ((28_000, 1), (27_999, 2), (6_000, 4)):
        monkeypatch.setattr(pictures, "MAX_PIXELS", most)
        monkeypatch.setattr(pictures, "PREVIEW_PIXELS", 7_000 if most > 6_000 else 2_000)
        message, out = decoded_by_worker(tmp_path, photo)
        # so fine a natural file asks for no denoiser
        assert message["stage"] == ("decoded" if factor == 1 else "linear")
        wanted = decode(photo) if factor == 1 else decode(photo, stage="linear", reduce=factor)
        expected = io.BytesIO()
        wanted.to_pil().save(expected, "WEBP", **SAVE_OPTIONS["image/webp"][1])
        assert out == expected.getvalue()


@pytest.mark.parametrize(
    ("sides", "latents", "text", "shown", "stage"),
    [
        # 4 megapixels and less are decoded in full, whatever there is of them, where a network has anything to work from
        ((500, 400), 0, 0, (500, 400), "linear"),
        ((500, 400), 150, 0, (500, 400), "denoised"),
        ((7_000, 7_000), 0, 0, (1_750, 1_750), "linear"),
        # what does not tell of pixels does not count
        ((7_000, 7_000), 10, 4_000, (1_750, 1_750), "linear"),
        ((4_000, 2_000), 150, 0, (2_000, 1_000), "linear"),
    ],
)
def test_of_a_picture_of_next_to_no_bytes_a_preview(
    tmp_path: Path, photo: bytes, sides: tuple[int, int], latents: int, text: int, shown: tuple[int, int], stage: str
) -> None:
    chunks = [Chunk(b"T", b"a" * text), Chunk(b"L", b"\x55" * latents)]
    message, out = decoded_by_worker(tmp_path, serialize(Header(*sides, 40, photo[4:7]), chunks))
    with Image.open(io.BytesIO(out)) as made:
        assert made.size == shown
    assert message["stage"] == stage


PEAK = """
import sys
from sdz.server.jobs.pictures import decode_picture
for media in sys.argv[3:]:
    decode_picture({"path": sys.argv[1], "size": int(sys.argv[2]), "media": media}, b"")
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(("told", "media"), [(0, list(SAVE_OPTIONS)), (1_000, ["image/jpeg"])])
def test_memory_for_a_file_that_says_next_to_nothing(tmp_path: Path, told: int, media: list[str], session: Session) -> None:
    """Of 49 megapixels, in a process of its own, libraries and all: 15 bytes took 1 GB once. AVIF of noise takes 200 MB more."""
    header = Header(7_000, 7_000, 61, session.pack.id)
    data = serialize(header, [Chunk(b"L", np.random.default_rng(1).bytes(told))] if told else [])
    (tmp_path / "a.sdz").write_bytes(data)
    command = [sys.executable, "-c", PEAK, str(tmp_path / "a.sdz"), str(len(data)), *media]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 150_000


def test_sparse_files() -> None:
    assert [is_sparse(2_000, 2_000, size) for size in (0, 99, 100)] == [False] * 3
    assert [is_sparse(2_000, 2_001, size) for size in (0, 100, 101)] == [True, True, False]
    assert [is_sparse(7_000, 7_000, size) for size in (1_224, 1_225)] == [True, False]
    assert [reduction_for(pixels, 100, (2, 4, 8)) for pixels in (400, 401, 1_601, 10**9)] == [2, 4, 8, 8]


def test_pictures_are_decoded_once(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    first = client.get("/a.sdz?bytes=300", headers={"accept": BROWSER}).content

    async def fail(*_: Any) -> None:
        raise WorkerDiedError

    monkeypatch.setattr(Workers, "run", fail)
    assert client.get("/a.sdz?bytes=300", headers={"accept": BROWSER}).content == first
    died = client.get("/a.sdz?bytes=301", headers={"accept": BROWSER})
    assert (died.status_code, died.json()["title"]) == (422, "LimitError")


class StandIn(Workers):
    """Answers when told to; notes what it is asked."""

    def __init__(self) -> None:
        super().__init__(1, 1.0, GIB)
        self.asked: list[str] = []
        self.may = asyncio.Event()

    async def run(self, job: Message, data: bytes = b"") -> tuple[Message, bytes]:
        self.asked.append(Path(job["path"]).name)
        await self.may.wait()
        return {}, Path(job["path"]).read_bytes()[: job["size"]]


def source(folder: Path, name: str, width: int, height: int, index: int = 1, size: int | None = None) -> Source:
    path = folder / name
    path.write_bytes(serialize(Header(width, height, index, bytes(3)), []))
    return Source(str(path), path.stat().st_size if size is None else size, "state")


def test_one_decode_at_a_time_and_a_bounded_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdz.server.decoded.QUEUE", 1)
    one, two, three = (source(tmp_path, f"{index}.sdz", 16, 16, index) for index in (1, 2, 3))

    async def scenario() -> None:
        workers = StandIn()
        service = DecodedPictures(DiskCache(tmp_path / "cache", 10_000), Metrics(), workers)
        waiting = [asyncio.create_task(service.get(given, ["image/webp"])) for given in (one, one, one)]
        while not workers.asked:
            await asyncio.sleep(0.001)
        waiting.append(asyncio.create_task(service.get(two, ["image/webp"])))
        while not service._queue._waiting:
            await asyncio.sleep(0.001)
        with pytest.raises(RequestError) as refused:
            await service.get(three, ["image/webp"])
        assert (refused.value.status, refused.value.code, refused.value.headers) == (503, "BusyError", {"Retry-After": "5"})
        assert workers.asked == ["1.sdz"]
        # a client that leaves takes nothing from the others
        waiting[0].cancel()
        workers.may.set()
        told = await asyncio.gather(*waiting[1:])
        assert told == [(Path(given.path).read_bytes(), "image/webp") for given in (one, one, two)]
        assert workers.asked == ["1.sdz", "2.sdz"]
        assert (await service.get(three, ["image/webp"]))[0] == Path(three.path).read_bytes()
        service.close()

    asyncio.run(scenario())


def test_prefixes_of_one_picture_do_not_crowd_out_others(tmp_path: Path) -> None:
    """200 different prefixes of one picture, and then another picture: it is the next."""
    path = tmp_path / "many.sdz"
    path.write_bytes(serialize(Header(64, 64, 1, bytes(3)), [Chunk(b"L", bytes(300))]))
    other = source(tmp_path, "other.sdz", 64, 64)

    async def scenario() -> None:
        workers = StandIn()
        service = DecodedPictures(DiskCache(tmp_path / "cache", 10_000), Metrics(), workers)
        many = [asyncio.create_task(service.get(Source(str(path), 20 + count, "s"), ["image/webp"])) for count in range(200)]
        while sum(task.done() for task in many) < 200 - 33:
            await asyncio.sleep(0.001)
        last = asyncio.create_task(service.get(other, ["image/webp"]))
        while not any(place.group == other.path for place in service._queue._waiting):
            await asyncio.sleep(0.001)
        workers.may.set()
        assert (await last)[0] == Path(other.path).read_bytes()
        ended = await asyncio.gather(*many, return_exceptions=True)
        busy = [error for error in ended if isinstance(error, RequestError) and error.code == "BusyError"]
        assert (len(busy), workers.asked[:3], len(workers.asked)) == (200 - 32, ["many.sdz", "other.sdz", "many.sdz"], 33)
        service.close()

    asyncio.run(scenario())


def test_a_form_that_can_hold_the_size(tmp_path: Path) -> None:
    wide = source(tmp_path, "wide.sdz", 16_384, 16)

    async def scenario() -> None:
        workers = StandIn()
        workers.may.set()
        service = DecodedPictures(DiskCache(tmp_path / "cache", 10_000), Metrics(), workers)
        assert (await service.get(wide, ["image/webp", "image/jpeg"]))[1] == "image/jpeg"
        with pytest.raises(RequestError) as refused:
            await service.get(wide, ["image/webp"])
        assert refused.value.status == 406
        service.close()

    asyncio.run(scenario())


def test_nothing_of_a_file_but_its_header_is_parsed_in_the_server(tmp_path: Path, photo: bytes) -> None:
    """Chunks that no reader takes reach the child alone."""
    junk = photo[:13] + b"x\0" + bytes(4)
    path = tmp_path / "junk.sdz"
    path.write_bytes(junk * 3)
    assert header_of(Source(str(path), 3 * len(junk), "s")).width == 200


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


def test_a_job_over_its_time_ends_with_its_process(tmp_path: Path) -> None:
    (tmp_path / "no").write_bytes(b"no")
    no = {"kind": "decode", "media": "image/webp", "path": str(tmp_path / "no"), "size": 2}

    async def scenario() -> None:
        workers = Workers(1, 0.05, GIB)
        with pytest.raises(WorkerTimeoutError):
            # a fresh interpreter takes longer than that to start
            await workers.run(no)
        workers.seconds = 60.0
        with pytest.raises(WorkerRefusedError) as refused:
            await workers.run(no)
        assert refused.value.code == "NotAnSdzError"
        (child,) = workers._children.all
        child.kill()
        child.wait()
        with pytest.raises(WorkerDiedError):
            await workers.run(no)
        assert workers._children.all == set()
        workers.close()

    asyncio.run(scenario())


def test_memory_is_limited(tmp_path: Path, photo: bytes) -> None:
    (tmp_path / "a.sdz").write_bytes(photo)
    job = {"kind": "decode", "media": "image/webp", "path": str(tmp_path / "a.sdz"), "size": len(photo)}

    async def scenario() -> None:
        workers = Workers(1, 120.0, 60 << 20)
        with pytest.raises((WorkerRefusedError, WorkerDiedError)):
            await workers.run(job)
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
        "    try: await workers.run({'kind': 'decode', 'media': 'image/webp', 'path': '/dev/null', 'size': 2})\n"
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
