"""Model packs: a directory's manifest and files -> numbers, tables and digest-checked graph bytes.

A pack is named by the first 3 bytes of the SHA-256 of its manifest, which states the digest of every other file; so an image that names
a pack names every weight of its decoder. Nothing here runs a network, and a graph that would read other files is refused.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import CorruptPackError, MissingPackError
from .format.linear import LAP_PLACES, LAP_SUM
from .format.separable import SeparableTable, separable_bytes
from .format.tiles import Tiling
from .limits import (
    MAX_CHANNELS,
    MAX_HALO,
    MAX_L1_LIMIT,
    MAX_LINEAR_SHIFT,
    MAX_MANIFEST_BYTES,
    MAX_NAME,
    MAX_OCTAVE,
    MAX_PACK_FILE_BYTES,
)
from .onnx_files import refuse_external_data
from .options import ENCODER

if TYPE_CHECKING:
    from .format.coder_tables import CoderTables
    from .format.indices import IndexTables

MANIFEST: Final = "manifest.json"
PACKS_VARIABLE: Final = "SDZ_PACKS"
"""Environment variable: folders, separated as in PATH, each a pack or a folder of packs."""

BUILT_IN: Final = Path(__file__).parent / "packs"
DEFAULT: Final = "tiny"

FORMAT: Final = 2
PATCHES: Final = (4, 8, 16, 32)
"""Pixels along each side of a latent position, of one pack or another."""

GRID: Final = 4
PLANES: Final = "planes"
INDICES: Final = "indices"
PALETTE: Final = "palette"
QUANTIZERS: Final = (PLANES, INDICES, PALETTE)
"""How a pack's files carry its latents: as bit-planes of integers, as entries of a codebook, or as entries of the file's own palette;
PLANES where the manifest does not say."""

GRAPHS: Final = ("encoder", "decoder", "decoder-fp32")
DENOISER_GRAPHS: Final = ("denoiser", "denoiser-fp32")
"""What every pack has, and what one with a denoiser has besides."""

REFINE: Final = "refine"
REFINE_NOTE: Final = "refine.json"
"""The encoder's graph for effort, and the file beside the manifest that has its digest: no reader needs it, so it has no part in a pack's
id."""

CORE: Final = ("decoder",)
DENOISER_CORE: Final = ("denoiser",)
"""The networks whose weights a pack also has in the exact core's form, where it has that form."""

TABLES: Final = ("linear", "coder")
ID_BYTES: Final = 3

_FILE_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}")
_DIGEST = re.compile(r"[0-9a-f]{64}")

_Choice = TypeVar("_Choice", bool, int, str)


@dataclass(frozen=True)
class PackFile:
    """One file of a pack: its plain name, SHA-256 in hex, and size in bytes."""

    file: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Pack:
    """A model pack whose manifest is valid; files are checked against it when they are read.

    `id`: 3 bytes. `channels`: C. `patch`: pixels a side per latent position. `reconstruction`: sixteenths of an interval. `l1_limit`:
    GRID units per position. `linear_shift`: binary places of `linear`. Halos: latent positions that an output depends on, each side.
    `denoiser_min_step_index`: mean precision code under which the denoiser is skipped; None where the pack has none. `exact`: whether
    the reference graphs give the same bytes everywhere. `tiling`: how large pictures go through networks that have no finite halo;
    None where they have one; `encoder_tiling` the same for the encoder, where it is another. `quantizer`: one of `QUANTIZERS`.
    `lapping`: int32 (n, n), what the linear stage does over the borders of blocks (`linear.lapped`); None where they stand alone.
    `octaves`: int32 (C,), each channel's frequency as octaves above a quarter of the highest, in sixteenths; None where files have no tilt.
    `core`: the exact core's weights by network; empty where the core does not compute the pack's graphs. `refine`: the encoder's graph for
    effort; None where the pack has none.
    """

    directory: Path
    manifest: dict[str, Any]
    id: bytes
    name: str
    channels: int
    patch: int
    reconstruction: int
    l1_limit: int
    linear_shift: int
    denoiser_min_step_index: int | None
    denoiser_halo: int
    decoder_halo: int
    exact: bool
    tiling: Tiling | None
    encoder_tiling: Tiling | None
    quantizer: str
    lapping: NDArray[np.int32] | None
    octaves: NDArray[np.int32] | None
    tables: dict[str, PackFile]
    graphs: dict[str, PackFile]
    core: dict[str, PackFile]
    refine: PackFile | None = None

    @property
    def encoder(self) -> str:
        """Differs where `encode` writes other files of the same photo and options with a pack of the same id: its graph for effort is no
        part of that."""
        return f"{ENCODER}-{self.refine.sha256[:16] if self.refine else ''}"

    @functools.cached_property
    def linear_bytes(self) -> bytes:
        """The linear stage's table as stored, dense or separable. Raises CorruptPackError."""
        return self._read(self.tables["linear"])

    @functools.cached_property
    def linear(self) -> NDArray[np.int16]:
        """The linear stage's weights, int16 (C, 3 p p) with p the patch: (colour * p + row) * p + column.

        Raises CorruptPackError, also for weights whose sums under `l1_limit` can pass 32 bits.
        """
        data = self.linear_bytes
        dense = 6 * self.channels * self.patch * self.patch
        if len(data) in (separable_bytes(self.channels, self.patch), separable_bytes(self.channels, self.patch, True)):
            weights = SeparableTable.from_bytes(data).table()
        elif len(data) == dense:
            weights = np.frombuffer(data, "<i2").astype(np.int16)
        else:
            raise CorruptPackError(
                f"{self.directory / self.tables['linear'].file}: {len(data)} bytes, {self.channels} channels need {dense}, "
                f"or {separable_bytes(self.channels, self.patch)} where they are separable; rebuild the pack"
            )
        weights = weights.reshape(self.channels, dense // 2 // self.channels)
        # the value of -2**15 has no int16 counterpart
        largest = int(np.abs(weights.astype(np.int32)).max())
        if self.l1_limit * largest + (1 << (self.linear_shift + 8)) >= 1 << 31:
            raise CorruptPackError(
                f"{self.directory / self.tables['linear'].file}: weights of {largest} can sum beyond 32 bits under the manifest's "
                f"'l1_limit' of {self.l1_limit}; rebuild the pack"
            )
        return weights

    @functools.cached_property
    def coder_bytes(self) -> bytes:
        """The coder's tables as stored. Raises CorruptPackError."""
        return self._read(self.tables["coder"])

    @functools.cached_property
    def coder(self) -> CoderTables:
        """The coder's tables of a pack whose quantizer is PLANES. Raises CorruptPackError."""
        from .format.coder_tables import CoderTables

        tables = CoderTables.from_bytes(self.coder_bytes)
        self._check_channels(tables.channels)
        return tables

    @functools.cached_property
    def indices(self) -> IndexTables:
        """The codebook and coder's tables of a pack whose quantizer is INDICES. Raises CorruptPackError."""
        from .format.indices import IndexTables

        tables = IndexTables.from_bytes(self.coder_bytes)
        self._check_channels(tables.channels)
        return tables

    def _check_channels(self, channels: int) -> None:
        if channels != self.channels:
            raise CorruptPackError(
                f"{self.directory / self.tables['coder'].file}: for {channels} channels, the manifest says {self.channels}; "
                "rebuild the pack"
            )

    def graph_bytes(self, name: str) -> bytes:
        """The ONNX file of one of the pack's `graphs`, or of `REFINE`, its digest verified. Raises CorruptPackError."""
        file = self.graph_file(name)
        data = self._read(file)
        refuse_external_data(data, self.directory / file.file)
        return data

    def graph_file(self, name: str) -> PackFile:
        """The file of one of the pack's `graphs`, or of `REFINE`."""
        return self.refine if name == REFINE and self.refine is not None else self.graphs[name]

    def core_bytes(self, name: str) -> bytes:
        """The exact core's weights of one of the networks in `core`. Raises CorruptPackError."""
        return self._read(self.core[name])

    def verify(self) -> None:
        """Reads every file of the pack, and has the core check tables and networks.

        Raises CorruptPackError for the first that is not what the manifest says, or not good.
        """
        from .core import Core

        self.linear, self.indices if self.quantizer == INDICES else self.coder  # noqa: B018
        for name in self.graphs:
            self.graph_bytes(name)
        core = Core()
        core.tables(self.coder_bytes)
        for name in self.core:
            core.network(self.core_bytes(name), self.l1_limit)
        if self.refine is not None:
            self.graph_bytes(REFINE)

    def _read(self, file: PackFile) -> bytes:
        path = self.directory / file.file
        try:
            data = _regular_bytes(path, file.bytes)
        except OSError as error:
            raise CorruptPackError(f"{path}: {error.strerror}; install the pack again") from error
        if len(data) != file.bytes:
            found = f"over {file.bytes}" if len(data) > file.bytes else str(len(data))
            raise CorruptPackError(f"{path}: {found} bytes, the manifest says {file.bytes}; install the pack again")
        digest = hashlib.sha256(data).hexdigest()
        if digest != file.sha256:
            raise CorruptPackError(f"{path}: SHA-256 {digest}, the manifest says {file.sha256}; install the pack again")
        return data


def load_pack(path: Path | str) -> Pack:
    """The pack in the directory `path`; its other files are read when first used. Raises CorruptPackError."""
    directory = Path(path)
    data = _manifest_bytes(directory)
    reader = _Reader(directory / MANIFEST, data)
    tables = {name: reader.file("tables", name) for name in TABLES}
    denoises, laps = reader.has("denoiser"), reader.has("lapping")
    graphs = {name: reader.file("graphs", name) for name in (*GRAPHS, *(DENOISER_GRAPHS if denoises else ()))}
    networks = (*CORE, *(DENOISER_CORE if denoises else ())) if reader.has("core") else ()
    reader.constant("format", FORMAT)
    pack_id = hashlib.sha256(data).digest()[:ID_BYTES]
    patch = reader.choice("patch", PATCHES)
    reader.constant("grid", GRID)
    return Pack(
        directory=directory,
        manifest=reader.manifest,
        id=pack_id,
        name=reader.text("name"),
        channels=reader.integer(1, MAX_CHANNELS, "channels"),
        patch=patch,
        reconstruction=reader.integer(0, 16, "reconstruction"),
        l1_limit=reader.integer(1, MAX_L1_LIMIT, "l1_limit"),
        linear_shift=reader.integer(LAP_PLACES + 1 if laps else 1, MAX_LINEAR_SHIFT, "linear_shift"),
        denoiser_min_step_index=reader.integer(0, 255, "denoiser", "min_step_index") if denoises else None,
        denoiser_halo=reader.integer(0, MAX_HALO, "halo", "denoiser") if denoises else 0,
        # a block's pixels depend on its neighbours'
        decoder_halo=reader.integer(1 if laps else 0, MAX_HALO, "halo", "decoder"),
        exact=reader.choice("exact", (False, True)) if reader.has("exact") else True,
        tiling=(tiling := reader.tiling("tiling", patch) if reader.has("tiling") else None),
        encoder_tiling=reader.tiling("encoder_tiling", patch) if reader.has("encoder_tiling") else tiling,
        quantizer=reader.choice("quantizer", QUANTIZERS) if reader.has("quantizer") else PLANES,
        lapping=reader.lapping("lapping", patch) if laps else None,
        octaves=reader.octaves("octaves") if reader.has("octaves") else None,
        tables=tables,
        graphs=graphs,
        core={name: reader.file("core", name) for name in networks},
        refine=_refine_file(directory, pack_id),
    )


def _refine_file(directory: Path, pack_id: bytes) -> PackFile | None:
    """The graph that a note beside the manifest states, of the very pack: one left from another says nothing of this one's networks."""
    path = directory / REFINE_NOTE
    if not path.exists():
        return None
    reader = _Reader(path, _manifest_bytes(directory, REFINE_NOTE))
    return reader.file(REFINE) if reader.value("pack") == pack_id.hex() else None


@functools.cache
def default_pack() -> Pack:
    """The pack that comes with this package. Raises CorruptPackError."""
    return load_pack(BUILT_IN / DEFAULT)


def find_pack(pack_id: bytes) -> Pack:
    """The installed pack with this id: built in, or below a folder named in $SDZ_PACKS.

    Raises MissingPackError if there is none. Folders whose manifest cannot be read are passed over; a pack that has the id but is otherwise
    malformed raises CorruptPackError.
    """
    for directory in _installed():
        try:
            data = _manifest_bytes(directory)
        except CorruptPackError:
            continue
        if hashlib.sha256(data).digest()[:ID_BYTES] == pack_id:
            return default_pack() if directory == BUILT_IN / DEFAULT else load_pack(directory)
    raise MissingPackError(pack_id)


def _installed() -> list[Path]:
    roots = [BUILT_IN, *(Path(p) for p in os.environ.get(PACKS_VARIABLE, "").split(os.pathsep) if p)]
    folders = [folder for root in roots if root.is_dir() for folder in (root, *sorted(root.iterdir()))]
    return [folder for folder in folders if (folder / MANIFEST).is_file()]


def _regular_bytes(path: Path, most: int) -> bytes:
    """What a file holds, at most one byte over `most`: never waits for a pipe or reads a device without end. Raises OSError."""
    with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return stream.read(most + 1)


def _manifest_bytes(directory: Path, name: str = MANIFEST) -> bytes:
    path = directory / name
    try:
        data = _regular_bytes(path, MAX_MANIFEST_BYTES)
    except OSError as error:
        raise CorruptPackError(f"{path}: {error.strerror}; name a folder that holds a model pack") from error
    if len(data) > MAX_MANIFEST_BYTES:
        raise CorruptPackError(f"{path}: over {MAX_MANIFEST_BYTES} bytes, so not a pack's manifest; install the pack again")
    return data


class _Reader:
    """Typed access to a manifest's fields; every refusal names the file and the field."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        try:
            manifest = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise CorruptPackError(f"{path}: not JSON ({error}); install the pack again") from error
        if not isinstance(manifest, dict):
            raise CorruptPackError(f"{path}: not a JSON object; install the pack again")
        self.manifest: dict[str, Any] = manifest

    def value(self, *keys: str) -> Any:
        found: Any = self.manifest
        for key in keys:
            if not isinstance(found, dict) or key not in found:
                raise self._error("is missing", keys)
            found = found[key]
        return found

    def integer(self, low: int, high: int, *keys: str) -> int:
        found = self.value(*keys)
        if type(found) is not int or not low <= found <= high:
            raise self._error(f"is {found!r}, not an integer from {low} to {high}", keys)
        return found

    def has(self, key: str) -> bool:
        return key in self.manifest

    def choice(self, key: str, allowed: tuple[_Choice, ...]) -> _Choice:
        found = self.value(key)
        # by type as well: True is 1, and 16.0 is 16
        for value in allowed:
            if type(found) is type(value) and found == value:
                return value
        raise self._error(f"is {found!r}; this runtime reads packs with {' or '.join(map(repr, allowed))}", (key,))

    def tiling(self, key: str, patch: int) -> Tiling:
        found = Tiling(self.integer(0, 1 << 30, key, "whole"), self.integer(0, 1 << 30, key, "overlap"))
        problem = found.problem(patch)
        if problem is not None:
            raise self._error(f"cannot be: {problem}", (key,))
        return found

    def lapping(self, key: str, patch: int) -> NDArray[np.int32]:
        rows = self.value(key)
        size = len(rows) if isinstance(rows, list) else 0
        square = 1 <= size <= patch // 2 and all(isinstance(row, list) and len(row) == size for row in rows)
        if not square or any(type(entry) is not int for row in rows for entry in row):
            raise self._error(f"is not a square of integers of at most {patch // 2} rows", (key,))
        if any(sum(map(abs, row)) > LAP_SUM for row in rows):
            raise self._error(f"has a row whose entries sum to more than {LAP_SUM} without their signs", (key,))
        return np.array(rows, np.int32)

    def octaves(self, key: str) -> NDArray[np.int32]:
        found, channels = self.value(key), self.value("channels")
        if (
            not isinstance(found, list)
            or len(found) != channels
            or any(type(entry) is not int or abs(entry) > MAX_OCTAVE for entry in found)
        ):
            raise self._error(f"is not one integer from -{MAX_OCTAVE} to {MAX_OCTAVE} for each of {channels} channels", (key,))
        return np.array(found, np.int32)

    def constant(self, key: str, expected: int) -> None:
        if self.value(key) != expected:
            raise self._error(f"is {self.value(key)!r}; this runtime reads packs with {expected}", (key,))

    def text(self, *keys: str, form: re.Pattern[str] = _FILE_NAME) -> str:
        found = self.value(*keys)
        if not isinstance(found, str) or not form.fullmatch(found):
            raise self._error(f"is {found!r}, which does not match {form.pattern}", keys)
        return found

    def file(self, *keys: str) -> PackFile:
        return PackFile(
            self.text(*keys, "file"), self.text(*keys, "sha256", form=_DIGEST), self.integer(1, MAX_PACK_FILE_BYTES, *keys, "bytes")
        )

    def _error(self, problem: str, keys: tuple[str, ...]) -> CorruptPackError:
        return CorruptPackError(f"{self.path}: '{'.'.join(keys)}' {problem}; install the pack again, or update the runtime")
