"""ICC profiles of three primaries and a curve, for pictures that say their colours by numbers.

Takes chromaticities and a transfer function, gives the bytes of a display profile (ICC.1:2022, version 4.4, 8.3) as LittleCMS reads it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Point: TypeAlias = tuple[float, float]
Chromaticities: TypeAlias = tuple[Point, Point, Point, Point]
"""CIE 1931 x and y of red, green, blue and white."""

D50: Final = (0.9642, 1.0, 0.8249)
"""The white of the profile connection space, X Y Z."""

BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
"""To cone responses, in which whites are adapted to each other (ICC.1:2022, annex E)."""

CURVE_ENTRIES: Final = 1024


def matrix_profile(colours: Chromaticities, curve: Callable[[float], float]) -> bytes:
    """A profile of RGB with these chromaticities; `curve` takes a sample to light, both 0 to 1."""
    columns, adaptation = adapted(colours)
    samples = [round(65535 * min(1.0, max(0.0, curve(i / (CURVE_ENTRIES - 1))))) for i in range(CURVE_ENTRIES)]
    trc = b"curv" + bytes(4) + struct.pack(f">I{CURVE_ENTRIES}H", CURVE_ENTRIES, *samples)
    text = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 6, 28) + "sdz".encode("utf-16-be")
    tags = {
        b"desc": text,
        b"cprt": text,
        b"wtpt": _xyz(D50),
        b"chad": b"sf32" + bytes(4) + struct.pack(">9i", *(_fixed(value) for value in adaptation.ravel())),
        **{name: _xyz(tuple(columns[:, i])) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))},
        b"rTRC": trc,
        b"gTRC": trc,
        b"bTRC": trc,
    }
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += struct.pack(">4sII", name, offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = offset + len(body)
    head = struct.pack(">I4sI4s4s4s12s4s4sI4s4s8sI12s", size, b"\0\0\0\0", 0x04400000, b"mntr", b"RGB ", b"XYZ ", bytes(12), b"acsp",
                       b"\0\0\0\0", 0, b"\0\0\0\0", b"\0\0\0\0", bytes(8), 0, _xyz(D50)[8:])  # fmt: skip
    return head.ljust(128, b"\0") + table + body


def adapted(colours: Chromaticities) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The columns X Y Z of red, green and blue seen under D50, and the matrix that adapts their white to it, both (3, 3)."""
    *primaries, white = (np.array([x / y, 1.0, (1.0 - x - y) / y]) if y else np.array([x, y, 1.0 - x - y]) for x, y in colours)
    basis = np.stack(primaries, axis=1)
    own = basis * np.linalg.solve(basis, white)
    gains = (BRADFORD @ D50) / (BRADFORD @ white)
    adaptation = np.linalg.inv(BRADFORD) @ np.diag(gains) @ BRADFORD
    return adaptation @ own, adaptation


def _xyz(value: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *map(_fixed, value))


def _fixed(value: float) -> int:
    """s15Fixed16Number."""
    return round(float(value) * 65536)
