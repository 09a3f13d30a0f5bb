"""`python -m export bench`: what the default pack is worth, measured beside its peers in one run.

Takes a folder of photos, hands on `bench.json` and `bench.md`: the coder against JPEG XL lossless and deflate on the same
integers, rate and distortion against AVIF, JPEG XL, WebP and JPEG by file bytes, and what the denoiser adds at several
cuts of one file. Finished photos are kept in `bench.json`, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from export import peers
from export.assets import digest
from export.data import SUFFIXES
from export.kept import Kept
from export.measure import avif_bytes, perceptual_distance, psnr, structural_similarity
from runtime.decode import decode
from runtime.encode import encode, encode_latents, prepare, quantize
from runtime.files import write_atomically
from runtime.pack import Pack, default_pack, load_pack
from runtime.planes import encode_planes
from runtime.session import Session

RATES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8)
"""Bits per pixel at which this codec is measured (file bytes, headers included)."""

COMPARED = (0.1, 0.15, 0.2, 0.3)
"""Rates of the table: every codec's figures are interpolated there, photo by photo, never beyond what it was measured at."""

CODER_STEPS = (32, 40, 48)
"""Step indices at which the coder is compared on the same integers."""

CUTS = (0.125, 0.25, 0.5, 1.0)
"""Shares of a 0.3 bpp file at which the denoiser is judged."""

CUT_RATE = 0.3

METRICS = ("psnr", "ms_ssim", "st_lpips")


def _saved(format_: str, **options: Any) -> Callable[[Image.Image, int], bytes]:
    def save(image: Image.Image, quality: int) -> bytes:
        target = io.BytesIO()
        image.save(target, format_, quality=quality, **options)
        return target.getvalue()

    return save


PEERS: dict[str, tuple[Callable[[Image.Image, int], bytes], tuple[int, ...]]] = {
    "AVIF": (avif_bytes, (1, 10, 20, 32, 48)),
    "JPEG XL": (_saved("JXL", effort=7), (1, 5, 15, 30, 50)),
    "WebP": (_saved("WEBP", method=6), (1, 5, 15, 30, 50)),
    "JPEG": (_saved("JPEG", optimize=True, progressive=True), (1, 5, 8, 12, 20, 35)),
}
"""Each codec's way of saving and the qualities it is measured at."""


def measure_photo(path: Path, pack_path: Path | None) -> dict[str, Any]:
    """Everything about one photo: points (bpp, metrics) per codec, coder bytes per step, denoiser figures per cut."""
    import pillow_jxl  # noqa: F401 (registers JPEG XL with Pillow)

    pack = default_pack() if pack_path is None else load_pack(pack_path)
    session = Session(pack)
    with Image.open(path) as opened:
        source = prepare(opened)
    image, area = Image.fromarray(source.rgb), source.rgb[..., 0].size
    points: dict[str, list[dict[str, float]]] = {"sdz": []}
    for rate in RATES:
        data = encode(image, bpp=rate, pack=pack, session=session)
        points["sdz"].append(_point(len(data), area, decode(data, session=session).pixels, source.rgb))
    for name, (save, qualities) in PEERS.items():
        points[name] = []
        for quality in qualities:
            data = save(image, quality)
            with Image.open(io.BytesIO(data)) as decoded:
                points[name].append(_point(len(data), area, np.asarray(decoded.convert("RGB")), source.rgb))
    return {"points": points, "coder": _coder(source.rgb, pack, session), "denoiser": _denoiser(image, source.rgb, pack, session)}


def _point(size: int, area: int, pixels: NDArray[np.uint8], reference: NDArray[np.uint8]) -> dict[str, float]:
    similarity = structural_similarity(pixels, reference)
    return {
        "bpp": 8.0 * size / area,
        "psnr": psnr(pixels, reference),
        "ms_ssim": float("nan") if similarity is None else similarity,
        "st_lpips": perceptual_distance(pixels, reference),
    }


def _coder(rgb: NDArray[np.uint8], pack: Pack, session: Session) -> dict[str, dict[str, int]]:
    """Bytes of the same integers by this coder, by JPEG XL lossless (effort 9, the better of two layouts) and by deflate."""
    latents = encode_latents(rgb, session)
    out = {}
    for index in CODER_STEPS:
        integers = quantize(latents, index)
        out[str(index)] = {
            "sdz": len(encode_planes(integers, index, pack.coder)[1]),
            "jxl": min(len(_lossless(layout)) for layout in _layouts(integers)),
            "deflate": len(zlib.compress(_narrow(integers).tobytes(), 9)),
        }
    return out


def _layouts(integers: NDArray[np.int32]) -> list[NDArray[np.int32]]:
    """The latents (C, h, w) as one grey picture: channels stacked, and as a mosaic of channels (interleaving was never better)."""
    channels, h, w = integers.shape
    across = 2 ** (channels.bit_length() // 2)
    while channels % across:
        across -= 1
    grid = integers.reshape(channels // across, across, h, w)
    mosaic = grid.transpose(0, 2, 1, 3).reshape(-1, across * w)
    return [integers.reshape(channels * h, w), mosaic]


def _narrow(integers: NDArray[np.int32]) -> NDArray[np.int8] | NDArray[np.int16]:
    return integers.astype(np.int8) if np.abs(integers).max(initial=0) < 128 else integers.astype(np.int16)


def _lossless(layout: NDArray[np.int32]) -> bytes:
    shifted = layout - layout.min()
    target = io.BytesIO()
    Image.fromarray(shifted.astype(np.uint8 if shifted.max() < 256 else np.uint16)).save(target, "JXL", lossless=True, effort=9)
    return target.getvalue()


def _denoiser(image: Image.Image, reference: NDArray[np.uint8], pack: Pack, session: Session) -> dict[str, dict[str, dict[str, float]]]:
    """PSNR, MS-SSIM and ST-LPIPS of one file's prefixes with and without the denoiser."""
    data = encode(image, bpp=CUT_RATE, pack=pack, session=session)
    area = reference[..., 0].size
    out = {}
    for share in CUTS:
        prefix = data[: round(share * len(data))]
        out[str(share)] = {
            stage: _point(len(prefix), area, decode(prefix, stage=stage, session=session).pixels, reference)
            for stage in ("decoded", "denoised")
        }
    return out


def at_rate(points: list[dict[str, float]], rate: float, metric: str) -> float | None:
    """`metric` at `rate` bits per pixel by linear interpolation over log rate; None outside the measured rates."""
    rates = [p["bpp"] for p in points]
    if not min(rates) <= rate <= max(rates):
        return None
    return float(np.interp(np.log(rate), np.log(rates), [p[metric] for p in points]))


def summary(photos: dict[str, Any]) -> dict[str, Any]:
    """Averages over photos, at equal bytes: only photos that every named codec of a row reaches are counted in it."""
    rates: dict[str, Any] = {}
    for rate in COMPARED:
        rows = {}
        for peer in PEERS:
            both = [p for p in photos.values() if at_rate(p["points"][peer], rate, "psnr") is not None]
            counted: dict[str, Any] = {"photos": len(both)}
            rows[peer] = counted | {
                metric: {name: _mean([at_rate(p["points"][name], rate, metric) for p in both]) for name in ("sdz", peer)}
                for metric in METRICS
            }
        own = list(photos.values())
        rows["sdz"] = {"photos": len(own)} | {m: _mean([at_rate(p["points"]["sdz"], rate, m) for p in own]) for m in METRICS}
        rates[str(rate)] = rows
    coder = {
        str(step): {name: sum(p["coder"][str(step)][name] for p in photos.values()) for name in ("sdz", "jxl", "deflate")}
        for step in CODER_STEPS
    }
    denoiser = {
        str(cut): {
            stage: {m: _mean([p["denoiser"][str(cut)][stage][m] for p in photos.values()]) for m in ("bpp", *METRICS)}
            for stage in ("decoded", "denoised")
        }
        for cut in CUTS
    }
    return {"rates": rates, "coder": coder, "denoiser": denoiser}


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None and not np.isnan(v)]
    return float(np.mean(known)) if known else None


def markdown(report: dict[str, Any]) -> str:
    """The report's tables."""
    total = report["summary"]
    lines = [
        f"Pack `{report['pack']}`, {len(report['photos'])} photos. Every row compares at equal file bytes, over the photos on which the "
        "peer reaches that rate at all. ST-LPIPS (VGG16 trunk, middle square of 256 pixels): lower is better.",
        "",
        "| bpp | peer | photos | PSNR sdz / peer | MS-SSIM sdz / peer | ST-LPIPS sdz / peer |",
        "|---|---|---|---|---|---|",
    ]
    for rate, rows in total["rates"].items():
        for peer in PEERS:
            row = rows[peer]
            pair = {m: [row[m]["sdz"], row[m][peer]] for m in METRICS}
            cells = [" / ".join("–" if v is None else f"{v:.{d}f}" for v in pair[m]) for m, d in zip(METRICS, (2, 4, 4), strict=True)]
            lines.append(f"| {rate} | {peer} | {row['photos']} | {' | '.join(cells)} |")
    lines += ["", "| step index | sdz | JPEG XL lossless | deflate | against JPEG XL | against deflate |", "|---|---|---|---|---|---|"]
    for step, row in total["coder"].items():
        versus = [f"{100 * (row['sdz'] / row[name] - 1):+.1f} %" for name in ("jxl", "deflate")]
        lines.append(f"| {step} | {row['sdz']} | {row['jxl']} | {row['deflate']} | {' | '.join(versus)} |")
    lines += ["", "| bpp (cut of one file) | PSNR without / with denoiser | MS-SSIM | ST-LPIPS |", "|---|---|---|---|"]
    for row in total["denoiser"].values():
        cells = [f"{row['decoded'][m]:.{d}f} / {row['denoised'][m]:.{d}f}" for m, d in zip(METRICS, (2, 4, 4), strict=True)]
        lines.append(f"| {row['decoded']['bpp']:.3f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _photo_paths(sources: list[Path]) -> list[Path]:
    found = [f for s in sources for f in (sorted(s.rglob("*")) if s.is_dir() else [s])]
    return [f for f in found if f.suffix.lower() in SUFFIXES]


def _measure_peers(paths: list[Path], report: Path, jobs: int) -> None:
    """Measure the peers on every photo that is not kept yet, in the order of the photos' digests: a fair draw at any time."""
    drawn = sorted(paths, key=lambda p: digest(p.read_bytes()))
    with ProcessPoolExecutor(jobs) as pool:
        for _ in tqdm(pool.map(_peers_of, drawn, [report] * len(drawn)), total=len(drawn), desc="peers", disable=None):
            pass


def _peers_of(path: Path, report: Path) -> dict[str, Any]:
    torch.set_num_threads(1)
    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as opened:
        reference = prepare(opened).rgb
    return peers.measure_photo(reference, Kept(report, digest(data)), peers.FULL)


def main(arguments: list[str]) -> int:
    """`python -m export bench`; 0 done, 1 no photos."""
    command = argparse.ArgumentParser(prog="python -m export bench", description="Measure the codec beside its peers.")
    command.add_argument("photos", type=Path, nargs="+", metavar="PHOTOS", help="photos, and folders of them")
    command.add_argument("--out", type=Path, required=True, metavar="REPORT", help="folder of bench.json and bench.md; resumed")
    command.add_argument("--pack", type=Path, help="directory of another model pack")
    command.add_argument("--peers-only", action="store_true", help="measure the peers, which no pack changes, and stop")
    command.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N")
    options = command.parse_args(arguments)
    paths = _photo_paths(options.photos)
    if not paths:
        print("python -m export bench: no photos there", file=sys.stderr)
        return 1
    if options.peers_only:
        _measure_peers(paths, options.out, options.jobs)
        return 0
    pack = (default_pack() if options.pack is None else load_pack(options.pack)).id.hex()
    options.out.mkdir(parents=True, exist_ok=True)
    target = options.out / "bench.json"
    done: dict[str, Any] = {}
    if target.exists():
        earlier = json.loads(target.read_text())
        done = earlier["photos"] if earlier["pack"] == pack else {}
    missing = [p for p in paths if p.name not in done]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ProcessPoolExecutor(options.jobs) as pool:
        results = pool.map(measure_photo, missing, [options.pack] * len(missing))
        for path, figures in tqdm(zip(missing, results, strict=True), total=len(missing), desc="bench", disable=None):
            done[path.name] = figures
            write_atomically(target, (json.dumps({"pack": pack, "photos": done}, indent=1) + "\n").encode())
    photos = {p.name: done[p.name] for p in paths}
    report = {"pack": pack, "photos": photos, "summary": summary(photos)}
    text = markdown(report)
    write_atomically(target, (json.dumps(report, indent=1) + "\n").encode())
    write_atomically(options.out / "bench.md", text.encode())
    print(text)
    return 0
