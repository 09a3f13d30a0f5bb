"""A diffusion UNet as the denoiser's second teacher: what a few unconditional DDIM steps at low strength make of clean latents.

Takes `UNet2DModel` or `UNet2DConditionModel` in diffusers layout (a folder of one, or a pipeline with `unet/` and perhaps `scheduler/`).
The conditioning is empty: an embedding of zeros stands where a text would.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel, UNet2DModel
from torch import Tensor

from export.space import LatentSpace

STEPS = 4
"""DDIM steps below the strength."""

STRENGTH = 0.08
"""Share of the diffusion that is undone: at 0.08 of Stable Diffusion's schedule noise of 0.29 of the latents' deviation."""

TRAINED_STEPS = 1000
WORDS = 77
"""Length of the empty embedding, as CLIP's text encoder gives it."""


class TeacherError(ValueError):
    """A UNet that cannot teach this denoiser; says why."""


class DdimTeacher:
    """`DdimTeacher(unet, scheduler, space)(latents, generator)`: latents (N, C, h, w) in grey levels to the same."""

    def __init__(self, unet: Any, scheduler: Any, space: LatentSpace) -> None:
        if unet.config.in_channels != space.channels:
            raise TeacherError(f"the UNet has {unet.config.in_channels} channels, the autoencoder {space.channels}")
        if space.own is not None:
            raise TeacherError(
                "the project's own latents are no UNet's; --teacher is for the autoencoders that a diffusion model was trained on"
            )
        self.unet = unet.eval().requires_grad_(False)
        self.words = getattr(unet.config, "cross_attention_dim", 0)
        self.scheduler = scheduler
        self.space = space

    @torch.no_grad()
    def __call__(self, latents: Tensor, generator: torch.Generator) -> Tensor:
        x = latents.float() / self.space.scale() + self.space.centre
        last = round(STRENGTH * TRAINED_STEPS)
        times = [round(last * (STEPS - i) / STEPS) for i in range(STEPS + 1)]
        noise = torch.randn(x.shape, generator=generator).to(x.device)
        alphas = self.scheduler.alphas_cumprod
        x = float(alphas[times[0]]) ** 0.5 * x + float(1 - alphas[times[0]]) ** 0.5 * noise
        for time, following in itertools.pairwise(times):
            x = self._step(x, time, float(alphas[time]), float(alphas[following]) if following else 1.0)
        return (x - self.space.centre) * self.space.scale()

    def _step(self, x: Tensor, time: int, alpha: float, following: float) -> Tensor:
        """One deterministic step (Song, Meng and Ermon 2021, equation 12 with sigma 0)."""
        conditioning = {}
        if isinstance(self.unet, UNet2DConditionModel):
            conditioning["encoder_hidden_states"] = torch.zeros(len(x), WORDS, self.words, device=x.device)
        noise = self.unet(x, time, **conditioning).sample.float()
        if self.scheduler.config.prediction_type == "v_prediction":
            noise = alpha**0.5 * noise + (1 - alpha) ** 0.5 * x
        clean = (x - (1 - alpha) ** 0.5 * noise) / alpha**0.5
        return torch.as_tensor(following**0.5 * clean + (1 - following) ** 0.5 * noise)


def open_teacher(source: Path, space: LatentSpace, device: str) -> DdimTeacher:
    """The UNet at `source` as a teacher for `space`. Raises TeacherError for a folder that holds none, or another number of channels."""
    schedule: Any = DDIMScheduler
    folder = source / "unet" if (source / "unet").is_dir() else source
    kinds = {"UNet2DModel": UNet2DModel, "UNet2DConditionModel": UNet2DConditionModel}
    try:
        name = json.loads((folder / "config.json").read_text())["_class_name"]
        if name not in kinds:
            raise TeacherError(f"{folder}: a {name}; a teacher is one of {', '.join(kinds)}")
        unet = kinds[name].from_pretrained(folder, use_safetensors=True, low_cpu_mem_usage=False).to(device)
        if (source / "scheduler").is_dir():
            scheduler = schedule.from_pretrained(source / "scheduler")
        else:
            # Stable Diffusion's own
            scheduler = schedule(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=TRAINED_STEPS)
    except (OSError, KeyError) as error:
        raise TeacherError(f"{folder}: no UNet in diffusers layout with safetensors ({error})") from error
    return DdimTeacher(unet, scheduler, space)
