"""What `sdz distill` made, on its way into a pack: a denoiser, a light decoder, or both, for one family's latents.

Their graphs are of the project's own kind: int8 is exact, and the fp32 graphs give its bytes. Takes run directories, returns graphs, the
linear stage and the limits that keep their sums exact.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from ....runtime.quantize import TYPICAL_ROUNDING
from ...families import Family, FamilyError
from ...families.source import CLASS, CONFIG
from ...models import LightDecoder, OneStepDenoiser
from ...models.autoencoder import GRID
from ...models.denoiser import DELTA_SCALE_EXPONENT, LEVEL_LIMIT
from ...models.layers import is_calibrated, set_quantization
from ...models.truncation import truncate
from ..cost import graph_cost
from ..graph import decoder_graph, decoder_table, denoiser_graph, serialize
from ..manifest import GraphFile
from ..parity import ParityError, graph_runner
from ..quantization import LinearTable, grid_weights

CODES: Final = (28, 40, 58)
"""Precision codes of the latents on which graphs and networks are compared."""

TOLERANCES: Final = {
    # as `export.packs.parity` has them for the project's own pack, and for the same reasons; deeper students meet more ties: 0.6 was seen
    "denoiser int8: mean error against torch (levels of delta)": 1.0,
    "denoiser int8: values that differ from fp32": 0.0,
    # the residual over a foreign autoencoder's linear stage is large, so its grid is of a level or more: 1.2 was seen
    "light decoder int8: mean error against torch (pixel levels)": 2.0,
    "light decoder int8: values that differ from fp32": 0.0,
}
"""Largest acceptable value of every figure."""


@dataclass(frozen=True)
class Distilled:
    """Networks in evaluation mode with fixed ranges, each perhaps absent; `gains` float32 (C,) is what they take for grey levels."""

    denoiser: OneStepDenoiser | None = None
    decoder: LightDecoder | None = None

    @property
    def gains(self) -> NDArray[np.float32] | None:
        found = next((model.config["gains"] for model in (self.denoiser, self.decoder) if model is not None), None)
        return None if found is None else np.array(found, np.float32)

    @property
    def table(self) -> LinearTable | None:
        """The light decoder's linear stage, which is the pack's."""
        return None if self.decoder is None else decoder_table(self.decoder)

    @property
    def l1_limits(self) -> list[int]:
        """Below which L1 norms per position, in grid units, all sums are exact."""
        limits = [] if self.table is None else [self.table.l1_limit]
        if self.denoiser is not None:
            limits.append(grid_weights(self.denoiser.stem, self.denoiser.config["channels"], "denoiser.stem").l1_limit)
        if self.decoder is not None:
            limits.append(grid_weights(self.decoder.decoder.stem, self.decoder.channels, "decoder.stem").l1_limit)
        return limits

    def graphs(self, patch: int) -> dict[str, GraphFile]:
        """By their names in a manifest. Raises QuantizationError for weights that fit no integer grid."""
        pairs: dict[str, tuple[onnx.ModelProto, onnx.ModelProto]] = {}
        if self.denoiser is not None:
            pairs["denoiser"] = denoiser_graph(self.denoiser, "int8"), denoiser_graph(self.denoiser, "fp32")
        if self.decoder is not None:
            pairs["decoder"] = decoder_graph(self.decoder, "int8"), decoder_graph(self.decoder, "fp32")
        out = {}
        for name, (int8, fp32) in pairs.items():
            cost = graph_cost(fp32, patch)
            out[name] = GraphFile(f"{name}.int8.onnx", serialize(int8), cost.macs, cost.halo)
            out[f"{name}-fp32"] = GraphFile(f"{name}.fp32.onnx", serialize(fp32), cost.macs, cost.halo)
        return out


def load_distilled(family: Family, denoiser: Path | None = None, decoder: Path | None = None) -> Distilled:
    """The networks in run directories, `denoiser/` and `decoder/` below them. Raises FamilyError for any that are not for this family."""
    student: OneStepDenoiser | None = None if denoiser is None else _load(denoiser, "denoiser", OneStepDenoiser, family)
    light: LightDecoder | None = None if decoder is None else _load(decoder, "decoder", LightDecoder, family)
    if student is not None and light is not None and list(student.config["gains"]) != list(light.config["gains"]):
        raise FamilyError(
            f"{denoiser} and {decoder}: distilled for different grey levels; distill both in one run directory, or one with --weights "
            "of the other"
        )
    if light is not None and light.patch != family.patch:
        raise FamilyError(f"{decoder}: a decoder for patches of {light.patch} pixels, {family.source} has patches of {family.patch}")
    return Distilled(student, light)


def is_light_decoder(source: str) -> bool:
    """Whether what `--decoder-from` names is a run that distilled a light decoder."""
    try:
        config = json.loads((Path(source) / "decoder" / CONFIG).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get(CLASS) == LightDecoder.__name__


def _load(run: Path, name: str, kind: type[Any], family: Family) -> Any:
    folder = run / name
    if not (folder / CONFIG).is_file():
        raise FamilyError(f"{run}: has no folder {name} with a {CONFIG}; name a run directory of `sdz distill`")
    try:
        model = kind.from_pretrained(folder, use_safetensors=True, low_cpu_mem_usage=False).eval()
    except (OSError, ValueError, RuntimeError) as error:
        raise FamilyError(f"{folder}: {(str(error).splitlines() or [''])[0]}") from error
    if model.config.channels != family.channels:
        raise FamilyError(f"{folder}: for {model.config.channels} channels, {family.source} has {family.channels}")
    if model.config.gains is None:
        raise FamilyError(f"{folder}: distilled for the project's own latents; distill with --pack-from")
    if not is_calibrated(model):
        raise FamilyError(f"{folder}: its training has not come to quantization; let it run to its end")
    return model


@torch.no_grad()
def check_distilled(distilled: Distilled, latents: NDArray[np.float32], graphs: dict[str, bytes]) -> dict[str, float]:
    """The figures named in TOLERANCES of the networks there are, the worst over `latents` float32 (N, C, h, w), grey levels, at CODES.

    `graphs`: "denoiser", "denoiser-fp32", "decoder", "decoder-fp32". Raises ParityError.
    """
    run = {name: graph_runner(data, plain=name.endswith("-fp32")) for name, data in graphs.items()}
    found: dict[str, float] = {}

    def note(name: str, value: float) -> None:
        found[name] = float(np.maximum(found.get(name, 0.0), value))

    for model in (distilled.denoiser, distilled.decoder):
        if model is not None:
            set_quantization(model, enabled=True)
    for one in torch.from_numpy(latents)[:, None]:
        for code in CODES:
            known = truncate(one, torch.tensor(float(code)), torch.tensor(0.0), torch.tensor(TYPICAL_ROUNDING))
            arrays = {
                "latents": known.values * GRID,
                "levels": known.levels.clamp(-LEVEL_LIMIT, LEVEL_LIMIT),
                "precision": known.precision,
                "half_width": known.half_width * GRID,
            }
            feeds = {name: np.rint(a.numpy()).astype(np.float32) for name, a in arrays.items()}
            if distilled.denoiser is not None:
                delta = distilled.denoiser.delta(known.values, known.levels, known.precision).numpy()
                expected = feeds["latents"] + np.floor(feeds["half_width"] * delta + 0.5)
                moved = run["denoiser"](feeds)
                level = feeds["half_width"] * 2.0**DELTA_SCALE_EXPONENT
                note("denoiser int8: mean error against torch (levels of delta)", float((np.abs(moved - expected) / level).mean()))
                note("denoiser int8: values that differ from fp32", float((moved != run["denoiser-fp32"](feeds)).sum()))
            if distilled.decoder is not None:
                inputs = {name: feeds[name] for name in ("latents", "precision")}
                expected = distilled.decoder.decode(known.values, known.precision).clamp(0, 255)[0].permute(1, 2, 0).numpy()
                pixels = run["decoder"](inputs)
                error = float(np.abs(pixels[:, :, :3] - expected).mean())
                note("light decoder int8: mean error against torch (pixel levels)", error)
                note("light decoder int8: values that differ from fp32", float((pixels != run["decoder-fp32"](inputs)).sum()))
    for model in (distilled.denoiser, distilled.decoder):
        if model is not None:
            set_quantization(model, enabled=False)
    for name, value in found.items():
        if not value <= TOLERANCES[name]:
            raise ParityError(f"{name} is {value:.4g}, tolerance {TOLERANCES[name]:.4g}: the pack was not written")
    return found
