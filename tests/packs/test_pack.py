"""Building, finding, checking and refusing packs."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from networks import CHANNELS, small_networks, small_pack
from onnx import TensorProto, helper
from standins import neutral_tables

import sdz.export.packs.trained
from sdz.export.packs.graph import decoder_table
from sdz.export.packs.parity import TOLERANCES, ParityError
from sdz.export.packs.trained import BuiltPack, build_pack
from sdz.runtime.errors import CorruptPackError, MissingPackError
from sdz.runtime.format.tiles import Tiling
from sdz.runtime.onnx_files import refuse_external_data
from sdz.runtime.options import ENCODER
from sdz.runtime.pack import DENOISER_GRAPHS, GRAPHS, MANIFEST, REFINE, REFINE_NOTE, find_pack, load_pack


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> BuiltPack:
    return small_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture
def copy(built: BuiltPack, tmp_path: Path) -> Path:
    """A pack's directory to spoil."""
    return Path(shutil.copytree(built.pack.directory, tmp_path / "copy"))


def edit(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = directory / MANIFEST
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_manifest_is_canonical_and_names_the_pack(built: BuiltPack) -> None:
    pack = built.pack
    text = (pack.directory / MANIFEST).read_bytes()
    assert text == (json.dumps(pack.manifest, sort_keys=True, separators=(",", ":")) + "\n").encode()
    assert pack.id == hashlib.sha256(text).digest()[:3]
    assert (pack.name, pack.channels, pack.reconstruction) == ("small", CHANNELS, 7)
    assert (pack.denoiser_halo, pack.decoder_halo, pack.denoiser_min_step_index) == (2, 2, 22)
    assert sorted(p.name for p in pack.directory.iterdir()) == sorted(
        [MANIFEST, REFINE_NOTE, f"{REFINE}.onnx", *(f.file for files in (pack.tables, pack.graphs, pack.core) for f in files.values())]
    )
    assert pack.refine is not None and REFINE not in pack.manifest["graphs"]
    assert pack.encoder == f"{ENCODER}-{pack.refine.sha256[:16]}"
    assert replace(pack, refine=None).encoder == f"{ENCODER}-"
    for name in (*GRAPHS, *DENOISER_GRAPHS):
        entry = pack.manifest["graphs"][name]
        assert entry["brotli"] > 0 and entry["gzip"] > 0 and entry["macs_per_pixel"] > 0
    assert pack.core.keys() == {"decoder", "denoiser"}
    assert all(pack.core_bytes(name)[:4] == b"sdzN" for name in pack.core)
    assert min(built.compared.values()) > 100_000
    pack.verify()


def test_building_again_gives_the_same_pack(built: BuiltPack, tmp_path: Path) -> None:
    assert small_pack(tmp_path).pack.id == built.pack.id


def test_parity_is_exact_where_it_must_be(built: BuiltPack) -> None:
    assert built.parity.keys() == TOLERANCES.keys()
    assert not built.calibrated
    assert built.parity["decoder int8: values that differ from fp32"] == 0
    assert built.parity["denoiser int8: values that differ from fp32"] == 0
    assert 0.2 < built.parity["decoder int8: mean error against torch (pixel levels)"] < 0.5


def test_linear_table_is_the_decoders(built: BuiltPack) -> None:
    table = decoder_table(small_networks()[0])
    assert built.pack.linear_shift == table.shift
    assert built.pack.l1_limit <= table.l1_limit
    assert built.pack.linear.dtype == np.int16
    assert (built.pack.linear == table.weight.T).all()


def test_a_pack_that_fails_the_gate_is_not_written(built: BuiltPack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOLERANCES, "decoder int8: mean error against torch (pixel levels)", 0.01)
    weights = built.pack.directory.parents[1] / "weights"
    with pytest.raises(ParityError, match=r"decoder int8: mean error .* tolerance 0\.01: the pack was not written"):
        build_pack(weights, tmp_path / "out", neutral_tables(CHANNELS).to_bytes())
    assert list(tmp_path.iterdir()) == []


def test_a_build_replaces_a_pack_only_when_it_is_whole(built: BuiltPack, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = built.pack.directory.parents[1] / "weights"
    monkeypatch.setattr(sdz.export.packs.trained, "check_parity", lambda *_: {})
    with pytest.raises(CorruptPackError, match="coder tables do not begin with"):
        build_pack(weights, copy, b"nothing")
    assert load_pack(copy).id == built.pack.id
    (copy / "stale").touch()
    renamed = build_pack(weights, copy, neutral_tables(CHANNELS).to_bytes(), name="renamed").pack
    assert load_pack(copy).name == "renamed"
    assert renamed.id != built.pack.id
    assert not (copy / "stale").exists()
    assert [p.name for p in copy.parent.iterdir()] == ["copy"]


@pytest.mark.parametrize("name", ["linear", "coder", "decoder", "encoder"])
def test_a_changed_file_is_refused(built: BuiltPack, copy: Path, name: str) -> None:
    file = (built.pack.tables | built.pack.graphs)[name].file
    data = bytearray((copy / file).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / file).write_bytes(data)
    with pytest.raises(CorruptPackError, match=rf"{file}: SHA-256 .* the manifest says"):
        load_pack(copy).verify()
    (copy / file).write_bytes(data[:-1])
    with pytest.raises(CorruptPackError, match=rf"{file}: {len(data) - 1} bytes, the manifest says {len(data)}"):
        load_pack(copy).verify()
    (copy / file).unlink()
    with pytest.raises(CorruptPackError, match=rf"{file}: No such file"):
        load_pack(copy).verify()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format=1), "'format' is 1; this runtime reads packs with 2"),
        (lambda m: m.update(patch=12), "'patch' is 12; this runtime reads packs with 4 or 8 or 16 or 32"),
        (lambda m: m.update(patch=16.0), "'patch' is 16.0"),
        (lambda m: m.update(exact=1), "'exact' is 1; this runtime reads packs with False or True"),
        (lambda m: m.update(quantizer="dice"), "'quantizer' is 'dice'; this runtime reads packs with 'planes' or 'indices'"),
        (lambda m: m.update(tiling={"whole": 4096}), "'tiling.overlap' is missing"),
        (lambda m: m.update(tiling={"whole": 100, "overlap": 8}), "'tiling' cannot be: 100 positions in one piece"),
        (lambda m: m["graphs"].pop("denoiser"), "'graphs.denoiser.file' is missing"),
        (lambda m: m.pop("grid"), "'grid' is missing"),
        (lambda m: m.update(channels=0), "'channels' is 0, not an integer from 1 to 255"),
        (lambda m: m.update(channels=True), "'channels' is True, not an integer"),
        (lambda m: m.update(l1_limit=1.5), "'l1_limit' is 1.5"),
        (lambda m: m.update(linear_shift="13"), "'linear_shift' is '13'"),
        (lambda m: m.update(lapping=[]), "'lapping' is not a square of integers of at most 8 rows"),
        (lambda m: m.update(lapping=[[1, 2]]), "'lapping' is not a square"),
        (lambda m: m.update(lapping=[[0] * 9] * 9), "'lapping' is not a square"),
        (lambda m: m.update(lapping=[[True]]), "'lapping' is not a square"),
        (lambda m: m.update(lapping=[[0, 0], [-116, 117]]), "'lapping' has a row whose entries sum to more than 232"),
        (lambda m: m.update(octaves=[0] * 7), "'octaves' is not one integer from -64 to 64 for each of 8 channels"),
        (lambda m: m.update(octaves=[0] * 7 + [65]), "'octaves' is not one integer"),
        (lambda m: m.update(octaves=[0] * 7 + [True]), "'octaves' is not one integer"),
        (lambda m: m.update(octaves=0), "'octaves' is not one integer"),
        (lambda m: m.update(linear_shift=4), "'linear_shift' is 4, not an integer from 5 to 20"),
        (lambda m: m["halo"].update(decoder=0), "'halo.decoder' is 0, not an integer from 1"),
        (lambda m: m.update(name=""), "'name' is ''"),
        (lambda m: m["halo"].pop("decoder"), "'halo.decoder' is missing"),
        (lambda m: m.update(halo=[]), "'halo.denoiser' is missing"),
        (lambda m: m["denoiser"].update(min_step_index=-1), "'denoiser.min_step_index' is -1"),
        (lambda m: m["graphs"].pop("decoder-fp32"), "'graphs.decoder-fp32.file' is missing"),
        (lambda m: m["graphs"]["decoder"].update(file="../decoder.onnx"), "'graphs.decoder.file' is '../decoder.onnx'"),
        (lambda m: m["tables"]["coder"].update(file="/etc/passwd"), "'tables.coder.file' is '/etc/passwd'"),
        (lambda m: m["tables"]["linear"].update(sha256="00"), "'tables.linear.sha256' is '00'"),
        (lambda m: m["tables"]["linear"].update(bytes=-1), "'tables.linear.bytes' is -1"),
    ],
)
def test_bad_manifests_are_refused_by_field(copy: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    edit(copy, change)
    with pytest.raises(CorruptPackError) as caught:
        load_pack(copy)
    assert message in str(caught.value)
    assert str(copy / MANIFEST) in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"[" * 100000, b" " * (1 << 20) + b"{}"])
def test_what_is_not_a_manifest_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(text)
    with pytest.raises(CorruptPackError):
        load_pack(tmp_path)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptPackError, match="No such file or directory; name a folder that holds a model pack"):
        load_pack(tmp_path)


def test_a_pack_may_have_another_patch_no_denoiser_a_tiling_and_no_exactness(built: BuiltPack, copy: Path) -> None:
    assert (built.pack.patch, built.pack.exact, built.pack.tiling, built.pack.quantizer) == (16, True, None, "planes")
    table = np.arange(CHANNELS * 192, dtype="<i2").tobytes()
    (copy / "linear.bin").write_bytes(table)

    def change(manifest: dict[str, Any]) -> None:
        manifest.update(patch=8, exact=False, tiling={"whole": 4096, "overlap": 8})
        manifest["tables"]["linear"] = {"file": "linear.bin", "bytes": len(table), "sha256": hashlib.sha256(table).hexdigest()}
        for place in (manifest, manifest["halo"], manifest["graphs"]):
            del place["denoiser"]
        del manifest["graphs"]["denoiser-fp32"]

    edit(copy, change)
    pack = load_pack(copy)
    pack.verify()
    assert (pack.patch, pack.exact, pack.tiling, pack.encoder_tiling) == (8, False, Tiling(4096, 8), Tiling(4096, 8))
    edit(copy, lambda manifest: (manifest.pop("tiling"), manifest.update(encoder_tiling={"whole": 1024, "overlap": 4})))
    assert (load_pack(copy).tiling, load_pack(copy).encoder_tiling) == (None, Tiling(1024, 4))
    assert (pack.denoiser_min_step_index, pack.denoiser_halo, sorted(pack.graphs)) == (None, 0, ["decoder", "decoder-fp32", "encoder"])
    assert pack.linear[1, 3] == 195


def test_tables_of_the_wrong_size_are_refused(copy: Path) -> None:
    edit(copy, lambda m: m.update(channels=CHANNELS - 1, octaves=[0] * (CHANNELS - 1)))
    dense, separable = 2 * 768 * (CHANNELS - 1), 26 + 512 + 5 * (CHANNELS - 1)
    with pytest.raises(CorruptPackError, match=f"{CHANNELS - 1} channels need {dense}, or {separable} where"):
        _ = load_pack(copy).linear
    with pytest.raises(CorruptPackError, match=f"for {CHANNELS} channels, the manifest says {CHANNELS - 1}"):
        _ = load_pack(copy).coder


def test_linear_tables_whose_sums_can_pass_32_bits_are_refused(built: BuiltPack, copy: Path) -> None:
    """What web/pack.js refuses, so that no pack is good on one side only."""
    largest = int(np.abs(built.pack.linear.astype(int)).max())
    most = ((1 << 31) - 1 - (1 << (built.pack.linear_shift + 8))) // largest
    assert most < 1 << 24
    edit(copy, lambda m: m.update(l1_limit=most))
    assert (load_pack(copy).linear == built.pack.linear).all()
    edit(copy, lambda m: m.update(l1_limit=most + 1))
    with pytest.raises(CorruptPackError, match=rf"linear\.bin: weights of {largest} can sum beyond 32 bits .* {most + 1}; rebuild"):
        load_pack(copy).verify()


def test_packs_are_found_by_id(built: BuiltPack, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SDZ_PACKS", raising=False)
    with pytest.raises(MissingPackError) as caught:
        find_pack(built.pack.id)
    assert caught.value.pack_id == built.pack.id
    monkeypatch.setenv("SDZ_PACKS", f"{tmp_path / 'absent'}:{tmp_path}")
    assert find_pack(built.pack.id).directory == copy
    monkeypatch.setenv("SDZ_PACKS", str(copy))
    assert find_pack(built.pack.id).directory == copy
    edit(copy, lambda m: m.update(format=1))
    damaged = hashlib.sha256((copy / MANIFEST).read_bytes()).digest()[:3]
    with pytest.raises(MissingPackError):
        find_pack(built.pack.id)
    with pytest.raises(CorruptPackError, match="'format' is 1"):
        find_pack(damaged)


def external_tensor() -> TensorProto:
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [1], [1.0])
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "elsewhere.bin"
    return tensor


def hidden_in(place: str) -> onnx.ModelProto:
    """A model with a tensor outside the file, in one of the places where ONNX allows tensors."""
    graph = onnx.GraphProto()
    if place == "initializer":
        graph.initializer.append(external_tensor())
    elif place == "sparse":
        graph.sparse_initializer.add().values.CopyFrom(external_tensor())
    elif place == "constant":
        graph.node.append(helper.make_node("Constant", [], ["c"], value=external_tensor()))
    else:
        inner = onnx.GraphProto()
        inner.node.append(helper.make_node("Constant", [], ["c"], value=external_tensor()))
        graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=inner))
    model = onnx.ModelProto()
    if place == "function":
        model.functions.add().node.extend(graph.node)
    else:
        model.graph.CopyFrom(graph)
    return model


@pytest.mark.parametrize("place", ["initializer", "sparse", "constant", "subgraph", "function"])
def test_external_data_is_refused_wherever_it_hides(place: str) -> None:
    with pytest.raises(CorruptPackError, match=r"x\.onnx: a tensor is kept outside the file"):
        refuse_external_data(hidden_in(place).SerializeToString(), Path("x.onnx"))


def test_external_data_is_refused_even_when_the_digest_is_right(built: BuiltPack, copy: Path) -> None:
    data = hidden_in("initializer").SerializeToString()
    (copy / built.pack.graphs["decoder"].file).write_bytes(data)
    edit(copy, lambda m: m["graphs"]["decoder"].update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest()))
    with pytest.raises(CorruptPackError, match="a tensor is kept outside the file"):
        load_pack(copy).graph_bytes("decoder")


@pytest.mark.parametrize("data", [b"\xff" * 12, b"\x3a\x05\x01", b"\x0b", b"\x3a"])
def test_what_is_not_protobuf_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptPackError, match=r"x\.onnx: not an ONNX file"):
        refuse_external_data(data, Path("x.onnx"))
