"""Autoencoders with the architecture of the public ones and random weights, saved as diffusers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel, UNet2DModel, VQModel
from numpy.typing import NDArray


def save_kl(folder: Path, **changes: Any) -> Path:
    """A small AutoencoderKL with a mid-block attention: 4 channels at 1/8 unless `changes` say otherwise."""
    widths = changes.pop("block_out_channels", (8, 8, 16, 16))
    config = {
        "block_out_channels": widths,
        "down_block_types": ("DownEncoderBlock2D",) * len(widths),
        "up_block_types": ("UpDecoderBlock2D",) * len(widths),
        "norm_num_groups": 4,
        "latent_channels": 4,
        "scaling_factor": 0.2,
    }
    return _saved(AutoencoderKL, folder, config | changes)


def save_tiny(folder: Path, **changes: Any) -> Path:
    """A small AutoencoderTiny: 4 channels at 1/4."""
    config = {
        "encoder_block_out_channels": (8, 8, 8),
        "decoder_block_out_channels": (8, 8, 8),
        "num_encoder_blocks": (1, 1, 1),
        "num_decoder_blocks": (1, 1, 1),
        "latent_channels": 4,
    }
    return _saved(AutoencoderTiny, folder, config | changes)


def save_stable_diffusion(folder: Path) -> Path:
    """The whole configuration of Stable Diffusion 1.x."""
    return save_kl(folder, block_out_channels=(128, 256, 512, 512), layers_per_block=2, norm_num_groups=32, scaling_factor=0.18215)


def _saved(kind: Any, folder: Path, config: dict[str, Any]) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        kind(**config).save_pretrained(folder)
    return folder


def photos(side: int) -> list[NDArray[np.uint8]]:
    """Two squares of photos that come with scikit-image."""
    return [np.ascontiguousarray(image[:side, :side, :3]) for image in (skimage.data.astronaut(), skimage.data.coffee())]


def save_vq(folder: Path, **config: Any) -> Any:
    """A small VQModel with random weights and a codebook as wide as its latents, saved; and itself."""

    torch.manual_seed(0)
    blocks = {
        "block_out_channels": (8, 16, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
    }
    options = {"latent_channels": 4, "num_vq_embeddings": 37, "norm_num_groups": 4, "scaling_factor": 0.5} | blocks | config
    model: Any = VQModel(**options).eval().requires_grad_(False)
    model.quantize.embedding.weight.data.normal_(0.0, 0.3)
    model.save_pretrained(folder)
    return model


def small_unet(conditional: bool = False, channels: int = 4, **extra: Any) -> Any:
    torch.manual_seed(0)
    common: dict[str, Any] = {
        "in_channels": channels,
        "out_channels": channels,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
    }
    if conditional:
        down, up = ("CrossAttnDownBlock2D", "DownBlock2D"), ("UpBlock2D", "CrossAttnUpBlock2D")
        common |= {"cross_attention_dim": 8, "attention_head_dim": 4}
        return UNet2DConditionModel(**common, down_block_types=down, up_block_types=up, **extra)
    return UNet2DModel(**common, down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, **extra)


def save_unet(folder: Path, unet: Any, scheduler: Any = None) -> Path:
    unet.save_pretrained(folder / "unet")
    if scheduler is not None:
        scheduler.save_pretrained(folder / "scheduler")
    return folder
