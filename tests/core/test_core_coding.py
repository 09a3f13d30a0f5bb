"""The exact core's coding, reconstruction and linear stage against the slow reference: the same integers and pixels, both directions."""

from __future__ import annotations

import json
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from numpy_forms import reduced, reduced_stage
from oracles import assign, filter_band
from reference import decoder as reference
from reference.indices import decode_indices
from reference.pixels import linear_pixels, read_alpha
from reference.planes import KnownPlanes, decode_planes
from reference.reconstruction import channel_steps, filled, guarded, read_palette, reconstruct, reconstruct_indices
from reference.regions import read_regions
from reference.upper import upper_levels

from sdz.runtime.core import Core, FilterError, PaletteError
from sdz.runtime.errors import CoreError, CorruptPackError, EncodeInputError, LimitError
from sdz.runtime.format.container import ALPHA, LATENTS, PALETTE_LATENTS, REGIONS, parse
from sdz.runtime.format.linear import reductions
from sdz.runtime.pack import BUILT_IN, DEFAULT

FOLDER = Path(__file__).resolve().parent.parent / "vectors"
sys.path.insert(0, str(FOLDER))

import make_indices  # noqa: E402

PACK = reference.Pack.of_vectors(FOLDER / "pack", "planes")
INDEX_PACK = make_indices.load_pack({path.name: path.read_bytes() for path in (make_indices.FOLDER / "pack").iterdir()})
INDICES = reference.Pack.of_vectors(FOLDER / "indices" / "pack", "indices")
TABLES = (FOLDER / "pack" / "coder.bin").read_bytes()
VALID = sorted(path.stem for path in (FOLDER / "valid").glob("*.sdz"))
PALETTES = sorted(path.stem for path in (FOLDER / "palette").glob("*.sdz"))


class Opened:
    """A core with a pack's coder tables and linear stage."""

    def __init__(self, pack: reference.Pack) -> None:
        self.pack = pack
        self.core = Core()
        self.tables = self.core.tables(pack.files["coder"])
        lapping = None if pack.lapping is None else np.array(pack.lapping, np.int32)
        self.linear = self.core.linear(pack.files["linear"], pack.channels, pack.patch, pack.shift, pack.l1_limit, lapping)

    def compare(self, payload: bytes, rows: int, columns: int, step_index: int, tilt: int = 0, regions: bytes | None = None) -> None:
        """All that the core makes of a payload against all that the reference makes of it."""
        pack, core = self.pack, self.core
        held = core.held()
        found_map = None if regions is None else read_regions(regions, 0, rows, columns)
        known = decode_planes(payload, rows, columns, step_index, pack.planes, tilt, found_map)
        steps = channel_steps(step_index, tilt, pack.octaves, pack.channels)
        latents = reconstruct(known, steps, pack.rho, pack.l1_limit)
        picture = core.decode(self.tables, payload, rows, columns, step_index, tilt, regions)
        core.quantization(picture, np.array(steps, np.int32), pack.rho, pack.l1_limit)
        facts = core.facts(picture)
        values, plane = core.known(picture, facts)
        assert facts.complete == known.complete and facts.codes == int(latents.precision.sum())
        assert np.array_equal(values, known.integers) and np.array_equal(plane, known.plane)
        found = core.latents(picture, pack.channels, 0, 0, rows, columns)
        for mine, expected in zip(found, (latents.values, latents.levels, latents.precision, latents.half_width), strict=True):
            assert np.array_equal(mine, expected)
        painted = filled(latents, known, steps, pack.rho, pack.planes.mean_fill, pack.l1_limit)
        rgba = core.paint_linear(picture, self.linear, 0, 0, rows, columns, pack.patch)
        fine = len(known.integers) > pack.channels
        more = upper_levels(known, pack.planes, step_index, tilt, pack.rho, pack.files["linear"]) if fine else None
        assert np.array_equal(rgba[:, :, :3], linear_pixels(painted, pack.linear, pack.patch, pack.shift, pack.lapping, more))
        assert (rgba[:, :, 3] == 255).all()
        lapping = None if pack.lapping is None else np.array(pack.lapping, np.int32)
        for factor in reductions(pack.patch):
            side = pack.patch // factor
            table, shift = reduced(pack.linear, pack.shift, factor, lapping)
            rgba = core.paint_linear(picture, self.linear, 0, 0, rows, columns, side, factor)
            assert np.array_equal(rgba[:, :, :3], reduced_stage(painted.astype(np.int32), table, shift, side))
        assert [tuple(one) for one in facts.passes.tolist()] == known.passes
        assert facts.ends[: len(known.ends)].tolist() == known.ends
        core.free(picture)
        assert core.held() == held


@pytest.fixture(scope="module")
def vectors() -> Opened:
    return Opened(PACK)


@pytest.fixture(scope="module")
def default() -> Opened:
    return Opened(reference.Pack.of_folder(BUILT_IN / DEFAULT))


@pytest.mark.parametrize("name", VALID)
def test_valid_vectors(name: str, vectors: Opened) -> None:
    container = parse((FOLDER / "valid" / f"{name}.sdz").read_bytes())
    header, chunk = container.header, container.find(LATENTS)
    sides = (-(-header.height // 16), -(-header.width // 16))
    regions = container.find(REGIONS)
    payloads = [None if found is None else found.payload for found in (chunk, regions)]
    vectors.compare(payloads[0] or b"", *sides, header.step_index, header.tilt, payloads[1])


@pytest.mark.parametrize(
    "name", [name for name in PALETTES if "error" not in json.loads((FOLDER / "palette" / f"{name}.json").read_bytes())]
)
def test_palettes(name: str, vectors: Opened) -> None:
    container = parse((FOLDER / "palette" / f"{name}.sdz").read_bytes())
    header, chunk = container.header, container.find(PALETTE_LATENTS)
    rows, columns = -(-header.height // 16), -(-header.width // 16)
    integers = np.zeros((60, rows, columns), np.int32) if chunk is None else read_palette(chunk.payload, 0, 60, rows, columns)
    known = KnownPlanes(integers, np.full(integers.shape, 15 if chunk is None else 0), chunk is not None)
    steps = [header.step_index] * 60
    expected = reconstruct(known, steps, PACK.rho, PACK.l1_limit)
    raw = None if chunk is None else zlib.decompress(chunk.payload)
    picture = vectors.core.palette(raw, 60, rows, columns)
    vectors.core.quantization(picture, np.array(steps, np.int32), PACK.rho, PACK.l1_limit)
    found = vectors.core.latents(picture, 60, 0, 0, rows, columns)
    for mine, theirs in zip(found, (expected.values, expected.levels, expected.precision, expected.half_width), strict=True):
        assert np.array_equal(mine, theirs)
    assert vectors.core.facts(picture).complete == (chunk is not None)
    vectors.core.free(picture)


def test_bad_palettes_are_refused(vectors: Opened) -> None:
    good = b"\1" + bytes(range(6)) + b"\0\1\1\0"
    for raw, position in ((good[:-1], None), (good + b"\0", None), (b"", None), (b"\2" + good[1:], None), (good[:-1] + b"\2", 3)):
        with pytest.raises(PaletteError) as caught:
            vectors.core.palette(raw, 3, 2, 2)
        assert caught.value.position == position
    vectors.core.free(vectors.core.palette(good, 3, 2, 2))


def random_integers(random: np.random.Generator, channels: int) -> tuple[NDArray[np.int32], int]:
    """Means two bits shorter than the others may be: a pyramid's coefficients are longer than its values."""
    rows, columns = random.integers(1, 9, 2)
    top = 2 ** int(random.integers(1, 16)) - 1
    spread = random.laplace(0.0, 1.0, (channels, rows, columns)) * top ** random.random()
    most = np.where(np.arange(channels) < 3, min(top, 2**13 - 1), top)[:, None, None]
    return np.rint(spread).clip(-most, most).astype(np.int32), int(random.integers(0, 81))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("which", ["vectors", "default"])
def test_both_directions_on_random_integers(which: str, seed: int, request: pytest.FixtureRequest) -> None:
    opened: Opened = request.getfixturevalue(which)
    pack, core = opened.pack, opened.core
    random = np.random.default_rng(seed)
    source, step_index = random_integers(random, pack.channels)
    base = seed % 3 if seed % 2 else 0
    if step_index + 8 * base <= pack.planes.upper_step:
        small = source[:, :2, :2]
        source = np.concatenate([small, random.integers(-3, 4, (768 - pack.channels, *small.shape[1:])).astype(np.int32)])
    rows, columns = source.shape[1:]
    regions, found = None, None
    if seed % 2:
        floors = random.integers(0, 4, (rows, columns), np.uint8)
        source[pack.planes.means :] = np.sign(source[pack.planes.means :]) * (np.abs(source[pack.planes.means :]) >> floors << floors)
        regions = core.regions(base, floors)
        found = read_regions(regions, 0, rows, columns)
        assert found.base == base and np.array_equal(found.floors, floors)
        assert np.array_equal(core.floors(regions, rows, columns)[1], floors)
    payload, chances = core.encode(opened.tables, source, step_index, regions=regions, room=1 << 20, chances=True)
    known = decode_planes(payload, rows, columns, step_index, pack.planes, regions=found)
    assert known.complete and np.array_equal(known.integers, source)
    assert chances is not None and np.array_equal(chances, known.chances)
    # the fewest bytes that say it
    assert not payload or not decode_planes(payload[:-1], rows, columns, step_index, pack.planes, regions=found).complete
    for part in (payload, payload[: len(payload) // 2], payload[: len(payload) // 9], random.bytes(len(payload) // 2 + 1)):
        opened.compare(part, rows, columns, step_index, regions=regions)


def test_learning_keeps_what_it_learned(vectors: Opened) -> None:
    core = Core()
    tables = core.tables(TABLES)
    source, step_index = random_integers(np.random.default_rng(4), PACK.channels)
    first = core.encode(tables, source, step_index, room=1 << 20)[0]
    assert core.encode(tables, source, step_index, room=1 << 20, learn=True)[0] == first
    again = core.encode(tables, source, step_index, room=1 << 20)[0]
    assert len(again) < len(first)
    probability, count, weight = core.states(tables)
    stored, counts = np.array(PACK.planes.probability, np.uint16), np.array(PACK.planes.count, np.uint8)
    assert not np.array_equal(probability, stored) and weight.dtype == np.int16
    core.set_states(tables, stored, counts)
    assert not np.array_equal(count, counts)
    assert np.array_equal(core.states(tables)[0], stored)
    assert np.array_equal(core.states(tables)[1], counts)


@pytest.mark.parametrize("seed", range(12))
def test_indices(seed: int) -> None:
    core, tables = Core(), INDEX_PACK.indices
    handle = core.tables(tables.to_bytes())
    state = tables.start()
    assert all(np.array_equal(a, b) for a, b in zip(core.states(handle), (state.probability, state.count, state.weights), strict=True))
    random = np.random.default_rng(seed)
    rows, columns = (int(n) for n in random.integers(1, 30, 2))
    coarse = int(random.choice([1, 9]))
    entries = random.integers(0, len(tables.codebook), (rows, columns)) // coarse * coarse
    levels = int(random.integers(0, tables.levels + 1))
    payload = core.encode(handle, entries.astype(np.int32), levels=levels, room=1 << 20)[0]
    nodes = decode_indices(payload, rows, columns, INDICES.indices).node
    held = INDICES.indices.entries
    for node, entry in zip(nodes.flat, entries.flat, strict=True):
        # bits beyond the levels that were coded may be known by chance
        told = int(node) >> max(0, int(node).bit_length() - 1 - (levels or 16))
        assert held[told][0] <= entry < sum(held[told])
        assert held[told][1] == 1 or told.bit_length() - 1 == levels
    for part in (payload, payload[: int(random.integers(0, len(payload) + 1))], random.bytes(60), b""):
        known = decode_indices(part, rows, columns, INDICES.indices)
        picture = core.decode(handle, part, rows, columns)
        core.quantization(picture, None, 0, INDEX_PACK.l1_limit)
        nodes, plane = core.known(picture, core.facts(picture))
        assert np.array_equal(nodes, known.node) and not plane.size and core.facts(picture).complete == known.complete
        expected = reconstruct_indices(known, INDICES.indices, INDEX_PACK.l1_limit)
        found = core.latents(picture, tables.channels, 0, 0, rows, columns)
        for mine, theirs in zip(found, (expected.values, expected.levels, expected.precision, expected.half_width), strict=True):
            assert np.array_equal(mine, theirs)
        core.free(picture)


def test_windows_are_parts_of_the_whole(default: Opened) -> None:
    core, pack = default.core, default.pack
    source, step_index = random_integers(np.random.default_rng(8), pack.channels)
    source = np.tile(source, (1, 3, 3))[:, :11, :13]
    payload = core.encode(default.tables, np.ascontiguousarray(source), step_index, room=1 << 20)[0]
    picture = core.decode(default.tables, payload[: len(payload) * 2 // 3], *source.shape[1:], step_index)
    core.quantization(picture, np.full(pack.channels, step_index), pack.rho, pack.l1_limit)
    rows, columns = source.shape[1:]
    whole = core.latents(picture, pack.channels, 0, 0, rows, columns)
    pixels = core.paint_linear(picture, default.linear, 0, 0, rows, columns, 16)
    for top, left, height, width in ((0, 0, 1, 1), (2, 3, 5, 4), (rows - 1, 0, 1, columns), (rows - 2, columns - 3, 2, 3)):
        part = core.latents(picture, pack.channels, top, left, height, width)
        for mine, all_of_it in zip(part, whole, strict=True):
            assert np.array_equal(mine, all_of_it[:, top : top + height, left : left + width])
        found = core.paint_linear(picture, default.linear, top, left, height, width, 16)
        assert np.array_equal(found, pixels[top * 16 : (top + height) * 16, left * 16 : (left + width) * 16])
    for window in ((0, 0, 0, 1), (-1, 0, 1, 1), (rows, 0, 1, 1), (0, 1, 1, columns), (0, 0, 1 << 30, 1)):
        with pytest.raises(CoreError, match="out of range"):
            core.paint_linear(picture, default.linear, *window, 1, 16)
    core.free(picture)


def test_the_guard_ends_for_every_input() -> None:
    core = Core()
    random = np.random.default_rng(2)
    extremes = random.choice(np.array([-(2**31), 2**31 - 1, -1, 0, 1], np.int32), (255, 3, 70))
    for limit in (1, 90_000, 1 << 24):
        found = core.guard(extremes, limit)
        assert int(np.abs(found.astype(np.int64)).sum(axis=0).max()) <= limit
        values = random.integers(-(2**27), 2**27, (192, 5, 7)).astype(np.int32)
        found = core.guard(values, limit)
        for y, x in np.ndindex(5, 7):
            assert found[:, y, x].tolist() == guarded(values[:, y, x].tolist(), limit)


@pytest.mark.parametrize("seed", range(8))
def test_alpha_and_palette(seed: int) -> None:
    core, random = Core(), np.random.default_rng(seed)
    height, width = (int(n) for n in random.integers(1, 40, 2))
    plane = (random.integers(0, 256, (height, width)) // int(random.choice([1, 100]))).astype(np.uint8)
    rows = core.filter(plane)
    assert rows == filter_band(np.pad(plane, ((1, 0), (1, 0))))
    assert np.array_equal(core.unfilter(rows, height, width), plane)
    filtered = random.integers(0, 256, (height, width + 1)).astype(np.uint8)
    filtered[:, 0] %= 5
    expected = read_alpha(zlib.compress(filtered.tobytes()), 0, width, height)
    assert np.array_equal(core.unfilter(filtered.tobytes(), height, width), expected)
    filtered[-1, 0] = 5
    with pytest.raises(FilterError, match=f"row {height - 1}"):
        core.unfilter(filtered.tobytes(), height, width)
    channels, entries = (int(n) for n in random.integers(1, 20, 2))
    source = np.rint(random.normal(0.0, 60.0, (height, width, channels)))
    palette = random.integers(-128, 128, (entries, channels)).astype(np.int8)
    for dither in (False, True):
        assert np.array_equal(core.assign(source, palette, dither), assign(source, palette.astype(np.float64), dither))


def test_alpha_of_the_vectors() -> None:
    core, count = Core(), 0
    for name in VALID:
        container = parse((FOLDER / "valid" / f"{name}.sdz").read_bytes())
        chunk = container.find(ALPHA)
        if chunk is None:
            continue
        height, width = container.header.height, container.header.width
        found = core.unfilter(zlib.decompress(chunk.payload), height, width)
        assert np.array_equal(found, read_alpha(chunk.payload, chunk.start, width, height))
        count += 1
    assert count > 3


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (slice(0, 4), b"sdzX", "begin with neither"),
        (slice(0, 0), b"x", "begin with neither"),
        (slice(-1, None), b"", "too short or too long"),
        (slice(4, 5), b"\0", "a channel that does not exist"),
        (slice(5, 6), b"\x44", "a channel that does not exist"),
        (slice(8 + 60 * 86 + 46 + 84, 8 + 60 * 86 + 46 + 85), b"\2", "a channel that does not exist"),
        (slice(8 + 60 * 86 + 46 + 95, 8 + 60 * 86 + 46 + 96), b"\x3c", "a channel that does not exist"),
        (slice(8, 12), b"\0\0\1\0", "near and far passes of channel 0"),
        (slice(12, 16), b"\x0a\0\0\0", "near and far passes of channel 1"),
        (slice(8 + 60 * 10, 8 + 60 * 10 + 1), b"\xff", "a channel that does not exist"),
        (slice(8 + 60 * 38, 8 + 60 * 38 + 1), b"\x80", "further than two positions"),
        (slice(8 + 60 * 62, 8 + 60 * 62 + 24), b"\xff\x7f" * 12, "weights too large"),
        (slice(8 + 60 * 86, 8 + 60 * 86 + 2), b"\xff\xff", "thresholds that do not rise"),
    ],
)
def test_bad_tables_are_refused(place: slice, value: bytes, message: str) -> None:
    core = Core()
    data = bytearray(TABLES)
    data[place] = value
    with pytest.raises(CorruptPackError, match=message):
        core.tables(bytes(data))
    assert core.held() == 0 and core.usable
    assert core.tables(TABLES)


def test_bad_index_tables_are_refused() -> None:
    core, good = Core(), INDEX_PACK.indices.to_bytes()
    start = 10 + INDEX_PACK.indices.codebook.nbytes
    for place, value, message in (
        (slice(start, start + 2), b"\0\0", "without usage"),
        (
            slice(start + 2 * len(INDEX_PACK.indices.usage), start + 2 * len(INDEX_PACK.indices.usage) + 1),
            b"\xff",
            "precision code over 200",
        ),
        (slice(4, 5), b"\0", "channel"),
        (slice(5, 7), b"\0\0", "channel"),
        (slice(0, 0), b"", ""),
    ):
        data = bytearray(good)
        data[place] = value
        if message:
            with pytest.raises(CorruptPackError, match=message):
                core.tables(bytes(data))
            assert core.held() == 0
    assert core.tables(good)


def test_bad_linear_tables_are_refused() -> None:
    core, table = Core(), bytes(2 * 3 * 768)
    for lapping, problem in ((np.full((4, 4), 59, np.int32), "exact range"), (np.full((4, 4), -(2**31), np.int32), "exact range")):
        with pytest.raises(CorruptPackError, match=problem):
            core.linear(table, 3, 16, 12, 1000, lapping)
    with pytest.raises(CorruptPackError, match="wrong size"):
        core.linear(table[:-1], 3, 16, 12, 1000, None)
    with pytest.raises(CorruptPackError, match="exact range"):
        core.linear(b"\xff\x7f" * (3 * 768), 3, 16, 12, 70_000, None)
    for patch, shift, overlap in ((5, 12, 0), (16, 0, 0), (16, 21, 0), (16, 4, 4)):
        with pytest.raises(CoreError):
            core.linear(table, 3, patch, shift, 1000, np.zeros((overlap, overlap), np.int32) if overlap else None)
    assert core.held() == 0


def test_integers_out_of_range_are_an_input_error(vectors: Opened) -> None:
    source = np.zeros((PACK.channels, 2, 2), np.int32)
    source[7, 1, 1] = -(1 << 15)
    with pytest.raises(EncodeInputError, match=r"out of range \(7\)"):
        vectors.core.encode(vectors.tables, source, room=1000)
    # each value fits, the pyramid's details do not
    source[7, 1, 1] = 0
    source[1] = [[16_000, -16_000], [-16_000, 16_000]]
    with pytest.raises(EncodeInputError, match=r"out of range \(1\)"):
        vectors.core.encode(vectors.tables, source, room=1000)
    source[1] = 0
    core = Core()
    tables = core.tables(INDEX_PACK.indices.to_bytes())
    with pytest.raises(EncodeInputError, match=r"out of range \(0\)"):
        core.encode(tables, np.array([[len(INDEX_PACK.indices.codebook)]], np.int32), room=100)
    with pytest.raises(CoreError, match="out of range"):
        vectors.core.encode(vectors.tables, source + 1, room=3)


def test_memory_is_bounded_and_given_back() -> None:
    core = Core(limit=1 << 20)
    tables = core.tables(TABLES)
    with pytest.raises(LimitError, match="memory"):
        core.decode(tables, b"\x13\x37", 512, 1024)
    with pytest.raises(CoreError, match="failed before"):
        core.held()
    # a few bytes that claim a picture of 2**27 pixels take memory for the channels that they begin only
    core = Core(limit=16 << 20)
    tables = core.tables(TABLES)
    held = core.held()
    picture = core.decode(tables, b"\x13\x37", 512, 1024)
    assert not core.facts(picture).complete
    core.free(picture)
    assert core.held() == held


def test_handles_that_are_none_are_refused(vectors: Opened) -> None:
    core = vectors.core
    for handle in (0, 16, vectors.linear, 0x7FFFFFFF):
        with pytest.raises(CoreError, match="out of range"):
            core.decode(handle, b"", 1, 1)
    core.free(12_345)
    core.free(0)
    assert core.usable


def test_threads_share_nothing(default: Opened) -> None:
    source, step_index = random_integers(np.random.default_rng(1), 192)
    payload = default.core.encode(default.tables, source, step_index, room=1 << 20)[0]
    results: list[bytes] = []

    def work() -> None:
        core = Core()
        tables = core.tables(default.pack.files["coder"])
        for _ in range(3):
            results.append(core.encode(tables, source, step_index, room=len(payload))[0])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [payload] * 12
