"""What a caller may ask for, by name: the stages of decoding and the encoder's tunings, with their defaults.

One home for both command lines, the viewer and the Python functions; the browser element uses the same words. Importing this loads nothing.
"""

from __future__ import annotations

from typing import Final, Literal

Stage = Literal["linear", "decoded", "denoised"]
STAGES: Final[tuple[Stage, ...]] = ("linear", "decoded", "denoised")
"""How far decoding goes: the linear stage, which runs no network; the decoder network; the denoiser before the decoder network."""

DEFAULT_STAGE: Final[Stage] = "denoised"

Engine = Literal["onnxruntime", "core"]
ENGINES: Final[tuple[Engine, ...]] = ("onnxruntime", "core")
"""What runs a decoder's networks: onnxruntime, or the exact core, which every installation has. The pixels are the same."""

Tune = Literal["natural", "faithful"]
TUNES: Final[tuple[Tune, ...]] = ("natural", "faithful")
"""What the encoder spends bytes on: texture, or a small error (`quantize.TUNINGS` has their numbers)."""

TuneChoice = Literal["auto", "natural", "faithful"]
TUNE_CHOICES: Final[tuple[TuneChoice, ...]] = ("auto", *TUNES)
"""What may be asked for: a tuning, or that of the two which suits the photo (`refining.specks`)."""

DEFAULT_TUNE: Final[TuneChoice] = "auto"

MAX_EFFORT: Final = 9
DEFAULT_EFFORT: Final = 1
"""Encoder effort, 0 to MAX_EFFORT (`refining`), of packs that have the graph for it: 0 takes the encoder's latents as they are, 1 adds
1.3 seconds for 512 x 512 pixels, 9 some 45."""

DEFAULT_EFFORT_PIXELS: Final = 1 << 20
"""Larger pictures have effort 0 by default: 1 takes 5 to 8 seconds a megapixel, and over half a gigabyte."""

ENCODER: Final = 1
"""Raised when `encode` would write other bytes of the same photo, options and pack, whose graph for effort counts by itself
(`Pack.encoder`): whoever keeps files or figures keeps that beside them."""

HEAD_BYTES: Final = 60
"""Bytes of a picture that stand in a page itself: a blur in colours."""

DEFAULT_QUALITY: Final = 32.0
"""0.1 to 0.2 bits per pixel on most photos, where seven of the demo's eight are smaller than AVIF by ST-LPIPS and SSIMULACRA2. At 40, three
quarters more bytes, AVIF takes over."""

Subject = Literal["text", "faces"]
SUBJECTS: Final[tuple[Subject, ...]] = ("text", "faces")
"""What can be looked for in a photo and protected (`regions.detectors`)."""

MAX_OCTAVES: Final = 4
"""A region's step is at most sixteen times as fine, or as coarse, as the rest's."""

DEFAULT_OCTAVES: Final = 1
"""How much finer what is protected is sent, where nothing else is said: most lettering that could not be read then can (docs/python.md)."""
