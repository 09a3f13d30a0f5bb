"""The exact core (`core/sdz_core.h`) in Python: one WebAssembly module run by wasmtime, numbers and numpy arrays in and out.

A `Core` is one instance with a memory of its own: whoever holds it is the only one who uses it, so threads and processes share nothing
but the compiled module, which wasmtime keeps on disk. The interpreter's lock is released while the core works. Whatever goes wrong is one
of the project's errors; after a trap, or where memory ran out, an instance is of no use any more and says so.
"""

from __future__ import annotations

import contextlib
import functools
import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
import wasmtime
from numpy.typing import DTypeLike, NDArray

from . import limits
from .errors import CoreError, CorruptPackError, EncodeInputError, LimitError

WASM: Final = Path(__file__).resolve().parent.parent / "core" / "sdz.wasm"

MEMORY_LIMIT: Final = 1 << 30
"""Bytes of one instance's memory, which the core never passes: a picture's latents are 268 MB at most, a tile's networks take 30."""

NO_MEMORY, BAD_CALL, TOO_LARGE = 1, 2, 3
PACK_REASONS: Final = {
    10: "coder tables begin with neither 'sdzT' nor 'sdzI'",
    11: "coder tables are too short or too long ({} bytes)",
    12: "coder tables name a channel that does not exist ({})",
    13: "coder tables reach further than two positions (channel {})",
    14: "coder tables predict channel {} with weights too large",
    15: "coder tables have thresholds that do not rise ({})",
    16: "coder tables have a codebook entry, {}, without usage",
    17: "coder tables have a precision code over 200 (level {})",
    18: "coder tables let the near and far passes of channel {} change places",
    20: "the linear table has a wrong size ({} bytes)",
    21: "the linear stage's sums can leave the exact range ({})",
    22: "the separable linear table is none, or another pack's",
    23: "the linear table has no function for channel {}",
    30: "a network's weights end too early or too late (layer {})",
    31: "a network's weights do not begin with 'sdzN' and version 1",
    32: "a network's layer {} does not fit its neighbours or the pack",
    33: "a network's layer {} can sum beyond the range in which it is exact",
    34: "a network's layer {} has a scale that is out of range",
}
"""Why the core refuses what a pack holds, by `sdz_reason`; the number in it is `sdz_where`."""

PALETTE_LENGTH, PALETTE_ENTRY, ALPHA_FILTER, LATENT_RANGE, REGIONS = 40, 41, 42, 43, 45


@functools.cache
def _compiled(module: Path) -> tuple[wasmtime.Engine, wasmtime.Module]:
    with _COMPILING:
        config = wasmtime.Config()
        # a home that cannot be written: compiled anew in each process, in a tenth of a second
        with contextlib.suppress(wasmtime.WasmtimeError):
            config.cache = True
        engine = wasmtime.Engine(config)
        return engine, wasmtime.Module(engine, module.read_bytes())


_COMPILING = threading.Lock()


@dataclass(frozen=True)
class Facts:
    """What the core tells of a picture: `kind` "T" (planes) or "I" (indices); `planes` or levels; `complete` whether nothing was cut;
    `ends` int32, the coder's byte behind each pass begun; `passes` int32 (n, 4), of each of these kind (0 means, 1 channels, 2 groups of
    upper functions), plane, band (16 · colour + level of means, else the channel or group) and part (0 near, 1 far); `codes` the sum of all
    precision codes, once the picture was quantized; `upper` how many functions the picture has besides its channels'."""

    kind: str
    channels: int
    rows: int
    columns: int
    planes: int
    complete: bool
    ends: NDArray[np.int32]
    passes: NDArray[np.int32]
    codes: int
    upper: int


class FilterError(ValueError):
    """A row of an alpha plane names a filter that is not there."""

    def __init__(self, row: int) -> None:
        self.row = row
        super().__init__(f"row {row}")


class PaletteError(ValueError):
    """An inflated palette chunk has a wrong length (`position` None) or names, at a position, an entry that is not there."""

    def __init__(self, position: int | None) -> None:
        self.position = position
        super().__init__(f"position {position}")


class RegionsError(ValueError):
    """A map of regions ends too early or too late."""


class _Room(int):
    """The address of memory that a call borrows."""


class Instance:
    """An instance of one of the core's modules, for one thread at a time. `limit` is how many bytes its memory may have."""

    def __init__(self, module: Path, limit: int) -> None:
        engine, compiled = _compiled(module)
        self._store = wasmtime.Store(engine)
        instance = wasmtime.Instance(self._store, compiled, [])
        exports = instance.exports(self._store)
        memory = exports["memory"]
        assert isinstance(memory, wasmtime.Memory)
        self._memory = memory
        self._functions = {name: call for name in exports if isinstance(call := exports[name], wasmtime.Func)}
        self.usable = True
        self._call("sdz_limit", limit)

    def free(self, handle: int) -> None:
        """Gives back what an opening method returned."""
        self._call("sdz_free", handle)

    def held(self) -> int:
        """Bytes that are handed out now."""
        return self._call("sdz_limit", 0)

    def reserved(self) -> int:
        """Bytes of the instance's memory, which never shrinks."""
        return int(self._memory.data_len(self._store))

    def _call(self, name: str, *arguments: int) -> int:
        if not self.usable:
            raise CoreError("this instance of the core failed before: take a new one")
        try:
            return self._functions[name](self._store, *arguments) or 0
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            self.usable = False
            raise CoreError(f"{name} failed: {error}") from error

    def _open(self, name: str, *arguments: Any) -> int:
        with self._given(*arguments) as passed:
            handle = self._call(name, *passed)
        if not handle:
            self._fail()
        return handle & 0xFFFFFFFF

    def _check(self, status: int) -> None:
        if status < 0:
            self._fail()

    def _fail(self) -> NoReturn:
        reason, where = self._call("sdz_reason"), self._call("sdz_where")
        if reason == NO_MEMORY:
            self.usable = False
            raise LimitError("more memory is needed than a decoder may take; decode a smaller picture, or less of it", None, "memory")
        self._refuse(reason, where)
        raise CoreError(f"a call of the core has arguments out of range (reason {reason}, {where})")

    def _refuse(self, reason: int, where: int) -> None:
        """Raises what the module's own reasons mean."""

    def _room(self, count: int) -> _Room:
        at = self._call("sdz_alloc", max(1, count)) & 0xFFFFFFFF
        if not at:
            self._fail()
        return _Room(at)

    def _given(self, *arguments: Any) -> _Given:
        return _Given(self, arguments)

    def _put(self, data: bytes | NDArray[Any]) -> _Room:
        size = len(data) if isinstance(data, bytes) else data.nbytes
        at = self._room(size)
        self._write(at, data)
        return at

    def _view(self) -> NDArray[np.uint8]:
        # anew each time: memory may have grown, and moved
        return np.frombuffer(memoryview(self._memory.get_buffer_ptr(self._store)), np.uint8)

    def _write(self, at: int, data: bytes | NDArray[Any]) -> None:
        flat = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data.reshape(-1).view(np.uint8)
        self._view()[at : at + len(flat)] = flat

    def _bytes(self, at: int, count: int) -> bytes:
        at &= 0xFFFFFFFF
        return self._view()[at : at + count].tobytes()

    def _array(self, at: int, kind: DTypeLike, count: int) -> NDArray[Any]:
        at &= 0xFFFFFFFF
        size = count * np.dtype(kind).itemsize
        return self._view()[at : at + size].view(kind).copy()


class Core(Instance):
    """One instance of the core, for one thread at a time. `limit` is how many bytes its memory may have."""

    def __init__(self, limit: int = MEMORY_LIMIT) -> None:
        super().__init__(WASM, limit)

    # ---- objects ----

    def tables(self, data: bytes) -> int:
        """A pack's coder tables. Raises CorruptPackError."""
        return self._open("sdz_tables", data, len(data))

    def linear(self, table: bytes, channels: int, patch: int, shift: int, l1_limit: int, lapping: NDArray[np.int32] | None) -> int:
        """A pack's linear stage, from the table as stored. Raises CorruptPackError."""
        overlap = 0 if lapping is None else len(lapping)
        entries = None if lapping is None else np.ascontiguousarray(lapping, np.int32)
        return self._open("sdz_linear", table, len(table), channels, patch, shift, l1_limit, entries, overlap)

    def network(self, weights: bytes, l1_limit: int) -> int:
        """A network's flat weights. Raises CorruptPackError."""
        return self._open("sdz_network", weights, len(weights), l1_limit)

    # ---- coding ----

    def decode(
        self, tables: int, payload: bytes, rows: int, columns: int, step_index: int = 0, tilt: int = 0, regions: bytes | None = None
    ) -> int:
        """The picture that `payload`, whole or cut anywhere, determines; `regions` is the payload of its map, if it has one. Raises
        RegionsError."""
        size = (rows, columns, step_index, tilt)
        return self._open("sdz_decode", tables, payload or None, len(payload), *size, regions, len(regions or b""))

    def palette(self, raw: bytes | None, channels: int, rows: int, columns: int) -> int:
        """The picture of an inflated palette chunk; without one nothing is known. Raises PaletteError."""
        return self._open("sdz_palette", raw, len(raw or b""), channels, rows, columns)

    def encode(
        self,
        tables: int,
        source: NDArray[np.int32],
        step_index: int = 0,
        tilt: int = 0,
        *,
        regions: bytes | None = None,
        room: int,
        levels: int = 0,
        chances: bool = False,
        learn: bool = False,
    ) -> tuple[bytes, NDArray[np.uint16] | None]:
        """The payload of integers (C, h, w), or of the first `levels` bits of entries (h, w), all at 0, and with `chances` the probability
        of each latent's last decision, uint16 of the source's shape. Raises EncodeInputError for integers out of range."""
        source = np.ascontiguousarray(source, np.int32)
        rows, columns = source.shape[-2:]
        out = self._room(room)
        chance = self._room(2 * source.size) if chances else None
        with self._given(source, regions, out, chance) as (at, map_at, *_):
            size = (rows, columns, levels, step_index, tilt, map_at, len(regions or b""))
            count = self._call("sdz_encode", tables, at, *size, out, room, chance or 0, int(learn))
            if count < 0:
                self._fail()
            payload = self._bytes(out, count)
            return payload, None if chance is None else self._array(chance, np.uint16, source.size).reshape(source.shape)

    def regions(self, means: int, floors: NDArray[np.uint8]) -> bytes:
        """The payload of a map: the floor of the means and floors (h, w), each 0 to 15."""
        rows, columns = floors.shape
        # a floor costs at most six decisions of eleven bits
        room = 9 * floors.size + 64
        out = self._room(room)
        with self._given(np.ascontiguousarray(floors, np.uint8), out) as (at, _):
            count = self._call("sdz_regions", means, at, rows, columns, out, room)
            self._check(count)
            return self._bytes(out, count)

    def floors(self, payload: bytes, rows: int, columns: int) -> tuple[int, NDArray[np.uint8]]:
        """What `regions` made a payload of. Raises RegionsError."""
        out = self._room(rows * columns)
        with self._given(payload, out) as (at, _):
            means = self._call("sdz_floors", at, len(payload), rows, columns, out)
            self._check(means)
            return means, self._array(out, np.uint8, rows * columns).reshape(rows, columns)

    def states(self, tables: int) -> tuple[NDArray[np.uint16], NDArray[np.uint8], NDArray[np.int16]]:
        """The starting probabilities, counts and weights that tables have now: copies."""
        at = self._call("sdz_states", tables)
        probability, count, weight, states, weights = struct.unpack("<5I", self._bytes(at, 20))
        return self._array(probability, np.uint16, states), self._array(count, np.uint8, states), self._array(weight, np.int16, weights)

    def set_states(self, tables: int, probability: NDArray[np.uint16], count: NDArray[np.uint8]) -> None:
        """Replaces the starting probabilities and counts of tables."""
        at, counts, _, states, _ = struct.unpack("<5I", self._bytes(self._call("sdz_states", tables), 20))
        for given, kind, to in ((probability, np.uint16, at), (count, np.uint8, counts)):
            if given.dtype != kind or given.shape != (states,):
                raise CoreError(f"{given.dtype} {given.shape} are not {states} states of {np.dtype(kind)}")
            self._write(to, given.tobytes())

    # ---- what is known ----

    def facts(self, picture: int) -> Facts:
        """What the core tells of a picture."""
        numbers = struct.unpack("<10iQi", self._bytes(self._call("sdz_facts", picture), 52))
        kind, channels, rows, columns, planes, complete, begun, _, ends, at, codes, upper = numbers
        passes = self._array(at & 0xFFFFFFFF, np.int32, begun)
        return Facts(
            chr(kind),
            channels,
            rows,
            columns,
            planes,
            bool(complete),
            self._array(ends & 0xFFFFFFFF, np.int32, begun),
            np.stack([passes >> 28, passes >> 16 & 255, passes & 0xFFFF, passes >> 24 & 15], axis=1),
            codes,
            upper,
        )

    def known(self, picture: int, facts: Facts) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Signed integers (C + upper, h, w) with unknown bits zero and the lowest plane known of each; of indices the nodes (h, w), and
        nothing."""
        shape = (facts.rows, facts.columns) if facts.kind == "I" else (facts.channels + facts.upper, facts.rows, facts.columns)
        count = int(np.prod(shape))
        values, plane = self._room(4 * count), 0 if facts.kind == "I" else self._room(count)
        with self._given(values, plane):
            self._check(self._call("sdz_known", picture, 0, 0, facts.rows, facts.columns, values, plane))
            planes = self._array(plane, np.uint8, count).reshape(shape) if plane else np.zeros(0, np.uint8)
            return self._array(values, np.int32, count).reshape(shape), planes

    def quantization(self, picture: int, steps: NDArray[np.integer] | None, reconstruction: int, l1_limit: int) -> None:
        """Tells how a picture is reconstructed; needed before `latents` and every kind of pixels."""
        with self._given(None if steps is None else steps.astype(np.uint8)) as (at,):
            self._check(self._call("sdz_quantization", picture, at, reconstruction, l1_limit))

    def latents(self, picture: int, channels: int, top: int, left: int, rows: int, columns: int) -> list[NDArray[np.int32]]:
        """Values, levels, precision codes and half widths of a window, int32 (C, rows, columns) each."""
        count = channels * rows * columns
        rooms = [self._room(4 * count) for _ in range(4)]
        with self._given(*rooms):
            self._check(self._call("sdz_latents", picture, top, left, rows, columns, *rooms))
            return [self._array(at, np.int32, count).reshape(channels, rows, columns) for at in rooms]

    def guard(self, values: NDArray[np.int32], l1_limit: int) -> NDArray[np.int32]:
        """Values (C, h, w) guarded, a copy."""
        with self._given(np.ascontiguousarray(values, np.int32)) as (at,):
            self._check(self._call("sdz_guard", at, len(values), values[0].size, l1_limit))
            return self._array(at, np.int32, values.size).reshape(values.shape)

    # ---- pixels ----

    def paint_linear(
        self, picture: int, linear: int, top: int, left: int, rows: int, columns: int, side: int, reduce: int = 1
    ) -> NDArray[np.uint8]:
        """RGBA (side rows, side columns, 4) of a window; `side` is the patch / `reduce`."""
        out = self._room(4 * rows * columns * side * side)
        with self._given(out):
            self._check(self._call("sdz_paint_linear", picture, linear, top, left, rows, columns, reduce, out))
            return self._array(out, np.uint8, 4 * rows * columns * side * side).reshape(rows * side, columns * side, 4)

    def paint(
        self,
        picture: int,
        linear: int,
        decoder: int,
        denoiser: int,
        strength: int,
        margins: tuple[int, int],
        window: tuple[int, int, int, int],
        patch: int,
    ) -> NDArray[np.uint8]:
        """RGBA (patch rows, patch columns, 4) of a window by the networks; `margins` are the decoder's and the denoiser's halos."""
        _, _, rows, columns = window
        out = self._room(4 * rows * columns * patch * patch)
        with self._given(out):
            self._check(self._call("sdz_paint", picture, linear, decoder, denoiser, strength, *margins, *window, out))
            return self._array(out, np.uint8, 4 * rows * columns * patch * patch).reshape(rows * patch, columns * patch, 4)

    def run(self, network: int, linear: int, inputs: list[NDArray[np.int32] | None], room: int, layer: int = -1) -> bytes:
        """A network over values, levels, precision codes and half widths (C, h, w), those it does not take None: at most `room` bytes of
        what it gives, or of the levels of one of its convolutions and additions."""
        arrays = [None if a is None else np.ascontiguousarray(a, np.int32) for a in inputs]
        assert arrays[0] is not None
        rows, columns = arrays[0].shape[1:]
        out = self._room(room)
        with self._given(*arrays, out) as at:
            count = self._call("sdz_run", network, linear, *at[:4], rows, columns, layer, out, room)
            if count < 0:
                self._fail()
            return self._bytes(out, count)

    # ---- the small ones ----

    def unfilter(self, filtered: bytes, height: int, width: int) -> NDArray[np.uint8]:
        """The alpha plane (H, W) of H rows of a filter byte and W differences. Raises FilterError."""
        out = self._room(height * width)
        with self._given(filtered, out) as (at, _):
            self._check(self._call("sdz_unfilter", at, height, width, out))
            return self._array(out, np.uint8, height * width).reshape(height, width)

    def filter(self, plane: NDArray[np.uint8]) -> bytes:
        """The rows that `unfilter` takes, each with the filter of the least sum of absolute differences."""
        height, width = plane.shape
        out = self._room(height * (width + 1))
        with self._given(np.ascontiguousarray(plane), out) as (at, _):
            self._check(self._call("sdz_filter", at, height, width, out))
            return self._bytes(out, height * (width + 1))

    def assign(self, source: NDArray[np.float64], palette: NDArray[np.int8], dither: bool) -> NDArray[np.uint8]:
        """The entry of a palette int8 (n, C) for each position of (h, w, C)."""
        rows, columns, channels = source.shape
        out = self._room(rows * columns)
        with self._given(np.ascontiguousarray(source, np.float64), np.ascontiguousarray(palette, np.int8), out) as (at, entries, _):
            self._check(self._call("sdz_assign", at, rows, columns, channels, entries, len(palette), int(dither), out))
            return self._array(out, np.uint8, rows * columns).reshape(rows, columns)

    def _refuse(self, reason: int, where: int) -> None:
        if reason in PACK_REASONS:
            raise CorruptPackError(f"{PACK_REASONS[reason].format(where)}; rebuild the pack")
        if reason in (PALETTE_LENGTH, PALETTE_ENTRY):
            raise PaletteError(where if reason == PALETTE_ENTRY else None)
        if reason == ALPHA_FILTER:
            raise FilterError(where)
        if reason == TOO_LARGE:
            raise LimitError(f"a picture of more than {limits.MAX_LATENTS} latents", None, "width x height")
        if reason == REGIONS:
            raise RegionsError
        if reason == LATENT_RANGE:
            raise EncodeInputError(f"an integer to be coded is out of range ({where}): use a coarser step")


class _Given:
    """Arguments of a call: what is bytes or an array is copied into the core, and given back afterwards, as is every room among them."""

    def __init__(self, core: Instance, arguments: tuple[Any, ...]) -> None:
        self._core = core
        self._arguments = arguments
        self._owned: list[int] = []

    def __enter__(self) -> list[int]:
        passed: list[int] = []
        for argument in self._arguments:
            at = self._core._put(argument) if isinstance(argument, (bytes, np.ndarray)) else argument
            if isinstance(at, _Room):
                self._owned.append(at)
            passed.append(0 if at is None else at)
        return passed

    def __exit__(self, *_: object) -> None:
        if not self._core.usable:
            return
        for at in self._owned:
            self._core.free(at)
