"""The training loop that `train` and both kinds of `distill` share: learning rate, moving average, quantization, checkpoints.

Takes a module, a crop sampler and what a loss is; a run directory holds the models (moving averages, diffusers layout) and
`state.safetensors` with everything else that the next step depends on, so that an interrupted run ends with the weights of an uninterrupted
one.
"""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from ...runtime.format.reconstruction import finer_by
from ...runtime.limits import MAX_TILT
from ..crops import CropSampler
from ..metrics.perceptual import PerceptualDistance
from ..models import OneStepDenoiser
from ..models.denoiser import DELTA_SCALE_EXPONENT, FINEST_TRAINED
from ..models.layers import freeze_ranges, set_quantization
from .distortion import distortion
from .options import Options

PRECISION_RANGE = (FINEST_TRAINED, 72)
"""Precision codes drawn in training: intervals of 2**(22/8) = 6.7 to 2**(72/8) = 512 grey levels (about 1.2 to 0.01 bpp)."""

COARSE_FROM = 46
"""Codes from here on (intervals of 54 grey levels, about 0.4 bpp and less) are what the format is for ..."""

COARSE_SHARE = 0.7
"""... and get this share of the training images."""

CALIBRATION_BATCHES = 12
"""Batches whose activations set the int8 ranges."""

ROUNDING_RANGE = (1.0 / 3.0, 1.0 / 2.0)
"""What the encoder may add before it rounds magnitudes down (`runtime.encode`): drawn per image, most often near what the tuning has
whose pictures the image stands for, `faithful` or `natural`."""

DEPTHS = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0)
"""Planes cut from an image, each as likely as the others: most files are seen whole."""

COLOURS = 3.0
"""Squared errors are means over three colours, rates are bits per pixel."""

JUDGED_SHARE = 2
"""One image in two of a batch is judged by ST-LPIPS, at twice the weight, in one window: its trunk costs five times the codec itself."""

JUDGED_WINDOW = 96
"""Side in pixels of that window."""

AVERAGE_DECAY = 0.998
"""Decay of the exponential moving average of the weights, per step."""

WARM_STEPS = 200
"""Steps over which the learning rate rises ..."""

WARM_SHARE = 0.03
"""... or, of a short run, the share of it."""


def draw_precision(
    count: int, channels: int, generator: torch.Generator, coarsest: int = PRECISION_RANGE[1], *, natural: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random truncations: (base code (N, 1, 1, 1), code per channel (N, C, 1, 1), planes cut and rounding, both (N, 1, 1, 1))."""
    low, high = PRECISION_RANGE[0], coarsest
    fine = torch.randint(low, COARSE_FROM, (count, 1, 1, 1), generator=generator)
    coarse = torch.randint(COARSE_FROM, high + 1, (count, 1, 1, 1), generator=generator)
    base = torch.where(torch.rand((count, 1, 1, 1), generator=generator) < COARSE_SHARE, coarse, fine).float()
    depth = torch.tensor(DEPTHS)[torch.randint(0, len(DEPTHS), (count, 1, 1, 1), generator=generator)]
    cut = torch.randint(1, channels, (count, 1, 1, 1), generator=generator)
    partial = torch.rand((count, 1, 1, 1), generator=generator) < 0.4
    behind = (torch.arange(channels)[None, :, None, None] >= cut) & partial & (depth > 0)
    least, most = ROUNDING_RANGE
    moved = (most - least) * torch.rand((count, 1, 1, 1), generator=generator).square()
    rounding = most - moved if natural else least + moved
    return base, base + 8.0 * behind.float(), depth + behind.float(), rounding


def draw_tilt(count: int, octaves: list[int], generator: torch.Generator, *, natural: bool) -> Tensor:
    """How many codes finer each channel is than the file says, (N, C, 1, 1), at random tilts: those of pictures that shall look natural
    make fine structure finer, those of faithful ones coarser (`runtime.format.planes.finer_by`)."""
    # squared: half of the images have none
    drawn = torch.rand((count, 1, 1, 1), generator=generator).square() * (MAX_TILT + 1)
    tilt = drawn.floor().long() * (1 if natural else -1)
    return torch.from_numpy(finer_by(tilt.numpy(), np.array(octaves, np.int32)[:, None, None])).float()


class Loop(ABC, Generic[Options]):
    """One run that trains `model` on crops; `run()` trains until its steps or minutes are over and saves on the way."""

    prefix = ""
    """What the files of the run's state, options and log begin with: a directory may hold runs of two kinds."""

    def __init__(self, model: nn.Module, sampler: CropSampler, out: Path, options: Options) -> None:
        self.options = options
        self.out = out
        self.sampler = sampler
        self.device = torch.device(options.device)
        self.model = model.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.optimizer = torch.optim.Adam([p for p in self.model.parameters() if p.requires_grad], lr=options.learning_rate)
        self.perceptual = PerceptualDistance("alex").to(self.device) if options.perceptual > 0 else None
        self.generator = torch.Generator().manual_seed(options.seed)
        self.step = 0
        self.minutes = 0.0
        # weights whose ranges are fixed were trained under quantization and go on under it, unless a later start is asked for
        self.quantizing = self._quantized() and options.quantize_from > 1
        set_quantization(self.model, enabled=self.quantizing)

    @abstractmethod
    def _loss(self, pixels: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Loss of a batch (N, 3, H, W) and figures for the progress line."""

    @abstractmethod
    def _observe(self, pixels: Tensor) -> None:
        """Run whatever is to be quantized on a batch, so that it sees typical activations."""

    @abstractmethod
    def _models(self) -> dict[str, Any]:
        """What is saved, by the name of its folder: parts of `model`."""

    @abstractmethod
    def _quantized(self) -> bool:
        """Whether the model's activation ranges are fixed already."""

    def run(self) -> None:
        """Train; a second call with the same directory goes on where the first stopped."""
        self._resume()
        options = self.options
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / f"{self.prefix}options.json").write_text(json.dumps(asdict(options), indent=1))
        before, began = self.minutes, time.monotonic()
        saved = began
        progress = tqdm(total=options.steps, initial=self.step, desc="train", unit="step", mininterval=5.0)
        shown: dict[str, float] = {}
        while self.step < options.steps:
            self.minutes = before + (time.monotonic() - began) / 60.0
            if self.minutes >= options.minutes:
                break
            done = max(self.step / options.steps, self.minutes / options.minutes)
            self._set_learning_rate(done)
            if done >= options.quantize_from and not self.quantizing:
                self._start_quantizing()
            for name, value in self._train_step().items():
                shown[name] = value if name not in shown else 0.98 * shown[name] + 0.02 * value
            self.step += 1
            progress.update()
            progress.set_postfix({k: f"{v:.4g}" for k, v in shown.items()}, refresh=False)
            if self.step % 100 == 0:
                row = {"step": self.step, "minutes": round(self.minutes, 2)} | {k: round(v, 5) for k, v in shown.items()}
                with (self.out / f"{self.prefix}log.jsonl").open("a") as log:
                    log.write(json.dumps(row) + "\n")
            if time.monotonic() - saved > 60.0 * options.save_minutes:
                self.save()
                saved = time.monotonic()
        progress.close()
        self.save()

    def _set_learning_rate(self, done: float) -> None:
        options = self.options
        warm = min(1.0, max((self.step + 1) / WARM_STEPS, done / WARM_SHARE))
        cosine = 0.5 + 0.5 * math.cos(math.pi * min(1.0, done))
        rate = options.final_learning_rate + (options.learning_rate - options.final_learning_rate) * cosine
        for group in self.optimizer.param_groups:
            group["lr"] = rate * warm

    def _train_step(self) -> dict[str, float]:
        """One optimizer step on a fresh batch; returns figures for the progress line."""
        options = self.options
        pixels = self.sampler.batch(options.batch).to(self.device, memory_format=torch.channels_last)
        loss, figures = self._loss(pixels)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        with torch.no_grad():
            decay = min(AVERAGE_DECAY, (1 + self.step) / (10 + self.step))
            for name, value in self.model.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1.0 - decay)
                else:
                    self.average[name].copy_(value)
        return {"loss": float(loss.detach())} | figures

    def _error(self, output: Tensor, target: Tensor, *, natural: bool) -> tuple[Tensor, dict[str, float]]:
        """Distortion per image (N,), with ST-LPIPS where the picture shall look `natural`, and its figures."""
        error, figures = distortion(output, target)
        if self.perceptual is None or not natural:
            return error, figures
        judged = max(1, len(target) // JUDGED_SHARE)
        spare = max(0, target.shape[-1] - JUDGED_WINDOW)
        y, x = (int(torch.randint(0, spare + 1, (), generator=self.generator)) for _ in range(2))
        rows, columns = slice(y, y + JUDGED_WINDOW), slice(x, x + JUDGED_WINDOW)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            distance = self.perceptual(output[:judged, :, rows, columns], target[:judged, :, rows, columns])
        weight = self.options.perceptual * len(target) / judged
        return torch.cat([error[:judged] + weight * distance, error[judged:]]), figures | {"stlpips": float(distance.detach().mean())}

    def _start_quantizing(self) -> None:
        """Simulate int8 from now on. Ranges that are not fixed yet are observed on a few batches first."""
        if not self._quantized():
            set_quantization(self.model, enabled=False, observe=True)
            with torch.no_grad():
                for _ in range(CALIBRATION_BATCHES):
                    self._observe(self.sampler.batch(self.options.batch).to(self.device))
            freeze_ranges(self.model)
            for module in self.model.modules():
                if isinstance(module, OneStepDenoiser):
                    module.head.activation.exponent.fill_(DELTA_SCALE_EXPONENT)
            for name, value in self.model.state_dict().items():
                if name.endswith((".exponent", ".peak")):
                    self.average[name].copy_(value)
        set_quantization(self.model, enabled=True)
        self.quantizing = True

    def save(self) -> None:
        """Write weights (moving averages, float32) and the state of the run, each through a temporary name."""
        self.out.mkdir(parents=True, exist_ok=True)
        live = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        try:
            for name, model in self._models().items():
                model.save_pretrained(self.out / name)
        finally:
            self.model.load_state_dict(live)
        tensors = {f"model.{k}": v.contiguous() for k, v in live.items()}
        tensors |= {f"average.{k}": v.contiguous() for k, v in self.average.items()}
        tensors |= {"random.torch": torch.get_rng_state(), "random.draws": self.generator.get_state()}
        names = {p: n for n, p in self.model.named_parameters()}
        for parameter, state in self.optimizer.state.items():
            for key in ("exp_avg", "exp_avg_sq"):
                tensors[f"{key}.{names[parameter]}"] = state[key].contiguous()
        crops = json.dumps(self.sampler.random.bit_generator.state)
        meta = {"step": str(self.step), "minutes": str(self.minutes), "quantizing": str(int(self.quantizing)), "crops": crops}
        path = self._state()
        temporary = path.with_suffix(".part")
        save_file(tensors, temporary, meta)
        temporary.replace(path)

    def _state(self) -> Path:
        return self.out / f"{self.prefix}state.safetensors"

    def _resume(self) -> None:
        path = self._state()
        if not path.exists():
            return
        with safe_open(path, "pt") as stored:
            meta = stored.metadata()
            keys = set(stored.keys())
            self.model.load_state_dict({k: stored.get_tensor(f"model.{k}") for k in self.model.state_dict()})
            self.average = {k: stored.get_tensor(f"average.{k}").to(self.device) for k in self.average}
            self.step = int(meta["step"])
            for name, parameter in self.model.named_parameters():
                if f"exp_avg.{name}" in keys:
                    self.optimizer.state[parameter] = {
                        "step": torch.tensor(float(self.step)),
                        "exp_avg": stored.get_tensor(f"exp_avg.{name}").to(self.device),
                        "exp_avg_sq": stored.get_tensor(f"exp_avg_sq.{name}").to(self.device),
                    }
            # runs from before these were kept go on with fresh draws
            if "random.torch" in keys:
                torch.set_rng_state(stored.get_tensor("random.torch"))
                self.generator.set_state(stored.get_tensor("random.draws"))
                self.sampler.random.bit_generator.state = json.loads(meta["crops"])
                self.minutes = float(meta["minutes"])
        self.quantizing = meta["quantizing"] == "1"
        if self.quantizing:
            set_quantization(self.model, enabled=True)
