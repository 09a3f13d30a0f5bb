"""Families of autoencoders: what is loaded, in which latent space, and one clear error for everything that cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from autoencoders import save_kl, save_tiny
from networks import small_networks

from sdz.export.families import FamilyError, load_family
from sdz.export.families.family import mixes_everything


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_kl(folder / "kl", shift_factor=0.3)
    save_kl(folder / "pipeline" / "vae", latent_channels=16, use_quant_conv=False, use_post_quant_conv=False)
    save_tiny(folder / "tiny")
    small_networks()[0].save_pretrained(folder / "own" / "autoencoder")
    return folder


def pixels(side: int = 32) -> torch.Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1)) * 255


def test_kl_latents_are_those_of_diffusion_models_around_grey(models: Path) -> None:
    from diffusers import AutoencoderKL

    family = load_family(str(models / "kl"))
    assert (family.kind, family.channels, family.patch, family.has_posterior, family.has_global_operations) == (
        "AutoencoderKL", 4, 8, True, True,
    )  # fmt: skip
    model = AutoencoderKL.from_pretrained(models / "kl").eval()
    with torch.no_grad():
        posterior = model.encode(pixels() / 127.5 - 1).latent_dist
        latents = (posterior.mean - 0.3) * 0.2
        assert torch.allclose(family.encode(pixels()) + family.centre, latents, atol=1e-5)
        assert torch.allclose(family.encoder(pixels())[1], posterior.std * 0.2, atol=1e-5)
        expected = model.decode(latents / 0.2 + 0.3).sample * 127.5 + 127.5
        assert torch.allclose(family.decode(latents - family.centre), expected, atol=1e-2)
        grey = family.encode(torch.full((1, 3, 256, 256), 128.0))
    assert grey[:, :, 8:-8, 8:-8].mean(dim=(2, 3)).abs().max() < 1e-5


def test_a_subfolder_of_16_channels_without_quantization_convolutions(models: Path) -> None:
    family = load_family(str(models / "pipeline"), "vae")
    assert (family.channels, family.encode(pixels()).shape, family.decode(torch.zeros(1, 16, 4, 4)).shape) == (
        16, (1, 16, 4, 4), (1, 3, 32, 32),
    )  # fmt: skip


def test_tiny_and_own_have_finite_receptive_fields_and_no_posterior(models: Path) -> None:
    tiny = load_family(str(models / "tiny"))
    own = load_family(str(models / "own"), "autoencoder")
    assert [(f.kind, f.channels, f.patch, f.has_posterior, f.has_global_operations) for f in (tiny, own)] == [
        ("AutoencoderTiny", 4, 4, False, False),
        ("TinyAutoencoder", 8, 16, False, False),
    ]
    for family in (tiny, own):
        with torch.no_grad():
            latents = family.encode(pixels())
            assert family.decode(latents).shape == (1, 3, 32, 32)
    assert mixes_everything(torch.nn.Sequential(torch.nn.GroupNorm(1, 1))) and not mixes_everything(torch.nn.Conv2d(1, 1, 1))


def test_a_decoder_may_come_from_another_model(models: Path, tmp_path: Path) -> None:
    light = save_tiny(tmp_path / "light", encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4,
                      num_encoder_blocks=(1,) * 4, num_decoder_blocks=(1,) * 4)  # fmt: skip
    family = load_family(str(models / "kl"), decoder_from=str(light))
    alone = load_family(str(models / "kl"))
    with torch.no_grad():
        latents = family.encode(pixels())
        assert torch.equal(latents, alone.encode(pixels()))
        assert torch.equal(family.decode(latents), load_family(str(light)).decoder(latents + alone.centre))
    assert (family.has_posterior, family.has_global_operations) == (True, False)
    with pytest.raises(FamilyError, match=r"its decoder takes 4 channels at 1/4, the encoder of .*kl gives 4 at 1/8"):
        load_family(str(models / "kl"), decoder_from=str(models / "tiny"))


def config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def pickled(folder: Path) -> None:
    (folder / "diffusion_pytorch_model.safetensors").rename(folder / "diffusion_pytorch_model.bin")


def emptied(folder: Path) -> None:
    (folder / "diffusion_pytorch_model.safetensors").unlink()


def cut(folder: Path) -> None:
    path = folder / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: config(f, _class_name="UNet2DModel"), "a UNet2DModel is no family that packs are made from; known are AutoencoderKL"),
        (lambda f: config(f, in_channels=4), "'in_channels' is 4; packs hold pictures of 3 colours"),
        (lambda f: config(f, latent_channels=8), "its weights do not fit its config.json"),
        (lambda f: config(f, _class_name=None), "does not say which network it is"),
        (lambda f: (f / "config.json").write_text("{"), "its config.json cannot be read"),
        (lambda f: (f / "config.json").unlink(), "has no config.json, so it is not a model in diffusers' layout"),
        (pickled, r"its weights \(diffusion_pytorch_model.bin\) are a pickle, which can run code when it is loaded and is never read here"),
        (emptied, "no safetensors weights to be had there"),
        (cut, "its weights do not fit its config.json|no safetensors weights"),
    ],
)
def test_what_cannot_be_loaded_is_one_clear_error(tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    folder = save_tiny(tmp_path / "model")
    spoil(folder)
    with pytest.raises(FamilyError, match=message) as caught:
        load_family(str(folder))
    assert str(folder) in str(caught.value)


def test_missing_parts_are_named(models: Path, tmp_path: Path) -> None:
    with pytest.raises(FamilyError, match="has no subfolder 'unet'; it has vae"):
        load_family(str(models / "pipeline"), "unet")
    with pytest.raises(FamilyError, match="name one of its parts: --subfolder vae"):
        load_family(str(models / "pipeline"))
    with pytest.raises(FamilyError, match="no safetensors weights of the variant 'fp16'"):
        load_family(str(models / "tiny"), variant="fp16")
    (tmp_path / "model.ckpt").write_bytes(b"")
    with pytest.raises(FamilyError, match="a single checkpoint file; give a folder in diffusers' layout"):
        load_family(str(tmp_path / "model.ckpt"))
    with pytest.raises(FamilyError, match="there is no such folder, and it is not a hub id"):
        load_family(str(tmp_path / "nowhere"))


def test_a_hub_id_that_is_not_cached_is_not_asked_for_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FamilyError, match="nobody/nothing: there is no such folder, it is not in the hub's cache"):
        load_family("nobody/nothing", local_files_only=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FamilyError, match="nobody/nothing: there is no such folder, it is not in the hub's cache"):
        load_family("nobody/nothing")
