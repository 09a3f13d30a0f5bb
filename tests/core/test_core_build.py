"""The committed core: built from the sources beside it, small, and held to its plain twin by sanitizers and a fuzzer."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import brotli
import pytest
import wasmtime
from networks import CHANNELS, small_networks

from sdz.export.packs.core_weights import core_weights
from sdz.export.packs.graph import decoder_graph, denoiser_graph, serialize
from sdz.runtime.errors import SdzError
from sdz.runtime.format.container import ALPHA, LATENTS, PALETTE_LATENTS, REGIONS, parse

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "core"
VECTORS = ROOT / "tests" / "vectors"

INPUTS = 100_000
"""Mutated inputs that each run of the fuzzer makes, 20,000 of them under sanitizers."""

LARGEST_BROTLI = {"sdz.wasm": 40_000, "reader.wasm": 33_500, "lossless.wasm": 10_000}

clang = pytest.mark.skipif(not (shutil.which("clang-19") and shutil.which("wasm-ld-19")), reason="needs Debian's clang-19 and lld-19")
compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@clang
def test_the_committed_core_is_what_its_sources_give(tmp_path: Path) -> None:
    for folder in (tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
        subprocess.run([CORE / "build.sh", folder], check=True)
        for module in LARGEST_BROTLI:
            assert (folder / module).read_bytes() == (CORE / module).read_bytes()


@pytest.mark.parametrize("module", LARGEST_BROTLI)
def test_the_core_is_small(module: str) -> None:
    assert len(brotli.compress((CORE / module).read_bytes(), quality=11)) <= LARGEST_BROTLI[module]


def test_the_curves_are_what_the_script_writes(tmp_path: Path) -> None:
    shutil.copytree(CORE, tmp_path / "core", ignore=shutil.ignore_patterns("*.wasm"))
    (tmp_path / "core" / "src" / "squash.h").unlink()
    subprocess.run([sys.executable, tmp_path / "core" / "make_tables.py"], check=True, capture_output=True)
    assert (tmp_path / "core" / "src" / "squash.h").read_bytes() == (CORE / "src" / "squash.h").read_bytes()


def seeds() -> list[bytes]:
    """The fuzzer's set-up and its first inputs, from the vectors and small networks."""
    autoencoder, denoiser = small_networks()
    decoder = core_weights(serialize(decoder_graph(autoencoder, "int8")), CHANNELS)
    names = ("fine/pack/coder.bin", "indices/pack/coder.bin", "fine/pack/linear.bin")
    tables, indices, linear = ((VECTORS / name).read_bytes() for name in names)
    found = [tables, indices, linear, decoder, b"T" + tables, b"I" + indices, b"N" + decoder]
    found.append(b"N" + core_weights(serialize(denoiser_graph(denoiser, "int8")), CHANNELS))
    found.append(b"L" + bytes([3, 2, 12, 4]) + bytes(256) + bytes(2 * 3 * 768))
    found.append(b"L" + bytes([5, 0, 8, 2]) + bytes(range(256)) + bytes(2 * 5 * 48))
    # tails: of random bytes, and of pixels that are coded first
    found += [b"x" + bytes([w, h, 3]) + bytes((i * 83 + (i >> 2) * 29) & 255 for i in range(400)) for w, h in ((9, 5), (24, 3))]
    found += [b"X" + bytes([w, h, k]) + bytes((i * k) & 255 for i in range(900)) for w, h, k in ((12, 5, 3), (2, 20, 0))]
    found += [b"T" + (VECTORS / "pack" / "coder.bin").read_bytes(), b"L" + bytes([linear[4], 2, 12, 3]) + bytes(256) + linear]
    noise = bytes((i * 167 + (i >> 3) * 59) & 255 for i in range(800))
    found += [b"e" + bytes([2, 3, 8, 40, 0]) + noise, b"R" + bytes([2, 3, 40, 1]) + noise, b"g" + bytes([7, 0, 9, 9]) + noise]
    for folder, patch, tag, kind in (
        ("valid", 16, LATENTS, b"p"),
        ("fine", 16, LATENTS, b"p"),
        ("indices/valid", 8, LATENTS, b"i"),
        ("palette", 16, PALETTE_LATENTS, b"P"),
    ):
        for path in sorted((VECTORS / folder).glob("*.sdz")):
            try:
                container = parse(path.read_bytes())
            except SdzError:
                continue
            header, chunk, alpha = container.header, container.find(tag), container.find(ALPHA)
            sides = [-(-header.height // patch), -(-header.width // patch)]
            regions = container.find(REGIONS)
            if chunk is not None and regions is not None:
                head = bytes([sides[0] - 1, sides[1] - 1, header.step_index, len(regions.payload)])
                found.append(b"r" + head + regions.payload + chunk.payload)
            elif chunk is not None and kind != b"P":
                found.append(kind + bytes([sides[0] - 1 & 255, sides[1] - 1 & 255, header.tilt + 4, header.step_index]) + chunk.payload)
            elif chunk is not None and "error" not in json.loads(path.with_suffix(".json").read_bytes()):
                found.append(kind + bytes([60, sides[0] & 255, sides[1] & 255]) + zlib.decompress(chunk.payload))
            if alpha is not None:
                found.append(b"A" + bytes([header.height & 255, header.width & 255]) + zlib.decompress(alpha.payload))
    return found


def records(data: bytes, verdicts: bool) -> Iterator[tuple[bytes, int]]:
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        body = data[at + 4 : at + 4 + size]
        at += 4 + size
        verdict = 0
        if verdicts:
            (verdict,) = struct.unpack_from("<Q", data, at)
            at += 8
        yield body, verdict


def fuzz(tmp_path: Path, inputs: int, *flags: str) -> tuple[str, bytes]:
    """What the fuzzer says, built with these flags, and the inputs that it kept with their verdicts."""
    (tmp_path / "seeds").write_bytes(b"".join(struct.pack("<I", len(seed)) + seed for seed in seeds()))
    sources = [CORE / "fuzz.c", *sorted((CORE / "src").rglob("*.c"))]
    command = ["cc", "-std=c11", "-g", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", *flags, "-o", tmp_path / "fuzz", *sources]
    subprocess.run(command, check=True)
    run = subprocess.run(
        [tmp_path / "fuzz", tmp_path / "seeds", str(inputs), tmp_path / "kept"], capture_output=True, text=True, check=False, timeout=900
    )
    assert run.returncode == 0, run.stdout + run.stderr
    print(run.stdout, end="")
    return run.stdout, (tmp_path / "kept").read_bytes()


@compiler
def test_no_mutated_input_upsets_the_sanitizers(tmp_path: Path) -> None:
    said, _ = fuzz(tmp_path, INPUTS // 5, "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    assert said.startswith(f"{INPUTS // 5} inputs, ")


@clang
@compiler
def test_wasmtime_and_node_reach_the_verdicts_of_the_plain_code(tmp_path: Path) -> None:
    """The vector kernels against their plain twins, and two engines against a C compiler, on the same inputs."""
    said, kept = fuzz(tmp_path, INPUTS, "-O2")
    assert said.startswith(f"{INPUTS} inputs, ")
    (tmp_path / "built").mkdir()
    module = tmp_path / "built" / "sdz.wasm"
    subprocess.run([CORE / "build.sh", module.parent], check=True, env={"PATH": "/usr/bin:/bin", "FUZZ": "1"})
    store = wasmtime.Store(engine := wasmtime.Engine())
    exports = wasmtime.Instance(store, wasmtime.Module(engine, module.read_bytes()), []).exports(store)

    def give(data: bytes) -> int:
        at: int = exports["sdz_alloc"](store, len(data))
        exports["memory"].write(store, data, at)
        return at

    for kind, (body, _) in zip(b"TILN", records((tmp_path / "seeds").read_bytes(), False), strict=False):
        at = give(body)
        assert exports["fuzz_setup"](store, kind, at, len(body)) == 1
        exports["sdz_free"](store, at)
    exports["sdz_limit"](store, 1 << 28)
    verdicts = []
    for body, verdict in records(kept, True):
        at = give(body)
        verdicts.append((exports["fuzz_case"](store, at, len(body)) & (2**64 - 1)) == verdict)
        exports["sdz_free"](store, at)
    assert len(verdicts) == INPUTS // 50 and all(verdicts)
    replay = ROOT / "tests" / "web" / "replay.js"
    run = subprocess.run(["node", replay, module, tmp_path / "seeds", tmp_path / "kept"], capture_output=True, text=True, check=False)
    assert run.stdout == f"{INPUTS // 50} verdicts, 0 differ\n", run.stderr
