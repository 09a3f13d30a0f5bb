"""What a user may ask of a pack made from another autoencoder: one home for the words of the command line, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from ...runtime.pack import PLANES

Precision = Literal["auto", "int8", "fp16", "fp32"]
PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)
"""Of the decoder's graph that everyone runs; "auto": int8 where that costs little, else weights in fp16, computed in fp32."""

Steps = Literal["linear", "posterior"]
STEPS: Final[tuple[Steps, ...]] = get_args(Steps)
"""What fixes each channel's step: what the best linear decoder makes of it, or how precisely the family's own posterior knows it."""


@dataclass(frozen=True)
class ModelOptions:
    """What names the model, see `export.families.load_family`, and how its pack is built, see `export.packs.foreign.build`.

    `denoiser`: a run directory of `sdz distill`; `decoder_from` may be one too, of `sdz distill --decoder`.
    """

    source: str
    subfolder: str | None = None
    revision: str | None = None
    variant: str | None = None
    local_files_only: bool = False
    decoder_from: str | None = None
    decoder_subfolder: str | None = None
    precision: Precision = "auto"
    quantizer: str = PLANES
    steps: Steps = "linear"
    denoiser: str | None = None
