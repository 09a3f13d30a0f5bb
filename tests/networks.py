"""Small networks of the project's own kind with random weights and fixed ranges, for tests of graphs, packs and sessions."""

from __future__ import annotations

from pathlib import Path

import torch
from standins import neutral_tables

from sdz.export.models import OneStepDenoiser, TinyAutoencoder
from sdz.export.packs.parity import gate_photos
from sdz.export.packs.quantization import calibrate_ranges
from sdz.export.packs.trained import BuiltPack, build_pack

CHANNELS = 8


def small_networks() -> tuple[TinyAutoencoder, OneStepDenoiser]:
    """An autoencoder of 8 channels and its denoiser; the layers that training starts at zero are not zero."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        autoencoder = TinyAutoencoder((6, 1, 1), (8, 16, 16), (1, 1, 1), (8, 16, 16), (1, 1, 1)).eval()
        denoiser = OneStepDenoiser(CHANNELS, 16, 2).eval()
        for module in (autoencoder.encoder.head, autoencoder.decoder.head.conv, denoiser.head.conv):
            torch.nn.init.normal_(module.weight, std=0.1)
        for block in (*autoencoder.decoder.coarse, *autoencoder.decoder.middle, *autoencoder.decoder.fine, *denoiser.trunk):
            torch.nn.init.normal_(block.conv2.conv.weight, std=0.2)
    calibrate_ranges(autoencoder, denoiser, gate_photos()[:1])
    return autoencoder, denoiser


def small_pack(folder: Path) -> BuiltPack:
    """A pack of `small_networks` in `folder / "packs" / "small"`."""
    autoencoder, denoiser = small_networks()
    autoencoder.save_pretrained(folder / "weights" / "autoencoder")
    denoiser.save_pretrained(folder / "weights" / "denoiser")
    return build_pack(folder / "weights", folder / "packs" / "small", neutral_tables(CHANNELS).to_bytes(), name="small")
