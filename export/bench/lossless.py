"""`sdz lossless`: what a pack's latents cost, as integers of equal steps, by this coder and by general lossless ones.

Takes a pack and photos, prints Markdown: bytes per coder and step, each photo's integers being the same for all of them; and of a pack
whose encoder tells its posterior, what sending by the posterior's precision saves against equal weights.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ...runtime.decode import decode
from ...runtime.errors import SdzError
from ...runtime.format.container import LATENTS, Chunk, Header, serialize
from ...runtime.format.planes import encode_planes
from ...runtime.options import Tune
from ...runtime.pack import PALETTE, PLANES, Pack, default_pack, load_pack
from ...runtime.photo import read_photo
from ...runtime.quantize import TUNINGS, TYPICAL_ROUNDING, dead_zone, posterior_weights, rdo_quantize
from ...runtime.refining.encoder import encode_latents, encode_with_deviation
from ...runtime.session import Session
from ..commands import failed, parser
from ..markdown import table
from ..metrics import similarity
from ..metrics.curves import bd_rate, envelope, mean_curve
from ..metrics.pictures import psnr
from .peers import Pixels
from .photos import BenchInputError, find_photos
from .sdz_codec import layouts, lossless, narrow
from .summary import GRID, METRICS

STEPS = (24, 32, 40, 48)
"""Step indices at which coders are compared: 8 to 64 grey levels."""

CODERS = ("this coder", "JPEG XL", "PNG", "deflate")

POSTERIOR_STEPS = (24, 32, 40, 48, 56)
"""Step indices of the curves with and without the posterior."""

POSTERIOR_METRICS = ("psnr", "ms_ssim", "st_lpips")


@dataclass(frozen=True)
class Saving:
    """What the posterior saves at equal figures: per cent of bytes (negative: fewer), over the rates `low` to `high` (bits per pixel);
    None where the curves have too little in common."""

    tune: Tune
    metric: str
    percent: float | None
    low: float
    high: float


def main(arguments: list[str]) -> int:
    """`sdz lossless`; 0 done, 1 no photos or an unreadable one, or a pack without bit-planes, 2 wrong usage."""
    command = parser("lossless", "Compare lossless coders on a pack's integers, and print Markdown.")
    command.add_argument("pack", type=str, metavar="PACK", help='directory of a model pack, or "default"')
    command.add_argument("photos", type=Path, nargs="*", metavar="PHOTOS", help="photos, and folders of them (default: scikit-image's)")
    command.add_argument("--no-posterior", action="store_true", help="leave out what the posterior saves (some seconds a photo)")
    options = command.parse_args(arguments)
    try:
        pack = default_pack() if options.pack == "default" else load_pack(options.pack)
        if pack.quantizer not in (PLANES, PALETTE):
            raise BenchInputError(f"the files of pack {pack.name} carry {pack.quantizer}, not integers of a step")
        session = Session(replace(pack, quantizer=PLANES))
        photos = [read_photo(path).rgb for path in tqdm(find_photos(options.photos), desc="photos", disable=None)]
        print(coder_table(pack, len(photos), compare(photos, session)), end="")
        savings = [] if options.no_posterior else posterior_savings(photos, session)
        if savings:
            print("\n" + posterior_table(savings), end="")
    except (BenchInputError, SdzError, OSError) as error:
        return failed("lossless", error)
    return 0


def sizes(integers: NDArray[np.int32], step_index: int, pack: Pack) -> dict[str, int]:
    """Bytes of integers (C, h, w) by each of `CODERS`: this one's payload; JPEG XL lossless (effort 9) and PNG (optimized), each of the
    better of two layouts as one grey picture; deflate (level 9) of them in the fewest bytes each."""
    pictures = layouts(integers)
    return {
        "this coder": len(encode_planes(integers, step_index, pack.coder)),
        "JPEG XL": min(len(lossless(picture, "JXL", lossless=True, effort=9)) for picture in pictures),
        "PNG": min(len(lossless(picture, "PNG", optimize=True)) for picture in pictures),
        "deflate": len(zlib.compress(narrow(integers).tobytes(), 9)),
    }


def compare(photos: list[Pixels], session: Session) -> dict[int, dict[str, float]]:
    """Bits per pixel by step and coder, of all photos together."""
    totals = {step: dict.fromkeys(CODERS, 0.0) for step in STEPS if not session.pack.coder.is_fine(step)}
    pixels = sum(photo[..., 0].size for photo in photos)
    for photo in tqdm(photos, desc="coders", disable=None):
        latents = encode_latents(photo, session)
        for step in totals:
            for coder, size in sizes(dead_zone(latents, step, TYPICAL_ROUNDING), step, session.pack).items():
                totals[step][coder] += 8.0 * size / pixels
    return totals


def posterior_savings(photos: list[Pixels], session: Session) -> list[Saving]:
    """What weights from the posterior save per tuning and metric, by average curves over the photos; empty for a pack without one."""
    points: dict[tuple[Tune, str, bool], list[list[tuple[float, float]]]] = {}
    for photo in tqdm(photos, desc="posterior", disable=None):
        latents, deviation = encode_with_deviation(photo, session)
        if deviation is None:
            return []
        for tune, weights in product(TUNINGS, (None, posterior_weights(deviation))):
            curves: dict[str, list[tuple[float, float]]] = {metric: [] for metric in POSTERIOR_METRICS}
            for data in _files(photo, latents, weights, tune, session.pack):
                pixels = decode(data, session=session).pixels
                for metric, figure in _figures(pixels, photo).items():
                    curves[metric].append((8.0 * len(data) / photo[..., 0].size, figure))
            for metric, curve in curves.items():
                points.setdefault((tune, metric, weights is None), []).append(curve)
    out = []
    for tune, judged in product(TUNINGS, (m for m in METRICS if m.key in POSTERIOR_METRICS)):
        plain, weighted = (
            mean_curve([envelope([curve], judged.sign) for curve in points[tune, judged.key, equal]], GRID) for equal in (True, False)
        )
        found = bd_rate(plain, weighted, (float(GRID[0]), float(GRID[-1])))
        out.append(Saving(tune, judged.name, *((None, 0.0, 0.0) if found is None else (found.percent, found.low, found.high))))
    return out


def coder_table(pack: Pack, photos: int, totals: dict[int, dict[str, float]]) -> str:
    """Markdown of `compare`: bits per pixel, and this coder's against the others'."""
    header = ["step index", *CODERS, *(f"against {coder}" for coder in CODERS[1:])]
    rows = []
    for step, found in totals.items():
        own = found[CODERS[0]]
        against = (f"{100.0 * (own / found[coder] - 1.0):+.1f} %" for coder in CODERS[1:])
        rows.append([str(step), *(f"{found[coder]:.4f}" for coder in CODERS), *against])
    what = f"Pack {pack.name} ({pack.id.hex()}), {photos} photo{'s' * (photos != 1)}, bits per pixel of the same integers:"
    return f"{what}\n\n{table(header, rows)}\n"


def posterior_table(savings: list[Saving]) -> str:
    """Markdown of `posterior_savings`."""
    rows = []
    for saving in savings:
        cells = ("–", "–") if saving.percent is None else (f"{saving.percent:+.1f} %", f"{saving.low:.2f}–{saving.high:.2f} bpp")
        rows.append([saving.tune, saving.metric, *cells])
    return table(["tune", "at equal", "bytes with the posterior's weights", "rates"], rows) + "\n"


def _files(photo: Pixels, latents: NDArray[np.float32], weights: NDArray[np.float32] | None, tune: Tune, pack: Pack) -> Iterator[bytes]:
    height, width = photo.shape[:2]
    for step in (step for step in POSTERIOR_STEPS if not pack.coder.is_fine(step)):
        integers = rdo_quantize(latents, step, pack.coder, TUNINGS[tune], weights)
        payload = encode_planes(integers, step, pack.coder)
        yield serialize(Header(width, height, step, pack.id), [Chunk(LATENTS, payload)])


def _figures(picture: Pixels, photo: Pixels) -> dict[str, float]:
    structure = similarity.structural_similarity(picture, photo)
    out = {"psnr": psnr(picture, photo)}
    if structure is not None:
        out["ms_ssim"] = structure
    if min(photo.shape[:2]) >= similarity.JUDGED_MINIMUM:
        out["st_lpips"] = similarity.whole_distance(picture, photo)
    return out
