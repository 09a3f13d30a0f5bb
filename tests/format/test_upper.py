"""Upper functions: the order of the functions, bad tables, the exact analysis, and files that no network has a part in."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdz.runtime import limits
from sdz.runtime.core import Core
from sdz.runtime.decode import decode, open_latents
from sdz.runtime.encode import encode, step_index_for
from sdz.runtime.errors import CorruptPackError, LimitError
from sdz.runtime.format.coder_tables import CoderTables
from sdz.runtime.format.container import parse
from sdz.runtime.format.separable import SeparableTable, separable_bytes, upper_functions
from sdz.runtime.info import describe
from sdz.runtime.pack import default_pack
from sdz.runtime.refining.analysis import exact_latents

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vectors"))

import make_fine

FILES = {path.name: path.read_bytes() for path in (make_fine.FOLDER / "pack").iterdir()}
TABLES = FILES["coder.bin"]
PACK = default_pack()


class NoSession:
    """Stands where networks would run."""

    pack = PACK

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a fine file asks for no network ({name})")


def photo(height: int, width: int) -> np.ndarray:
    """Smooth shades with a little of every frequency."""
    y, x = np.mgrid[:height, :width]
    levels = [128 + 60 * np.sin(x / (9 + c)) + 40 * np.cos(y * x / 900 + c) + 8 * ((x * 7 + y * 13 + c * 5) % 11 - 5) for c in range(3)]
    return np.clip(np.stack(levels, axis=2), 0, 255).astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square(a.astype(np.float64) - b).mean()))


def test_the_functions_that_no_channel_has_in_their_order() -> None:
    found = upper_functions(make_fine.FUNCTIONS)
    assert len(found) == 768 - 10 and not set(found) & set(make_fine.FUNCTIONS)
    assert found[:6] == [(0, 2, 0), (0, 1, 2), (0, 2, 1), (0, 2, 2), (0, 0, 3), (0, 3, 0)]
    # 25 is 0 + 25 and 9 + 16
    assert found[10:15] == [(0, 0, 4), (0, 4, 0), (0, 1, 4), (0, 4, 1), (0, 3, 3)]
    assert found[-1] == (2, 15, 15)


def test_the_default_packs_tables_have_them() -> None:
    table, coder = SeparableTable.from_bytes(PACK.linear_bytes), PACK.coder
    assert len(PACK.linear_bytes) == separable_bytes(192, 16, True) == 1504
    assert table.upper is not None and table.upper.tolist() == [22938, 25395, 25395]
    assert coder.upper_sizes.tolist() == [63, 53, 24, 46, 70, 88, 28, 46, 70, 88] and coder.upper_step.tolist() == [37]
    assert [tuple(f) for f in coder.function.T.tolist()] == table.functions[:192]
    assert CoderTables.from_bytes(coder.to_bytes()).to_bytes() == PACK.coder_bytes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"upper_step": np.array([81], np.uint8)}, "a channel that does not exist"),
        ({"upper_sizes": np.array([100, 80, 70, 200, 250, 57], np.uint8)}, "a channel that does not exist"),
        ({"upper_sizes": np.array([0, 180, 70, 200, 250, 58], np.uint8)}, "near and far passes of channel 0"),
        ({"function": np.array([*make_fine.FUNCTIONS[:9], (3, 0, 1)], np.uint8).T}, "a channel that does not exist \\(9\\)"),
        ({"function": np.array([*make_fine.FUNCTIONS[:9], (0, 16, 1)], np.uint8).T}, "a channel that does not exist \\(9\\)"),
        ({"function": np.array([*make_fine.FUNCTIONS[:9], (0, 1, 1)], np.uint8).T}, "a channel that does not exist \\(9\\)"),
        ({"upper_order": np.array([[0, 1], *[[0, 0]] * 5], np.int16)}, "near and far passes of channel 0"),
        ({"upper_order": np.array([*[[0, 0]] * 5, [10, 0]], np.int16)}, "near and far passes of channel 5"),
    ],
)
def test_bad_tables_are_refused(change: dict[str, np.ndarray], message: str) -> None:
    core = Core()
    with pytest.raises(CorruptPackError, match=message):
        core.tables(replace(CoderTables.from_bytes(TABLES), **change).to_bytes())
    assert core.held() == 0 and core.tables(TABLES)


def test_bad_linear_tables_are_refused() -> None:
    core, good, lapping = Core(), FILES["linear.bin"], np.array(make_fine.LAPPING, np.int32)
    table = SeparableTable.from_bytes(good)
    twice = replace(table, row=np.append(table.row[:-1], 0), column=np.append(table.column[:-1], 1)).to_bytes()

    def opened(data: bytes, lapping: np.ndarray | None = lapping) -> int:
        return core.linear(data, 10, 16, 12, 1 << 16, lapping)

    for data, problem in (
        (good[:7] + b"\0" + good[8:], "none, or another pack's"),
        (good[:7] + b"\2" + good[8:], "none, or another pack's"),
        (good[:-6], "none, or another pack's"),
        (good[:-1], "wrong size"),
        (twice, "no function for"),
    ):
        with pytest.raises(CorruptPackError, match=problem):
            opened(data)
    with pytest.raises(CorruptPackError, match="no function for"):
        opened(good, None)
    assert core.held() == 0 and opened(good)


def test_tables_whose_linear_table_lacks_them_are_a_corrupt_pack() -> None:
    pack = make_fine.load_pack(FILES)
    pack.linear_bytes = pack.linear_bytes[:7] + b"\0" + pack.linear_bytes[8:-6]
    with pytest.raises(CorruptPackError, match="no function for channel 10"):
        decode((make_fine.FOLDER / "plain.sdz").read_bytes(), stage="linear", pack=pack)


def test_the_analysis_undoes_the_stage() -> None:
    rgb = photo(37, 50)
    latents = exact_latents(rgb, PACK)
    assert latents.shape == (768, 3, 4) and latents.dtype == np.float32
    found = decode(encode(rgb, target_size=1 << 16)).pixels
    # half a level: the step is one, and the pixels are whole
    assert psnr(found, rgb) > 53.0 and np.abs(found.astype(int) - rgb).max() <= 3


@pytest.mark.parametrize("tune", ["natural", "faithful"])
def test_a_fine_file_needs_no_network(tune: Any) -> None:
    rgb = photo(70, 90)
    assert (step_index_for(67), step_index_for(68)) == (37, 36)
    data = encode(rgb, quality=67, tune=tune, session=NoSession())  # type: ignore[arg-type]
    header = parse(data).header
    assert (header.step_index, header.tilt) == (37, -2 if tune == "natural" else 0)
    for prefix in (data, data[: len(data) // 2], data[:12]):
        image = decode(prefix, session=NoSession())  # type: ignore[arg-type]
        assert image.stage == "linear" and image.pixels.shape == rgb.shape
        assert np.array_equal(image.pixels, decode(prefix, stage="linear").pixels)
    opened = open_latents(data)
    assert opened.picture.fine and opened.reached("decoded") == "linear"
    assert not open_latents(encode(rgb, quality=66)).picture.fine


def test_effort_changes_nothing_of_a_fine_file() -> None:
    rgb = photo(33, 40)
    assert encode(rgb, quality=80, effort=2) == encode(rgb, quality=80)


def test_finer_files_are_larger_and_nearer() -> None:
    rgb = photo(64, 80)
    sizes, likeness = [], []
    for quality in (66, 67, 75, 85, 100):
        data = encode(rgb, quality=quality, tune="faithful")
        sizes.append(len(data))
        likeness.append(psnr(decode(data).pixels, rgb))
    assert sizes == sorted(sizes) and likeness == sorted(likeness) and likeness[-1] > 44.0


def test_info_says_that_no_network_is_needed_and_where_the_bytes_went() -> None:
    rgb = photo(64, 80)
    report = describe(encode(rgb, quality=90))
    assert report["networks"] is False
    latents = report["latents"]
    assert latents["channels"][-1] == "upper" and sum(row["bands"][-1] for row in latents["planes"]) > 0
    assert sum(row["bytes"] for row in latents["planes"]) == report["spent"]["latents"]
    assert describe(encode(rgb, quality=40))["networks"] is True


def test_a_picture_of_too_many_latents_is_refused_by_its_header() -> None:
    """768 functions of 418 x 418 positions are fewer than 2**27, those of 418 x 419 are not; without upper functions both are few."""
    core = Core()
    handle = core.tables(PACK.coder.stored)
    before = core.held()
    with pytest.raises(LimitError) as caught:
        core.decode(handle, b"", 418, 419, 37)
    assert str(caught.value) == "over a limit: a picture of more than 134217728 latents (field 'width x height')"
    assert core.held() == before and core.usable
    for columns, step_index, regions in ((418, 37, None), (419, 38, None), (419, 30, b"\x01")):
        if regions is not None:
            regions = core.regions(1, np.zeros((418, columns), np.uint8))
        picture = core.decode(handle, b"", 418, columns, step_index, 0, regions)
        # no latent takes memory before it is there
        assert core.held() - before < 4 * 10**6
        core.free(picture)
    assert core.held() == before


def test_a_photo_of_too_many_latents_is_written_with_networks_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = photo(64, 80)
    whole = encode(pixels, quality=67)
    monkeypatch.setattr(limits, "MAX_LATENTS", 20 * 768)
    assert encode(pixels, quality=67) == whole
    monkeypatch.setattr(limits, "MAX_LATENTS", 20 * 768 - 1)
    with pytest.raises(LimitError) as caught:
        encode(pixels, quality=67)
    assert caught.value.field == "width x height"
    assert parse(encode(pixels, target_size=100_000)).header.step_index == 38
