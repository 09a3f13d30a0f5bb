"""This codec's own part of the bench: its points beside the peers', its coder on the same integers, its denoiser at cuts of one file.

Takes pixels and a pack, returns figures under the pack's id: another pack changes nothing else of the bench.
"""

from __future__ import annotations

import io
import json
import zlib
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pillow_jxl  # noqa: F401 (registers JPEG XL with Pillow)
from numpy.typing import NDArray
from PIL import Image

from ...runtime.decode import decode
from ...runtime.encode import encode
from ...runtime.format.planes import encode_planes
from ...runtime.options import Stage, Tune
from ...runtime.pack import Pack
from ...runtime.quantize import TYPICAL_ROUNDING, dead_zone
from ...runtime.refining.encoder import encode_latents
from ...runtime.refining.specks import speck_share
from ...runtime.session import Session
from ..metrics import frechet, perceptual, similarity
from ..metrics.kept import Kept
from ..site.assets import digest
from .peers import NEAR_ENOUGH, NETWORKS_RATE, Pixels, Plan, artefacts, equal_file, figures

RECIPE = 12
"""Raised when this module or `measure` would give other figures of the same photo, pack and encoder."""

NATURAL, FAITHFUL = "sdz", "sdz, faithful"
"""The two ends of the format's range: encoded with the tuning `natural` and denoised, as everybody sees it; encoded with the tuning
`faithful` and decoded without what the denoiser imagines."""

POINTS = (NATURAL, FAITHFUL)

TUNES: dict[str, Tune] = {NATURAL: "natural", FAITHFUL: "faithful"}
STAGES: dict[str, Stage] = {NATURAL: "denoised", FAITHFUL: "decoded"}

CODER_STEPS = (40, 48, 56)
"""Step indices at which the coder is compared on the same integers."""

CUTS = (0.125, 0.25, 0.5)
"""Shares of a 0.3 bpp file at which the denoiser is judged."""

CUT_RATE = 0.3

CUT_FIGURES = ("psnr", "ms_ssim", "st_lpips")


def shown(data: bytes, session: Session, point: str) -> Pixels:
    """The picture (H, W, 3) of a file at one of `POINTS`."""
    pixels = decode(data, stage=STAGES[point], session=session).pixels
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


@dataclass(frozen=True)
class SdzCodec:
    """This codec, at one of `POINTS`, in the place of a peer's setting."""

    session: Session
    qualities: tuple[int, ...]
    codec: str
    name: str = ""

    def encode(self, image: Image.Image, quality: int) -> bytes:
        """The whole file of that quality: never a cut, which is worse than a file of the right step."""
        return encode(image, quality=quality, tune=TUNES[self.codec], session=self.session)


def recipe(pack: Pack, plan: Plan) -> str:
    """Changes with everything but the photo and the pack's id that decides about the figures."""
    parts = [RECIPE, pack.encoder, plan.qualities, plan.equal_rates, plan.visible_rate, NEAR_ENOUGH, NETWORKS_RATE, CODER_STEPS]
    parts += [CUTS, CUT_RATE, similarity.JUDGED_PIXELS, perceptual.available(), frechet.SQUARE, frechet.PATCH, frechet.STRIDE]
    return digest(json.dumps(parts).encode())[:16]


def kept_name(pack: Pack, plan: Plan) -> str:
    """The name under which a pack's figures of a photo are kept."""
    return f"{plan.name}-{pack.id.hex()}"


def measure_photo(reference: Pixels, kept: Kept, session: Session, plan: Plan) -> dict[str, Any]:
    """All own figures of one photo, taken from `kept` or measured and kept.

    `points` and `equal` as the peers' (features named POINT-RATE), `coder` bytes by step and coder,
    `denoiser` figures by cut and point where the plan has them.
    """
    pack, name = session.pack, kept_name(session.pack, plan)
    known = kept.figures(name, recipe(pack, plan))
    if known is not None:
        return known
    image = Image.fromarray(reference)
    owns = [SdzCodec(session, plan.qualities, point) for point in POINTS]
    points = [p for own in owns for p in measure_points(image, reference, own, plan)]
    features: dict[str, frechet.Features] = {}
    files: dict[str, bytes] = {}
    equal: dict[str, Any] = {}
    for rate, own in product(plan.equal_rates, owns):
        found = equal_file([own], rate, reference, [p for p in points if p["codec"] == own.codec])
        if found is None:
            continue
        file = f"{name}-{TUNES[own.codec]}-{rate}.sdz"
        files[file] = found.data
        picture = shown(found.data, session, own.codec)
        features[f"{own.codec}-{rate}"] = frechet.patch_features(picture)
        entry = {"quality": found.quality, "bytes": len(found.data), "file": file} | artefacts(picture, reference)
        equal.setdefault(str(rate), {})[own.codec] = entry
    measured: dict[str, Any] = {"points": points, "equal": equal}
    if plan.tables:
        measured |= {"coder": _coder(reference, pack, session), "denoiser": _denoiser(image, reference, session)}
    kept.keep(name, recipe(pack, plan), measured, features, files)
    return measured


def measure_points(image: Image.Image, reference: Pixels, own: SdzCodec, plan: Plan) -> list[dict[str, Any]]:
    """A point per quality, as `peers.measure_points`; natural ones with their `specks`, by which `auto` chooses."""
    points = []
    for quality in own.qualities:
        data = own.encode(image, quality)
        names = {"codec": own.codec, "setting": "", "quality": quality}
        picture = shown(data, own.session, own.codec)
        specks = {"specks": speck_share(reference, picture)} if own.codec == NATURAL else {}
        points.append(names | figures(picture, reference, len(data), plan.visible_rate) | specks)
    return points


def _both(data: bytes, reference: Pixels, session: Session, visible_rate: float) -> dict[str, dict[str, float]]:
    """Figures of one file with and without the denoiser, measured once where it does not apply."""
    natural, faithful = (shown(data, session, point) for point in POINTS)
    first = figures(natural, reference, len(data), visible_rate)
    second = first if np.array_equal(natural, faithful) else figures(faithful, reference, len(data), visible_rate)
    return {NATURAL: first, FAITHFUL: second}


def _coder(rgb: Pixels, pack: Pack, session: Session) -> dict[str, dict[str, int]]:
    """Bytes of the same integers by this coder, by JPEG XL lossless (effort 9, the better of two layouts) and by deflate."""
    latents = encode_latents(rgb, session)
    out = {}
    for index in CODER_STEPS:
        integers = dead_zone(latents, index, TYPICAL_ROUNDING)
        out[str(index)] = {
            "sdz": len(encode_planes(integers, index, pack.coder)),
            "jxl": min(len(lossless(layout, "JXL", lossless=True, effort=9)) for layout in layouts(integers)),
            "deflate": len(zlib.compress(narrow(integers).tobytes(), 9)),
        }
    return out


def layouts(integers: NDArray[np.int32]) -> list[NDArray[np.int32]]:
    """The latents (C, h, w) as one grey picture: channels stacked, and as a mosaic of channels (interleaving was never better)."""
    channels, h, w = integers.shape
    across = 2 ** (channels.bit_length() // 2)
    while channels % across:
        across -= 1
    grid = integers.reshape(channels // across, across, h, w)
    mosaic = grid.transpose(0, 2, 1, 3).reshape(-1, across * w)
    return [integers.reshape(channels * h, w), mosaic]


def narrow(integers: NDArray[np.int32]) -> NDArray[np.int8] | NDArray[np.int16]:
    """The integers in the fewest bytes each that hold them."""
    return integers.astype(np.int8) if np.abs(integers).max(initial=0) < 128 else integers.astype(np.int16)


def lossless(layout: NDArray[np.int32], form: str, **options: Any) -> bytes:
    """A grey picture (H, W) of whole numbers, in the fewest bits that hold them, as a file of one of Pillow's lossless formats."""
    shifted = layout - layout.min()
    target = io.BytesIO()
    Image.fromarray(shifted.astype(np.uint8 if shifted.max() < 256 else np.uint16)).save(target, form, **options)
    return target.getvalue()


def _denoiser(image: Image.Image, reference: Pixels, session: Session) -> dict[str, dict[str, dict[str, float]]]:
    """Figures of one file's prefixes at both operating points."""
    data = encode(image, bpp=CUT_RATE, tune=TUNES[NATURAL], session=session)
    out = {}
    for share in CUTS:
        prefix = data[: round(share * len(data))]
        out[str(share)] = _both(prefix, reference, session, np.inf)
    return out
