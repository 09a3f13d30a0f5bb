"""`python -m export train`: rate-distortion training of the autoencoder and its denoiser under simulated truncation.

Every step draws, per image, how precisely its latents are known (a step and a cut, `export.truncation`), so one model
serves every rate. The loss is `distortion / step + LAGRANGIAN * step * bits`: the Lagrangian of a uniform quantizer
whose slope dD/dR is proportional to step squared, scaled so that coarse and fine precisions pull equally hard.
`python -m export train --help` lists the options. Resumable: a run directory holds `autoencoder/`, `denoiser/` (moving
averages, diffusers layout) and `state.safetensors`.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from export.data import CropSampler, TrainingDataError, load_photos
from export.losses import PerceptualDistance, distortion
from export.models import OneStepDenoiser, TinyAutoencoder
from export.models.denoiser import DELTA_SCALE_EXPONENT
from export.models.layers import freeze_ranges, set_quantization
from export.quantize import is_calibrated
from export.rate import ContextRateModel
from export.truncation import Truncated, truncate

PRECISION_RANGE = (22, 72)
"""Precision codes drawn in training: intervals of 2**(22/8) = 6.7 to 2**(72/8) = 512 grey levels (about 1.2 to 0.01 bpp)."""

COARSE_FROM = 46
"""Codes from here on (intervals of 54 grey levels, about 0.4 bpp and less) are what the format is for ..."""

COARSE_SHARE = 0.7
"""... and get this share of the training images."""

CALIBRATION_BATCHES = 12
"""Batches whose activations set the int8 ranges."""

ROUNDING_RANGE = (1.0 / 3.0, 1.0 / 2.0)
"""What the encoder may add before it rounds magnitudes down (`runtime.encode`): drawn per image, so that one decoder serves all its
tunings."""

LAGRANGIAN = 0.13
"""dD/dR of a uniform quantizer with dead zone in units of step**2 per bit (0.85 * 2**(-8/3) in HEVC's reference encoder)."""

COLOURS = 3.0
"""Squared errors are means over three colours, rates are bits per pixel."""

JUDGED_SHARE = 2
"""One image in two of a batch is judged by ST-LPIPS, at twice the weight, in one window: its trunk costs five times the codec itself."""

JUDGED_WINDOW = 96
"""Side in pixels of that window."""

DENOISED_SHARE = 0.75
"""Share of training steps that run the denoiser; the others teach the decoder to stand alone while the denoiser loads."""

AVERAGE_DECAY = 0.998
"""Decay of the exponential moving average of the weights, per step."""


@dataclass
class TrainingOptions:
    """What `train` needs; written into the run directory as `options.json`."""

    steps: int = 20000
    minutes: float = math.inf
    batch: int = 8
    crop: int = 192
    learning_rate: float = 3e-4
    final_learning_rate: float = 2e-5
    quantize_from: float = 2.0
    """Share of the run after which quantization is simulated (2: never)."""
    perceptual: float = 0.0
    """Squared levels that one unit of ST-LPIPS (AlexNet trunk) is worth; 0 leaves it out."""
    seed: int = 1
    device: str = "cpu"
    save_minutes: float = 4.0


def draw_precision(count: int, channels: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random truncations: (base code (N, 1, 1, 1), code per channel (N, C, 1, 1), planes cut and rounding, both (N, 1, 1, 1))."""
    low, high = PRECISION_RANGE
    fine = torch.randint(low, COARSE_FROM, (count, 1, 1, 1), generator=generator)
    coarse = torch.randint(COARSE_FROM, high + 1, (count, 1, 1, 1), generator=generator)
    base = torch.where(torch.rand((count, 1, 1, 1), generator=generator) < COARSE_SHARE, coarse, fine).float()
    depth = torch.tensor([0.0, 0.0, 1.0, 2.0])[torch.randint(0, 4, (count, 1, 1, 1), generator=generator)]
    cut = torch.randint(1, channels, (count, 1, 1, 1), generator=generator)
    partial = torch.rand((count, 1, 1, 1), generator=generator) < 0.4
    behind = (torch.arange(channels)[None, :, None, None] >= cut) & partial & (depth > 0)
    least, most = ROUNDING_RANGE
    rounding = least + (most - least) * torch.rand((count, 1, 1, 1), generator=generator)
    return base, base + 8.0 * behind.float(), depth + behind.float(), rounding


class Pipeline(nn.Module):
    """Autoencoder, denoiser and training-time rate model as one module."""

    def __init__(self, autoencoder: TinyAutoencoder, denoiser: OneStepDenoiser) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.denoiser = denoiser
        self.rate = ContextRateModel(autoencoder.channels)

    def reconstruct(self, known: Truncated, *, denoise: bool) -> Tensor:
        """Pixels (N, 3, H, W) from truncated latents, with or without the denoiser."""
        values = known.values
        if denoise:
            values = self.denoiser(values, known.levels, known.precision, known.half_width)
        return self.autoencoder.decode(values, known.precision)


class Trainer:
    """One training run; `run()` trains until its steps or minutes are over and saves on the way."""

    def __init__(self, pipeline: Pipeline, sampler: CropSampler, out: Path, options: TrainingOptions) -> None:
        self.options = options
        self.out = out
        self.sampler = sampler
        self.device = torch.device(options.device)
        self.pipeline = pipeline.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {k: v.detach().clone() for k, v in self.pipeline.state_dict().items()}
        self.trained = self._parameters()
        self.optimizer = torch.optim.Adam(self.trained, lr=options.learning_rate)
        self.perceptual = PerceptualDistance("alex").to(self.device) if options.perceptual > 0 else None
        self.generator = torch.Generator().manual_seed(options.seed)
        self.step = 0
        # weights whose ranges are fixed were trained under quantization and go on under it
        self.quantizing = is_calibrated(self.pipeline.autoencoder.decoder) and is_calibrated(self.pipeline.denoiser)
        set_quantization(self.pipeline, enabled=self.quantizing)

    def _parameters(self) -> list[nn.Parameter]:
        """What the optimizer moves."""
        return list(self.pipeline.parameters())

    def run(self) -> None:
        """Train; a second call with the same directory goes on where the first stopped."""
        self._resume()
        options = self.options
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "options.json").write_text(json.dumps(asdict(options), indent=1))
        began = saved = time.monotonic()
        first = self.step
        progress = tqdm(total=options.steps, initial=self.step, desc="train", unit="step", mininterval=5.0)
        shown: dict[str, float] = {}
        while self.step < options.steps:
            spent = (time.monotonic() - began) / 60.0
            if spent >= options.minutes:
                break
            done = max((self.step - first) / max(1, options.steps - first), spent / options.minutes)
            self._set_learning_rate(done)
            if done >= options.quantize_from and not self.quantizing:
                self._start_quantizing()
            for name, value in self._train_step().items():
                shown[name] = value if name not in shown else 0.98 * shown[name] + 0.02 * value
            self.step += 1
            progress.update()
            progress.set_postfix({k: f"{v:.4g}" for k, v in shown.items()}, refresh=False)
            if self.step % 100 == 0:
                row = {"step": self.step, "minutes": round(spent, 2)} | {k: round(v, 5) for k, v in shown.items()}
                with (self.out / "log.jsonl").open("a") as log:
                    log.write(json.dumps(row) + "\n")
            if time.monotonic() - saved > 60.0 * options.save_minutes:
                self.save()
                saved = time.monotonic()
        progress.close()
        self.save()

    def _set_learning_rate(self, done: float) -> None:
        options = self.options
        warm = min(1.0, (self.step + 1) / 200.0)
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
        nn.utils.clip_grad_norm_(self.trained, 5.0)
        self.optimizer.step()
        with torch.no_grad():
            decay = min(AVERAGE_DECAY, (1 + self.step) / (10 + self.step))
            for name, value in self.pipeline.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1.0 - decay)
                else:
                    self.average[name].copy_(value)
        return {"loss": float(loss.detach())} | figures

    def _draw(self, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        base, code, depth, rounding = draw_precision(count, self.pipeline.autoencoder.channels, self.generator)
        return base.to(self.device), code.to(self.device), depth.to(self.device), rounding.to(self.device)

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

    def _loss(self, pixels: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Rate-distortion loss of a batch (N, 3, H, W) and its figures."""
        base, code, depth, rounding = self._draw(len(pixels))
        denoise = bool(torch.rand((), generator=self.generator) < DENOISED_SHARE)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            latents = self.pipeline.autoencoder.encode(pixels)
            known = truncate(latents, code, depth, rounding)
            output = self.pipeline.reconstruct(known, denoise=denoise)
        bits = self.pipeline.rate(latents, base).sum(dim=(1, 2, 3))
        # without the denoiser the picture is the faithful one, judged by distortion alone; with it, the natural one
        error, figures = self._error(output, pixels, natural=denoise)
        width = torch.exp2(base.flatten() / 8.0)
        area = float(pixels.shape[-1] * pixels.shape[-2])
        loss = (COLOURS * error / width + LAGRANGIAN * width * bits / area).mean()
        return loss, {"bpp": float(bits.detach().mean() / area)} | figures

    def _start_quantizing(self) -> None:
        """Observe activation ranges on a few batches, fix the power-of-two scales, then simulate int8."""
        set_quantization(self.pipeline, enabled=False, observe=True)
        with torch.no_grad():
            for _ in range(CALIBRATION_BATCHES):
                pixels = self.sampler.batch(self.options.batch).to(self.device)
                _, code, depth, rounding = self._draw(len(pixels))
                known = truncate(self.pipeline.autoencoder.encode(pixels), code, depth, rounding)
                self.pipeline.reconstruct(known, denoise=True)
        freeze_ranges(self.pipeline)
        self.pipeline.denoiser.head.activation.exponent.fill_(DELTA_SCALE_EXPONENT)
        set_quantization(self.pipeline, enabled=True)
        for name, value in self.pipeline.state_dict().items():
            if name.endswith((".exponent", ".peak")):
                self.average[name].copy_(value)
        self.quantizing = True

    def save(self) -> None:
        """Write weights (moving averages, float32) and the optimizer's state, each through a temporary name."""
        self.out.mkdir(parents=True, exist_ok=True)
        live = {k: v.clone() for k, v in self.pipeline.state_dict().items()}
        self.pipeline.load_state_dict(self.average)
        try:
            self.pipeline.autoencoder.save_pretrained(self.out / "autoencoder")
            self.pipeline.denoiser.save_pretrained(self.out / "denoiser")
        finally:
            self.pipeline.load_state_dict(live)
        tensors = {f"model.{k}": v.contiguous() for k, v in live.items()}
        tensors |= {f"average.{k}": v.contiguous() for k, v in self.average.items()}
        names = {p: n for n, p in self.pipeline.named_parameters()}
        for parameter, state in self.optimizer.state.items():
            for key in ("exp_avg", "exp_avg_sq"):
                tensors[f"{key}.{names[parameter]}"] = state[key].contiguous()
        temporary = self.out / "state.safetensors.part"
        save_file(tensors, temporary, {"step": str(self.step), "quantizing": str(int(self.quantizing))})
        temporary.replace(self.out / "state.safetensors")

    def _resume(self) -> None:
        path = self.out / "state.safetensors"
        if not path.exists():
            return
        with safe_open(path, "pt") as stored:
            meta = stored.metadata()
            keys = set(stored.keys())
            self.pipeline.load_state_dict({k: stored.get_tensor(f"model.{k}") for k in self.pipeline.state_dict()})
            self.average = {k: stored.get_tensor(f"average.{k}").to(self.device) for k in self.average}
            self.step = int(meta["step"])
            for name, parameter in self.pipeline.named_parameters():
                if f"exp_avg.{name}" in keys:
                    self.optimizer.state[parameter] = {
                        "step": torch.tensor(float(self.step)),
                        "exp_avg": stored.get_tensor(f"exp_avg.{name}").to(self.device),
                        "exp_avg_sq": stored.get_tensor(f"exp_avg_sq.{name}").to(self.device),
                    }
        self.quantizing = meta["quantizing"] == "1"
        if self.quantizing:
            set_quantization(self.pipeline, enabled=True)


def add_options(command: argparse.ArgumentParser, defaults: TrainingOptions) -> None:
    """The options that `train` and `distill` share."""
    command.add_argument("--data", type=Path, nargs="+", required=True, metavar="PHOTOS", help="folders or .tar shards of training photos")
    command.add_argument("--out", type=Path, required=True, metavar="RUN", help="run directory; an earlier run there is resumed")
    command.add_argument("--weights", type=Path, metavar="RUN", help="start from the weights of this directory")
    for option in fields(TrainingOptions):
        command.add_argument(
            "--" + option.name.replace("_", "-"), type=type(getattr(defaults, option.name)), default=getattr(defaults, option.name),
            metavar="X", help=f"default {getattr(defaults, option.name)}",
        )  # fmt: skip
    command.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads (default: torch's choice)")


def prepare(options: argparse.Namespace) -> tuple[Pipeline, CropSampler, TrainingOptions]:
    """Networks, data and options from parsed arguments; raises TrainingDataError without usable photos."""
    chosen = TrainingOptions(**{option.name: getattr(options, option.name) for option in fields(TrainingOptions)})
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(chosen.seed)
    if options.weights is None:
        pipeline = Pipeline(TinyAutoencoder(), OneStepDenoiser())
    else:
        pipeline = Pipeline(
            TinyAutoencoder.from_pretrained(options.weights / "autoencoder", low_cpu_mem_usage=False),
            OneStepDenoiser.from_pretrained(options.weights / "denoiser", low_cpu_mem_usage=False),
        )
    return pipeline, CropSampler(load_photos(options.data, chosen.crop), chosen.crop, chosen.seed), chosen


def launch(arguments: list[str], command: argparse.ArgumentParser, kind: type[Trainer], defaults: TrainingOptions) -> int:
    """Run a kind of training from the command line; 0 done, 1 no usable data."""
    add_options(command, defaults)
    options = command.parse_args(arguments)
    try:
        pipeline, sampler, chosen = prepare(options)
    except TrainingDataError as error:
        print(f"{command.prog}: {error}", file=sys.stderr)
        return 1
    kind(pipeline, sampler, options.out, chosen).run()
    return 0


def main(arguments: list[str]) -> int:
    """`python -m export train`; exit codes as `launch`."""
    command = argparse.ArgumentParser(prog="python -m export train", description="Train the autoencoder and its denoiser.")
    return launch(arguments, command, Trainer, TrainingOptions())
