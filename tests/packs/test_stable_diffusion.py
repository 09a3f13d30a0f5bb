"""The whole Stable Diffusion 1.x autoencoder, with random weights: its pack is built, encodes and decodes. Minutes and gigabytes."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import numpy as np
import pytest
from autoencoders import photos, save_stable_diffusion
from PIL import Image

from sdz.export.families import load_family
from sdz.export.packs.foreign.build import build_foreign_pack
from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.session import Session


@pytest.mark.slow
def test_the_whole_configuration_becomes_a_pack(tmp_path: Path) -> None:
    family = load_family(str(save_stable_diffusion(tmp_path / "model" / "vae").parent), "vae")
    assert (family.channels, family.patch, family.has_posterior, family.has_global_operations) == (4, 8, True, True)
    start = time.perf_counter()
    built = build_foreign_pack(family, photos(128), tmp_path / "pack")
    print(f"\nbuilt in {time.perf_counter() - start:.0f} s, peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    for name, value in built.figures.items():
        print(f"{name}: {value:.4g}")
    graphs = built.pack.manifest["graphs"]
    for name, entry in graphs.items():
        print(f"{name}: {entry['file']}, {entry['bytes']:,} bytes, {entry['brotli']:,} brotli, {entry['macs_per_pixel']:,} MAC per pixel")
    print(built.warning)
    assert built.warning is not None and built.warning.startswith("this decoder is too heavy for a browser: 4,")
    assert (graphs["decoder"]["macs_per_pixel"], graphs["encoder"]["macs_per_pixel"]) == (4_730_528, 2_064_321)
    assert 190e6 < graphs["decoder-fp32"]["bytes"] < 210e6
    assert 65e6 < graphs["encoder"]["bytes"] < 72e6
    assert built.pack.tiling is not None and (built.pack.tiling.whole, built.pack.tiling.overlap) == (4096, 8)
    session = Session(built.pack)
    start = time.perf_counter()
    data = encode(Image.fromarray(photos(136)[0]), session=session)
    middle = time.perf_counter()
    image = decode(data, session=session)
    print(f"{len(data)} bytes; encoded in {middle - start:.1f} s, decoded in {time.perf_counter() - middle:.1f} s (136x136)")
    assert image.pixels.shape == (136, 136, 3) and image.stage == "decoded"
    assert np.array_equal(image.pixels, decode(data, session=session).pixels)
