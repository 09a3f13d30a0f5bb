"""`sdz distill`: a one-step denoiser for any pack, or with `--decoder` a light decoder for any autoencoder's latents.

The autoencoder stands still. The denoiser sees truncated latents and is taught the clean ones (with `--teacher` in part what a diffusion
UNet makes of these), judged in latent space, or through the autoencoder's decoder where that is affordable; the project's own is taught
the photo, through its decoder. The light decoder sees truncated latents and is taught the photo (with `--imitate` in part what the big
decoder makes of the clean latents). Both end under simulated int8. Resumable like `train`, whose loop this is; the run directory
holds `denoiser/` or `decoder/` in diffusers layout.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...runtime.limits import NETWORKS_COARSEST
from ..commands import failed, parser
from ..crops import CropSampler, TrainingDataError, load_photos
from ..families import FamilyError, load_family
from ..families.unet import UnetError, load_clean_up
from ..models import LightDecoder, OneStepDenoiser
from ..models.denoiser import FINEST_TRAINED
from ..models.layers import is_calibrated
from ..models.truncation import Truncated, truncate
from ..packs.parity import gate_photos
from ..packs.trained import TINY_WEIGHTS
from .loop import COLOURS, PRECISION_RANGE, Loop, draw_precision, draw_tilt
from .options import TrainingOptions, add_options, again, chosen, option
from .skip import least_code, measure, table
from .space import LatentSpace, fit_basis, open_space
from .teacher import Teacher

AFFORDABLE = {"cpu": 5_000_000, "cuda": 200_000_000}
"""Weights of an autoencoder whose decoder may judge: beyond that a step of the student would wait for seconds of the decoder."""

JUDGED_STEPS = 0.25
"""Share of the steps that an affordable foreign decoder judges; it costs several times what comparing latents costs."""

HELD_OUT = 6
"""Photos kept from training, at most one in four but one of two, to measure from which precision on the denoiser does good."""

FITTED_CROPS = 64
"""Crops to which the light decoder's linear path is fitted."""

STUDENTS = {4: (48, 5), 8: (64, 6), 16: (128, 4)}
"""Width and blocks of a denoiser by patch: under 25 kMAC per pixel together with a light decoder."""


@dataclass
class DistillOptions(TrainingOptions):
    """What `distill` needs besides what training needs."""

    steps: int = again(TrainingOptions, "steps", 2000)
    learning_rate: float = again(TrainingOptions, "learning_rate", 1e-3)
    quantize_from: float = again(TrainingOptions, "quantize_from", 0.75)
    draws: int = option(1, "N", "truncations of every crop: encoding it once for several of them saves the autoencoder's time")
    width: int = option(0, "CHANNELS", "channels of the denoiser's layers; 0: 48, 64 or 128 for patches of 4, 8 or 16 pixels")
    blocks: int = option(0, "N", "the denoiser's residual blocks; 0: 5, 6 or 4 for patches of 4, 8 or 16 pixels")
    judged: float = option(
        -1.0,
        "SHARE",
        "share of the steps judged through the autoencoder's decoder, the others in latent space; -1: all for the project's own, a quarter "
        "for decoders that the device can afford, none for the others",
    )
    taught: float = option(0.5, "SHARE", "with --teacher: share of the teacher's result in what is learned")
    imitate: float = option(0.0, "SHARE", "with --decoder: share of the big decoder's picture in what is learned; the rest is the photo")


class Distiller(Loop[DistillOptions]):
    """A run whose only moving part is the denoiser."""

    def __init__(
        self,
        denoiser: OneStepDenoiser,
        space: LatentSpace,
        sampler: CropSampler,
        out: Path,
        options: DistillOptions,
        teacher: Teacher | None = None,
    ) -> None:
        self.space = space
        self.teacher = teacher
        self.judged = options.judged if options.judged >= 0 else _judged_steps(space, options.device)
        super().__init__(denoiser, sampler, out, options)

    def _models(self) -> dict[str, Any]:
        return {"denoiser": self.model} | ({} if self.space.own is None else {"autoencoder": self.space.own})

    def _quantized(self) -> bool:
        return is_calibrated(self.model)

    def _student(self, known: Truncated) -> Tensor:
        return torch.as_tensor(self.model(known.values, known.levels, known.precision, known.half_width))

    def _observe(self, pixels: Tensor) -> None:
        self._student(_drawn(self.space.encode(pixels), self.space, self.generator)[0])

    def _loss(self, pixels: Tensor) -> tuple[Tensor, dict[str, float]]:
        through = bool(torch.rand((), generator=self.generator) < self.judged)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            with torch.no_grad():
                clean = self.space.encode(pixels).float()
                wanted = clean
                if self.teacher is not None:
                    wanted = torch.lerp(clean, self.teacher(clean, self.generator), self.options.taught)
                if through and self.space.own is not None and self.teacher is None:
                    # a light decoder's own losses are not worth learning: only a big one shows what its latents mean
                    painted = pixels
                elif through:
                    painted = self.space.decode(wanted, torch.full_like(wanted, float(PRECISION_RANGE[0])))
            draws = 1 if through else self.options.draws
            known, width = _drawn(clean.repeat_interleave(draws, dim=0), self.space, self.generator)
            values = self._student(known)
            output = self.space.decode(values, known.precision) if through else None
        if output is not None:
            error, figures = self._error(output, painted, natural=True)
        else:
            error = latent_error(values, wanted.repeat_interleave(draws, dim=0), self.space.patch)
            left = error.detach() / latent_error(known.values, clean.repeat_interleave(draws, dim=0), self.space.patch).clamp_min(1e-9)
            figures = {"left": float(left.mean())}
        return (COLOURS * error / width).mean(), figures


class DecoderDistiller(Loop[DistillOptions]):
    """A run whose only moving part is the light decoder."""

    prefix = "decoder-"

    def __init__(self, decoder: LightDecoder, space: LatentSpace, sampler: CropSampler, out: Path, options: DistillOptions) -> None:
        self.space = space
        super().__init__(decoder, sampler, out, options)

    def _models(self) -> dict[str, Any]:
        return {"decoder": self.model}

    def _quantized(self) -> bool:
        return is_calibrated(self.model)

    def _known(self, pixels: Tensor) -> tuple[Tensor, Truncated, Tensor]:
        with torch.no_grad():
            clean = self.space.encode(pixels).float()
        return clean, *_drawn(clean, self.space, self.generator)

    def _observe(self, pixels: Tensor) -> None:
        known = self._known(pixels)[1]
        self.model.decode(known.values, known.precision)

    def _loss(self, pixels: Tensor) -> tuple[Tensor, dict[str, float]]:
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            clean, known, width = self._known(pixels)
            target = pixels
            if self.options.imitate > 0:
                with torch.no_grad():
                    painted = self.space.decode(clean, torch.full_like(clean, float(PRECISION_RANGE[0]))).float().clamp(0, 255)
                target = torch.lerp(pixels, painted, self.options.imitate)
            output = self.model.decode(known.values, known.precision)
        error, figures = self._error(output, target, natural=True)
        return (COLOURS * error / width).mean(), figures


def _drawn(latents: Tensor, space: LatentSpace, generator: torch.Generator) -> tuple[Truncated, Tensor]:
    """Latents of a space as drawn precisions leave them, up to the coarsest at which a decoder runs a denoiser, and the intervals' widths
    (N,)."""
    drawn = draw_precision(len(latents), latents.shape[1], generator, NETWORKS_COARSEST, natural=True)
    base, code, depth, rounding = (t.to(latents.device) for t in drawn)
    if space.own is not None:
        code = code - draw_tilt(len(latents), space.own.octaves, generator, natural=True).to(latents.device)
    return truncate(latents, code, depth, rounding), torch.exp2(base.flatten() / 8.0)


def latent_error(values: Tensor, wanted: Tensor, patch: int) -> Tensor:
    """Squared error per image (N,) of latents (N, C, h, w) in grey levels: in squared levels of pixels, were the transform orthonormal."""
    return torch.as_tensor((values.float() - wanted.float()).square().sum(dim=1).mean(dim=(1, 2)) / (COLOURS * patch**2))


def _judged_steps(space: LatentSpace, device: str) -> float:
    if space.own is not None:
        return 1.0
    return JUDGED_STEPS if space.cost <= AFFORDABLE[torch.device(device).type] else 0.0


def fresh_denoiser(space: LatentSpace, options: DistillOptions) -> OneStepDenoiser:
    """A student that changes nothing yet."""
    width, blocks = STUDENTS.get(space.patch, STUDENTS[16])
    student: OneStepDenoiser = OneStepDenoiser(space.channels, options.width or width, options.blocks or blocks, gains=space.gains)
    return student


def fresh_decoder(space: LatentSpace, sampler: CropSampler, options: DistillOptions) -> LightDecoder:
    """A light decoder that is its linear path, fitted to crops. Raises FamilyError for patches that it does not have."""
    if space.own is not None:
        raise FamilyError("the project's own decoder is a light one already; --decoder is for other autoencoders")
    try:
        light: LightDecoder = LightDecoder(space.channels, space.patch, gains=space.gains)
    except ValueError as error:
        raise FamilyError(str(error)) from error
    light.decoder.linear.basis.copy_(fit_basis(space, sampler.batch(FITTED_CROPS)))
    return light


def _stored(run: Path | None, name: str, kind: type[Any]) -> Any:
    """The model of an earlier run, or None."""
    if run is None or not (run / name / "config.json").exists():
        return None
    return kind.from_pretrained(run / name, use_safetensors=True, low_cpu_mem_usage=False)


def distill_parser() -> argparse.ArgumentParser:
    """The options of `sdz distill`."""
    command = parser(
        "distill",
        "Distill a one-step denoiser, or with --decoder a light decoder, for an autoencoder's latents. A run that was interrupted goes on "
        "where its directory stands.",
    )
    model = "folder or hub id of the autoencoder, in diffusers layout (default: the project's own)"
    command.add_argument("--pack-from", default=str(TINY_WEIGHTS), metavar="MODEL", help=model)
    command.add_argument("--subfolder", metavar="NAME", help="where below MODEL the autoencoder is, such as vae")
    command.add_argument("--revision", metavar="NAME", help="branch, tag or commit of a model of the hub")
    command.add_argument("--variant", metavar="NAME", help="variant of its weights, such as fp16")
    command.add_argument("--local-files-only", action="store_true", help="never ask the hub")
    command.add_argument("--decoder", action="store_true", help="distill a light decoder instead of a denoiser")
    command.add_argument("--teacher", metavar="MODEL", help="diffusion model whose unet/ takes DDIM steps that the denoiser learns as well")
    add_options(command, DistillOptions())
    return command


def main(arguments: list[str]) -> int:
    """`sdz distill`; 0 done, 1 no usable data, autoencoder or teacher."""
    command = distill_parser()
    given = command.parse_args(arguments)
    if given.decoder and given.teacher is not None:
        command.error("--teacher is for the denoiser, not for --decoder")
    options = chosen(given, DistillOptions())
    try:
        (_distill_decoder if given.decoder else _distill_denoiser)(given, options)
    except (TrainingDataError, FamilyError, UnetError) as error:
        return failed("distill", error)
    return 0


def _own_part(source: str) -> str:
    """The project's own models lie in a folder `autoencoder` beside the denoiser."""
    own = Path(source) / "autoencoder"
    return str(own) if own.is_dir() else source


def _open(given: argparse.Namespace) -> LatentSpace:
    # a denoiser and a decoder of one pack must agree on what a grey level is: what a run's directory holds already decides
    found = (
        _stored(run, *part) for run in (given.out, given.weights) for part in (("denoiser", OneStepDenoiser), ("decoder", LightDecoder))
    )
    gains = next((model.config.gains for model in found if model is not None), None)
    family = load_family(_own_part(given.pack_from), given.subfolder, given.revision, given.variant, given.local_files_only)
    return open_space(family, gate_photos(), gains).to(given.device)


def _distill_decoder(given: argparse.Namespace, options: DistillOptions) -> None:
    sampler = CropSampler(load_photos(given.data, options.crop), options.crop, options.seed)
    light: LightDecoder | None = _stored(given.out, "decoder", LightDecoder) or _stored(given.weights, "decoder", LightDecoder)
    space = _open(given)
    DecoderDistiller(light or fresh_decoder(space, sampler, options), space, sampler, given.out, options).run()


def _distill_denoiser(given: argparse.Namespace, options: DistillOptions) -> None:
    photos, held_out = split(load_photos(given.data, options.crop))
    sampler = CropSampler(photos, options.crop, options.seed)
    denoiser: OneStepDenoiser | None = _stored(given.out, "denoiser", OneStepDenoiser) or _stored(
        given.weights, "denoiser", OneStepDenoiser
    )
    space = _open(given)
    if denoiser is None and space.own is not None:
        denoiser = _stored(Path(given.pack_from), "denoiser", OneStepDenoiser)
    teacher = None if given.teacher is None else Teacher(load_clean_up(given.teacher, local_files_only=given.local_files_only), space)
    run = Distiller(denoiser or fresh_denoiser(space, options), space, sampler, given.out, options, teacher)
    run.run()
    through = run.judged > 0
    set_bound(given.out, space, held_out, through_decoder=through, natural=through and options.perceptual > 0)


def split(photos: list[NDArray[np.uint8]]) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Photos to train on, and the last ones, held out; a single photo is both."""
    kept = min(HELD_OUT, len(photos) // 4) or min(1, len(photos) - 1)
    return (photos[:-kept], photos[-kept:]) if kept else (photos, photos)


def set_bound(run: Path, space: LatentSpace, photos: list[NDArray[np.uint8]], *, through_decoder: bool, natural: bool) -> None:
    """Measure the run's denoiser on photos and write from which precision code on it does good into its configuration and `skip.json`.

    One that was taught to look `natural` adds to the squared error on purpose: it runs at all precisions that it was trained for.
    """
    denoiser = _stored(run, "denoiser", OneStepDenoiser).to(space.centre.device)
    rows = measure(denoiser, space, photos, through_decoder=through_decoder)
    bound = FINEST_TRAINED if natural else least_code(rows)
    denoiser.register_to_config(min_step_index=bound)
    denoiser.save_config(run / "denoiser")
    (run / "skip.json").write_text(json.dumps({"min_step_index": bound, "errors": rows}, indent=1) + "\n")
    print(table(rows, bound))
