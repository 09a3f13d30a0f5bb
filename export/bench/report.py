"""The bench's report as people read it: one list of sections, written as Markdown and as HTML.

Takes the report's dictionary, returns text. What the numbers say is said in words first: where this codec is ahead, where AVIF or
JPEG XL is the better choice, and when the decoder has paid for itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ..markdown import table as markdown_table
from ..speed.sizes import GROUPS
from .palette2022 import METHODS, PALETTE_2022
from .peers import JUDGED_RATE, NETWORKS_RATE, PEERS, SHRINKING, VISIBLE_RATE
from .sdz_codec import FAITHFUL, NATURAL, POINTS
from .summary import ARTEFACTS, EVEN_BY, METRICS, TRANSPARENT

TEMPLATE = "report.html"

DIGITS = 5
"""Significant digits of every figure in the JSON report."""

HEADLINE = "AVIF"
"""The peer that the verdict begins with."""

Figures = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A header and rows of cells as they are shown."""

    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Section:
    """A title, sentences, and tables under them."""

    title: str
    lines: list[str]
    tables: list[Table] = field(default_factory=list)


def rounded(value: Any) -> Any:
    """The report with every float at `DIGITS` significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    return [rounded(entry) for entry in value] if isinstance(value, list) else value


def markdown(sections: Iterable[Section]) -> str:
    """The sections, titles of the third level."""
    parts = []
    for section in sections:
        parts.append(f"### {section.title}")
        if section.lines:
            parts.append("\n".join(f"- {line}" for line in section.lines))
        parts += [markdown_table(table.header, table.rows) for table in section.tables]
    return "\n\n".join(parts) + "\n"


def html(pack: str, sections: list[Section], plots: list[str], crops: Iterable[tuple[str, list[tuple[str, str]]]]) -> str:
    """The same with `plots`, addresses of pictures, and `crops`: a heading and (address, caption) of each picture in its row."""
    templates = Environment(loader=PackageLoader(__name__, "."), autoescape=True, undefined=StrictUndefined)
    templates.filters["marked"] = _marked
    page = templates.get_template(TEMPLATE)
    return page.render(pack=pack, plots=plots, crops=list(crops), sections=sections) + "\n"


def sections(report: Figures) -> list[Section]:
    """The sections of the quality table; parts that were not measured are left out."""
    summary = report["summary"]
    out = [
        _verdict(report),
        _bd_rates(summary),
        _equal_bytes(summary),
        _realism(summary),
        _artefacts(summary),
        _transparency(summary),
        _extremes(summary),
        _tunings(summary),
        _coder(summary),
        _denoiser(summary),
    ]
    if report.get("method_2022"):
        out.append(_method_2022(report["method_2022"]))
    if report.get("familiar"):
        out.append(_familiar(report["familiar"]))
    if report.get("break_even"):
        out.append(_break_even(report))
    if report.get("times"):
        out.append(_times(report["times"]))
    return out


def _verdict(report: Figures) -> Section:
    summary = report["summary"]
    lines = [
        f"Pack `{report['pack']}`, {summary['photos']} photos, file bytes with all headers. AVIF (libaom, speed 4; 4:2:0, and 4:4:4 at "
        "full size) and JPEG XL (effort 7) are credited with the best of full, half and quarter size, enlarged again; WebP is method 6, "
        f"JPEG optimized and progressive. `{NATURAL}` is the picture everybody sees, `{FAITHFUL}` a file of `--tune faithful` without the "
        "denoiser.",
        "ST-LPIPS (VGG16 trunk), LPIPS (AlexNet trunk) and DISTS, of whole pictures: lower is better. They are taken up to "
        f"{NETWORKS_RATE:g} bits per pixel, MS-SSIM up to {JUDGED_RATE:g}, SSIMULACRA2 from {VISIBLE_RATE:g} on.",
    ]
    for peer in SHRINKING:
        for metric in METRICS:
            found = [r for r in summary["ahead"] if (r["peer"], r["metric"]) == (peer, metric.key)]
            if found:
                lines.append(f"**{metric.name} against {peer}**: " + "; ".join(f"`{r['point']}` {where(r)}" for r in found) + ".")
    return Section("Where it is ahead", lines)


def where(row: Figures) -> str:
    """In words where this codec is ahead of a peer and where the peer is the better choice."""
    stretches, low, high, peer = row["ahead"], row["low"], row["high"], row["peer"]
    whole = f"{low:.2f} to {high:.2f} bpp"
    if not stretches:
        return f"is nowhere ahead from {whole}: {peer} is the better choice"
    if len(stretches) == 1 and stretches[0] == [low, high]:
        return f"is ahead everywhere measured, {whole}"
    texts = [f"{a:.2f} to {b:.2f}" for a, b in stretches]
    end = stretches[-1][1]
    rest = f"from {end:.2f} on {peer} is the better choice" if end < high else f"elsewhere from {whole} {peer} is the better choice"
    return f"is ahead from {' and '.join(texts)} bpp; {rest}"


def _bd_rates(summary: Figures) -> Section:
    lines = [
        "Bytes at equal figures, negative: fewer than the peer's. First of the average curves (in brackets the peer's rates that are "
        "compared), then the median over photos (how many have enough in common). Nothing is extrapolated; – where the curves do not meet."
    ]
    tables = []
    taken = {r["metric"] for r in summary["bd_rates"] if r["average"] or r["median"] is not None}
    metrics = [m for m in METRICS if m.key in taken]
    for window, rows in groupby(summary["bd_rates"], key=lambda r: r["window"]):
        table = Table([f"{window[0]:g} to {window[1]:g} bpp against", "", *(m.name for m in metrics)], [])
        cells = {(r["peer"], r["point"], r["metric"]): r for r in rows}
        for peer in PEERS:
            for point in POINTS:
                found = [cells[peer, point, m.key] for m in metrics]
                if any(r["average"] or r["median"] is not None for r in found):
                    table.rows.append([peer, point, *map(_bd_cell, found)])
        tables.append(table)
    return Section("BD-rate", lines, tables)


def _bd_cell(row: Figures) -> str:
    average, median = row["average"], row["median"]
    first = "–" if average is None else f"{average['percent']:+.1f} % ({average['low']:.2f}–{average['high']:.2f})"
    return f"{first}, {'–' if median is None else f'{median:+.1f} %'} ({row['photos']})"


def _equal_bytes(summary: Figures) -> Section:
    metrics = [m for m in METRICS if any(row[m.key] is not None for row in summary["rates"])]
    table = Table(["bpp", "peer", "photos", *(m.name for m in metrics)], [])
    for row in summary["rates"]:
        cells = []
        for metric in metrics:
            count, values = row["counts"][metric.key], row[metric.key]
            fewer = f" ({count})" if count != row["photos"] else ""
            cells.append("–" if values is None else " / ".join(f"{v:.{metric.digits}f}" for v in values) + fewer)
        table.rows.append([f"{row['rate']:g}", row["peer"], str(row["photos"]), *cells])
    lines = [
        f"Each cell: `{NATURAL}` / `{FAITHFUL}` / the peer, averaged over the photos on which all three reach that rate; in brackets how "
        "many, where the measure was not taken on all of them."
    ]
    return Section("At equal bytes", lines, [table])


def _realism(summary: Figures) -> Section:
    rows = summary["frechet"]
    codecs = list(rows[0]["distance"]) if rows else []
    table = Table(["bpp", "photos", *codecs], [])
    for row in rows:
        cells = [f"{row['distance'][c]:.3g} ({row['bpp'][c]:.3f} bpp)" for c in codecs]
        table.rows.append([f"{row['rate']:g}", str(row["photos"]), *cells])
    lines = [
        "Fréchet distance between the features of 64-pixel patches before and after (AlexNet trunk of ST-LPIPS): lower is more like "
        "photos, whether or not it is this photo. Each codec's file is the one just within the rate."
    ]
    return Section("Realism", lines, [table] if rows else [])


def _artefacts(summary: Figures) -> Section:
    rows = summary["artefacts"]
    codecs = list(rows[0]["means"]) if rows else []
    table = Table(["bpp", "", "photos", *codecs], [])
    for row in rows:
        cells = [f"{row['means'][c]:.2f}" for c in codecs]
        table.rows.append([f"{row['rate']:g}", ARTEFACTS[row["artefact"]], str(row["photos"]), *cells])
    lines = [
        "Colour: mean distance of the (a, b) of 16-pixel blocks in CIE Lab. Hatching: what flat areas and smooth skin have more than the "
        "photo of energy in one basis function and in steps over the borders of 16-pixel blocks, root mean square over blocks. Lower is "
        "better. The files are those of the Fréchet distance."
    ]
    return Section("Colour and hatching", lines, [table] if rows else [])


def _transparency(summary: Figures) -> Section:
    lines = [f"Visually transparent means SSIMULACRA2 of at least {TRANSPARENT:g}. Per codec the median over the photos:"]
    table = Table(["codec", "transparent from", "photos that reach it", "highest SSIMULACRA2 measured"], [])
    for codec, row in summary["transparent"].items():
        if row["best"] is not None:
            rate = "beyond what was measured" if row["median_bpp"] is None else f"{row['median_bpp']:.2f} bpp"
            table.rows.append([codec, rate, f"{row['photos']} of {summary['photos']}", f"{row['best']:.1f}"])
    return Section("Transparency", lines if table.rows else ["Not measured in this run."], [table] if table.rows else [])


def _extremes(summary: Figures) -> Section:
    found = summary["extremes"]
    table = Table(["photo", "", f"ST-LPIPS {NATURAL}", f"ST-LPIPS {HEADLINE}"], [])
    for kind in ("worst", "best"):
        table.rows.extend([f"`{r['id'][:8]}`", kind, f"{r['sdz']:.4f}", f"{r[HEADLINE]:.4f}"] for r in found[kind])
    lines = [
        f"At {found['rate']:g} bpp, out of {found['counted']} photos; a photo is named by the digest of its file. `report.html` shows them."
    ]
    return Section("Worst and best photos", lines, [table])


def _tunings(summary: Figures) -> Section:
    found = summary["tunings"]
    rates = sorted({row["rate"] for row in found["behind"]})
    points = list(dict.fromkeys(row["point"] for row in found["behind"]))
    cell = {(row["rate"], row["point"]): f"{len(row['photos'])} of {row['known']}" for row in found["behind"]}
    names = {photo[:8] for row in found["behind"] if row["point"] == points[-1] for photo in row["photos"]}
    lines = [
        f"Photos whose pictures are worse than {HEADLINE}'s at equal bytes by both {' and '.join(m.name for m in EVEN_BY)}. `auto` is "
        f"`{NATURAL}`, or `{FAITHFUL}` where that has too many specks: {found['faithful']} of {summary['photos']} photos at the default "
        "quality.",
    ]
    if names:
        lines.append(f"Behind with `auto` somewhere: {', '.join(f'`{name}`' for name in sorted(names))}.")
    return Section("The tuning by photo", lines, [Table(["bpp", *points], [[f"{r:g}", *(cell[r, p] for p in points)] for r in rates])])


def _coder(summary: Figures) -> Section:
    table = Table(["step index", "sdz", "JPEG XL lossless", "deflate", "against JPEG XL", "against deflate"], [])
    for step, row in summary["coder"].items():
        versus = [f"{100 * (row['sdz'] / row[name] - 1):+.1f} %" for name in ("jxl", "deflate")]
        table.rows.append([step, *(f"{row[name]:,}" for name in ("sdz", "jxl", "deflate")), *versus])
    return Section("The coder on the same integers", ["Bytes of the quantized latents of all photos."], [table])


def _denoiser(summary: Figures) -> Section:
    table = Table(["bpp (cut of one file)", "PSNR without / with denoiser", "MS-SSIM", "ST-LPIPS"], [])
    for row in summary["denoiser"].values():
        cells = []
        for metric in METRICS[:3]:
            pair = [row[point][metric.key] for point in (FAITHFUL, NATURAL)]
            cells.append(" / ".join("–" if v is None else f"{v:.{metric.digits}f}" for v in pair))
        table.rows.append([f"{row[NATURAL]['bpp']:.3f}", *cells])
    return Section("The denoiser at cuts of one file", [], [table])


def _method_2022(found: Figures) -> Section:
    metrics = [m for m in METRICS if any(m.key in row[PALETTE_2022] for row in found["rows"])]
    table = Table(["entries", "photos", "bytes", "bpp", *(m.name for m in metrics)], [])
    for row in found["rows"]:
        methods = [row[method] for method in METHODS if method in row]
        cells = [
            " / ".join("–" if values[m.key] is None else f"{values[m.key]:.{m.digits}f}" for values in methods)
            if any(values[m.key] is not None for values in methods)
            else "–"
            for m in metrics
        ]
        own = row[PALETTE_2022]
        table.rows.append([str(row["entries"]), str(row["photos"]), f"{own['bytes']:,.0f}", f"{own['bpp']:.3f}", *cells])
    unet = " / the palette's latents after the UNet, a few DDIM steps, unconditional" if found["unet"] else ""
    lines = [
        f"Pack `{found['pack']}` ({found['name']}): its latents at 8 bits, reduced to a palette with error diffusion and deflated "
        "(M. Bühlmann, 2022; published with 256 entries). Each cell: the method / this coder on the same latents, cut to as many "
        f"bytes{unet}; means over the photos."
    ]
    return Section("The method of 2022, on the same latents", lines, [table])


def _familiar(familiar: Figures) -> Section:
    table = Table(["bpp", "", "training photos", "held-out photos", "familiarity is worth"], [])
    for row in familiar["rows"]:
        metric = next(m for m in METRICS if m.key == row["metric"])
        sides = [row[name]["values"] for name in ("familiar", "held_out")]
        counts = [row[name]["photos"] for name in ("familiar", "held_out")]
        cells = [" / ".join(f"{v:.{metric.digits}f}" for v in side) + f" ({n})" for side, n in zip(sides, counts, strict=True)]
        gain = metric.sign * ((sides[0][0] - sides[0][2]) - (sides[1][0] - sides[1][2]))
        table.rows.append([f"{row['rate']:g}", metric.name, *cells, f"{gain:+.{metric.digits}f}"])
    others = "photos of the same sources that training never saw" if familiar["held_out"] == "unseen" else "the photos of this bench"
    lines = [
        f"{familiar['photos']} photos of the training set beside {others}: `{NATURAL}` / `{FAITHFUL}` / AVIF (full size, 4:2:0) "
        "at equal bytes. AVIF has seen neither, so its difference is that of the photos; familiarity is worth what is left of ours."
    ]
    return Section("What familiarity is worth", lines, [table])


def _break_even(report: Figures) -> Section:
    lines = []
    if report.get("downloads"):
        visit = report["downloads"]["visit"]
        sizes = ", ".join(f"{visit[form] / 1e6:.2f} MB {form}" for form in ("raw", "gzip", "brotli"))
        lines.append(f"A visitor downloads the decoder and the pack once: {sizes}.")
    smaller = [f"smaller at equal {m.name}" for m in EVEN_BY]
    table = Table(["against", "an image of the default quality saves", "paid for after", "photos", *smaller], [])
    for peer, row in report["break_even"].items():
        saved = "–" if row["saved"] is None else f"{row['saved']:,.0f} bytes"
        images = "–" if row["images"] is None else f"{row['images']:,} images"
        never = row["saved"] is not None and row["saved"] <= 0
        counts = [f"{row['smaller'][m.key]['smaller']} of {row['smaller'][m.key]['known']}" for m in EVEN_BY]
        table.rows.append([peer, saved, "never" if never else images, str(row["photos"]), *counts])
    lines.append(
        "Bytes saved at equal ST-LPIPS (negative: the peer's file is smaller), on the photos on which the peer reaches the figure."
    )
    parts = Table(["a page loads, kB", "raw", "gzip", "brotli"], [])
    for name, sizes_ in report.get("downloads", {}).items():
        parts.rows.append([GROUPS[name], *(f"{sizes_[form] / 1000:.1f}" for form in ("raw", "gzip", "brotli"))])
    return Section("Download and break-even", lines, [table, parts] if parts.rows else [table])


def _times(times: Figures) -> Section:
    host = times["machine"]
    table = Table(["ms per megapixel", "", "one thread", f"{host['cores']} threads"], [])
    for row in times["rows"]:
        table.rows.append([row["codec"], row["step"], f"{row['one']:.1f}", f"{row['all']:.1f}"])
    count = f"{times['photos']} photo{'s' * (times['photos'] != 1)}"
    lines = [
        f"{host['processor']}, {host['cores']} cores (load {host['load']} before the run), Python {host['python']}, onnxruntime "
        f"{host['onnxruntime']}; medians over {count}. This codec at its default quality, the peers near 0.25 bpp at full size."
    ]
    return Section("Times", lines, [table])


def _marked(text: str) -> Markup:
    """Escaped, with the two marks that the sections use as elements: `code` and **strong**."""
    out = escape(text)
    for mark, element in (("**", "strong"), ("`", "code")):
        pieces = out.split(mark)
        around = Markup(f"<{element}>{{}}</{element}>")
        out = Markup("").join(around.format(piece) if i % 2 else piece for i, piece in enumerate(pieces))
    return out
