"""onnxruntime sessions of a pack: integers on a grid -> denoised integers and pixels; pixels -> latents.

On the provider "cpu" the reference graphs run, whose results are the format's, bit for bit, with any number of threads. Every other
provider runs the fp32 graphs, the same integers in floating point: the reference to the bit where the device and its optimizer keep exact
sums exact, which no provider but "cpu" promises. An approximate pack (`Pack.exact` false) is not bit-exact anywhere.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .engines.installed import REFERENCE, has_onnxruntime
from .errors import CorruptPackError, EncodeInputError, MissingRuntimeError, ProviderError
from .format.coder import exact_core
from .format.reconstruction import Latents
from .limits import FULL_STRENGTH
from .pack import REFINE, Pack

PROVIDERS: Final = {
    "cpu": "CPUExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "directml": "DmlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
}
"""Short names of onnxruntime's execution providers that can run the graphs."""

DEVIATION: Final = "deviation"
"""The encoder's second output, where it has one."""

QUIET: Final = 3
"""onnxruntime's log severity from which it writes to stderr: errors only, which are raised as well."""


def providers() -> dict[str, bool]:
    """Every name that `Session` knows, and whether an installed onnxruntime has that provider."""
    if not has_onnxruntime():
        return dict.fromkeys(PROVIDERS, False)
    # loaded when it is needed: it takes a tenth of a second
    import onnxruntime

    present = onnxruntime.get_available_providers()
    return {name: provider in present for name, provider in PROVIDERS.items()}


class Session:
    """The networks of `pack`, each loaded when first used.

    `provider`: a usable one of `providers()`; `threads`: CPU threads per network. Raises MissingRuntimeError where onnxruntime is not
    installed, ProviderError for anything else, and later
    where a provider other than the reference does not start or fails at its work: none is replaced silently.
    """

    def __init__(self, pack: Pack, provider: str = REFERENCE, threads: int = 1) -> None:
        if not has_onnxruntime():
            raise MissingRuntimeError("encoding")
        usable = [name for name, present in providers().items() if present]
        if provider not in usable:
            raise ProviderError(f"execution provider '{provider}' is not part of the installed onnxruntime: choose {' or '.join(usable)}")
        if threads < 1:
            raise ProviderError(f"{threads} threads: give at least 1")
        self.pack = pack
        self.provider = provider
        self.threads = threads

    def denoise(self, latents: Latents, strength: int = FULL_STRENGTH) -> NDArray[np.int32]:
        """Values moved inside their intervals, int32 (C, h, w) in GRID units, from arrays of the same shape, guarded.

        `strength`, 0 to FULL_STRENGTH, is how much of each move is made, in sixteenths, rounded half up.
        """
        feeds = {
            "latents": latents.values,
            "levels": latents.levels,
            "precision": latents.precision,
            "half_width": latents.half_width,
        }
        (denoised,) = self._run(self._denoiser, {name: self._map(name, value) for name, value in feeds.items()})
        self._check("denoiser", denoised, (1, *latents.values.shape))
        ends: NDArray[np.float32] = denoised[0]
        if strength == FULL_STRENGTH and ends.min() >= -(2.0**31) and ends.max() < 2.0**31:
            moved = ends.astype(np.int32)
        else:
            moves = np.clip(ends.astype(np.float64), -(2.0**31), 2.0**31 - 1).astype(np.int64) - latents.values
            moved = (latents.values + ((moves * strength + FULL_STRENGTH // 2) >> 4)).astype(np.int32)
        with exact_core() as core:
            return core.guard(moved, self.pack.l1_limit)

    def decode(self, values: NDArray[np.int32], precision: NDArray[np.int32]) -> NDArray[np.uint8]:
        """Pixels uint8 (p h, p w, 4), alpha 255, p the patch, from values in GRID units and precision codes, both (C, h, w)."""
        feeds = {"latents": self._map("values", values), "precision": self._map("precision", precision)}
        pixels: NDArray[np.uint8] = self._run(self._decoder, feeds)[0]
        height, width = (self.pack.patch * side for side in values.shape[1:])
        return self._check("decoder", pixels, (height, width, 4), np.uint8)

    def refine(
        self, latents: Latents, rgb: NDArray[np.uint8], realism: float, shares: Sequence[float], *, moves: bool = True
    ) -> tuple[float, NDArray[np.float32] | None]:
        """How unlike the decoded latents are `rgb` uint8 (p h, p w, 3), the sum by `shares` of the logarithms of squared error,
        1 - MS-SSIM, SSIMULACRA2's distance and the texture's error, and, where `moves` are wanted, the step that would lessen it most,
        float32 (C, h, w), grey levels. `realism` 0 to 1.

        Raises EncodeInputError for a pack without that graph.
        """
        if self.pack.refine is None:
            raise EncodeInputError(f"pack {self.pack.name} has no graph '{REFINE}': encode with effort 0")
        feeds: dict[str, NDArray[Any]] = {
            "latents": self._map("latents", latents.values),
            "levels": self._map("levels", latents.levels),
            "precision": self._map("precision", latents.precision),
            "half_width": self._map("half_width", latents.half_width),
            "pixels": rgb[None],
            "realism": np.array(realism, np.float32),
            "shares": np.array(shares, np.float32),
            "differentiated": np.array(moves),
        }
        likeness, found = self._run(self._refiner, feeds, ["likeness", "moves"])
        return float(likeness[0]), found[0] if moves else None

    def encode(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Latents float32 (C, H/p, W/p) in grey levels from pixels uint8 (H, W, 3), p the pack's patch.

        Raises EncodeInputError unless H and W are positive multiples of p.
        """
        latents: NDArray[np.float32] = self._run(self._encoder, self._pixels(rgb), ["latents"])[0]
        found: NDArray[np.float32] = self._check("encoder", latents, self._latents_of(rgb))[0]
        return found

    def encode_with_deviation(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """What `encode` gives, and how far from it each latent might as well lie: the posterior's standard deviation, of the same shape
        and unit; None where the encoder has no posterior."""
        feeds = self._pixels(rgb)
        if DEVIATION not in [output.name for output in self._encoder.get_outputs()]:
            return self.encode(rgb), None
        latents, deviation = self._run(self._encoder, feeds, ["latents", DEVIATION])
        both = (self._check("encoder", array, self._latents_of(rgb))[0] for array in (latents, deviation))
        return next(both), next(both)

    def _latents_of(self, rgb: NDArray[np.uint8]) -> tuple[int, ...]:
        return (1, self.pack.channels, rgb.shape[0] // self.pack.patch, rgb.shape[1] // self.pack.patch)

    def _check(self, name: str, array: Any, shape: tuple[int, ...], kind: type[np.generic] | None = None) -> NDArray[Any]:
        """What a graph gave, if it is what a graph of that name gives: of the shape, of numbers that are finite."""
        file = self.pack.graphs[name].file
        if array.shape != shape or (kind is not None and array.dtype != kind):
            raise CorruptPackError(f"{self.pack.directory / file}: gives {array.dtype} {array.shape} in place of {shape}; rebuild the pack")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise CorruptPackError(f"{self.pack.directory / file}: gives numbers that are not finite; rebuild the pack")
        return array  # type: ignore[no-any-return]

    def _pixels(self, rgb: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        patch = self.pack.patch
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size or rgb.shape[0] % patch or rgb.shape[1] % patch:
            raise EncodeInputError(f"the encoder takes uint8 (H, W, 3) with H and W multiples of {patch}, not {rgb.dtype} {rgb.shape}")
        return {"pixels": rgb[None]}

    @functools.cached_property
    def _encoder(self) -> Any:
        return self._load("encoder")

    @functools.cached_property
    def _refiner(self) -> Any:
        return self._load(REFINE)

    @functools.cached_property
    def _denoiser(self) -> Any:
        return self._load("denoiser" if self.provider == REFERENCE else "denoiser-fp32")

    @functools.cached_property
    def _decoder(self) -> Any:
        return self._load("decoder" if self.provider == REFERENCE else "decoder-fp32")

    def _map(self, name: str, array: NDArray[np.int32]) -> NDArray[np.float32]:
        if array.ndim != 3 or array.shape[0] != self.pack.channels or not array.size:
            raise ValueError(f"'{name}' is {array.shape}, the networks of pack {self.pack.name} take ({self.pack.channels}, h, w)")
        return array.astype(np.float32)[None]

    def _load(self, name: str) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.use_deterministic_compute = True
        # the plan that it keeps for each size of picture is one block for all that a graph makes: 822 MB instead of 528 for REFINE
        options.enable_mem_pattern = name != REFINE
        options.log_severity_level = QUIET
        # a decoder is idle most of the time: waiting threads must not burn the server's cores
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        chosen = [PROVIDERS[self.provider]]
        if self.provider != REFERENCE and self.pack.exact:
            # an optimizer would fold scales into the fp32 graphs' weights, and integers would be integers no more
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        if self.provider != REFERENCE:
            chosen.append(PROVIDERS[REFERENCE])
        data = self.pack.graph_bytes(name)
        try:
            session = onnxruntime.InferenceSession(data, options, providers=chosen)
        except Exception as error:
            # onnxruntime raises classes of its own that derive from Exception only
            if self.provider != REFERENCE:
                raise ProviderError(f"execution provider '{self.provider}' cannot be started: {error}; use {REFERENCE}") from error
            path = self.pack.directory / self.pack.graph_file(name).file
            raise CorruptPackError(f"{path}: onnxruntime {onnxruntime.__version__} cannot load it: {error}; update onnxruntime") from error
        # without its libraries or its device a provider is left out, with no more than a warning
        if chosen[0] not in session.get_providers():
            raise ProviderError(
                f"execution provider '{self.provider}' did not start: its libraries or its device are missing; use {REFERENCE}"
            )
        return session

    def _run(self, session: Any, feeds: dict[str, NDArray[Any]], outputs: list[str] | None = None) -> Any:
        """The outputs named, or all of them."""
        try:
            return session.run(outputs, feeds)
        except Exception as error:
            if self.provider == REFERENCE:
                # the shapes are what every graph takes: it contradicts itself, or asks for more memory than there is
                raise CorruptPackError(f"{self.pack.directory}: a network of the pack failed: {error}; rebuild the pack") from error
            raise ProviderError(f"execution provider '{self.provider}' failed: {error}; use {REFERENCE}") from error
