"""The viewer's worker and folder, without Qt: stages in order, newest goal first, tiles on demand, devices that fail, errors in words.

On the stand-in pack; a goal is reached when the worker, asked for nothing more, has told all it had to tell.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from standins import PACK, StandIns, StandInSession, held_decoder, stand_in_file, use_stand_ins

import sdz.runtime.decode
import sdz.runtime.viewer.decoding.picture
from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.errors import ProviderError
from sdz.runtime.format.alpha import encode_alpha
from sdz.runtime.format.container import ALPHA, ALT_TEXT, Chunk, Header, latent_span, serialize
from sdz.runtime.viewer.decoding.messages import (
    Described,
    Device,
    Event,
    Export,
    Exported,
    Facts,
    Failed,
    Goal,
    Loaded,
    Painted,
    Version,
)
from sdz.runtime.viewer.decoding.picture import PREVIEW_BYTES, PREVIEW_SHARE
from sdz.runtime.viewer.decoding.worker import Worker
from sdz.runtime.viewer.folder import Walk, original_of, shown_in

SECONDS = 60.0
"""How long a test waits for what never comes."""


class Driver:
    """A worker whose events are kept, and which can be waited for."""

    def __init__(self, stand_ins: StandIns) -> None:
        self.events: list[Event] = []
        self.sessions, self.failing = stand_ins.sessions, stand_ins.failing
        self._heard = threading.Condition()
        self.worker = Worker(self._tell)

    def _tell(self, event: Event) -> None:
        with self._heard:
            self.events.append(event)
            self._heard.notify_all()

    def wait(self, holds: Callable[[], bool]) -> None:
        with self._heard:
            assert self._heard.wait_for(holds, SECONDS), self.events

    def painted(self, version: Version | None = None) -> list[Painted]:
        return [event for event in self.events if isinstance(event, Painted) and version in (None, event.version)]

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    made = Driver(use_stand_ins(monkeypatch))
    made.worker.start()
    yield made
    made.worker.stop()
    made.worker.join(SECONDS)


def first(path: Path, **options: Any) -> Goal:
    return Goal(path, Version(1, None, "denoised"), **options)


def test_a_small_picture_passes_through_linear_decoded_denoised(driver: Driver, tmp_path: Path) -> None:
    path = tmp_path / "a.sdz"
    path.write_bytes(stand_in_file(40, 30, Chunk(ALT_TEXT, b"cat")))
    goal = first(path, tiles=((0, 0),))
    driver.worker.aim({"shown": goal})
    driver.wait(lambda: any(event.final for event in driver.painted()))
    data = path.read_bytes()
    assert driver.of(Loaded) == [Loaded("shown", 1, Facts(40, 30, "RGB", len(data), "sdz", "cat", latent_span(data)[0]))]
    events = driver.painted()
    assert [(event.stage, event.tile, event.final, event.reached) for event in events] == [
        ("linear", None, False, "denoised"),
        ("decoded", (0, 0), False, "denoised"),
        ("denoised", (0, 0), True, "denoised"),
    ]
    for event, stage in zip(events, ("linear", "decoded", "denoised"), strict=True):
        assert np.array_equal(event.pixels, decode(data, stage=stage, session=StandInSession()).pixels)  # type: ignore[arg-type]
    assert set(events[-1].seconds) == {"read", "parse", "pack", "entropy", "linear", "dequantize", "denoise", "decode"}
    assert driver.of(Device) == [Device("cpu", None)]


def test_the_photo_itself_takes_the_place_of_the_last_stage(driver: Driver, tmp_path: Path) -> None:
    path = tmp_path / "a.sdz"
    photo = np.random.default_rng(2).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    path.write_bytes(encode(photo, session=StandInSession(), lossless=True))  # type: ignore[arg-type]
    goal = first(path, tiles=((0, 0),))
    driver.worker.aim({"shown": goal})
    driver.wait(lambda: bool(driver.painted()) and np.array_equal(driver.painted()[-1].pixels, photo))
    event = driver.painted()[-1]
    assert (event.tile, event.final, event.stage, event.reached) == ((0, 0), True, "exact", "exact")
    assert [e.final for e in driver.painted()[:-1]] == [False] * (len(driver.painted()) - 1)
    # with fewer bytes, or another stage, there is none of it
    for serial, version in enumerate((Version(1, path.stat().st_size - 1, "denoised"), Version(1, None, "linear")), 1):
        driver.worker.aim({"shown": Goal(path, version, ((0, 0),), describe=True)})
        driver.wait(lambda serial=serial: len(driver.of(Described)) == serial)  # type: ignore[misc]
        assert not np.array_equal(driver.painted(version)[-1].pixels, photo)
    driver.worker.export(Export(path, goal.version, tmp_path / "out.png"))
    driver.wait(lambda: bool(driver.of(Exported)))
    with Image.open(tmp_path / "out.png") as saved:
        assert np.array_equal(np.asarray(saved), photo)


def test_a_large_file_begins_with_a_preview_of_its_first_bytes(driver: Driver, tmp_path: Path) -> None:
    data = stand_in_file(2200, 1500)
    start, end = latent_span(data)
    assert 2 * PREVIEW_BYTES < end - start < PREVIEW_SHARE * PREVIEW_BYTES
    (tmp_path / "a.sdz").write_bytes(data)
    driver.worker.aim({"shown": first(tmp_path / "a.sdz")})
    driver.wait(lambda: len(driver.painted()) == 2)
    preview, whole = driver.painted()
    assert (preview.stage, whole.stage) == ("linear", "linear")
    assert np.array_equal(preview.pixels, decode(data, stage="linear", pack=PACK, max_bytes=start + PREVIEW_BYTES).pixels)
    assert np.array_equal(whole.pixels, decode(data, stage="linear", pack=PACK).pixels)


def test_the_denoiser_is_not_announced_where_it_is_not_needed(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "a.sdz").write_bytes(stand_in_file(40, 30, step=20))
    driver.worker.aim({"shown": first(tmp_path / "a.sdz", tiles=((0, 0),))})
    driver.wait(lambda: any(event.final for event in driver.painted()))
    assert [(event.stage, event.final, event.reached) for event in driver.painted()] == [
        ("linear", False, "decoded"),
        ("decoded", True, "decoded"),
    ]


def test_a_prefix_replaces_the_small_picture_at_its_last_stage_at_once(driver: Driver, tmp_path: Path) -> None:
    data = stand_in_file(40, 30)
    (tmp_path / "a.sdz").write_bytes(data)
    driver.worker.aim({"shown": first(tmp_path / "a.sdz", tiles=((0, 0),))})
    driver.wait(lambda: any(event.final for event in driver.painted()))
    cut = Version(1, latent_span(data)[0] + 9, "denoised")
    driver.worker.aim({"shown": Goal(tmp_path / "a.sdz", cut, ((0, 0),))})
    driver.wait(lambda: any(event.final for event in driver.painted(cut)))
    assert [event.stage for event in driver.painted(cut)] == ["decoded", "denoised"]
    assert np.array_equal(driver.painted(cut)[-1].pixels, decode(data, session=StandInSession(), max_bytes=cut.limit).pixels)
    plain = Version(1, cut.limit, "linear")
    driver.worker.aim({"shown": Goal(tmp_path / "a.sdz", plain, ((0, 0),))})
    driver.wait(lambda: bool(driver.painted(plain)))
    assert [(event.stage, event.tile, event.final) for event in driver.painted(plain)] == [("linear", None, True)]


def test_96_megapixels_are_decoded_where_they_are_looked_at_only(driver: Driver, tmp_path: Path) -> None:
    data = stand_in_file(12_000, 8_000)
    path = tmp_path / "a.sdz"
    path.write_bytes(data)
    driver.worker.aim({"shown": first(path)})
    driver.wait(lambda: len(driver.painted()) == 2)  # the preview, and then all bytes
    overview = driver.painted()[-1]
    assert (overview.pixels.shape, overview.reduce, overview.final) == ((2000, 3000, 3), 4, False)
    assert driver.sessions == []
    driver.worker.aim({"shown": first(path, tiles=((7, 11), (3, 4), (99, 99)))})
    driver.wait(lambda: len([event for event in driver.painted() if event.tile]) == 2)
    corner, inner = driver.painted()[-2:]
    assert [(event.tile, event.stage, event.final) for event in (corner, inner)] == [
        ((7, 11), "denoised", True),
        ((3, 4), "denoised", True),
    ]
    assert corner.pixels.shape == (8000 - 7 * 1024, 12_000 - 11 * 1024, 3) and inner.pixels.shape == (1024, 1024, 3)
    # each tile with its margins and no more: 54 x 46 positions and one more (the corner), 64 x 64 with two and one around
    assert driver.sessions[0].calls == [("denoise", 54, 48), ("decode", 53, 47), ("denoise", 68, 68), ("decode", 66, 66)]
    opened = sdz.runtime.decode.open_latents(data, pack=PACK)  # type: ignore[arg-type]
    expected = opened.render((slice(192, 256), slice(256, 320)), "denoised", StandInSession())  # type: ignore[arg-type]
    assert np.array_equal(inner.pixels, expected)


def test_tiles_that_were_forgotten_are_decoded_again_when_wanted(driver: Driver, tmp_path: Path) -> None:
    path = tmp_path / "a.sdz"
    path.write_bytes(stand_in_file(40, 30))
    tiles = ((0, 0),)
    for count in (1, 2, 3):
        driver.worker.aim({"shown": first(path, tiles=tiles)})
        driver.wait(lambda count=count: len([event for event in driver.painted() if event.final]) == count)
        driver.worker.aim({"shown": first(path)})


def test_the_newest_goal_wins_while_a_step_is_under_way(driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = held_decoder(monkeypatch, SECONDS)
    for name, width in (("a", 40), ("b", 50), ("c", 60)):
        (tmp_path / f"{name}.sdz").write_bytes(stand_in_file(width, 30))
    driver.worker.aim({"shown": first(tmp_path / "a.sdz")})
    assert begun.wait(SECONDS)
    for serial, name in ((2, "b"), (3, "c")):
        driver.worker.aim({"shown": Goal(tmp_path / f"{name}.sdz", Version(serial, None, "denoised"), ((0, 0),))})
    go_on.set()
    driver.wait(lambda: any(event.final for event in driver.painted()))
    assert [event.serial for event in driver.of(Loaded)] == [1, 3]
    assert {event.version.serial for event in driver.painted()} == {3}


def test_an_ordinary_image_is_what_the_encoder_would_see(driver: Driver, tmp_path: Path) -> None:
    y, x = np.mgrid[0:20, 0:30]
    picture = Image.fromarray(np.dstack([x * 8, y * 12, x + y, 255 - y]).astype(np.uint8))
    picture.save(tmp_path / "a.png")
    driver.worker.aim({"other": first(tmp_path / "a.png")})
    driver.wait(lambda: bool(driver.painted()))
    size = (tmp_path / "a.png").stat().st_size
    assert driver.of(Loaded) == [Loaded("other", 1, Facts(30, 20, "RGBA", size, "PNG", None, None))]
    (event,) = driver.painted()
    assert (event.side, event.tile, event.final, event.stage) == ("other", None, True, "denoised")
    assert np.array_equal(event.pixels, np.asarray(picture))


@pytest.mark.parametrize(("grey", "channels"), [(True, 2), (False, 4)])
def test_alpha_comes_with_every_stage(driver: Driver, tmp_path: Path, grey: bool, channels: int) -> None:
    alpha = np.random.default_rng(1).integers(0, 256, (30, 40), np.uint8)
    (tmp_path / "a.sdz").write_bytes(stand_in_file(40, 30, Chunk(ALPHA, encode_alpha(alpha)), grey=grey))
    driver.worker.aim({"shown": first(tmp_path / "a.sdz", tiles=((0, 0),))})
    driver.wait(lambda: any(event.final for event in driver.painted()))
    for event in driver.painted():
        assert event.pixels.shape == (30, 40, channels)
        assert np.array_equal(event.pixels[:, :, -1], alpha)


def test_the_report_is_that_of_the_bytes_shown(driver: Driver, tmp_path: Path) -> None:
    data = stand_in_file(40, 30)
    (tmp_path / "a.sdz").write_bytes(data)
    for limit in (None, len(data) - 5):
        version = Version(1, limit, "linear")
        driver.worker.aim({"shown": Goal(tmp_path / "a.sdz", version, (), True)})
        driver.wait(lambda version=version: any(event.version == version for event in driver.of(Described)))
    whole, cut = driver.of(Described)
    assert (whole.report["bytes"], cut.report["bytes"]) == (len(data), len(data) - 5)
    assert sum(row["bytes"] for row in cut.report["latents"]["planes"]) == cut.report["spent"]["latents"]


def test_a_device_that_fails_gives_way_to_the_cpu(driver: Driver, tmp_path: Path) -> None:
    driver.failing.add("cuda")
    driver.worker.use("cuda")
    (tmp_path / "a.sdz").write_bytes(stand_in_file(40, 30))
    driver.worker.aim({"shown": first(tmp_path / "a.sdz", tiles=((0, 0),))})
    driver.wait(lambda: any(event.final for event in driver.painted()))
    assert driver.of(Device) == [Device("cpu", "execution provider 'cuda' is broken")]
    assert np.array_equal(driver.painted()[-1].pixels, decode((tmp_path / "a.sdz").read_bytes(), session=StandInSession()).pixels)


def test_a_device_that_fails_at_its_work_gives_way_too(driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = StandInSession.decode
    left = [1]

    def failing(self: StandInSession, *args: Any) -> Any:
        if left:
            left.pop()
            raise ProviderError("execution provider 'webgpu' failed: device lost")
        return decode(self, *args)

    monkeypatch.setattr(StandInSession, "decode", failing)
    driver.worker.use("webgpu")
    (tmp_path / "a.sdz").write_bytes(stand_in_file(40, 30))
    driver.worker.export(Export(tmp_path / "a.sdz", Version(1, None, "denoised"), None))
    driver.wait(lambda: bool(driver.of(Exported)))
    assert driver.of(Device) == [Device("cpu", "execution provider 'webgpu' failed: device lost")]
    assert driver.of(Exported)[0].pixels.shape == (30, 40, 3)


def test_a_cpu_that_fails_is_an_error(driver: Driver, tmp_path: Path) -> None:
    driver.failing.add("cpu")
    (tmp_path / "a.sdz").write_bytes(stand_in_file(40, 30))
    driver.worker.aim({"shown": first(tmp_path / "a.sdz", tiles=((0, 0),))})
    driver.wait(lambda: bool(driver.of(Failed)))
    assert driver.of(Failed) == [Failed("shown", 1, "execution provider 'cpu' is broken")]


def test_what_cannot_be_shown_is_said_in_words_and_the_next_file_is_shown(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = stand_in_file(40, 30)
    bad = {
        "empty.sdz": (b"", "not an .sdz file: it is empty, not with b'SDZ'"),
        "gif.sdz": (b"GIF89a", "not an .sdz file: it begins with b'GIF', not with b'SDZ'"),
        "cut.sdz": (good[:9], "corrupt file: the file ends at byte 9, inside the header (field 'height' at byte 9)"),
        "pack.sdz": (serialize(Header(9, 9, 40, b"\1\1\1"), []), "model pack 010101 is not installed: get the pack of that id"),
        "crc.sdz": (good[:-1] + bytes([good[-1] ^ 1]), "corrupt file: chunk 'L' has CRC"),
        "huge.sdz": (serialize(Header(16_384, 16_384, 40, PACK.id), []), "over a limit: 16384x16384 pixels"),
        "text.png": (b"no image", "not an image that Pillow can read"),
        "alpha.sdz": (serialize(Header(9, 9, 40, PACK.id), [Chunk(ALPHA, b"xx")]), "corrupt file: the zlib stream is broken"),
    }
    for serial, (name, (data, words)) in enumerate(bad.items(), 1):
        (tmp_path / name).write_bytes(data)
        driver.worker.aim({"shown": Goal(tmp_path / name, Version(serial, None, "denoised"), ((0, 0),))})
        driver.wait(lambda serial=serial: len(driver.of(Failed)) == serial)
        assert driver.of(Failed)[-1].serial == serial
        assert driver.of(Failed)[-1].message.startswith(words)
    driver.worker.aim({"shown": Goal(tmp_path / "none.sdz", Version(90, None, "denoised"))})
    driver.wait(lambda: driver.of(Failed)[-1].serial == 90)
    assert driver.of(Failed)[-1].message == f"No such file or directory ({tmp_path}/none.sdz)"
    os.mkfifo(tmp_path / "pipe.sdz")
    driver.worker.aim({"shown": Goal(tmp_path / "pipe.sdz", Version(80, None, "denoised"))})
    driver.wait(lambda: driver.of(Failed)[-1].serial == 80)
    assert driver.of(Failed)[-1].message == "pipe.sdz is not a file"
    (tmp_path / "a.sdz").write_bytes(good)
    with monkeypatch.context() as small:
        small.setattr(sdz.runtime.viewer.decoding.picture, "MAX_FILE_BYTES", len(good) - 1)
        driver.worker.aim({"shown": Goal(tmp_path / "a.sdz", Version(91, None, "denoised"))})
        driver.wait(lambda: driver.of(Failed)[-1].serial == 91)
    assert driver.of(Failed)[-1].message.startswith(f"over a limit: {len(good)} bytes")
    Image.new("L", (3, 2)).save(tmp_path / "photo.png")
    driver.worker.aim({"shown": Goal(tmp_path / "photo.png", Version(92, None, "denoised"))})
    driver.wait(lambda: bool(driver.painted()))
    assert driver.painted()[0].pixels.shape == (2, 3, 3)


def test_saving_writes_what_is_shown_or_nothing(driver: Driver, tmp_path: Path) -> None:
    data = stand_in_file(40, 30)
    path = tmp_path / "a.sdz"
    path.write_bytes(data)
    version = Version(1, len(data) - 3, "decoded")
    for name in ("out.png", "out.webp", "out.avif"):
        driver.worker.export(Export(path, version, tmp_path / name))
    driver.worker.export(Export(path, version, tmp_path / "missing" / "out.png"))
    driver.wait(lambda: len(driver.of(Exported)) == 4)
    assert [event.problem for event in driver.of(Exported)[:3]] == [None, None, None]
    assert driver.of(Exported)[3].problem.startswith("No such file or directory")
    with Image.open(tmp_path / "out.png") as image:
        assert np.array_equal(np.asarray(image), decode(data, stage="decoded", session=StandInSession(), max_bytes=version.limit).pixels)
    for name, kind in (("out.webp", "WEBP"), ("out.avif", "AVIF")):
        with Image.open(tmp_path / name) as image:
            assert (image.format, image.size) == (kind, (40, 30))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.sdz", "out.avif", "out.png", "out.webp"]


def test_pictures_stand_as_a_person_would_sort_them(tmp_path: Path) -> None:
    for name in ("b10.sdz", "B9.png", "a.jpg", ".hidden.sdz", "notes.txt", "b9.sdz"):
        (tmp_path / name).touch()
    (tmp_path / "folder.sdz").mkdir()
    names = [path.name for path in shown_in(tmp_path)]
    assert names == ["a.jpg", "B9.png", "b9.sdz", "b10.sdz"]
    walk = Walk.around(tmp_path / "b9.sdz")
    assert (walk.at, walk.to(99).path.name, walk.to(-5).path.name) == (2, "b10.sdz", "a.jpg")
    assert Walk.around(tmp_path / "new.sdz").path == tmp_path / "new.sdz"
    assert Walk.around(tmp_path / "gone" / "a.sdz").paths == (tmp_path / "gone" / "a.sdz",)


def test_the_original_lies_beside_the_file(tmp_path: Path) -> None:
    for name in ("a[1].jpg", "a[1].webp", "a1.png", "b.txt"):
        (tmp_path / name).touch()
    assert original_of(tmp_path / "a[1].sdz") == tmp_path / "a[1].jpg"
    assert original_of(tmp_path / "b.sdz") is None
    assert original_of(tmp_path / "a1.png") is None
