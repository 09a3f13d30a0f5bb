"""A pack from anywhere: whatever its files hold ends in one typed error, within seconds."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from networks import CHANNELS, small_pack
from onnx import TensorProto, helper, numpy_helper

from sdz.runtime.errors import CorruptPackError
from sdz.runtime.format.reconstruction import Latents
from sdz.runtime.onnx_files import refuse_external_data
from sdz.runtime.pack import MANIFEST, Pack, load_pack
from sdz.runtime.session import Session

ZEROS = np.zeros((CHANNELS, 2, 3), np.int32)
LATENTS = Latents(ZEROS, ZEROS, ZEROS, ZEROS)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return small_pack(tmp_path_factory.mktemp("pack")).pack


@pytest.fixture
def copy(good: Pack, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good.directory, tmp_path / "copy"))


def with_file(directory: Path, kind: str, name: str, data: bytes) -> Pack:
    """The pack with another file, which its manifest states as it is."""
    manifest = json.loads((directory / MANIFEST).read_bytes())
    entry = manifest[kind][name]
    entry |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (directory / entry["file"]).write_bytes(data)
    (directory / MANIFEST).write_text(json.dumps(manifest))
    return load_pack(directory)


@pytest.mark.parametrize("name", ["coder.bin", "linear.bin", "decoder.int8.onnx", "decoder.core.bin"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_regular_file_is_never_waited_for(copy: Path, name: str, kind: str) -> None:
    path = copy / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(CorruptPackError, match=r"(not a regular file|Is a directory); install the pack again"):
        load_pack(copy).verify()


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_manifest_that_is_no_regular_file(copy: Path, kind: str) -> None:
    path = copy / MANIFEST
    path.unlink()
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(CorruptPackError, match="not a regular file"):
        load_pack(copy)


def test_a_file_that_grew_is_read_no_further_than_it_may_be(copy: Path) -> None:
    path = copy / "coder.bin"
    size = path.stat().st_size
    with path.open("ab") as stream:
        stream.truncate(1 << 40)  # a terabyte of holes
    with pytest.raises(CorruptPackError, match=f"over {size} bytes, the manifest says {size}"):
        load_pack(copy).verify()


def test_unsorted_thresholds(copy: Path, good: Pack) -> None:
    tables = bytearray(good.coder_bytes)
    at = 8 + CHANNELS * 86
    tables[at : at + 2] = b"\xff\xff"
    with pytest.raises(CorruptPackError, match="thresholds that do not rise"):
        with_file(copy, "tables", "coder", bytes(tables)).verify()


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_scales_of_the_core_that_are_no_numbers(copy: Path, good: Pack, value: float) -> None:
    weights = bytearray(good.core_bytes("decoder"))
    weights[12:16] = np.float32(value).tobytes()
    with pytest.raises(CorruptPackError, match="layer 0 has a scale that is out of range"):
        with_file(copy, "core", "decoder", bytes(weights)).verify()


def graph(output: onnx.ValueInfoProto, *nodes: onnx.NodeProto, constants: tuple[onnx.TensorProto, ...] = ()) -> bytes:
    """A denoiser's graph of these nodes."""
    shape = [1, CHANNELS, None, None]
    names = ("latents", "levels", "precision", "half_width")
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names]
    made = helper.make_graph(list(nodes), "denoiser", inputs, [output], initializer=list(constants))
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


OUT = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)


def constant(name: str, *values: float, kind: type = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, kind), name)


ENDLESS = helper.make_graph(
    [helper.make_node("Identity", ["go"], ["on"])],
    "body",
    [helper.make_tensor_value_info("i", TensorProto.INT64, []), helper.make_tensor_value_info("go", TensorProto.BOOL, [])],
    [helper.make_tensor_value_info("on", TensorProto.BOOL, [])],
)

BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "nan": (
        lambda: graph(OUT, helper.make_node("Add", ["latents", "nan"], ["out"]), constants=(constant("nan", np.nan),)),
        "gives numbers that are not finite",
    ),
    "infinity": (
        lambda: graph(OUT, helper.make_node("Add", ["latents", "inf"], ["out"]), constants=(constant("inf", np.inf),)),
        "gives numbers that are not finite",
    ),
    "shape": (
        lambda: graph(OUT, helper.make_node("Concat", ["latents", "latents"], ["out"], axis=1)),
        rf"gives float32 \(1, {2 * CHANNELS}, 2, 3\) in place of \(1, {CHANNELS}, 2, 3\)",
    ),
    "contradiction": (
        lambda: graph(
            OUT,
            helper.make_node("Reshape", ["latents", "shape"], ["out"]),
            constants=(constant("shape", 7, 11, kind=np.int64),),
        ),
        "a network of the pack failed",
    ),
    "memory": (
        lambda: graph(
            OUT,
            helper.make_node("ConstantOfShape", ["shape"], ["vast"]),
            helper.make_node("Add", ["latents", "vast"], ["out"]),
            constants=(constant("shape", 1 << 20, 1 << 20, 1 << 10, kind=np.int64),),
        ),
        "a network of the pack failed|cannot load it",
    ),
    "loop": (
        lambda: graph(
            OUT,
            helper.make_node("Loop", ["", "yes"], [], body=ENDLESS),
            helper.make_node("Identity", ["latents"], ["out"]),
            constants=(numpy_helper.from_array(np.array(True), "yes"),),
        ),
        "operator Loop may run for ever",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_graphs_that_misbehave(copy: Path, name: str) -> None:
    make, problem = BAD[name]
    pack = with_file(copy, "graphs", "denoiser", make())
    with pytest.raises(CorruptPackError, match=problem):
        Session(pack).denoise(LATENTS)


def test_external_data_behind_a_tag_that_parsers_cut() -> None:
    """Fields 13 and 14 in five bytes, 2**32 added: protobuf drops it and sees the fields, an unlimited integer does not."""

    def field(number: int, payload: bytes) -> bytes:
        return bytes([number << 3 | 2, len(payload)]) + payload

    def over_long(number: int, wire: int) -> bytes:
        key, out = (number << 3 | wire) + (1 << 32), []
        while key >= 128:
            out.append(key & 127 | 128)
            key >>= 7
        return bytes([*out, key])

    entry = field(1, b"location") + field(2, b"/etc/passwd")
    tensor = field(8, b"w") + over_long(13, 2) + bytes([len(entry)]) + entry + over_long(14, 0) + b"\1"
    plain = field(8, b"w")
    for inner, refused in ((tensor, True), (plain, False)):
        data = field(7, field(5, inner))
        if refused:
            with pytest.raises(CorruptPackError, match="not an ONNX file"):
                refuse_external_data(data, Path("a.onnx"))
        else:
            refuse_external_data(data, Path("a.onnx"))
