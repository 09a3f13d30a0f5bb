"""Colours that a file gives by code points (CICP, ITU-T H.273) instead of a profile: AVIF, HEIC and PNG.

Takes a Pillow image, opened or loaded; gives the bytes of an ICC profile. What each pair of codes means on a screen is what Chromium
shows, which the tests hold to two levels. Codes with a range beyond white (PQ, HLG) are refused: an 8-bit picture of them has no one look.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from ..errors import EncodeInputError
from .icc import Chromaticities, matrix_profile

D65, C, E, DCI = (0.3127, 0.329), (0.31, 0.316), (1 / 3, 1 / 3), (0.314, 0.351)

PRIMARIES: Final[dict[int, Chromaticities]] = {
    1: ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06), D65),
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), C),
    5: ((0.64, 0.33), (0.29, 0.6), (0.15, 0.06), D65),
    6: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), D65),
    7: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), D65),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), C),
    9: ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046), D65),
    10: ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), E),
    11: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), DCI),
    12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), D65),
    22: ((0.63, 0.34), (0.295, 0.605), (0.155, 0.077), D65),
}
"""ColourPrimaries of H.273, table 2: x and y of red, green, blue and white."""

UNSPECIFIED: Final = 2

SRGB: Final = 13
BT709: Final = frozenset((1, 6, 14, 15))
"""Transfer characteristics of video, which stills in AVIF take for sRGB's and PNG for BT.1886, an exponent of 2.4."""

XVYCC: Final = 11
"""Video with a wider range; browsers refuse such an AVIF."""

HDR: Final = {16: "PQ", 18: "HLG"}

HEAD_BYTES: Final = 1 << 20
"""How much of a file is looked through: boxes and chunks before the pixels, an ICC profile among them."""


@dataclass(frozen=True)
class Cicp:
    """`primaries` and `transfer` of H.273. `strong`: they stand above an ICC profile, as in PNG; in AVIF and HEIC it stands above them."""

    primaries: int
    transfer: int
    strong: bool


def _srgb(v: float) -> float:
    return v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4


def _smpte240(v: float) -> float:
    return v / 4.0 if v <= 0.0913 else ((v + 0.1115) / 1.1115) ** (1 / 0.45)


TRANSFERS: Final[dict[int, Callable[[float], float]]] = {
    **dict.fromkeys((UNSPECIFIED, SRGB), _srgb),
    4: lambda v: v**2.2,
    5: lambda v: v**2.8,
    7: _smpte240,
    8: lambda v: v,
    17: lambda v: min(1.0, 52.37 / 48.0 * v**2.6),
}
"""Signal to light, both 0 to 1, by TransferCharacteristics of H.273, table 3, where container and code agree on one."""


def find_cicp(image: Any) -> Cicp | None:
    """The code points that the file of a Pillow image gives; None where it has none, or is no longer there to be looked at."""
    nclx = image.info.get("nclx_profile")
    if isinstance(nclx, dict):
        return Cicp(int(nclx.get("color_primaries", UNSPECIFIED)), int(nclx.get("transfer_characteristics", UNSPECIFIED)), False)
    if image.format not in ("AVIF", "PNG"):
        return None
    head = _head_of(image)
    try:
        return _in_png(head) if image.format == "PNG" else _in_avif(head)
    except (struct.error, IndexError):
        return None


def profile_of(cicp: Cicp) -> bytes | None:
    """An ICC profile of these colours, None for sRGB. Raises EncodeInputError for what no 8-bit picture can be brought to sRGB from."""
    if cicp.transfer in HDR:
        raise EncodeInputError(
            f"its colours are HDR ({HDR[cicp.transfer]}), brighter than a page's white: tone-map it to SDR first, in a photo editor"
        )
    known = cicp.transfer in TRANSFERS or cicp.transfer in BT709 or (cicp.transfer == XVYCC and cicp.strong)
    if not known or (cicp.primaries not in PRIMARIES and cicp.primaries != UNSPECIFIED):
        if cicp.strong:
            return None  # browsers take such a PNG for sRGB
        raise EncodeInputError(f"its colours (CICP {cicp.primaries}/{cicp.transfer}) are none that browsers show")
    if cicp.strong and UNSPECIFIED in (cicp.primaries, cicp.transfer):
        return None
    return _profile(cicp)


@functools.lru_cache(maxsize=16)
def _profile(cicp: Cicp) -> bytes | None:
    primaries = 1 if cicp.primaries == UNSPECIFIED else cicp.primaries
    video = cicp.transfer in BT709 or cicp.transfer == XVYCC
    curve = (_bt1886 if cicp.strong else _srgb) if video else TRANSFERS[cicp.transfer]
    if primaries == 1 and curve is _srgb:
        return None
    return matrix_profile(PRIMARIES[primaries], curve)


def _bt1886(v: float) -> float:
    return float(v**2.4)


def _head_of(image: Any) -> bytes:
    """The first bytes of an image's file, which stays where it stood; b"" where there is no file any more."""
    file: BinaryIO | None = getattr(image, "fp", None)
    try:
        if file is not None and not file.closed and file.seekable():
            place = file.tell()
            file.seek(0)
            head = file.read(HEAD_BYTES)
            file.seek(place)
            return head
        name = getattr(image, "filename", "")
        if name:
            with Path(name).open("rb") as opened:
                return opened.read(HEAD_BYTES)
    except (OSError, ValueError):
        pass
    return b""


def _in_png(head: bytes) -> Cicp | None:
    """The chunk cICP (PNG, third edition, 11.3.2.6), which stands before the pixels; only full-range RGB means anything."""
    at = 8
    while at + 8 <= len(head):
        length, tag = struct.unpack_from(">I4s", head, at)
        if tag == b"cICP" and length == 4 and at + 12 <= len(head):
            primaries, transfer, matrix, full = head[at + 8 : at + 12]
            return Cicp(primaries, transfer, True) if (matrix, full) == (0, 1) else None
        if tag == b"IDAT":
            return None
        at += 12 + length
    return None


def _in_avif(head: bytes) -> Cicp | None:
    """The property colr of type nclx that belongs to the primary item (ISO/IEC 14496-12, 12.1.5; 23008-12, 9.3)."""
    meta = next((body for tag, body in _boxes(head) if tag == b"meta"), b"")
    inside = dict(_boxes(meta[4:]))
    pitm, iprp = inside.get(b"pitm", b""), dict(_boxes(inside.get(b"iprp", b"")))
    if not pitm or b"ipco" not in iprp:
        return None
    primary = struct.unpack_from(">H" if pitm[0] == 0 else ">I", pitm, 4)[0]
    properties = list(_boxes(iprp[b"ipco"]))
    for index in _associated(iprp.get(b"ipma", b""), primary):
        if 0 < index <= len(properties):
            tag, body = properties[index - 1]
            if tag == b"colr" and body[:4] == b"nclx":
                primaries, transfer = struct.unpack_from(">HH", body, 4)
                return Cicp(primaries, transfer, False)
    return None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes of a box's body, in their order: type and body."""
    at = 0
    while at + 8 <= len(data):
        size, tag = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1:
            size, start = struct.unpack_from(">Q", data, start)[0], start + 8
        end = len(data) if size == 0 else at + size
        if end < start:
            return
        yield tag, data[start:end]
        at = end


def _associated(ipma: bytes, item: int) -> Iterator[int]:
    """The numbers, from 1, of an item's properties."""
    version, flags, count = struct.unpack_from(">BxxBI", ipma)
    at = 8
    for _ in range(count):
        name, at = (struct.unpack_from(">H", ipma, at)[0], at + 2) if version < 1 else (struct.unpack_from(">I", ipma, at)[0], at + 4)
        entries, at = ipma[at], at + 1
        for _ in range(entries):
            if flags & 1:
                index, at = struct.unpack_from(">H", ipma, at)[0] & 0x7FFF, at + 2
            else:
                index, at = ipma[at] & 0x7F, at + 1
            if name == item:
                yield index
