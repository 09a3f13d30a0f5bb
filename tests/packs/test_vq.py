"""VQModel as a family: what diffusers computes, through the codebook and past it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from autoencoders import save_vq

from sdz.export.families import FamilyError, load_family
from sdz.runtime.encode import index_bits
from sdz.runtime.errors import EncodeInputError
from sdz.runtime.quantize import nearest_entries

SPATIAL = {"norm_type": "spatial", "block_out_channels": (32, 32, 32), "force_upcast": True}
"""As Kandinsky's; spatial normalisation has 32 groups."""


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    import skimage.data

    return torch.from_numpy(skimage.data.astronaut()[:64, 96:176].copy()).permute(2, 0, 1)[None].float()


@pytest.mark.parametrize("config", [{}, {"vq_embed_dim": 3}, SPATIAL])
def test_a_family_computes_what_the_model_does(tmp_path: Path, picture: torch.Tensor, config: dict[str, Any]) -> None:
    model = save_vq(tmp_path / "vq", **config)
    family = load_family(str(tmp_path / "vq"))
    assert (family.kind, family.patch, family.channels, family.has_posterior) == ("VQModel", 4, config.get("vq_embed_dim", 4), False)
    assert family.has_global_operations and family.codebook is not None
    raw = model.encode(picture / 127.5 - 1).latents
    latents = family.encode(picture)
    assert torch.allclose((latents + family.centre) / 0.5, raw, atol=1e-5)
    entries = family.codebook - family.centre.reshape(1, -1)
    chosen = torch.cdist(latents[0].flatten(1).T, entries).argmin(1)
    assert torch.equal(chosen, model.quantize(raw)[2][2].flatten())
    assert len(chosen.unique()) > 3
    quantized = entries[chosen].T.reshape(latents.shape)
    assert torch.allclose(family.decode(quantized), model.decode(raw).sample * 127.5 + 127.5, atol=1e-2)


def test_the_nearest_entry_is_found_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    codebook = rng.integers(-200, 200, (37, 3)).astype(np.int16)
    latents = rng.normal(0, 20, (3, 5, 7)).astype(np.float32)
    distance = np.square(latents[None] * 4 - codebook[:, :, None, None]).sum(axis=1)
    monkeypatch.setattr("sdz.runtime.quantize.DISTANCES", 100)
    assert np.array_equal(nearest_entries(latents, codebook), distance.argmin(axis=0))


def test_quality_leaves_out_an_index_s_last_bits() -> None:
    assert [index_bits(quality, 10) for quality in (0, 1, 16, 29, 32, 33, 100)] == [1, 1, 5, 9, 10, 10, 10]
    assert index_bits(1, 1) == 1
    for quality in (-0.1, 100.1, float("nan")):
        with pytest.raises(EncodeInputError, match=r"it must lie in 0\.\.100"):
            index_bits(quality, 10)


def test_what_a_pack_cannot_hold_is_refused(tmp_path: Path) -> None:
    save_vq(tmp_path / "one", num_vq_embeddings=1)
    with pytest.raises(FamilyError, match="a codebook of 1 entries; a pack has 2 to 65536"):
        load_family(str(tmp_path / "one"))
    config = tmp_path / "one" / "config.json"
    config.write_text(config.read_text().replace('"group"', '"batch"'))
    with pytest.raises(FamilyError, match="'norm_type' is 'batch'; known are 'group' and 'spatial'"):
        load_family(str(tmp_path / "one"))
