"""Codebook indices to an embedded bitstream and back, for packs that quantize to a codebook (manifest `quantizer`: "indices").

Takes the codebook entry of every position (h, w) and gives bytes; back, it gives for every position the node of the codebook's tree that
is known of it. A pack's entries stand in an order whose halves, quarters and so on are neighbourhoods: an index's leading
bits name a subtree, whose mean stands for it until more is known. One pass sends one bit of every position, so a cut never favours one
half of the picture. The core codes; the model of each decision is in FORMAT.md ("Indices").
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptPackError, EncodeInputError
from .coder import decoded, exact_core, opened, spent
from .coder_tables import INPUTS, CoderState, TableField, read_arrays, stored_arrays
from .reconstruction import Latents

MAX_ENTRIES: Final = 1 << 16
"""Entries of a codebook: its tree then has at most 16 levels, and every mean is a sum of products below 2**53."""

NEIGHBOURS: Final = 8
"""W, N, NW, NE, of which one bit more is known, then E, S, SW, SE."""

LEAN_UNIT: Final = 32
LEAN_LIMIT: Final = 64
"""A neighbour's lean tells where it lies between the means of a node's two children: -32 at the first, 32 at the second; clipped at twice
that, since what lies further out tells no more."""

PULL_SHIFT: Final = 5
"""Leans times pulls are stretches (256 is one unit of log odds) after this shift."""

LEANS: Final = 23
SIDES: Final = 12
AGREEMENTS: Final = 5
PATTERNS: Final = 324
JOINT_BITS: Final = 13
JOINT_PREFIX: Final = 4
"""The joint context of a position's node with the first bits of W and N has at most this many bits, and so many of a neighbour."""

OUTPUT_SLACK: Final = 64
"""Bytes of room for the encoder beyond what the decisions can cost."""

MAX_PRECISION: Final = 200
"""The coarsest precision code that bit-planes have, 80 + 8 * 15: what networks are made for."""

TABLES_MAGIC: Final = b"sdzI"
HEAD_BYTES: Final = 10


def joint_prefix(level: int) -> int:
    """How many leading bits of W and N join the position's own `level` bits in a context."""
    return max(0, min(level + 1, JOINT_PREFIX, (JOINT_BITS - level) >> 1))


class IndexLayout:
    """Where each kind of context state and each mixing weight set begins, for a tree of `levels` levels.

    The first two kinds have a state for every inner node of the tree and are not stored: their starting states follow from `usage`.
    """

    def __init__(self, levels: int) -> None:
        nodes = 1 << levels
        joint = [1 << (level + 2 * joint_prefix(level)) for level in range(levels)]
        sizes = [
            nodes,  # 0 node, from the training photos on
            nodes,  # 1 node, in this picture
            levels * AGREEMENTS * LEANS,  # 2 level, how many neighbours agree, pull
            levels * SIDES * SIDES,  # 3 level, leans of W and N
            levels * SIDES * SIDES,  # 4 level, leans of E and S
            levels * PATTERNS,  # 5 level, which neighbours agree and on what
            sum(joint),  # 6 node, first bits of W and N
        ]
        self.levels = levels
        self.bases = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        self.joint_bases = (self.bases[6] + np.concatenate([[0], np.cumsum(joint)])).astype(np.int32)
        self.derived = 2 * nodes
        self.stored = int(self.bases[-1]) - self.derived
        sets = [levels * AGREEMENTS, LEANS]
        self.set_bases = (np.concatenate([[0], np.cumsum(sets)]) * INPUTS).astype(np.int32)
        self.weights = int(self.set_bases[-1])


@dataclass(frozen=True)
class Tree:
    """The codebook's tree, its nodes numbered from the root, 1, so that n's children are 2 n and 2 n + 1.

    With N = 2**(levels + 1): `leaves` int32 (N,), the codebook entries below each node, 0 where there is no such node; `first` int32
    (N,), the first of them; `centre` int32 (N, C), their mean in GRID units; `usage` int64 (N,) how often they are used; `direction` int32
    (N, C), from the first child's centre to the second's; `middle` int64 (N,), its product with their sum; `span` int64 (N,), with itself.
    """

    leaves: NDArray[np.int32]
    first: NDArray[np.int32]
    centre: NDArray[np.int32]
    usage: NDArray[np.int64]
    direction: NDArray[np.int32]
    middle: NDArray[np.int64]
    span: NDArray[np.int64]


def build_tree(codebook: NDArray[np.int16], usage: NDArray[np.uint16]) -> Tree:
    """The tree over a codebook (K, C) whose entries are used `usage` (K,) times. A node's first child has the larger half of its leaves."""
    entries, channels = codebook.shape
    levels = (entries - 1).bit_length()
    leaves = np.zeros(2 << levels, dtype=np.int64)
    first = np.zeros(2 << levels, dtype=np.int64)
    leaves[1] = entries
    for level in range(levels):
        here = np.arange(1 << level, 2 << level)
        inner = here[leaves[here] > 1]
        leaves[2 * inner], leaves[2 * inner + 1] = (leaves[inner] + 1) >> 1, leaves[inner] >> 1
        first[2 * inner], first[2 * inner + 1] = first[inner], first[inner] + leaves[2 * inner]
    weight = usage.astype(np.int64)
    sums = np.zeros((entries + 1, channels), dtype=np.int64)
    np.cumsum(codebook.astype(np.int64) * weight[:, None], axis=0, out=sums[1:])
    counts = np.concatenate([[0], np.cumsum(weight)])
    ends = first + leaves
    used = counts[ends] - counts[first]
    total = sums[ends] - sums[first]
    # rounded half up; nothing is divided where no node is
    centre = ((2 * total + used[:, None]) // np.maximum(1, 2 * used)[:, None]).astype(np.int32)
    direction = np.zeros_like(centre)
    inner = np.flatnonzero(leaves > 1)
    low, high = centre[2 * inner], centre[2 * inner + 1]
    direction[inner] = high - low
    middle, span = (np.zeros(len(leaves), dtype=np.int64) for _ in range(2))
    # einsum sums in int64 without an int64 copy of what it multiplies
    middle[inner] = np.einsum("nc,nc->n", direction[inner], high + low, dtype=np.int64, casting="safe")
    span[inner] = np.einsum("nc,nc->n", direction[inner], direction[inner], dtype=np.int64, casting="safe")
    return Tree(leaves.astype(np.int32), first.astype(np.int32), centre, used, direction, middle, span)


def leaf_nodes(tree: Tree, entries: int) -> NDArray[np.int32]:
    """The node, int32 (entries,), of every entry of the codebook."""
    leaf = np.flatnonzero(tree.leaves == 1).astype(np.int32)
    nodes = np.zeros(entries, dtype=np.int32)
    nodes[tree.first[leaf]] = leaf
    return nodes


@dataclass(frozen=True)
class IndexTables:
    """A pack's codebook and what its coder knows before the first bit; integers only.

    `codebook` (K, C) int16: the entries in GRID units, in the tree's order. `usage` (K,) uint16, from 1: how often each was used in the
    calibration photos, one added. `precision` (L + 1,) uint8, `half_width` (L + 1,) uint16: precision code and half interval of a
    latent of which so many bits are known, for a denoiser. `pull` (L, 8) int16: what a neighbour's lean counts at each level.
    `probability` (S,) uint16, `count` (S,) uint8: starting states that are stored. `weights` (W,) int32: starting mixing weights
    (2**14 = 1.0). `mix_rate` int: step of the mixers; `count_limit` int: counts of the states stop here; `usage_limit` int: and those
    that `usage` gives start here at most.
    """

    codebook: NDArray[np.int16]
    usage: NDArray[np.uint16]
    precision: NDArray[np.uint8]
    half_width: NDArray[np.uint16]
    pull: NDArray[np.int16]
    probability: NDArray[np.uint16]
    count: NDArray[np.uint8]
    weights: NDArray[np.int32]
    mix_rate: int
    count_limit: int
    usage_limit: int

    @property
    def channels(self) -> int:
        """C."""
        return int(self.codebook.shape[1])

    @property
    def levels(self) -> int:
        """L: the bits of the longest index."""
        return (len(self.codebook) - 1).bit_length()

    @functools.cached_property
    def tree(self) -> Tree:
        """The codebook's tree."""
        return build_tree(self.codebook, self.usage)

    @functools.cached_property
    def layout(self) -> IndexLayout:
        """Where its states and weights stand."""
        return IndexLayout(self.levels)

    @functools.cached_property
    def stored(self) -> bytes:
        """`to_bytes`, once."""
        return self.to_bytes()

    def start(self) -> CoderState:
        """The coder's states before the first bit: those of the nodes from `usage`, then the stored ones."""
        nodes = 1 << self.levels
        tree = self.tree
        inner = np.flatnonzero(tree.leaves > 1)
        probability = np.full(2 * nodes, 32768, dtype=np.int32)
        count = np.zeros(2 * nodes, dtype=np.int32)
        ones = tree.usage[2 * inner + 1]
        probability[inner] = np.clip((ones << 16) // tree.usage[inner], 64, 65472)
        count[inner] = np.minimum(self.usage_limit, tree.usage[inner] - tree.leaves[inner])
        return CoderState(
            np.concatenate([probability, self.probability.astype(np.int32)]),
            np.concatenate([count, self.count.astype(np.int32)]),
            self.weights.astype(np.int32),
            self.count_limit,
        )

    def to_bytes(self) -> bytes:
        """Magic, channels u8, entries - 1 u16, mixing rate u8, count limit u8, usage limit u8, then every array in the order above,
        little-endian, C order."""
        head = TABLES_MAGIC + struct.pack(
            "<BHBBB", self.channels, len(self.codebook) - 1, self.mix_rate, self.count_limit, self.usage_limit
        )
        return head + stored_arrays(self, _table_fields(len(self.codebook), self.channels))

    @classmethod
    def from_bytes(cls, data: bytes) -> IndexTables:
        """Parse `to_bytes`' result; raises CorruptPackError when it is not one."""
        if len(data) < HEAD_BYTES or data[:4] != TABLES_MAGIC:
            raise CorruptPackError("index tables do not begin with 'sdzI'; rebuild the pack")
        channels, entries, mix_rate, count_limit, usage_limit = struct.unpack_from("<BHBBB", data, 4)
        entries += 1
        if channels == 0 or entries < 2:
            raise CorruptPackError(f"index tables have {entries} entries of {channels} channels; rebuild the pack")
        arrays = read_arrays(data, HEAD_BYTES, _table_fields(entries, channels), "index tables")
        tables = cls(**arrays, mix_rate=mix_rate, count_limit=count_limit, usage_limit=usage_limit)
        if tables.usage.min() == 0:
            raise CorruptPackError(f"index tables have an entry, {tables.usage.argmin()}, without usage; rebuild the pack")
        if tables.precision.max() > MAX_PRECISION:
            raise CorruptPackError(f"index tables have a precision code over {MAX_PRECISION}; rebuild the pack")
        return tables


def _table_fields(entries: int, channels: int) -> list[TableField]:
    levels = (entries - 1).bit_length()
    layout = IndexLayout(levels)
    return [
        ("codebook", np.int16, (entries, channels)),
        ("usage", np.uint16, (entries,)),
        ("precision", np.uint8, (levels + 1,)),
        ("half_width", np.uint16, (levels + 1,)),
        ("pull", np.int16, (levels, NEIGHBOURS)),
        ("probability", np.uint16, (layout.stored,)),
        ("count", np.uint8, (layout.stored,)),
        ("weights", np.int16, (layout.weights,)),
    ]


@dataclass(frozen=True)
class KnownIndices:
    """What a prefix tells of codebook indices: `node` int32 (h, w), the node of the tree that is known of each, 1 where nothing is;
    `complete` whether nothing was cut."""

    node: NDArray[np.int32]
    complete: bool

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of latent positions."""
        return self.node.shape[0], self.node.shape[1]


def entries_of(known: KnownIndices, tables: IndexTables) -> NDArray[np.int32]:
    """The codebook entry (h, w), in the tree's order, of every position; of one that is not wholly known, -1."""
    tree = tables.tree
    return np.where(tree.leaves[known.node] == 1, tree.first[known.node], np.int32(-1))


def encode_indices(entries: NDArray[np.integer], tables: IndexTables, levels: int | None = None) -> bytes:
    """The payload of codebook entries (h, w), in the tree's order, or of their first `levels` bits. Every prefix of it decodes.

    Raises EncodeInputError for an entry that the codebook does not have.
    """
    if entries.size and not 0 <= entries.min() <= entries.max() < len(tables.codebook):
        raise EncodeInputError(f"an index lies outside the codebook's 0..{len(tables.codebook) - 1}")
    levels = tables.levels if levels is None else levels
    # the core takes 0 levels for all of them
    if levels == 0:
        return b""
    # a decision costs at most log2(65536 / floor) bits: 12 of them
    room = entries.size * levels * 3 // 2 + OUTPUT_SLACK
    with exact_core() as core:
        return core.encode(opened(core, tables.stored), entries.astype(np.int32), levels=levels, room=room)[0]


def decode_indices(payload: bytes, rows: int, columns: int, tables: IndexTables) -> KnownIndices:
    """What `payload`, whole or cut anywhere, determines of indices (rows, columns)."""
    with decoded(tables.stored, payload, rows, columns) as (core, picture):
        facts = core.facts(picture)
        return KnownIndices(core.known(picture, facts)[0], facts.complete)


def spent_bytes(payload: bytes, rows: int, columns: int, tables: IndexTables) -> NDArray[np.int64]:
    """How many bytes of `payload`, whole or cut anywhere, each level took: int64 (levels,), counted as for bit-planes."""
    with decoded(tables.stored, payload, rows, columns) as (core, picture):
        facts = core.facts(picture)
    taken = np.zeros(tables.levels, dtype=np.int64)
    taken[: len(facts.ends)] = spent(facts.ends, len(payload))
    return taken


def decode_index_latents(payload: bytes, rows: int, columns: int, tables: IndexTables, l1_limit: int) -> Latents:
    """Values, guarded, and intervals of what `payload` determines: the means of what is known of each position."""
    with decoded(tables.stored, payload, rows, columns) as (core, picture):
        core.quantization(picture, None, 0, l1_limit)
        return Latents(*core.latents(picture, tables.channels, 0, 0, rows, columns))
