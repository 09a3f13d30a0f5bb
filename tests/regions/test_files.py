"""Files with regions: what the map changes in the picture, that sizes are met, that every prefix decodes, and the command line."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from sdz.export.site.parts.standins import head_of
from sdz.runtime import engines
from sdz.runtime.cli import main
from sdz.runtime.decode import decode
from sdz.runtime.encode import encode, step_index_for
from sdz.runtime.errors import CorruptFileError, EncodeInputError
from sdz.runtime.format.container import LATENTS, REGIONS, parse, serialize
from sdz.runtime.info import describe
from sdz.runtime.pack import Pack, default_pack
from sdz.runtime.regions.asked import Asked
from sdz.runtime.regions.region_map import RegionMap
from sdz.runtime.session import Session

PHOTO = data.astronaut()[:192, 128:352]
"""224 x 192 pixels, 12 x 14 blocks, with the face in the middle."""

BOX = (80, 64, 48, 48)


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(default_pack())


def error_in(picture: NDArray[np.uint8], box: tuple[int, int, int, int]) -> float:
    left, top, width, height = box
    area = np.s_[top : top + height, left : left + width]
    return float(np.square(picture[area].astype(float) - PHOTO[area]).mean())


def test_a_finer_region_is_nearer_to_the_photo_and_the_rest_is_as_it_was(session: Session) -> None:
    plain, region = (encode(PHOTO, quality=30, tune="faithful", regions=regions, session=session) for regions in (None, [(BOX, 3)]))
    shown, finer = (decode(file, stage="linear").pixels for file in (plain, region))
    assert parse(region).header.step_index == parse(plain).header.step_index - 24 == step_index_for(30) - 24
    # what is left is texture above the 192 functions
    assert error_in(finer, BOX) < 0.35 * error_in(shown, BOX)
    far = (0, 0, 64, 192)
    assert error_in(finer, far) == pytest.approx(error_in(shown, far), rel=0.05)


def test_a_coarser_region_costs_fewer_bytes_and_nothing_else_moves(session: Session) -> None:
    plain, region = (encode(PHOTO, quality=30, regions=regions, session=session) for regions in (None, [((0, 0, 64, 192), -3)]))
    assert parse(region).header.step_index == step_index_for(30)
    assert len(region) < 0.9 * len(plain)
    assert error_in(decode(region).pixels, (0, 0, 64, 192)) > 1.5 * error_in(decode(plain).pixels, (0, 0, 64, 192))


def test_floors_that_are_the_same_everywhere_make_the_file_of_the_coarser_step(session: Session) -> None:
    whole = (0, 0, PHOTO.shape[1], PHOTO.shape[0])
    finer = encode(PHOTO, quality=55, tune="natural", session=session)
    mapped = encode(PHOTO, quality=30, tune="natural", regions=[(whole, 2)], session=session)
    # two octaves are sixteen step indices, 25 points of quality
    assert parse(finer).header.step_index == parse(mapped).header.step_index
    chunk = parse(mapped).find(REGIONS)
    assert chunk is not None
    found = RegionMap.read(chunk.payload, 12, 14, chunk.start)
    assert found.means == 2 and not found.floors.any()


@pytest.mark.parametrize("asked", [{"regions": [(BOX, 2)]}, {"worst": 10}, {"regions": [(BOX, 1)], "effort": 1}])
def test_sizes_are_met_with_regions(asked: dict[str, object], session: Session) -> None:
    file = encode(PHOTO, target_size=2500, session=session, **asked)  # type: ignore[arg-type]
    assert len(file) == 2500
    assert decode(file, session=session).pixels.shape == PHOTO.shape


def test_every_prefix_of_a_file_with_regions_is_a_picture(session: Session) -> None:
    file = encode(PHOTO, quality=30, regions=[(BOX, 2)], session=session)
    chunk = parse(file).find(LATENTS)
    assert chunk is not None
    errors = [error_in(decode(file[: round(len(file) * share)], stage="linear").pixels, BOX) for share in (0.02, 0.1, 0.3, 0.6, 1.0)]
    assert errors == sorted(errors, reverse=True)
    assert decode(file[: chunk.start]).pixels.shape == PHOTO.shape


def test_what_finds_nothing_makes_the_file_without_a_map(session: Session) -> None:
    grey = np.full((64, 64, 3), 120, np.uint8)
    assert encode(grey, quality=30, protect="text,faces", session=session) == encode(grey, quality=30, session=session)


def test_a_face_that_is_protected_is_nearer(session: Session) -> None:
    plain, protected = (encode(PHOTO, bpp=0.4, protect=protect, session=session) for protect in ((), ("faces",)))
    face, far = (64, 80, 64, 64), (0, 0, 224, 32)
    shown, nearer = (decode(file).pixels for file in (plain, protected))
    # coarser outside, it would be shown with more of what is invented: of that it has less, for the face's sake
    assert [parse(file).header.realism for file in (plain, protected)] == [5, 7]
    assert error_in(nearer, face) < 0.95 * error_in(shown, face)
    assert error_in(nearer, far) > error_in(shown, far)


def test_the_worst_blocks_become_better(session: Session) -> None:
    plain, worst = (encode(PHOTO, quality=25, worst=share, session=session) for share in (None, 8))

    def largest(file: bytes) -> float:
        squares = np.square(decode(file).pixels.astype(float) - PHOTO).mean(axis=2)
        return float(np.sort(squares.reshape(12, 16, 14, 16).mean(axis=(1, 3)).ravel())[-12:].mean())

    assert largest(worst) < 0.75 * largest(plain)


def test_the_worst_blocks_are_found_with_the_networks_that_encode(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Session] = []
    start = Session.__init__

    def counted(self: Session, pack: Pack) -> None:
        opened.append(self)
        start(self, pack)

    monkeypatch.setattr(Session, "__init__", counted)
    monkeypatch.setattr(engines, "networks_of", None)
    expected = encode(PHOTO, quality=25, worst=8, session=session)
    assert opened == []
    assert encode(PHOTO, quality=25, worst=8) == expected
    assert len(opened) == 1


def test_a_broken_map_is_told_with_its_place(session: Session) -> None:
    file = encode(PHOTO, quality=30, regions=[(BOX, 2)], session=session)
    container = parse(file)
    chunks = [c if c.tag != REGIONS else type(c)(REGIONS, c.payload[:-2]) for c in container.chunks]
    broken = serialize(container.header, chunks)
    start = container.chunks[0].start
    with pytest.raises(CorruptFileError) as caught:
        decode(broken)
    assert (caught.value.offset, caught.value.field) == (start, "regions")
    with pytest.raises(CorruptFileError):
        describe(broken)


def test_the_command_line_has_regions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo, mask = tmp_path / "photo.png", tmp_path / "mask.png"
    Image.fromarray(PHOTO).save(photo)
    white = np.zeros(PHOTO.shape[:2], np.uint8)
    white[:16, :16] = 255
    Image.fromarray(white).save(mask)
    out = tmp_path / "photo.sdz"
    for options, octaves in (
        (["--region", "80,64,48,48:+2", "--region", "0,0,16,16:-1"], {"-1": 4, "+0": 139, "+2": 25}),
        (["--mask", str(mask)], {"+0": 164, "+1": 4}),
    ):
        assert main(["encode", str(photo), "-o", str(out), "--force", "--quiet", *options]) == 0
        assert main(["info", "--json", str(out)]) == 0
        assert json.loads(capsys.readouterr().out)["files"][0]["regions"] == octaves
    assert main(["info", str(out)]) == 0
    assert "regions     +0: 164 positions, +1: 4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--region", "0,0,5"], "'0,0,5' is not X,Y,W,H or X,Y,W,H:+N"),
        (["--region", "0,0,5,5:+5"], "5 octaves are too many, at most 4 are possible"),
        (["--protect", "cats"], "'cats' cannot be protected, text and faces can"),
        (["--worst", "0"], "'0' is not over 0 and at most 100"),
        (["--region", "0,0,5,5", "--mask", "m.png"], "not allowed with argument"),
    ],
)
def test_options_that_make_no_sense(options: list[str], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["encode", "photo.png", "-o", str(tmp_path / "photo.sdz"), *options])
    assert caught.value.code == 2
    assert problem in capsys.readouterr().err


def test_a_mask_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(photo)
    assert main(["encode", str(photo), "-o", str(tmp_path / "photo.sdz"), "--mask", str(tmp_path / "none.png")]) == 1
    assert f"the mask {tmp_path}/none.png cannot be read: No such file or directory\n" in capsys.readouterr().err
    assert not (tmp_path / "photo.sdz").exists()


def test_a_pack_without_planes_has_no_regions() -> None:
    pack = SimpleNamespace(quantizer="indices", name="book")
    with pytest.raises(EncodeInputError, match="pack book has no regions: its latents are not sent in planes"):
        Asked(PHOTO, pack, [(BOX, 1)], (), None).octaves(lambda: PHOTO)  # type: ignore[arg-type]


def test_the_first_bytes_in_a_page_hold_the_map(session: Session) -> None:
    plain, region = (encode(PHOTO, quality=30, regions=regions, session=session) for regions in (None, [(BOX, 1)]))
    assert head_of(plain, 60) == plain[:60]
    head, chunk = head_of(region, 60), parse(region).find(REGIONS)
    # the map and what frames it: its tag, length and CRC, and of the latents' a tag and half a CRC
    assert chunk is not None and head == region[: 60 + len(chunk.payload) + 6 + 3]
    errors = [error_in(decode(data, stage="linear").pixels, (0, 0, 224, 192)) for data in (head, plain[:60])]
    assert errors[0] == pytest.approx(errors[1], rel=0.1)
