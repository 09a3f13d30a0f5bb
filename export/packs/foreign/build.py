"""Another autoencoder and calibration photos -> a pack directory, behind the parity gate.

The gate: the fp32 graphs must compute what the torch modules compute; int8 is the reference only where it costs little; what tiles cost is
measured and stated. A pack that fails is not written.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from ....runtime.format.tiles import Tiling
from ....runtime.pack import PLANES, Pack
from ...families import Family, FamilyError
from ...families.family import mixes_everything
from ...models.autoencoder import GRID
from ..cost import PROBE, macs_per_pixel, receptive_field
from ..manifest import Draft, GraphFile, write_pack
from ..options import Precision, Steps
from ..parity import ParityError, Runner, graph_runner
from . import expected
from .calibrate import L1_LIMIT, Calibration, calibrate
from .coding import Coding, coding_of, gains_for
from .distilled import Distilled, check_distilled
from .traced import Feeds, decoder_model, encoder_model, half_weights, int8_model

WHOLE_PIXELS: Final = 512 * 512
OVERLAP_PIXELS: Final = 64
"""Decoders with global operations: what goes through in one piece (Stable Diffusion's takes 2 GB for it), and how tiles overlap."""

TILED_SIDE: Final = 256
"""Side of the tiles, in pixels, with which their error is measured: at half a pack's own, and so no less."""

CALIBRATION_CROPS: Final = 6
"""Crops that fix the int8 ranges."""

GATE_CROPS: Final = 2
INT8_LOSS: Final = 0.5
INT8_DIFFERENCE: Final = 3.0
"""dB of PSNR against the photos that the int8 decoder may lose to fp32, and mean levels by which it may differ from it."""

TOLERANCES: Final = {
    # fp32 sums in another order; a level that lies on the edge between two moves by one
    "decoder fp32: mean error against torch (pixel levels)": 0.02,
    "decoder fp32: largest error against torch (pixel levels)": 2.0,
    "encoder: mean error against torch (share of the latents' spread)": 0.01,
}
"""Largest acceptable value of each of the gate's figures."""


@dataclass(frozen=True)
class ForeignPack:
    """What was built: the pack, the gate's and other figures by name, and the warning where it is too heavy for a browser."""

    pack: Pack
    figures: dict[str, float]
    warning: str | None


def build_foreign_pack(
    family: Family,
    photos: list[NDArray[np.uint8]],
    out: Path,
    *,
    precision: Precision = "auto",
    name: str | None = None,
    quantizer: str = PLANES,
    steps: Steps = "linear",
    distilled: Distilled | None = None,
) -> ForeignPack:
    """Write the pack directory `out`, replacing a pack that is there, calibrated with the photos, uint8 (H, W, 3) each.

    `quantizer`: how the pack's files carry latents, PLANES or PALETTE. `steps`: what fixes each channel's step. `distilled`: a denoiser
    that the pack shall have, a light decoder in place of the family's own; both fix the steps themselves.

    Raises FamilyError for an encoder without usable latents, or steps other than those of `distilled`; ParityError for graphs that do not
    compute what the networks compute; QuantizationError for weights of `distilled` that fit no integer grid.
    """
    distilled = distilled or Distilled()
    _refuse_contradictions(family, quantizer, steps, distilled)
    gains = gains_for(family) if distilled.gains is None else distilled.gains
    measured = calibrate(family, photos, gains=gains, steps=steps)
    coding = coding_of(family, measured)
    encoder = half_weights(encoder_model(family, measured.gains))
    feeds = [coding.coded(measured.latents[i], i) for i in range(CALIBRATION_CROPS)]
    patch, side = family.patch, PROBE * family.patch
    encoder_macs = macs_per_pixel(family.encoder, torch.zeros(1, 3, side, side), side**2)
    graphs = {"encoder": GraphFile("encoder.onnx", encoder.SerializeToString(), encoder_macs)}
    tiling, encoder_tiling = None, None
    if distilled.table is None:
        decoder = decoder_model(family, measured.gains)
        figures = _gate(family, measured, encoder, decoder, feeds)
        precision, reference = _reference(family, decoder, feeds, measured, precision, figures)
        macs = macs_per_pixel(family.decoder, torch.zeros(1, family.channels, PROBE, PROBE), side**2)
        reach = receptive_field(family.decoder, family.channels)
        graphs["decoder"] = GraphFile(f"decoder.{precision}.onnx", reference.SerializeToString(), macs, reach or 0)
        graphs["decoder-fp32"] = GraphFile("decoder.fp32.onnx", decoder.SerializeToString(), macs, reach or 0)
        if reach is None:
            figures |= tile_error(family, reference, measured, coding, photos)
            tiling = Tiling(WHOLE_PIXELS // patch**2, OVERLAP_PIXELS // patch)
        table, shift, limits = measured.table, measured.shift, [measured.l1_limit]
    else:
        figures = _gate(family, measured, encoder, None, feeds)
        precision, table, shift, limits = "int8", distilled.table.weight.T, distilled.table.shift, []
    if tiling is None and mixes_everything(family.encoder):
        encoder_tiling = Tiling(WHOLE_PIXELS // patch**2, OVERLAP_PIXELS // patch)
    students = distilled.graphs(patch)
    figures |= check_distilled(distilled, measured.latents[:GATE_CROPS], {key: graph.data for key, graph in students.items()})
    graphs |= students
    draft = Draft(
        name=name or pack_name(family.source),
        channels=family.channels,
        patch=patch,
        l1_limit=min(*limits, *distilled.l1_limits, L1_LIMIT),
        linear=table,
        linear_shift=shift,
        coder=coding.table(),
        graphs=graphs,
        denoiser_min_step_index=None if distilled.denoiser is None else distilled.denoiser.config["min_step_index"],
        exact=distilled.decoder is not None,
        quantizer=coding.quantizer if quantizer == PLANES else quantizer,
        tiling=tiling,
        encoder_tiling=encoder_tiling,
        about={
            "family": {
                "kind": family.kind,
                "source": public_name(family.source),
                "gains": [round(float(gain), 6) for gain in measured.gains],
                "centre": [round(float(value), 6) for value in family.centre.flatten()],
            },
            "expected_seconds": vars(expected.expected(graphs["decoder"].macs, precision)),
            "measured": {key: round(value, 4) for key, value in figures.items()},
        },
    )
    pack = write_pack(out, draft)
    figures["decoder: seconds for 512x512 pixels here, one thread"] = expected.measured_python(pack)
    return ForeignPack(pack, figures, expected.warning(pack))


def _refuse_contradictions(family: Family, quantizer: str, steps: Steps, distilled: Distilled) -> None:
    if distilled.gains is not None and steps != "linear":
        raise FamilyError("what was distilled has the steps that it was distilled for; leave --steps out")
    if distilled.denoiser is not None and quantizer != PLANES:
        raise FamilyError("a denoiser asks for the intervals of bit-planes; leave --denoiser or --quantizer out")
    if family.codebook is not None:
        if (quantizer, steps) != (PLANES, "linear"):
            raise FamilyError(f"{family.source}: its files carry entries of its codebook; neither a palette nor steps are for them")
        if distilled.gains is not None:
            raise FamilyError(f"{family.source}: its files carry entries of its codebook; leave --denoiser and a light decoder out")


def public_name(source: str) -> str:
    """A model's source as a manifest may tell it: a hub id as it is, of a folder its last part."""
    return re.sub(r"(?<![\w.-])[./~][^ ]*/", "", source)


def pack_name(source: str) -> str:
    """A name for the pack of a model: the last part of its source, in a pack's alphabet."""
    last = re.sub(r" \(.*", "", source.split(" with ")[0]).rstrip("/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("._-")[:100] or "pack"


def _runner(model: onnx.ModelProto) -> Runner:
    return graph_runner(model.SerializeToString(), plain=False, threads=0)


@torch.no_grad()
def _gate(
    family: Family, measured: Calibration, encoder: onnx.ModelProto, decoder: onnx.ModelProto | None, feeds: list[Feeds]
) -> dict[str, float]:
    encode, decode = _runner(encoder), None if decoder is None else _runner(decoder)
    found = {key: 0.0 for key in TOLERANCES if decoder is not None or key.startswith("encoder")}
    spread = float(measured.latents.std())
    units = torch.from_numpy(1.0 / (GRID * measured.gains))[None, :, None, None]
    for i in range(GATE_CROPS):
        errors = []
        if decode is not None:
            expected = family.decode(torch.from_numpy(feeds[i]["latents"]) * units).clamp(0, 255)[0].permute(1, 2, 0).numpy()
            error = np.abs(decode(feeds[i])[:, :, :3] - np.floor(expected + 0.5))
            errors = [error.mean(), error.max()]
        encoded = np.abs(encode({"pixels": measured.crops[i : i + 1]})[0] - measured.latents[i])
        for key, value in zip(found, (*errors, encoded.mean() / spread), strict=True):
            found[key] = float(np.fmax(found[key], value)) if np.isfinite(value) else math.nan
    for key, value in found.items():
        if not value <= TOLERANCES[key]:
            raise ParityError(f"{key} is {value:.4g}, tolerance {TOLERANCES[key]:.4g}: the pack was not written")
    return found


def _reference(
    family: Family, decoder: onnx.ModelProto, feeds: list[Feeds], measured: Calibration, precision: Precision, figures: dict[str, float]
) -> tuple[Precision, onnx.ModelProto]:
    """The graph that everyone runs, and its precision; what it loses goes to `figures`."""
    if precision == "fp32":
        return precision, decoder
    candidates: tuple[Precision, ...] = ("int8", "fp16") if precision == "auto" else (precision,)
    run = _runner(decoder)
    exact = [run(feed)[:, :, :3] for feed in feeds]
    for kind in candidates:
        model = half_weights(decoder) if kind == "fp16" else int8_model(decoder, feeds, whole=not family.has_global_operations)
        run = _runner(model)
        pixels = [run(feed)[:, :, :3] for feed in feeds]
        errors = [np.square(a.astype(np.float64) - crop).mean() for a, crop in zip(pixels, measured.crops, strict=False)]
        losses = [np.square(a.astype(np.float64) - crop).mean() for a, crop in zip(exact, measured.crops, strict=False)]
        loss = float(10 * np.log10(sum(errors) / sum(losses)))
        figures[f"decoder {kind}: PSNR loss against fp32 on the photos (dB)"] = loss
        difference = np.mean([np.abs(a.astype(np.float64) - b).mean() for a, b in zip(pixels, exact, strict=True)])
        figures[f"decoder {kind}: mean difference from fp32 (pixel levels)"] = float(difference)
        if kind == candidates[-1] or (loss <= INT8_LOSS and difference <= INT8_DIFFERENCE):
            return kind, model
    raise AssertionError("the last candidate is taken")


def tile_error(
    family: Family, decoder: onnx.ModelProto, measured: Calibration, coding: Coding, photos: list[NDArray[np.uint8]]
) -> dict[str, float]:
    """How far tiles of TILED_SIDE pixels are from one piece: mean error and PSNR, on a strip two tiles wide of the largest photo."""
    photo = max(photos, key=lambda pixels: pixels.shape[0] * pixels.shape[1])
    missing = [max(0, wanted - have) for wanted, have in zip((TILED_SIDE, 2 * TILED_SIDE), photo.shape[:2], strict=True)]
    strip = np.pad(photo, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")[:TILED_SIDE, : 2 * TILED_SIDE]
    with torch.inference_mode():
        latents = family.encode(torch.from_numpy(strip.copy()).permute(2, 0, 1).float()[None])[0].numpy() * measured.gains[:, None, None]
    feed = coding.coded(latents, 0)
    run, patch = _runner(decoder), family.patch
    whole = run(feed)[:, :, :3].astype(np.float64)
    tiling = Tiling((TILED_SIDE // patch) ** 2, OVERLAP_PIXELS // patch)
    rows, columns = tiling.spans(*latents.shape[1:])
    sums = np.zeros_like(whole)
    for row in rows:
        for column in columns:
            part = {name: a[:, :, row.start : row.stop, column.start : column.stop] for name, a in feed.items()}
            weights = np.multiply.outer(tiling.weights(row, patch), tiling.weights(column, patch))[:, :, None] / tiling.full(patch) ** 2
            place = slice(row.start * patch, row.stop * patch), slice(column.start * patch, column.stop * patch)
            sums[place] += weights * run(part)[:, :, :3]
    error = np.abs(sums - whole)
    return {
        f"tiles of {TILED_SIDE} pixels: mean error against one piece (pixel levels)": float(error.mean()),
        f"tiles of {TILED_SIDE} pixels: PSNR against one piece (dB)": float(10 * np.log10(255.0**2 / max(1e-9, np.square(error).mean()))),
    }
