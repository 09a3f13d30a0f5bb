"""The wall before onnxruntime: an ONNX file that would read other files, or loop, is refused before it is loaded.

Takes a file's bytes and walks its protobuf messages by hand, as far as tensors may stand: parsing whole graphs with a library would mean
trusting one more parser with untrusted bytes. Nothing is kept of what is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .errors import CorruptPackError

_TENSOR_FIELDS: Final = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Where tensors stand in an ONNX file (onnx.proto3): message -> field number -> message."""

_LOOPS: Final = (b"Loop", b"Scan")
"""Operators that repeat a graph as often as a number in it says: no network of a decoder needs them."""

_OPERATOR: Final = 4
_EXTERNAL_DATA: Final = 13
_DATA_LOCATION: Final = 14


def refuse_external_data(data: bytes, path: Path) -> None:
    """Raises CorruptPackError if the ONNX file `data` (named `path`) keeps a tensor in another file, or is not one at all."""
    try:
        _walk(memoryview(data), "model", path)
    except (IndexError, ValueError, RecursionError) as error:
        if isinstance(error, CorruptPackError):
            raise
        raise CorruptPackError(f"{path}: not an ONNX file; rebuild the pack") from error


def _walk(message: memoryview, kind: str, path: Path) -> None:
    """Follow a protobuf message to its tensors (https://protobuf.dev/programming-guides/encoding/)."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key >= 1 << 32:
            # parsers drop what is beyond 32 bits, and would see another field than this walk
            raise ValueError(key)
        field, wire = key >> 3, key & 7
        if kind == "tensor" and field in (_EXTERNAL_DATA, _DATA_LOCATION):
            raise CorruptPackError(f"{path}: a tensor is kept outside the file; rebuild the pack with single-file graphs")
        if wire == 0:
            _, at = _varint(message, at)
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        elif wire == 2:
            size, at = _varint(message, at)
            if kind == "node" and field == _OPERATOR and bytes(message[at : at + size]) in _LOOPS:
                raise CorruptPackError(
                    f"{path}: operator {bytes(message[at : at + size]).decode()} may run for ever; rebuild the pack without"
                )
            inner = _TENSOR_FIELDS.get(kind, {}).get(field)
            if inner is not None:
                _walk(message[at : at + size], inner, path)
            at += size
        else:
            raise ValueError(wire)
    if at != len(message):
        raise IndexError(at)


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("varint")
