"""The shared vectors of files with upper functions; `python tests/vectors/make_fine.py` writes them, as `make.py` the others.

`fine/pack/` holds the numbers that the files are made with: a separable linear table and coder tables with groups of upper functions,
pack.json, which also has the lapping and the octaves; no networks. `fine/NAME.json` is as `valid/NAME.json`, known being that of channels
and upper functions, (768, h, w).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from make import Numbers, arbitrary_tables, expect_valid, near_and_far, write
from numpy.typing import NDArray

from sdz.runtime.format.coder_tables import MEANS_LIMIT, UPPER_TERMS, CoderTables, TableLayout
from sdz.runtime.format.container import Chunk, Header, latent_span, serialize
from sdz.runtime.format.planes import encode_planes
from sdz.runtime.format.separable import SeparableTable, upper_functions

FOLDER = Path(__file__).resolve().parent / "fine"

FUNCTIONS = [(0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (0, 0, 2), (1, 0, 1), (2, 1, 0), (0, 7, 9)]
"""The channels': the means, some of every plane, and one in the middle of what is left."""

CHANNELS, PATCH, FUNCTION_COUNT = len(FUNCTIONS), 16, 768

SIZES = (100, 80, 70, 200, 250, 58)
"""Of the groups: some hold functions of two planes."""

UPPER_STEP = 40

LAPPING = [[-46, -40, -3], [41, -40, -34], [-8, 48, -39]]

PARAMETERS = {"channels": CHANNELS, "reconstruction": 7, "l1_limit": 1 << 16, "linear_shift": 12, "lapping": LAPPING}


def make_tables() -> CoderTables:
    """Arbitrary coder tables that bring every field into play."""
    numbers, groups = Numbers(31), len(SIZES)
    tables = arbitrary_tables(numbers, TableLayout(CHANNELS, MEANS_LIMIT, groups), [[3, 4, 6, 0], [7, 0, 0, 0], [0, 8, 0, 0]])
    return replace(
        tables,
        upper_step=np.array([UPPER_STEP], np.uint8),
        function=np.array(FUNCTIONS, np.uint8).T,
        fine_order=numbers.array((CHANNELS,), -20, 8, np.int8),
        upper_sizes=np.array(SIZES, np.uint8),
        upper_order=near_and_far(numbers, groups),
        upper_octaves=numbers.array((groups,), -64, 64, np.int8),
        upper_weights=numbers.array((groups, UPPER_TERMS), 0, 60, np.uint8),
    )


def make_linear() -> SeparableTable:
    """Factors of the right size, cosines that are none."""
    numbers = Numbers(32)
    return SeparableTable(
        colours=numbers.array((3, 3), -28000, 28000, np.int16),
        waves=numbers.array((PATCH, PATCH), -23000, 23000, np.int16),
        gain=numbers.array((CHANNELS,), 8000, 24000, np.int16),
        plane=np.array([f[0] for f in FUNCTIONS], np.uint8),
        row=np.array([f[1] for f in FUNCTIONS], np.uint8),
        column=np.array([f[2] for f in FUNCTIONS], np.uint8),
        shift=51,
        upper=numbers.array((3,), 12000, 26000, np.int16),
    )


def make_pack() -> dict[str, bytes]:
    octaves = Numbers(33).array((CHANNELS,), -64, 64, np.int32).tolist()
    parameters = json.dumps(PARAMETERS | {"octaves": octaves}, sort_keys=True, separators=(",", ":")) + "\n"
    return {"coder.bin": make_tables().to_bytes(), "linear.bin": make_linear().to_bytes(), "pack.json": parameters.encode()}


def load_pack(files: dict[str, bytes]) -> Any:
    """The pack as `decode` wants it, for the linear stage."""
    parameters = json.loads(files["pack.json"])
    return SimpleNamespace(
        quantizer="planes",
        patch=PATCH,
        lapping=np.array(parameters.pop("lapping"), np.int32),
        octaves=np.array(parameters.pop("octaves"), np.int32),
        id=hashlib.sha256(files["pack.json"]).digest()[:3],
        coder=CoderTables.from_bytes(files["coder.bin"]),
        linear_bytes=files["linear.bin"],
        linear=SeparableTable.from_bytes(files["linear.bin"]).table(),
        **parameters,
    )


def make_latents(width: int, height: int, bits: int, seed: int) -> NDArray[np.int32]:
    """Latents (768, h, w) of which few are not zero, fewer of high frequencies; the largest has `bits` bits."""
    numbers = Numbers(seed)
    rows, columns = -(-height // PATCH), -(-width // PATCH)
    q = np.zeros((FUNCTION_COUNT, rows, columns), np.int32)
    functions = [*FUNCTIONS, *upper_functions(FUNCTIONS)]
    for f, (_, u, v) in enumerate(functions):
        rare = 1 + (u * u + v * v) // 16
        for y in range(rows):
            for x in range(columns):
                if not numbers.below(rare):
                    q[f, y, x] = (numbers.below(1 << bits) >> numbers.below(bits + 1)) * (1 if numbers.below(2) else -1)
    if bits:
        q[CHANNELS, 0, 0] = (1 << bits) - 1
    return q


def make_files(pack: Any) -> dict[str, bytes]:
    def picture(width: int, height: int, step: int, bits: int, grey: bool = False, tilt: int = 0, only: slice | None = None) -> bytes:
        latents = make_latents(width, height, bits, width * 7 + height)
        if only is not None:
            kept = np.zeros_like(latents)
            kept[only] = latents[only]
            latents = kept
        count = FUNCTION_COUNT if pack.coder.is_fine(step) else CHANNELS
        payload = encode_planes(latents[:count], step, pack.coder, tilt)
        return serialize(Header(width, height, step, pack.id, grey, tilt), [Chunk(b"L", payload)])

    plain = picture(37, 35, 24, 6)
    return {
        "header-only": serialize(Header(20, 10, 24, pack.id), []),
        "one-pixel": picture(1, 1, 0, 9),
        "plain": plain,
        "coarsest-of-them": picture(33, 17, UPPER_STEP, 4),
        "without-them": picture(33, 17, UPPER_STEP + 1, 4),
        "channels-alone": picture(33, 17, 30, 5, only=slice(0, CHANNELS)),
        "one-group": picture(33, 17, 30, 5, only=slice(CHANNELS + 180, CHANNELS + 250)),
        "fifteen-planes": picture(17, 16, 36, 15),
        "grey": picture(20, 20, 30, 5, grey=True),
        **{f"tilt-{tilt}": picture(20, 17, 28, 5, tilt=tilt) for tilt in (-3, -1, 2, 3)},
        "tilt-below-the-finest-step": picture(20, 17, 2, 8, tilt=3),
        **{f"plain-cut-{n}": plain[: latent_span(plain)[0] + n] for n in (0, 2, 5, 13, 34, 89, 144, 233, 377, 610, 987)},
    }


def make() -> dict[str, bytes]:
    """Every file of the folder by its path."""
    made = make_pack()
    pack = load_pack(made)
    out = {f"pack/{name}": data for name, data in made.items()}
    for name, data in make_files(pack).items():
        out[f"{name}.sdz"] = data
        out[f"{name}.json"] = (json.dumps(expect_valid(data, pack), indent=1, sort_keys=True) + "\n").encode()
    return out


if __name__ == "__main__":
    write(FOLDER, make())
