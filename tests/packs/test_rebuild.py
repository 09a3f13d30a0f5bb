"""The committed pack is what the committed weights give: graphs and tables rebuilt from the safetensors have its digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import numpy as np
import onnx
import pytest

from sdz.export.models import OneStepDenoiser, TinyAutoencoder
from sdz.export.packs.graph import decoder_graph, decoder_table, denoiser_graph, serialize
from sdz.export.packs.quantization import settle_gains
from sdz.export.packs.trained import TINY_PACK, TINY_WEIGHTS
from sdz.runtime.decode import decode
from sdz.runtime.pack import default_pack, load_pack

GOLDEN = TINY_PACK.parents[2] / "tests" / "vectors" / "tiny"


@pytest.fixture(scope="module")
def autoencoder() -> TinyAutoencoder:
    trained = TinyAutoencoder.from_pretrained(TINY_WEIGHTS / "autoencoder", use_safetensors=True, low_cpu_mem_usage=False).eval()
    settle_gains(trained, decoder_table(trained))
    return trained


@pytest.fixture(scope="module")
def denoiser() -> OneStepDenoiser:
    return OneStepDenoiser.from_pretrained(TINY_WEIGHTS / "denoiser", use_safetensors=True, low_cpu_mem_usage=False).eval()


@pytest.mark.parametrize(
    ("key", "build"),
    [
        ("decoder", lambda a, d: decoder_graph(a, "int8")),
        ("denoiser", lambda a, d: denoiser_graph(d, "int8")),
        ("decoder-fp32", lambda a, d: decoder_graph(a, "fp32")),
        ("denoiser-fp32", lambda a, d: denoiser_graph(d, "fp32")),
    ],
)
def test_graphs_are_rebuilt_from_the_weights(
    key: str,
    build: Callable[[TinyAutoencoder, OneStepDenoiser], onnx.ModelProto],
    autoencoder: TinyAutoencoder,
    denoiser: OneStepDenoiser,
) -> None:
    rebuilt = serialize(build(autoencoder, denoiser))
    assert hashlib.sha256(rebuilt).hexdigest() == default_pack().manifest["graphs"][key]["sha256"]


def test_the_linear_table_is_rebuilt_from_the_weights(autoencoder: TinyAutoencoder) -> None:
    assert np.array_equal(decoder_table(autoencoder).weight.T, default_pack().linear)


def test_the_pack_keeps_its_budget() -> None:
    pack = load_pack(TINY_PACK)
    pack.verify()
    graphs = pack.manifest["graphs"]
    assert graphs["decoder"]["gzip"] + graphs["denoiser"]["gzip"] <= 1_500_000
    assert graphs["decoder"]["macs_per_pixel"] + graphs["denoiser"]["macs_per_pixel"] <= 25_000


@pytest.mark.parametrize("stage", ["linear", "decoded", "denoised"])
def test_golden_file_decodes_to_golden_pixels(stage: str) -> None:
    wanted = json.loads((GOLDEN / "chelsea.json").read_text())
    decoded = decode((GOLDEN / "chelsea.sdz").read_bytes(), stage=stage)
    assert decoded.stage == stage
    assert hashlib.sha256(decoded.pixels.tobytes()).hexdigest() == wanted[stage]
