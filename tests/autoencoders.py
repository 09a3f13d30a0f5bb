"""Autoencoders with the architecture of the public ones and random weights, saved as diffusers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
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
