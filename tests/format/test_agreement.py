"""FORMAT.md, Python and JavaScript state the same limits, and take and refuse the same manifests."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from standins import neutral_tables

from sdz.runtime import limits
from sdz.runtime.errors import CorruptPackError
from sdz.runtime.format import container, indices, linear, palette, sparse, tiles
from sdz.runtime.pack import DENOISER_GRAPHS, GRAPHS, MANIFEST, PATCHES, QUANTIZERS, load_pack

ROOT = Path(__file__).resolve().parents[2]
TEXT = " ".join((ROOT / "FORMAT.md").read_text(encoding="utf-8").split())
ROWS = dict(re.findall(r"(?m)^\| (`.*?) \| (.*) \|$", (ROOT / "FORMAT.md").read_text(encoding="utf-8")))
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")


def number(text: str) -> int:
    """A number as FORMAT.md writes it: 16,384 or 2²⁴."""
    power = re.fullmatch(r"2([⁰¹²³⁴⁵⁶⁷⁸⁹]+)", text)
    return 2 ** int(power[1].translate(SUPERSCRIPTS)) if power else int(text.replace(",", ""))


def stated(pattern: str) -> int:
    """The number that FORMAT.md states where `pattern`'s group stands; everywhere it stands the same one."""
    found = {number(text) for text in re.findall(pattern, TEXT)}
    assert len(found) == 1, pattern
    return found.pop()


NUMBER = "(2[⁰¹²³⁴⁵⁶⁷⁸⁹]+|[0-9][0-9,]*)"

IN_FORMAT = {
    "MAX_SIDE": rf"(?:width|height) − 1, below {NUMBER}",
    "MAX_STEP_INDEX": rf"`step index` \| bits 0 to 6: i, at most {NUMBER}:",
    "MAX_PLANES": rf"for k = {NUMBER}, 14 … 1 a bit whether",
    "MAX_TILT": rf"`tilt`, -[0-9] to {NUMBER} in two's complement",
    "FULL_STRENGTH": rf"(?:r from 0 to|who is not told otherwise, below) {NUMBER}",
    "MAX_OCTAVE": rf"C integers from -[0-9]+ to {NUMBER}, sixteenths",
    "NETWORKS_COARSEST": rf"sum\(t\) ≤ {NUMBER} · N",
    "MAX_VARINT_BYTES": rf"at most {NUMBER} bytes long, and below 2³²",
    "MAX_CHUNKS": rf"A file has at most {NUMBER} chunks",
    "MAX_ALT_BYTES": rf"without a terminator \| {NUMBER} bytes",
    "MAX_EXIF_BYTES": rf"JPEG puts before it \| {NUMBER} bytes",
    "MAX_PIXELS": rf"the reference decoders refuse more than {NUMBER} pixels",
    "MAX_LATENTS": rf"pixels, and more than {NUMBER} latents",
    "MAX_CHANNELS": rf"C \(1 to {NUMBER}\), \S",
    "MAX_L1_LIMIT": rf"\S \(0 to 16\), 1 to {NUMBER}, 1 to",
    "MAX_LINEAR_SHIFT": rf"1 to 2²⁴, 1 to {NUMBER} \|",
    "MAX_HALO": rf"where there is one: 0 to {NUMBER} positions",
    "MAX_PACK_FILE_BYTES": rf"`bytes` \(1 to {NUMBER}\)",
    "MAX_NAME": rf"a plain name: 1 to {NUMBER} of the characters",
    "MAX_MANIFEST_BYTES": rf"a JSON object of at most {NUMBER} bytes",
}


def node(script: str, given: Any = None) -> Any:
    """What a module script of Node's prints as JSON; it finds `given` in the variable of that name."""
    source = f"const given = {json.dumps(given)};\n{script}"
    command = ["node", "--input-type=module", "-"]
    done = subprocess.run(command, input=source, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_limits_are_the_same_in_format_md_python_and_javascript() -> None:
    python = {name: value for name, value in vars(limits).items() if name.isupper()}
    javascript = node('import * as limits from "./web/limits.js"; console.log(JSON.stringify(limits));')
    # what a page fetches, and what it asks about large pictures, are no matter of the format
    assert (javascript.pop("MAX_DOWNLOAD_BYTES"), javascript.pop("LARGE_PIXELS")) == (2**28, 2**21)
    assert javascript == {name: python[name] for name in javascript}
    # what else JavaScript holds a manifest to is compared below
    assert len(javascript) >= 12
    assert {name: stated(pattern) for name, pattern in IN_FORMAT.items()} == python


def test_python_and_javascript_paint_the_same_files_smaller() -> None:
    """And by as much, to at most the 2^19 pixels of a page's preview."""
    cases = [
        (*sides, size, patch)
        for sides in [(2_000, 2_000), (2_000, 2_001), (16_384, 8_192), (7_000, 7_000), (1, 16_384)]
        for size in (0, 99, 100, 101, 1_224, 1_225, 3_355, 3_356)
        for patch in (8, 16, 32)
    ]
    found = node(
        'import { reductionOf } from "./web/format/sparse.js";\n'
        "const of = ([width, height, size, patch]) => reductionOf({ header: { width, height }, "
        "chunks: [{ tag: 'L', payload: new Uint8Array(size) }, { tag: 'A', payload: new Uint8Array(9999) }] }, patch);\n"
        "console.log(JSON.stringify(given.map(of)));",
        cases,
    )
    expected = [
        sparse.reduction_for(width * height, 2**19, linear.reductions(patch)) if sparse.is_sparse(width, height, size) else 1
        for width, height, size, patch in cases
    ]
    assert found == expected
    assert {1, 4, 8, 16} <= set(expected)


def test_numbers_that_stand_beside_what_they_limit_are_those_of_format_md() -> None:
    assert stated(rf"indices\" gives every latent position one of K codebook entries, K from 2 to {NUMBER}") == indices.MAX_ENTRIES
    assert stated(rf"precision, half_width \| u8 up to {NUMBER}") == indices.MAX_PRECISION
    assert stated(rf"A precision code is at most 80 \+ 8 · 15 = {NUMBER}") == indices.MAX_PRECISION
    assert stated(rf"n − 1, n from 1 to {NUMBER}") == palette.MAX_ENTRIES
    assert stated(rf"even, from 2 to {NUMBER}/p") == tiles.MAX_BLEND
    assert stated(rf"9·k² ≤ whole ≤ {NUMBER}") == tiles.MAX_WHOLE
    assert stated(rf"magnitudes at most {NUMBER} in sum") == linear.LAP_SUM
    assert stated(rf"`version` \| bits 0 to 2: {NUMBER};") == container.VERSION
    assert re.findall(r"\d+", ROWS["`patch`"]) == [str(patch) for patch in PATCHES]
    assert set(re.findall(r'"(\w+)"', ROWS["`quantizer`"])) == set(QUANTIZERS)


def entry(name: str, data: bytes) -> dict[str, Any]:
    return {"file": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


FILES = {"linear.bin": np.ones((4, 3 * 16 * 16), "<i2").tobytes(), "coder.bin": neutral_tables(4).to_bytes(), "graph.onnx": b"x"}

GOOD: dict[str, Any] = {
    "format": 2,
    "name": "toy",
    "channels": 4,
    "patch": 16,
    "grid": 4,
    "reconstruction": 7,
    "l1_limit": 1 << 17,
    "linear_shift": 12,
    "denoiser": {"min_step_index": 22},
    "halo": {"denoiser": 1, "decoder": 2},
    "tables": {name: entry(f"{name}.bin", FILES[f"{name}.bin"]) for name in ("linear", "coder")},
    "graphs": {name: entry("graph.onnx", FILES["graph.onnx"]) for name in (*GRAPHS, *DENOISER_GRAPHS)},
}

RANGES: dict[str, tuple[int, int]] = {
    "channels": (1, stated(IN_FORMAT["MAX_CHANNELS"])),
    "reconstruction": (0, stated(rf"C \(1 to 255\), \S \(0 to {NUMBER}\)")),
    "l1_limit": (1, stated(IN_FORMAT["MAX_L1_LIMIT"])),
    "linear_shift": (1, stated(IN_FORMAT["MAX_LINEAR_SHIFT"])),
    "denoiser.min_step_index": (0, stated(rf"`min_step_index`, 0 to {NUMBER} \|")),
    "halo.denoiser": (0, stated(IN_FORMAT["MAX_HALO"])),
    "halo.decoder": (0, stated(IN_FORMAT["MAX_HALO"])),
    "tables.linear.bytes": (1, stated(IN_FORMAT["MAX_PACK_FILE_BYTES"])),
}


def changed(field: str, value: Any) -> dict[str, Any]:
    """A good manifest with another value in one field, or without it where the value is None."""
    out = copy.deepcopy(GOOD)
    *path, last = field.split(".")
    place = out
    for key in path:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return out


def tried() -> list[tuple[str, Any, bool]]:
    """(field, value or None for none at all, whether FORMAT.md allows it)."""
    cases: list[tuple[str, Any, bool]] = []
    for field, (low, high) in RANGES.items():
        cases += [(field, low, True), (field, high, True), (field, low - 1, False), (field, high + 1, False), (field, 1.5, False)]
    cases += [("patch", patch, True) for patch in PATCHES] + [("patch", 2, False), ("patch", 64, False)]
    cases += [("format", 1, False), ("grid", 8, False), ("exact", False, True), ("exact", 1, False), ("exact", "yes", False)]
    cases += [("quantizer", "planes", True), ("quantizer", "palette", True), ("quantizer", "trees", False)]
    cases += [("name", "a" * 100, True), ("name", "a" * 101, False), ("name", "", False), ("name", "a/b", False)]
    cases += [("tables.linear.file", "../linear.bin", False), ("tables.linear.sha256", "0" * 63, False)]
    cases += [("octaves", [64, -64, 0, 1], True), ("octaves", [65, 0, 0, 0], False), ("octaves", [0, 0, 0], False)]
    cases += [("lapping", [[232]], True), ("lapping", [[233]], False), ("lapping", [[1, 2]], False), ("lapping", [[0] * 9] * 9, False)]
    weights = entry("graph.onnx", FILES["graph.onnx"])
    cases += [("core", {"decoder": weights, "denoiser": weights}, True), ("core", {"decoder": weights}, False), ("core", {}, False)]
    cases += [("core", {"decoder": weights | {"bytes": 0}, "denoiser": weights}, False), ("core", 1, False)]
    tilings = ((36, 2, True), (36, 64, False), (36, 3, False), (35, 2, False), (2**20, 2, True), (2**20 + 1, 2, False))
    cases += [("tiling", {"whole": whole, "overlap": overlap}, allowed) for whole, overlap, allowed in tilings]
    needed = ("name", "channels", "patch", "grid", "format", "reconstruction", "l1_limit", "linear_shift", "halo.decoder", "halo.denoiser")
    return cases + [(field, None, False) for field in (*needed, "denoiser.min_step_index", "tables.linear", "tables.coder.bytes")]


JAVASCRIPT = """
import { createHash } from "node:crypto";
import { loadPack } from "./web/pack.js";
const files = Object.fromEntries(Object.entries(given.files).map(([name, text]) => [name, Buffer.from(text, "hex")]));
const out = [];
for (const manifest of given.manifests) {
  const bytes = Buffer.from(manifest);
  const read = async (name) => new Uint8Array(name === "manifest.json" ? bytes : files[name]);
  const id = createHash("sha256").update(bytes).digest("hex").slice(0, 6);
  out.push(await loadPack(id, read).then(() => "", (error) => error.message));
}
console.log(JSON.stringify(out));
"""


def test_python_and_javascript_refuse_the_same_manifests(tmp_path: Path) -> None:
    cases = tried()
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    texts = [json.dumps(changed(field, value)) for field, value, _ in cases]
    javascript = node(JAVASCRIPT, {"files": {name: data.hex() for name, data in FILES.items()}, "manifests": texts})
    for (field, value, allowed), text, said in zip(cases, texts, javascript, strict=True):
        (tmp_path / MANIFEST).write_text(text)
        try:
            load_pack(tmp_path)
            python = ""
        except CorruptPackError as error:
            python = str(error)
        # what follows from a value that is allowed, such as tables that no longer fit it, is no matter of the field
        named = field.split(".")[0]
        refused = [f"'{named}" in message or f"of the manifest's '{named}'" in message for message in (python, said)]
        assert refused == [not allowed] * 2, (field, value, python, said)


@pytest.mark.parametrize("field", sorted({field for field, _, _ in tried()}))
def test_every_field_is_in_format_mds_table(field: str) -> None:
    table = " ".join(f"{names} {value}" for names, value in ROWS.items())
    assert all(f"`{name}`" in table for name in field.split(".") if name != "linear" and name != "coder")
