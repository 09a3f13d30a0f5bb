"""`sdz gpu-train`: the whole recipe in the minutes that an accelerator is at hand.

One batch holds faithful pictures (no denoiser), natural files without the denoiser, and natural pictures (with it). All networks learn by
squared error, MS-SSIM, SSIMULACRA2 and block colour; natural pictures by Wasserstein distortion of VGG16 features as well, of whose
gradient decoder and encoder get the share `--decoder-perceptual`. From `--files-until` on files stand still, and a critic that learned
beside the networks (`export.training.critic`) judges natural pictures as well. The integer grids are simulated throughout, and no step
waits for the device: draws, crops and averages live there. A run ends at a time, not at a step, writes its averages (diffusers layout, and
the rate model) every minute, and takes up shards that appear beside the first ones while it goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..models.layers import set_quantization
from .gpu_step import FIGURES, Batch, Recipe, Step, draw
from .options import add_fields, option
from .perception import WassersteinDistortion, write_features
from .resident import ResidentCrops, ShardError, read_shard
from .train import load_pipeline

MODELS = ("autoencoder", "denoiser")
"""What a run writes in diffusers layout; the rate model lies beside them."""

WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"

UNUSABLE = (ShardError, OSError, tarfile.ReadError, RuntimeError)
"""What reading shards may raise: they are damaged, or their crops are not of one size."""

RATE_FILE = "rate.safetensors"

FEATURES_FILE = "features.safetensors"

BEFORE = "before-critic"
"""The run's folder for the networks as they were when the critic came in."""

SECONDS_FILE = "seconds"
"""A number in the run's directory moves the run's end while it goes on: a lease may turn out longer or shorter than it was."""

COMPILED = "compiled"
"""Lies in the run's directory once the compiled step is in the compiler's cache, where the run finds it."""

HELD_OUT = 32
"""Crops kept from training, on which the averages are measured."""

HELD_OUT_CODES = (44, 52, 60)
"""Precision codes at which that is done: 0.8 to 0.3 bpp."""

LOOK_SECONDS = 3.0
"""How often a run looks for further shards and for the compiled step."""

SHOW_SECONDS = 5.0

BALANCE_STEPS = 40
"""Steps between two looks at how strong the critic's gradient is."""

RISE = 0.06
"""Share of the run over which the critic's part rises."""

CRITIC_RATE, CRITIC_BETAS = 3e-4, (0.5, 0.95)
"""Learning rate of the critic, and how long its optimizer remembers: less long than the networks', as what it judges moves."""

QUEUED_STEPS = 8
"""Steps after which the host waits for the device, so that the queue does not run away from the clock."""


@dataclass
class Options(Recipe):
    """A run's options besides its recipe; `seconds` count from the first step."""

    seconds: float = option(500.0, "SECONDS", "the run ends this long after its first step")
    learning_rate: float = option(6e-4, "RATE", "largest learning rate of Adam")
    final_learning_rate: float = option(1e-5, "RATE", "learning rate at the end, reached along a cosine")
    warm: float = option(0.03, "SHARE", "share of the run over which the learning rate rises")
    rate_first: float = option(0.03, "SHARE", "share before it in which only the rate model learns: it is not among a pack's weights")
    files_until: float = option(
        0.6, "SHARE", "share of the run after which encoder, linear pair and rate model stand still and the critic is listened to"
    )
    late_rate: float = option(2e-4, "RATE", "learning rate of the others from then on, again along a cosine to the last one")
    average: float = option(0.999, "SHARE", "what a step leaves of the average of the steps before, which is what is saved")
    compile: int = option(
        1, "0|1|2", "1: compile the step in a process beside the run, which takes it over when it is there; 0: do not; 2: be that process"
    )
    save_seconds: float = option(60.0, "SECONDS", "time between two saves")
    seed: int = option(1, "N", "of all random draws")


class Run:
    """Training until the time is over; see the module."""

    def __init__(self, step: Step, crops: ResidentCrops, held_out: Tensor, data: Path, out: Path, options: Options) -> None:
        self.step, self.crops, self.data, self.out, self.options = step, crops, data, out, options
        self.device = crops.photos.device
        self.held_out = held_out.to(self.device).float()
        self.taken = set(data.glob("*.tar"))
        rate, critic, decoder = step.rate, step.critic, step.autoencoder.decoder
        assert decoder.lapping is not None
        files = [*step.autoencoder.encoder.parameters(), *decoder.linear.parameters(), *decoder.lapping.parameters()]
        named = {id(p) for p in (*rate.parameters(), *critic.parameters(), *files)}
        networks = [p for p in step.parameters() if id(p) not in named]
        groups = [[p for p in group if p.requires_grad] for group in (networks, files, rate.parameters())]
        self.parameters = [p for group in groups for p in group]
        self.optimizer = torch.optim.Adam([{"params": group} for group in groups], fused=self.device.type == "cuda")
        self.optimizer.add_param_group({"params": list(critic.parameters()), "lr": CRITIC_RATE, "betas": CRITIC_BETAS})
        self.seconds = options.seconds
        self.averages = [p.detach().clone() for p in self.parameters]
        self.steps = 0

    def run(self) -> None:
        """Train, save and measure until the seconds are over."""
        options = self.options
        began = looked = shown = saved = time.monotonic()
        function: Callable[[Batch], tuple[Tensor, Tensor]] = self.step
        sums, count = torch.zeros(len(FIGURES), device=self.device), 0
        alone = True
        while (done := (time.monotonic() - began) / self.seconds) < 1.0:
            self._set_rates(done)
            if alone and done >= options.files_until:
                alone = False
                self.save(self.out / BEFORE)
            if not alone and self.steps % BALANCE_STEPS == 0:
                self._balance(done)
            figures = self._train_step(function)
            sums, count = sums + figures, count + 1
            now = time.monotonic()
            if now - looked > LOOK_SECONDS:
                looked = now
                self._look_for_shards()
                self._look_for_seconds()
                if options.compile == 1 and function is self.step and (self.out / COMPILED).exists():
                    function = torch.compile(self.step, dynamic=False)
            if now - shown > SHOW_SECONDS:
                self._show(now - began, sums / count, count / (now - shown))
                shown, sums, count = now, torch.zeros_like(sums), 0
            if now - saved > options.save_seconds:
                saved = now
                self.save(self.out)
        self.save(self.out)

    def compile(self) -> None:
        """Compile the step, say what it is worth, and leave a sign if that is anything."""
        plain = self._seconds(self.step, 10)
        began = time.monotonic()
        function = torch.compile(self.step, dynamic=False)
        self._train_step(function)
        took = time.monotonic() - began
        fast = self._seconds(function, 20)
        print(f"{1000 * plain:.0f} ms a step, compiled {1000 * fast:.0f} after {took:.0f} s", flush=True)
        if fast < plain:
            (self.out / COMPILED).touch()

    def save(self, out: Path) -> None:
        """Write the averages below `out`, each file through a temporary name, and measure them on the crops kept aside."""
        with self._averaged():
            for name in MODELS:
                model = getattr(self.step, name)
                _write(model.state_dict(), out / name / WEIGHTS_FILE)
                model.save_config(out / name)
            _write(self.step.rate.state_dict(), out / RATE_FILE)
            for natural in (False, True):
                for code in HELD_OUT_CODES:
                    values = self._measured(code, natural=natural)
                    print(f"  held {'natural' if natural else 'faithful'} {code}: {_named(values)}", flush=True)

    @torch.no_grad()
    def _measured(self, code: int, *, natural: bool) -> Tensor:
        ones = torch.ones((len(self.held_out), 1, 1, 1), device=self.device)
        tilt, rounding = (2.0, 0.5) if natural else (0.0, 0.36)
        batch = Batch(self.held_out, code * ones, 0 * ones, 1000 * ones, rounding * ones, (tilt * ones).long())
        with self._autocast():
            return self.step.figures(batch, denoise=natural)

    def _autocast(self) -> torch.autocast:
        # a processor without instructions for bf16 computes it in software, ten times slower than fp32; with them it is twice as fast
        able = self.device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=able)

    def _set_rates(self, done: float) -> None:
        options = self.options
        networks, files, rate_model, _ = self.optimizer.param_groups
        if done >= options.files_until:
            late = (done - options.files_until) / (1.0 - options.files_until)
            networks["lr"] = _cosine(options.late_rate, options.final_learning_rate, late)
            files["lr"] = rate_model["lr"] = 0.0
            return
        rate = _cosine(options.learning_rate, options.final_learning_rate, done / options.files_until)
        networks["lr"] = files["lr"] = rate * min(1.0, max(0.0, done - options.rate_first) / options.warm)
        # alone, the rate model may run; afterwards it has to follow the encoder
        rate_model["lr"] = 1.5e-3 if done < options.rate_first else 2.0 * rate

    def _balance(self, done: float) -> None:
        options = self.options
        strength = options.adversary * min(1.0, (done - options.files_until) / RISE)
        with self._autocast():
            self.step.balance(draw(self.crops.batch(options.batch), options, self.step.autoencoder.channels), strength)

    def _train_step(self, function: Callable[[Batch], tuple[Tensor, Tensor]]) -> Tensor:
        options = self.options
        batch = draw(self.crops.batch(options.batch), options, self.step.autoencoder.channels)
        with self._autocast():
            loss, figures = function(batch)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.optimizer.step()
        self.step.critic.constrain()
        decay = min(options.average, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(self.averages, [*map(torch.Tensor.detach, self.parameters)], 1.0 - decay)
        self.steps += 1
        if self.steps % QUEUED_STEPS == 0:
            self._wait()
        return figures

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _seconds(self, function: Callable[[Batch], tuple[Tensor, Tensor]], rounds: int) -> float:
        self._wait()
        began = time.monotonic()
        for _ in range(rounds):
            self._train_step(function)
        self._wait()
        return (time.monotonic() - began) / rounds

    def _look_for_shards(self) -> None:
        for shard in sorted(set(self.data.glob("*.tar")) - self.taken):
            self.taken.add(shard)
            try:
                self.crops.add(read_shard(shard))
            except UNUSABLE as error:
                # the minutes are worth more than one shard
                print(f"left out: {error}", flush=True)
                continue
            print(f"{shard.name} joined: {len(self.crops.photos)} crops", flush=True)

    def _look_for_seconds(self) -> None:
        try:
            self.seconds = float((self.out / SECONDS_FILE).read_text())
        except (OSError, ValueError):
            # none, or one that is being written
            return

    def _show(self, seconds: float, values: Tensor, speed: float) -> None:
        print(f"{seconds:.0f} s, step {self.steps}, {speed:.1f} a second: {_named(values)}", flush=True)
        if not math.isfinite(float(values[0])):
            raise SystemExit("the loss is not finite any more; what was saved before is whole")

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The averages in the place of the weights, for a while."""
        kept = [p.detach().clone() for p in self.parameters]
        try:
            self._set(self.averages)
            yield
        finally:
            self._set(kept)

    @torch.no_grad()
    def _set(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)


def _cosine(high: float, low: float, done: float) -> float:
    return low + (high - low) * (0.5 + 0.5 * math.cos(math.pi * done))


def _named(values: Tensor) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in zip(FIGURES, values.tolist(), strict=True))


def _write(state: dict[str, Tensor], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".part")
    save_file({k: v.detach().cpu().contiguous() for k, v in state.items()}, temporary, {"format": "pt"})
    temporary.replace(file)


def load_step(weights: Path, features: Path, recipe: Recipe) -> Step:
    """The networks of a run or of the committed weights, with the rate model where there is one."""
    pipeline = load_pipeline(weights)
    set_quantization(pipeline, enabled=True)
    step = Step(pipeline.autoencoder, pipeline.denoiser, WassersteinDistortion(features), recipe)
    if (weights / RATE_FILE).exists():
        step.rate.load_state_dict(load_file(weights / RATE_FILE))
    return step


def _compile_beside(arguments: list[str], out: Path) -> subprocess.Popen[bytes]:
    """The same command as the process that compiles; its words go to `compile.log`."""
    (out / COMPILED).unlink(missing_ok=True)
    with (out / "compile.log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-m", "sdz", "gpu-train", *arguments, "--compile", "2"], stdout=log, stderr=log)


def main(arguments: list[str]) -> int:
    """`sdz gpu-train`; 0 done, 1 no shard, or one that cannot be used."""
    command = argparse.ArgumentParser(prog="sdz gpu-train", description="Train everything on an accelerator, for minutes.")
    command.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="tar shards of crops of one size; more may join later")
    command.add_argument("--weights", type=Path, required=True, metavar="RUN", help="start from the weights of this directory")
    command.add_argument("--out", type=Path, required=True, metavar="RUN", help="run directory")
    fastest = "cuda" if torch.cuda.is_available() else "cpu"
    command.add_argument(
        "--device", default=fastest, metavar="NAME", help="cuda, or cpu for a rehearsal (default: cuda where there is one)"
    )
    add_fields(command, Options())
    given = command.parse_args(arguments)
    options = Options(**{field.name: getattr(given, field.name) for field in fields(Options())})
    shards = sorted(given.data.glob("*.tar"))
    if not shards:
        print(f"{command.prog}: no .tar shard in {given.data}", file=sys.stderr)
        return 1
    try:
        photos = torch.cat([read_shard(shard) for shard in shards])
    except UNUSABLE as error:
        print(f"{command.prog}: {error}", file=sys.stderr)
        return 1
    if (side := photos.shape[-1]) < options.crop:
        print(f"{command.prog}: --crop is {options.crop}, but the crops in {given.data} have {side} pixels a side", file=sys.stderr)
        return 1
    given.out.mkdir(parents=True, exist_ok=True)
    features = given.weights / FEATURES_FILE
    if not features.exists():
        # a machine without the package is given the file beside the weights
        features = given.out / FEATURES_FILE
        write_features(features)
    for out in (given.out, given.out / BEFORE):
        for name in MODELS:
            (out / name).mkdir(parents=True, exist_ok=True)
            (out / name / "config.json").write_bytes((given.weights / name / "config.json").read_bytes())
    torch.manual_seed(options.seed)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    device = torch.device(given.device)
    kept = min(HELD_OUT, len(photos) // 4)
    step = load_step(given.weights, features, options).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = Run(step, ResidentCrops(photos[kept:].to(device), options.crop), photos[:kept], given.data, given.out, options)
    if options.compile == 2:
        run.compile()
        return 0
    (given.out / "gpu-options.json").write_text(json.dumps(asdict(options), indent=1))
    helper = _compile_beside(arguments, given.out) if options.compile else None
    run.run()
    if helper is not None:
        helper.terminate()
    return 0
