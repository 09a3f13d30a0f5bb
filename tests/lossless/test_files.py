"""Files with a lossless tail: encoder, decoder and command line, on the stand-in pack."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from standins import StandInPack, StandInSession

import sdz.runtime.decode
import sdz.runtime.pack
import sdz.runtime.session
from sdz.runtime.cli import main
from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.errors import CorruptFileError
from sdz.runtime.format.container import ALT_TEXT, EXIF, LATENTS, LOSSLESS, Chunk, parse, serialize

PACK = StandInPack()


def photo(height: int = 40, width: int = 50, planes: int = 3) -> NDArray[np.uint8]:
    rng = np.random.default_rng(5)
    ramp = np.linspace(30, 200, width)[None, :, None] + np.linspace(0, 40, height)[:, None, None]
    return (ramp + rng.normal(0, 5, (height, width, planes))).clip(0, 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sdz.runtime.pack, "find_pack", lambda pack_id: PACK)
    monkeypatch.setattr(sdz.runtime.decode, "find_pack", lambda pack_id: PACK)
    monkeypatch.setattr(sdz.runtime.pack, "default_pack", lambda: PACK)
    monkeypatch.setattr(sdz.runtime.session, "Session", lambda pack, *_, **__: StandInSession(pack))
    monkeypatch.setattr(StandInPack, "verify", lambda self: None, raising=False)
    monkeypatch.chdir(tmp_path)


def made(pixels: NDArray[np.uint8], **options: object) -> bytes:
    return encode(pixels, session=StandInSession(PACK), lossless=True, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("planes", [1, 3])
def test_the_photo_comes_back(planes: int) -> None:
    pixels = photo(planes=planes)
    image = decode(made(pixels), session=StandInSession(PACK))  # type: ignore[arg-type]
    assert np.array_equal(image.pixels, pixels)
    assert (image.exact_rows, image.complete, image.stage) == (40, True, "denoised")


def test_alpha_and_what_it_shows_come_back() -> None:
    pixels = photo(planes=4)
    pixels[:9, :, 3] = 0
    image = decode(made(pixels), session=StandInSession(PACK))  # type: ignore[arg-type]
    assert np.array_equal(image.pixels[9:], pixels[9:]) and not image.pixels[:9, :, 3].any()


def test_the_size_asked_for_is_that_of_the_picture_before_the_tail() -> None:
    pixels = photo()
    plain = encode(pixels, session=StandInSession(PACK), target_size=150, alt="x")  # type: ignore[arg-type]
    data = made(pixels, target_size=150, alt="x")
    assert data.startswith(plain)
    assert [c.tag for c in parse(data).chunks] == [ALT_TEXT, LATENTS, LOSSLESS]


def test_the_tail_stands_before_the_exif_block() -> None:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "maker"
    Image.fromarray(photo()).save(out, "PNG", exif=exif)
    data = encode(out.getvalue(), session=StandInSession(PACK), lossless=True, keep_metadata=True)  # type: ignore[arg-type]
    assert [c.tag for c in parse(data).chunks] == [LATENTS, LOSSLESS, EXIF]


def test_every_prefix_is_an_image() -> None:
    pixels = photo()
    data = made(pixels)
    container = parse(data)
    session = StandInSession(PACK)
    without = decode(data, session=session, lossless=False).pixels  # type: ignore[arg-type]
    tail = container.find(LOSSLESS)
    assert tail is not None
    for cut in range(container.header_bytes, len(data), 97):
        image = decode(data[:cut], session=session)  # type: ignore[arg-type]
        assert (image.exact_rows, image.complete) == (0, cut == tail.offset)
        if cut >= tail.offset:
            assert np.array_equal(image.pixels, without)


def test_other_stages_and_no_lossless_leave_the_tail_alone() -> None:
    pixels = photo()
    data = made(pixels)
    for options in ({"stage": "linear"}, {"stage": "decoded"}, {"lossless": False}, {"stage": "linear", "reduce": 2}):
        image = decode(data, session=StandInSession(PACK), **options)  # type: ignore[arg-type]
        assert image.exact_rows == 0 and not np.array_equal(image.pixels, pixels)


def test_a_tail_without_whole_latents_before_it_is_none() -> None:
    data = made(photo())
    container = parse(data)
    latents, tail = container.chunks
    for chunks in ([tail], [tail, latents]):
        image = decode(serialize(container.header, chunks), session=StandInSession(PACK))  # type: ignore[arg-type]
        assert image.exact_rows == 0


def test_a_broken_tail_is_a_corrupt_file() -> None:
    container = parse(made(photo()))
    latents, tail = container.chunks
    with pytest.raises(CorruptFileError) as caught:
        decode(serialize(container.header, [latents, Chunk(LOSSLESS, tail.payload[:-1])]), session=StandInSession(PACK))  # type: ignore[arg-type]
    assert caught.value.field == "lossless tail"


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    pixels = photo()
    Image.fromarray(pixels).save("a.png")
    Image.fromarray(255 - pixels).save("other.png")
    assert main(["encode", "a.png", "-o", "a.sdz", "--lossless", "--bpp", "0.9"]) == 0
    assert main(["encode", "a.png", "-o", "b.sdz", "--bpp", "0.9"]) == 0
    assert main(["decode", "a.sdz", "-o", "back.png"]) == 0
    assert main(["decode", "a.sdz", "-o", "decode.png", "--no-lossless"]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "a.sdz -> back.png: 50x40 RGB, the exact pixels",
        "a.sdz -> decode.png: 50x40 RGB, decoded",
    ]
    assert np.array_equal(np.asarray(Image.open("back.png")), pixels)
    assert not np.array_equal(np.asarray(Image.open("decode.png")), pixels)
    assert main(["verify", "a.sdz", "b.sdz"]) == 0
    assert main(["verify", "a.sdz", "--against", "a.png"]) == 0
    assert capsys.readouterr().out.splitlines() == ["a.sdz: ok, with the exact pixels", "b.sdz: ok", "a.sdz: ok, exactly the photo"]
    assert main(["verify", "a.sdz", "--against", "other.png"]) == 1
    assert main(["verify", "b.sdz", "--against", "a.png"]) == 1
    problems = capsys.readouterr().err
    assert "2000 pixels differ from the photo's" in problems and "the file has no lossless tail" in problems
    Path("broken.png").write_bytes(b"\x89PNG")
    unreadable = {"none.png": "No such file or directory", "broken.png": "not an image that Pillow can read", ".": "Is a directory"}
    for path, why in unreadable.items():
        assert main(["verify", "a.sdz", "--against", path]) == 1
        assert capsys.readouterr().err == f"sdz: the photo {path} cannot be read: {why}\n"
    assert main(["info", "--json", "--webp", "a.sdz", "b.sdz"]) == 0
    first, second = json.loads(capsys.readouterr().out)["files"]
    tail = parse(Path("a.sdz").read_bytes()).find(LOSSLESS)
    assert tail is not None
    webp = io.BytesIO()
    Image.fromarray(pixels).save(webp, "WEBP", lossless=True, quality=100, method=6)
    assert first["lossless"] == {"bytes": len(tail.payload), "complete": True, "webp": webp.tell()}
    assert first["spent"]["lossless tail"] == len(tail.payload)
    assert second["lossless"] is None
