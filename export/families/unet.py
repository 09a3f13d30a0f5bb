"""UNet clean-up: quantized latents -> what a latent diffusion model takes them for, in a few DDIM steps at low strength.

The second half of the 2022 method: the decoded latents stand for an image a little way into diffusion, their dither for its noise, and the
UNet takes the last steps back (Song et al., "Denoising diffusion implicit models", 2021; eta 0, so nothing is drawn at random). It is
unconditional. Runs at export, in torch, for the bench: no pack carries a UNet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel, UNet2DModel
from torch import Tensor
from torch.nn import functional as F

STEPS: Final = 4
STRENGTH: Final = 0.1
"""How far back into diffusion the latents are taken to lie, of its whole length: a tenth, as for a light retouch by image to image."""

CLASSES: Final = {"UNet2DConditionModel": UNet2DConditionModel, "UNet2DModel": UNet2DModel}

STABLE_DIFFUSION: Final = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
}
"""The schedule that latent diffusion models were trained with, where a model comes without its own."""


class UnetError(ValueError):
    """The UNet named cannot clean up: it is missing, of another kind, or for other latents."""


@dataclass(frozen=True)
class CleanUp:
    """A loaded UNet and how it is used: `steps` of DDIM from `strength` (0..1) of the schedule on."""

    unet: Any
    scheduler: Any
    steps: int = STEPS
    strength: float = STRENGTH

    @property
    def noise(self) -> float:
        """The deviation of the noise that the latents are taken to carry, in their own unit."""
        kept = float(self.scheduler.alphas_cumprod[self._timesteps()[0]])
        return math.sqrt((1.0 - kept) / kept)

    def _timesteps(self) -> Tensor:
        self.scheduler.set_timesteps(math.ceil(self.steps / self.strength))
        return torch.as_tensor(self.scheduler.timesteps[-self.steps :])

    @torch.no_grad()
    def __call__(self, latents: Tensor) -> Tensor:
        """Cleaned latents, float32 (N, C, h, w), of such latents, in the unit the UNet was trained on (a VAE's times its scaling factor).

        Raises UnetError for another number of channels.
        """
        channels = int(self.unet.config.in_channels)
        if latents.shape[1] != channels:
            raise UnetError(f"the UNet takes latents of {channels} channels, these have {latents.shape[1]}")
        height, width = latents.shape[2:]
        side = 1 << (len(self.unet.config.block_out_channels) - 1)
        x = F.pad(latents, (0, -width % side, 0, -height % side), mode="replicate")
        timesteps = self._timesteps()
        # the errors of quantization stand for the noise that diffusion would have brought
        x = x * float(self.scheduler.alphas_cumprod[timesteps[0]]) ** 0.5
        for timestep in timesteps:
            x = self.scheduler.step(self._predict(x, timestep), int(timestep), x, eta=0.0).prev_sample
        return torch.as_tensor(x[:, :, :height, :width])

    def _predict(self, x: Tensor, timestep: Tensor) -> Tensor:
        told = {}
        if "cross_attention_dim" in self.unet.config:
            # attention over zeros adds nothing, however many there are
            told["encoder_hidden_states"] = torch.zeros(len(x), 1, self.unet.config.cross_attention_dim, device=x.device)
        return torch.as_tensor(self.unet(x, timestep, **told).sample)


def load_clean_up(
    source: str | Path,
    *,
    subfolder: str = "unet",
    revision: str | None = None,
    variant: str | None = None,
    local_files_only: bool = False,
    steps: int = STEPS,
    strength: float = STRENGTH,
) -> CleanUp:
    """The UNet in `subfolder` of a hub id or local folder in diffusers layout, safetensors only, with the schedule in `scheduler` there.

    Raises UnetError for anything that is not an unconditional use of a UNet2DConditionModel or a UNet2DModel.
    """
    if steps < 1 or not 0.0 < strength <= 1.0:
        raise UnetError(f"{steps} steps at strength {strength}: give at least one step, and a strength above 0 and at most 1")
    where: dict[str, Any] = {"revision": revision, "local_files_only": local_files_only}
    try:
        config = UNet2DConditionModel.load_config(source, subfolder=subfolder, **where)
    except OSError as error:
        raise UnetError(f"{source}: no UNet's config.json in '{subfolder}': {_first_line(error)}") from error
    name = config.get("_class_name")
    if name not in CLASSES:
        raise UnetError(f"{source}: '{subfolder}' holds a {name}, clean-up takes {' or '.join(CLASSES)}")
    asked = [key for key in ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim_type") if config.get(key)]
    if asked:
        raise UnetError(f"{source}: the UNet wants to be told more than a time ({', '.join(asked)}), clean-up has nothing to tell it")
    if config["in_channels"] != config["out_channels"]:
        raise UnetError(f"{source}: the UNet makes {config['out_channels']} channels of {config['in_channels']}: it does not denoise")
    try:
        unet = CLASSES[name].from_pretrained(
            source, subfolder=subfolder, variant=variant, use_safetensors=True, low_cpu_mem_usage=False, torch_dtype=torch.float32, **where
        )
    except (OSError, ValueError) as error:
        raise UnetError(f"{source}: the UNet's weights cannot be read: {_first_line(error)}") from error
    try:
        schedule = DDIMScheduler.load_config(source, subfolder="scheduler", **where)
    except OSError:
        schedule = dict(STABLE_DIFFUSION)
    # latents are not bounded by 1, and the last step is to arrive at clean ones
    overrides = {"clip_sample": False, "thresholding": False, "set_alpha_to_one": True}
    scheduler = DDIMScheduler.from_config(schedule, **overrides)  # type: ignore[no-untyped-call]
    return CleanUp(unet.eval(), scheduler, steps, strength)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
