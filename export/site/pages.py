"""The pages of a site: the templates of `web/demo` filled with what the report says.

Takes a report and the library's assets, hands on (path, text) pairs. Every address is relative, so a site works under any
prefix; nothing inline runs or styles, so a strict Content-Security-Policy holds.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from string import Template
from typing import TYPE_CHECKING

from .assets import Asset
from .library import DEMO, ENTRY, Library
from .photos import Photo

if TYPE_CHECKING:
    from .build import Report

CURVE_WIDTH, CURVE_HEIGHT = 600, 72
"""Units of the rate curve's drawing; it is stretched to the slider's width."""

CURVE_LEAST_BYTES = 24
"""Where the byte slider begins (LEAST_BYTES of `web/demo/photo.js`)."""

EAGER_FIGURES = 4
"""Pictures of the gallery that do not wait to be scrolled to."""

FORMAT_NAMES = {".avif": "AVIF", ".webp": "WebP", ".jpeg": "JPEG"}

_IMPORT = re.compile(r'^(?:import|export)\s[^;]*?from\s+"(\./[^"]+|\.\./[^"]+)"', re.MULTILINE)


def render(title: str, report: Report, assets: list[Asset], shared: Library, styles: Asset) -> list[tuple[str, str]]:
    """All pages as (path relative to the site, HTML), the gallery last; `styles` is the asset that holds `size_rules`."""
    by_path = {asset.path: asset for asset in [*assets, styles]}
    photos = report.photos
    out = []
    for index, photo in enumerate(photos):
        page = _Page(f"photos/{photo.name}.html", by_path, shared, styles, report.pack, report.exact, report.denoises)
        before, after = (photos[i] if 0 <= i < len(photos) else None for i in (index - 1, index + 1))
        out.append((page.path, _photo(page, title, photo, before, after)))
    page = _Page("index.html", by_path, shared, styles, report.pack, report.exact, report.denoises)
    return [*out, (page.path, _gallery(page, title, report))]


def size_rules(photos: Iterable[Photo]) -> str:
    """A style sheet that gives each size of picture a class: its place is kept before anything of it has arrived."""
    sizes = sorted({(p.width, p.height) for p in photos})
    return "".join(f".{_size_class(w, h)}{{--w:{w};--h:{h}}}\n" for w, h in sizes)


def kilobytes(count: int) -> str:
    """A byte count as a person reads it: 4,981 B, 41.2 kB, 2.69 MB (powers of ten)."""
    if count < 10_000:
        return f"{count:,} B"
    if count < 1_000_000:
        return f"{count / 1000:.1f} kB"
    return f"{count / 1_000_000:.2f} MB"


def payback(report: Report) -> str:
    """After how many images the decoder has paid for itself against AVIF of equal ST-LPIPS, in one sentence."""
    if report.saving is None:
        return "How sdz compares with AVIF was not measured."
    if any(photo.choice is not None for photo in report.photos):
        return _chosen_payback(report)
    sample = f"on average over {report.judged} photo{'s' * (report.judged != 1)}"
    decoder = kilobytes(report.downloads["runtime"].brotli + report.downloads["models"].brotli)
    if report.pays_after is None:
        return (
            f"At equal ST-LPIPS an AVIF file is {kilobytes(round(-report.saving))} smaller than the .sdz {sample}: "
            f"the decoder ({decoder}) never pays for itself in bytes."
        )
    return (
        f"At equal ST-LPIPS an AVIF file is {kilobytes(round(report.saving))} larger than the .sdz {sample}: "
        f"the decoder ({decoder}) has paid for itself after {report.pays_after:,} images."
    )


def _chosen_payback(report: Report) -> str:
    kept = sum(photo.avif is not None for photo in report.photos)
    chosen = f"{kept} of {len(report.photos)} photos are kept as AVIF, which needs no more bytes there at the same ST-LPIPS"
    if report.pays_after is None or report.saving is None:
        return f"{chosen}: sdz saves nothing here."
    decoder = kilobytes(report.downloads["runtime"].brotli + report.downloads["models"].brotli)
    return (
        f"{chosen}. The files kept save {kilobytes(round(report.saving))} an image against AVIF alone, on average over {report.judged}: "
        f"the decoder ({decoder}) has paid for itself after {report.pays_after:,} images."
    )


@dataclass(frozen=True)
class _Page:
    """One page being written: knows how to address the site's files from where it stands."""

    path: str
    assets: dict[str, Asset]
    shared: Library
    styles: Asset
    pack: str
    exact: bool
    denoises: bool

    def address(self, path: str) -> str:
        return escape(posixpath.relpath(path, posixpath.dirname(self.path) or "."))

    def sheets(self) -> list[str]:
        """The style sheets, with digests."""
        css = [self.assets[self.shared.path("demo/style.css")], self.styles]
        return [f'<link rel="stylesheet" href="{self.address(a.path)}" integrity="{a.integrity}">' for a in css]

    def head(self, script: str) -> str:
        """Style sheets, the element's module and the page's own, all with digests."""
        lines = self.sheets()
        modules = [self.shared.path(name) for name in (ENTRY, f"demo/{script}")]
        # without these the browser would discover the modules one import after the other
        for name in module_graph(self.shared, [ENTRY, f"demo/{script}"]):
            asset = self.assets[self.shared.path(name)]
            if asset.path not in modules:
                lines.append(f'<link rel="modulepreload" href="{self.address(asset.path)}" integrity="{asset.integrity}">')
        for path in modules:
            pack = f' data-pack="{self.pack}"' if path.endswith(f"/{ENTRY}") else ""
            lines.append(f'<script type="module" src="{self.address(path)}" integrity="{self.assets[path].integrity}"{pack}></script>')
        fallback = self.assets[self.shared.path("demo/fallback.js")]
        lines.append(f'<script defer src="{self.address(fallback.path)}" integrity="{fallback.integrity}"></script>')
        return "\n".join(lines)

    def fallback(self, photo: Photo, loading: str) -> str:
        """The picture for visitors without JavaScript."""
        if photo.fallback is None:
            return f"<p>{escape(photo.title)}</p>"
        return (
            f'<img src="{self.address(photo.fallback.path)}" alt="{escape(photo.title)}" '
            f'width="{photo.width}" height="{photo.height}" loading="{loading}">'
        )


def module_graph(shared: Library, entries: Iterable[str]) -> list[str]:
    """The modules that some modules of the library import, themselves included, by their paths inside it."""
    found: list[str] = []
    waiting = list(entries)
    while waiting:
        name = waiting.pop(0)
        if name in found:
            continue
        found.append(name)
        source = shared.files[name].decode()
        waiting += [posixpath.normpath(posixpath.join(posixpath.dirname(name), target)) for target in _IMPORT.findall(source)]
    return found


def _gallery(page: _Page, title: str, report: Report) -> str:
    photos = report.photos
    images = report.downloads["images"]
    megapixels = sum(p.width * p.height for p in photos) / 1e6
    count = f"{len(photos)} photo{'s' * (len(photos) != 1)}"
    summary = f"{count}, {megapixels:.1f} megapixels, {kilobytes(images.raw)} in all."
    return _template("index.html").substitute(
        title=escape(title),
        summary=summary,
        how=_how(photos),
        without="Without JavaScript you see ordinary pictures in their place." if report.downloads["fallbacks"].files else "",
        head=page.head("gallery.js"),
        figures="\n".join(_figure(page, photo, index) for index, photo in enumerate(photos)),
        costs="\n".join(_costs(report)),
        prose="\n".join(f"<p>{escape(text)}</p>" for text in _prose(report)),
        rows="\n".join(_row(page, photo) for photo in photos),
        pack=report.pack,
    )


def _how(photos: list[Photo]) -> str:
    """Where the pictures come from, in a sentence."""
    painted = "came as a few kilobytes of numbers and was painted here, in your browser, by a small neural network"
    plain = sum(photo.avif is not None for photo in photos)
    if not plain:
        return f"Each {painted}."
    return f"{plain} of them {'is' if plain == 1 else 'are'} AVIF, which was no larger; each of the others {painted}."


def _figure(page: _Page, photo: Photo, index: int) -> str:
    loading = "eager" if index < EAGER_FIGURES else "lazy"
    title = escape(photo.title)
    opened = f'<figure class="{_size_class(photo.width, photo.height)}"><a href="{page.address(f"photos/{photo.name}.html")}">'
    if photo.avif is not None:
        return (
            f"{opened}{_plain(page, photo, loading)}</a>"
            f'<figcaption><span class="name">{title}</span><span class="size" title="{escape(photo.choice or "")}">'
            f"AVIF · {photo.avif.bytes:,} B</span></figcaption></figure>"
        )
    return (
        f"{opened}"
        f'<sdz-img src="{page.address(photo.sdz.path)}" alt="{title}" width="{photo.width}" height="{photo.height}" loading="{loading}">'
        f"<noscript>{page.fallback(photo, loading)}</noscript></sdz-img></a>"
        f'<figcaption><span class="name">{title}</span><span class="mark" aria-hidden="true"></span>'
        f'<span class="size">{photo.sdz.bytes:,} B</span></figcaption></figure>'
    )


def _plain(page: _Page, photo: Photo, loading: str) -> str:
    """The picture of a photo that is kept as AVIF."""
    return (
        f'<img src="{page.address(photo.shown.path)}" alt="{escape(photo.title)}" '
        f'width="{photo.width}" height="{photo.height}" loading="{loading}">'
    )


def _costs(report: Report) -> Iterable[str]:
    names = {
        "runtime": "Decoder: scripts and WebAssembly, once",
        "models": "Decoder: networks and tables, once",
        "images": "Photos",
        "fallbacks": "Instead of all that, without JavaScript",
    }
    for key, name in names.items():
        cost = report.downloads[key]
        if cost.files:
            cells = f"<td>{cost.files}</td><td>{kilobytes(cost.raw)}</td><td>{kilobytes(cost.brotli)}</td>"
            yield f'<tr><th scope="row">{name}</th>{cells}</tr>'


def _prose(report: Report) -> Iterable[str]:
    first = report.downloads["first_paint"]
    yield (
        f"The first picture needs {kilobytes(first.brotli)} of scripts and tables: a linear transform paints it "
        "while the networks are still on their way."
    )
    yield payback(report)


def _row(page: _Page, photo: Photo) -> str:
    best = photo.best
    cells = [
        f"{photo.width} × {photo.height}",
        f"{photo.shown.bytes:,}",
        f"{photo.bpp:.3f}",
        _decibels(best.psnr),
        _share(best.ms_ssim),
        _equal_avif(photo) if photo.choice is None else photo.choice,
    ]
    name = f'<a href="{page.address(f"photos/{photo.name}.html")}">{escape(photo.title)}</a>'
    return f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _photo(page: _Page, title: str, photo: Photo, before: Photo | None, after: Photo | None) -> str:
    return (_study if photo.avif is None else _picture)(page, title, photo, before, after)


def _picture(page: _Page, title: str, photo: Photo, before: Photo | None, after: Photo | None) -> str:
    """The page of a photo that is kept as AVIF: a plain picture."""
    figures = [
        ("File", f"{photo.shown.bytes:,} B <small>{photo.bpp:.3f} bits per pixel</small>"),
        ("Picture", f"{photo.width} × {photo.height}"),
        ("PSNR", _decibels(photo.best.psnr)),
        ("MS-SSIM", _share(photo.best.ms_ssim)),
    ]
    return _template("picture.html").substitute(
        title=escape(photo.title),
        site_title=escape(title),
        description=escape(f"{photo.title}: {photo.width} × {photo.height} pixels"),
        head="\n".join(page.sheets()),
        previous=_neighbour(page, before, "prev", "Previous"),
        next=_neighbour(page, after, "next", "Next"),
        size=_size_class(photo.width, photo.height),
        picture=_plain(page, photo, "eager"),
        original=page.address(photo.original.path),
        choice=escape(photo.choice or ""),
        figures="\n".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures),
    )


def _study(page: _Page, title: str, photo: Photo, before: Photo | None, after: Photo | None) -> str:
    """The page of a photo that is kept as .sdz: any prefix of it at any stage, beside the original."""
    figures = [
        ("File", f"{photo.sdz.bytes:,} B <small>{photo.bpp:.3f} bits per pixel</small>"),
        ("Picture", f"{photo.width} × {photo.height}"),
        ("Encoded in", f"{photo.encode_ms:.0f} ms <small>Python, one thread</small>"),
        ("Decoded in", f"{photo.decode_ms:.0f} ms <small>Python, one thread</small>"),
    ]
    if photo.choice is not None:
        figures.append(("Kept", f"<small>{photo.choice}</small>"))
    elif photo.avif_equal is not None:
        figures.append(("AVIF, equal ST-LPIPS", f"{_equal_avif(photo)} B <small>both {photo.st_lpips:.3f} (VGG)</small>"))
    against = fallback_data = ""
    if photo.fallback is not None:
        name = f"{FORMAT_NAMES[posixpath.splitext(photo.fallback.path)[1]]} · {photo.fallback.bytes:,} B"
        against = f'<label><input type="radio" name="against" value="fallback"><span>{name}</span></label>'
        fallback_data = f' data-fallback="{page.address(photo.fallback.path)}" data-fallback-name="{name}"'
    return _template("photo.html").substitute(
        title=escape(photo.title),
        site_title=escape(title),
        description=escape(f"{photo.title}: {photo.width} × {photo.height} pixels from {photo.sdz.bytes:,} bytes"),
        head=page.head("photo.js"),
        previous=_neighbour(page, before, "prev", "Previous"),
        next=_neighbour(page, after, "next", "Next"),
        sdz=page.address(photo.sdz.path),
        original=page.address(photo.original.path),
        bytes=photo.sdz.bytes,
        bytes_text=f"{photo.sdz.bytes:,}",
        bpp=f"{photo.bpp:.3f}",
        width=photo.width,
        height=photo.height,
        size=_size_class(photo.width, photo.height),
        # nothing to hold the browser's pixels against where the pack promises none
        digest=photo.best.sha256 if page.exact else "",
        best="denoised" if page.denoises else "decoded",
        fallback=page.fallback(photo, "eager"),
        fallback_data=fallback_data,
        against=against,
        curve=rate_curve(photo),
        figures="\n".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures),
        stages="\n".join(
            f'<tr><th scope="row">{s.stage.capitalize()}</th><td>{_decibels(s.psnr)}</td><td>{_share(s.ms_ssim)}</td></tr>'
            for s in photo.stages
        ),
    )


def rate_curve(photo: Photo) -> str:
    """PSNR over bytes as an SVG drawing that lies above the byte slider, logarithmic in bytes as the slider is; "" without data."""
    if len(photo.ladder) < 2 or photo.sdz.bytes <= CURVE_LEAST_BYTES:
        return ""
    span = math.log(photo.sdz.bytes / CURVE_LEAST_BYTES)
    levels = [level for _, level in photo.ladder]
    low, high = min(levels), max(levels)
    points = [
        (
            round(CURVE_WIDTH * max(0.0, math.log(count / CURVE_LEAST_BYTES)) / span, 1),
            round(CURVE_HEIGHT * (0.96 - 0.9 * (level - low) / max(high - low, 1e-6)), 1),
        )
        for count, level in photo.ladder
    ]
    line = " ".join(f"{x:g},{y:g}" for x, y in points)
    area = f"{points[0][0]:g},{CURVE_HEIGHT} {line} {points[-1][0]:g},{CURVE_HEIGHT}"
    return (
        f'<p class="scale" aria-hidden="true"><span>PSNR {low:.1f} dB</span><span>{high:.1f} dB</span></p>'
        f'<svg class="curve" viewBox="0 0 {CURVE_WIDTH} {CURVE_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="PSNR rises from {low:.1f} to {high:.1f} dB over the file&#39;s bytes">'
        f'<polygon points="{area}"/><polyline points="{line}"/></svg>'
    )


def _neighbour(page: _Page, photo: Photo | None, rel: str, label: str) -> str:
    if photo is None:
        return ""
    return f'<a rel="{rel}" href="{page.address(f"photos/{photo.name}.html")}" title="{escape(photo.title)}">{label}</a>'


def _size_class(width: int, height: int) -> str:
    return f"s{width}x{height}"


def _equal_avif(photo: Photo) -> str:
    if photo.avif_equal is None:
        return "–"
    bound = {"=": "", "<=": "at most ", ">=": "more than "}[photo.avif_bound or "="]
    return f"{bound}{photo.avif_equal:,}"


def _decibels(value: float | None) -> str:
    return "∞" if value is None else f"{value:.2f} dB"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _template(name: str) -> Template:
    return Template((DEMO / name).read_text(encoding="utf-8"))
