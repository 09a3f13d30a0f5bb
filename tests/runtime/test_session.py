"""Sessions of a small pack: shapes, units, refusals, and the same bytes from any number of threads."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import CHANNELS, small_networks, small_pack
from numpy_forms import linear_stage

from sdz.export.packs.graph import decoder_table
from sdz.export.packs.parity import gate_photos
from sdz.export.packs.quantization import settle_gains
from sdz.runtime.errors import CorruptPackError, EncodeInputError, ProviderError
from sdz.runtime.format.reconstruction import Latents
from sdz.runtime.pack import MANIFEST, Pack, load_pack
from sdz.runtime.session import Session, providers


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return small_pack(tmp_path_factory.mktemp("pack")).pack


def some_latents(height: int = 6, width: int = 9) -> Latents:
    random = np.random.default_rng(11)
    shape = (CHANNELS, height, width)
    levels = random.integers(-3, 4, shape, dtype=np.int32)
    half = np.where(levels == 0, 128, 64).astype(np.int32)
    return Latents(levels * 128, levels, np.full(shape, 40, np.int32), half)


def test_denoised_values_stay_in_their_intervals(pack: Pack) -> None:
    latents = some_latents()
    values = Session(pack).denoise(latents)
    assert values.shape == latents.values.shape and values.dtype == np.int32
    assert (np.abs(values - latents.values) <= latents.half_width).all()
    assert (values != latents.values).any()


def test_a_part_of_the_strength_makes_a_part_of_each_move(pack: Pack) -> None:
    latents = some_latents()
    session = Session(pack)
    moves = session.denoise(latents) - latents.values
    assert np.array_equal(session.denoise(latents, 0), latents.values)
    for strength in (5, 8, 16):
        assert np.array_equal(session.denoise(latents, strength) - latents.values, np.floor(moves * strength / 16 + 0.5))


def test_decoded_pixels_refine_the_linear_stage(pack: Pack) -> None:
    latents = some_latents()
    rgba = Session(pack).decode(latents.values, latents.precision)
    assert rgba.shape == (96, 144, 4) and rgba.dtype == np.uint8
    assert (rgba[:, :, 3] == 255).all()
    linear = linear_stage(latents.values, pack.linear, pack.linear_shift)
    difference = np.abs(rgba[:, :, :3].astype(int) - linear)
    assert 0 < difference.mean() < 30


def test_encode_gives_the_encoders_latents(pack: Pack) -> None:
    pixels = gate_photos()[0][:, :64, :96]
    latents = Session(pack).encode(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy().astype(np.uint8)))
    assert latents.shape == (CHANNELS, 4, 6) and latents.dtype == np.float32
    autoencoder = small_networks()[0]
    settle_gains(autoencoder, decoder_table(autoencoder))  # as `build_pack` does
    with torch.no_grad():
        expected = autoencoder.encode(pixels[None])[0].numpy()
    assert np.abs(latents - expected).mean() < 0.25


def test_threads_do_not_change_a_bit(pack: Pack) -> None:
    latents = some_latents(20, 17)
    digests = set()
    for threads in (1, 2, 3):
        session = Session(pack, threads=threads)
        values = session.denoise(latents)
        digests.add(hashlib.sha256(values.tobytes() + session.decode(values, latents.precision).tobytes()).hexdigest())
    assert len(digests) == 1


def test_unknown_and_absent_providers_are_refused(pack: Pack) -> None:
    found = providers()
    assert next(iter(found)) == "cpu" and found["cpu"]
    with pytest.raises(ProviderError, match="execution provider 'abacus' is not part of the installed onnxruntime: choose cpu"):
        Session(pack, provider="abacus")
    for name in (name for name, usable in found.items() if not usable):
        with pytest.raises(ProviderError, match=f"'{name}'"):
            Session(pack, provider=name)
    with pytest.raises(ProviderError, match="0 threads: give at least 1"):
        Session(pack, threads=0)


@pytest.mark.parametrize(
    ("shape", "kind"), [((16, 20, 3), "uint8"), ((0, 16, 3), "uint8"), ((16, 16, 4), "uint8"), ((16, 16), "uint8"), ((16, 16, 3), "int16")]
)
def test_encode_refuses_what_is_not_whole_patches_of_rgb(pack: Pack, shape: tuple[int, ...], kind: str) -> None:
    with pytest.raises(EncodeInputError, match="multiples of 16"):
        Session(pack).encode(np.zeros(shape, kind))  # type: ignore[arg-type]


def test_arrays_of_other_packs_are_refused(pack: Pack) -> None:
    values = np.zeros((CHANNELS + 1, 2, 2), np.int32)
    with pytest.raises(ValueError, match=rf"'values' is \({CHANNELS + 1}, 2, 2\), the networks of pack small take \({CHANNELS}, h, w\)"):
        Session(pack).decode(values, values)


def test_a_graph_is_checked_before_a_session_is_made(pack: Pack, tmp_path: Path) -> None:
    for file in pack.directory.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    graph = tmp_path / pack.graphs["decoder"].file
    data = graph.read_bytes()
    graph.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    latents = some_latents()
    session = Session(load_pack(tmp_path))
    assert session.denoise(latents).shape == latents.values.shape
    with pytest.raises(CorruptPackError, match="SHA-256"):
        session.decode(latents.values, latents.precision)
    # the right digest of something that onnxruntime cannot load
    graph.write_bytes(b"\x08\x0a")
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    manifest["graphs"]["decoder"].update(bytes=2, sha256=hashlib.sha256(b"\x08\x0a").hexdigest())
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CorruptPackError, match=r"decoder\.int8\.onnx: onnxruntime .* cannot load it"):
        Session(load_pack(tmp_path)).decode(latents.values, latents.precision)


def cuda_in_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where onnxruntime-gpu is installed, but no CUDA."""
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])


@pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider' is not in available")
def test_a_provider_that_does_not_start_is_not_replaced_silently(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda_in_the_list(monkeypatch)
    latents = some_latents()
    with pytest.raises(ProviderError, match="'cuda' did not start: its libraries or its device are missing; use cpu"):
        Session(pack, "cuda").decode(latents.values, latents.precision)


def test_a_provider_that_fails_is_named(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, *_: object, **__: object) -> None:
            self.providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]

        def get_providers(self) -> list[str]:
            return self.providers

        def run(self, *_: object) -> None:
            raise RuntimeError("CUDA failure 2: out of memory")

    def refused(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA driver version is insufficient")

    cuda_in_the_list(monkeypatch)
    latents = some_latents()
    monkeypatch.setattr("onnxruntime.InferenceSession", Broken)
    with pytest.raises(ProviderError, match="'cuda' failed: CUDA failure 2: out of memory; use cpu"):
        Session(pack, "cuda").decode(latents.values, latents.precision)
    monkeypatch.setattr("onnxruntime.InferenceSession", refused)
    with pytest.raises(ProviderError, match="'cuda' cannot be started: CUDA driver version is insufficient; use cpu"):
        Session(pack, "cuda").decode(latents.values, latents.precision)
    with pytest.raises(CorruptPackError, match="cannot load it: CUDA driver"):
        Session(pack).decode(latents.values, latents.precision)
