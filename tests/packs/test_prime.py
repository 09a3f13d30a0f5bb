"""Learned coder tables: they beat tables that know nothing, on latents with structure, and regressions find that structure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from standins import neutral_tables

from sdz.export.crops import CropSampler, load_photos
from sdz.export.models import TinyAutoencoder
from sdz.export.packs.prime import _solve_prediction, fit_neighbours, means_of, photo_latents, prime
from sdz.runtime.format.planes import encode_planes
from sdz.runtime.format.reconstruction import channel_steps
from sdz.runtime.quantize import TUNINGS, dead_zone


def structured(count: int, seed: int) -> NDArray[np.float32]:
    """Latents (count, 4, 12, 12): a smooth first channel, and others whose spread follows a common field."""
    rng = np.random.default_rng(seed)
    ramp = np.cumsum(np.cumsum(rng.normal(0, 12, (count, 1, 12, 12)), axis=2), axis=3)
    spread = np.exp(np.repeat(np.repeat(rng.normal(2.5, 1.2, (count, 1, 3, 3)), 4, axis=2), 4, axis=3))
    rest = rng.laplace(0, 1, (count, 3, 12, 12)) * spread / np.array([1, 2, 4])[:, None, None]
    return np.concatenate([ramp, rest], axis=1).astype(np.float32)


def test_learned_tables_beat_neutral_ones_on_photos_never_seen() -> None:
    tables = prime(structured(24, 1), np.ones(4, np.float32))
    unseen = [dead_zone(photo, 32, 0.45) for photo in structured(6, 2)]
    learned, neutral = (sum(len(encode_planes(q, 32, t)) for q in unseen) for t in (tables, neutral_tables(4)))
    assert learned < 0.85 * neutral
    assert prime(structured(24, 1), np.ones(4, np.float32)).to_bytes() == tables.to_bytes()


def test_channels_worth_more_go_first() -> None:
    worth = np.array([16.0, 1.0, 1.0, 1.0])
    tables = prime(structured(12, 1), worth)
    assert (tables.order[0] == tables.order.max(axis=0)).all()


def test_energy_follows_the_channels_that_share_it() -> None:
    fitted = fit_neighbours(structured(20, 3), np.random.default_rng(0))
    assert fitted["energy_space"].shape == (4, 6)
    weights = dict(zip(fitted["energy_cross_channel"][3].tolist(), fitted["energy_cross"][3].tolist(), strict=False))
    assert max(weights, key=lambda c: weights[c]) in (1, 2)
    assert fitted["energy_space"][1].sum() > 0


def test_prediction_finds_the_neighbour_that_tells() -> None:
    # three candidates and the target: the second candidate is the target's double
    rows = np.random.default_rng(0).normal(size=(3, 400))
    gram = np.cov(np.concatenate([rows, rows[1:2] / 2]))
    solved = _solve_prediction(gram[None], [(0, 0, 0), (1, 0, -1), (2, -1, 0)], [])
    assert (solved["prediction_channel"][0, 0], solved["prediction_dx"][0, 0], solved["prediction"][0, 0]) == (1, -1, 128)
    assert not solved["prediction"][0, 1:].any()


def test_latents_to_learn_from_are_tilted_as_the_tunings_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tunings take turns, and a finer step makes a larger latent."""
    monkeypatch.setitem(TUNINGS, "natural", replace(TUNINGS["natural"], tilt=2))
    torch.manual_seed(0)
    autoencoder = TinyAutoencoder((6, 1, 1), (8, 8, 8), (1, 1, 1), (8, 8, 8), (1, 1, 1))
    autoencoder.save_pretrained(tmp_path / "run" / "autoencoder")
    noise = np.random.default_rng(4).integers(0, 256, (384, 384, 3), np.uint8)
    (tmp_path / "photos").mkdir()
    Image.fromarray(noise).save(tmp_path / "photos" / "noise.png")
    found, worth, functions = photo_latents(tmp_path / "run", [tmp_path / "photos"], 2, 7)
    sampler = CropSampler(load_photos([tmp_path / "photos"], 384), 384, 7)
    with torch.inference_mode():
        plain = np.stack([autoencoder.encode(sampler.batch(1))[0].numpy() for _ in range(2)])
    assert worth.shape == (8,) and (worth > 0.0).all()
    assert functions is not None and len(functions) == 8 and means_of(functions) == 3
    octaves = np.array(autoencoder.octaves, np.int32)
    for latents, untilted, tuning in zip(found, plain, TUNINGS.values(), strict=True):
        finer = 40 - channel_steps(40, tuning.tilt, octaves, 8)
        np.testing.assert_allclose(latents, untilted * 2.0 ** (finer[:, None, None] / 8), rtol=1e-6)
    assert TUNINGS["natural"].tilt != TUNINGS["faithful"].tilt
