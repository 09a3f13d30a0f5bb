"""What the measured photos say together: BD-rates, figures at equal bytes, where each codec is ahead, break-even.

Takes each photo's points as `peers` and `sdz_codec` measured them, returns one dictionary of numbers. Nothing is extrapolated: what a curve
does not reach is None, and every average says over how many photos it was taken.
"""

from __future__ import annotations

import functools
import math
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from ...runtime.options import DEFAULT_QUALITY
from ...runtime.refining.specks import TOO_MANY
from ..metrics.curves import Curve, ahead, bd_rate, envelope, mean_curve
from ..metrics.frechet import Features, frechet_distance
from .peers import EQUAL_RATES, PEERS, SHRINKING
from .sdz_codec import CODER_STEPS, CUT_FIGURES, CUTS, FAITHFUL, NATURAL, POINTS


@dataclass(frozen=True)
class Metric:
    """A measure: its name for people, its digits, and 1 where more is better, -1 where less is."""

    key: str
    name: str
    digits: int
    sign: int


METRICS = (
    Metric("psnr", "PSNR", 2, 1),
    Metric("ms_ssim", "MS-SSIM", 4, 1),
    Metric("st_lpips", "ST-LPIPS", 4, -1),
    Metric("ssimulacra2", "SSIMULACRA2", 1, 1),
    Metric("lpips", "LPIPS", 4, -1),
    Metric("dists", "DISTS", 4, -1),
)

EVEN_BY = tuple(m for m in METRICS if m.key in ("st_lpips", "ssimulacra2"))
"""Measures by which files of the default quality are compared with a peer's in bytes; the first says when the download is paid for."""

ARTEFACTS = {"colour": "colour, Lab", "hatching": "hatching, levels"}
"""What is measured of the files at equal rates (`metrics.artefacts`), and its name for people."""

WINDOWS = ((0.05, 0.3), (0.03, 1.0))
"""Bits per pixel of the peer between which BD-rates are taken: where this codec is used, and all that is measured."""

GRID = np.geomspace(0.03, 1.0, 141)
"""Rates at which curves are averaged over photos."""

RATES = (0.03, 0.05, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
"""Bits per pixel of the table at equal bytes."""

AUTO = "auto"
"""What `--tune auto` gives: of every quality the natural file, or the faithful one where the natural has too many specks."""

BEHIND_RATES = (0.08, 0.1, 0.15, 0.2, 0.25, 0.3)
"""Bits per pixel at which photos are counted that are worse than a peer's by both of `EVEN_BY`."""

TRANSPARENT = 90.0
"""SSIMULACRA2 from which no difference is seen, not even when the two pictures are flickered in place."""

EXTREME_RATE = 0.1
"""Bits per pixel at which the best and the worst photos are chosen: by ST-LPIPS against AVIF."""

EXTREMES = 4


@dataclass(frozen=True, eq=False)
class Measured:
    """One photo: `points` of all codecs; features by (codec, rate) and of the original; coder and denoiser figures."""

    id: str
    width: int
    height: int
    points: list[dict[str, Any]]
    equal: dict[str, dict[str, Any]]
    features: dict[str, Features]
    coder: dict[str, Any]
    denoiser: dict[str, Any]

    @functools.cache  # noqa: B019 (as many as there are codecs and metrics, for as long as the photo)
    def curve(self, codec: str, metric: Metric) -> Curve | None:
        """The codec's envelope over its settings."""
        own = [p for p in self.points if p["codec"] == codec and metric.key in p]
        settings = dict.fromkeys(p["setting"] for p in own)
        return envelope([[(p["bpp"], p[metric.key]) for p in own if p["setting"] == s] for s in settings], metric.sign)


def summarize(photos: list[Measured]) -> dict[str, Any]:
    """All numbers of the report that come from the photos; see the functions below for what each part holds."""
    return {
        "photos": len(photos),
        "bd_rates": bd_rates(photos),
        "rates": at_equal_bytes(photos),
        "frechet": frechet(photos),
        "artefacts": artefacts(photos),
        "transparent": transparent(photos),
        "ahead": stretches_ahead(photos),
        "extremes": extremes(photos),
        "tunings": tunings(photos),
        "coder": {
            str(step): {name: sum(p.coder[str(step)][name] for p in photos) for name in ("sdz", "jxl", "deflate")} for step in CODER_STEPS
        },
        "denoiser": {
            str(cut): {
                point: {m: _mean(p.denoiser[str(cut)][point].get(m) for p in photos) for m in ("bpp", *CUT_FIGURES)} for point in POINTS
            }
            for cut in CUTS
        },
    }


def mean_curves(photos: list[Measured], codec: str, metric: Metric) -> Curve | None:
    """The codec's average curve over the rates that every photo reaches."""
    return mean_curve([p.curve(codec, metric) for p in photos], GRID)


def bd_rates(photos: list[Measured]) -> list[dict[str, Any]]:
    """Per window, peer, metric and operating point: of the average curves (`average`: percent, low, high or None), and the median over
    the photos whose own curves have enough in common (`median`, and `photos`, how many those are)."""
    out = []
    for window, peer, metric, point in product(WINDOWS, PEERS, METRICS, POINTS):
        average = bd_rate(mean_curves(photos, peer, metric), mean_curves(photos, point, metric), window)
        single = [bd_rate(p.curve(peer, metric), p.curve(point, metric), window) for p in photos]
        known = [s.percent for s in single if s is not None]
        out.append(
            {
                "window": list(window),
                "peer": peer,
                "metric": metric.key,
                "point": point,
                "average": None if average is None else asdict(average),
                "median": float(np.median(known)) if known else None,
                "photos": len(known),
            }
        )
    return out


def at_equal_bytes(photos: list[Measured]) -> list[dict[str, Any]]:
    """Per rate and peer the figures of both operating points and the peer, averaged over the photos (`photos`) that reach the rate.

    `counts` holds, per metric, over how many; None stands where that is none.
    """
    out = []
    for rate, peer in product(RATES, PEERS):
        row: dict[str, Any] = {"rate": rate, "peer": peer, "counts": {}}
        for metric in METRICS:
            values = [[_at(p.curve(codec, metric), rate) for codec in (*POINTS, peer)] for p in photos]
            known = [v for v in values if not any(map(math.isnan, v))]
            row[metric.key] = [float(v) for v in np.mean(known, axis=0)] if known else None
            row["counts"][metric.key] = len(known)
        row["photos"] = max(row["counts"].values())
        if row["photos"]:
            out.append(row)
    return out


def frechet(photos: list[Measured]) -> list[dict[str, Any]]:
    """Per rate the Fréchet distance of each codec's patches, over the photos for which all codecs have a file of that rate."""
    out = []
    codecs = _kept_codecs(photos)
    for rate in EQUAL_RATES:
        names = [f"{codec}-{rate}" for codec in codecs]
        known = [p for p in photos if all(name in p.features for name in names)]
        originals = [p.features["original"] for p in known]
        patches = sum(map(len, originals))
        if patches < 2:
            continue
        original = np.concatenate(originals)
        row: dict[str, Any] = {"rate": rate, "photos": len(known), "patches": patches, "distance": {}, "bpp": {}}
        for codec, name in zip(codecs, names, strict=True):
            row["distance"][codec] = frechet_distance(original, np.concatenate([p.features[name] for p in known]))
            sizes = [8 * p.equal[str(rate)][codec]["bytes"] / (p.width * p.height) for p in known]
            row["bpp"][codec] = float(np.mean(sizes))
        out.append(row)
    return out


def artefacts(photos: list[Measured]) -> list[dict[str, Any]]:
    """Per rate and artefact the mean of each codec over the photos (`photos`) for which all codecs have a file of that rate."""
    out = []
    codecs = _kept_codecs(photos)
    for rate, artefact in product(EQUAL_RATES, ARTEFACTS):
        files = [p.equal.get(str(rate), {}) for p in photos]
        known = [f for f in files if all(artefact in f.get(codec, {}) for codec in codecs)]
        if known:
            means = {codec: float(np.mean([f[codec][artefact] for f in known])) for codec in codecs}
            out.append({"rate": rate, "artefact": artefact, "photos": len(known), "means": means})
    return out


def _kept_codecs(photos: list[Measured]) -> tuple[str, ...]:
    """This codec and the peers that were measured, of those that have a file at equal rates."""
    measured = {p["codec"] for photo in photos for p in photo.points}
    return (*POINTS, *(peer for peer in SHRINKING if peer in measured))


def transparent(photos: list[Measured]) -> dict[str, Any]:
    """Per codec on how many photos it reaches `TRANSPARENT` at all, and the median rate over all photos (None where half never do)."""
    metric = next(m for m in METRICS if m.key == "ssimulacra2")
    out = {}
    for codec in (*POINTS, *PEERS):
        rates, best = [], []
        for photo in photos:
            points = [p for p in photo.points if p["codec"] == codec and metric.key in p]
            best.append(max((p[metric.key] for p in points), default=-math.inf))
            curve = photo.curve(codec, metric)
            always = bool(points) and min(p[metric.key] for p in points) >= TRANSPARENT
            rate = min(p["bpp"] for p in points) if always else None if curve is None else curve.rate_for(TRANSPARENT)
            rates.append(math.inf if rate is None else rate)
        median = float(np.median(rates)) if rates else math.inf
        known = [b for b in best if math.isfinite(b)]
        out[codec] = {
            "photos": sum(map(math.isfinite, rates)),
            "median_bpp": median if math.isfinite(median) else None,
            "best": float(np.median(known)) if known else None,
        }
    return out


def stretches_ahead(photos: list[Measured]) -> list[dict[str, Any]]:
    """Per peer, metric and operating point the rates over which both are known (`low`, `high`) and those where this codec is ahead."""
    out = []
    for peer, metric, point in product(PEERS, METRICS, POINTS):
        test, other = (mean_curves(photos, codec, metric) for codec in (point, peer))
        if test is None or other is None:
            continue
        common = GRID[~np.isnan(test.at(GRID) + other.at(GRID))]
        if len(common):
            row = {"peer": peer, "metric": metric.key, "point": point, "low": float(common[0]), "high": float(common[-1])}
            out.append(row | {"ahead": [list(s) for s in ahead(test, other, common)]})
    return out


def extremes(photos: list[Measured]) -> dict[str, Any]:
    """The photos on which this codec's ST-LPIPS is best and worst against AVIF's, with the difference (positive: ahead)."""
    metric = next(m for m in METRICS if m.key == "st_lpips")
    found: list[dict[str, Any]] = []
    for photo in photos:
        own, avif = (_at(photo.curve(codec, metric), EXTREME_RATE) for codec in (NATURAL, "AVIF"))
        if not math.isnan(own + avif):
            found.append({"id": photo.id, "sdz": own, "AVIF": avif})
    found.sort(key=lambda f: f["sdz"] - f["AVIF"])
    count = min(EXTREMES, len(found) // 2)
    return {"rate": EXTREME_RATE, "counted": len(found), "best": found[:count], "worst": found[::-1][:count]}


def tunings(photos: list[Measured]) -> dict[str, Any]:
    """Which tuning `--tune auto` takes, and on which photos what it gives is worse than AVIF's at equal bytes by both of `EVEN_BY`.

    `faithful`: of so many photos at the default quality; `behind`: per rate and operating point, AUTO among them, the ids of the photos
    that are, of how many that are `known`.
    """
    all_three = [replace(photo, points=[*photo.points, *_auto_points(photo)]) for photo in photos]
    rows = []
    for rate, point in product(BEHIND_RATES, (*POINTS, AUTO)):
        leads = {p.id: [m.sign * (_at(p.curve(point, m), rate) - _at(p.curve("AVIF", m), rate)) for m in EVEN_BY] for p in all_three}
        known = {photo: lead for photo, lead in leads.items() if not any(map(math.isnan, lead))}
        rows.append({"rate": rate, "point": point, "known": len(known), "photos": [p for p, lead in known.items() if max(lead) < 0]})
    specky = [p for photo in photos for p in photo.points if _is_specky(p) and p["quality"] == DEFAULT_QUALITY]
    return {"faithful": len(specky), "behind": rows}


def _auto_points(photo: Measured) -> list[dict[str, Any]]:
    faithful = {p["quality"]: p for p in photo.points if p["codec"] == FAITHFUL}
    chosen = [faithful.get(p["quality"], p) if _is_specky(p) else p for p in photo.points if p["codec"] == NATURAL]
    return [p | {"codec": AUTO} for p in chosen]


def _is_specky(point: dict[str, Any]) -> bool:
    return bool(point["codec"] == NATURAL and point["specks"] > TOO_MANY)


def break_even(photos: list[Measured], download: int | None) -> dict[str, Any]:
    """Per peer the bytes saved by an image of the default quality at equal ST-LPIPS, and after how many images `download` bytes are paid
    for (None: never, or nothing known); by measure how many photos are `smaller` than the peer's at equal figures, of how many that are
    `known`: those on which the peer reaches the figure."""
    out = {}
    for peer in PEERS:
        saved = {metric.key: _saved(photos, peer, metric) for metric in EVEN_BY}
        known = saved[EVEN_BY[0].key]
        mean = float(np.mean(known)) if known else None
        pays = None if mean is None or download is None or mean <= 0 else math.ceil(download / mean)
        counts = {key: {"smaller": sum(x > 0 for x in values), "known": len(values)} for key, values in saved.items()}
        out[peer] = {"photos": len(known), "saved": mean, "images": pays, "smaller": counts}
    return out


def _saved(photos: list[Measured], peer: str, metric: Metric) -> list[float]:
    """What a peer's file of the figure of an image of the default quality has more in bytes, for each photo on which it reaches that."""
    saved = []
    for photo in photos:
        curve = photo.curve(peer, metric)
        at_default = (p for p in photo.points if (p["codec"], p["quality"]) == (NATURAL, DEFAULT_QUALITY) and metric.key in p)
        point = next(at_default, None)
        rate = None if curve is None or point is None else curve.rate_for(point[metric.key])
        if rate is not None and point is not None:
            saved.append(rate * photo.width * photo.height / 8 - point["bytes"])
    return saved


def familiarity(own: list[Measured], others: list[Measured], control: str, rates: tuple[float, ...]) -> list[dict[str, Any]]:
    """The same figures of training photos (`familiar`) and of held-out ones at equal bytes, beside a codec that has seen neither."""
    out = []
    for rate, metric in product(rates, METRICS):
        row: dict[str, Any] = {"rate": rate, "metric": metric.key}
        for name, photos in (("familiar", own), ("held_out", others)):
            values = [[_at(p.curve(codec, metric), rate) for codec in (*POINTS, control)] for p in photos]
            known = [v for v in values if not any(map(math.isnan, v))]
            row[name] = {"photos": len(known), "values": [float(v) for v in np.mean(known, axis=0)] if known else None}
        if row["familiar"]["photos"] and row["held_out"]["photos"]:
            out.append(row)
    return out


def _at(curve: Curve | None, rate: float) -> float:
    return math.nan if curve is None else float(curve.at([rate])[0])


def _mean(values: Any) -> float | None:
    known = [v for v in values if v is not None and math.isfinite(v)]
    return float(np.mean(known)) if known else None
